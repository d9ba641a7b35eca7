//! Suites: from TOML files to validated cases and the trials selected from them.
//!
//! Data flows `load` (discover; `manifest` reads) → `wire` (serde types) → `validate` → `case` (domain types) →
//! `select` (trials with ids). No engine is named here and no model is opened.

pub mod bench;
pub mod case;
mod checks;
pub mod damage;
pub mod load;
pub mod quantization;
mod read_bench;
mod read_quantization;
pub mod schema;
pub mod select;
pub mod template;
mod validate;
mod wire;
mod wire_quantization;

pub use crate::manifest::{Diagnostic, LoadErrors, Tier};
pub use case::{Case, Check, Kind, Suite, Variant};
pub use load::load;
pub use select::{Filter, Trial, trials};
