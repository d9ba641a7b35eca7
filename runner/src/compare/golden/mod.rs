//! A comparison with what is kept of a reference's logits. Rows whose bits are the kept ones are judged as
//! a live comparison judges them; of the others every figure lies between two bounds, and a rule that
//! the bounds do not decide is an error. It claims nothing that was not kept, and reads no file.

mod bounds;
mod digest;
mod judge;
mod sketch;
#[cfg(test)]
mod tests;

pub use digest::{HEAD_TOKENS, PathDigest, RowDigest, RowFigures};
pub use judge::{GoldenInput, judge_golden};
pub use sketch::{PROJECTIONS, Sketch};
