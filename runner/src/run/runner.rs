//! Runs trials one after the other with engines that live as long as the run.

use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::engines::Engines;
use super::outcome::{Obstacle, Outcome, Result};
use super::{Project, metamorphic, parity, reject, tokenizer};
use crate::models::{Progress, Store, StoreError};
use crate::suite::{Check, Trial};

/// Environment variable that turns what is missing into ignored trials.
pub const SKIP_VARIABLE: &str = "BITNET_ALLOW_SKIP";

/// How a run treats what it cannot have, and whom it tells about slow steps.
pub struct Settings {
    /// Ignore trials that lack a model or a reference, instead of failing them.
    pub allow_skip: bool,
    /// Hears of slow steps.
    pub progress: Box<dyn Fn(Progress<'_>) + Send + Sync>,
}

impl Settings {
    /// The user's wishes from the environment.
    pub fn from_environment(progress: Box<dyn Fn(Progress<'_>) + Send + Sync>) -> Self {
        Self { allow_skip: env::var_os(SKIP_VARIABLE).is_some_and(|value| value == "1"), progress }
    }
}

/// A run in progress.
pub struct Runner {
    project: Arc<Project>,
    settings: Settings,
    store: std::result::Result<Store, StoreError>,
    /// The engines; tests reach in to break them.
    pub engines: Engines,
}

impl Runner {
    /// A run of `project`'s trials with `engines`.
    pub fn new(project: Arc<Project>, engines: Engines, settings: Settings) -> Self {
        let store = Store::from_environment(&project.root);
        Self { project, settings, store, engines }
    }

    /// Runs one trial, whatever `ignored` says: the caller has selected it.
    ///
    /// A panic of the subject is a failed trial with the panic's message.
    pub fn run(&mut self, trial: &Trial) -> Outcome {
        let project = Arc::clone(&self.project);
        let case = project.case(trial);
        let attempt = catch_unwind(AssertUnwindSafe(|| self.attempt(trial)));
        let outcome = match attempt {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(Obstacle::Missing(what))) if self.settings.allow_skip => {
                Outcome::Ignored { reason: format!("{what} ({SKIP_VARIABLE}=1)") }
            }
            Ok(Err(Obstacle::Missing(what))) => Outcome::failed(format!(
                "ERROR: {what}\n  to skip what is missing instead: {SKIP_VARIABLE}=1"
            )),
            Ok(Err(Obstacle::Hardware(reason))) => Outcome::Ignored { reason },
            Ok(Err(Obstacle::Error(what))) => Outcome::failed(format!("ERROR: {what}")),
            Err(panic) => {
                let message = panic
                    .downcast_ref::<String>()
                    .map(String::as_str)
                    .or_else(|| panic.downcast_ref::<&str>().copied())
                    .unwrap_or("(no message)");
                self.engines.forget_subject();
                Outcome::failed(format!("ERROR: panic: {message}"))
            }
        };
        match (&case.known_failure, outcome) {
            (None, outcome) => outcome,
            (Some(known), Outcome::Failed { .. }) => {
                Outcome::passed(format!("fails as known: {} (issue {})", known.why, known.issue))
            }
            (Some(known), Outcome::Passed { line, verdict }) => Outcome::Failed {
                text: format!(
                    "ERROR: passes, but is marked as a known failure ({}, issue {}); remove \
                     `known-failure`\n  {line}",
                    known.why, known.issue
                ),
                verdict,
            },
            (Some(_), ignored) => ignored,
        }
    }

    /// What a failure says last: where the case stands and how to run it alone.
    pub fn footer(&self, trial: &Trial) -> String {
        let (suite, case) = (self.project.suite(trial), self.project.case(trial));
        let shown = suite.path.strip_prefix(&self.project.root).unwrap_or(&suite.path);
        let mut text = format!("  case: {}:{}\n", shown.display(), case.line);
        if let Some(analysis) = &case.analysis {
            text += &format!("  about: {}\n", analysis.trim());
        }
        text + &format!("  rerun: cargo parity run --exact '{}'", trial.id)
    }

    fn attempt(&mut self, trial: &Trial) -> Result<Outcome> {
        let project = Arc::clone(&self.project);
        let (case, variant) = (project.case(trial), &trial.variant);
        let model = project
            .lock
            .get(&case.model)
            .ok_or_else(|| Obstacle::Error(format!("models.toml has no '{}'", case.model)))?;
        let store = self.store.as_ref().map_err(|error| Obstacle::Error(error.to_string()))?;
        let path = store.resolve(model, &*self.settings.progress)?;
        let engines = &mut self.engines;
        match &case.check {
            Check::Parity(check) => parity::run(engines, model, &path, case, check, variant),
            Check::Tokenizer(check) => tokenizer::run(engines, model, &path, case, check, variant),
            Check::Metamorphic(check) => metamorphic::run(engines, &path, check, variant),
            Check::Reject(check) => reject::run(engines, &path, check, variant),
        }
    }
}
