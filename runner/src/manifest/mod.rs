//! What every TOML file of a project is read with: text, spans, messages, names, paths and tiers.
//!
//! Knows no key of any file; `suite` and `models` stand above it.

pub mod diagnostic;
pub(crate) mod digest;
pub(crate) mod document;
pub mod name;
pub(crate) mod path;
mod syntax;
mod tier;

pub use diagnostic::{Diagnostic, LoadErrors};
pub use tier::Tier;
