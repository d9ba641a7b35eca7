//! Matrix times activations, split over the pool by output rows.
//!
//! The matrix's type decides what the activations are turned into; the kernels multiply. Every
//! output is computed whole by one thread, so the number of threads changes no bit.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use super::ternary::Ternary;
use super::weights::{Form, Matrix, MatrixData};
use crate::kernels::{BlockDots, Dispatch};
use crate::memory::{OutOfMemory, defaults, zeros};
use crate::quant::activation::{Int8Row, Q8_0_BLOCK, Q8_K_BLOCK, Q8KBlock, Q80Block};
use crate::threads::ThreadPool;

/// Output rows that one kernel call computes of several tokens; a share of the work is a multiple of it.
const ROW_BLOCK: usize = 64;
/// Output rows that one kernel call computes of one token: few calls, and sums that fit the first-level cache.
const STEP_ROWS: usize = 4096;
/// Tokens that one kernel call computes: 64 × 256 sums, 64 KiB, stay on the stack.
const TOKEN_BLOCK: usize = 256;

/// Activations in the formats that the weights ask for, reused from one product to the next.
pub(crate) struct Activations {
    codes: Vec<i8>,
    rows: Vec<Int8Row>,
    halves: Vec<f16>,
    brains: Vec<bf16>,
    blocks_32: Vec<Q80Block>,
    blocks_256: Vec<Q8KBlock>,
}

impl Activations {
    /// Room for `tokens` rows of up to `width` values.
    ///
    /// # Errors
    /// If the system has no memory for it.
    pub(crate) fn new(tokens: usize, width: usize) -> Result<Self, OutOfMemory> {
        let values = tokens.saturating_mul(width);
        Ok(Self {
            codes: zeros(values)?,
            rows: defaults(tokens)?,
            halves: zeros(values)?,
            brains: zeros(values)?,
            blocks_32: defaults(tokens.saturating_mul(width.div_ceil(Q8_0_BLOCK)))?,
            blocks_256: defaults(tokens.saturating_mul(width.div_ceil(Q8_K_BLOCK)))?,
        })
    }

    /// Bytes of that room.
    pub(crate) fn bytes(tokens: usize, width: usize) -> usize {
        let value = size_of::<i8>() + size_of::<f16>() + size_of::<bf16>();
        let blocks = width
            .div_ceil(Q8_0_BLOCK)
            .saturating_mul(size_of::<Q80Block>())
            .saturating_add(width.div_ceil(Q8_K_BLOCK).saturating_mul(size_of::<Q8KBlock>()));
        let token = width.saturating_mul(value).saturating_add(blocks);
        tokens.saturating_mul(token.saturating_add(size_of::<Int8Row>()))
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
        match matrix.form() {
            Form::Int8 => {
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
            Form::F32 => {}
            Form::F16 => {
                convert(pool, x, columns, &mut self.halves, 1, dispatch.narrow_to_f16());
            }
            Form::Bf16 => {
                convert(pool, x, columns, &mut self.brains, 1, dispatch.narrow_to_bf16());
            }
            Form::Q8_0 => {
                let quantize = dispatch.quantize_q8_0();
                convert(pool, x, columns, &mut self.blocks_32, Q8_0_BLOCK, quantize);
            }
            Form::Q8K => {
                let quantize = dispatch.quantize_q8_k();
                convert(pool, x, columns, &mut self.blocks_256, Q8_K_BLOCK, quantize);
            }
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
        let rows = matrix.rows;
        match &matrix.data {
            MatrixData::Ternary { codes, scale } => {
                self.multiply_ternary(pool, dispatch, matrix, codes.get(), *scale, out);
            }
            MatrixData::F32(weights) => {
                let dots = one_by_one(dispatch.dot_f32());
                each_output(pool, rows, tokens, weights.get(), x, dots, out);
            }
            MatrixData::F16(weights) => {
                let (x, dots) = (&self.halves[..x.len()], one_by_one(dispatch.dot_f16()));
                each_output(pool, rows, tokens, weights.get(), x, dots, out);
            }
            MatrixData::Bf16(weights) => {
                let (x, dots) = (&self.brains[..x.len()], one_by_one(dispatch.dot_bf16()));
                each_output(pool, rows, tokens, weights.get(), x, dots, out);
            }
            MatrixData::Blocks(block_type, bytes) => match dispatch.block_dots(*block_type) {
                BlockDots::Q8_0(dots) => {
                    let x = &self.blocks_32[..x.len() / Q8_0_BLOCK];
                    each_output(pool, rows, tokens, bytes.get(), x, dots, out);
                }
                BlockDots::Q8K(dots) => {
                    let x = &self.blocks_256[..x.len() / Q8_K_BLOCK];
                    each_output(pool, rows, tokens, bytes.get(), x, dots, out);
                }
            },
        }
    }

    /// The rows of a float matrix that `rows` names, times the one activation row of the last
    /// [`Activations::prepare`] (which had the same `x`): the bits that [`Activations::multiply`] gives them.
    ///
    /// # Panics
    /// If the matrix has no such row.
    pub(crate) fn multiply_rows(
        &self,
        pool: &mut ThreadPool,
        dispatch: &mut Dispatch,
        x: &[f32],
        matrix: &Matrix,
        rows: &[u32],
        out: &mut [f32],
    ) {
        let n = matrix.columns;
        let range = |row: u32| row as usize * n..(row as usize + 1) * n;
        match &matrix.data {
            MatrixData::F32(weights) => {
                let (dot, weights) = (dispatch.dot_f32(), weights.get());
                pool.for_each_row_alone(out, 1, |i, out| out[0] = dot(&weights[range(rows[i])], x));
            }
            MatrixData::F16(weights) => {
                let (dot, weights, x) = (dispatch.dot_f16(), weights.get(), &self.halves[..n]);
                pool.for_each_row_alone(out, 1, |i, out| out[0] = dot(&weights[range(rows[i])], x));
            }
            MatrixData::Bf16(weights) => {
                let (dot, weights, x) = (dispatch.dot_bf16(), weights.get(), &self.brains[..n]);
                pool.for_each_row_alone(out, 1, |i, out| out[0] = dot(&weights[range(rows[i])], x));
            }
            MatrixData::Ternary { .. } | MatrixData::Blocks(..) => {
                unreachable!("only heads of floats are screened")
            }
        }
    }

    /// The one activation row of the last [`Activations::prepare`], as a float matrix multiplies it.
    pub(crate) fn values(&self, x: &[f32], matrix: &Matrix, out: &mut [f32]) {
        match matrix.form() {
            Form::F16 => self.halves[..out.len()].convert_to_f32_slice(out),
            Form::Bf16 => self.brains[..out.len()].convert_to_f32_slice(out),
            _ => out.copy_from_slice(x),
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
        let ternary = Ternary {
            codes,
            columns: matrix.columns,
            scale,
            layout: dispatch.ternary_layout(),
            dots: dispatch.ternary_dots(),
            scale_sums: dispatch.scale_sums(),
        };
        let tokens = out.len() / matrix.rows;
        let (x, rows) = (&self.codes[..tokens * matrix.columns], &self.rows[..tokens]);
        pool.for_each_column_share(out, matrix.rows, ROW_BLOCK, |share| match tokens {
            1 => ternary.multiply::<STEP_ROWS>(x, rows, STEP_ROWS, share),
            _ => ternary.multiply::<{ ROW_BLOCK * TOKEN_BLOCK }>(x, rows, ROW_BLOCK, share),
        });
    }
}

/// Converts each row of `x` into blocks of `block` values, row by row into `out`.
fn convert<T: Send>(
    pool: &mut ThreadPool,
    x: &[f32],
    columns: usize,
    out: &mut [T],
    block: usize,
    convert: fn(&[f32], &mut [T]),
) {
    pool.for_each_row_alone(&mut out[..x.len() / block], columns / block, |token, out| {
        convert(&x[token * columns..][..columns], out);
    });
}

/// Makes a kernel for one activation row one for any number of them.
fn one_by_one<W, A>(dot: fn(&[W], &[A]) -> f32) -> impl Fn(&[W], &[A], &mut [f32]) {
    move |weights, x, products| {
        for (product, x) in products.iter_mut().zip(x.chunks_exact(weights.len())) {
            *product = dot(weights, x);
        }
    }
}

/// Fills `out[token][row]`, a block of rows at a time: `dots` multiplies one of the `rows` rows of
/// `weights` with consecutive ones of the `tokens` rows of `x`.
fn each_output<W: Sync, A: Sync>(
    pool: &mut ThreadPool,
    rows: usize,
    tokens: usize,
    weights: &[W],
    x: &[A],
    dots: impl Fn(&[W], &[A], &mut [f32]) + Sync,
    out: &mut [f32],
) {
    let (row_length, x_length) = (weights.len() / rows, x.len() / tokens);
    pool.for_each_column_share(out, rows, ROW_BLOCK, |mut share| {
        let mut products = [0f32; TOKEN_BLOCK];
        let range = share.columns();
        for first in range.clone().step_by(ROW_BLOCK) {
            for token in (0..tokens).step_by(TOKEN_BLOCK) {
                let products = &mut products[..TOKEN_BLOCK.min(tokens - token)];
                let x = &x[token * x_length..][..products.len() * x_length];
                for row in first..range.end.min(first + ROW_BLOCK) {
                    dots(&weights[row * row_length..][..row_length], x, products);
                    for (t, product) in products.iter().enumerate() {
                        share.row(token + t)[row - range.start] = *product;
                    }
                }
            }
        }
    });
}
