//! Models: what is loaded and what is refused, what a session promises, the forward pass against an
//! independent one, and the synthetic files that all of it is tested with.

mod architectures;
mod contents;
mod edited;
mod f64_pass;
mod key_cache;
mod layouts;
mod loading;
mod lookup;
mod oracle;
#[path = "../support/packed.rs"]
mod packed;
mod recorder;
mod refusal;
mod session;
mod synth;
mod synthetic;
mod taps;
mod top;
mod truncation;
