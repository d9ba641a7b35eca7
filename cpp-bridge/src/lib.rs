//! Safe Rust access to a C++ reference engine of the llama.cpp family, through cxx.
//!
//! This crate holds the bridge and knows no particular reference. Depending on it alone compiles;
//! calling it links only together with one provider crate, which compiles the shim in `shim/`
//! against its own `llama.h` (see the README).

mod error;
#[expect(unused_qualifications, reason = "cxx writes qualified paths into what it generates")]
mod ffi;
mod reference;
mod settings;
mod stack;

pub use error::Error;
pub use reference::{
    BuildInfo, CapturedTensor, Generation, Reference, Timed, Timings, build_info, log_tail,
};
pub use settings::{CacheType, Settings};
