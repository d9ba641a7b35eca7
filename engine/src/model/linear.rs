//! Matrices times activations, split over the pool by output rows.
//!
//! The matrix's type decides what the activations were turned into; the kernels multiply. Every
//! output is computed whole by one thread, so the number of threads changes no bit.

use half::{bf16, f16};

use super::activations::Activations;
use super::layers::Linear;
use super::ternary::Ternary;
use super::weights::{Matrix, MatrixData};
use crate::kernels::{BlockDots, Dispatch, DotsQ8K, DotsQ80, prefetch};
use crate::memory::{Aligned, CACHE_LINE};
use crate::quant::activation::{Int8Row, Q8_0_BLOCK, Q8_K_BLOCK, Q8KBlock, Q80Block};
use crate::threads::{Chunks, ColumnShare, Columns, ThreadPool, own_parts};

/// Output rows that one kernel call computes of several tokens; a share of the work is a multiple of it.
const ROW_BLOCK: usize = 64;
/// Output rows that one kernel call computes of one token: few calls, and sums that fit the first-level cache.
const STEP_ROWS: usize = 1024;
/// Tokens that one kernel call of floats or blocks computes.
const TOKEN_BLOCK: usize = 256;
/// Bytes of weights that one token's parts have at least: taking one costs next to nothing.
const PART: usize = 64 << 10;
/// Chosen rows that a thread takes at a time.
const CHOSEN_ROWS: usize = 8;

/// A product and what it goes through.
pub(super) struct Product<'a> {
    matrix: &'a Matrix,
    scale: Option<f32>,
    bias: Option<&'a [f32]>,
    out: &'a mut [f32],
}

impl<'a> Product<'a> {
    /// Of a matrix alone.
    pub(super) fn of(matrix: &'a Matrix, out: &'a mut [f32]) -> Self {
        Self { matrix, scale: None, bias: None, out }
    }

    /// Of a linear layer, without its bias.
    pub(super) fn scaled(linear: &'a Linear, out: &'a mut [f32]) -> Self {
        Self { scale: linear.scale, ..Self::of(&linear.matrix, out) }
    }

    /// Of a linear layer.
    pub(super) fn whole(linear: &'a Linear, out: &'a mut [f32]) -> Self {
        let bias = linear.bias.as_ref().map(|bias| bias.get());
        Self { bias, ..Self::scaled(linear, out) }
    }
}

impl Activations {
    /// `out[token][row]` of each product = matrix row · activation row; `x` are the rows that those of
    /// [`Activations::rows_for`] were filled from, for these matrices among others. Where there is a `residual`,
    /// the outputs of the first product are added to it. Each thread
    /// has its part of `sums`.
    pub(super) fn multiply<const N: usize>(
        &self,
        pool: &mut ThreadPool,
        dispatch: &mut Dispatch,
        sums: &mut [Aligned<i32>],
        x: &[f32],
        products: [Product<'_>; N],
        residual: Option<&mut [f32]>,
    ) {
        let first = products[0].matrix;
        let tokens = x.len() / first.columns;
        let biased = products.iter().any(|product| product.bias.is_some());
        let add = (biased || residual.is_some()).then(|| dispatch.add());
        let blocks = if tokens == 1 { blocks_a_part(first, pool.threads()) } else { 1 };
        let residual = residual.map(|residual| {
            let residual = (&mut residual[..tokens * first.rows], first.rows);
            Columns::new([residual], ROW_BLOCK).in_parts_of(blocks)
        });
        let operations = products.each_ref().map(|product| Operation {
            arithmetic: self.arithmetic(dispatch, product.matrix, x, tokens),
            scale: product.scale,
            bias: product.bias,
            add,
        });
        let outs = products.map(|product| {
            let rows = product.matrix.rows;
            (&mut product.out[..tokens * rows], rows)
        });
        let outs = Columns::new(outs, ROW_BLOCK).in_parts_of(blocks);
        pool.for_each_with(sums, (outs, residual), |sums, _, (mut outs, mut residual)| {
            for (which, operation) in operations.iter().enumerate() {
                if let Some(out) = outs.take(which) {
                    let residual = residual.as_mut().and_then(|residual| residual.take(which));
                    operation.compute(sums, out, residual);
                }
            }
        });
    }

    /// What multiplies `matrix` with the rows that were filled from `x`.
    fn arithmetic<'a>(
        &'a self,
        dispatch: &mut Dispatch,
        matrix: &'a Matrix,
        x: &'a [f32],
        tokens: usize,
    ) -> Arithmetic<'a> {
        let size = x.len();
        match &matrix.data {
            MatrixData::Ternary { codes, scale } => {
                let ternary = Ternary {
                    codes: codes.get(),
                    columns: matrix.columns,
                    scale: *scale,
                    layout: dispatch.ternary_layout(),
                    dots: dispatch.ternary_dots(),
                    scale_sums: dispatch.scale_sums(),
                };
                Arithmetic::Ternary(ternary, &self.codes[..size], &self.rows[..tokens])
            }
            MatrixData::F32(weights) => {
                Arithmetic::F32(Rows::of(matrix, weights.get(), x, tokens), dispatch.dot_f32())
            }
            MatrixData::F16(weights) => {
                let rows = Rows::of(matrix, weights.get(), &self.halves[..size], tokens);
                Arithmetic::F16(rows, dispatch.dot_f16())
            }
            MatrixData::Bf16(weights) => {
                let rows = Rows::of(matrix, weights.get(), &self.brains[..size], tokens);
                Arithmetic::Bf16(rows, dispatch.dot_bf16())
            }
            MatrixData::Blocks(block_type, bytes) => match dispatch.block_dots(*block_type) {
                BlockDots::Q8_0(dots) => {
                    let x = &self.blocks_32[..size / Q8_0_BLOCK];
                    Arithmetic::Q8_0(Rows::of(matrix, bytes.get(), x, tokens), dots)
                }
                BlockDots::Q8K(dots) => {
                    let x = &self.blocks_256[..size / Q8_K_BLOCK];
                    Arithmetic::Q8K(Rows::of(matrix, bytes.get(), x, tokens), dots)
                }
            },
        }
    }

    /// The rows of a float matrix that `rows` names, times the one activation row that was filled from `x`:
    /// the bits that [`Activations::multiply`] gives them.
    ///
    /// # Panics
    /// If the matrix has no such row.
    pub(super) fn multiply_rows(
        &self,
        pool: &mut ThreadPool,
        dispatch: &mut Dispatch,
        x: &[f32],
        matrix: &Matrix,
        rows: &[u32],
        out: &mut [f32],
    ) {
        let n = matrix.columns;
        match &matrix.data {
            MatrixData::F32(weights) => {
                chosen(pool, weights.get(), x, dispatch.dot_f32(), rows, out);
            }
            MatrixData::F16(weights) => {
                chosen(pool, weights.get(), &self.halves[..n], dispatch.dot_f16(), rows, out);
            }
            MatrixData::Bf16(weights) => {
                chosen(pool, weights.get(), &self.brains[..n], dispatch.dot_bf16(), rows, out);
            }
            MatrixData::Ternary { .. } | MatrixData::Blocks(..) => {
                unreachable!("only heads of floats are screened")
            }
        }
    }
}

/// Tells each thread's first weights of one token's product to come, so that it can ask for them while it waits.
pub(super) fn expect(pool: &mut ThreadPool, matrices: &[&Matrix]) {
    let Some(first) = matrices.first() else { return };
    let threads = pool.threads();
    let a_part = blocks_a_part(first, threads);
    let blocks: usize = matrices.iter().map(|matrix| matrix.rows.div_ceil(ROW_BLOCK)).sum();
    pool.expect(|thread| {
        let mut block = own_parts(blocks.div_ceil(a_part), threads, thread).start * a_part;
        for matrix in matrices {
            let rows = matrix.rows.div_ceil(ROW_BLOCK);
            if block < rows {
                return matrix.bytes().get(block * block_bytes(matrix)..).unwrap_or_default();
            }
            block -= rows;
        }
        &[]
    });
}

/// Blocks of rows in a part of one token's products, of which this is the first; a thread that is alone has all,
/// because it waits for none.
fn blocks_a_part(first: &Matrix, threads: usize) -> usize {
    if threads == 1 { usize::MAX } else { PART.div_ceil(block_bytes(first).max(1)) }
}

/// Bytes of the weights of [`ROW_BLOCK`] rows.
fn block_bytes(matrix: &Matrix) -> usize {
    matrix.bytes().len() / matrix.rows.div_ceil(ROW_BLOCK)
}

/// a += b.
type Add = fn(&mut [f32], &[f32]);

/// The arithmetic of one product, and what follows it.
struct Operation<'a> {
    arithmetic: Arithmetic<'a>,
    scale: Option<f32>,
    bias: Option<&'a [f32]>,
    add: Option<Add>,
}

impl Operation<'_> {
    /// Computes a share of the outputs and adds it to that of the residual stream, if there is one.
    fn compute(
        &self,
        sums: &mut [i32],
        mut out: ColumnShare<'_, f32>,
        residual: Option<ColumnShare<'_, f32>>,
    ) {
        self.arithmetic.compute(sums, &mut out);
        let columns = out.columns();
        if let Some(scale) = self.scale {
            for row in 0..out.row_count() {
                out.row(row).iter_mut().for_each(|value| *value *= scale);
            }
        }
        let Some(add) = self.add else { return };
        if let Some(bias) = self.bias {
            for row in 0..out.row_count() {
                add(out.row(row), &bias[columns.clone()]);
            }
        }
        if let Some(mut residual) = residual {
            for row in 0..out.row_count() {
                add(residual.row(row), out.row(row));
            }
        }
    }
}

/// Weights, activations and the kernel that multiplies them.
enum Arithmetic<'a> {
    /// With the int8 codes of all tokens, and their scales.
    Ternary(Ternary<'a>, &'a [i8], &'a [Int8Row]),
    F32(Rows<'a, f32, f32>, fn(&[f32], &[f32]) -> f32),
    F16(Rows<'a, f16, f16>, fn(&[f16], &[f16]) -> f32),
    Bf16(Rows<'a, bf16, bf16>, fn(&[bf16], &[bf16]) -> f32),
    Q8_0(Rows<'a, u8, Q80Block>, DotsQ80),
    Q8K(Rows<'a, u8, Q8KBlock>, DotsQ8K),
}

impl Arithmetic<'_> {
    fn compute(&self, sums: &mut [i32], out: &mut ColumnShare<'_, f32>) {
        match self {
            Self::Ternary(ternary, x, rows) => {
                let row_block = if rows.len() == 1 { STEP_ROWS } else { ROW_BLOCK };
                ternary.multiply(x, rows, row_block, sums, out);
            }
            Self::F32(rows, dot) => rows.multiply(one_by_one(*dot), out),
            Self::F16(rows, dot) => rows.multiply(one_by_one(*dot), out),
            Self::Bf16(rows, dot) => rows.multiply(one_by_one(*dot), out),
            Self::Q8_0(rows, dots) => rows.multiply(dots, out),
            Self::Q8K(rows, dots) => rows.multiply(dots, out),
        }
    }
}

/// Rows of weights and rows of activations, of the same number of columns.
struct Rows<'a, W, A> {
    weights: &'a [W],
    row_length: usize,
    x: &'a [A],
    x_length: usize,
}

impl<'a, W, A> Rows<'a, W, A> {
    fn of(matrix: &Matrix, weights: &'a [W], x: &'a [A], tokens: usize) -> Self {
        let (row_length, x_length) = (weights.len() / matrix.rows, x.len() / tokens);
        Self { weights, row_length, x, x_length }
    }

    /// Fills a share, a block of rows at a time: `dots` multiplies one row of the weights with consecutive ones
    /// of the activations.
    fn multiply(&self, dots: impl Fn(&[W], &[A], &mut [f32]), out: &mut ColumnShare<'_, f32>) {
        let mut products = [0f32; TOKEN_BLOCK];
        let (range, tokens) = (out.columns(), out.row_count());
        for first in range.clone().step_by(ROW_BLOCK) {
            for token in (0..tokens).step_by(TOKEN_BLOCK) {
                let products = &mut products[..TOKEN_BLOCK.min(tokens - token)];
                let x = &self.x[token * self.x_length..][..products.len() * self.x_length];
                for row in first..range.end.min(first + ROW_BLOCK) {
                    dots(&self.weights[row * self.row_length..][..self.row_length], x, products);
                    for (t, product) in products.iter().enumerate() {
                        out.row(token + t)[row - range.start] = *product;
                    }
                }
            }
        }
    }
}

/// Makes a kernel for one activation row one for any number of them.
fn one_by_one<W, A>(dot: fn(&[W], &[A]) -> f32) -> impl Fn(&[W], &[A], &mut [f32]) {
    move |weights, x, products| {
        for (product, x) in products.iter_mut().zip(x.chunks_exact(weights.len())) {
            *product = dot(weights, x);
        }
    }
}

/// The products of the rows of `weights` that `rows` names, which lie anywhere: each is asked for while the one
/// before it is multiplied.
fn chosen<W: Sync>(
    pool: &mut ThreadPool,
    weights: &[W],
    x: &[W],
    dot: fn(&[W], &[W]) -> f32,
    rows: &[u32],
    out: &mut [f32],
) {
    let row = |row: u32| &weights[row as usize * x.len()..][..x.len()];
    pool.for_each(Chunks::new(out, CHOSEN_ROWS), |_, part, out| {
        let first = part * CHOSEN_ROWS;
        for (index, out) in out.iter_mut().enumerate() {
            if let Some(next) = rows.get(first + index + 1) {
                fetch(row(*next));
            }
            *out = dot(row(rows[first + index]), x);
        }
    });
}

/// Asks for all cache lines of `values`.
fn fetch<T>(values: &[T]) {
    for line in (0..size_of_val(values)).step_by(CACHE_LINE) {
        prefetch(values.as_ptr().cast::<u8>().wrapping_add(line));
    }
}
