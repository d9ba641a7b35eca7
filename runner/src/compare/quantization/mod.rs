//! Judges a quantised matrix: how far it is from its source, and its product from the exact one. Pure
//! functions over slices; knows no type's layout and no engine.

mod figures;
mod judge;
mod limits;
#[cfg(test)]
mod tests;

pub use figures::{Gap, Place, gap, product, share_within};
pub use judge::{Integers, QuantizationInput, QuantizationVerdict, QuantizationWord, judge};
pub use limits::{Limits, Metric, TABLE, limits_markdown, limits_of};
