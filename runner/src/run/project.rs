//! The folder of a project: its lock and its suites, loaded and checked as a whole.
//!
//! Opens no model, starts no engine: listing trials costs a few files.

use std::env;
use std::path::{Path, PathBuf};

use super::tolerance::KNOWN;
use crate::models::ModelLock;
use crate::suite::select::{BadTier, TIER_VARIABLE, highest_tier};
use crate::suite::{Case, LoadErrors, Suite, Trial, load, trials};

/// Name of the model lock, which also marks a project's root.
const LOCK: &str = "models.toml";

/// Why a project was not loaded.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// No folder from here upwards holds a lock.
    #[error(
        "no {LOCK} in {} or any folder above it; change into a project, or give its folder with --root",
        .0.display()
    )]
    NoRoot(PathBuf),
    /// The lock or the suites break rules.
    #[error("{0}")]
    Manifest(#[from] LoadErrors),
    /// The temporary suite of a command cannot be written.
    #[error("cannot write a temporary file: {0}; set TMPDIR to a folder with room")]
    Temporary(String),
    /// `BITNET_TIER` is no tier.
    #[error(transparent)]
    Tier(#[from] BadTier),
}

/// A loaded project.
#[derive(Debug)]
pub struct Project {
    /// Its folder.
    pub root: PathBuf,
    /// `models.toml`.
    pub lock: ModelLock,
    /// The suites, by file name.
    pub suites: Vec<Suite>,
    /// Every trial, in the order of files and cases.
    pub trials: Vec<Trial>,
}

impl Project {
    /// Loads the project in `root`; `BITNET_TIER` decides which trials are ignored.
    ///
    /// # Errors
    /// Everything that is wrong in the lock or in any suite.
    pub fn load(root: &Path) -> Result<Self, ProjectError> {
        let highest = highest_tier(env::var_os(TIER_VARIABLE).as_deref())?;
        let lock = ModelLock::read(&root.join(LOCK))?;
        let suites = load(&root.join("suites"), &lock, &KNOWN)?;
        let trials = trials(&suites, highest);
        Ok(Self { root: root.to_owned(), lock, suites, trials })
    }

    /// The nearest folder with a lock, from `start` upwards.
    ///
    /// # Errors
    /// If there is none.
    pub fn find_root(start: &Path) -> Result<PathBuf, ProjectError> {
        start
            .ancestors()
            .find(|folder| folder.join(LOCK).is_file())
            .map(Path::to_owned)
            .ok_or_else(|| ProjectError::NoRoot(start.to_owned()))
    }

    /// The suite of a trial.
    pub fn suite(&self, trial: &Trial) -> &Suite {
        &self.suites[trial.suite]
    }

    /// The case of a trial.
    pub fn case(&self, trial: &Trial) -> &Case {
        &self.suites[trial.suite].cases[trial.case]
    }
}
