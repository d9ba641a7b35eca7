//! A model file in other tensor types: what becomes of each tensor, and the file that results.
//!
//! Tensor by tensor: one is read, converted and written before the next, so that no more than one is in
//! memory. Types whose weights are ternary are converted among themselves without a loss of codes; what is
//! not ternary becomes so only where that is allowed. It prints nothing and chooses no type.
//!
//! ```text
//! Target ─► Plan (what happens, with sizes; shapes checked) ─► write: source ─► convert ─► GGUF
//! ```

mod convert;
mod error;
mod plan;
mod source;
mod target;
mod ternary;
mod write;

pub use error::QuantizeError;
pub use plan::{Options, Plan, Step};
pub use target::{Target, TargetError};
pub use ternary::Misfit;
pub use write::{Loss, Written};
