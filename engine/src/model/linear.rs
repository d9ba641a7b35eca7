//! Matrix times activations, split over the pool by output rows.
//!
//! The matrix's type decides what the activations are turned into; the kernels multiply. Every
//! output is computed whole by one thread, so the number of threads changes no bit.

use half::f16;

use super::weights::{Matrix, MatrixData};
use crate::kernels::Dispatch;
use crate::memory::{OutOfMemory, defaults, zeros};
use crate::quant::activation::{Int8Row, Q8_K_BLOCK, Q8KBlock};
use crate::quant::q6_k;
use crate::threads::ThreadPool;

/// Output rows that one kernel call computes; a share of the work is a multiple of it.
const ROW_BLOCK: usize = 16;
/// Tokens that one kernel call computes: 16 × 64 sums stay on the stack.
const TOKEN_BLOCK: usize = 64;

/// Activations in the formats that the weights ask for, reused from one product to the next.
pub(crate) struct Activations {
    codes: Vec<i8>,
    rows: Vec<Int8Row>,
    halves: Vec<f16>,
    blocks: Vec<Q8KBlock>,
}

impl Activations {
    /// Room for `tokens` rows of up to `width` values.
    ///
    /// # Errors
    /// If the system has no memory for it.
    pub(crate) fn new(tokens: usize, width: usize) -> Result<Self, OutOfMemory> {
        Ok(Self {
            codes: zeros(tokens.saturating_mul(width))?,
            rows: defaults(tokens)?,
            halves: zeros(tokens.saturating_mul(width))?,
            blocks: defaults(tokens.saturating_mul(width.div_ceil(Q8_K_BLOCK)))?,
        })
    }

    /// Converts `x` (rows of `matrix.columns` values) into what `matrix` multiplies.
    pub(crate) fn prepare(
        &mut self,
        pool: &mut ThreadPool,
        dispatch: &mut Dispatch,
        x: &[f32],
        matrix: &Matrix,
    ) {
        let columns = matrix.columns;
        let tokens = x.len() / columns;
        match &matrix.data {
            MatrixData::Ternary { .. } => {
                // Each row's scale travels with its codes: rows are split over the threads as one.
                let codes = &mut self.codes[..x.len()];
                let rows = &mut self.rows[..tokens];
                let quantize = dispatch.quantize_int8();
                if tokens == 1 {
                    rows[0] = quantize(x, codes);
                    return;
                }
                let mut pairs: Vec<(&mut [i8], &mut Int8Row)> =
                    codes.chunks_exact_mut(columns).zip(rows).collect();
                pool.for_each_row_alone(&mut pairs, 1, |token, pair| {
                    let (codes, row) = &mut pair[0];
                    **row = quantize(&x[token * columns..][..columns], codes);
                });
            }
            MatrixData::F16(_) => {
                let halves = &mut self.halves[..x.len()];
                let narrow = dispatch.narrow_to_f16();
                pool.for_each_row_alone(halves, columns, |token, out| {
                    narrow(&x[token * columns..][..columns], out);
                });
            }
            MatrixData::Q6K(_) => {
                let per_row = columns / Q8_K_BLOCK;
                let blocks = &mut self.blocks[..tokens * per_row];
                let quantize = dispatch.quantize_q8_k();
                pool.for_each_row_alone(blocks, per_row, |token, out| {
                    quantize(&x[token * columns..][..columns], out);
                });
            }
            MatrixData::F32(_) => {}
        }
    }

    /// `out[token][row]` = matrix row · activation row, for the activations of the last
    /// [`Activations::prepare`] (which had the same `x`).
    pub(crate) fn multiply(
        &self,
        pool: &mut ThreadPool,
        dispatch: &mut Dispatch,
        x: &[f32],
        matrix: &Matrix,
        out: &mut [f32],
    ) {
        let columns = matrix.columns;
        let tokens = x.len() / columns;
        let out = &mut out[..tokens * matrix.rows];
        match &matrix.data {
            MatrixData::Ternary { codes, scale } => {
                self.multiply_ternary(pool, dispatch, matrix, codes.get(), *scale, out);
            }
            MatrixData::F32(weights) => {
                let (weights, dot_f32) = (weights.get(), dispatch.dot_f32());
                let dot = |row: usize, token: usize| {
                    let weights = &weights[row * columns..][..columns];
                    dot_f32(weights, &x[token * columns..][..columns])
                };
                each_output(pool, matrix.rows, tokens, out, dot);
            }
            MatrixData::F16(weights) => {
                let (weights, dot_f16) = (weights.get(), dispatch.dot_f16());
                let dot = |row: usize, token: usize| {
                    let weights = &weights[row * columns..][..columns];
                    dot_f16(weights, &self.halves[token * columns..][..columns])
                };
                each_output(pool, matrix.rows, tokens, out, dot);
            }
            MatrixData::Q6K(bytes) => {
                let per_row = columns / Q8_K_BLOCK;
                let row_bytes = per_row * q6_k::BLOCK_BYTES;
                let (bytes, dot_q6_k) = (bytes.get(), dispatch.dot_q6_k());
                let dot = |row: usize, token: usize| {
                    let weights = &bytes[row * row_bytes..][..row_bytes];
                    dot_q6_k(weights, &self.blocks[token * per_row..][..per_row])
                };
                each_output(pool, matrix.rows, tokens, out, dot);
            }
        }
    }

    fn multiply_ternary(
        &self,
        pool: &mut ThreadPool,
        dispatch: &mut Dispatch,
        matrix: &Matrix,
        codes: &[u8],
        scale: f32,
        out: &mut [f32],
    ) {
        let (columns, row_bytes) = (matrix.columns, matrix.columns / 4);
        let tokens = out.len() / matrix.rows;
        let ternary_dots = dispatch.ternary_dots();
        pool.for_each_column_share(out, matrix.rows, ROW_BLOCK, |mut share| {
            let mut sums = [0i32; ROW_BLOCK * TOKEN_BLOCK];
            let range = share.columns();
            for first in range.clone().step_by(ROW_BLOCK) {
                let count = ROW_BLOCK.min(range.end - first);
                let rows = &codes[first * row_bytes..(first + count) * row_bytes];
                for token in (0..tokens).step_by(TOKEN_BLOCK) {
                    let block = TOKEN_BLOCK.min(tokens - token);
                    let x = &self.codes[token * columns..(token + block) * columns];
                    let sums = &mut sums[..count * block];
                    ternary_dots(rows, columns, x, sums);
                    for (t, sums) in sums.chunks_exact(count).enumerate() {
                        let row = self.rows[token + t];
                        let out = &mut share.row(token + t)[first - range.start..][..count];
                        for (o, sum) in out.iter_mut().zip(sums) {
                            // The reference's order: integer difference, one division, one product.
                            *o = (sum - row.sum) as f32 / row.scale * scale;
                        }
                    }
                }
            }
        });
    }
}

/// Fills `out[token][row]` with `dot(row, token)`, a block of rows at a time.
fn each_output(
    pool: &mut ThreadPool,
    rows: usize,
    tokens: usize,
    out: &mut [f32],
    dot: impl Fn(usize, usize) -> f32 + Sync,
) {
    pool.for_each_column_share(out, rows, ROW_BLOCK, |mut share| {
        let range = share.columns();
        for first in range.clone().step_by(ROW_BLOCK) {
            let last = range.end.min(first + ROW_BLOCK);
            for token in 0..tokens {
                let out = share.row(token);
                for row in first..last {
                    out[row - range.start] = dot(row, token);
                }
            }
        }
    });
}
