//! Activation formats: what a matrix product turns its f32 input into before it multiplies.
//!
//! The weight's type decides which one applies (design.md §11). This file holds the layouts and the
//! defining scalar conversions; it multiplies nothing.

use bytemuck::Zeroable;
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

/// Values of one Q8_K block.
pub const Q8_K_BLOCK: usize = 256;
/// Values of one Q8_0 block.
pub const Q8_0_BLOCK: usize = 32;

/// Scale and sum of one token's int8 row (W1.58A8).
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Int8Row {
    /// `127 / max(|x|)`: real value = code / scale.
    pub scale: f32,
    /// Sum of the codes; takes back the `+1` in the ternary codes.
    pub sum: i32,
}

/// Rounds to the nearest integer, ties to even, for |x| ≤ 2^22.
///
/// The reference adds and subtracts 1.5·2^23 (`nearest_int` in ggml), which is the same rounding.
#[inline(always)]
pub fn nearest_int(x: f32) -> i32 {
    x.round_ties_even() as i32
}

/// One row of f32 to int8 with a single absmax scale: the activation rule of I2_S.
///
/// Source: `quantize_row_i8_s` of bitnet.cpp. The maximum never falls below 1e-5, and
/// `127 / max` is taken in f64, then rounded to f32.
///
/// # Panics
/// If `codes` is not as long as `x`.
#[inline(always)]
pub fn quantize_int8(x: &[f32], codes: &mut [i8]) -> Int8Row {
    assert_eq!(x.len(), codes.len(), "one code per value");
    let max = x.iter().fold(1e-5f64, |max, v| max.max(f64::from(v.abs())));
    let scale = (127.0 / max) as f32;
    let mut sum = 0;
    for (code, v) in codes.iter_mut().zip(x) {
        let q = nearest_int(v * scale).clamp(-128, 127);
        sum += q;
        *code = q as i8;
    }
    Int8Row { scale, sum }
}

/// 256 values with one f32 scale: the activation rule of the k-quants.
#[derive(Debug, Clone, Copy)]
pub struct Q8KBlock {
    /// Real value = `scale` × code.
    pub scale: f32,
    /// The codes.
    pub codes: [i8; Q8_K_BLOCK],
    /// Sums of 16 codes each; they take back what weights are above their codes' centre.
    pub sums: [i16; 16],
}

impl Default for Q8KBlock {
    fn default() -> Self {
        Self { scale: 0.0, codes: [0; Q8_K_BLOCK], sums: [0; 16] }
    }
}

/// 32 values with one scale: the activation rule of Q8_0 and Q4_0.
#[derive(Debug, Clone, Copy, Default, Zeroable)]
pub struct Q80Block {
    /// Real value = `scale` × code. Rounded to f16, as the reference stores it.
    pub scale: f32,
    /// The codes, −127 to 127.
    pub codes: [i8; Q8_0_BLOCK],
}

/// f32 to Q8_0 as ggml's AVX2 code does it: `127 / max` in one division, halves to even.
///
/// Source: `quantize_row_q8_0` of ggml. The scale is rounded to f16 after the codes are made.
///
/// # Panics
/// If `x` is not 32 values for each block.
#[inline(always)]
pub fn quantize_q8_0(x: &[f32], blocks: &mut [Q80Block]) {
    assert_eq!(x.len(), blocks.len() * Q8_0_BLOCK, "32 values per block");
    for (block, x) in blocks.iter_mut().zip(x.chunks_exact(Q8_0_BLOCK)) {
        let largest = x.iter().fold(0f32, |max, v| max.max(v.abs()));
        let inverse = if largest == 0.0 { 0.0 } else { 127.0 / largest };
        for (code, v) in block.codes.iter_mut().zip(x) {
            *code = nearest_int(v * inverse).clamp(-127, 127) as i8;
        }
        block.scale = f16::from_f32(largest / 127.0).to_f32();
    }
}

/// f32 to Q8_K. The value of largest magnitude maps to −127 exactly, whatever its sign.
///
/// Source: `quantize_row_q8_K_ref` of ggml.
///
/// # Panics
/// If `x` is not 256 values for each block.
#[inline(always)]
pub fn quantize_q8_k(x: &[f32], blocks: &mut [Q8KBlock]) {
    assert_eq!(x.len(), blocks.len() * Q8_K_BLOCK, "256 values per block");
    for (block, x) in blocks.iter_mut().zip(x.chunks_exact(Q8_K_BLOCK)) {
        // The first of equal magnitudes wins, as in the reference; its sign decides the scale's.
        let extreme = x.iter().fold(0f32, |m, &v| if v.abs() > m.abs() { v } else { m });
        if extreme == 0.0 {
            *block = Q8KBlock::default();
            continue;
        }
        let inverse = -127.0 / extreme;
        for (code, v) in block.codes.iter_mut().zip(x) {
            *code = nearest_int(inverse * v).clamp(-128, 127) as i8;
        }
        for (sum, codes) in block.sums.iter_mut().zip(block.codes.chunks_exact(16)) {
            *sum = codes.iter().map(|code| i16::from(*code)).sum();
        }
        block.scale = 1.0 / inverse;
    }
}

/// f32 to f16, round to nearest even: the activation rule of F16 weights.
///
/// # Panics
/// If the slices differ in length.
#[inline(always)]
pub fn narrow_to_f16(x: &[f32], out: &mut [f16]) {
    assert_eq!(x.len(), out.len(), "one value per value");
    out.convert_from_f32_slice(x);
}

/// f32 to bf16, round to nearest even: the activation rule of BF16 weights.
///
/// # Panics
/// If the slices differ in length.
#[inline(always)]
pub fn narrow_to_bf16(x: &[f32], out: &mut [bf16]) {
    assert_eq!(x.len(), out.len(), "one value per value");
    for (o, v) in out.iter_mut().zip(x) {
        *o = bf16::from_f32(*v);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn int8_rounds_half_to_even_and_reports_the_sum() {
        let x = [127.0, 0.5, 1.5, -2.5, -127.0];
        let mut codes = [0; 5];
        let row = quantize_int8(&x, &mut codes);
        assert_eq!((row.scale, codes), (1.0, [127, 0, 2, -2, -127]));
        assert_eq!(row.sum, 0);
    }

    #[test]
    fn int8_of_zeros_keeps_a_finite_scale() {
        let mut codes = [1; 4];
        let row = quantize_int8(&[0.0; 4], &mut codes);
        assert_eq!((row.scale, codes), (12_700_000.0, [0; 4]));
    }

    #[test]
    fn nearest_int_agrees_with_the_magic_number_of_the_reference() {
        let mut x = -200.0f32;
        while x < 200.0 {
            let magic = (x + 12_582_912.0).to_bits() as i32;
            assert_eq!(nearest_int(x), (magic & 0x007f_ffff) - 0x0040_0000, "{x}");
            x += 0.125;
        }
    }

    #[test]
    fn q8_k_maps_the_extreme_to_minus_127_and_zeros_to_zero() {
        let mut x = [0.25f32; 256];
        x[7] = 2.0;
        let mut blocks = [Q8KBlock::default()];
        quantize_q8_k(&x, &mut blocks);
        assert_eq!(blocks[0].codes[7], -127);
        assert!((blocks[0].scale * -127.0 - 2.0).abs() < 1e-6);
        assert_eq!(blocks[0].codes[0], -16);
        assert_eq!((blocks[0].sums[0], blocks[0].sums[15]), (-127 - 15 * 16, -16 * 16));
        quantize_q8_k(&[0.0; 256], &mut blocks);
        assert_eq!((blocks[0].scale, blocks[0].codes[7], blocks[0].sums[0]), (0.0, 0, 0));
    }

    #[test]
    fn q8_0_rounds_half_to_even_and_its_scale_to_f16() {
        let mut x = [0f32; 64];
        (x[0], x[1], x[2], x[3], x[32]) = (-127.0, 0.5, 1.5, 2.5, 1.0);
        let mut blocks = [Q80Block { scale: 7.0, codes: [7; 32] }; 2];
        quantize_q8_0(&x, &mut blocks);
        assert_eq!((blocks[0].scale, &blocks[0].codes[..5]), (1.0, &[-127, 0, 2, 2, 0][..]));
        assert_eq!(blocks[1].scale, f16::from_f32(1.0 / 127.0).to_f32());
        quantize_q8_0(&[0.0; 64], &mut blocks);
        assert_eq!((blocks[1].scale, blocks[1].codes), (0.0, [0; 32]));
    }

    #[test]
    fn bf16_keeps_eight_bits_and_rounds_half_to_even() {
        let mut out = [bf16::ZERO; 3];
        narrow_to_bf16(&[1.0 + 1.0 / 256.0, 1.0 + 3.0 / 256.0, -3.0], &mut out);
        assert_eq!(out.map(bf16::to_f32), [1.0, 1.0 + 4.0 / 256.0, -3.0]);
    }
}
