//! The two products of attention for several queries at once. Same bits as one dot product after the other:
//! 16 sums of 16 lanes are folded side by side, in the order in which the definition folds one.

use std::arch::x86_64::*;
use std::ops::Range;

use half::f16;

use super::{dot_f16, dot_f32, fold, load_f32, store_f32, widen};

/// Results that are folded together.
const TOGETHER: usize = 16;
/// Rows of keys that are multiplied with all queries before the next ones: 16 KiB of heads of 128 values.
const KEYS: usize = 32;
/// Queries of a tile, at most.
const QUERIES: usize = 4;
/// Values of a row that meet the queries before the next row's do: what the queries have there is widened once
/// for all rows.
const SEGMENT: usize = 512;
/// How many bytes in front of its place a row is fetched into the second-level cache, and into the first, counted
/// over all rows that are read in turn.
const FAR: usize = 16 << 10;
const NEAR: usize = 4 << 10;

/// Sums of 16 lanes, one register for each result.
type Lanes = [__m512; TOGETHER];

/// Lower halves of two registers plus their upper halves.
#[inline]
#[target_feature(enable = "avx512f")]
fn add_halves(a: __m512, b: __m512) -> __m512 {
    let low = _mm512_shuffle_f32x4::<0b01_00_01_00>(a, b);
    _mm512_add_ps(low, _mm512_shuffle_f32x4::<0b11_10_11_10>(a, b))
}

/// Quarters 0 and 2 of two registers plus quarters 1 and 3.
#[inline]
#[target_feature(enable = "avx512f")]
fn add_quarters(a: __m512, b: __m512) -> __m512 {
    let even = _mm512_shuffle_f32x4::<0b10_00_10_00>(a, b);
    _mm512_add_ps(even, _mm512_shuffle_f32x4::<0b11_01_11_01>(a, b))
}

/// Even lanes of two registers plus their odd lanes, in each quarter.
#[inline]
#[target_feature(enable = "avx512f")]
fn add_neighbours(a: __m512, b: __m512) -> __m512 {
    let even = _mm512_shuffle_ps::<0b10_00_10_00>(a, b);
    _mm512_add_ps(even, _mm512_shuffle_ps::<0b11_01_11_01>(a, b))
}

/// Folds each register as `fold` does: lane l + lane l+8, then l+4, then neighbours, then the rest.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
fn fold_together(lanes: &Lanes) -> __m512 {
    let mut halves = [_mm512_setzero_ps(); TOGETHER / 2];
    for (i, halves) in halves.iter_mut().enumerate() {
        let first = i / 4 * 8 + i % 4;
        *halves = add_halves(lanes[first], lanes[first + 4]);
    }
    fold_halves(&halves)
}

/// The rest of it: register `4 i + j` has the halves of results `8 i + j` and `8 i + j + 4`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
fn fold_halves(halves: &[__m512; TOGETHER / 2]) -> __m512 {
    let mut sets = [_mm512_setzero_ps(); 4];
    for (j, set) in sets.iter_mut().enumerate() {
        *set = add_quarters(halves[j], halves[4 + j]);
    }
    let [a, b, c, d] = sets;
    add_neighbours(add_neighbours(a, b), add_neighbours(c, d))
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
        for (x, out) in x.iter().zip(out.chunks_exact_mut(count)) {
            let mut query = [[_mm512_setzero_ps(); 2]; B];
            for (b, query) in query.iter_mut().enumerate() {
                *query = load_pair(x, b);
            }
            let (out, rest) = out[first..last].as_chunks_mut::<TOGETHER>();
            for (group, out) in groups.iter().zip(out) {
                let mut lanes = [_mm512_setzero_ps(); TOGETHER];
                for (row, lanes) in group.iter().zip(&mut lanes) {
                    let [even, odd] = multiply_row(row, &query);
                    *lanes = _mm512_add_ps(even, odd);
                }
                store_f32(out, fold_together(&lanes));
            }
            for (row, out) in rows[last - rest.len()..last].iter().zip(rest) {
                *out = fold(multiply_row(row, &query));
            }
        }
    }
}

/// The 32 lanes of one product.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
fn multiply_row<const N: usize, const B: usize>(
    row: &[f32; N],
    query: &[[__m512; 2]; B],
) -> [__m512; 2] {
    let mut acc = [_mm512_setzero_ps(); 2];
    for (b, query) in query.iter().enumerate() {
        let key = load_pair(row, b);
        acc[0] = _mm512_fmadd_ps(key[0], query[0], acc[0]);
        acc[1] = _mm512_fmadd_ps(key[1], query[1], acc[1]);
    }
    acc
}

/// 32 values of a row.
#[inline]
#[target_feature(enable = "avx512f")]
fn load_pair<const N: usize>(row: &[f32; N], block: usize) -> [__m512; 2] {
    let parts = row.as_chunks::<16>().0;
    [load_f32(&parts[2 * block]), load_f32(&parts[2 * block + 1])]
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
pub(super) fn dots_f16(rows: &[f16], stride: usize, length: usize, x: &[f16], out: &mut [f32]) {
    let queries = x.len() / length;
    let count = out.len().checked_div(queries).unwrap_or(0);
    assert_eq!(x.len(), queries * length, "whole rows");
    assert_eq!(out.len(), count * queries, "one product for each pair");
    assert!(count == 0 || (count - 1) * stride + length <= rows.len(), "all rows are there");
    let whole = if length.is_multiple_of(32) { count / TOGETHER * TOGETHER } else { 0 };
    // Short rows meet all queries while they are in the first-level cache.
    let block = match length <= SEGMENT {
        true if queries <= QUERIES => whole.max(1),
        true => KEYS,
        false => TOGETHER,
    };
    let mut wide = [[[_mm512_setzero_ps(); QUERIES]; 2]; SEGMENT / 32];
    for first in (0..whole).step_by(block) {
        let size = block.min(whole - first);
        let rows = Rows { values: &rows[first * stride..], stride, length };
        for q in (0..queries).step_by(QUERIES) {
            let (x, out) = (&x[q * length..], &mut out[q * count + first..]);
            match queries - q {
                1 => row_block::<1, 4>(rows, size, x, &mut wide, out, count),
                2 => row_block::<2, 4>(rows, size, x, &mut wide, out, count),
                3 => row_block::<3, 2>(rows, size, x, &mut wide, out, count),
                _ => row_block::<4, 2>(rows, size, x, &mut wide, out, count),
            }
        }
    }
    for i in whole..count {
        for q in 0..queries {
            let (row, query) = (&rows[i * stride..][..length], &x[q * length..][..length]);
            out[q * count + i] = dot_f16(row, query);
        }
    }
}

/// Sums of 16 lanes of `R` rows with each of `Q` queries, for the two halves of blocks of 32 values.
type Sums<const Q: usize, const R: usize> = [[[__m512; Q]; R]; 2];
/// A block of each of the queries, widened.
type Wide = [[__m512; QUERIES]; 2];

/// Rows of `length` values, `stride` apart.
#[derive(Clone, Copy)]
struct Rows<'a> {
    values: &'a [f16],
    stride: usize,
    length: usize,
}

impl<'a> Rows<'a> {
    /// What the rows of a tile of the group that begins at row `group` have in the range. They lie 4 apart, so that
    /// what is added first when they are folded is in one tile.
    #[inline(always)]
    fn tile<const R: usize>(
        self,
        group: usize,
        tile: usize,
        range: Range<usize>,
    ) -> [&'a [[f16; 32]]; R] {
        let mut rows: [&[[f16; 32]]; R] = [&[]; R];
        for (i, row) in rows.iter_mut().enumerate() {
            let index = group + tile / 4 * 4 * R + tile % 4 + 4 * i;
            *row = self.values[index * self.stride..][range.clone()].as_chunks().0;
        }
        rows
    }
}

/// Products of `size` rows, whole groups of [`TOGETHER`], with each of `Q` queries, `R` rows at a time; their length is a
/// multiple of 32. A query's products are written side by side, those of the next one `count` behind.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
fn row_block<const Q: usize, const R: usize>(
    rows: Rows<'_>,
    size: usize,
    x: &[f16],
    wide: &mut [Wide],
    out: &mut [f32],
    count: usize,
) {
    let Rows { stride, length, .. } = rows;
    let zero = [[[_mm512_setzero_ps(); Q]; R]; 2];
    let mut halves = [[_mm512_setzero_ps(); TOGETHER / 2]; Q];
    if length <= SEGMENT {
        let wide = widen_segment::<Q>(x, length, 0..length, wide);
        let group = TOGETHER * length * size_of::<f16>();
        let ahead = [NEAR, FAR].map(|bytes| (bytes / group).max(1) * TOGETHER * stride);
        for group in (0..size).step_by(TOGETHER) {
            for tile in 0..TOGETHER / R {
                let tile_rows = rows.tile::<R>(group, tile, 0..length);
                let sums = multiply_tile(tile_rows, wide, zero, ahead);
                add_tile(&sums, tile, &mut halves);
            }
            store_folded(&halves, &mut out[group..], count);
        }
    } else {
        let mut sums = [zero; TOGETHER];
        let sums = &mut sums[..TOGETHER / R];
        for start in (0..length).step_by(SEGMENT) {
            let end = length.min(start + SEGMENT);
            let wide = widen_segment::<Q>(x, length, start..end, wide);
            // What comes next: the same rows' next values, or the next rows' first ones.
            let behind_row = (TOGETHER * stride).saturating_sub(length.next_multiple_of(SEGMENT));
            let ahead = [NEAR, FAR].map(|bytes| {
                let values = bytes / (TOGETHER * size_of::<f16>());
                if start + values < length { values } else { behind_row + values }
            });
            for (tile, sums) in sums.iter_mut().enumerate() {
                let tile_rows = rows.tile::<R>(0, tile, start..end);
                *sums = multiply_tile(tile_rows, wide, *sums, ahead);
            }
        }
        for (tile, sums) in sums.iter().enumerate() {
            add_tile(sums, tile, &mut halves);
        }
        store_folded(&halves, out, count);
    }
}

/// What each query has in the range.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
fn widen_segment<'a, const Q: usize>(
    x: &[f16],
    length: usize,
    range: Range<usize>,
    wide: &'a mut [Wide],
) -> &'a [Wide] {
    let blocks = range.len() / 32;
    for q in 0..Q {
        let x = &x[q * length..][range.clone()];
        for (wide, x) in wide[..blocks].iter_mut().zip(x.as_chunks::<32>().0) {
            let halves = x.as_chunks().0;
            wide[0][q] = widen(&halves[0]);
            wide[1][q] = widen(&halves[1]);
        }
    }
    &wide[..blocks]
}

/// Adds to the 32 lanes of each row with each query; what lies `ahead` values behind is fetched.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
fn multiply_tile<const Q: usize, const R: usize>(
    rows: [&[[f16; 32]]; R],
    x: &[Wide],
    mut sums: Sums<Q, R>,
    ahead: [usize; 2],
) -> Sums<Q, R> {
    for row in rows {
        assert_eq!(row.len(), x.len(), "as many values of each");
    }
    for (block, x) in x.iter().enumerate() {
        for row in rows {
            // They read nothing and fault at no address.
            let row = row[block].as_ptr().cast::<f16>();
            _mm_prefetch::<_MM_HINT_T0>(row.wrapping_add(ahead[0]).cast());
            _mm_prefetch::<_MM_HINT_T1>(row.wrapping_add(ahead[1]).cast());
        }
        for (half, sums) in sums.iter_mut().enumerate() {
            for r in 0..R {
                let row = widen(&rows[r][block].as_chunks().0[half]);
                for q in 0..Q {
                    sums[r][q] = _mm512_fmadd_ps(row, x[half][q], sums[r][q]);
                }
            }
        }
    }
    sums
}

/// Adds the two sums of each row, and begins to fold them.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
fn add_tile<const Q: usize, const R: usize>(
    sums: &Sums<Q, R>,
    tile: usize,
    halves: &mut [[__m512; TOGETHER / 2]; Q],
) {
    for q in 0..Q {
        for pair in 0..R / 2 {
            let [a, b] = [2 * pair, 2 * pair + 1];
            let a = _mm512_add_ps(sums[0][a][q], sums[1][a][q]);
            let b = _mm512_add_ps(sums[0][b][q], sums[1][b][q]);
            halves[q][(tile / 4 + pair) * 4 + tile % 4] = add_halves(a, b);
        }
    }
}

/// Folds what each query has with the rows of a group.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
fn store_folded<const Q: usize>(
    halves: &[[__m512; TOGETHER / 2]; Q],
    out: &mut [f32],
    count: usize,
) {
    for (q, halves) in halves.iter().enumerate() {
        if let Some(out) = out[q * count..].first_chunk_mut() {
            store_f32(out, fold_halves(halves));
        }
    }
}
