//! Hands out the kernels of a table and counts how often: what a receipt says was computed is what
//! was dispatched. It computes nothing.

use half::f16;

use super::table::{Isa, Kernels};
use crate::quant::activation::{Int8Row, Q8KBlock, quantize_q8_k};

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

    /// The kernels that were handed out at least once.
    pub(crate) fn dispatched(&self) -> impl Iterator<Item = Dispatched> {
        let counted = NAMES.iter().zip(self.counts).filter(|(_, count)| *count > 0);
        counted.map(|(&(from_table, kernel), count)| {
            let isa = if from_table { self.kernels.isa } else { Isa::Scalar };
            Dispatched { isa, kernel, count }
        })
    }
}

/// Declares for each kernel its counter, its name and the method that hands it out.
macro_rules! kernels {
    (table { $($field:ident: $field_type:ty,)* } scalar { $($name:ident: $type:ty = $path:path,)* }) => {
        #[expect(non_camel_case_types, reason = "the names are those of the kernels")]
        enum Counter { $($field,)* $($name,)* }

        /// Whether the kernel comes from the table, and its name.
        const NAMES: &[(bool, &str)] =
            &[$((true, stringify!($field)),)* $((false, stringify!($name)),)*];

        impl Dispatch {
            $(pub(crate) fn $field(&mut self) -> $field_type {
                self.counts[Counter::$field as usize] += 1;
                self.kernels.$field
            })*
            $(pub(crate) fn $name(&mut self) -> $type {
                self.counts[Counter::$name as usize] += 1;
                $path
            })*
        }
    };
}

kernels! {
    table {
        ternary_dots: fn(&[u8], usize, &[i8], &mut [i32]),
        quantize_int8: fn(&[f32], &mut [i8]) -> Int8Row,
        dot_f32: fn(&[f32], &[f32]) -> f32,
        dot_f16: fn(&[f16], &[f16]) -> f32,
        narrow_to_f16: fn(&[f32], &mut [f16]),
        dot_q6_k: fn(&[u8], &[Q8KBlock]) -> f32,
        rms_norm: fn(&[f32], &[f32], f32, &mut [f32]),
        softmax: fn(&mut [f32], f32),
        relu_squared_gate: fn(&mut [f32], &[f32]),
        silu_gate: fn(&mut [f32], &[f32]),
        add: fn(&mut [f32], &[f32]),
    }
    scalar {
        quantize_q8_k: fn(&[f32], &mut [Q8KBlock]) = quantize_q8_k,
    }
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
        dispatch.quantize_q8_k();
        assert_eq!(
            dispatch.dispatched().collect::<Vec<_>>(),
            [
                Dispatched { isa: Isa::best(), kernel: "add", count: 2 },
                Dispatched { isa: Isa::Scalar, kernel: "quantize_q8_k", count: 1 },
            ]
        );
    }
}
