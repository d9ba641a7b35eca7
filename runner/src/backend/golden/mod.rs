//! Goldens: what is kept of a reference's answers, so that a machine without the reference compares with
//! real ones. Knows the files and what is in them; it computes no answer and judges none.

mod bytes;
mod document;
mod form;
mod store;
#[cfg(test)]
mod tests;

pub use document::{
    Answer, Golden, Header, ParityAnswer, Question, StoredTokens, TextAnswer, prompt_sha256,
    texts_sha256,
};
pub use store::{GoldenStore, Kept, MOST_BYTES, MOST_BYTES_IN_ALL};

use std::path::PathBuf;

use crate::escape;

/// Why a golden cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum GoldenError {
    /// The file system's reason.
    #[error("cannot {verb} {}: {why}", shown(path))]
    Io {
        /// `read`, `write`, `list` or `remove`.
        verb: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's words.
        why: std::io::Error,
    },
    /// Its bytes are not those that were recorded, or no golden of this version.
    #[error(
        "the golden {} is damaged: {}\n  to get it: take it from version control again, or record it \
         where the reference is built: {}",
        shown(path),
        escape::text(why),
        again
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
        /// The command that records it.
        again: String,
    },
    /// It answers another question than the case asks.
    #[error(
        "the golden {} is stale: it was recorded with another {what} ({was}, now {now})\n  to get it: \
         where the reference is built, {again}",
        shown(path)
    )]
    Stale {
        /// The file.
        path: PathBuf,
        /// What has changed.
        what: &'static str,
        /// As it was.
        was: String,
        /// As it is.
        now: String,
        /// The command that records it.
        again: String,
    },
    /// More than one file for a case.
    #[error(
        "there are {count} goldens whose names begin with {name}: one is left over\n  to get it: where \
         the reference is built, {again}"
    )]
    Several {
        /// Begin of the names.
        name: String,
        /// How many.
        count: usize,
        /// The command that records it.
        again: String,
    },
    /// The recorded answer is too large.
    #[error("the golden of {name} would have {bytes} bytes, and may have {MOST_BYTES}")]
    TooLarge {
        /// Begin of the file's name.
        name: String,
        /// Its bytes.
        bytes: usize,
    },
}

fn shown(path: &std::path::Path) -> String {
    escape::text(&path.display().to_string())
}
