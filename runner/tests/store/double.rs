//! A disk that does what the real one does, writes it down, and refuses what it is told to.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use bitnet_runner::models::disk::{Disk, LocalDisk};

/// The real disk, watched and limited.
#[derive(Debug)]
pub struct Double {
    /// What was done, with the last parts of the names; writes in a row are one.
    pub done: Mutex<Vec<String>>,
    /// Bytes that may still be written.
    pub room: AtomicU64,
    /// What it says is free.
    pub free: Option<u64>,
    /// What it says when it is asked for a lock.
    pub lock_error: Option<i32>,
}

impl Double {
    pub fn new() -> Self {
        let (done, room) = (Mutex::default(), AtomicU64::new(u64::MAX));
        Self { done, room, free: None, lock_error: None }
    }

    fn note(&self, what: &str, path: &Path) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        self.done.lock().expect("no panic").push(format!("{what} {name}"));
    }
}

impl Disk for Double {
    fn create_folders(&self, folder: &Path) -> io::Result<()> {
        LocalDisk.create_folders(folder)
    }

    fn create(&self, path: &Path) -> io::Result<File> {
        self.note("create", path);
        LocalDisk.create(path)
    }

    fn append(&self, path: &Path) -> io::Result<File> {
        self.note("append", path);
        LocalDisk.append(path)
    }

    fn write(&self, file: &File, bytes: &[u8]) -> io::Result<()> {
        {
            let mut done = self.done.lock().expect("no panic");
            if done.last().is_none_or(|last| last != "write") {
                done.push("write".into());
            }
        }
        let room = self.room.load(Ordering::Relaxed);
        let fits = (bytes.len() as u64).min(room);
        self.room.store(room - fits, Ordering::Relaxed);
        LocalDisk.write(file, &bytes[..fits as usize])?;
        match fits == bytes.len() as u64 {
            true => Ok(()),
            false => Err(io::Error::from_raw_os_error(rustix::io::Errno::NOSPC.raw_os_error())),
        }
    }

    fn sync(&self, file: &File, path: &Path) -> io::Result<()> {
        self.note("sync", path);
        LocalDisk.sync(file, path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.note("rename to", to);
        LocalDisk.rename(from, to)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.done.lock().expect("no panic").push("sync folder".into());
        LocalDisk.sync_folder(folder)
    }

    fn try_lock(&self, file: &File) -> Result<(), TryLockError> {
        match self.lock_error {
            Some(code) => Err(TryLockError::Error(io::Error::from_raw_os_error(code))),
            None => LocalDisk.try_lock(file),
        }
    }

    fn lock(&self, file: &File) -> io::Result<()> {
        LocalDisk.lock(file)
    }

    fn free_space(&self, folder: &Path) -> io::Result<Option<u64>> {
        match self.free {
            Some(free) => Ok(Some(free)),
            None => LocalDisk.free_space(folder),
        }
    }
}
