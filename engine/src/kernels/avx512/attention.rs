//! The two products of attention for several queries at once. Same bits as one dot product after the other:
//! 16 sums of 16 lanes are folded side by side, in the order in which the definition folds one.

use std::arch::x86_64::*;

use half::f16;

use super::{dot_f16, dot_f32, fold, load_f32, widen};

/// Results that are folded together.
const TOGETHER: usize = 16;
/// Rows of keys that are multiplied with all queries before the next ones: 16 KiB of heads of 128 values.
const KEYS: usize = 32;
/// Rows of values of a tile.
const VALUES: usize = 4;
/// Queries of a tile.
const QUERIES: usize = 2;

/// Sums of 16 lanes, one register for each result.
type Lanes = [__m512; TOGETHER];

/// Folds each register as `fold` does: lane l + lane l+8, then l+4, then neighbours, then the rest.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
fn fold_together(lanes: &Lanes) -> __m512 {
    // Register 4 i + j is the i-th of set j, so that the results come in order.
    let sets: [__m512; 4] = std::array::from_fn(|j| {
        let pair = |a: __m512, b: __m512| {
            let low = _mm512_shuffle_f32x4::<0b01_00_01_00>(a, b);
            _mm512_add_ps(low, _mm512_shuffle_f32x4::<0b11_10_11_10>(a, b))
        };
        let (first, second) = (pair(lanes[j], lanes[4 + j]), pair(lanes[8 + j], lanes[12 + j]));
        let even = _mm512_shuffle_f32x4::<0b10_00_10_00>(first, second);
        _mm512_add_ps(even, _mm512_shuffle_f32x4::<0b11_01_11_01>(first, second))
    });
    let neighbours = |a: __m512, b: __m512| {
        let even = _mm512_shuffle_ps::<0b10_00_10_00>(a, b);
        _mm512_add_ps(even, _mm512_shuffle_ps::<0b11_01_11_01>(a, b))
    };
    neighbours(neighbours(sets[0], sets[1]), neighbours(sets[2], sets[3]))
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
pub(super) fn dots_f32(rows: &[f32], length: usize, x: &[f32], out: &mut [f32]) {
    let (count, queries) = (rows.len() / length, x.len() / length);
    assert_eq!(rows.len(), count * length, "whole rows");
    assert_eq!(x.len(), queries * length, "whole rows");
    assert_eq!(out.len(), count * queries, "one product for each pair");
    match length {
        64 => dots_f32_of::<64, 2>(rows, x, out),
        128 => dots_f32_of::<128, 4>(rows, x, out),
        _ => {
            for (x, out) in x.chunks_exact(length).zip(out.chunks_exact_mut(count)) {
                for (row, out) in rows.chunks_exact(length).zip(out) {
                    *out = dot_f32(row, x);
                }
            }
        }
    }
}

/// Rows of `N` values, `B` times 32.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
fn dots_f32_of<const N: usize, const B: usize>(rows: &[f32], x: &[f32], out: &mut [f32]) {
    let (rows, x) = (rows.as_chunks::<N>().0, x.as_chunks::<N>().0);
    let count = rows.len();
    let (whole, _) = rows.as_chunks::<TOGETHER>();
    for first in (0..count).step_by(KEYS) {
        let last = count.min(first + KEYS);
        let groups = &whole[first / TOGETHER..last / TOGETHER];
        for (query, out) in x.iter().zip(out.chunks_exact_mut(count)) {
            let query: [[__m512; 2]; B] = std::array::from_fn(|b| load_pair(query, b));
            let (out, rest) = out[first..last].as_chunks_mut::<TOGETHER>();
            for (group, out) in groups.iter().zip(out) {
                let lanes = std::array::from_fn(|i| {
                    let mut acc = [_mm512_setzero_ps(); 2];
                    for (b, query) in query.iter().enumerate() {
                        let key = load_pair(&group[i], b);
                        acc[0] = _mm512_fmadd_ps(key[0], query[0], acc[0]);
                        acc[1] = _mm512_fmadd_ps(key[1], query[1], acc[1]);
                    }
                    _mm512_add_ps(acc[0], acc[1])
                });
                store(out, fold_together(&lanes));
            }
            for (row, out) in rows[last - rest.len()..last].iter().zip(rest) {
                let mut acc = [_mm512_setzero_ps(); 2];
                for (b, query) in query.iter().enumerate() {
                    let key = load_pair(row, b);
                    acc[0] = _mm512_fmadd_ps(key[0], query[0], acc[0]);
                    acc[1] = _mm512_fmadd_ps(key[1], query[1], acc[1]);
                }
                *out = fold(acc);
            }
        }
    }
}

/// 32 values of a row.
#[inline]
#[target_feature(enable = "avx512f")]
fn load_pair<const N: usize>(row: &[f32; N], block: usize) -> [__m512; 2] {
    let parts = row.as_chunks::<16>().0;
    [load_f32(&parts[2 * block]), load_f32(&parts[2 * block + 1])]
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store(out: &mut [f32; 16], v: __m512) {
    // SAFETY: the array takes the 64 bytes; the store needs no alignment.
    unsafe { _mm512_storeu_ps(out.as_mut_ptr(), v) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
pub(super) fn dots_f16(rows: &[f16], stride: usize, length: usize, x: &[f16], out: &mut [f32]) {
    let queries = x.len() / length;
    let count = out.len().checked_div(queries).unwrap_or(0);
    assert_eq!(x.len(), queries * length, "whole rows");
    assert_eq!(out.len(), count * queries, "one product for each pair");
    assert!(count == 0 || (count - 1) * stride + length <= rows.len(), "all rows are there");
    let row = |i: usize| &rows[i * stride..][..length];
    let query = |q: usize| &x[q * length..][..length];
    let whole = if length.is_multiple_of(32) { count / TOGETHER * TOGETHER } else { 0 };
    for first in (0..whole).step_by(TOGETHER) {
        let mut q = 0;
        while q < queries {
            let together = if queries - q >= QUERIES { QUERIES } else { 1 };
            let mut lanes = [[_mm512_setzero_ps(); TOGETHER]; QUERIES];
            for tile in (0..TOGETHER).step_by(VALUES) {
                let rows = std::array::from_fn(|i| row(first + tile + i));
                match together {
                    QUERIES => {
                        let found = value_tile::<QUERIES>(rows, [query(q), query(q + 1)]);
                        lanes[0][tile..tile + VALUES].copy_from_slice(&found[0]);
                        lanes[1][tile..tile + VALUES].copy_from_slice(&found[1]);
                    }
                    _ => {
                        let found = value_tile::<1>(rows, [query(q)]);
                        lanes[0][tile..tile + VALUES].copy_from_slice(&found[0]);
                    }
                }
            }
            for (t, lanes) in lanes[..together].iter().enumerate() {
                let out = &mut out[(q + t) * count + first..];
                if let Some(out) = out.first_chunk_mut() {
                    store(out, fold_together(lanes));
                }
            }
            q += together;
        }
    }
    for i in whole..count {
        for q in 0..queries {
            out[q * count + i] = dot_f16(row(i), query(q));
        }
    }
}

/// Sums of 16 lanes of each row with each query.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
fn value_tile<const Q: usize>(rows: [&[f16]; VALUES], x: [&[f16]; Q]) -> [[__m512; VALUES]; Q] {
    let rows = rows.map(|row| row.as_chunks::<16>().0);
    let x = x.map(|x| x.as_chunks::<16>().0);
    let mut acc = [[[_mm512_setzero_ps(); 2]; VALUES]; Q];
    // All rows and queries have one length, a multiple of 32.
    for block in 0..rows[0].len() / 2 {
        let pair = |v: &[[f16; 16]]| [widen(&v[2 * block]), widen(&v[2 * block + 1])];
        let x: [[__m512; 2]; Q] = std::array::from_fn(|q| pair(x[q]));
        for (r, row) in rows.iter().enumerate() {
            let row = pair(row);
            for q in 0..Q {
                for half in 0..2 {
                    acc[q][r][half] = _mm512_fmadd_ps(row[half], x[q][half], acc[q][r][half]);
                }
            }
        }
    }
    acc.map(|acc| acc.map(|[a, b]| _mm512_add_ps(a, b)))
}
