//! AVX2, FMA and F16C kernels. Same bits as `scalar`; see there for what is computed.

mod activation;
pub(super) mod blocks;

use std::arch::x86_64::*;

use half::f16;

use super::macros::available;
use super::scalar::{self, LANES, tables};
use super::table::{Isa, Kernels};
use crate::quant::ternary_layout::Layout;

pub(super) static KERNELS: Kernels = Kernels {
    isa: Isa::Avx2,
    ternary_layout: Layout::Blocks128,
    ternary_dots: |rows, columns, x, sums| available!(ternary_dots(rows, columns, x, sums)),
    six_bit_dots: tables::PORTABLE.six_bit_dots,
    screens: false,
    scale_sums: |sums, sum, by, scale, out| available!(scale_sums(sums, sum, by, scale, out)),
    quantize_int8: |x, codes| available!(activation::quantize_int8(x, codes)),
    dot_f32: |a, b| available!(dot_f32(a, b)),
    dot_f16: |a, b| available!(dot_f16(a, b)),
    dots_f32: |rows, length, x, out| {
        scalar::each_dot_f32(KERNELS.dot_f32, rows, length, x, out);
    },
    dots_f16: |rows, stride, length, x, out| {
        scalar::each_dot_f16(KERNELS.dot_f16, rows, stride, length, x, out);
    },
    narrow_to_f16: |x, out| available!(activation::narrow_to_f16(x, out)),
    dot_bf16: |a, b| available!(blocks::dot_bf16(a, b)),
    narrow_to_bf16: |x, out| available!(activation::narrow_to_bf16(x, out)),
    quantize_q8_0: |x, out| available!(activation::quantize_q8_0(x, out)),
    quantize_q8_k: |x, out| available!(activation::quantize_q8_k(x, out)),
    dot_q4_0: |row, x, out| available!(blocks::dot_q4_0(row, x, out)),
    dot_q8_0: |row, x, out| available!(blocks::dot_q8_0(row, x, out)),
    dot_q4_k: |row, x, out| available!(blocks::dot_q4_k(row, x, out)),
    dot_q5_k: |row, x, out| available!(blocks::dot_q5_k(row, x, out)),
    dot_q6_k: |row, x, out| available!(blocks::dot_q6_k(row, x, out)),
    dot_tq1_0: |row, x, out| available!(blocks::dot_tq1_0(row, x, out)),
    dot_tq2_0: |row, x, out| available!(blocks::dot_tq2_0(row, x, out)),
    rms_norm: |x, w, eps, out| available!(rms_norm(x, w, eps, out)),
    softmax: |scores, scale| available!(softmax(scores, scale)),
    relu_squared_gate: |gate, up| available!(relu_squared_gate(gate, up)),
    silu_gate: |gate, up| available!(silu_gate(gate, up)),
    add: |a, b| available!(add(a, b)),
};

/// Blocks of 128 whose int16 sums cannot overflow, whatever the codes: a lane takes 4 · 2 products of at
/// most 3 · 128 from a block, 3072, and 10 · 3072 = 30720.
const BLOCKS_PER_WIDENING: usize = 10;

#[inline]
#[target_feature(enable = "avx2")]
fn load_i8(bytes: &[i8; 32]) -> __m256i {
    // SAFETY: the array holds the 32 bytes that are read; the load needs no alignment.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn load_u8(bytes: &[u8; 32]) -> __m256i {
    // SAFETY: the array holds the 32 bytes that are read; the load needs no alignment.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn load_f32(values: &[f32; 8]) -> __m256 {
    // SAFETY: the array holds the eight values that are read; the load needs no alignment.
    unsafe { _mm256_loadu_ps(values.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn store_f32(values: &mut [f32; 8], v: __m256) {
    // SAFETY: the array holds the eight values that are written; the store needs no alignment.
    unsafe { _mm256_storeu_ps(values.as_mut_ptr(), v) }
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
fn widen(values: &[f16; 8]) -> __m256 {
    // SAFETY: the array holds the 16 bytes that are read; the load needs no alignment.
    _mm256_cvtph_ps(unsafe { _mm_loadu_si128(values.as_ptr().cast()) })
}

#[inline]
#[target_feature(enable = "avx2")]
fn sum_i32(v: __m256i) -> i32 {
    let four = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    let two = _mm_add_epi32(four, _mm_unpackhi_epi64(four, four));
    _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 1)))
}

/// `(h0 + h1) + (h2 + h3)` of the folded halves: the end of a 32-lane dot product.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn sum_pairs(v: __m256) -> f32 {
    let four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    let two = _mm_hadd_ps(four, four);
    _mm_cvtss_f32(_mm_hadd_ps(two, two))
}

/// `(h0 + h2) + (h1 + h3)` of the folded halves: the end of an 8-lane sum.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn sum_eight(v: __m256) -> f32 {
    let four = _mm_add_ps(_mm256_extractf128_ps(v, 1), _mm256_castps256_ps128(v));
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
}

#[target_feature(enable = "avx2,fma,f16c")]
fn ternary_dots(rows: &[u8], columns: usize, activations: &[i8], sums: &mut [i32]) {
    let (row_bytes, row_count, tokens) = scalar::ternary_shape(rows, columns, activations, sums);
    let mut token = 0;
    while token < tokens {
        let tile = if tokens - token >= 4 { 4 } else { 1 };
        let x = &activations[token * columns..(token + tile) * columns];
        for (r, row) in rows.chunks_exact(row_bytes).enumerate() {
            let out = |t: usize| (token + t) * row_count + r;
            if tile == 4 {
                let dots = ternary_tile::<4>(row, columns, x);
                for (t, dot) in dots.into_iter().enumerate() {
                    sums[out(t)] = dot;
                }
            } else {
                sums[out(0)] = ternary_tile::<1>(row, columns, x)[0];
            }
        }
        token += tile;
    }
}

/// One row times `T` activation rows; the codes are unpacked once.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn ternary_tile<const T: usize>(row: &[u8], columns: usize, activations: &[i8]) -> [i32; T] {
    let mask = _mm256_set1_epi8(3);
    let ones = _mm256_set1_epi16(1);
    let blocks = row.as_chunks::<32>().0;
    let x: [&[[i8; 128]]; T] =
        std::array::from_fn(|t| activations[t * columns..(t + 1) * columns].as_chunks::<128>().0);
    let mut wide = [_mm256_setzero_si256(); T];
    let mut block = 0;
    while block < blocks.len() {
        let end = blocks.len().min(block + BLOCKS_PER_WIDENING);
        let mut narrow = [_mm256_setzero_si256(); T];
        while block < end {
            let codes = load_u8(&blocks[block]);
            let groups = [
                _mm256_and_si256(_mm256_srli_epi16(codes, 6), mask),
                _mm256_and_si256(_mm256_srli_epi16(codes, 4), mask),
                _mm256_and_si256(_mm256_srli_epi16(codes, 2), mask),
                _mm256_and_si256(codes, mask),
            ];
            for t in 0..T {
                // One bounds check for the four groups of the block.
                let x = x[t][block].as_chunks::<32>().0;
                for (g, group) in groups.into_iter().enumerate() {
                    let products = _mm256_maddubs_epi16(group, load_i8(&x[g]));
                    narrow[t] = _mm256_add_epi16(narrow[t], products);
                }
            }
            block += 1;
        }
        for t in 0..T {
            wide[t] = _mm256_add_epi32(wide[t], _mm256_madd_epi16(narrow[t], ones));
        }
    }
    let mut sums = [0; T];
    for t in 0..T {
        sums[t] = sum_i32(wide[t]);
    }
    sums
}

#[target_feature(enable = "avx2,fma,f16c")]
fn scale_sums(sums: &[i32], sum: i32, activation_scale: f32, scale: f32, out: &mut [f32]) {
    scalar::scale_sums(sums, sum, activation_scale, scale, out);
}

#[target_feature(enable = "avx2,fma,f16c")]
fn dot_f32(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len(), "rows of one length");
    let (a_blocks, a_rest) = a.as_chunks::<LANES>();
    let (b_blocks, b_rest) = b.as_chunks::<LANES>();
    let mut acc = [_mm256_setzero_ps(); 4];
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        let (a, b) = (a.as_chunks::<8>().0, b.as_chunks::<8>().0);
        for r in 0..4 {
            acc[r] = _mm256_fmadd_ps(load_f32(&a[r]), load_f32(&b[r]), acc[r]);
        }
    }
    let sum = _mm256_add_ps(_mm256_add_ps(acc[0], acc[2]), _mm256_add_ps(acc[1], acc[3]));
    a_rest.iter().zip(b_rest).fold(sum_pairs(sum), |sum, (a, b)| sum + a * b)
}

#[target_feature(enable = "avx2,fma,f16c")]
fn dot_f16(a: &[f16], b: &[f16]) -> f32 {
    assert_eq!(a.len(), b.len(), "rows of one length");
    let (a_blocks, a_rest) = a.as_chunks::<LANES>();
    let (b_blocks, b_rest) = b.as_chunks::<LANES>();
    let mut acc = [_mm256_setzero_ps(); 4];
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        let (a, b) = (a.as_chunks::<8>().0, b.as_chunks::<8>().0);
        for r in 0..4 {
            acc[r] = _mm256_fmadd_ps(widen(&a[r]), widen(&b[r]), acc[r]);
        }
    }
    let sum = _mm256_add_ps(_mm256_add_ps(acc[0], acc[2]), _mm256_add_ps(acc[1], acc[3]));
    scalar::finish_f16(sum_pairs(sum), a_rest, b_rest)
}

#[target_feature(enable = "avx2,fma,f16c")]
fn rms_norm(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    scalar::rms_norm_in_lanes(x, weight, eps, out);
}

/// The definition's `exp` in eight lanes.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn exp(x: __m256) -> __m256 {
    let constant = |bits: u32| _mm256_set1_ps(f32::from_bits(bits));
    let round = _mm256_set1_ps(12_582_912.0);
    let z = _mm256_fmadd_ps(x, constant(0x3fb8_aa3b), round);
    let n = _mm256_sub_ps(z, round);
    let b = _mm256_fnmadd_ps(n, constant(0x3f31_7200), x);
    let b = _mm256_fnmadd_ps(n, constant(0x35bf_be8e), b);
    let exponent = _mm256_slli_epi32(_mm256_castps_si256(z), 23);
    let one = _mm256_castps_si256(_mm256_set1_ps(1.0));
    let k = _mm256_castsi256_ps(_mm256_add_epi32(exponent, one));
    let u = _mm256_mul_ps(b, b);
    let high = _mm256_fmadd_ps(constant(0x3c07_2010), b, constant(0x3d2b_9f17));
    let low = _mm256_fmadd_ps(constant(0x3e2a_af33), b, constant(0x3eff_fedb));
    let poly = _mm256_fmadd_ps(high, u, low);
    let j = _mm256_fmadd_ps(poly, u, _mm256_mul_ps(constant(0x3f7f_fff6), b));
    let usual = _mm256_fmadd_ps(j, k, k);

    let magnitude = _mm256_andnot_ps(_mm256_set1_ps(-0.0), n);
    let beyond = _mm256_cmp_ps::<_CMP_GT_OQ>(magnitude, _mm256_set1_ps(126.0));
    if _mm256_movemask_ps(beyond) == 0 {
        return usual;
    }
    let negative = _mm256_cmp_ps::<_CMP_LE_OQ>(n, _mm256_setzero_ps());
    let shift =
        _mm256_and_si256(_mm256_castps_si256(negative), _mm256_set1_epi32(0x8200_0000u32 as i32));
    let first = _mm256_castsi256_ps(_mm256_add_epi32(shift, _mm256_set1_epi32(0x7f00_0000)));
    let second = _mm256_castsi256_ps(_mm256_sub_epi32(exponent, shift));
    let far = _mm256_cmp_ps::<_CMP_GT_OQ>(magnitude, _mm256_set1_ps(192.0));
    let split = _mm256_mul_ps(_mm256_fmadd_ps(second, j, second), first);
    let outer = _mm256_blendv_ps(split, _mm256_mul_ps(first, first), far);
    _mm256_blendv_ps(usual, outer, beyond)
}

#[target_feature(enable = "avx2,fma,f16c")]
fn softmax(scores: &mut [f32], scale: f32) {
    let (groups, rest) = scores.as_chunks_mut::<8>();
    assert!(rest.is_empty(), "scores come in groups of 8");
    let factor = _mm256_set1_ps(scale);
    let mut max = _mm256_set1_ps(f32::NEG_INFINITY);
    for group in groups.iter_mut() {
        let scaled = _mm256_mul_ps(load_f32(group), factor);
        store_f32(group, scaled);
        max = _mm256_max_ps(scaled, max);
    }
    let mut lanes = [0f32; 8];
    store_f32(&mut lanes, max);
    let max = _mm256_set1_ps(lanes.into_iter().fold(f32::NEG_INFINITY, f32::max));
    let mut sum = 0f64;
    for group in groups.iter_mut() {
        let e = exp(_mm256_sub_ps(load_f32(group), max));
        store_f32(group, e);
        sum += f64::from(sum_eight(e));
    }
    let inverse = _mm256_set1_ps((1.0 / sum) as f32);
    for group in groups {
        let p = _mm256_mul_ps(load_f32(group), inverse);
        store_f32(group, p);
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn relu_squared_gate(gate: &mut [f32], up: &[f32]) {
    assert_eq!(gate.len(), up.len(), "rows of one length");
    for (g, u) in gate.iter_mut().zip(up) {
        let positive = if *g > 0.0 { *g } else { 0.0 };
        *g = positive * positive * u;
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn silu_gate(gate: &mut [f32], up: &[f32]) {
    assert_eq!(gate.len(), up.len(), "rows of one length");
    let (groups, rest) = gate.as_chunks_mut::<8>();
    let (up_groups, up_rest) = up.as_chunks::<8>();
    let one = _mm256_set1_ps(1.0);
    for (g, u) in groups.iter_mut().zip(up_groups) {
        let x = load_f32(g);
        let e = exp(_mm256_sub_ps(_mm256_setzero_ps(), x));
        let silu = _mm256_div_ps(x, _mm256_add_ps(one, e));
        store_f32(g, _mm256_mul_ps(silu, load_f32(u)));
    }
    scalar::silu_gate_rest(rest, up_rest);
}

#[target_feature(enable = "avx2,fma,f16c")]
fn add(a: &mut [f32], b: &[f32]) {
    assert_eq!(a.len(), b.len(), "rows of one length");
    for (a, b) in a.iter_mut().zip(b) {
        *a += b;
    }
}
