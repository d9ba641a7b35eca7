//! TQ2_0: 256 ternary weights in 66 bytes, 2-bit codes with one f16 scale. Multiplies nothing.
//!
//! Layout (ggml `block_tq2_0`): 64 bytes of codes, then `d` (f16). Byte j of half h (32 bytes) holds
//! values 128h + 32l + j in bits 2l and 2l + 1. weight = (code − 1) · d.

use half::f16;

use super::f16_at;

/// Weights of one block.
pub const BLOCK: usize = 256;
/// Bytes of one block.
pub const BLOCK_BYTES: usize = 66;
/// Offset of the scale.
pub const SCALE: usize = 64;

/// The block's scale as f32.
#[inline]
pub fn scale(block: &[u8]) -> f32 {
    f16_at(block, SCALE)
}

/// The codes (0, 1, 2; 3 is unused) in order.
///
/// # Panics
/// If the block is shorter than 66 bytes.
#[inline]
pub fn unpack(block: &[u8], codes: &mut [u8; BLOCK]) {
    for (half, codes) in block[..SCALE].chunks_exact(32).zip(codes.chunks_exact_mut(128)) {
        for (l, codes) in codes.chunks_exact_mut(32).enumerate() {
            for (code, byte) in codes.iter_mut().zip(half) {
                *code = byte >> (2 * l) & 3;
            }
        }
    }
}

/// One block from weights −1, 0, 1 and their scale.
///
/// # Panics
/// If there are not 256 weights, or the block is not 66 bytes.
pub fn pack(weights: &[i8], scale: f16, block: &mut [u8]) {
    assert_eq!((weights.len(), block.len()), (BLOCK, BLOCK_BYTES), "one whole TQ2_0 block");
    for (half, weights) in block[..SCALE].chunks_exact_mut(32).zip(weights.chunks_exact(128)) {
        for (j, byte) in half.iter_mut().enumerate() {
            let code = |l: usize| (weights[32 * l + j] + 1) as u8;
            *byte = (0..4).fold(0, |byte, l| byte | code(l) << (2 * l));
        }
    }
    block[SCALE..].copy_from_slice(&scale.to_le_bytes());
}
