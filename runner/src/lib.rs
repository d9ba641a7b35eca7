//! Runs declarative parity suites of an engine against a reference.
//!
//! Data goes one way, and nothing on the right is known on the left:
//!
//! ```text
//! suites/*.toml ─► suite ─┐
//! models.toml   ─► models ┴─► run ─► backend (engine | worker process) ─► outputs
//!                              outputs ─► compare (with stats) ─► verdict ─► report
//!                              times   ─► bench ─► receipt ─► report
//!                                       receipt ─► verify
//! ```
//!
//! `manifest` reads TOML for `suite` and `models`; `escape` makes text safe to show for everybody.
//! `cmd` holds one verb of the `parity` command a file; `tests/suites.rs` is the same run as a
//! libtest-mimic harness.

pub mod backend;
pub mod baseline;
pub mod bench;
pub mod cmd;
pub mod compare;
pub mod localize;
pub mod machine;
pub mod manifest;
pub mod models;
pub mod receipt;
pub mod report;
pub mod run;
pub mod stats;
pub mod suite;
pub mod verify;

pub use bitnet_engine::{escape, exit};
