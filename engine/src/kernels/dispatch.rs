//! Hands out the kernels of a table and counts how often: what a receipt says was computed is what
//! was dispatched. It computes nothing.

use half::{bf16, f16};

use super::table::{BlockDots, Isa, Kernels};
use crate::quant::activation::{Int8Row, Q8KBlock, Q80Block};
use crate::quant::blocks::BlockType;
use crate::quant::ternary_layout::Layout;

/// A kernel that was handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dispatched {
    /// The instruction set that it was written for.
    pub isa: Isa,
    /// Its name, as in [`Kernels`].
    pub kernel: &'static str,
    /// How many operations were computed with it: an operation of all rows of a chunk counts once.
    pub count: u64,
}

/// The kernels of one table, with a counter for each.
#[derive(Debug)]
pub(crate) struct Dispatch {
    kernels: &'static Kernels,
    counts: [u64; NAMES.len()],
}

impl Dispatch {
    pub(crate) fn new(kernels: &'static Kernels) -> Self {
        Self { kernels, counts: [0; NAMES.len()] }
    }

    /// The layout that `ternary_dots` reads.
    pub(crate) fn ternary_layout(&self) -> Layout {
        self.kernels.ternary_layout
    }

    /// The kernels that were handed out at least once.
    pub(crate) fn dispatched(&self) -> impl Iterator<Item = Dispatched> {
        let counted = NAMES.iter().zip(self.counts).filter(|(_, count)| *count > 0);
        counted.map(|(&kernel, count)| Dispatched { isa: self.kernels.isa, kernel, count })
    }
}

/// Declares for each kernel its counter, its name and the method that hands it out; those of block
/// types are handed out by type.
macro_rules! kernels {
    (
        table { $($field:ident: $field_type:ty,)* }
        blocks { $($dots:ident: $block:ident * $activation:ident,)* }
    ) => {
        #[expect(non_camel_case_types, reason = "the names are those of the kernels")]
        enum Counter { $($field,)* $($dots,)* }

        const NAMES: &[&str] = &[$(stringify!($field),)* $(stringify!($dots),)*];

        impl Kernels {
            /// The dot products of a block type.
            pub fn block_dots(&self, block_type: BlockType) -> BlockDots {
                match block_type {
                    $(BlockType::$block => BlockDots::$activation(self.$dots),)*
                }
            }
        }

        impl Dispatch {
            $(pub(crate) fn $field(&mut self) -> $field_type {
                self.counts[Counter::$field as usize] += 1;
                self.kernels.$field
            })*
            pub(crate) fn block_dots(&mut self, block_type: BlockType) -> BlockDots {
                let counter = match block_type {
                    $(BlockType::$block => Counter::$dots,)*
                };
                self.counts[counter as usize] += 1;
                self.kernels.block_dots(block_type)
            }
        }
    };
}

kernels! {
    table {
        ternary_dots: fn(&[u8], usize, &[i8], &mut [i32]),
        scale_sums: fn(&[i32], i32, f32, f32, &mut [f32]),
        six_bit_dots: fn(&[u8], usize, &[i8], &mut [i32]),
        quantize_int8: fn(&[f32], &mut [i8]) -> Int8Row,
        dot_f32: fn(&[f32], &[f32]) -> f32,
        dot_f16: fn(&[f16], &[f16]) -> f32,
        dots_f32: fn(&[f32], usize, &[f32], &mut [f32]),
        dots_f16: fn(&[f16], usize, usize, &[f16], &mut [f32]),
        narrow_to_f16: fn(&[f32], &mut [f16]),
        dot_bf16: fn(&[bf16], &[bf16]) -> f32,
        narrow_to_bf16: fn(&[f32], &mut [bf16]),
        quantize_q8_0: fn(&[f32], &mut [Q80Block]),
        quantize_q8_k: fn(&[f32], &mut [Q8KBlock]),
        rms_norm: fn(&[f32], &[f32], f32, &mut [f32]),
        softmax: fn(&mut [f32], f32),
        relu_squared_gate: fn(&mut [f32], &[f32]),
        silu_gate: fn(&mut [f32], &[f32]),
        add: fn(&mut [f32], &[f32]),
    }
    blocks {
        dot_q4_0: Q4_0 * Q8_0,
        dot_q8_0: Q8_0 * Q8_0,
        dot_q4_k: Q4K * Q8K,
        dot_q5_k: Q5K * Q8K,
        dot_q6_k: Q6K * Q8K,
        dot_tq1_0: Tq1_0 * Q8K,
        dot_tq2_0: Tq2_0 * Q8K,
    }
}

/// Names of all kernels that can be handed out, as [`Dispatched`] gives them.
pub fn kernel_names() -> &'static [&'static str] {
    NAMES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_handed_out_is_named_with_its_instruction_set() {
        let mut dispatch = Dispatch::new(Kernels::best());
        assert_eq!(dispatch.dispatched().count(), 0);
        let add = dispatch.add();
        add(&mut [1.0; 8], &[1.0; 8]);
        dispatch.add();
        dispatch.block_dots(BlockType::Tq2_0);
        assert_eq!(
            dispatch.dispatched().collect::<Vec<_>>(),
            [
                Dispatched { isa: Isa::best(), kernel: "add", count: 2 },
                Dispatched { isa: Isa::best(), kernel: "dot_tq2_0", count: 1 },
            ]
        );
    }
}
