//! Conversions of activations with NEON. Same bits as the definitions in `quant::activation`; see
//! there for what is computed.
//!
//! The conversion to integers rounds halves to even, saturates and makes NaN 0: it is
//! `nearest_int`, and narrowing with saturation is the definitions' `clamp`.

use std::arch::aarch64::*;

use half::{bf16, f16};

use super::load_f32;
use crate::quant::activation::{self, Int8Row, Q8_K_BLOCK, Q8KBlock, Q80Block};

/// The largest magnitude; NaN counts for nothing, as in the definitions.
#[inline]
#[target_feature(enable = "neon")]
fn largest_magnitude(blocks: &[[f32; 8]]) -> f32 {
    let mut max = [vdupq_n_f32(0.0); 2];
    for block in blocks {
        let magnitudes = load_f32(block).map(|v| vabsq_f32(v));
        // The maximum of a number and a NaN is the number.
        max = [vmaxnmq_f32(max[0], magnitudes[0]), vmaxnmq_f32(max[1], magnitudes[1])];
    }
    vmaxnmvq_f32(vmaxnmq_f32(max[0], max[1]))
}

/// Eight values times `factor`, rounded to nearest even between −128 and 127.
#[inline]
#[target_feature(enable = "neon")]
fn codes(values: &[f32; 8], factor: f32) -> int8x8_t {
    let [low, high] = load_f32(values).map(|v| vcvtnq_s32_f32(vmulq_n_f32(v, factor)));
    vqmovn_s16(vqmovn_high_s32(vqmovn_s32(low), high))
}

#[inline]
#[target_feature(enable = "neon")]
fn store_codes(out: &mut [i8; 8], codes: int8x8_t) {
    // SAFETY: the array holds the eight bytes that are written; the store needs no alignment.
    unsafe { vst1_s8(out.as_mut_ptr(), codes) };
}

#[target_feature(enable = "neon")]
pub(super) fn quantize_int8(x: &[f32], out: &mut [i8]) -> Int8Row {
    assert_eq!(x.len(), out.len(), "one code per value");
    let (blocks, rest) = x.as_chunks::<8>();
    let largest = [largest_magnitude(blocks)];
    let max = largest.iter().chain(rest).fold(1e-5f64, |max, v| max.max(f64::from(v.abs())));
    let scale = (127.0 / max) as f32;
    let (out_blocks, out_rest) = out.as_chunks_mut::<8>();
    let mut sums = vdupq_n_s32(0);
    for (out, block) in out_blocks.iter_mut().zip(blocks) {
        let codes = codes(block, scale);
        sums = vaddw_s16(sums, vpaddl_s8(codes));
        store_codes(out, codes);
    }
    let mut sum = vaddvq_s32(sums);
    for (code, v) in out_rest.iter_mut().zip(rest) {
        let q = activation::nearest_int(v * scale).clamp(-128, 127);
        sum += q;
        *code = q as i8;
    }
    Int8Row { scale, sum }
}

#[target_feature(enable = "neon")]
pub(super) fn quantize_q8_0(x: &[f32], blocks: &mut [Q80Block]) {
    let (x, rest) = x.as_chunks::<32>();
    assert!(rest.is_empty() && x.len() == blocks.len(), "32 values per block");
    for (block, x) in blocks.iter_mut().zip(x) {
        let values = x.as_chunks::<8>().0;
        let largest = largest_magnitude(values);
        let inverse = if largest == 0.0 { 0.0 } else { 127.0 / largest };
        for (out, values) in block.codes.as_chunks_mut::<8>().0.iter_mut().zip(values) {
            store_codes(out, vmax_s8(codes(values, inverse), vdup_n_s8(-127)));
        }
        let half = vcvt_f16_f32(vdupq_n_f32(largest / 127.0));
        block.scale = vgetq_lane_f32::<0>(vcvt_f32_f16(half));
    }
}

#[target_feature(enable = "neon")]
pub(super) fn quantize_q8_k(x: &[f32], blocks: &mut [Q8KBlock]) {
    let (x, rest) = x.as_chunks::<Q8_K_BLOCK>();
    assert!(rest.is_empty() && x.len() == blocks.len(), "256 values per block");
    for (block, x) in blocks.iter_mut().zip(x) {
        let largest = largest_magnitude(x.as_chunks::<8>().0);
        // The first of equal magnitudes gives the scale its sign.
        let extreme = x.iter().find(|v| v.abs() == largest).copied().unwrap_or(0.0);
        if extreme == 0.0 {
            *block = Q8KBlock::default();
            continue;
        }
        let inverse = -127.0 / extreme;
        let values = x.as_chunks::<8>().0.as_chunks::<2>().0;
        let out = block.codes.as_chunks_mut::<8>().0.as_chunks_mut::<2>().0;
        for ((sum, out), [first, second]) in block.sums.iter_mut().zip(out).zip(values) {
            let (first, second) = (codes(first, inverse), codes(second, inverse));
            store_codes(&mut out[0], first);
            store_codes(&mut out[1], second);
            *sum = vaddlvq_s8(vcombine_s8(first, second));
        }
        block.scale = 1.0 / inverse;
    }
}

#[target_feature(enable = "neon")]
pub(super) fn narrow_to_f16(x: &[f32], out: &mut [f16]) {
    assert_eq!(x.len(), out.len(), "one value per value");
    let (blocks, rest) = x.as_chunks::<8>();
    let (out_blocks, out_rest) = out.as_chunks_mut::<8>();
    for (o, block) in out_blocks.iter_mut().zip(blocks) {
        let [low, high] = load_f32(block);
        let bits = vreinterpretq_u16_f16(vcvt_high_f16_f32(vcvt_f16_f32(low), high));
        // SAFETY: the array holds the 16 bytes that are written, and an f16 is the 16 bits of a u16.
        unsafe { vst1q_u16(o.as_mut_ptr().cast(), bits) };
    }
    activation::narrow_to_f16(rest, out_rest);
}

/// Four values to bf16.
#[inline]
#[target_feature(enable = "neon")]
fn brain(value: float32x4_t) -> uint16x4_t {
    let bits = vreinterpretq_u32_f32(value);
    let odd = vandq_u32(vshrq_n_u32::<16>(bits), vdupq_n_u32(1));
    let rounded = vaddq_u32(vaddq_u32(bits, vdupq_n_u32(0x7fff)), odd);
    // A NaN keeps its upper bits and is made quiet.
    let quiet = vorrq_u32(bits, vdupq_n_u32(0x0040_0000));
    let number = vceqq_f32(value, value);
    vshrn_n_u32::<16>(vbslq_u32(number, rounded, quiet))
}

#[target_feature(enable = "neon")]
pub(super) fn narrow_to_bf16(x: &[f32], out: &mut [bf16]) {
    assert_eq!(x.len(), out.len(), "one value per value");
    let (blocks, rest) = x.as_chunks::<8>();
    let (out_blocks, out_rest) = out.as_chunks_mut::<8>();
    for (o, block) in out_blocks.iter_mut().zip(blocks) {
        let [low, high] = load_f32(block).map(|v| brain(v));
        // SAFETY: the array holds the 16 bytes that are written, and a bf16 is the 16 bits of a u16.
        unsafe { vst1q_u16(o.as_mut_ptr().cast(), vcombine_u16(low, high)) };
    }
    activation::narrow_to_bf16(rest, out_rest);
}
