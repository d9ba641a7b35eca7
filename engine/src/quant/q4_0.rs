//! Q4_0: 32 weights in 18 bytes, 4-bit codes with one f16 scale. Multiplies nothing.
//!
//! Layout (ggml `block_q4_0`): `d` (f16), then 16 bytes; byte j holds value j in its low half and
//! value 16 + j in its high half. weight = (code − 8) · d.

use half::f16;

use super::f16_at;

/// Weights of one block.
pub const BLOCK: usize = 32;
/// Bytes of one block.
pub const BLOCK_BYTES: usize = 18;
/// Offset of the 16 bytes of codes.
pub const CODES: usize = 2;

/// The block's scale as f32.
#[inline]
pub fn scale(block: &[u8]) -> f32 {
    f16_at(block, 0)
}

/// code − 8 of value `i`.
#[inline]
pub fn centred_code(block: &[u8], i: usize) -> i32 {
    i32::from(block[CODES + i % 16] >> (4 * (i / 16)) & 15) - 8
}

/// A row of blocks to f32.
///
/// # Panics
/// If the row is not 18 bytes for each 32 values.
pub fn dequantize_row(row: &[u8], out: &mut [f32]) {
    assert_eq!(row.len() * BLOCK, out.len() * BLOCK_BYTES, "whole Q4_0 blocks");
    for (block, out) in row.chunks_exact(BLOCK_BYTES).zip(out.chunks_exact_mut(BLOCK)) {
        let d = scale(block);
        for (i, o) in out.iter_mut().enumerate() {
            *o = centred_code(block, i) as f32 * d;
        }
    }
}

/// f32 to one block: the value of largest magnitude takes code 0, that is −8, whatever its sign.
///
/// Same bytes as ggml's `quantize_row_q4_0_ref`.
///
/// # Panics
/// If `x` is not 32 values or `block` not 18 bytes.
pub fn quantize_block(x: &[f32], block: &mut [u8]) {
    assert_eq!((x.len(), block.len()), (BLOCK, BLOCK_BYTES), "one whole Q4_0 block");
    let extreme = x.iter().fold(0f32, |m, &v| if v.abs() > m.abs() { v } else { m });
    let d = extreme / -8.0;
    let inverse = if d == 0.0 { 0.0 } else { 1.0 / d };
    block[..CODES].copy_from_slice(&f16::from_f32(d).to_le_bytes());
    // The half is added before the fraction is cut off; the products are at least −8.
    let code = |v: f32| ((v * inverse + 8.5) as u8).min(15);
    let (low, high) = x.split_at(16);
    for ((byte, low), high) in block[CODES..].iter_mut().zip(low).zip(high) {
        *byte = code(*low) | code(*high) << 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extreme_is_minus_8_steps_and_the_other_side_is_clipped_at_7() {
        let (mut x, mut block, mut back) = ([0f32; 32], [0; BLOCK_BYTES], [0f32; 32]);
        (x[0], x[15], x[16], x[31]) = (4.0, -4.0, 0.25, -1.0);
        quantize_block(&x, &mut block);
        // step −0.5; −4 would be code 16
        assert_eq!((block[CODES], block[CODES + 15]), (0x80, 0xaf));
        dequantize_row(&block, &mut back);
        assert_eq!((back[0], back[15], back[31], back[1]), (4.0, -3.5, -1.0, 0.0));
        quantize_block(&[0.0; 32], &mut block);
        dequantize_row(&block, &mut back);
        assert_eq!(back, [0.0; 32]);
    }
}
