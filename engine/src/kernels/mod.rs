//! Numeric kernels by instruction set, chosen at run time.
//!
//! `scalar` is the definition. Every other table computes the same bits: integers exactly, floats
//! because the definition fixes the order of additions and says where a product is fused. Kernels
//! know slices and `quant` layouts; they know neither files nor models.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod avx512_vbmi;
mod dispatch;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod macros;
#[cfg(target_arch = "aarch64")]
mod neon;
mod prefetch;
pub(crate) mod probe;
mod scalar;
mod table;

pub(crate) use dispatch::Dispatch;
pub use dispatch::{Dispatched, kernel_names};
pub(crate) use prefetch::prefetch;
pub use table::{BlockDots, DotsQ8K, DotsQ80, Isa, Kernels};
