//! Dot products of block formats with AVX-512 and VNNI. Same bits as `scalar::blocks`; see there for
//! what is computed.
//!
//! A register holds two groups of 32, each in a half; the halves' integers are added before anything
//! is rounded. A tile multiplies one row with `T` activation rows, so that its codes are unpacked once
//! for all.

use std::arch::x86_64::*;

use half::bf16;

use super::avx2::blocks::{half_at, load_16, load_sums, minima, times_3};
use super::avx2::{self, sum_eight};
use super::{load_i8, load_u8};
use crate::kernels::macros::tiled;
use crate::kernels::scalar::blocks::finish_bf16;
use crate::quant::activation::Q8KBlock;
use crate::quant::super_blocks::Factors;
use crate::quant::{q4_k, q5_k, q6_k, tq1_0, tq2_0};

tiled! {
    "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c":
    dot_q4_k: tile_q4_k * Q8KBlock, q4_k::BLOCK_BYTES;
    dot_q5_k: tile_q5_k * Q8KBlock, q5_k::BLOCK_BYTES;
    dot_q6_k: tile_q6_k * Q8KBlock, q6_k::BLOCK_BYTES;
    dot_tq1_0: tile_tq1_0 * Q8KBlock, tq1_0::BLOCK_BYTES;
    dot_tq2_0: tile_tq2_0 * Q8KBlock, tq2_0::BLOCK_BYTES;
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn widen(values: &[bf16; 16]) -> __m512 {
    // SAFETY: the array holds the 32 bytes that are read; the load needs no alignment.
    let words = unsafe { _mm256_loadu_si256(values.as_ptr().cast()) };
    _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(words), 16))
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
pub(super) fn dot_bf16(a: &[bf16], b: &[bf16]) -> f32 {
    assert_eq!(a.len(), b.len(), "rows of one length");
    let (a_blocks, a_rest) = a.as_chunks::<32>();
    let (b_blocks, b_rest) = b.as_chunks::<32>();
    let mut acc = [_mm512_setzero_ps(); 2];
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        let (a, b) = (a.as_chunks::<16>().0, b.as_chunks::<16>().0);
        for r in 0..2 {
            acc[r] = _mm512_add_ps(acc[r], _mm512_mul_ps(widen(&a[r]), widen(&b[r])));
        }
    }
    let sum = _mm512_add_ps(acc[0], acc[1]);
    let upper = _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(sum), 1));
    finish_bf16(sum_eight(_mm256_add_ps(_mm512_castps512_ps256(sum), upper)), a_rest, b_rest)
}

/// Two groups of 32 in one register.
#[inline]
#[target_feature(enable = "avx512f")]
fn pair(low: __m256i, high: __m256i) -> __m512i {
    _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1)
}

/// Adds the halves of integer lanes.
#[inline]
#[target_feature(enable = "avx512f,avx2")]
fn fold(sums: __m512i) -> __m256i {
    _mm256_add_epi32(_mm512_castsi512_si256(sums), _mm512_extracti64x4_epi64(sums, 1))
}

/// The codes of one activation block in four registers.
#[inline]
fn quarters(x: &Q8KBlock) -> &[[i8; 64]] {
    x.codes.as_chunks::<64>().0
}

/// Adds up each accumulator's lanes.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn finish<const T: usize>(acc: [__m256; T]) -> [f32; T] {
    let mut products = [0.0; T];
    for t in 0..T {
        products[t] = sum_eight(acc[t]);
    }
    products
}

/// Multiplies the codes of a ternary block, in order, and takes back their +1. Not fused, as in the
/// reference.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
fn add_ternary<const T: usize>(
    acc: &mut [__m256; T],
    codes: &[__m512i; 4],
    scale: f32,
    x: &[&[Q8KBlock]; T],
    block: usize,
) {
    for t in 0..T {
        let x = &x[t][block];
        let mut sums = _mm512_setzero_si512();
        for (codes, x) in codes.iter().zip(quarters(x)) {
            sums = _mm512_dpbusd_epi32(sums, *codes, load_i8(x));
        }
        let above = _mm256_madd_epi16(load_sums(&x.sums), _mm256_set1_epi16(1));
        let sums = _mm256_cvtepi32_ps(_mm256_sub_epi32(fold(sums), above));
        acc[t] = _mm256_add_ps(acc[t], _mm256_mul_ps(sums, _mm256_set1_ps(x.scale * scale)));
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
fn tile_tq2_0<const T: usize>(row: &[u8], x: [&[Q8KBlock]; T]) -> [f32; T] {
    let mask = _mm512_set1_epi8(3);
    let mut acc = [_mm256_setzero_ps(); T];
    for (b, block) in row.as_chunks::<{ tq2_0::BLOCK_BYTES }>().0.iter().enumerate() {
        let codes = load_u8(&block.as_chunks::<64>().0[0]);
        // Each holds a group of the block's first half and one of its second.
        let slots = [
            _mm512_and_si512(codes, mask),
            _mm512_and_si512(_mm512_srli_epi16(codes, 2), mask),
            _mm512_and_si512(_mm512_srli_epi16(codes, 4), mask),
            _mm512_and_si512(_mm512_srli_epi16(codes, 6), mask),
        ];
        let in_order = [
            _mm512_shuffle_i64x2(slots[0], slots[1], 0b01_00_01_00),
            _mm512_shuffle_i64x2(slots[2], slots[3], 0b01_00_01_00),
            _mm512_shuffle_i64x2(slots[0], slots[1], 0b11_10_11_10),
            _mm512_shuffle_i64x2(slots[2], slots[3], 0b11_10_11_10),
        ];
        add_ternary(&mut acc, &in_order, half_at(block, tq2_0::SCALE), &x, b);
    }
    finish(acc)
}

/// The top base-3 digit of each byte, ⌊3q / 256⌋: 0 below 86, 2 from 171 on.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn digit(q: __m512i) -> __m512i {
    let one = _mm512_set1_epi8(1);
    let first = _mm512_cmpge_epu8_mask(q, _mm512_set1_epi8(86));
    let second = _mm512_cmpge_epu8_mask(q, _mm512_set1_epi8(171u8 as i8));
    let digit = _mm512_maskz_mov_epi8(first, one);
    _mm512_mask_add_epi8(digit, second, digit, one)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
fn tile_tq1_0<const T: usize>(row: &[u8], x: [&[Q8KBlock]; T]) -> [f32; T] {
    let mut acc = [_mm256_setzero_ps(); T];
    let times_3_wide = |q| _mm256_add_epi8(_mm256_add_epi8(q, q), q);
    for (b, block) in row.as_chunks::<{ tq1_0::BLOCK_BYTES }>().0.iter().enumerate() {
        let p0 = avx2::load_u8(&block.as_chunks::<32>().0[0]);
        let p1 = times_3_wide(p0);
        let p2 = times_3_wide(p1);
        let p3 = times_3_wide(p2);
        let p4 = times_3_wide(p3);
        // 16 bytes of five digits and 4 of four fill three halves more.
        let q0 = load_16(&block[32..].as_chunks::<16>().0[0]);
        let (q1, q2) = (times_3(q0), times_3(times_3(q0)));
        let (q3, q4) = (times_3(q2), times_3(times_3(q2)));
        let last = i32::from_le_bytes([block[48], block[49], block[50], block[51]]);
        let h0 = _mm_set1_epi32(last);
        let (h1, h2) = (times_3(h0), times_3(times_3(h0)));
        let low = _mm_blend_epi32(h0, h1, 0b0010);
        let high = _mm_blend_epi32(h2, times_3(h2), 0b1000);
        let h = _mm_blend_epi32(low, high, 0b1100);
        let codes = [
            digit(pair(p0, p1)),
            digit(pair(p2, p3)),
            digit(pair(p4, _mm256_set_m128i(q1, q0))),
            digit(pair(_mm256_set_m128i(q3, q2), _mm256_set_m128i(h, q4))),
        ];
        add_ternary(&mut acc, &codes, half_at(block, tq1_0::SCALE), &x, b);
    }
    finish(acc)
}

/// Adds scale · code · activation of two groups of 32 to the accumulators.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
fn add_scaled<const T: usize>(
    sums: &mut [__m512i; T],
    scales: &[u8],
    codes: __m512i,
    x: &[&[Q8KBlock]; T],
    block: usize,
    quarter: usize,
) {
    let scale = |i: usize| _mm256_set1_epi16(i16::from(scales[2 * quarter + i]));
    let scale = pair(scale(0), scale(1));
    for t in 0..T {
        let products = _mm512_maddubs_epi16(codes, load_i8(&quarters(&x[t][block])[quarter]));
        sums[t] = _mm512_dpwssd_epi32(sums[t], scale, products);
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
fn tile_q4_k<const T: usize>(row: &[u8], x: [&[Q8KBlock]; T]) -> [f32; T] {
    let nibble = _mm512_set1_epi8(15);
    let mut acc = [_mm256_setzero_ps(); T];
    let mut below = [_mm_setzero_ps(); T];
    for (b, block) in row.as_chunks::<{ q4_k::BLOCK_BYTES }>().0.iter().enumerate() {
        let factors = Factors::read(block);
        let mut sums = [_mm512_setzero_si512(); T];
        let bytes = block[q4_k::CODES..].as_chunks::<64>().0;
        for (half, bytes) in bytes.iter().enumerate() {
            let [first, second] = nibbles(load_u8(bytes), nibble);
            add_scaled(&mut sums, &factors.scales, first, &x, b, 2 * half);
            add_scaled(&mut sums, &factors.scales, second, &x, b, 2 * half + 1);
        }
        for t in 0..T {
            let x = &x[t][b];
            let part = _mm_cvtepi32_ps(minima(&factors, x));
            below[t] = _mm_fmadd_ps(_mm_set1_ps(-x.scale * factors.d_min), part, below[t]);
            let d = _mm256_set1_ps(x.scale * factors.d);
            acc[t] = _mm256_fmadd_ps(d, _mm256_cvtepi32_ps(fold(sums[t])), acc[t]);
        }
    }
    let mut products = finish(acc);
    for t in 0..T {
        let two = _mm_add_ps(below[t], _mm_movehl_ps(below[t], below[t]));
        products[t] += _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
    }
    products
}

/// The 128 half bytes of a register in the order of their values: low halves of 32 bytes, then high
/// halves, then those of the other 32.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn nibbles(bytes: __m512i, nibble: __m512i) -> [__m512i; 2] {
    let low = _mm512_and_si512(bytes, nibble);
    let high = _mm512_and_si512(_mm512_srli_epi16(bytes, 4), nibble);
    [_mm512_shuffle_i64x2(low, high, 0b01_00_01_00), _mm512_shuffle_i64x2(low, high, 0b11_10_11_10)]
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
fn tile_q5_k<const T: usize>(row: &[u8], x: [&[Q8KBlock]; T]) -> [f32; T] {
    let (nibble, one) = (_mm512_set1_epi8(15), _mm512_set1_epi8(1));
    let next = pair(_mm256_setzero_si256(), _mm256_set1_epi16(1));
    let mut acc = [_mm256_setzero_ps(); T];
    let mut below = [0f32; T];
    for (b, block) in row.as_chunks::<{ q5_k::BLOCK_BYTES }>().0.iter().enumerate() {
        let factors = Factors::read(block);
        let high = avx2::load_u8(&block[q5_k::HIGH_BITS..].as_chunks::<32>().0[0]);
        // The lowest bits belong to the two groups at hand.
        let mut fifth = _mm512_srlv_epi16(pair(high, high), next);
        let mut sums = [_mm512_setzero_si512(); T];
        let bytes = block[q5_k::CODES..].as_chunks::<64>().0;
        for (half, bytes) in bytes.iter().enumerate() {
            for (i, low) in nibbles(load_u8(bytes), nibble).into_iter().enumerate() {
                let high = _mm512_slli_epi16(_mm512_and_si512(fifth, one), 4);
                let codes = _mm512_or_si512(low, high);
                add_scaled(&mut sums, &factors.scales, codes, &x, b, 2 * half + i);
                fifth = _mm512_srli_epi16(fifth, 2);
            }
        }
        for t in 0..T {
            let x = &x[t][b];
            let part = minima(&factors, x);
            let two = _mm_add_epi32(part, _mm_unpackhi_epi64(part, part));
            let part = _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 1)));
            below[t] += -x.scale * factors.d_min * part as f32;
            let d = _mm256_set1_ps(x.scale * factors.d);
            acc[t] = _mm256_fmadd_ps(d, _mm256_cvtepi32_ps(fold(sums[t])), acc[t]);
        }
    }
    let mut products = finish(acc);
    for t in 0..T {
        products[t] += below[t];
    }
    products
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
fn tile_q6_k<const T: usize>(row: &[u8], x: [&[Q8KBlock]; T]) -> [f32; T] {
    let (nibble, two_bits) = (_mm512_set1_epi8(15), _mm512_set1_epi8(3));
    let offset = _mm512_set1_epi8(32);
    let next = pair(_mm256_setzero_si256(), _mm256_set1_epi16(2));
    // Each 16 values, that is eight 16-bit lanes, have a scale of their own.
    let eighths = |i: i16| {
        let of = |i| _mm256_set_m128i(_mm_set1_epi16(i + 1), _mm_set1_epi16(i));
        pair(of(i), of(i + 2))
    };
    let order = [eighths(0), eighths(4), eighths(8), eighths(12)];
    let mut acc = [_mm256_setzero_ps(); T];
    for (b, block) in row.as_chunks::<{ q6_k::BLOCK_BYTES }>().0.iter().enumerate() {
        let scales = load_16(&block[q6_k::SCALES..].as_chunks::<16>().0[0]);
        let scales = _mm512_castsi256_si512(_mm256_cvtepi8_epi16(scales));
        let (low, high) = (block.as_chunks::<64>().0, block[128..].as_chunks::<32>().0);
        let mut sums = [_mm512_setzero_si512(); T];
        for half in 0..2 {
            let low = load_u8(&low[half]);
            let high = avx2::load_u8(&high[half]);
            let tops = _mm512_srlv_epi16(pair(high, high), next);
            let low_halves = [low, _mm512_srli_epi16(low, 4)];
            for (i, tops) in [tops, _mm512_srli_epi16(tops, 4)].into_iter().enumerate() {
                let top = _mm512_slli_epi16(_mm512_and_si512(tops, two_bits), 4);
                let codes = _mm512_or_si512(_mm512_and_si512(low_halves[i], nibble), top);
                let quarter = 2 * half + i;
                let scale = _mm512_permutexvar_epi16(order[quarter], scales);
                for t in 0..T {
                    let x = load_i8(&quarters(&x[t][b])[quarter]);
                    let products = _mm512_sub_epi16(
                        _mm512_maddubs_epi16(codes, x),
                        _mm512_maddubs_epi16(offset, x),
                    );
                    sums[t] = _mm512_dpwssd_epi32(sums[t], scale, products);
                }
            }
        }
        let d = half_at(block, q6_k::SUPER_SCALE);
        for t in 0..T {
            let d = _mm256_set1_ps(x[t][b].scale * d);
            acc[t] = _mm256_fmadd_ps(d, _mm256_cvtepi32_ps(fold(sums[t])), acc[t]);
        }
    }
    finish(acc)
}
