//! CPU inference for BitNet b1.58 and other GGUF models.

pub mod gguf;
pub mod kernels;
pub mod quant;
pub mod synth;
pub mod tokenizer;
