//! What activations become before a matrix multiplies them: each form that the weights at hand ask for, a row
//! a token. It rounds; it multiplies nothing.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use super::weights::{Form, Matrix};
use crate::kernels::Dispatch;
use crate::memory::{OutOfMemory, defaults, zeros};
use crate::quant::activation::{Int8Row, Q8_0_BLOCK, Q8_K_BLOCK, Q8KBlock, Q80Block};
use crate::threads::{Chunks, Parts};

/// Activations in the formats that the weights ask for, reused from one product to the next.
pub(crate) struct Activations {
    pub(super) codes: Vec<i8>,
    pub(super) rows: Vec<Int8Row>,
    pub(super) halves: Vec<f16>,
    pub(super) brains: Vec<bf16>,
    pub(super) blocks_32: Vec<Q80Block>,
    pub(super) blocks_256: Vec<Q8KBlock>,
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

    /// Rows for as many tokens, to be filled with what `matrices` multiply: each form once.
    pub(super) fn rows_for(
        &mut self,
        dispatch: &mut Dispatch,
        matrices: &[&Matrix],
        tokens: usize,
    ) -> FormRows<'_> {
        let columns = matrices[0].columns;
        let size = tokens * columns;
        let wanted = |form| matrices.iter().any(|matrix| matrix.form() == form);
        FormRows {
            int8: wanted(Form::Int8).then(|| {
                let codes = Chunks::new(&mut self.codes[..size], columns);
                (dispatch.quantize_int8(), (codes, Chunks::new(&mut self.rows[..tokens], 1)))
            }),
            f16: wanted(Form::F16).then(|| {
                let rows = &mut self.halves[..size];
                (dispatch.narrow_to_f16(), Chunks::new(rows, columns))
            }),
            bf16: wanted(Form::Bf16).then(|| {
                let rows = &mut self.brains[..size];
                (dispatch.narrow_to_bf16(), Chunks::new(rows, columns))
            }),
            q8_0: wanted(Form::Q8_0).then(|| {
                let rows = &mut self.blocks_32[..size / Q8_0_BLOCK];
                (dispatch.quantize_q8_0(), Chunks::new(rows, columns / Q8_0_BLOCK))
            }),
            q8_k: wanted(Form::Q8K).then(|| {
                let rows = &mut self.blocks_256[..size / Q8_K_BLOCK];
                (dispatch.quantize_q8_k(), Chunks::new(rows, columns / Q8_K_BLOCK))
            }),
            tokens,
        }
    }

    /// The one row that was filled last from `x`, as a float matrix multiplies it.
    pub(super) fn values(&self, x: &[f32], matrix: &Matrix, out: &mut [f32]) {
        match matrix.form() {
            Form::F16 => self.halves[..out.len()].convert_to_f32_slice(out),
            Form::Bf16 => self.brains[..out.len()].convert_to_f32_slice(out),
            _ => out.copy_from_slice(x),
        }
    }
}

/// Converts a row of f32.
type Convert<T> = fn(&[f32], &mut [T]);
/// Converts a row of f32 to int8 codes, and says what they mean.
type Quantize = fn(&[f32], &mut [i8]) -> Int8Row;
/// The codes of rows, and what they mean.
type Int8Rows<'a> = (Chunks<'a, i8>, Chunks<'a, Int8Row>);

/// Rows of every form that is wanted, with the kernels that fill them; a part is one token's.
pub(super) struct FormRows<'a> {
    int8: Option<(Quantize, Int8Rows<'a>)>,
    f16: Option<(Convert<f16>, Chunks<'a, f16>)>,
    bf16: Option<(Convert<bf16>, Chunks<'a, bf16>)>,
    q8_0: Option<(Convert<Q80Block>, Chunks<'a, Q80Block>)>,
    q8_k: Option<(Convert<Q8KBlock>, Chunks<'a, Q8KBlock>)>,
    tokens: usize,
}

impl<'a> Parts for FormRows<'a> {
    type Part = FormRow<'a>;

    fn count(&self) -> usize {
        self.tokens
    }

    unsafe fn part(&self, token: usize) -> FormRow<'a> {
        // SAFETY: each of them has one part a token, and what is asked of these is asked of those.
        unsafe {
            FormRow {
                int8: self.int8.as_ref().map(|(quantize, rows)| (*quantize, rows.part(token))),
                f16: self.f16.as_ref().map(|(narrow, rows)| (*narrow, rows.part(token))),
                bf16: self.bf16.as_ref().map(|(narrow, rows)| (*narrow, rows.part(token))),
                q8_0: self.q8_0.as_ref().map(|(quantize, rows)| (*quantize, rows.part(token))),
                q8_k: self.q8_k.as_ref().map(|(quantize, rows)| (*quantize, rows.part(token))),
            }
        }
    }
}

/// The codes of a row, and what they mean.
type Int8Place<'a> = (&'a mut [i8], &'a mut [Int8Row]);

/// One token's row in every form that is wanted.
pub(super) struct FormRow<'a> {
    int8: Option<(Quantize, Int8Place<'a>)>,
    f16: Option<(Convert<f16>, &'a mut [f16])>,
    bf16: Option<(Convert<bf16>, &'a mut [bf16])>,
    q8_0: Option<(Convert<Q80Block>, &'a mut [Q80Block])>,
    q8_k: Option<(Convert<Q8KBlock>, &'a mut [Q8KBlock])>,
}

impl FormRow<'_> {
    /// Converts `x`.
    pub(super) fn fill(self, x: &[f32]) {
        if let Some((quantize, (codes, row))) = self.int8 {
            row[0] = quantize(x, codes);
        }
        if let Some((narrow, out)) = self.f16 {
            narrow(x, out);
        }
        if let Some((narrow, out)) = self.bf16 {
            narrow(x, out);
        }
        if let Some((quantize, out)) = self.q8_0 {
            quantize(x, out);
        }
        if let Some((quantize, out)) = self.q8_k {
            quantize(x, out);
        }
    }
}
