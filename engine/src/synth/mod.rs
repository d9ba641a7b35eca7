//! Deterministic synthetic models: real GGUF files with seeded weights, for tests and benchmarks.
//!
//! The same spec gives the same bytes on every machine: integers from a counter-based generator,
//! floats from them by single IEEE operations, no library function in between. The weights mean
//! nothing; their scales are chosen so that activations and distributions look like a trained
//! model's.

pub mod bpe_training;
mod form;
mod random;
mod spec;
mod vocabulary;
mod write;

pub use form::architectures;
pub use spec::{Preset, SpecError, SynthSpec, WeightType, weight_types};
pub use write::{SynthError, write_model};
