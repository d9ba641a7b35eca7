//! The file of accepted levels of one machine: what it holds, how it is written and read. It is refused
//! where it is not as the tool wrote it; it compares nothing.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::derive;
use crate::backend::Identity;
use crate::escape;
use crate::machine::Machine;

/// Readers refuse another one.
const SCHEMA_VERSION: &str = "1.0.0";

/// All accepted levels of one machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// Version of this format.
    pub schema_version: String,
    /// The machine; its fingerprint is the file's name.
    pub machine: Machine,
    /// By key.
    pub entries: Vec<Entry>,
    /// SHA-256 of the document with nothing here: a change by hand shows.
    pub sha256: String,
}

/// What a level is of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// Id of the case, without its tier.
    pub case: String,
    /// `pp512`, `tg128`.
    pub measure: String,
    /// SHA-256 of the model's file.
    pub model_sha256: String,
    /// Name of the reference.
    pub reference: String,
    /// Compute threads of each engine.
    pub threads: usize,
}

/// What is accepted of one measure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// What it is of.
    pub key: Key,
    /// The reference that ratios are to.
    pub reference: Identity,
    /// What new receipts are held against. It moves when engines get faster, or somebody says why.
    pub accepted: Level,
    /// What they are held against as well, so that many small losses do not add up unseen. It moves with
    /// a release alone.
    pub release: Release,
}

/// A level that stays.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// Which release it is of; `first` before there is one.
    pub name: String,
    /// The level.
    pub level: Level,
}

/// A speed that several receipts agree on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Level {
    /// Why it was accepted.
    pub why: String,
    /// What it was made of.
    pub inputs: Vec<Input>,
    /// Median of the inputs' ln(subject's time ÷ reference's time).
    pub ln_time_ratio: f64,
    /// Standard error of the same.
    pub ln_time_ratio_error: f64,
    /// Median of the inputs' ln of the subject's nanoseconds.
    pub ln_subject_ns: f64,
    /// Standard error of the same.
    pub ln_subject_ns_error: f64,
}

/// What one receipt says of a measure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// SHA-256 of the receipt's file.
    pub receipt_sha256: String,
    /// When its run began.
    pub time: String,
    /// What the tool was built from.
    pub commit: String,
    /// Rounds.
    pub rounds: usize,
    /// Mean over the rounds of ln(subject's time ÷ reference's time).
    pub ln_time_ratio: f64,
    /// Standard error of the same.
    pub ln_time_ratio_error: f64,
    /// Mean over the rounds of ln of the subject's nanoseconds.
    pub ln_subject_ns: f64,
    /// Standard error of the same.
    pub ln_subject_ns_error: f64,
}

/// Why a baseline cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BaselineError {
    /// The file cannot be read or written.
    #[error("cannot {verb} the baseline {}: {why}", escape::text(&path.display().to_string()))]
    Io {
        /// `read` or `write`.
        verb: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's words.
        why: io::Error,
    },
    /// The file is not what the tool writes.
    #[error(
        "{} is no baseline: {}; files in baselines/ are written by `parity baselines gen` and `accept` \
         alone: bring back the committed one",
        escape::text(&path.display().to_string()), escape::text(why)
    )]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

impl Document {
    /// One without entries.
    pub fn new(machine: Machine) -> Self {
        let schema_version = SCHEMA_VERSION.to_owned();
        Self { schema_version, machine, entries: Vec::new(), sha256: String::new() }
    }

    /// The entry of `key`.
    pub fn entry(&self, key: &Key) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == *key)
    }

    /// `baselines/<target>/<machine>.json` below the project's `root`.
    pub fn path(root: &Path, machine: &Machine) -> PathBuf {
        folder(root, machine).join(format!("{}.json", machine.fingerprint()))
    }

    /// Reads the document of `machine`; none where there is none yet.
    ///
    /// # Errors
    /// [`BaselineError`], also for a file that was changed.
    pub fn read(root: &Path, machine: &Machine) -> Result<Option<Self>, BaselineError> {
        let path = Self::path(root, machine);
        match path.exists() {
            true => read(&path).map(Some),
            false => Ok(None),
        }
    }

    /// Writes the document in its place, whole or not at all, and gives the file's path.
    ///
    /// # Errors
    /// [`BaselineError::Io`].
    pub fn write(mut self, root: &Path) -> Result<PathBuf, BaselineError> {
        self.entries.sort_by(|a, b| a.key.cmp(&b.key));
        self.sha256 = self.digest();
        let path = Self::path(root, &self.machine);
        let attempt = || -> io::Result<()> {
            let folder = folder(root, &self.machine);
            fs::create_dir_all(&folder)?;
            let mut json = serde_json::to_vec_pretty(&self)?;
            json.push(b'\n');
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            file.write_all(&json)?;
            file.as_file().sync_all()?;
            file.persist(&path)?;
            Ok(())
        };
        match attempt() {
            Ok(()) => Ok(path),
            Err(why) => Err(BaselineError::Io { verb: "write", path, why }),
        }
    }

    fn digest(&self) -> String {
        let bare = Self { sha256: String::new(), ..self.clone() };
        hex(&Sha256::digest(serde_json::json!(bare).to_string()))
    }

    /// What a change by hand leaves behind.
    fn fault(&self) -> Option<String> {
        if self.schema_version != SCHEMA_VERSION {
            let version = &self.schema_version;
            return Some(format!(
                "its version is '{version}', this program reads {SCHEMA_VERSION}"
            ));
        }
        if self.digest() != self.sha256 {
            return Some("its SHA-256 is not that of its contents, so it was changed".into());
        }
        let levels = self.entries.iter().flat_map(|e| [&e.accepted, &e.release.level]);
        let mut wrong = levels.filter(|level| {
            derive::level(level.why.clone(), level.inputs.clone()).as_ref() != Some(*level)
        });
        wrong.next().map(|level| {
            let ratio = level.ln_time_ratio;
            format!("a level with the ln time ratio {ratio} does not follow from its inputs")
        })
    }
}

/// Documents of every machine of this machine's target, by file name.
///
/// # Errors
/// [`BaselineError`], of the first file that cannot be used.
pub fn read_all(root: &Path, machine: &Machine) -> Result<Vec<Document>, BaselineError> {
    let folder = folder(root, machine);
    let io = |why| BaselineError::Io { verb: "read", path: folder.clone(), why };
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(why) => return Err(io(why)),
    };
    let paths: io::Result<Vec<PathBuf>> = entries.map(|entry| Ok(entry?.path())).collect();
    let mut paths = paths.map_err(io)?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    paths.iter().map(|path| read(path)).collect()
}

fn read(path: &Path) -> Result<Document, BaselineError> {
    let text = fs::read_to_string(path).map_err(|why| BaselineError::Io {
        verb: "read",
        path: path.to_owned(),
        why,
    })?;
    let form = |why: String| BaselineError::Form { path: path.to_owned(), why };
    let document: Document = serde_json::from_str(&text).map_err(|why| form(why.to_string()))?;
    match document.fault() {
        Some(why) => Err(form(why)),
        None => Ok(document),
    }
}

fn folder(root: &Path, machine: &Machine) -> PathBuf {
    root.join("baselines").join(machine.target())
}

/// Lower-case hex digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
