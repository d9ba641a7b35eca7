//! Panels: ternary weights of 64 rows together, three to five bits, for kernels that keep one row in each
//! lane of four 512-bit registers.
//!
//! A group holds 12 columns of 64 rows in 160 bytes, 1.67 bits a weight. Its 256 indices of 5 bits lie
//! little-endian, one behind the other; index 4 r + k is that of row r and is the number t0 + 3 t1 + 9 t2
//! of the codes in columns k, 4 + k and 8 + k of the group. So the indices of 16 rows, a part of 40 bytes,
//! unpacked to bytes, give three registers, each with four neighbouring columns of these rows: what `vpdpbusd`
//! multiplies with four activations, which are loaded once for 64 rows. Rows and columns that a last panel or group lacks have code 0 and meet no activation.
//! This module packs and reads codes; it knows no file.

use super::i2_s;

/// Rows of a panel.
pub const ROWS: usize = 64;
/// Rows whose indices lie together and fill one register, unpacked.
pub const PART_ROWS: usize = 16;
/// Bytes of these rows in a group.
pub const PART_BYTES: usize = 40;
/// Columns of a group.
pub const GROUP_COLUMNS: usize = 12;
/// Bytes of a group.
pub const GROUP_BYTES: usize = ROWS / PART_ROWS * PART_BYTES;
/// Neighbouring columns of a row in one 32-bit lane.
pub const LANE_COLUMNS: usize = 4;

/// Bytes of a panel with this many columns.
pub const fn panel_bytes(columns: usize) -> usize {
    columns.div_ceil(GROUP_COLUMNS) * GROUP_BYTES
}

/// Packs up to 64 rows in the file's layout ([`i2_s`], x86) as one panel. Codes are 0, 1 or 2:
/// [`i2_s::unused_code`] finds others.
///
/// # Panics
/// If the rows are no whole ones or too many, or the panel has another size than [`panel_bytes`].
pub fn pack(rows: &[u8], columns: usize, panel: &mut [u8]) {
    let row_bytes = columns / 4;
    assert!(rows.len().is_multiple_of(row_bytes) && rows.len() <= ROWS * row_bytes, "whole rows");
    assert_eq!(panel.len(), panel_bytes(columns), "the bytes of a panel");
    let padded = columns.next_multiple_of(GROUP_COLUMNS);
    let mut codes = vec![0; ROWS * padded];
    for (row, codes) in rows.chunks_exact(row_bytes).zip(codes.chunks_exact_mut(padded)) {
        i2_s::unpack_codes(row, &mut codes[..columns]);
    }
    for (pair, rows) in codes.chunks_exact(2 * padded).enumerate() {
        let (even, odd) = rows.split_at(padded);
        let groups = even.as_chunks().0.iter().zip(odd.as_chunks().0);
        for (group, (even, odd)) in panel.as_chunks_mut::<GROUP_BYTES>().0.iter_mut().zip(groups) {
            let bits = lane(even) | lane(odd) << 20;
            group[5 * pair..][..5].copy_from_slice(&bits.to_le_bytes()[..5]);
        }
    }
}

/// The four indices of a row in a group, 5 bits each.
fn lane(codes: &[u8; GROUP_COLUMNS]) -> u64 {
    let four = |d: usize| u32::from_le_bytes(std::array::from_fn(|k| codes[d * LANE_COLUMNS + k]));
    // Four sums side by side, each at most 26.
    let sums = four(0) + 3 * four(1) + 9 * four(2);
    let index = |k: u32| u64::from(sums >> (8 * k) & 31) << (5 * k);
    index(0) | index(1) | index(2) | index(3)
}

/// The code (0, 1, 2) of a row and column of a panel.
///
/// # Panics
/// If the panel is shorter than the column asks for, or has no such row.
pub fn code(panel: &[u8], row: usize, column: usize) -> u8 {
    assert!(row < ROWS, "row {row} of a panel of {ROWS}");
    let (group, column) = (column / GROUP_COLUMNS, column % GROUP_COLUMNS);
    let bytes = &panel[group * GROUP_BYTES + row / 2 * 5..][..5];
    let bits = bytes.iter().rev().fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
    let place = row % 2 * LANE_COLUMNS + column % LANE_COLUMNS;
    let index = (bits >> (5 * place)) as u8 & 31;
    index / [1, 3, 9][column / LANE_COLUMNS] % 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_five_bits_little_endian() {
        // Row 0, columns 0, 4, 8 → 1 + 3·2 + 9·2 = 25 in bits 0–4; row 1, column 1 → 2 in bits 25–29.
        let columns = 128;
        let mut weights = vec![-1; ROWS * columns];
        weights[0] = 0;
        for place in [4, 8, columns + 1] {
            weights[place] = 1;
        }
        let mut panel = vec![0; panel_bytes(columns)];
        pack(&i2_s::pack(&weights), columns, &mut panel);
        let bits = 25u64 | 2 << 25;
        assert_eq!(panel[..5], bits.to_le_bytes()[..5]);
        assert!(panel[5..].iter().all(|byte| *byte == 0));
        let set = [(0, 0, 1), (0, 4, 2), (0, 8, 2), (1, 1, 2), (1, 0, 0), (63, 127, 0)];
        for (row, column, truth) in set {
            assert_eq!(code(&panel, row, column), truth, "row {row}, column {column}");
        }
    }

    #[test]
    fn what_a_panel_lacks_is_code_0() {
        let columns = 128;
        let mut panel = vec![0xff; panel_bytes(columns)];
        pack(&i2_s::pack(&vec![1; 3 * columns]), columns, &mut panel);
        for row in 0..ROWS {
            for column in 0..columns.next_multiple_of(GROUP_COLUMNS) {
                let truth = if row < 3 && column < columns { 2 } else { 0 };
                assert_eq!(code(&panel, row, column), truth, "row {row}, column {column}");
            }
        }
    }
}
