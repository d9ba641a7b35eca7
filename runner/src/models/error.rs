//! Why there is no verified file: the cause, and what to do next. Decides nothing.

use std::io;
use std::path::{Path, PathBuf};

/// Environment variable that names the cache folder.
pub const CACHE_VARIABLE: &str = "BITNET_CACHE_DIR";

/// Why there is no verified file.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The home folder is unknown, so there is no place for a cache.
    #[error("no folder for the model cache: {0}; set {CACHE_VARIABLE} to one")]
    NoCache(String),
    /// An environment variable cannot be used.
    #[error("{name} {why}")]
    Setting {
        /// The variable.
        name: &'static str,
        /// What is wrong with it, and what would be right.
        why: String,
    },
    /// The operating system refused.
    #[error(transparent)]
    Io(IoCause),
    /// The file of one model could not be had.
    #[error("model '{id}': {cause}")]
    Model {
        /// The model.
        id: String,
        /// What went wrong, with the next step.
        cause: Box<Cause>,
    },
}

impl StoreError {
    /// Whether nothing is wrong but that the file is not here.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Model { cause, .. } if matches!(**cause, Cause::NotHere { .. }))
    }
}

/// What went wrong with one model.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// The operating system refused.
    #[error(transparent)]
    Io(#[from] IoCause),
    /// The synthetic model cannot be made.
    #[error("cannot be made: {0}")]
    Synth(String),
    /// The bytes are not the pinned ones.
    #[error(transparent)]
    Mismatch(Box<Mismatch>),
    /// The file is not on this machine, and this command gets none.
    #[error(
        "not on this machine; get it with `parity fetch --id {id}`, or put the file of {origin} at {}",
        .place.display()
    )]
    NotHere {
        /// The model.
        id: String,
        /// Where the file comes from, in words.
        origin: String,
        /// Where it belongs.
        place: PathBuf,
    },
    /// The file of the user's own is not there.
    #[error("{} does not exist; put the file there, or correct the entry in models.toml", .0.display())]
    NoSuchPath(PathBuf),
    /// The file would have to be downloaded, and that is not wished.
    #[error(
        "not on this machine, and offline nothing is downloaded; run `parity fetch --id {id}` with a \
         network, or put the file of {origin} at {}",
        .place.display()
    )]
    Offline {
        /// The model.
        id: String,
        /// Where the file comes from, in words.
        origin: String,
        /// Where it belongs.
        place: PathBuf,
    },
    /// The disk is too small.
    #[error(
        "needs {needs} bytes, free are {free} in {}; free some, or set {CACHE_VARIABLE} to a folder \
         on a larger disk",
        .folder.display()
    )]
    NoSpace {
        /// Where they are needed.
        folder: PathBuf,
        /// Bytes that are needed.
        needs: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// The disk became full.
    #[error(
        "{source}: {missing} bytes are missing; what is there is kept in {}: free some space and \
         run `parity fetch --id {id}` again",
        .partial.display()
    )]
    DiskFull {
        /// The model.
        id: String,
        /// What is there so far.
        partial: PathBuf,
        /// Bytes that are missing.
        missing: u64,
        /// The system's reason.
        source: io::Error,
    },
    /// A link stands where only the store puts things.
    #[error("{} is a symbolic link, which is never followed; remove it", .0.display())]
    Link(PathBuf),
    /// Its terms have to be accepted first.
    #[error(
        "its terms ({license}, {terms}) have not been accepted; read them, then run \
         `parity fetch --id {id} --accept-terms {id}`"
    )]
    Terms {
        /// The model.
        id: String,
        /// Its licence.
        license: String,
        /// Where the terms stand.
        terms: String,
    },
    /// No source gave the file; the reason of the last one.
    #[error("{source_name}: {why}")]
    Source {
        /// The source, safe to show.
        source_name: String,
        /// The reason, with the next step.
        why: String,
    },
    /// An environment variable cannot be used.
    #[error("{name} {why}")]
    Setting {
        /// The variable.
        name: &'static str,
        /// What is wrong with it, and what would be right.
        why: String,
    },
}

/// What the operating system refused.
#[derive(Debug, thiserror::Error)]
#[error("{}: cannot {action}: {source}{}", .path.display(), hint(.source))]
pub struct IoCause {
    /// The file or folder.
    pub path: PathBuf,
    /// What was tried.
    pub action: &'static str,
    /// The system's reason.
    pub source: io::Error,
}

/// The next step after a refusal that a user can do something about.
fn hint(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            format!("; set {CACHE_VARIABLE} to a folder that can be written")
        }
        kind if is_full(kind) => format!("; free some space, or set {CACHE_VARIABLE}"),
        _ => String::new(),
    }
}

/// Whether a write failed because nothing more fits.
pub(super) fn is_full(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

/// A file whose bytes are not the pinned ones.
#[derive(Debug, thiserror::Error)]
#[error(
    "{} has sha256 {found} and {found_bytes} bytes, but models.toml pins {wanted} and {wanted_bytes} \
     bytes; {next}",
    .path.display()
)]
pub struct Mismatch {
    /// The file.
    pub path: PathBuf,
    /// Its hash.
    pub found: String,
    /// Its length.
    pub found_bytes: u64,
    /// The pinned hash.
    pub wanted: String,
    /// The pinned length.
    pub wanted_bytes: u64,
    /// What to do.
    pub next: &'static str,
}

/// Says what was tried with `path`.
pub(super) fn io_cause(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> IoCause {
    let path = path.to_owned();
    move |source| IoCause { path, action, source }
}
