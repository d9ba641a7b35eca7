//! I2_S, bitnet.cpp's ternary format: 2-bit codes for a whole matrix, then one f32 scale.
//!
//! Layout of the x86 builds (`quantize_i2_s` with `ACT_PARALLEL`): 128 values in 32 bytes, byte j
//! holding values j, 32+j, 64+j, 96+j in bits 7–6, 5–4, 3–2, 1–0; code = weight + 1. Behind the
//! n/4 code bytes come the scale (f32, little-endian) and 28 bytes that mean nothing. Other builds
//! pack otherwise ([`FileLayout`]), and the file does not say which one wrote it; this module neither
//! guesses nor checks that.

use std::fmt;
use std::str::FromStr;

use rayon::prelude::*;

/// Values in one block of the file's layout.
pub const BLOCK: usize = 128;
/// Bytes behind the codes: the scale and padding.
pub const TAIL_BYTES: usize = 32;

/// How the program that quantised a file packed the codes: known to whoever made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FileLayout {
    /// Blocks of 128 values in 32 bytes: x86 builds, and every published file known to us.
    #[default]
    X86,
    /// Blocks of 64 values in 16 bytes, byte j holding values j, 16+j, 32+j, 48+j: ARM builds.
    Arm,
    /// Four rows together, a byte for each column, the first row in bits 7–6: x86 builds without
    /// `ACT_PARALLEL`.
    FourRows,
}

impl FileLayout {
    /// All layouts with the names that options and `models.toml` use.
    pub const NAMES: [(&str, FileLayout); 3] =
        [("x86", FileLayout::X86), ("arm", FileLayout::Arm), ("four-rows", FileLayout::FourRows)];

    /// The layout's name.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize].0
    }

    /// Rows that share their bytes.
    pub fn rows_together(self) -> usize {
        if self == FileLayout::FourRows { 4 } else { 1 }
    }
}

impl fmt::Display for FileLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for FileLayout {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let named = Self::NAMES.into_iter().find(|(known, _)| *known == name);
        named.map(|(_, layout)| layout).ok_or_else(|| {
            let known = Self::NAMES.map(|(known, _)| known).join(", ");
            format!("unknown I2_S layout `{}`; known are {known}", name.escape_default())
        })
    }
}

/// The code (0, 1, 2; 3 is unused) of `column` in a row of the x86 layout.
///
/// # Panics
/// If the row is shorter than the column asks for.
#[inline]
pub fn code(row: &[u8], column: usize) -> u8 {
    let byte = row[column / BLOCK * 32 + column % 32];
    let slot = column % BLOCK / 32;
    (byte >> (6 - 2 * slot)) & 3
}

/// The codes of a row of the x86 layout, a byte each.
///
/// # Panics
/// If there is not a byte for each code.
pub fn unpack_codes(row: &[u8], codes: &mut [u8]) {
    assert_eq!(codes.len(), 4 * row.len(), "one byte a code");
    let blocks = codes.as_chunks_mut::<BLOCK>().0.iter_mut().zip(row.as_chunks::<32>().0);
    for (codes, bytes) in blocks {
        for (slot, codes) in codes.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            for (code, byte) in codes.iter_mut().zip(bytes) {
                *code = byte >> (6 - 2 * slot) & 3;
            }
        }
    }
}

/// Where the first byte with a code of 3 is, which stands for no weight.
pub fn unused_code(codes: &[u8]) -> Option<usize> {
    let unused = |byte: &u8| byte & byte >> 1 & 0x55 != 0;
    let bad = |part: &[u8]| part.iter().fold(false, |bad, byte| bad | unused(byte));
    const PART: usize = 1 << 16;
    let part = codes.par_chunks(PART).position_first(bad)?;
    codes[part * PART..].iter().position(unused).map(|place| part * PART + place)
}

/// Packs ternary weights (−1, 0, 1) into the file's layout, without the tail.
///
/// # Panics
/// If the number of weights is not a multiple of 128, or a weight is not ternary.
pub fn pack(weights: &[i8]) -> Vec<u8> {
    assert_eq!(weights.len() % BLOCK, 0, "I2_S packs blocks of 128 values");
    let mut out = vec![0; weights.len() / 4];
    for (bytes, values) in out.chunks_exact_mut(32).zip(weights.chunks_exact(BLOCK)) {
        for (slot, group) in values.chunks_exact(32).enumerate() {
            for (byte, &weight) in bytes.iter_mut().zip(group) {
                assert!((-1..=1).contains(&weight), "a ternary weight is -1, 0 or 1");
                *byte |= ((weight + 1) as u8) << (6 - 2 * slot);
            }
        }
    }
    out
}

/// The weight (−1, 0, 1) of a value in a matrix whose largest magnitude is `scale`, as bitnet.cpp's
/// `quantize_i2_s` rounds it: 0 below 1e-6 and else the sign. The largest magnitude itself, however small,
/// keeps its sign.
pub fn round(value: f32, scale: f32) -> i8 {
    let magnitude = value.abs();
    let zero = value == 0.0 || magnitude != scale && f64::from(magnitude) < 1e-6;
    if zero { 0 } else { value.signum() as i8 }
}

/// The whole tensor of weights (−1, 0, 1) and their scale: codes, scale, padding.
///
/// # Panics
/// As [`pack`] does.
pub fn tensor(weights: &[i8], scale: f32) -> Vec<u8> {
    let mut bytes = pack(weights);
    bytes.extend_from_slice(&scale.to_le_bytes());
    bytes.resize(bytes.len() + TAIL_BYTES - 4, 0);
    bytes
}

/// Rearranges a row of the x86 layout into blocks of 256 values, groups of 64 bytes; a last block of
/// 128 stays.
///
/// # Panics
/// If the rows differ in length or are no multiple of 32 bytes.
pub fn join_blocks(row: &[u8], out: &mut [u8]) {
    assert_eq!(row.len(), out.len(), "a layout does not change a row's size");
    assert_eq!(row.len() % 32, 0, "a row holds whole blocks of 128 values");
    let pairs = row.len() / 64 * 64;
    for (to, from) in out[..pairs].chunks_exact_mut(64).zip(row[..pairs].chunks_exact(64)) {
        join(from, to);
    }
    out[pairs..].copy_from_slice(&row[pairs..]);
}

/// Makes one block of two: 2n bytes whose halves are blocks in groups of n become a block in groups
/// of 2n.
fn join(from: &[u8], to: &mut [u8]) {
    let half = from.len() / 2;
    let (first, second) = from.split_at(half);
    for j in 0..half {
        // Values j, n+j (then 2n+.., 3n+..) of the old bytes become bytes j and n+j.
        let (a, b) = (first[j], second[j]);
        to[j] = (a & 0xc0) | ((a & 0x0c) << 2) | ((b & 0xc0) >> 4) | ((b & 0x0c) >> 2);
        to[half + j] = ((a & 0x30) << 2) | ((a & 0x03) << 4) | ((b & 0x30) >> 2) | (b & 0x03);
    }
}

/// Turns the codes of a matrix, rows of `columns` values packed as `layout`, into the layout of x86
/// builds.
///
/// # Panics
/// If the columns are no multiple of 128, or the rows none of [`FileLayout::rows_together`].
pub fn to_x86(codes: &[u8], columns: usize, layout: FileLayout) -> Vec<u8> {
    let row_bytes = columns / 4;
    assert!(columns > 0 && columns.is_multiple_of(BLOCK), "columns come in blocks of 128");
    assert!(codes.len().is_multiple_of(layout.rows_together() * row_bytes), "whole rows");
    let mut out = vec![0; codes.len()];
    match layout {
        FileLayout::X86 => out.copy_from_slice(codes),
        FileLayout::Arm => {
            out.par_chunks_exact_mut(32).zip(codes.par_chunks_exact(32)).for_each(|(to, from)| {
                join(from, to);
            });
        }
        FileLayout::FourRows => {
            let groups = codes.par_chunks_exact(columns);
            out.par_chunks_exact_mut(columns).zip(groups).for_each(|(to, from)| {
                for (row, to) in to.chunks_exact_mut(row_bytes).enumerate() {
                    for (column, byte) in from.iter().enumerate() {
                        let slot = column % BLOCK / 32;
                        let code = byte >> (6 - 2 * row) & 3;
                        to[column / BLOCK * 32 + column % 32] |= code << (6 - 2 * slot);
                    }
                }
            });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(n: usize) -> Vec<i8> {
        (0..n).map(|i| ((i * i + i / 7) % 3) as i8 - 1).collect()
    }

    #[test]
    fn packing_follows_the_published_bit_order() {
        let mut w = vec![0i8; 128];
        (w[0], w[32], w[64], w[96]) = (1, -1, 0, 1);
        // codes 2, 0, 1, 2 from the high bits down
        assert_eq!(pack(&w)[0], 0b10_00_01_10);
        assert_eq!(pack(&w)[1], 0b01_01_01_01);
    }

    #[test]
    fn codes_that_stand_for_no_weight_are_found() {
        let mut codes = pack(&weights(1024 * 512));
        assert_eq!(unused_code(&codes), None);
        codes[70_001] = 0b00_11_00_00;
        codes[90_000] = 0b00_00_00_11;
        assert_eq!(unused_code(&codes), Some(70_001));
        codes[70_001] = 0b01_10_01_10;
        assert_eq!(unused_code(&codes), Some(90_000));
    }

    #[test]
    fn file_layouts_have_names() {
        for (name, layout) in FileLayout::NAMES {
            assert_eq!((layout.to_string(), name.parse()), (name.to_owned(), Ok(layout)));
        }
        let error = "mips\n".parse::<FileLayout>().unwrap_err();
        assert_eq!(error, "unknown I2_S layout `mips\\n`; known are x86, arm, four-rows");
    }

    #[test]
    fn every_file_layout_becomes_that_of_x86() {
        let (rows, columns) = (8, 384);
        let w = weights(rows * columns);
        let truth = pack(&w);
        let code = |row: usize, column: usize| (w[row * columns + column] + 1) as u8;
        // Straight from the definitions: which value a byte holds in which bits.
        let arm: Vec<u8> = (0..rows * columns / 4)
            .map(|i| {
                let (row, block, j) = (i * 4 / columns, i % (columns / 4) / 16, i % 16);
                (0..4).fold(0, |byte, s| byte | code(row, 64 * block + 16 * s + j) << (6 - 2 * s))
            })
            .collect();
        let four_rows: Vec<u8> = (0..rows * columns / 4)
            .map(|i| {
                let (first, column) = (i / columns * 4, i % columns);
                (0..4).fold(0, |byte, r| byte | code(first + r, column) << (6 - 2 * r))
            })
            .collect();
        assert!(arm != truth && four_rows != truth, "the layouts differ");
        assert_eq!(to_x86(&truth, columns, FileLayout::X86), truth);
        assert_eq!(to_x86(&arm, columns, FileLayout::Arm), truth);
        assert_eq!(to_x86(&four_rows, columns, FileLayout::FourRows), truth);
    }

    #[test]
    #[should_panic(expected = "a ternary weight is -1, 0 or 1")]
    fn other_weights_are_refused() {
        pack(&[2; 128]);
    }
}
