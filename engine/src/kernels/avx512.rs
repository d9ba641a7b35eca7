//! AVX-512 (F, BW, VL, VNNI) kernels. Same bits as `scalar`; what is missing here is AVX2's.

mod attention;
mod blocks;
mod softmax;

use std::arch::x86_64::*;

use half::f16;

use super::avx2;
use super::macros::available;
use super::scalar::{self, LANES};
use super::table::{Isa, Kernels};
use crate::quant::ternary_layout::Layout;

pub(super) static KERNELS: Kernels = Kernels {
    isa: Isa::Avx512,
    ternary_layout: Layout::Blocks256,
    ternary_dots: |rows, columns, x, sums| available!(ternary_dots(rows, columns, x, sums)),
    scale_sums: |sums, sum, by, scale, out| available!(scale_sums(sums, sum, by, scale, out)),
    dot_f32: |a, b| available!(dot_f32(a, b)),
    dot_f16: |a, b| available!(dot_f16(a, b)),
    dots_f32: |rows, length, x, out| available!(attention::dots_f32(rows, length, x, out)),
    dots_f16: |rows, stride, length, x, out| {
        available!(attention::dots_f16(rows, stride, length, x, out));
    },
    dot_bf16: |a, b| available!(blocks::dot_bf16(a, b)),
    dot_q4_k: |row, x, out| available!(blocks::dot_q4_k(row, x, out)),
    dot_q5_k: |row, x, out| available!(blocks::dot_q5_k(row, x, out)),
    dot_q6_k: |row, x, out| available!(blocks::dot_q6_k(row, x, out)),
    dot_tq1_0: |row, x, out| available!(blocks::dot_tq1_0(row, x, out)),
    dot_tq2_0: |row, x, out| available!(blocks::dot_tq2_0(row, x, out)),
    softmax: |scores, scale| available!(softmax::softmax(scores, scale)),
    ..avx2::KERNELS
};

/// How far in front of its place a row is fetched. While one token is computed every weight is read once,
/// from memory, and the processor's own prefetching does not keep up.
const AHEAD: usize = 4096;

/// Begins to load what lies [`AHEAD`] bytes behind `place`, where there is anything.
#[inline]
#[target_feature(enable = "avx512f")]
fn fetch_ahead<T>(place: &T) {
    let ahead = std::ptr::from_ref(place).wrapping_byte_add(AHEAD);
    // It reads nothing and faults at no address.
    _mm_prefetch::<_MM_HINT_T0>(ahead.cast());
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_u8(bytes: &[u8; 64]) -> __m512i {
    // SAFETY: the array holds the 64 bytes that are read; the load needs no alignment.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_i8(bytes: &[i8; 64]) -> __m512i {
    // SAFETY: the array holds the 64 bytes that are read; the load needs no alignment.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_f32(values: &[f32; 16]) -> __m512 {
    // SAFETY: the array holds the 16 values that are read; the load needs no alignment.
    unsafe { _mm512_loadu_ps(values.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store_f32(values: &mut [f32; 16], v: __m512) {
    // SAFETY: the array takes the 64 bytes; the store needs no alignment.
    unsafe { _mm512_storeu_ps(values.as_mut_ptr(), v) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn widen(values: &[f16; 16]) -> __m512 {
    // SAFETY: the array holds the 32 bytes that are read; the load needs no alignment.
    _mm512_cvtph_ps(unsafe { _mm256_loadu_si256(values.as_ptr().cast()) })
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
fn ternary_dots(rows: &[u8], columns: usize, activations: &[i8], sums: &mut [i32]) {
    let (row_bytes, row_count, tokens) = scalar::ternary_shape(rows, columns, activations, sums);
    let mut token = 0;
    while token < tokens {
        let tile = match tokens - token {
            8.. => 8,
            4.. => 4,
            _ => 1,
        };
        let x = &activations[token * columns..(token + tile) * columns];
        let out = &mut sums[token * row_count..(token + tile) * row_count];
        match tile {
            8 => row_tiles::<2, 8>(rows, row_bytes, columns, x, out),
            4 => row_tiles::<2, 4>(rows, row_bytes, columns, x, out),
            _ => row_tiles::<4, 1>(rows, row_bytes, columns, x, out),
        }
        token += tile;
    }
}

/// All rows in tiles of `R` times `T` activation rows; rows beyond the last whole tile one by one.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
fn row_tiles<const R: usize, const T: usize>(
    rows: &[u8],
    row_bytes: usize,
    columns: usize,
    activations: &[i8],
    sums: &mut [i32],
) {
    let row_count = rows.len() / row_bytes;
    let whole = row_count / R * R;
    for first in (0..whole).step_by(R) {
        let tile = &rows[first * row_bytes..(first + R) * row_bytes];
        for (r, dots) in ternary_tile::<R, T>(tile, columns, activations).iter().enumerate() {
            for (t, dot) in dots.iter().enumerate() {
                sums[t * row_count + first + r] = *dot;
            }
        }
    }
    for r in whole..row_count {
        let row = &rows[r * row_bytes..(r + 1) * row_bytes];
        for (t, dot) in ternary_tile::<1, T>(row, columns, activations)[0].iter().enumerate() {
            sums[t * row_count + r] = *dot;
        }
    }
}

/// `R` rows times `T` activation rows: the codes of a block are unpacked once for all tokens, the
/// activations loaded once for all rows.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
fn ternary_tile<const R: usize, const T: usize>(
    rows: &[u8],
    columns: usize,
    activations: &[i8],
) -> [[i32; T]; R] {
    let mask = _mm512_set1_epi8(3);
    let row_bytes = columns / 4;
    let rows: [&[u8]; R] = std::array::from_fn(|r| &rows[r * row_bytes..(r + 1) * row_bytes]);
    let blocks: [&[[u8; 64]]; R] = std::array::from_fn(|r| rows[r].as_chunks::<64>().0);
    let x: [&[i8]; T] = std::array::from_fn(|t| &activations[t * columns..(t + 1) * columns]);
    let x_blocks: [&[[i8; 256]]; T] = std::array::from_fn(|t| x[t].as_chunks::<256>().0);
    let mut acc = [[_mm512_setzero_si512(); T]; R];
    for block in 0..columns / 256 {
        let mut groups = [[_mm512_setzero_si512(); 4]; R];
        for r in 0..R {
            if T == 1 {
                fetch_ahead(&blocks[r][block]);
            }
            let codes = load_u8(&blocks[r][block]);
            groups[r] = [
                _mm512_and_si512(_mm512_srli_epi16(codes, 6), mask),
                _mm512_and_si512(_mm512_srli_epi16(codes, 4), mask),
                _mm512_and_si512(_mm512_srli_epi16(codes, 2), mask),
                _mm512_and_si512(codes, mask),
            ];
        }
        for t in 0..T {
            // Four groups of 64, as the codes are laid out; one bounds check for all of them.
            let x = x_blocks[t][block].as_chunks::<64>().0;
            for g in 0..4 {
                let v = load_i8(&x[g]);
                for r in 0..R {
                    acc[r][t] = _mm512_dpbusd_epi32(acc[r][t], groups[r][g], v);
                }
            }
        }
    }
    let tail = columns / 256 * 256;
    let mut sums = [[0; T]; R];
    for r in 0..R {
        for t in 0..T {
            sums[r][t] = _mm512_reduce_add_epi32(acc[r][t])
                + scalar::ternary_dot(&rows[r][tail / 4..], &x[t][tail..]);
        }
    }
    sums
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
fn scale_sums(sums: &[i32], sum: i32, activation_scale: f32, scale: f32, out: &mut [f32]) {
    // Beyond these a step below could over- or underflow; no ordinary row has such a scale.
    if !(1e-15..1e15).contains(&activation_scale) {
        return scalar::scale_sums(sums, sum, activation_scale, scale, out);
    }
    assert_eq!(sums.len(), out.len(), "one output for each sum");
    let inverse = _mm512_set1_ps(1.0 / activation_scale);
    let (by, factor) = (_mm512_set1_ps(activation_scale), _mm512_set1_ps(scale));
    let offset = _mm512_set1_epi32(sum);
    let (groups, rest) = sums.as_chunks::<16>();
    let (out_groups, out_rest) = out.as_chunks_mut::<16>();
    let behind = size_of_val(out_groups);
    for (sums, out) in groups.iter().zip(out_groups) {
        // The outputs behind these are written next, and a prompt's fill more than the second-level cache.
        // It reads nothing and faults at no address.
        _mm_prefetch::<_MM_HINT_T1>(out.as_ptr().wrapping_byte_add(behind).cast());
        // SAFETY: the array holds the 64 bytes that are read.
        let sums = unsafe { _mm512_loadu_si512(sums.as_ptr().cast()) };
        let x = _mm512_cvtepi32_ps(_mm512_sub_epi32(sums, offset));
        // The quotient, without a division: the first step leaves less than a last place, and from there
        // the second one rounds correctly (Markstein, IA-64 and Elementary Functions, theorem 8.5).
        let quotient = _mm512_mul_ps(x, inverse);
        let quotient = _mm512_fmadd_ps(_mm512_fnmadd_ps(quotient, by, x), inverse, quotient);
        let quotient = _mm512_fmadd_ps(_mm512_fnmadd_ps(quotient, by, x), inverse, quotient);
        store_f32(out, _mm512_mul_ps(quotient, factor));
    }
    scalar::scale_sums(rest, sum, activation_scale, scale, out_rest);
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
fn dot_f32(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len(), "rows of one length");
    let (a_blocks, a_rest) = a.as_chunks::<LANES>();
    let (b_blocks, b_rest) = b.as_chunks::<LANES>();
    let mut acc = [_mm512_setzero_ps(); 2];
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        let (a, b) = (a.as_chunks::<16>().0, b.as_chunks::<16>().0);
        acc[0] = _mm512_fmadd_ps(load_f32(&a[0]), load_f32(&b[0]), acc[0]);
        acc[1] = _mm512_fmadd_ps(load_f32(&a[1]), load_f32(&b[1]), acc[1]);
    }
    a_rest.iter().zip(b_rest).fold(fold(acc), |sum, (a, b)| sum + a * b)
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
fn dot_f16(a: &[f16], b: &[f16]) -> f32 {
    assert_eq!(a.len(), b.len(), "rows of one length");
    let (a_blocks, a_rest) = a.as_chunks::<LANES>();
    let (b_blocks, b_rest) = b.as_chunks::<LANES>();
    let mut acc = [_mm512_setzero_ps(); 2];
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        fetch_ahead(a);
        let (a, b) = (a.as_chunks::<16>().0, b.as_chunks::<16>().0);
        acc[0] = _mm512_fmadd_ps(widen(&a[0]), widen(&b[0]), acc[0]);
        acc[1] = _mm512_fmadd_ps(widen(&a[1]), widen(&b[1]), acc[1]);
    }
    scalar::finish_f16(fold(acc), a_rest, b_rest)
}

/// 32 lanes in two registers, added in the definition's order: lane l + lane l+16, then l+8, …
#[inline]
#[target_feature(enable = "avx512f,avx512vl,avx2")]
fn fold(acc: [__m512; 2]) -> f32 {
    let sum = _mm512_add_ps(acc[0], acc[1]);
    let upper = _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(sum), 1));
    avx2::sum_pairs(_mm256_add_ps(_mm512_castps512_ps256(sum), upper))
}
