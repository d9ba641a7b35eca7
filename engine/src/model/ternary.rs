//! The product of a ternary matrix, as far as one thread computes it. Which thread computes what, and what
//! activations become, is `linear`'s.

use crate::quant::activation::Int8Row;
use crate::quant::ternary_layout::Layout;
use crate::threads::ColumnShare;

/// A ternary matrix and the kernels that multiply it.
pub(super) struct Ternary<'a> {
    pub(super) codes: &'a [u8],
    pub(super) columns: usize,
    pub(super) scale: f32,
    pub(super) layout: Layout,
    pub(super) dots: fn(&[u8], usize, &[i8], &mut [i32]),
    pub(super) scale_sums: fn(&[i32], i32, f32, f32, &mut [f32]),
}

impl Ternary<'_> {
    /// One thread's share of the output rows, `row_block` of them at a time, for as many tokens as leave room
    /// for their integer sums in `sums`: `x` has the int8 codes of all tokens, `rows` their scales.
    pub(super) fn multiply(
        &self,
        x: &[i8],
        rows: &[Int8Row],
        row_block: usize,
        sums: &mut [i32],
        share: &mut ColumnShare<'_, f32>,
    ) {
        let (columns, together) = (self.columns, self.layout.rows_together());
        let group_bytes = self.layout.group_bytes(columns);
        let range = share.columns();
        for first in range.clone().step_by(row_block) {
            let count = row_block.min(range.end - first);
            // A block begins with a group; the last group may have rows that the matrix has not.
            let groups = first / together..(first + count).div_ceil(together);
            let row_count = groups.len() * together;
            let codes = &self.codes[groups.start * group_bytes..groups.end * group_bytes];
            let token_block = sums.len() / row_block;
            let tokens = x.chunks(token_block * columns).zip(rows.chunks(token_block));
            for (block, (x, rows)) in tokens.enumerate() {
                let sums = &mut sums[..row_count * rows.len()];
                (self.dots)(codes, columns, x, sums);
                for (t, (sums, row)) in sums.chunks_exact(row_count).zip(rows).enumerate() {
                    let out = share.row(block * token_block + t);
                    let out = &mut out[first - range.start..][..count];
                    (self.scale_sums)(&sums[..count], row.sum, row.scale, self.scale, out);
                }
            }
        }
    }
}
