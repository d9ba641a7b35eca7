//! The two products of attention for several queries at once. Same bits as one dot product after the other:
//! 16 sums of 16 lanes are folded side by side, in the order in which the definition folds one.

use std::arch::x86_64::*;

use half::f16;

use super::{dot_f16, dot_f32, fold, load_f32, widen};

/// Results that are folded together.
const TOGETHER: usize = 16;
/// Rows of keys that are multiplied with all queries before the next ones: 16 KiB of heads of 128 values.
const KEYS: usize = 32;
/// Queries of a tile, at most.
const QUERIES: usize = 4;
/// How many blocks of 32 values in front of its place a tile is fetched into the second-level cache, and into
/// the first, counted over all of its rows.
const FAR: usize = 128;
const NEAR: usize = 40;

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
    let mut sets = [_mm512_setzero_ps(); 4];
    for (j, set) in sets.iter_mut().enumerate() {
        // Register 4 i + j is the i-th of set j, so that the results come in order.
        let first = add_halves(lanes[j], lanes[4 + j]);
        *set = add_quarters(first, add_halves(lanes[8 + j], lanes[12 + j]));
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
                store(out, fold_together(&lanes));
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
    let whole = if length.is_multiple_of(32) { count / TOGETHER * TOGETHER } else { 0 };
    let mut lanes = [[_mm512_setzero_ps(); TOGETHER]; QUERIES];
    for first in (0..whole).step_by(TOGETHER) {
        let rows = &rows[first * stride..];
        let mut q = 0;
        while q < queries {
            // The heads of one token are often four: one pass over the rows is less work than two.
            let together = if queries - q == 4 { 4 } else { 3.min(queries - q) };
            let x = &x[q * length..][..together * length];
            match together {
                4 => value_tiles::<4, 2>(rows, stride, length, x, q == 0, &mut lanes),
                3 => value_tiles::<3, 4>(rows, stride, length, x, q == 0, &mut lanes),
                2 => value_tiles::<2, 4>(rows, stride, length, x, q == 0, &mut lanes),
                _ => value_tiles::<1, 4>(rows, stride, length, x, q == 0, &mut lanes),
            }
            for (t, lanes) in lanes[..together].iter().enumerate() {
                if let Some(out) = out[(q + t) * count + first..].first_chunk_mut() {
                    store(out, fold_together(lanes));
                }
            }
            q += together;
        }
    }
    for i in whole..count {
        for q in 0..queries {
            let (row, query) = (&rows[i * stride..][..length], &x[q * length..][..length]);
            out[q * count + i] = dot_f16(row, query);
        }
    }
}

/// Sums of 16 lanes of [`TOGETHER`] rows with each of `Q` queries, `R` rows at a time; `length` is a multiple of
/// 32. What is read for the first time is fetched ahead.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
fn value_tiles<const Q: usize, const R: usize>(
    rows: &[f16],
    stride: usize,
    length: usize,
    x: &[f16],
    fetch: bool,
    lanes: &mut [Lanes; QUERIES],
) {
    let mut queries: [&[[f16; 32]]; Q] = [&[]; Q];
    for (query, x) in queries.iter_mut().zip(x.chunks_exact(length)) {
        *query = x.as_chunks().0;
    }
    for tile in (0..TOGETHER).step_by(R) {
        let mut tile_rows: [&[[f16; 32]]; R] = [&[]; R];
        for (i, row) in tile_rows.iter_mut().enumerate() {
            *row = rows[(tile + i) * stride..][..length].as_chunks().0;
        }
        let acc = if fetch {
            value_tile::<Q, R, true>(tile_rows, queries, length / 32, stride)
        } else {
            value_tile::<Q, R, false>(tile_rows, queries, length / 32, stride)
        };
        for q in 0..Q {
            for r in 0..R {
                lanes[q][tile + r] = _mm512_add_ps(acc[0][r][q], acc[1][r][q]);
            }
        }
    }
}

/// The 32 lanes of each row with each query, over `blocks` times 32 values; the rows of the next tiles begin
/// `stride` values apart, behind these.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
fn value_tile<const Q: usize, const R: usize, const FETCH: bool>(
    rows: [&[[f16; 32]]; R],
    x: [&[[f16; 32]]; Q],
    blocks: usize,
    stride: usize,
) -> [[[__m512; Q]; R]; 2] {
    let mut acc = [[[_mm512_setzero_ps(); Q]; R]; 2];
    let (far, near) =
        (Ahead::new(FAR / R, blocks, R * stride), Ahead::new(NEAR / R, blocks, R * stride));
    for block in 0..blocks {
        if FETCH {
            let (far, near) = (far.of(block), near.of(block));
            for row in rows {
                let row = row.as_ptr().cast::<f16>();
                // They read nothing and fault at no address.
                _mm_prefetch::<_MM_HINT_T1>(row.wrapping_add(far).cast());
                _mm_prefetch::<_MM_HINT_T0>(row.wrapping_add(near).cast());
            }
        }
        for (half, acc) in acc.iter_mut().enumerate() {
            let mut values = [_mm512_setzero_ps(); Q];
            for q in 0..Q {
                values[q] = widen(&x[q][block].as_chunks().0[half]);
            }
            for r in 0..R {
                let row = widen(&rows[r][block].as_chunks().0[half]);
                for q in 0..Q {
                    acc[r][q] = _mm512_fmadd_ps(row, values[q], acc[r][q]);
                }
            }
        }
    }
    acc
}

/// Where a row of a tile is read some blocks later: further on in that row, or in a row of a later tile.
struct Ahead {
    blocks: usize,
    /// Blocks of a later tile that lie before the place.
    beyond: usize,
    /// How far the row of that tile is, and that of the one behind it, in values.
    rows: [usize; 2],
}

impl Ahead {
    #[inline(always)]
    fn new(ahead: usize, blocks: usize, tile: usize) -> Self {
        let tiles = ahead / blocks;
        Self { blocks, beyond: ahead % blocks, rows: [tiles * tile, (tiles + 1) * tile] }
    }

    /// The place that is read that many blocks behind `block`, in values behind the row's beginning.
    #[inline(always)]
    fn of(&self, block: usize) -> usize {
        match (block + self.beyond).checked_sub(self.blocks) {
            None => self.rows[0] + 32 * (block + self.beyond),
            Some(block) => self.rows[1] + 32 * block,
        }
    }
}
