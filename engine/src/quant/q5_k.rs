//! Q5_K: 256 weights in 176 bytes, 5-bit codes with scale and minimum for each 32 of them.
//!
//! Layout (ggml `block_q5_K`): 16 bytes of factors (see [`super::super_blocks`]), `qh[32]`, then 128
//! bytes of low halves laid out as in Q4_K. Bit g of `qh[j]` is the fifth bit of value 32g + j.

use super::super_blocks::{self, BLOCK, HEADER, Search};

/// Bytes of one block.
pub const BLOCK_BYTES: usize = 176;
/// Offset of the fifth bits.
pub const HIGH_BITS: usize = HEADER;
/// Offset of the low halves.
pub const CODES: usize = 48;

const SEARCH: Search = Search { largest_code: 31, first: -0.5, steps: 15 };

/// The codes (0 to 31) in order.
///
/// # Panics
/// If the block is shorter than 176 bytes.
#[inline]
pub fn unpack(block: &[u8], codes: &mut [u8; BLOCK]) {
    let high = &block[HIGH_BITS..CODES];
    for (g, codes) in codes.chunks_exact_mut(32).enumerate() {
        let low = &block[CODES + 32 * (g / 2)..][..32];
        for ((code, low), high) in codes.iter_mut().zip(low).zip(high) {
            *code = low >> (4 * (g % 2)) & 15 | (high >> g & 1) << 4;
        }
    }
}

/// A row of blocks to f32, in the reference's order of products.
///
/// # Panics
/// If the row is not 176 bytes for each 256 values.
pub fn dequantize_row(row: &[u8], out: &mut [f32]) {
    super_blocks::dequantize_row(row, BLOCK_BYTES, unpack, out);
}

/// f32 to one block: the same bytes as ggml's `quantize_row_q5_K_ref`.
///
/// # Panics
/// If `x` is not 256 values or `block` not 176 bytes.
pub fn quantize_block(x: &[f32], block: &mut [u8]) {
    assert_eq!((x.len(), block.len()), (BLOCK, BLOCK_BYTES), "one whole Q5_K block");
    let mut codes = [0; BLOCK];
    super_blocks::quantize(x, &SEARCH, &mut codes, block);
    block[HIGH_BITS..].fill(0);
    for (g, codes) in codes.chunks_exact(32).enumerate() {
        for (j, code) in codes.iter().enumerate() {
            block[HIGH_BITS + j] |= (code >> 4) << g;
            block[CODES + 32 * (g / 2) + j] |= (code & 15) << (4 * (g % 2));
        }
    }
}
