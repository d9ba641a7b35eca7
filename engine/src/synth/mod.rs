//! synth
pub mod bpe_training;
