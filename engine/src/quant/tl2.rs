//! TL2, bitnet.cpp's ternary format for lookup-table kernels on x86: three weights to a 4-bit index and a
//! sign, the columns that are left over in pairs, then one f32 scale. Multiplies nothing.
//!
//! Three weights side by side are the number 9a + 3b + c; its magnitude (0 to 13) is the index, its sign a
//! bit, set where it is negative. So are packed as many columns as whole tiles have
//! ([`Tile::columns`]); the others are pairs with the index 3a + b + 4. Three sections follow each other:
//!
//! - indices of threes: tiles of [`Tile::rows`] rows down; in one the tile's columns across; in these 32
//!   rows down; in these six columns across; then a byte a row, the first three weights in its high half.
//!   Of 32 rows the second and the third eight change places.
//! - signs: the same down to 32 rows; in these 24 columns across; then 16 little-endian words. Bit
//!   15 − 2t − h of word j belongs to row 16h + j and the columns from 3t on.
//! - pairs: as the first, with 32 columns across in place of the tile's and four in place of six.
//!
//! The size of all is that of 256 columns in pairs and the others in threes, however many were packed so;
//! zeros fill it up, to a multiple of 32. The scale and 28 bytes that mean nothing come behind.
//!
//! Source: `preprocess_weights_tl2` of `convert-hf-to-gguf-bitnet.py`, whose bytes these are
//! (`tests/lookup_types.rs`), and `ggml_nbytes` for the size.

use rayon::prelude::*;

use super::tiles::Tile;
use super::tl1::{self, BadIndex};

/// Rows that a vector holds.
const LANES: usize = 32;

/// Sizes of the sections of `rows` rows.
struct Sections {
    /// Columns packed in threes.
    threes: usize,
    /// Bytes of indices, signs and pairs.
    bytes: [usize; 3],
}

impl Sections {
    fn of(rows: usize, columns: usize, tile: Tile) -> Self {
        let threes = columns / tile.columns * tile.columns;
        let bytes = [rows * threes / 6, rows * threes / 24, rows * (columns - threes) / 4];
        Self { threes, bytes }
    }

    /// The sections of a matrix.
    fn split<'a>(&self, all: &'a [u8]) -> [&'a [u8]; 3] {
        let (indices, rest) = all.split_at(self.bytes[0]);
        let (signs, rest) = rest.split_at(self.bytes[1]);
        [indices, signs, &rest[..self.bytes[2]]]
    }
}

/// Bytes in front of the scale.
pub fn scale_offset(rows: usize, columns: usize) -> usize {
    // The reference's products and quotients, from left to right.
    let bytes = (columns - 256) * rows / 3 * 5 / 8 + 256 * rows / 2 * 4 / 8;
    bytes.next_multiple_of(32)
}

/// Packs ternary weights (−1, 0, 1), row by row, without the tail.
///
/// # Panics
/// If the tile does not fit the matrix (see [`Tile::check`]), or a weight is not ternary.
pub fn pack(weights: &[i8], columns: usize, tile: Tile) -> Vec<u8> {
    let rows = weights.len() / columns;
    let (whole, one) = (Sections::of(rows, columns, tile), Sections::of(tile.rows, columns, tile));
    let mut out = vec![0; scale_offset(rows, columns)];
    let (indices, rest) = out.split_at_mut(whole.bytes[0]);
    let (signs, rest) = rest.split_at_mut(whole.bytes[1]);
    let pairs = &mut rest[..whole.bytes[2]];
    let tiles = || weights.par_chunks_exact(tile.rows * columns);
    indices.par_chunks_exact_mut(one.bytes[0]).zip(tiles()).for_each(|(bytes, weights)| {
        let mut bytes = bytes.iter_mut();
        each_byte(0..one.threes, tile.columns, 6, tile.rows, |row, column| {
            let six = &weights[row * columns + column..][..6];
            if let Some(byte) = bytes.next() {
                *byte = number(&six[..3]).unsigned_abs() << 4 | number(&six[3..]).unsigned_abs();
            }
        });
    });
    signs.par_chunks_exact_mut(one.bytes[1]).zip(tiles()).for_each(|(bytes, weights)| {
        let mut words = bytes.chunks_exact_mut(2);
        each_word(one.threes, tile, |row, column| {
            let word = (0..16).fold(0u16, |word, i| {
                let (row, column) = (row + i % 2 * 16, column + i / 2 * 3);
                let negative = number(&weights[row * columns + column..][..3]) < 0;
                word | u16::from(negative) << (15 - i)
            });
            if let Some(bytes) = words.next() {
                bytes.copy_from_slice(&word.to_le_bytes());
            }
        });
    });
    if one.bytes[2] > 0 {
        pairs.par_chunks_exact_mut(one.bytes[2]).zip(tiles()).for_each(|(bytes, weights)| {
            let mut bytes = bytes.iter_mut();
            each_byte(one.threes..columns, 32, 4, tile.rows, |row, column| {
                let four = &weights[row * columns + column..][..4];
                if let Some(byte) = bytes.next() {
                    *byte = tl1::index(four[0], four[1]) << 4 | tl1::index(four[2], four[3]);
                }
            });
        });
    }
    out
}

/// The weights of a matrix, row by row, from the bytes in front of its scale.
///
/// # Errors
/// The first index of a tile that stands for nothing, or for zeros with a negative sign: no packer writes
/// them. Other tiles than a file's own give other weights, not these.
///
/// # Panics
/// If the tile does not fit the matrix (see [`Tile::check`]), or there are fewer bytes than it needs.
pub fn unpack(codes: &[u8], rows: usize, columns: usize, tile: Tile) -> Result<Vec<i8>, BadIndex> {
    let (whole, one) = (Sections::of(rows, columns, tile), Sections::of(tile.rows, columns, tile));
    let [indices, signs, pairs] = whole.split(codes);
    let mut out = vec![0i8; rows * columns];
    out.par_chunks_exact_mut(tile.rows * columns).enumerate().try_for_each(
        |(number, weights)| {
            let section = |all, i: usize| part(all, number * one.bytes[i], one.bytes[i]);
            let mut bad = None;
            let mut refuse = |row: usize, column: usize, index: u8| {
                bad = bad.or(Some(BadIndex { row: number * tile.rows + row, column, index }));
            };
            let mut bytes = section(indices, 0).iter();
            each_byte(0..one.threes, tile.columns, 6, tile.rows, |row, column| {
                let Some(byte) = bytes.next() else { return };
                for (column, index) in [(column, byte >> 4), (column + 3, byte & 15)] {
                    match three_of(index) {
                        Some(three) => {
                            weights[row * columns + column..][..3].copy_from_slice(&three)
                        }
                        None => refuse(row, column, index),
                    }
                }
            });
            let mut words = section(signs, 1).chunks_exact(2);
            each_word(one.threes, tile, |row, column| {
                let Some(word) = words.next() else { return };
                let word = u16::from_le_bytes([word[0], word[1]]);
                for i in (0..16).filter(|i| word >> (15 - i) & 1 == 1) {
                    let (row, column) = (row + i % 2 * 16, column + i / 2 * 3);
                    let three = &mut weights[row * columns + column..][..3];
                    if *three == [0; 3] {
                        refuse(row, column, 0);
                    }
                    three.iter_mut().for_each(|weight| *weight = -*weight);
                }
            });
            let mut bytes = section(pairs, 2).iter();
            each_byte(one.threes..columns, 32, 4, tile.rows, |row, column| {
                let Some(byte) = bytes.next() else { return };
                for (column, index) in [(column, byte >> 4), (column + 2, byte & 15)] {
                    match tl1::pair_of(index) {
                        Some(pair) => weights[row * columns + column..][..2].copy_from_slice(&pair),
                        None => refuse(row, column, index),
                    }
                }
            });
            bad.map_or(Ok(()), Err)
        },
    )?;
    Ok(out)
}

fn part(all: &[u8], start: usize, length: usize) -> &[u8] {
    &all[start..start + length]
}

/// 9a + 3b + c of three weights.
///
/// # Panics
/// If a weight is not ternary.
fn number(three: &[i8]) -> i8 {
    three.iter().fold(0, |number, weight| {
        assert!((-1..=1).contains(weight), "a ternary weight is -1, 0 or 1");
        3 * number + weight
    })
}

/// Three weights whose number is `index`, if there are any.
fn three_of(index: u8) -> Option<[i8; 3]> {
    // With 1 added to each, the weights are the digits of the number with 13 added.
    let digits = index + 13;
    (index < 14).then(|| [9, 3, 1].map(|power| (digits / power % 3) as i8 - 1))
}

/// Row and first column of every byte of a tile's rows, in order: `outer` columns across, 32 rows down,
/// `inner` columns across, row by row.
fn each_byte(
    columns: std::ops::Range<usize>,
    outer: usize,
    inner: usize,
    rows: usize,
    mut visit: impl FnMut(usize, usize),
) {
    for start in columns.step_by(outer) {
        for first in (0..rows).step_by(LANES) {
            for column in (start..start + outer).step_by(inner) {
                for eight in [0, 16, 8, 24] {
                    for row in first + eight..first + eight + 8 {
                        visit(row, column);
                    }
                }
            }
        }
    }
}

/// First row and first column of every word of signs of a tile's rows, in order.
fn each_word(threes: usize, tile: Tile, mut visit: impl FnMut(usize, usize)) {
    for start in (0..threes).step_by(tile.columns) {
        for first in (0..tile.rows).step_by(LANES) {
            for column in (start..start + tile.columns).step_by(24) {
                for row in first..first + 16 {
                    visit(row, column);
                }
            }
        }
    }
}
