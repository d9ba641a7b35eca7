//! Frees the cache of what nobody will use: models that the lock does not know, unfinished files and
//! files that were found wrong. Touches nothing that another process holds locked, and follows no
//! link.

use std::collections::BTreeSet;
use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};

use super::access::{Access, lock_file};
use super::disk::Disk;
use super::error::{IoCause, io_cause};
use super::room::{CORRUPT, UNFINISHED};

/// Something in the cache that nobody will use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Garbage {
    /// A file, a folder or a link.
    pub path: PathBuf,
    /// Its size, that of everything in it for a folder.
    pub bytes: u64,
}

/// What a clean-up did.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Cleaned {
    /// What was removed, or would be.
    pub removed: Vec<Garbage>,
    /// Folders that were left alone because another process may be using them.
    pub busy: Vec<PathBuf>,
}

/// Removes garbage from the cache `root`; `known` are the hashes of the lock's models. Removes nothing
/// if `dry_run`.
pub(super) fn clean(
    disk: &dyn Disk,
    root: &Path,
    known: &BTreeSet<&str>,
    dry_run: bool,
) -> Result<Cleaned, IoCause> {
    let mut cleaned = Cleaned::default();
    let models = root.join("models");
    for entry in entries(&models)? {
        let name = entry.file_name();
        let Some(sha256) = name.to_str().filter(|name| is_hash(name)) else { continue };
        let known = known.contains(sha256);
        let found = garbage(&entry.path(), known)?;
        if found.is_empty() {
            continue;
        }
        // Held until the removal is over. Who only looks makes no file for it.
        let unheld = dry_run && fs::symlink_metadata(lock_file(root, sha256)).is_err();
        let held = match unheld {
            true => None,
            false => Some(Access::without_waiting(disk, root, sha256)?),
        };
        // Without locks nobody can tell whether it is in use.
        if matches!(held, Some(Access::Busy | Access::Unlocked)) {
            cleaned.busy.push(entry.path());
            continue;
        }
        // Another process may have been at work until now.
        for garbage in garbage(&entry.path(), known)? {
            if !dry_run {
                remove(&garbage.path)?;
            }
            cleaned.removed.push(garbage);
        }
        drop(held);
    }
    Ok(cleaned)
}

/// What of a model's folder is garbage.
fn garbage(folder: &Path, known: bool) -> Result<Vec<Garbage>, IoCause> {
    if !known {
        return Ok(vec![Garbage { path: folder.to_owned(), bytes: size(folder)? }]);
    }
    // What a link leads to is not the cache's.
    if fs::symlink_metadata(folder).is_ok_and(|metadata| metadata.is_symlink()) {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in entries(folder)? {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(CORRUPT) || UNFINISHED.iter().any(|start| name.starts_with(start)) {
            found.push(Garbage { path: entry.path(), bytes: size(&entry.path())? });
        }
    }
    Ok(found)
}

/// The entries of a folder by name; none if it does not exist.
fn entries(folder: &Path) -> Result<Vec<DirEntry>, IoCause> {
    let read = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(Vec::new()),
        read => read.and_then(Iterator::collect::<io::Result<Vec<_>>>),
    };
    let mut entries: Vec<DirEntry> = read.map_err(io_cause(folder, "read"))?;
    entries.sort_by_key(DirEntry::file_name);
    Ok(entries)
}

fn size(path: &Path) -> Result<u64, IoCause> {
    let metadata = fs::symlink_metadata(path).map_err(io_cause(path, "read"))?;
    if !metadata.is_dir() {
        return Ok(metadata.len());
    }
    entries(path)?.iter().try_fold(0, |sum, entry| Ok(sum + size(&entry.path())?))
}

fn remove(path: &Path) -> Result<(), IoCause> {
    let folder = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir());
    let removed = if folder { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    removed.map_err(io_cause(path, "remove"))
}

fn is_hash(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}
