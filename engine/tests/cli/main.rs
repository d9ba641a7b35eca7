//! The `bitnet` program from outside: exit codes, what is printed where, and that its figures are the
//! library's. Generation has tests of its own.

mod bench;
mod documents;
#[path = "../model/edited.rs"]
#[expect(dead_code, reason = "the tests of models use more of it")]
mod edited;
mod inspect;
mod load_error;
mod logits;
#[path = "../support/packed.rs"]
mod packed;
mod packing;
mod program;
mod quantize;
mod shell_lines;
mod streams;
#[path = "../model/synthetic.rs"]
#[expect(dead_code, reason = "the tests of models use more of it")]
mod synthetic;
mod tokenize;
