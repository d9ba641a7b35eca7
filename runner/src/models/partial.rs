//! The file that bytes arrive in: opened again after a crash, its prefix hashed anew, and never under
//! the final name before all of it is the pinned file. A note beside it says where it came from.

use std::fs::{self, File};
use std::io;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::disk::Disk;
use super::error::{Cause, io_cause, is_full};
use super::hashing::{feed, hex};
use super::progress::{Progress, Step, Voice};
use super::room::{Room, remove};
use super::stamp;

/// Largest note that is read.
const MAX_NOTE: u64 = 4096;

/// Where the bytes of a partial file came from. Holds no path and no query: those may be secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    /// Scheme, host and port.
    source: String,
    /// What the source called the version of its file.
    etag: Option<String>,
    /// Size of the whole file.
    bytes: u64,
}

/// The bytes of one model so far.
pub(super) struct Partial<'a> {
    disk: &'a dyn Disk,
    room: &'a Room,
    voice: Voice<'a>,
    /// Size of the whole file.
    bytes: u64,
    file: Option<File>,
    note: Option<Note>,
    /// Has seen the bytes so far.
    hasher: Sha256,
    len: u64,
    /// How many of them another source, or another process, has put there.
    foreign: u64,
}

impl<'a> Partial<'a> {
    /// What an earlier run has left, or nothing yet.
    pub(super) fn open(
        disk: &'a dyn Disk,
        room: &'a Room,
        bytes: u64,
        voice: Voice<'a>,
    ) -> Result<Self, Cause> {
        let mut partial = Self {
            disk,
            room,
            voice,
            bytes,
            file: None,
            note: None,
            hasher: Sha256::new(),
            len: 0,
            foreign: 0,
        };
        let path = room.partial();
        match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(partial),
            Err(error) => return Err(io_cause(&path, "read")(error).into()),
            Ok(found) if !found.is_file() => {
                room.quarantine(disk, &path, "a partial file is a file, this is none", voice)?;
                return Ok(partial);
            }
            // Longer than the whole: no prefix of it.
            Ok(found) if found.len() > bytes => {
                partial.remove()?;
                return Ok(partial);
            }
            Ok(_) => {}
        }
        let file = partial.reopen().map_err(io_cause(&path, "open"))?;
        voice.step(Step::PartialOpened);
        let hear = |done| (voice.hear)(Progress::Hashing(voice.id, done, bytes));
        let fed = feed(&file, &mut partial.hasher, hear);
        (voice.hear)(Progress::Done(voice.id));
        partial.len = fed.map_err(io_cause(&path, "read"))?;
        partial.foreign = partial.len;
        partial.note = read_note(room).filter(|note| note.bytes == bytes);
        partial.file = Some(file);
        Ok(partial)
    }

    /// A crash between protecting the file and renaming it has left it read-only.
    fn reopen(&self) -> io::Result<File> {
        let path = self.room.partial();
        match self.disk.append(&path) {
            #[cfg(unix)]
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
                self.disk.append(&path)
            }
            other => other,
        }
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn is_complete(&self) -> bool {
        self.len == self.bytes
    }

    /// Whether bytes of another origin than the present source may be what is wrong.
    pub(super) fn has_foreign(&self) -> bool {
        self.foreign > 0
    }

    /// From here on the bytes come from another source.
    pub(super) fn change_source(&mut self) {
        self.foreign = self.len;
    }

    /// The version of the file at `source` that the bytes so far belong to, if that is known.
    pub(super) fn etag(&self, source: &str) -> Option<&str> {
        let note = self.note.as_ref().filter(|note| note.source == source && self.len > 0)?;
        note.etag.as_deref()
    }

    /// `source` is about to give bytes of its version `etag`.
    pub(super) fn begin(&mut self, source: &str, etag: Option<&str>) -> Result<(), Cause> {
        let path = self.room.partial();
        if self.file.is_none() {
            self.room.create(self.disk)?;
            self.file = Some(self.disk.create(&path).map_err(io_cause(&path, "create"))?);
            self.voice.step(Step::PartialOpened);
        }
        let note =
            Note { source: source.to_owned(), etag: etag.map(str::to_owned), bytes: self.bytes };
        if self.note.as_ref() != Some(&note) {
            let text = serde_json::to_string(&note).map_err(io::Error::from);
            text.and_then(|text| {
                let (path, new) = (self.room.note(), self.room.new_note());
                stamp::replace(self.disk, &path, &new, text.as_bytes())
            })
            .map_err(|error| self.failed(error))?;
            self.voice.step(Step::PartialNoted);
            self.note = Some(note);
        }
        Ok(())
    }

    /// The open file and what hashes it, for whoever appends.
    pub(super) fn sink(&mut self) -> Option<(&File, &mut Sha256)> {
        self.file.as_ref().map(|file| (file, &mut self.hasher))
    }

    /// So many bytes were appended and hashed.
    pub(super) fn grown(&mut self, bytes: u64) {
        self.len += bytes;
    }

    /// Forgets all bytes.
    pub(super) fn restart(&mut self) -> Result<(), Cause> {
        if let Some(file) = &self.file {
            file.set_len(0).map_err(io_cause(&self.room.partial(), "empty"))?;
        }
        (self.len, self.foreign, self.note) = (0, 0, None);
        self.hasher = Sha256::new();
        Ok(())
    }

    /// Forgets all bytes and leaves nothing behind.
    pub(super) fn remove(&mut self) -> Result<(), Cause> {
        self.file = None;
        self.restart()?;
        remove(&self.room.partial())?;
        remove(&self.room.note())?;
        Ok(())
    }

    /// What it means that the system refused to write.
    pub(super) fn failed(&self, source: io::Error) -> Cause {
        let partial = self.room.partial();
        if !is_full(source.kind()) {
            return io_cause(&partial, "write")(source).into();
        }
        let here = fs::symlink_metadata(&partial).map_or(0, |metadata| metadata.len());
        let missing = self.bytes.saturating_sub(here);
        Cause::DiskFull { id: self.voice.id.to_owned(), partial, missing, source }
    }

    /// SHA-256 of the bytes so far.
    pub(super) fn digest(&self) -> String {
        hex(&self.hasher.clone().finalize())
    }

    /// Gives the file, whose hash is the pinned one, its final name.
    pub(super) fn finish(mut self) -> Result<(), Cause> {
        let Some(file) = self.file.take() else {
            let error = io::Error::from(io::ErrorKind::NotFound);
            return Err(io_cause(&self.room.partial(), "read")(error).into());
        };
        self.voice.step(Step::Hashed);
        // Before the file has its name: nobody looks for a note beside a finished file.
        remove(&self.room.note())?;
        Ok(self.room.settle(self.disk, &file, &self.room.partial(), self.voice)?)
    }
}

/// The note beside a partial file. One that cannot be read is as good as none.
fn read_note(room: &Room) -> Option<Note> {
    let metadata = fs::symlink_metadata(room.note()).ok()?;
    if !metadata.is_file() || metadata.len() > MAX_NOTE {
        return None;
    }
    serde_json::from_slice(&fs::read(room.note()).ok()?).ok()
}
