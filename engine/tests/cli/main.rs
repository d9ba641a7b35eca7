//! The `bitnet` program from outside: exit codes, what is printed where, and that its figures are the
//! library's. Generation has tests of its own.

mod documents;
mod inspect;
mod load_error;
mod logits;
mod program;
mod streams;
mod tokenize;
