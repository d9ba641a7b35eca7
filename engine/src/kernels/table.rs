//! The kernel table: one function per operation, one table per instruction set.
//!
//! A table exists only where the processor can run it, so holding one is the proof that calling it
//! is allowed. Nothing here reads the environment: the caller names the instruction set.

#[cfg(target_arch = "aarch64")]
use std::arch::is_aarch64_feature_detected;
use std::fmt;
use std::str::FromStr;

use half::{bf16, f16};

use super::scalar::tables;
use crate::quant::activation::{Int8Row, Q8KBlock, Q80Block};
use crate::quant::ternary_layout::Layout;

/// An instruction set that has a kernel table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isa {
    /// Portable Rust; the definition of every result.
    Scalar,
    /// x86-64 with AVX2, FMA and F16C.
    Avx2,
    /// x86-64 with AVX-512 F, BW, VL and VNNI.
    Avx512,
    /// The same with AVX-512 VBMI.
    Avx512Vbmi,
    /// AArch64 with NEON, which all of its processors have.
    Neon,
    /// AArch64 with NEON and the dot product instructions (FEAT_DotProd).
    NeonDotprod,
}

impl Isa {
    /// All instruction sets, of each architecture the slowest first.
    pub const ALL: [Isa; 6] =
        [Isa::Scalar, Isa::Avx2, Isa::Avx512, Isa::Avx512Vbmi, Isa::Neon, Isa::NeonDotprod];

    /// Its name in options, suites and receipts.
    pub const fn name(self) -> &'static str {
        match self {
            Isa::Scalar => "scalar",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
            Isa::Avx512Vbmi => "avx512-vbmi",
            Isa::Neon => "neon",
            Isa::NeonDotprod => "neon-dotprod",
        }
    }

    /// Whether this processor has it.
    pub fn is_available(self) -> bool {
        match self {
            Isa::Scalar => true,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => {
                is_x86_feature_detected!("avx2")
                    && is_x86_feature_detected!("fma")
                    && is_x86_feature_detected!("f16c")
            }
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => {
                Isa::Avx2.is_available()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512vnni")
            }
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Vbmi => Isa::Avx512.is_available() && is_x86_feature_detected!("avx512vbmi"),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => is_aarch64_feature_detected!("neon"),
            #[cfg(target_arch = "aarch64")]
            Isa::NeonDotprod => Isa::Neon.is_available() && is_aarch64_feature_detected!("dotprod"),
            // What another architecture has.
            _ => false,
        }
    }

    /// The fastest one that this processor has.
    pub fn best() -> Isa {
        *Isa::ALL.iter().rfind(|isa| isa.is_available()).unwrap_or(&Isa::Scalar)
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Isa {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Isa::ALL.into_iter().find(|isa| isa.name() == name).ok_or_else(|| {
            let known = Isa::ALL.map(Isa::name).join(", ");
            format!("unknown instruction set `{name}`; known are {known}")
        })
    }
}

/// `(row, activations, products)`: dot products of a row of blocks with whole rows of Q8_0 blocks,
/// one product for each activation row.
pub type DotsQ80 = fn(&[u8], &[Q80Block], &mut [f32]);

/// The same with Q8_K blocks.
pub type DotsQ8K = fn(&[u8], &[Q8KBlock], &mut [f32]);

/// The dot products of a block type, by what they multiply.
#[derive(Debug, Clone, Copy)]
pub enum BlockDots {
    /// For Q8_0 activations.
    Q8_0(DotsQ80),
    /// For Q8_K activations.
    Q8K(DotsQ8K),
}

/// The operations of one instruction set.
///
/// Lengths are checked by each kernel: a wrong one panics.
#[derive(Debug)]
pub struct Kernels {
    /// Which instruction set this is.
    pub isa: Isa,
    /// Layout that `ternary_dots` reads; weights are rearranged into it when a model is loaded.
    pub ternary_layout: Layout,
    /// `(codes, columns, activations, sums)`: integer dot products of every row of codes with every
    /// activation row. `codes` holds whole groups of [`Layout::rows_together`] rows, `activations`
    /// whole rows of `columns` int8 codes; `sums[token * row_count + row]` = Σ code · activation,
    /// with codes 0, 1, 2. Exact while |sum| < 2^31.
    pub ternary_dots: fn(&[u8], usize, &[i8], &mut [i32]),
    /// `(sums, sum, activation_scale, scale, out)`: `(sums[i] − sum) / activation_scale · scale`, the
    /// outputs behind the integer sums of a token whose activation codes add up to `sum`.
    pub scale_sums: fn(&[i32], i32, f32, f32, &mut [f32]),
    /// `(panels, columns, activations, sums)`: as `ternary_dots`, of whole panels of 6-bit codes
    /// ([`six_bit`](crate::quant::six_bit)).
    pub six_bit_dots: fn(&[u8], usize, &[i8], &mut [i32]),
    /// Whether `six_bit_dots` keeps up with the memory, so that screening a head with it pays.
    pub screens: bool,
    /// f32 to int8 codes with one scale; see [`crate::quant::activation::quantize_int8`].
    pub quantize_int8: fn(&[f32], &mut [i8]) -> Int8Row,
    /// Dot product of f32 rows.
    pub dot_f32: fn(&[f32], &[f32]) -> f32,
    /// Dot product of f16 rows, accumulated in f32.
    pub dot_f16: fn(&[f16], &[f16]) -> f32,
    /// `(rows, length, x, out)`: `dot_f32` of every row with every row of `x`, all of `length` values;
    /// `out[x_index * row_count + row]`.
    pub dots_f32: fn(&[f32], usize, &[f32], &mut [f32]),
    /// `(rows, stride, length, x, out)`: `dot_f16` of rows that begin `stride` apart with every row of `x`,
    /// all of `length` values; `out` says how many, and is ordered as that of `dots_f32`.
    pub dots_f16: fn(&[f16], usize, usize, &[f16], &mut [f32]),
    /// f32 to f16, round to nearest even.
    pub narrow_to_f16: fn(&[f32], &mut [f16]),
    /// Dot product of bf16 rows, accumulated in f32.
    pub dot_bf16: fn(&[bf16], &[bf16]) -> f32,
    /// f32 to bf16, round to nearest even.
    pub narrow_to_bf16: fn(&[f32], &mut [bf16]),
    /// f32 to Q8_0 blocks; see [`crate::quant::activation::quantize_q8_0`].
    pub quantize_q8_0: fn(&[f32], &mut [Q80Block]),
    /// f32 to Q8_K blocks; see [`crate::quant::activation::quantize_q8_k`].
    pub quantize_q8_k: fn(&[f32], &mut [Q8KBlock]),
    /// A row of Q4_0 blocks.
    pub dot_q4_0: DotsQ80,
    /// A row of Q8_0 blocks.
    pub dot_q8_0: DotsQ80,
    /// A row of Q4_K blocks.
    pub dot_q4_k: DotsQ8K,
    /// A row of Q5_K blocks.
    pub dot_q5_k: DotsQ8K,
    /// A row of Q6_K blocks.
    pub dot_q6_k: DotsQ8K,
    /// A row of TQ1_0 blocks.
    pub dot_tq1_0: DotsQ8K,
    /// A row of TQ2_0 blocks.
    pub dot_tq2_0: DotsQ8K,
    /// `(x, weight, eps, out)`: RMS norm times weight.
    pub rms_norm: fn(&[f32], &[f32], f32, &mut [f32]),
    /// `(scores, scale)`: softmax of scale · scores in place; the length is a multiple of 8.
    pub softmax: fn(&mut [f32], f32),
    /// `(gate, up)`: gate becomes relu(gate)² · up.
    pub relu_squared_gate: fn(&mut [f32], &[f32]),
    /// `(gate, up)`, one row: gate becomes silu(gate) · up, with silu(x) = x / (1 + e^−x).
    pub silu_gate: fn(&mut [f32], &[f32]),
    /// `(a, b)`: a += b.
    pub add: fn(&mut [f32], &[f32]),
}

impl Kernels {
    /// The table of `isa`, or nothing where the processor lacks it.
    pub fn for_isa(isa: Isa) -> Option<&'static Kernels> {
        if !isa.is_available() {
            return None;
        }
        Some(match isa {
            Isa::Scalar => tables::for_this_processor(),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => &super::avx2::KERNELS,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => &super::avx512::KERNELS,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Vbmi => &super::avx512_vbmi::KERNELS,
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => &super::neon::KERNELS,
            #[cfg(target_arch = "aarch64")]
            Isa::NeonDotprod => &super::neon::dotprod::KERNELS,
            _ => return None,
        })
    }

    /// The fastest table of this processor.
    pub fn best() -> &'static Kernels {
        Kernels::for_isa(Isa::best()).unwrap_or(&tables::PORTABLE)
    }

    /// The scalar table compiled for any processor of the architecture. That of `for_isa` is the same code,
    /// compiled for this processor where that is faster.
    pub fn portable() -> &'static Kernels {
        &tables::PORTABLE
    }
}
