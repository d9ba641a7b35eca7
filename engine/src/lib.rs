//! CPU inference for BitNet b1.58 and other GGUF models.
//!
//! A file becomes a computation from left to right, and nothing on the right is known on the left:
//!
//! ```text
//! gguf ─► model (config, weights, forward) ─► session (prefill, step, KV cache) ─► sample
//!   └───► tokenizer (text ↔ ids)      ▲                                             └─► generate
//!            quant ─► kernels (by instruction set) · threads (the pool)
//! ```
//!
//! `quant` and the scalar kernels define every result; other instruction sets give the same bits.
//! `generate` makes text of a session and a sampler, `chat` makes prompts of conversations.
//! `quantize` writes a model's file in other tensor types, `synth` deterministic models to test with. `escape` makes text safe to show, `exit` is the
//! table of exit codes and `load_error` the text of `error[E10]`; they serve every program of the
//! project. `roofline` measures what the machine could do at best.
//!
//! ```no_run
//! use std::{num::NonZeroUsize, path::Path, sync::Arc};
//! use bitnet_engine::{model::{LogitsOf, Model}, sample, session::Session};
//!
//! let model = Arc::new(Model::open(Path::new("model.gguf"))?);
//! let mut session = Session::new(&model, 256, NonZeroUsize::MIN)?;
//! let ids = model.tokenizer().encode("The quick brown fox", true, false)?;
//! let next = sample::greedy(&session.prefill(&ids, LogitsOf::Last)?)?;
//! let after_next = sample::greedy(session.step(next)?)?;
//! # let _ = after_next; Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[cfg(feature = "chat")]
pub mod chat;
#[cfg(feature = "command-docs")]
pub mod command_docs;
pub mod escape;
pub mod exit;
pub mod generate;
pub mod gguf;
pub mod kernels;
pub mod load_error;
mod memory;
pub mod model;
pub mod needs;
pub mod quant;
pub mod quantize;
pub mod roofline;
pub mod sample;
pub mod session;
pub mod synth;
pub mod threads;
pub mod tokenizer;
