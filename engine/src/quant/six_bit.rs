//! Panels of 6-bit codes: 64 rows together, four neighbouring columns of all of them in 192 bytes.
//!
//! The 256 codes of a group lie little-endian one behind the other; code 4 r + k is that of row r in column
//! k of the group, so that those of 16 rows fill a register. A code is an integer from −31 to 31, plus 32, so
//! that a register of them is the unsigned side of `vpdpbusd`. What the integers stand for is the caller's
//! affair.

/// Rows of a panel.
pub const ROWS: usize = 64;
/// Rows whose codes fill one register, unpacked.
pub const PART_ROWS: usize = 16;
/// Bytes of these rows in a group.
pub const PART_BYTES: usize = 48;
/// Columns of a group.
pub const GROUP_COLUMNS: usize = 4;
/// Bytes of a group.
pub const GROUP_BYTES: usize = ROWS / PART_ROWS * PART_BYTES;
/// What a code is more than its integer.
pub const OFFSET: i32 = 32;
/// The largest integer.
pub const MAX: i32 = 31;

/// Bytes of a panel with this many columns.
pub const fn panel_bytes(columns: usize) -> usize {
    columns.div_ceil(GROUP_COLUMNS) * GROUP_BYTES
}

/// Packs a group of codes, row by row.
pub fn pack_group(codes: &[[u8; GROUP_COLUMNS]; ROWS], group: &mut [u8; GROUP_BYTES]) {
    for (codes, bytes) in codes.iter().zip(group.as_chunks_mut::<3>().0) {
        let [a, b, c, d] = codes.map(|code| u32::from(code & 63));
        let bits = a | b << 6 | c << 12 | d << 18;
        bytes.copy_from_slice(&bits.to_le_bytes()[..3]);
    }
}

/// The codes of a row in a group.
///
/// # Panics
/// If there is no such row.
pub fn unpack_row(group: &[u8; GROUP_BYTES], row: usize) -> [u8; GROUP_COLUMNS] {
    let [a, b, c] = group.as_chunks::<3>().0[row];
    let bits = u32::from_le_bytes([a, b, c, 0]);
    std::array::from_fn(|k| (bits >> (6 * k) & 63) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_six_bits_little_endian() {
        let codes =
            std::array::from_fn(|r| std::array::from_fn(|k| ((r * 11 + k * 23) % 64) as u8));
        let mut group = [0; GROUP_BYTES];
        pack_group(&codes, &mut group);
        for (row, codes) in codes.iter().enumerate() {
            assert_eq!(unpack_row(&group, row), *codes);
        }
        // Row 1 begins at bit 24: codes 11, 34, 57, 16.
        let truth = 11u32 | 34 << 6 | 57 << 12 | 16 << 18;
        assert_eq!(group[3..6], truth.to_le_bytes()[..3]);
    }
}
