//! What the store reports while it works: slow steps, and every step that a crash may fall between.
//! Shows nothing itself.

use std::path::Path;
use std::time::Duration;

/// Who hears of progress.
pub type Hear<'a> = &'a (dyn Fn(Progress<'_>) + Sync);

/// What a step reports while it runs; the first field is the model's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress<'a> {
    /// Another process works on the same model.
    Waiting(&'a str),
    /// Tensors of a synthetic model written, of how many.
    Making(&'a str, usize, usize),
    /// Bytes hashed, of how many.
    Hashing(&'a str, u64, u64),
    /// Bytes begin to come.
    Fetching {
        /// The model.
        id: &'a str,
        /// Where they come from; safe to show.
        source: &'a str,
        /// How many are here already.
        from: u64,
        /// Size of the whole file.
        bytes: u64,
    },
    /// Bytes of the file that are in the partial file, of how many.
    Received(&'a str, u64, u64),
    /// An attempt failed for a reason that may pass.
    Retrying {
        /// The model.
        id: &'a str,
        /// What happened; safe to show.
        cause: &'a str,
        /// Number of the attempt that comes.
        attempt: u32,
        /// How many there are.
        of: u32,
        /// How long it waits before.
        wait: Duration,
    },
    /// A wrong file was moved out of the way.
    Quarantined {
        /// The model.
        id: &'a str,
        /// Where the file is now.
        to: &'a Path,
        /// What is wrong with it.
        why: &'a str,
    },
    /// Something went wrong and the work goes on.
    Warning(&'a str, &'a str),
    /// A slow step is over.
    Done(&'a str),
    /// A durable step was done.
    Step(&'a str, Step),
}

/// A step after which the store looks different to whoever comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The model's lock is held.
    Locked,
    /// The partial file exists and is open.
    PartialOpened,
    /// The note beside the partial file is written.
    PartialNoted,
    /// The hash of all bytes is the pinned one.
    Hashed,
    /// The file's bytes are on the disk.
    Synced,
    /// The file has its final name.
    Renamed,
    /// The folder's entry is on the disk.
    FolderSynced,
    /// The stamp is in place.
    Stamped,
}

/// The work on one model, reporting under its id.
#[derive(Clone, Copy)]
pub(super) struct Voice<'a> {
    /// The model.
    pub id: &'a str,
    /// Who hears.
    pub hear: Hear<'a>,
}

impl Voice<'_> {
    pub(super) fn step(&self, step: Step) {
        (self.hear)(Progress::Step(self.id, step));
    }

    pub(super) fn warn(&self, text: &str) {
        (self.hear)(Progress::Warning(self.id, text));
    }
}
