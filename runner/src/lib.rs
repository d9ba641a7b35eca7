//! Runs declarative parity suites of an engine against a reference.

pub mod backend;
pub mod compare;
pub mod models;
pub mod stats;
pub mod suite;
