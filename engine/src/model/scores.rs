//! Scores of queries against cached keys, in the arithmetic that the keys' type prescribes: queries are
//! rounded to it before they are multiplied, as in the reference. It knows no softmax and no values.

use half::f16;

use super::cache::{KeyCache, Keys};
use crate::kernels::{BlockDots, Dispatch, DotsQ80};
use crate::memory::{Aligned, OutOfMemory, aligned_zeros, zeros};
use crate::quant::activation::{Q8_0_BLOCK, Q80Block};
use crate::quant::blocks::BlockType;
use crate::quant::q8_0;

/// Keys that meet one query after the other while they are in the first-level cache: 9 KB of heads of 128.
const KEYS_TOGETHER: usize = 64;

/// What multiplies keys of one type.
pub(super) enum ScoreKernels {
    F32(fn(&[f32], usize, &[f32], &mut [f32])),
    F16 { narrow: fn(&[f32], &mut [f16]), dots: fn(&[f16], usize, usize, &[f16], &mut [f32]) },
    Q8_0 { quantize: fn(&[f32], &mut [Q80Block]), dots: DotsQ80 },
}

/// Room for the queries of a tile as the keys' type wants them.
pub(super) struct RoundedQueries {
    narrow: Aligned<f16>,
    blocks: Vec<Q80Block>,
    /// The blocks as a row of a matrix.
    rows: Vec<u8>,
}

impl RoundedQueries {
    /// Room for so many queries of `length` values.
    ///
    /// # Errors
    /// If the system has no memory for it.
    pub(super) fn new(queries: usize, length: usize) -> Result<Self, OutOfMemory> {
        let blocks = queries.saturating_mul(length / Q8_0_BLOCK);
        Ok(Self {
            narrow: aligned_zeros(queries.saturating_mul(length))?,
            blocks: zeros(blocks)?,
            rows: zeros(blocks.saturating_mul(q8_0::BLOCK_BYTES))?,
        })
    }

    /// Bytes that [`RoundedQueries::new`] allocates.
    pub(super) fn bytes(queries: usize, length: usize) -> usize {
        let block = size_of::<Q80Block>() + q8_0::BLOCK_BYTES;
        queries * (length * size_of::<f16>() + length / Q8_0_BLOCK * block)
    }
}

impl ScoreKernels {
    /// Those for keys of this type.
    pub(super) fn of(keys: KeyCache, dispatch: &mut Dispatch) -> Self {
        match keys {
            KeyCache::F32 => Self::F32(dispatch.dots_f32()),
            KeyCache::F16 => {
                Self::F16 { narrow: dispatch.narrow_to_f16(), dots: dispatch.dots_f16() }
            }
            KeyCache::Q8_0 => {
                let quantize = dispatch.quantize_q8_0();
                match dispatch.block_dots(BlockType::Q8_0) {
                    BlockDots::Q8_0(dots) => Self::Q8_0 { quantize, dots },
                    BlockDots::Q8K(_) => unreachable!("Q8_0 multiplies Q8_0"),
                }
            }
        }
    }

    /// Products of each query with each key, all rows of `length` values:
    /// `out[query * key count + key]`.
    ///
    /// # Panics
    /// If the keys are not of the type that these kernels are for, or the lengths do not fit.
    pub(super) fn multiply(
        &self,
        keys: Keys<'_>,
        length: usize,
        queries: &[f32],
        rounded: &mut RoundedQueries,
        out: &mut [f32],
    ) {
        match (self, keys) {
            (Self::F32(dots), Keys::F32(keys)) => dots(keys, length, queries, out),
            (Self::F16 { narrow, dots }, Keys::F16(keys)) => {
                let x = &mut rounded.narrow[..queries.len()];
                narrow(queries, x);
                dots(keys, length, length, x, out);
            }
            (Self::Q8_0 { quantize, dots }, Keys::Q8_0(keys)) => {
                let blocks = &mut rounded.blocks[..queries.len() / Q8_0_BLOCK];
                quantize(queries, blocks);
                let rows = &mut rounded.rows[..blocks.len() * q8_0::BLOCK_BYTES];
                for (block, bytes) in blocks.iter().zip(rows.chunks_exact_mut(q8_0::BLOCK_BYTES)) {
                    q8_0::pack_block(block, bytes);
                }
                multiply_blocks(*dots, keys, length / Q8_0_BLOCK, rows, out);
            }
            _ => unreachable!("the kernels are those of the cache's keys"),
        }
    }
}

/// Products of queries, `blocks` packed blocks each, with all keys. The product of two rows of Q8_0 is the
/// same whichever comes first, and the kernel unpacks its first one once for all of the others: so that is
/// the query.
fn multiply_blocks(
    dots: DotsQ80,
    keys: &[Q80Block],
    blocks: usize,
    queries: &[u8],
    out: &mut [f32],
) {
    let count = keys.len() / blocks;
    for (group, keys) in keys.chunks(KEYS_TOGETHER * blocks).enumerate() {
        let (first, size) = (group * KEYS_TOGETHER, keys.len() / blocks);
        let rows = queries.chunks_exact(blocks * q8_0::BLOCK_BYTES);
        for (query, out) in rows.zip(out.chunks_exact_mut(count)) {
            dots(query, keys, &mut out[first..][..size]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{Isa, Kernels};

    /// Values between −2 and 2, no two rows alike.
    fn values(count: usize, factor: usize) -> Vec<f32> {
        (0..count).map(|i| (i * factor % 1009) as f32 / 252.0 - 2.0).collect()
    }

    #[test]
    fn products_with_keys_in_blocks_are_those_of_what_the_blocks_stand_for() {
        const LENGTH: usize = 96;
        let (queries, positions) = (3, KEYS_TOGETHER + 32);
        let (q, k) = (values(queries * LENGTH, 389), values(positions * LENGTH, 727));
        let mut keys = vec![Q80Block::default(); positions * LENGTH / 32];
        crate::quant::activation::quantize_q8_0(&k, &mut keys);
        let mut rounded_q = vec![Q80Block::default(); queries * LENGTH / 32];
        crate::quant::activation::quantize_q8_0(&q, &mut rounded_q);
        let value = |blocks: &[Q80Block], i: usize| {
            f64::from(blocks[i / 32].scale) * f64::from(blocks[i / 32].codes[i % 32])
        };
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            let mut dispatch = Dispatch::new(Kernels::for_isa(isa).expect("available"));
            let kernels = ScoreKernels::of(KeyCache::Q8_0, &mut dispatch);
            let mut rounded = RoundedQueries::new(queries, LENGTH).expect("memory");
            let mut out = vec![f32::NAN; queries * positions];
            kernels.multiply(Keys::Q8_0(&keys), LENGTH, &q, &mut rounded, &mut out);
            for (i, score) in out.iter().enumerate() {
                let (query, position) = (i / positions * LENGTH, i % positions * LENGTH);
                let terms =
                    (0..LENGTH).map(|v| value(&rounded_q, query + v) * value(&keys, position + v));
                let (truth, size) =
                    terms.fold((0f64, 0f64), |(sum, size), term| (sum + term, size + term.abs()));
                // Exact integers in a block; a product and a sum are rounded for each of three blocks.
                let distance = (f64::from(*score) - truth).abs();
                assert!(distance <= 8.0 * 2f64.powi(-24) * size, "{isa}, {i}: {score} for {truth}");
            }
            let names: Vec<_> = dispatch.dispatched().map(|d| d.kernel).collect();
            assert_eq!(names, ["quantize_q8_0", "dot_q8_0"], "{isa}");
        }
    }
}
