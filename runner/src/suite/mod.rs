//! Suites: from TOML files to validated cases and the trials selected from them.
//!
//! Data flows `load` (discover, read) → `wire` (serde types) → `validate` → `case` (domain types) →
//! `select` (trials with ids). No engine is named here and no model is opened.

pub mod case;
mod checks;
pub mod damage;
pub mod diagnostic;
pub(crate) mod document;
pub mod load;
pub mod name;
pub mod schema;
pub mod select;
mod syntax;
mod validate;
mod wire;

pub use case::{Case, Check, Kind, Suite, Tier, Variant};
pub use diagnostic::{Diagnostic, LoadErrors};
pub use load::load;
pub use select::{Filter, Trial, trials};
