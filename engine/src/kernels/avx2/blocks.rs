//! Dot products of block formats with AVX2 and FMA. Same bits as `scalar::blocks`; see there for
//! what is computed.
//!
//! A tile multiplies one row with `T` activation rows, so that its codes are unpacked once for all.

use std::arch::x86_64::*;

use half::bf16;

use super::{load_i8, load_u8, sum_eight};
use crate::kernels::macros::tiled;
use crate::kernels::scalar::blocks::finish_bf16;
use crate::quant::activation::{Q8KBlock, Q80Block};
use crate::quant::super_blocks::Factors;
use crate::quant::{q4_0, q4_k, q5_k, q6_k, q8_0, tq1_0, tq2_0};

tiled! {
    "avx2,fma,f16c":
    dot_q4_0: tile_q4_0 * Q80Block, q4_0::BLOCK_BYTES;
    dot_q8_0: tile_q8_0 * Q80Block, q8_0::BLOCK_BYTES;
    dot_q4_k: tile_q4_k * Q8KBlock, q4_k::BLOCK_BYTES;
    dot_q5_k: tile_q5_k * Q8KBlock, q5_k::BLOCK_BYTES;
    dot_q6_k: tile_q6_k * Q8KBlock, q6_k::BLOCK_BYTES;
    dot_tq1_0: tile_tq1_0 * Q8KBlock, tq1_0::BLOCK_BYTES;
    dot_tq2_0: tile_tq2_0 * Q8KBlock, tq2_0::BLOCK_BYTES;
}

/// The f16 at an offset of a block.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(in crate::kernels) fn half_at(block: &[u8], offset: usize) -> f32 {
    let bits = i32::from(u16::from_le_bytes([block[offset], block[offset + 1]]));
    _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(bits)))
}

#[inline]
#[target_feature(enable = "avx2")]
pub(in crate::kernels) fn load_16(bytes: &[u8; 16]) -> __m128i {
    // SAFETY: the array holds the 16 bytes that are read; the load needs no alignment.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(in crate::kernels) fn load_sums(sums: &[i16; 16]) -> __m256i {
    // SAFETY: the array holds the 32 bytes that are read; the load needs no alignment.
    unsafe { _mm256_loadu_si256(sums.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn widen(values: &[bf16; 8]) -> __m256 {
    // SAFETY: the array holds the 16 bytes that are read; the load needs no alignment.
    let words = unsafe { _mm_loadu_si128(values.as_ptr().cast()) };
    _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(words), 16))
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn dot_bf16(a: &[bf16], b: &[bf16]) -> f32 {
    assert_eq!(a.len(), b.len(), "rows of one length");
    let (a_blocks, a_rest) = a.as_chunks::<32>();
    let (b_blocks, b_rest) = b.as_chunks::<32>();
    let mut acc = [_mm256_setzero_ps(); 4];
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        let (a, b) = (a.as_chunks::<8>().0, b.as_chunks::<8>().0);
        for r in 0..4 {
            acc[r] = _mm256_add_ps(acc[r], _mm256_mul_ps(widen(&a[r]), widen(&b[r])));
        }
    }
    let sum = _mm256_add_ps(_mm256_add_ps(acc[0], acc[2]), _mm256_add_ps(acc[1], acc[3]));
    finish_bf16(sum_eight(sum), a_rest, b_rest)
}

/// Adds 32 signed codes times `T` blocks of activations to the accumulators.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn add_32<const T: usize>(
    acc: &mut [__m256; T],
    codes: __m256i,
    scale: f32,
    x: [&[Q80Block]; T],
    block: usize,
) {
    // The instruction wants one unsigned factor: the sign goes over to the activations, none of
    // which is −128.
    let magnitudes = _mm256_abs_epi8(codes);
    for t in 0..T {
        let x = &x[t][block];
        let signed = _mm256_sign_epi8(load_i8(&x.codes), codes);
        let products = _mm256_maddubs_epi16(magnitudes, signed);
        let sums = _mm256_madd_epi16(products, _mm256_set1_epi16(1));
        acc[t] = _mm256_fmadd_ps(_mm256_set1_ps(scale * x.scale), _mm256_cvtepi32_ps(sums), acc[t]);
    }
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

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn tile_q8_0<const T: usize>(row: &[u8], x: [&[Q80Block]; T]) -> [f32; T] {
    let mut acc = [_mm256_setzero_ps(); T];
    for (b, block) in row.as_chunks::<{ q8_0::BLOCK_BYTES }>().0.iter().enumerate() {
        let codes = load_u8(&block[q8_0::CODES..].as_chunks::<32>().0[0]);
        add_32(&mut acc, codes, half_at(block, 0), x, b);
    }
    finish(acc)
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn tile_q4_0<const T: usize>(row: &[u8], x: [&[Q80Block]; T]) -> [f32; T] {
    let (nibble, centre) = (_mm256_set1_epi8(15), _mm256_set1_epi8(8));
    let mut acc = [_mm256_setzero_ps(); T];
    for (b, block) in row.as_chunks::<{ q4_0::BLOCK_BYTES }>().0.iter().enumerate() {
        let bytes = load_16(&block[q4_0::CODES..].as_chunks::<16>().0[0]);
        let both = _mm256_set_m128i(_mm_srli_epi16(bytes, 4), bytes);
        let codes = _mm256_sub_epi8(_mm256_and_si256(both, nibble), centre);
        add_32(&mut acc, codes, half_at(block, 0), x, b);
    }
    finish(acc)
}

/// Adds the products of 32 unsigned codes, in pairs, to the accumulators.
#[inline]
#[target_feature(enable = "avx2")]
fn add_pairs<const T: usize>(
    pairs: &mut [__m256i; T],
    codes: __m256i,
    x: &[&[[i8; 32]]; T],
    group: usize,
) {
    for t in 0..T {
        let products = _mm256_maddubs_epi16(codes, load_i8(&x[t][group]));
        pairs[t] = _mm256_add_epi16(pairs[t], products);
    }
}

/// The codes of one activation block of each row, in groups of 32.
#[inline]
fn groups<'a, const T: usize>(x: &[&'a [Q8KBlock]; T], block: usize) -> [&'a [[i8; 32]]; T] {
    std::array::from_fn(|t| x[t][block].codes.as_chunks::<32>().0)
}

/// Ends a ternary block: takes back the +1 of the codes, then scales. Not fused, as in the reference.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn add_ternary<const T: usize>(
    acc: &mut [__m256; T],
    pairs: [__m256i; T],
    scale: f32,
    x: &[&[Q8KBlock]; T],
    block: usize,
) {
    for t in 0..T {
        let x = &x[t][block];
        let centred = _mm256_sub_epi16(pairs[t], load_sums(&x.sums));
        let sums = _mm256_cvtepi32_ps(_mm256_madd_epi16(centred, _mm256_set1_epi16(1)));
        acc[t] = _mm256_add_ps(acc[t], _mm256_mul_ps(sums, _mm256_set1_ps(x.scale * scale)));
    }
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn tile_tq2_0<const T: usize>(row: &[u8], x: [&[Q8KBlock]; T]) -> [f32; T] {
    let mask = _mm256_set1_epi8(3);
    let mut acc = [_mm256_setzero_ps(); T];
    for (b, block) in row.as_chunks::<{ tq2_0::BLOCK_BYTES }>().0.iter().enumerate() {
        let groups = groups(&x, b);
        // A 16-bit lane takes 16 products of at most 3 · 128.
        let mut pairs = [_mm256_setzero_si256(); T];
        for (half, bytes) in block.as_chunks::<32>().0.iter().enumerate() {
            let codes = load_u8(bytes);
            let shifted = [
                codes,
                _mm256_srli_epi16(codes, 2),
                _mm256_srli_epi16(codes, 4),
                _mm256_srli_epi16(codes, 6),
            ];
            for (l, shifted) in shifted.into_iter().enumerate() {
                let codes = _mm256_and_si256(shifted, mask);
                add_pairs(&mut pairs, codes, &groups, 4 * half + l);
            }
        }
        add_ternary(&mut acc, pairs, half_at(block, tq2_0::SCALE), &x, b);
    }
    finish(acc)
}

/// The top base-3 digit of each byte, ⌊3q / 256⌋: 0 below 86, 2 from 171 on.
#[inline]
#[target_feature(enable = "avx2")]
fn digit(q: __m256i) -> __m256i {
    let from = |limit: i8| _mm256_cmpeq_epi8(_mm256_max_epu8(q, _mm256_set1_epi8(limit)), q);
    let minus = _mm256_add_epi8(from(86), from(171u8 as i8));
    _mm256_sub_epi8(_mm256_setzero_si256(), minus)
}

/// Moves the next digit of 16 bytes to the top.
#[inline]
#[target_feature(enable = "avx2")]
pub(in crate::kernels) fn times_3(q: __m128i) -> __m128i {
    _mm_add_epi8(_mm_add_epi8(q, q), q)
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn tile_tq1_0<const T: usize>(row: &[u8], x: [&[Q8KBlock]; T]) -> [f32; T] {
    let mut acc = [_mm256_setzero_ps(); T];
    for (b, block) in row.as_chunks::<{ tq1_0::BLOCK_BYTES }>().0.iter().enumerate() {
        let groups = groups(&x, b);
        let mut pairs = [_mm256_setzero_si256(); T];
        let mut q = load_u8(&block.as_chunks::<32>().0[0]);
        for group in 0..5 {
            add_pairs(&mut pairs, digit(q), &groups, group);
            q = _mm256_add_epi8(_mm256_add_epi8(q, q), q);
        }
        // 16 bytes of five digits and 4 of four fill three registers more.
        let q0 = load_16(&block[32..].as_chunks::<16>().0[0]);
        let (q1, q2) = (times_3(q0), times_3(times_3(q0)));
        let (q3, q4) = (times_3(q2), times_3(times_3(q2)));
        let last = i32::from_le_bytes([block[48], block[49], block[50], block[51]]);
        let h0 = _mm_set1_epi32(last);
        let (h1, h2) = (times_3(h0), times_3(times_3(h0)));
        let low = _mm_blend_epi32(h0, h1, 0b0010);
        let high = _mm_blend_epi32(h2, times_3(h2), 0b1000);
        let h = _mm_blend_epi32(low, high, 0b1100);
        for (i, (low, high)) in [(q0, q1), (q2, q3), (q4, h)].into_iter().enumerate() {
            add_pairs(&mut pairs, digit(_mm256_set_m128i(high, low)), &groups, 5 + i);
        }
        add_ternary(&mut acc, pairs, half_at(block, tq1_0::SCALE), &x, b);
    }
    finish(acc)
}

/// Minimum times sum of activations, two groups of 32 in a lane.
#[inline]
#[target_feature(enable = "avx2")]
pub(in crate::kernels) fn minima(factors: &Factors, x: &Q8KBlock) -> __m128i {
    let sums = load_sums(&x.sums);
    let groups = _mm_hadd_epi16(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
    let minima = _mm_cvtsi64_si128(i64::from_le_bytes(factors.minima));
    _mm_madd_epi16(_mm_cvtepu8_epi16(minima), groups)
}

/// Adds scale · code · activation of one group of 32 to the accumulators.
#[inline]
#[target_feature(enable = "avx2")]
fn add_scaled<const T: usize>(
    sums: &mut [__m256i; T],
    scale: u8,
    codes: __m256i,
    x: &[&[[i8; 32]]; T],
    group: usize,
) {
    let scale = _mm256_set1_epi16(i16::from(scale));
    for t in 0..T {
        let products = _mm256_maddubs_epi16(codes, load_i8(&x[t][group]));
        sums[t] = _mm256_add_epi32(sums[t], _mm256_madd_epi16(scale, products));
    }
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn tile_q4_k<const T: usize>(row: &[u8], x: [&[Q8KBlock]; T]) -> [f32; T] {
    let nibble = _mm256_set1_epi8(15);
    let mut acc = [_mm256_setzero_ps(); T];
    let mut below = [_mm_setzero_ps(); T];
    for (b, block) in row.as_chunks::<{ q4_k::BLOCK_BYTES }>().0.iter().enumerate() {
        let (factors, groups) = (Factors::read(block), groups(&x, b));
        let bytes = block[q4_k::CODES..].as_chunks::<32>().0;
        let mut sums = [_mm256_setzero_si256(); T];
        for (pair, bytes) in bytes.iter().enumerate() {
            let bytes = load_u8(bytes);
            let low = _mm256_and_si256(bytes, nibble);
            let high = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), nibble);
            add_scaled(&mut sums, factors.scales[2 * pair], low, &groups, 2 * pair);
            add_scaled(&mut sums, factors.scales[2 * pair + 1], high, &groups, 2 * pair + 1);
        }
        for t in 0..T {
            let x = &x[t][b];
            let part = _mm_cvtepi32_ps(minima(&factors, x));
            below[t] = _mm_fmadd_ps(_mm_set1_ps(-x.scale * factors.d_min), part, below[t]);
            let d = _mm256_set1_ps(x.scale * factors.d);
            acc[t] = _mm256_fmadd_ps(d, _mm256_cvtepi32_ps(sums[t]), acc[t]);
        }
    }
    let mut products = finish(acc);
    for t in 0..T {
        let two = _mm_add_ps(below[t], _mm_movehl_ps(below[t], below[t]));
        products[t] += _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
    }
    products
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn tile_q5_k<const T: usize>(row: &[u8], x: [&[Q8KBlock]; T]) -> [f32; T] {
    let (nibble, one) = (_mm256_set1_epi8(15), _mm256_set1_epi8(1));
    let mut acc = [_mm256_setzero_ps(); T];
    let mut below = [0f32; T];
    for (b, block) in row.as_chunks::<{ q5_k::BLOCK_BYTES }>().0.iter().enumerate() {
        let (factors, groups) = (Factors::read(block), groups(&x, b));
        let bytes = block[q5_k::CODES..].as_chunks::<32>().0;
        // Its lowest bit belongs to the group at hand.
        let mut fifth = load_u8(&block[q5_k::HIGH_BITS..].as_chunks::<32>().0[0]);
        let mut sums = [_mm256_setzero_si256(); T];
        for (pair, bytes) in bytes.iter().enumerate() {
            let bytes = load_u8(bytes);
            for (i, low) in [bytes, _mm256_srli_epi16(bytes, 4)].into_iter().enumerate() {
                let high = _mm256_slli_epi16(_mm256_and_si256(fifth, one), 4);
                let codes = _mm256_or_si256(_mm256_and_si256(low, nibble), high);
                let group = 2 * pair + i;
                add_scaled(&mut sums, factors.scales[group], codes, &groups, group);
                fifth = _mm256_srli_epi16(fifth, 1);
            }
        }
        for t in 0..T {
            let x = &x[t][b];
            let part = minima(&factors, x);
            let two = _mm_add_epi32(part, _mm_unpackhi_epi64(part, part));
            let part = _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 1)));
            below[t] += -x.scale * factors.d_min * part as f32;
            let d = _mm256_set1_ps(x.scale * factors.d);
            acc[t] = _mm256_fmadd_ps(d, _mm256_cvtepi32_ps(sums[t]), acc[t]);
        }
    }
    let mut products = finish(acc);
    for t in 0..T {
        products[t] += below[t];
    }
    products
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn tile_q6_k<const T: usize>(row: &[u8], x: [&[Q8KBlock]; T]) -> [f32; T] {
    let (nibble, pair, offset) = (_mm256_set1_epi8(15), _mm256_set1_epi8(3), _mm256_set1_epi8(32));
    let mut acc = [_mm256_setzero_ps(); T];
    for (b, block) in row.as_chunks::<{ q6_k::BLOCK_BYTES }>().0.iter().enumerate() {
        let low = block[..128].as_chunks::<32>().0;
        let high = block[128..q6_k::SCALES].as_chunks::<32>().0;
        let scales = &block[q6_k::SCALES..q6_k::SUPER_SCALE];
        let groups = groups(&x, b);
        let mut sums = [_mm256_setzero_si256(); T];
        for half in 0..2 {
            let (low0, low1) = (load_u8(&low[2 * half]), load_u8(&low[2 * half + 1]));
            let high = load_u8(&high[half]);
            let nibbles = [
                _mm256_and_si256(low0, nibble),
                _mm256_and_si256(low1, nibble),
                _mm256_and_si256(_mm256_srli_epi16(low0, 4), nibble),
                _mm256_and_si256(_mm256_srli_epi16(low1, 4), nibble),
            ];
            let tops = [
                high,
                _mm256_srli_epi16(high, 2),
                _mm256_srli_epi16(high, 4),
                _mm256_srli_epi16(high, 6),
            ];
            for g in 0..4 {
                let top = _mm256_slli_epi16(_mm256_and_si256(tops[g], pair), 4);
                let codes = _mm256_or_si256(nibbles[g], top);
                let scale = |i: usize| i16::from(scales[8 * half + 2 * g + i] as i8);
                let scale = _mm256_set_m128i(_mm_set1_epi16(scale(1)), _mm_set1_epi16(scale(0)));
                for t in 0..T {
                    let x = load_i8(&groups[t][4 * half + g]);
                    let products = _mm256_sub_epi16(
                        _mm256_maddubs_epi16(codes, x),
                        _mm256_maddubs_epi16(offset, x),
                    );
                    sums[t] = _mm256_add_epi32(sums[t], _mm256_madd_epi16(scale, products));
                }
            }
        }
        let d = half_at(block, q6_k::SUPER_SCALE);
        for t in 0..T {
            let d = _mm256_set1_ps(x[t][b].scale * d);
            acc[t] = _mm256_fmadd_ps(d, _mm256_cvtepi32_ps(sums[t]), acc[t]);
        }
    }
    finish(acc)
}
