//! Accepted speeds, made of receipts and kept in `baselines/`, and whether new receipts keep to them. It
//! measures nothing; its files are written by nothing else.
//!
//! ```text
//! receipts ─► admit (which count) ─► derive (a level of several) ─► document (file, digest)
//! receipts ─► check (against documents) ─► findings
//! ```

pub mod accept;
pub mod admit;
pub mod check;
mod derive;
mod document;

pub use document::{BaselineError, Document, Entry, Input, Key, Level, Release, read_all};
