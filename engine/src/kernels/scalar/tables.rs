//! The scalar kernels as tables: compiled for any processor of the architecture, and on x86-64 a second time
//! for one that has AVX2, FMA and F16C. Computes nothing: both are the functions of `scalar`.
//!
//! Without FMA instructions each fused product is a call of the C library, which made scalar cases the
//! longest of the suites. The bits are the same: Rust neither fuses nor reorders what is not written so.

use half::{bf16, f16};

use super::blocks::{
    dot_bf16, dots_q4_0, dots_q4_k, dots_q5_k, dots_q6_k, dots_q8_0, dots_tq1_0, dots_tq2_0,
};
use super::{
    add, dot_f16, dot_f32, dots_f16, dots_f32, relu_squared_gate, rms_norm, scale_sums, silu_gate,
    six_bit_dots, softmax, ternary_dots,
};
#[cfg(target_arch = "x86_64")]
use crate::kernels::macros::available;
use crate::kernels::table::{Isa, Kernels};
use crate::quant::activation::{
    Int8Row, Q8KBlock, Q80Block, narrow_to_bf16, narrow_to_f16, quantize_int8, quantize_q8_0,
    quantize_q8_k,
};
use crate::quant::ternary_layout::Layout;

/// Declares the tables from one list of kernels.
macro_rules! tables {
    ($($field:ident: $kernel:ident($($arg:ident: $type:ty),*) $(-> $out:ty)?;)*) => {
        /// For any processor.
        pub(in crate::kernels) static PORTABLE: Kernels = Kernels {
            isa: Isa::Scalar,
            ternary_layout: Layout::Blocks128,
            screens: false,
            $($field: $kernel,)*
        };

        /// For one that [`Isa::Avx2`] is available on.
        #[cfg(target_arch = "x86_64")]
        static FUSED: Kernels = Kernels {
            isa: Isa::Scalar,
            ternary_layout: Layout::Blocks128,
            screens: false,
            $($field: |$($arg),*| available!(fused::$field($($arg),*)),)*
        };

        #[cfg(target_arch = "x86_64")]
        mod fused {
            use super::*;

            $(#[target_feature(enable = "avx2,fma,f16c")]
            pub(super) fn $field($($arg: $type),*) $(-> $out)? {
                super::$kernel($($arg),*)
            })*
        }
    };
}

tables! {
    ternary_dots: ternary_dots(rows: &[u8], columns: usize, x: &[i8], sums: &mut [i32]);
    scale_sums: scale_sums(sums: &[i32], sum: i32, by: f32, scale: f32, out: &mut [f32]);
    six_bit_dots: six_bit_dots(panels: &[u8], columns: usize, x: &[i8], sums: &mut [i32]);
    quantize_int8: quantize_int8(x: &[f32], codes: &mut [i8]) -> Int8Row;
    dot_f32: dot_f32(a: &[f32], b: &[f32]) -> f32;
    dot_f16: dot_f16(a: &[f16], b: &[f16]) -> f32;
    dots_f32: dots_f32(rows: &[f32], length: usize, x: &[f32], out: &mut [f32]);
    dots_f16: dots_f16(rows: &[f16], stride: usize, length: usize, x: &[f16], out: &mut [f32]);
    narrow_to_f16: narrow_to_f16(x: &[f32], out: &mut [f16]);
    dot_bf16: dot_bf16(a: &[bf16], b: &[bf16]) -> f32;
    narrow_to_bf16: narrow_to_bf16(x: &[f32], out: &mut [bf16]);
    quantize_q8_0: quantize_q8_0(x: &[f32], blocks: &mut [Q80Block]);
    quantize_q8_k: quantize_q8_k(x: &[f32], blocks: &mut [Q8KBlock]);
    dot_q4_0: dots_q4_0(row: &[u8], x: &[Q80Block], out: &mut [f32]);
    dot_q8_0: dots_q8_0(row: &[u8], x: &[Q80Block], out: &mut [f32]);
    dot_q4_k: dots_q4_k(row: &[u8], x: &[Q8KBlock], out: &mut [f32]);
    dot_q5_k: dots_q5_k(row: &[u8], x: &[Q8KBlock], out: &mut [f32]);
    dot_q6_k: dots_q6_k(row: &[u8], x: &[Q8KBlock], out: &mut [f32]);
    dot_tq1_0: dots_tq1_0(row: &[u8], x: &[Q8KBlock], out: &mut [f32]);
    dot_tq2_0: dots_tq2_0(row: &[u8], x: &[Q8KBlock], out: &mut [f32]);
    rms_norm: rms_norm(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]);
    softmax: softmax(scores: &mut [f32], scale: f32);
    relu_squared_gate: relu_squared_gate(gate: &mut [f32], up: &[f32]);
    silu_gate: silu_gate(gate: &mut [f32], up: &[f32]);
    add: add(a: &mut [f32], b: &[f32]);
}

/// The fastest of the tables that this processor can run.
pub(in crate::kernels) fn for_this_processor() -> &'static Kernels {
    #[cfg(target_arch = "x86_64")]
    if Isa::Avx2.is_available() {
        return &FUSED;
    }
    &PORTABLE
}
