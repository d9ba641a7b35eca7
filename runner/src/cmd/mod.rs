//! The verbs of the `parity` command, one a file.

mod manifest;
pub mod models;
pub mod run;
pub mod schema;
