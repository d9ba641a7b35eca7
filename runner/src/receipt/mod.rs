//! Receipts: one versioned JSON document a benchmark, with all that was measured and what follows
//! from it. It starts no engine and judges no figure; readers refuse what they do not know.
//!
//! The raw data are the truth: every derived figure is recomputed from them by [`mod@derive`].

mod bench;
pub mod derive;
mod file;
pub mod schema;
mod time;

pub use crate::backend::{KernelCalls, Output};
pub use bench::{
    BenchReceipt, CaseFacts, Kind, Measure, Measured, Metrics, ModelFacts, Order, PeakMemory,
    Round, SCHEMA_VERSION, Side, Tool, Verdict, Verification, Visit, Word,
};
pub use file::{ReceiptError, file_name, read, write};
pub use time::rfc3339;
