//! A note beside an archive that says what it was made of.
//!
//! Part of the providers' build scripts. Whatever interrupts a build, no note may stand beside an
//! archive that it does not describe: it goes before the archive and comes after it.

use std::fs;
use std::path::{Path, PathBuf};

/// An archive and its note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    archive: PathBuf,
    note: PathBuf,
    text: String,
}

impl Stamp {
    /// The note `text` for `lib<name>.a` in `out`. Touches no file.
    pub fn new(out: &Path, name: &str, text: String) -> Self {
        let archive = out.join(format!("lib{name}.a"));
        Self { archive, note: out.join(format!("{name}.stamp")), text }
    }

    /// Whether the archive is there and was made of the same.
    pub fn holds(&self) -> bool {
        self.archive.is_file() && fs::read_to_string(&self.note).is_ok_and(|old| old == self.text)
    }

    /// Removes the note, then the archive: `ar` extends an archive and never empties it, so objects of
    /// files that are gone would stay.
    ///
    /// # Errors
    /// The file that cannot be removed.
    pub fn clear(&self) -> Result<(), String> {
        for file in [&self.note, &self.archive] {
            if file.exists() {
                fs::remove_file(file)
                    .map_err(|error| format!("cannot remove {}: {error}", file.display()))?;
            }
        }
        Ok(())
    }

    /// Writes the note of an archive that is complete.
    ///
    /// # Errors
    /// The file that cannot be written.
    pub fn write(&self) -> Result<(), String> {
        fs::write(&self.note, &self.text)
            .map_err(|error| format!("cannot write {}: {error}", self.note.display()))
    }
}
