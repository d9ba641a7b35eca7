//! The folder of goldens: one file a case and reference, named by both and by the hash of its bytes, so
//! that the names are the index. It decides nothing about what a golden says.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::GoldenError;
use super::document::{Golden, Question};
use crate::escape;
use crate::manifest::digest::hex;

/// The largest golden.
pub const MOST_BYTES: usize = 20_000;
/// The largest sum of all goldens of a project.
pub const MOST_BYTES_IN_ALL: u64 = 2_000_000;
/// Digits of the hash in a name.
const DIGITS: usize = 16;
const EXTENSION: &str = ".golden";

/// The goldens of a project.
#[derive(Debug, Clone)]
pub struct GoldenStore {
    folder: PathBuf,
}

/// What became of a recorded golden.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// There was none.
    New,
    /// It says something else than the one that it replaces.
    Changed,
    /// The one that was there says the same, and stays.
    Same,
}

impl GoldenStore {
    /// The goldens of the project in `root`.
    pub fn new(root: &Path) -> Self {
        Self { folder: root.join("baselines").join("goldens") }
    }

    /// Where they are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The golden of `suite::case` with `reference`, if there is one.
    ///
    /// # Errors
    /// Whatever keeps it from being read, and [`GoldenError::Damaged`] where its bytes are not those of
    /// its name.
    pub fn read(
        &self,
        suite: &str,
        case: &str,
        reference: &str,
    ) -> Result<Option<(PathBuf, Golden)>, GoldenError> {
        let name = name(suite, case, reference);
        let again = again(suite, case);
        let found = self.of(&name)?;
        let path = match &found[..] {
            [] => return Ok(None),
            [path] => path.clone(),
            several => {
                let count = several.len();
                return Err(GoldenError::Several { name: escape::text(&name), count, again });
            }
        };
        let damaged =
            |why: String| GoldenError::Damaged { path: path.clone(), why, again: again.clone() };
        let io = |why| GoldenError::Io { verb: "read", path: path.clone(), why };
        let len = fs::metadata(&path).map_err(io)?.len();
        if len > MOST_BYTES as u64 {
            return Err(damaged(format!("it has {len} bytes, a golden at most {MOST_BYTES}")));
        }
        let bytes = fs::read(&path).map_err(io)?;
        if path.file_name().and_then(|name| name.to_str()) != Some(&*file_name(&name, &bytes)) {
            return Err(damaged("its bytes have another hash than its name says".to_owned()));
        }
        let golden = Golden::decode(&bytes).map_err(&damaged)?;
        let expected = format!("{suite}::{case}");
        if golden.header.case != expected || golden.header.reference.name != reference {
            let (case, by) = (&golden.header.case, &golden.header.reference.name);
            return Err(damaged(format!("it is that of {case} by {by}")));
        }
        Ok(Some((path, golden)))
    }

    /// As [`GoldenStore::read`], where the golden answers `question`.
    ///
    /// # Errors
    /// Also [`GoldenError::Stale`].
    pub fn answering(
        &self,
        suite: &str,
        case: &str,
        reference: &str,
        question: &Question,
    ) -> Result<Option<Golden>, GoldenError> {
        let Some((path, golden)) = self.read(suite, case, reference)? else { return Ok(None) };
        match golden.header.question.difference(question) {
            None => Ok(Some(golden)),
            Some((what, was, now)) => {
                Err(GoldenError::Stale { path, what, was, now, again: again(suite, case) })
            }
        }
    }

    /// Keeps `golden` in place of whatever is there for its case. One that says the same stays, whatever
    /// its date.
    ///
    /// # Errors
    /// A golden that is too large, and the file system's reasons.
    pub fn keep(&self, golden: &Golden) -> Result<(PathBuf, Kept, usize), GoldenError> {
        let (suite, case) =
            golden.header.case.split_once("::").unwrap_or((&golden.header.case, ""));
        let reference = &golden.header.reference.name;
        let name = name(suite, case, reference);
        let old = self.of(&name)?;
        if let [path] = &old[..]
            && let Ok(Some((_, mut kept))) = self.read(suite, case, reference)
        {
            kept.header.recorded.clone_from(&golden.header.recorded);
            if kept == *golden {
                let bytes = fs::metadata(path).map_or(0, |m| m.len() as usize);
                return Ok((path.clone(), Kept::Same, bytes));
            }
        }
        let io = |path: &Path| {
            let path = path.to_owned();
            move |why| GoldenError::Io { verb: "write", path, why }
        };
        let bytes = golden.encode().map_err(std::io::Error::other).map_err(io(&self.folder))?;
        if bytes.len() > MOST_BYTES {
            return Err(GoldenError::TooLarge { name: escape::text(&name), bytes: bytes.len() });
        }
        let path = self.folder.join(file_name(&name, &bytes));
        let attempt = || -> std::io::Result<()> {
            fs::create_dir_all(&self.folder)?;
            let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
            file.write_all(&bytes)?;
            file.as_file().sync_all()?;
            file.persist(&path)?;
            Ok(())
        };
        attempt().map_err(io(&path))?;
        readable_by_all(&path);
        for stale in old.iter().filter(|old| **old != path) {
            self.remove(stale)?;
        }
        Ok((path, if old.is_empty() { Kept::New } else { Kept::Changed }, bytes.len()))
    }

    /// Removes every golden that is none of `wanted`, which are suite, case and reference; gives their
    /// paths.
    ///
    /// # Errors
    /// The file system's reasons.
    pub fn prune(&self, wanted: &[(String, String, String)]) -> Result<Vec<PathBuf>, GoldenError> {
        let names: Vec<String> = wanted.iter().map(|(s, c, r)| name(s, c, r)).collect();
        let left_over = self.all()?.into_iter().filter(|path| {
            let file = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            !names.iter().any(|name| is_of(file, name))
        });
        let left_over: Vec<PathBuf> = left_over.collect();
        left_over.iter().try_for_each(|path| self.remove(path))?;
        Ok(left_over)
    }

    /// All goldens, in the order of their names.
    ///
    /// # Errors
    /// The file system's reasons; a folder that is not there has none.
    pub fn all(&self) -> Result<Vec<PathBuf>, GoldenError> {
        let io = |why| GoldenError::Io { verb: "list", path: self.folder.clone(), why };
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(io)?,
        };
        let mut paths = Vec::new();
        for entry in entries {
            let path = entry.map_err(io)?.path();
            if path.to_str().is_some_and(|path| path.ends_with(EXTENSION)) {
                paths.push(path);
            }
        }
        paths.sort();
        Ok(paths)
    }

    fn of(&self, name: &str) -> Result<Vec<PathBuf>, GoldenError> {
        let mut paths = self.all()?;
        paths.retain(|path| {
            path.file_name().and_then(|file| file.to_str()).is_some_and(|file| is_of(file, name))
        });
        Ok(paths)
    }

    fn remove(&self, path: &Path) -> Result<(), GoldenError> {
        let io = |why| GoldenError::Io { verb: "remove", path: path.to_owned(), why };
        fs::remove_file(path).map_err(io)
    }
}

/// Temporary files are their owner's alone; goldens are read by whoever has the project.
fn readable_by_all(path: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // Where the file system knows no such thing, there is nothing to allow.
        let _ = fs::set_permissions(path, fs::Permissions::from_mode(0o644));
    }
    #[cfg(not(unix))]
    let _ = path;
}

/// `<suite>.<case>.<reference>`: names have no dot.
fn name(suite: &str, case: &str, reference: &str) -> String {
    format!("{suite}.{case}.{reference}")
}

fn file_name(name: &str, bytes: &[u8]) -> String {
    format!("{name}.{}{EXTENSION}", &hex(&Sha256::digest(bytes))[..DIGITS])
}

fn is_of(file: &str, name: &str) -> bool {
    let digits = file.strip_prefix(name).and_then(|rest| rest.strip_prefix('.'));
    digits.and_then(|rest| rest.strip_suffix(EXTENSION)).is_some_and(|d| !d.contains('.'))
}

fn again(suite: &str, case: &str) -> String {
    format!("cargo parity record '{suite}::{case}'")
}
