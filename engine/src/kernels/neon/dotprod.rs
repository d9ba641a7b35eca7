//! Integer products with the dot product instructions of AArch64 (FEAT_DotProd). What is missing
//! here is NEON's.
//!
//! `sdot` is written as assembly because its intrinsic was unstable in the oldest Rust that the
//! project supports.

use std::arch::aarch64::*;
use std::arch::asm;

use super::products::integer_kernels;
use crate::kernels::macros::available;
use crate::kernels::table::{Isa, Kernels};

pub(in crate::kernels) static KERNELS: Kernels = Kernels {
    isa: Isa::NeonDotprod,
    ternary_dots: |rows, columns, x, sums| available!(ternary_dots(rows, columns, x, sums)),
    dot_q4_0: |row, x, out| available!(dot_q4_0(row, x, out)),
    dot_q8_0: |row, x, out| available!(dot_q8_0(row, x, out)),
    dot_q4_k: |row, x, out| available!(dot_q4_k(row, x, out)),
    dot_q5_k: |row, x, out| available!(dot_q5_k(row, x, out)),
    dot_q6_k: |row, x, out| available!(dot_q6_k(row, x, out)),
    dot_tq1_0: |row, x, out| available!(dot_tq1_0(row, x, out)),
    dot_tq2_0: |row, x, out| available!(dot_tq2_0(row, x, out)),
    ..super::KERNELS
};

/// Sums of products of codes 0 to 3, values 4l to 4l + 3 of each 16 in lane l.
type Sums = int32x4_t;

/// Blocks of 128 in one sum: a bound for 16-bit lanes, here of no use but as the length of a loop.
const BLOCKS_PER_SUM: usize = 64;

#[inline]
#[target_feature(enable = "neon,dotprod")]
fn no_sums() -> Sums {
    vdupq_n_s32(0)
}

/// Adds the products of values 4l to 4l + 3 to lane l.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn add_small(mut sums: Sums, codes: int8x16_t, x: int8x16_t) -> Sums {
    // SAFETY: the instruction is one of this function's target features and touches nothing but the
    // three registers.
    unsafe {
        asm!(
            "sdot {sums:v}.4s, {codes:v}.16b, {x:v}.16b",
            sums = inout(vreg) sums,
            codes = in(vreg) codes,
            x = in(vreg) x,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sums
}

#[inline]
#[target_feature(enable = "neon,dotprod")]
fn lanes(sums: Sums) -> int32x4_t {
    sums
}

#[inline]
#[target_feature(enable = "neon,dotprod")]
fn dot_16(codes: int8x16_t, x: int8x16_t) -> int32x4_t {
    add_small(no_sums(), codes, x)
}

integer_kernels! { "neon,dotprod" }
