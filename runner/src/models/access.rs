//! The lock that keeps other processes off one model while it is provided.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::disk::{Disk, is_without_locks, own};
use super::error::{IoCause, io_cause};
use super::progress::{Progress, Step, Voice};

/// What came of asking for a lock.
pub(super) enum Access {
    /// Nobody else works on the model while this is held.
    Alone(#[expect(dead_code, reason = "the lock is held while the file is open")] File),
    /// The file system has no locks.
    Unlocked,
    /// Somebody else has it; only if nobody was to be waited for.
    Busy,
}

impl Access {
    /// Takes the lock of the model with this hash in the cache `root`, or waits for it.
    pub(super) fn wait(
        disk: &dyn Disk,
        root: &Path,
        sha256: &str,
        voice: Voice<'_>,
    ) -> Result<Self, IoCause> {
        let (path, file) = open(disk, root, sha256)?;
        let access = match disk.try_lock(&file) {
            Err(TryLockError::WouldBlock) => {
                (voice.hear)(Progress::Waiting(voice.id));
                decide(disk.lock(&file).map_err(TryLockError::Error), file)
            }
            tried => decide(tried, file),
        };
        let access = access.map_err(io_cause(&path, "lock"))?;
        if matches!(access, Self::Alone(_)) {
            voice.step(Step::Locked);
        }
        Ok(access)
    }

    /// Takes the lock if it is free.
    pub(super) fn without_waiting(
        disk: &dyn Disk,
        root: &Path,
        sha256: &str,
    ) -> Result<Self, IoCause> {
        let (path, file) = open(disk, root, sha256)?;
        decide(disk.try_lock(&file), file).map_err(io_cause(&path, "lock"))
    }
}

fn decide(tried: Result<(), TryLockError>, file: File) -> io::Result<Access> {
    match tried {
        Ok(()) => Ok(Access::Alone(file)),
        Err(TryLockError::WouldBlock) => Ok(Access::Busy),
        Err(TryLockError::Error(error)) if is_without_locks(&error) => Ok(Access::Unlocked),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// The file whose lock is a model's.
pub(super) fn lock_file(root: &Path, sha256: &str) -> PathBuf {
    root.join("models").join(".locks").join(format!("{sha256}.lock"))
}

/// The lock's file is never deleted: who waits for a deleted one holds it together with who made the
/// next.
fn open(disk: &dyn Disk, root: &Path, sha256: &str) -> Result<(PathBuf, File), IoCause> {
    let path = lock_file(root, sha256);
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true);
    own(&mut options);
    let opened = match options.open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let folder = path.parent().unwrap_or(root);
            disk.create_folders(folder).map_err(io_cause(folder, "create"))?;
            options.open(&path)
        }
        // Another user's file can be locked as well.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let mut options = OpenOptions::new();
            options.read(true);
            own(&mut options);
            options.open(&path).map_err(|_| error)
        }
        other => other,
    };
    let file = opened.map_err(io_cause(&path, "open"))?;
    Ok((path, file))
}
