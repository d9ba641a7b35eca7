//! Conversion of files: what is lossless, which bytes are ggml's, what is refused, and what stays as it is.

#[path = "../model/edited.rs"]
#[expect(dead_code, reason = "the tests of models use more of it")]
mod edited;
#[path = "../support/packed.rs"]
mod packed;
#[path = "../model/synthetic.rs"]
#[expect(dead_code, reason = "the tests of models use more of it")]
mod synthetic;

mod bytes;
mod contents;
mod files;
mod lossless;
mod refusals;
