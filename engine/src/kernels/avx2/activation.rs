//! Conversions of activations with AVX2 and F16C. Same bits as the definitions in
//! `quant::activation`; see there for what is computed.

use std::arch::x86_64::*;

use half::{bf16, f16};

use super::{load_f32, store_f32, sum_i32};
use crate::quant::activation::{self, Int8Row, Q8_K_BLOCK, Q8KBlock, Q80Block};

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn quantize_int8(x: &[f32], codes: &mut [i8]) -> Int8Row {
    assert_eq!(x.len(), codes.len(), "one code per value");
    let (blocks, rest) = x.as_chunks::<8>();
    let largest = [largest_magnitude(blocks)];
    let max = largest.iter().chain(rest).fold(1e-5f64, |max, v| max.max(f64::from(v.abs())));
    let scale = (127.0 / max) as f32;
    let (code_blocks, code_rest) = codes.as_chunks_mut::<8>();
    let factor = _mm256_set1_ps(scale);
    let (low, high) = (_mm256_set1_epi32(-128), _mm256_set1_epi32(127));
    let mut sums = _mm256_setzero_si256();
    for (out, block) in code_blocks.iter_mut().zip(blocks) {
        let product = _mm256_mul_ps(load_f32(block), factor);
        // NaN becomes code 0, as in the definition; the conversion alone would make it -128.
        let number = _mm256_cmp_ps::<_CMP_ORD_Q>(product, product);
        let rounded = _mm256_cvtps_epi32(_mm256_and_ps(product, number));
        let q = _mm256_max_epi32(_mm256_min_epi32(rounded, high), low);
        sums = _mm256_add_epi32(sums, q);
        let words = _mm_packs_epi32(_mm256_castsi256_si128(q), _mm256_extracti128_si256(q, 1));
        let bytes = _mm_packs_epi16(words, words);
        *out = _mm_cvtsi128_si64(bytes).to_le_bytes().map(|b| b as i8);
    }
    let mut sum = sum_i32(sums);
    for (code, v) in code_rest.iter_mut().zip(rest) {
        let q = activation::nearest_int(v * scale).clamp(-128, 127);
        sum += q;
        *code = q as i8;
    }
    Int8Row { scale, sum }
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn narrow_to_f16(x: &[f32], out: &mut [f16]) {
    assert_eq!(x.len(), out.len(), "one value per value");
    let (blocks, rest) = x.as_chunks::<8>();
    let (out_blocks, out_rest) = out.as_chunks_mut::<8>();
    for (o, block) in out_blocks.iter_mut().zip(blocks) {
        let half = _mm256_cvtps_ph(load_f32(block), _MM_FROUND_TO_NEAREST_INT);
        // SAFETY: the array holds the 16 bytes that are written; the store needs no alignment.
        unsafe { _mm_storeu_si128(o.as_mut_ptr().cast(), half) };
    }
    activation::narrow_to_f16(rest, out_rest);
}

/// The largest magnitude; NaN counts for nothing, as in the definitions.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn largest_magnitude(blocks: &[[f32; 8]]) -> f32 {
    let sign = _mm256_set1_ps(-0.0);
    // Chains side by side: the next block does not wait for the one before it.
    let mut chains = [_mm256_setzero_ps(); 4];
    let (groups, rest) = blocks.as_chunks::<4>();
    for block in groups.iter().map(|group| &group[..]).chain([rest]) {
        for (max, block) in chains.iter_mut().zip(block) {
            // The operand order keeps a NaN out of the maximum.
            *max = _mm256_max_ps(_mm256_andnot_ps(sign, load_f32(block)), *max);
        }
    }
    let [a, b, c, d] = chains;
    let max = _mm256_max_ps(_mm256_max_ps(a, b), _mm256_max_ps(c, d));
    let mut lanes = [0f32; 8];
    store_f32(&mut lanes, max);
    lanes.into_iter().fold(0.0, f32::max)
}

/// 32 values times `factor`, rounded to nearest even between `low` and 127; NaN becomes 0.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn codes(values: &[[f32; 8]; 4], factor: f32, low: f32, out: &mut [i8; 32]) {
    let (factor, low, high) = (_mm256_set1_ps(factor), _mm256_set1_ps(low), _mm256_set1_ps(127.0));
    let mut rounded = [_mm256_setzero_si256(); 4];
    for (rounded, values) in rounded.iter_mut().zip(values) {
        let product = _mm256_mul_ps(load_f32(values), factor);
        let number = _mm256_cmp_ps::<_CMP_ORD_Q>(product, product);
        // Clipped before the conversion, which makes every number beyond 32 bits the lowest one.
        let clipped = _mm256_max_ps(_mm256_min_ps(_mm256_and_ps(product, number), high), low);
        *rounded = _mm256_cvtps_epi32(clipped);
    }
    let words =
        [_mm256_packs_epi32(rounded[0], rounded[1]), _mm256_packs_epi32(rounded[2], rounded[3])];
    let mixed = _mm256_packs_epi16(words[0], words[1]);
    // Packing works within halves of a register: four values of each input follow one another.
    let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    let bytes = _mm256_permutevar8x32_epi32(mixed, order);
    // SAFETY: the array holds the 32 bytes that are written; the store needs no alignment.
    unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), bytes) };
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn quantize_q8_0(x: &[f32], blocks: &mut [Q80Block]) {
    let (x, rest) = x.as_chunks::<32>();
    assert!(rest.is_empty() && x.len() == blocks.len(), "32 values per block");
    for (block, x) in blocks.iter_mut().zip(x) {
        let values = x.as_chunks::<8>().0.as_array::<4>().expect("four times eight");
        let largest = largest_magnitude(values);
        let inverse = if largest == 0.0 { 0.0 } else { 127.0 / largest };
        codes(values, inverse, -127.0, &mut block.codes);
        block.scale = f16::from_f32(largest / 127.0).to_f32();
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
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
        let values = x.as_chunks::<8>().0.as_chunks::<4>().0;
        let out = block.codes.as_chunks_mut::<32>().0;
        for (out, values) in out.iter_mut().zip(values) {
            codes(values, inverse, -128.0, out);
        }
        for (sum, codes) in block.sums.iter_mut().zip(block.codes.as_chunks::<16>().0) {
            *sum = codes.iter().map(|code| i16::from(*code)).sum();
        }
        block.scale = 1.0 / inverse;
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn narrow_to_bf16(x: &[f32], out: &mut [bf16]) {
    assert_eq!(x.len(), out.len(), "one value per value");
    let (blocks, rest) = x.as_chunks::<8>();
    let (out_blocks, out_rest) = out.as_chunks_mut::<8>();
    let (one, below_half) = (_mm256_set1_epi32(1), _mm256_set1_epi32(0x7fff));
    for (o, block) in out_blocks.iter_mut().zip(blocks) {
        let value = load_f32(block);
        let bits = _mm256_castps_si256(value);
        let odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), one);
        let rounded = _mm256_add_epi32(bits, _mm256_add_epi32(below_half, odd));
        // A NaN keeps its upper bits and is made quiet.
        let quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x0040_0000));
        let nan = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_UNORD_Q>(value, value));
        let upper = _mm256_srli_epi32(_mm256_blendv_epi8(rounded, quiet, nan), 16);
        let (low, high) = (_mm256_castsi256_si128(upper), _mm256_extracti128_si256(upper, 1));
        // SAFETY: the array holds the 16 bytes that are written; the store needs no alignment.
        unsafe { _mm_storeu_si128(o.as_mut_ptr().cast(), _mm_packus_epi32(low, high)) };
    }
    activation::narrow_to_bf16(rest, out_rest);
}
