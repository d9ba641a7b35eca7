//! The folder of one model in the cache: names, and moving files to and from the final one. Nothing
//! in it that is a link is ever followed.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use super::disk::{Disk, protect};
use super::error::{Cause, IoCause, io_cause};
use super::progress::{Progress, Step, Voice};

/// Beginning of the names of files that are not finished.
pub(super) const UNFINISHED: [&str; 3] = [".partial", ".making", ".verified.new"];
/// Beginning of the names of files that were found wrong.
pub(super) const CORRUPT: &str = ".corrupt-";

/// What is left of a disk when a model is on it.
const SPARE: u64 = 16 << 20;

/// Rooms of this process that no lock protected.
static UNLOCKED: AtomicU64 = AtomicU64::new(0);

/// The folder of one model.
#[derive(Debug)]
pub(super) struct Room {
    /// `models/<sha256>`.
    pub folder: PathBuf,
    /// What makes the names of unfinished files our own where no lock does.
    suffix: String,
}

impl Room {
    /// `alone` is whether a lock keeps other processes away.
    pub(super) fn new(folder: PathBuf, alone: bool) -> Self {
        if alone {
            return Self { folder, suffix: String::new() };
        }
        // The time tells this process from others of its number, on other machines and later.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let count = UNLOCKED.fetch_add(1, Ordering::Relaxed);
        Self { folder, suffix: format!("-{}-{now}-{count}", std::process::id()) }
    }

    fn name(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}{}", self.suffix))
    }

    pub(super) fn file(&self) -> PathBuf {
        self.folder.join("model.gguf")
    }

    pub(super) fn stamp(&self) -> PathBuf {
        self.folder.join(".verified")
    }

    pub(super) fn new_stamp(&self) -> PathBuf {
        self.name(".verified.new")
    }

    pub(super) fn partial(&self) -> PathBuf {
        self.name(".partial")
    }

    pub(super) fn note(&self) -> PathBuf {
        self.name(".partial.json")
    }

    pub(super) fn new_note(&self) -> PathBuf {
        self.name(".partial.json.new")
    }

    pub(super) fn making(&self) -> PathBuf {
        self.name(".making")
    }

    /// Refuses a folder that is a link: what is in it would lie elsewhere.
    pub(super) fn check(&self) -> Result<(), Cause> {
        match fs::symlink_metadata(&self.folder) {
            Ok(metadata) if metadata.is_symlink() => Err(Cause::Link(self.folder.clone())),
            _ => Ok(()),
        }
    }

    pub(super) fn create(&self, disk: &dyn Disk) -> Result<(), IoCause> {
        disk.create_folders(&self.folder).map_err(io_cause(&self.folder, "create"))
    }

    /// Refuses to begin what the disk has no space for: `bytes` more than are there now.
    pub(super) fn check_space(&self, disk: &dyn Disk, bytes: u64) -> Result<(), Cause> {
        let mut folder = self.folder.as_path();
        while let (false, Some(above)) = (folder.exists(), folder.parent()) {
            folder = above;
        }
        let free =
            disk.free_space(folder).map_err(io_cause(folder, "ask for the free space of"))?;
        let needs = bytes.saturating_add(SPARE);
        match free {
            Some(free) if free < needs => {
                Err(Cause::NoSpace { folder: folder.to_owned(), needs, free })
            }
            _ => Ok(()),
        }
    }

    /// Gives the finished `file`, named `from`, its final name, so that it survives a loss of power.
    pub(super) fn settle(
        &self,
        disk: &dyn Disk,
        file: &File,
        from: &Path,
        voice: Voice<'_>,
    ) -> Result<(), IoCause> {
        disk.sync(file, from).map_err(io_cause(from, "write"))?;
        voice.step(Step::Synced);
        protect(file).map_err(io_cause(from, "protect"))?;
        disk.rename(from, &self.file()).map_err(io_cause(&self.file(), "create"))?;
        voice.step(Step::Renamed);
        disk.sync_folder(&self.folder).map_err(io_cause(&self.folder, "sync"))?;
        voice.step(Step::FolderSynced);
        Ok(())
    }

    /// Moves whatever is at `path` out of the way, unopened.
    pub(super) fn quarantine(
        &self,
        disk: &dyn Disk,
        path: &Path,
        why: &str,
        voice: Voice<'_>,
    ) -> Result<(), IoCause> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut to = self.folder.join(format!("{CORRUPT}{now}"));
        let mut number = 1;
        while fs::symlink_metadata(&to).is_ok() {
            to = self.folder.join(format!("{CORRUPT}{now}-{number}"));
            number += 1;
        }
        disk.rename(path, &to).map_err(io_cause(path, "move away"))?;
        (voice.hear)(Progress::Quarantined { id: voice.id, to: &to, why });
        Ok(())
    }
}

/// Removes a file that need not be there.
pub(super) fn remove(path: &Path) -> Result<(), IoCause> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(io_cause(path, "remove")(error))
        }
        _ => Ok(()),
    }
}
