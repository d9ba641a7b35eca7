//! The verbs of the `parity` command, one a file.

pub mod baselines;
pub mod bench;
pub mod crossval;
pub mod documents;
pub mod fetch;
pub mod localize;
mod lock;
mod manifest;
mod matrix;
pub mod models;
pub mod new;
pub mod ppl;
pub mod receipt;
pub mod record;
pub mod report;
pub mod run;
mod run_localize;
mod run_receipts;
mod run_reports;
pub mod schema;
mod selection;
pub mod worker;
