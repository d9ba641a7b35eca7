//! Q4_K: 256 weights in 144 bytes, 4-bit codes with scale and minimum for each 32 of them.
//!
//! Layout (ggml `block_q4_K`): 16 bytes of factors (see [`super::super_blocks`]), then 128 bytes of
//! codes. Byte 32p + j holds value 64p + j in its low half and value 64p + 32 + j in its high half.

use super::super_blocks::{self, BLOCK, HEADER, Search};

/// Bytes of one block.
pub const BLOCK_BYTES: usize = 144;
/// Offset of the codes.
pub const CODES: usize = HEADER;

const SEARCH: Search = Search { largest_code: 15, first: -1.0, steps: 20 };

/// The codes (0 to 15) in order.
///
/// # Panics
/// If the block is shorter than 144 bytes.
#[inline]
pub fn unpack(block: &[u8], codes: &mut [u8; BLOCK]) {
    let pairs = block[CODES..BLOCK_BYTES].chunks_exact(32);
    for (bytes, codes) in pairs.zip(codes.chunks_exact_mut(64)) {
        let (low, high) = codes.split_at_mut(32);
        for ((byte, low), high) in bytes.iter().zip(low).zip(high) {
            (*low, *high) = (byte & 15, byte >> 4);
        }
    }
}

/// A row of blocks to f32, in the reference's order of products.
///
/// # Panics
/// If the row is not 144 bytes for each 256 values.
pub fn dequantize_row(row: &[u8], out: &mut [f32]) {
    super_blocks::dequantize_row(row, BLOCK_BYTES, unpack, out);
}

/// f32 to one block: the same bytes as ggml's `quantize_row_q4_K_ref`.
///
/// # Panics
/// If `x` is not 256 values or `block` not 144 bytes.
pub fn quantize_block(x: &[f32], block: &mut [u8]) {
    assert_eq!((x.len(), block.len()), (BLOCK, BLOCK_BYTES), "one whole Q4_K block");
    let mut codes = [0; BLOCK];
    super_blocks::quantize(x, &SEARCH, &mut codes, block);
    let pairs = block[CODES..].chunks_exact_mut(32);
    for (bytes, codes) in pairs.zip(codes.chunks_exact(64)) {
        let (low, high) = codes.split_at(32);
        for ((byte, low), high) in bytes.iter_mut().zip(low).zip(high) {
            *byte = low | high << 4;
        }
    }
}
