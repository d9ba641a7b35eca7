//! TL1, bitnet.cpp's ternary format for lookup-table kernels on ARM: two weights to a 4-bit index, then
//! one f32 scale. Multiplies nothing.
//!
//! The index of weights a, b side by side is 3a + b + 4 (0 to 8). A byte holds four weights of a row, the
//! first two in its high half. Bytes lie in the order in which the kernels read them: tiles of
//! [`Tile::rows`] rows down; in one the [`Tile::columns`] columns across; in these the
//! [`Tile::lanes`] rows down; in these 256 / lanes columns across; in these 16 rows down; in these four
//! columns across; then row by row. Behind the rows × columns / 4 bytes come the scale and 28 bytes that
//! mean nothing.
//!
//! Source: `preprocess_weights_tl1` of `convert-hf-to-gguf-bitnet.py`, whose bytes these are
//! (`tests/lookup_types.rs`), and `ggml_bitnet_transform_tensor` for the scale.

use rayon::prelude::*;

use super::tiles::Tile;

/// Bytes behind the indices: the scale and padding.
pub const TAIL_BYTES: usize = 32;

/// A code or index that no packer writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadIndex {
    /// Row of the weights that it stands for.
    pub row: usize,
    /// Column of the first of them.
    pub column: usize,
    /// What stands for them.
    pub index: u8,
}

/// Bytes in front of the scale.
pub fn scale_offset(rows: usize, columns: usize) -> usize {
    rows * columns / 4
}

/// Packs ternary weights (−1, 0, 1), row by row, without the tail.
///
/// # Panics
/// If the tile does not fit the matrix (see [`Tile::check`]), or a weight is not ternary.
pub fn pack(weights: &[i8], columns: usize, tile: Tile) -> Vec<u8> {
    let mut out = vec![0; weights.len() / 4];
    let tiles = weights.par_chunks_exact(tile.rows * columns);
    out.par_chunks_exact_mut(tile.rows * columns / 4).zip(tiles).for_each(|(bytes, weights)| {
        let mut bytes = bytes.iter_mut();
        each_byte(columns, tile, |row, column| {
            let four = &weights[row * columns + column..][..4];
            if let Some(byte) = bytes.next() {
                *byte = index(four[0], four[1]) << 4 | index(four[2], four[3]);
            }
        });
    });
    out
}

/// The weights of a matrix, row by row, from its bytes without the tail.
///
/// # Errors
/// The first index of a tile that stands for nothing.
///
/// # Panics
/// If the tile does not fit the matrix (see [`Tile::check`]).
pub fn unpack(codes: &[u8], columns: usize, tile: Tile) -> Result<Vec<i8>, BadIndex> {
    let mut out = vec![0; codes.len() * 4];
    let tiles = codes.par_chunks_exact(tile.rows * columns / 4).enumerate();
    out.par_chunks_exact_mut(tile.rows * columns).zip(tiles).try_for_each(
        |(weights, (number, bytes))| {
            let (mut bytes, mut bad) = (bytes.iter(), None);
            each_byte(columns, tile, |row, column| {
                let Some(byte) = bytes.next() else { return };
                for (pair, index) in [(0, byte >> 4), (2, byte & 15)] {
                    let weights = &mut weights[row * columns + column + pair..][..2];
                    match pair_of(index) {
                        Some(pair) => weights.copy_from_slice(&pair),
                        None => {
                            let (row, column) = (number * tile.rows + row, column + pair);
                            bad = bad.or(Some(BadIndex { row, column, index }));
                        }
                    }
                }
            });
            bad.map_or(Ok(()), Err)
        },
    )?;
    Ok(out)
}

/// Index of two weights.
///
/// # Panics
/// If a weight is not ternary.
pub(super) fn index(a: i8, b: i8) -> u8 {
    assert!((-1..=1).contains(&a) && (-1..=1).contains(&b), "a ternary weight is -1, 0 or 1");
    (3 * a + b + 4) as u8
}

/// Two weights of an index, if it stands for any.
pub(super) fn pair_of(index: u8) -> Option<[i8; 2]> {
    (index < 9).then(|| [(index / 3) as i8 - 1, (index % 3) as i8 - 1])
}

/// Row and first column of every byte of a tile's rows, in order.
fn each_byte(columns: usize, tile: Tile, mut visit: impl FnMut(usize, usize)) {
    let across = 256 / tile.lanes;
    for outer in (0..columns).step_by(tile.columns) {
        for lanes in (0..tile.rows).step_by(tile.lanes) {
            for inner in (outer..outer + tile.columns).step_by(across) {
                for sixteen in (lanes..lanes + tile.lanes).step_by(16) {
                    for column in (inner..inner + across).step_by(4) {
                        for row in sixteen..sixteen + 16 {
                            visit(row, column);
                        }
                    }
                }
            }
        }
    }
}
