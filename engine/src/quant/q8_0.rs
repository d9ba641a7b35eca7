//! Q8_0: 32 weights in 34 bytes, signed bytes with one f16 scale. Multiplies nothing.
//!
//! Layout (ggml `block_q8_0`): `d` (f16), then 32 codes. weight = code · d.

use half::f16;

use super::activation::Q80Block;
use super::f16_at;

/// Weights of one block.
pub const BLOCK: usize = 32;
/// Bytes of one block.
pub const BLOCK_BYTES: usize = 34;
/// Offset of the 32 codes.
pub const CODES: usize = 2;

/// The block's scale as f32.
#[inline]
pub fn scale(block: &[u8]) -> f32 {
    f16_at(block, 0)
}

/// A row of blocks to f32.
///
/// # Panics
/// If the row is not 34 bytes for each 32 values.
pub fn dequantize_row(row: &[u8], out: &mut [f32]) {
    assert_eq!(row.len() * BLOCK, out.len() * BLOCK_BYTES, "whole Q8_0 blocks");
    for (block, out) in row.chunks_exact(BLOCK_BYTES).zip(out.chunks_exact_mut(BLOCK)) {
        let d = scale(block);
        for (o, code) in out.iter_mut().zip(&block[CODES..]) {
            *o = f32::from(*code as i8) * d;
        }
    }
}

/// f32 to one block of weights: the largest magnitude becomes ±127, halves go away from zero.
///
/// Same bytes as ggml's `quantize_row_q8_0_ref`. Activations are rounded otherwise: see
/// [`super::activation::quantize_q8_0`].
///
/// # Panics
/// If `x` is not 32 values or `block` not 34 bytes.
#[expect(clippy::disallowed_methods, reason = "the reference rounds these halves away from zero")]
pub fn quantize_block(x: &[f32], block: &mut [u8]) {
    assert_eq!((x.len(), block.len()), (BLOCK, BLOCK_BYTES), "one whole Q8_0 block");
    let largest = x.iter().fold(0f32, |max, v| max.max(v.abs()));
    let d = largest / 127.0;
    let inverse = if d == 0.0 { 0.0 } else { 1.0 / d };
    block[..CODES].copy_from_slice(&f16::from_f32(d).to_le_bytes());
    for (code, v) in block[CODES..].iter_mut().zip(x) {
        *code = (v * inverse).round() as i8 as u8;
    }
}

/// A block of activations as a block of weights: the same scale, which is an f16 already, and codes.
///
/// # Panics
/// If `block` is not 34 bytes.
pub fn pack_block(x: &Q80Block, block: &mut [u8]) {
    assert_eq!(block.len(), BLOCK_BYTES, "one whole Q8_0 block");
    block[..CODES].copy_from_slice(&f16::from_f32(x.scale).to_le_bytes());
    block[CODES..].copy_from_slice(bytemuck::cast_slice(&x.codes));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quant::activation::quantize_q8_0;

    #[test]
    fn packed_activations_keep_their_values() {
        let x: Vec<f32> = (0..32).map(|i| (i as f32 - 7.5) * 0.37).collect();
        let (mut blocks, mut bytes, mut back) = ([Q80Block::default()], [0; 34], [0f32; 32]);
        quantize_q8_0(&x, &mut blocks);
        pack_block(&blocks[0], &mut bytes);
        dequantize_row(&bytes, &mut back);
        assert_eq!(back, blocks[0].codes.map(|code| f32::from(code) * blocks[0].scale));
    }

    #[test]
    fn the_extreme_is_127_and_halves_go_away_from_zero() {
        let (mut x, mut block, mut back) = ([0f32; 32], [0; BLOCK_BYTES], [0f32; 32]);
        (x[0], x[1], x[2], x[3]) = (-127.0, 0.5, -1.5, 126.4);
        quantize_block(&x, &mut block);
        dequantize_row(&block, &mut back);
        assert_eq!(back[..5], [-127.0, 1.0, -2.0, 126.0, 0.0]);
        quantize_block(&[0.0; 32], &mut block);
        assert_eq!(block, [0; BLOCK_BYTES]);
    }
}
