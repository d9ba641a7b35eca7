//! Runs trials one after the other with engines that live as long as the run.

use std::any::Any;
use std::collections::BTreeMap;
use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use bitnet_engine::load_error;
use bitnet_engine::model::ModelError;

use super::engines::{Engines, ModelFile};
use super::evidence::{Ended, Evidence};
use super::golden::{self, GoldenUse};
use super::outcome::{Cause, Obstacle, Outcome, Result};
use super::references::{ReferenceProgram, reference_of};
use super::tolerance::tolerance;
use super::{Project, metamorphic, parity, quantization, reject, tokenizer};
use crate::backend::Identity;
use crate::backend::golden::{Golden, GoldenStore};
use crate::backend::matrix::OwnMatrices;
use crate::escape;
use crate::models::{LockedModel, Progress, Store, StoreError};
use crate::receipt::ParityReceipt;
use crate::suite::case::KnownFailure;
use crate::suite::{Case, Check, Trial};

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
    pub(super) project: Arc<Project>,
    settings: Settings,
    store: std::result::Result<Store, StoreError>,
    models: BTreeMap<String, String>,
    paths: BTreeMap<String, std::result::Result<PathBuf, String>>,
    /// Of the last trial.
    evidence: Option<Evidence>,
    began: SystemTime,
    seconds: f64,
    qualifying: bool,
    golden_use: GoldenUse,
    goldens: BTreeMap<String, usize>,
    /// Who was recorded in the golden of the last trial, where one answered.
    golden: Option<Identity>,
    /// The engines; tests reach in to break them.
    pub engines: Engines,
}

impl Runner {
    /// A run of `project`'s trials with `engines`.
    pub fn new(project: Arc<Project>, engines: Engines, settings: Settings) -> Self {
        let store = Store::from_environment(&project.root);
        let (models, paths, goldens) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let (evidence, began, seconds) = (None, SystemTime::now(), 0.0);
        let (golden_use, golden) = (GoldenUse::default(), None);
        Self {
            project,
            settings,
            store,
            models,
            paths,
            evidence,
            began,
            seconds,
            qualifying: false,
            golden_use,
            goldens,
            golden,
            engines,
        }
    }

    /// The same run, in which every parity case's tolerance is also fed with known-wrong outputs; one that
    /// passes any of them fails its case.
    pub fn qualifying(self, qualifying: bool) -> Self {
        Self { qualifying, ..self }
    }

    /// The same run, with goldens in place of references as `golden_use` says.
    pub fn with_goldens(self, golden_use: GoldenUse) -> Self {
        Self { golden_use, ..self }
    }

    /// The goldens that answered for a reference, and in how many trials.
    pub fn goldens(&self) -> &BTreeMap<String, usize> {
        &self.goldens
    }

    /// The project whose trials it runs.
    pub(super) fn project(&self) -> Arc<Project> {
        Arc::clone(&self.project)
    }

    /// Models that trials have used so far, verified, with their sha256.
    pub fn models(&self) -> &BTreeMap<String, String> {
        &self.models
    }

    /// Runs one trial, whatever `ignored` says: the caller has selected it.
    ///
    /// A panic of the subject is a failed trial with the panic's message.
    pub fn run(&mut self, trial: &Trial) -> Outcome {
        let project = Arc::clone(&self.project);
        let case = project.case(trial);
        (self.evidence, self.golden, self.began) = (None, None, SystemTime::now());
        let start = Instant::now();
        let attempt = catch_unwind(AssertUnwindSafe(|| self.attempt(trial)));
        let outcome = match attempt {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(Obstacle::Missing(what))) if self.settings.allow_skip => {
                Outcome::Ignored { reason: format!("{what} ({SKIP_VARIABLE}=1)") }
            }
            Ok(Err(Obstacle::Missing(what))) => {
                let text =
                    format!("ERROR: {what}\n  to skip what is missing instead: {SKIP_VARIABLE}=1");
                Outcome::failed(Cause::Missing, text)
            }
            Ok(Err(Obstacle::Hardware(reason) | Obstacle::NotBuilt(reason))) => {
                Outcome::Ignored { reason }
            }
            Ok(Err(Obstacle::Load { path, why })) => {
                let next = match &*why {
                    ModelError::I2sLayout { likelier, .. } => format!(
                        "write `i2s-layout = \"{likelier}\"` into the entry of '{}' in models.toml",
                        case.model.as_deref().unwrap_or_default()
                    ),
                    _ => {
                        let id = case.model.as_deref().unwrap_or_default();
                        format!("parity fetch --verify --id {id}")
                    }
                };
                Outcome::failed(Cause::Load, load_error::text(&path, &why, &next))
            }
            Ok(Err(Obstacle::Error(what))) => {
                Outcome::failed(Cause::Engine, format!("ERROR: {what}"))
            }
            Err(panic) => {
                self.engines.forget_subject();
                Outcome::failed(Cause::Engine, format!("ERROR: panic: {}", message(&*panic)))
            }
        };
        self.seconds = start.elapsed().as_secs_f64();
        match &case.known_failure {
            Some(known) => expect_failure(known, outcome),
            None => outcome,
        }
    }

    /// The receipt of the trial that ran last, which ended with `outcome`; none where it compared no
    /// engines, and where it was not run at all.
    pub fn receipt(&self, trial: &Trial, outcome: &Outcome) -> Option<ParityReceipt> {
        let project = &*self.project;
        let case = project.case(trial);
        let (Check::Parity(check), false) =
            (&case.check, matches!(outcome, Outcome::Ignored { .. }))
        else {
            return None;
        };
        let tolerance = tolerance(&check.tolerance, check.greedy).ok()?;
        let started = || trial.reference.as_deref().and_then(|name| self.engines.reference(name));
        let reference = self.golden.as_ref().or_else(started);
        let path = case.model.as_deref().and_then(|id| self.paths.get(id));
        let ended = Ended {
            project,
            trial,
            outcome,
            evidence: self.evidence.as_ref(),
            subject: self.engines.subject.identity().clone(),
            reference: reference.cloned(),
            model: path.and_then(|path| path.as_deref().ok()),
            begun: self.began,
            seconds: self.seconds,
        };
        Some(ended.receipt(check, tolerance))
    }

    /// What a failure says last: where the case stands and how to run it alone.
    pub fn footer(&self, trial: &Trial) -> String {
        let (suite, case) = (self.project.suite(trial), self.project.case(trial));
        let shown = suite.path.strip_prefix(&self.project.root).unwrap_or(&suite.path);
        let mut text = format!("  case: {}:{}\n", shown.display(), case.line);
        if let Some(reference) = &trial.reference {
            text += &format!("  reference: {}\n", escape::text(reference));
        }
        if let Some(analysis) = &case.analysis {
            text += &format!("  about: {}\n", escape::text(analysis.trim()));
        }
        text + &format!("  rerun: cargo parity run --exact '{}'", trial.id)
    }

    /// The verified file of `model`. A file that was found wrong once is not hashed again.
    pub(super) fn resolve(&mut self, model: &LockedModel) -> Result<PathBuf> {
        if let Some(known) = self.paths.get(&model.id) {
            return known.clone().map_err(Obstacle::Error);
        }
        let store = match &self.store {
            Ok(store) => store,
            Err(error) => return Err(Obstacle::Missing(escape::text(&error.to_string()))),
        };
        let found = store.resolve(model, &*self.settings.progress).map_err(Obstacle::from);
        match &found {
            Ok(path) => {
                self.models.insert(model.id.clone(), model.sha256.clone());
                self.paths.insert(model.id.clone(), Ok(path.clone()));
            }
            Err(Obstacle::Error(why)) => {
                self.paths.insert(model.id.clone(), Err(why.clone()));
            }
            Err(_) => {}
        }
        found
    }

    /// The reference of `trial`, or the golden in its place. One that is not there is missing as a
    /// reference is.
    fn answering(&self, case: &Case, trial: &Trial, model: &LockedModel) -> Result<Answering> {
        let live = reference_of(case, trial);
        let missing = match (live, self.golden_use) {
            (Ok(program), GoldenUse::NotBuilt | GoldenUse::Never) => {
                return Ok(Answering::Live(program));
            }
            (Err(error), GoldenUse::Never) => return Err(error),
            (Err(error @ Obstacle::Error(_)), _) => return Err(error),
            (Err(error), GoldenUse::NotBuilt) => error,
            (_, GoldenUse::Always) => Obstacle::Missing(String::new()),
        };
        let suite = &self.project.suite(trial).name;
        let reference = trial.reference.as_deref().unwrap_or_default();
        let store = GoldenStore::new(&self.project.root);
        let asked = golden::question(case, model);
        let found = match &asked {
            Some(question) => store.answering(suite, &case.name, reference, question)?,
            None => None,
        };
        if let Some(golden) = found {
            return Ok(Answering::Golden(Box::new(golden)));
        }
        let hint = format!(
            "no golden of {suite}::{} by {reference} in baselines/goldens\n  to get it: where the \
             reference is built, cargo parity record '{suite}::{}'",
            case.name, case.name
        );
        Err(match missing {
            Obstacle::Missing(what) if what.is_empty() => Obstacle::Missing(hint),
            Obstacle::Missing(what) => Obstacle::Missing(format!("{what}\n  and {hint}")),
            other => other,
        })
    }

    fn against_golden(&mut self, golden: &Golden, outcome: Outcome) -> Outcome {
        let basis = golden::basis(golden);
        self.golden = Some(golden::identity(golden));
        *self.goldens.entry(basis.clone()).or_default() += 1;
        outcome.against_golden(&basis)
    }

    fn attempt(&mut self, trial: &Trial) -> Result<Outcome> {
        let project = Arc::clone(&self.project);
        let (case, variant) = (project.case(trial), &trial.variant);
        let locked = || {
            let id = case.model.as_deref().unwrap_or_default();
            let found = project.lock.get(id);
            found.ok_or_else(|| Obstacle::Error(format!("models.toml has no '{id}'")))
        };
        // The reference before the model: one that is not here costs no download.
        let outcome = match &case.check {
            Check::Parity(check) => {
                let locked = locked()?;
                let answering = self.answering(case, trial, locked)?;
                let path = self.resolve(locked)?;
                let model = ModelFile::of(locked, &path);
                let (engines, qualifying) = (&mut self.engines, self.qualifying);
                match answering {
                    Answering::Golden(_) if qualifying => {
                        return Err(Obstacle::Missing(
                            "known-wrong outputs are made of all of a reference's logits, and a golden \
                             keeps a part\n  to get them: build the reference"
                                .to_owned(),
                        ));
                    }
                    Answering::Live(against) => {
                        let compared = parity::run(
                            engines,
                            against,
                            model,
                            case.timeout,
                            check,
                            variant,
                            qualifying,
                        )?;
                        self.evidence = Some(compared.evidence);
                        compared.outcome
                    }
                    Answering::Golden(golden) => {
                        let compared = golden::run_parity(engines, &golden, model, check, variant)?;
                        self.evidence = Some(compared.evidence);
                        self.against_golden(&golden, compared.outcome)
                    }
                }
            }
            Check::Tokenizer(check) => {
                let locked = locked()?;
                let answering = self.answering(case, trial, locked)?;
                let path = self.resolve(locked)?;
                let model = ModelFile::of(locked, &path);
                let engines = &mut self.engines;
                match answering {
                    Answering::Live(against) => {
                        tokenizer::run(engines, against, model, case, check, variant)?
                    }
                    Answering::Golden(golden) => {
                        let outcome =
                            golden::run_tokenizer(engines, &golden, model, check, variant)?;
                        self.against_golden(&golden, outcome)
                    }
                }
            }
            Check::Metamorphic(check) => {
                let locked = locked()?;
                let path = self.resolve(locked)?;
                metamorphic::run(&mut self.engines, ModelFile::of(locked, &path), check, variant)?
            }
            Check::Reject(check) => {
                let locked = locked()?;
                let path = self.resolve(locked)?;
                reject::run(&mut self.engines, ModelFile::of(locked, &path), check, variant)?
            }
            Check::Quantization(check) => quantization::run(&OwnMatrices, check, variant)?,
            // A machine that runs tests has no time to give away: speed gates nothing here.
            Check::Bench(_) => Outcome::Ignored {
                reason: format!("nothing is timed here; measure it: parity bench '{}'", trial.id),
            },
        };
        Ok(match &trial.reference {
            Some(reference) if case.references.len() > 1 => outcome.against(reference),
            _ => outcome,
        })
    }
}

/// Who answers for the reference of a trial.
enum Answering {
    /// The reference itself.
    Live(&'static ReferenceProgram),
    /// What was kept of its answer.
    Golden(Box<Golden>),
}

/// Turns the outcome of a known failure round. Only a comparison that was made and failed is the
/// failure that is known: what could not be compared stays a failure.
fn expect_failure(known: &KnownFailure, outcome: Outcome) -> Outcome {
    let why = format!("{} (issue {})", escape::text(&known.why), known.issue);
    match outcome {
        Outcome::Failed { cause: Cause::Judged, .. } => {
            Outcome::passed(format!("fails as known: {why}"))
        }
        Outcome::Passed { line, verdict } => Outcome::Failed {
            cause: Cause::Judged,
            text: format!(
                "ERROR: passes, but is marked as a known failure: {why}; remove `known-failure`\n  \
                 {line}"
            ),
            verdict,
        },
        other => other,
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    escape::text(text.unwrap_or("(no message)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_judged_failure_is_the_known_one() {
        let known = KnownFailure { why: "drifts\u{1b}[31m".into(), issue: 7 };
        let turned = |outcome| expect_failure(&known, outcome);
        let Outcome::Passed { line, .. } = turned(Outcome::differs("DIVERGED")) else {
            panic!("a judged failure passes")
        };
        assert_eq!(line, "fails as known: drifts\\u{1b}[31m (issue 7)");
        for cause in [Cause::Missing, Cause::Engine, Cause::Load] {
            let outcome = Outcome::failed(cause, "ERROR: no worker");
            assert_eq!(turned(outcome.clone()), outcome, "{cause:?}");
        }
        let Outcome::Failed { text, .. } = turned(Outcome::passed("EXACT")) else {
            panic!("a pass fails")
        };
        assert!(text.contains("remove `known-failure`") && text.ends_with("EXACT"), "{text}");
        let ignored = Outcome::Ignored { reason: "no avx512".into() };
        assert_eq!(turned(ignored.clone()), ignored);
    }
}
