//! Why the reference gave no result. Decides nothing: every reason comes from the shim.

use std::path::PathBuf;

/// Failure of a call into the reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A model could not be loaded.
    #[error("the reference cannot load {path:?}: {reason}")]
    Load {
        /// The file.
        path: PathBuf,
        /// The shim's or the reference's words, with the errors that the reference logged.
        reason: String,
    },
    /// A call on a loaded model failed.
    #[error("the reference's {call} failed: {reason}")]
    Call {
        /// Name of the method of [`Reference`](crate::Reference).
        call: &'static str,
        /// The shim's or the reference's words, with the errors that the reference logged.
        reason: String,
    },
    /// The result would not fit into memory that this process can address.
    #[error(
        "the reference's {call} would give {rows} rows of {vocab_size} logits, which is too many"
    )]
    TooLarge {
        /// Name of the method of [`Reference`](crate::Reference).
        call: &'static str,
        /// Rows asked for.
        rows: usize,
        /// Values of one row.
        vocab_size: usize,
    },
    /// The operating system gave no thread to compute on.
    #[error("no thread for the reference's {call}: {reason}")]
    Thread {
        /// Name of the method of [`Reference`](crate::Reference).
        call: &'static str,
        /// The operating system's words.
        reason: String,
    },
}
