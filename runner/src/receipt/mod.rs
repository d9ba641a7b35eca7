//! Receipts: one versioned JSON document a trial, with all that was measured and what follows from it.
//! It starts no engine; readers refuse what they do not know.
//!
//! The raw data are the truth: every derived figure is recomputed from them, of benchmarks by
//! [`mod@derive`], of comparisons by [`Raw::judge`] and [`ParityMetrics::of`].

mod bench;
mod canonical;
mod columns;
pub mod derive;
mod direct;
mod facts;
mod file;
mod layout;
mod parity;
mod parity_metrics;
pub mod schema;
mod time;

pub use crate::backend::{KernelCalls, Output};
pub use bench::{
    BenchReceipt, Measure, Measured, Metrics, Order, PeakMemory, Round, Side, Verdict,
    Verification, Visit, Word,
};
pub use columns::Columns;
pub use facts::{CaseFacts, Kind, ModelFacts, SCHEMA_VERSION, Tool};
pub use file::{
    Document, Receipt, ReceiptError, file_name, parse, read, read_any, read_unverified,
    with_digest, write, write_parity, write_to,
};
pub use parity::{
    ParityReceipt, ParityVerdict, PromptFacts, PromptForm, Raw, RawFlip, RawFreeRun, RawPath,
};
pub use parity_metrics::{ParityMetrics, PathMetrics};
pub use time::rfc3339;
