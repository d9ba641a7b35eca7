//! Runs one trial of kind `bench`: from its case to a receipt. It prints nothing and writes no file.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::contender::{Contender, Start};
use super::measure::{Demand, MeasureError, Pair, measure};
use super::noise::{Noise, wait_for_quiet};
use super::task::Task;
use crate::backend::engine::{self, FileFacts, file_facts};
use crate::backend::protocol::build_id;
use crate::backend::worker::{WorkerBackend, WorkerSpec};
use crate::backend::{BackendError, OpenRequest, ReferenceBuild, SPEED_SETTINGS};
use crate::escape;
use crate::machine::Machine;
use crate::models::{Progress, Store, StoreError};
use crate::receipt::{
    BenchReceipt, CaseFacts, Kind, Measure, ModelFacts, Output, PeakMemory, SCHEMA_VERSION, Tool,
    Verdict, Word, derive, rfc3339,
};
use crate::run::{ModelFile, Obstacle, Project, readable_by_references, reference_of};
use crate::suite::bench::Bench;
use crate::suite::{Check, Trial};

/// Seconds for a worker to introduce itself.
const HANDSHAKE_SECONDS: u64 = 30;
/// Seconds for one answer where the case gives none: a long prefill of a slow reference, several times.
const ANSWER_SECONDS: u64 = 900;
/// While a quiet host is waited for, what is in the way is told so often; it is looked at every second.
const SECONDS_BETWEEN_LINES: u64 = 10;
/// The verb of this program that serves the engine under test.
pub const WORKER_VERB: &str = "worker";

/// How benchmarks are run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Measure against a build that was compiled for reproducible bits, and is slower for it.
    pub against_checking: bool,
    /// How long to wait for a quiet host.
    pub patience: Duration,
    /// Measure on a noisy host all the same; nothing is decided there.
    pub noisy_host: bool,
}

/// What benchmarks of a project need beside their cases.
pub struct Bencher {
    project: Arc<Project>,
    store: Result<Store, StoreError>,
    /// This program, which serves the engine under test to itself.
    program: PathBuf,
    options: Options,
}

impl Bencher {
    /// Benchmarks of `project`; `program` has the verb [`WORKER_VERB`].
    pub fn new(project: Arc<Project>, program: PathBuf, options: Options) -> Self {
        let store = Store::from_environment(&project.root);
        Self { project, store, program, options }
    }

    /// Measures a trial. `tell` hears of each step, `progress` of models that are made.
    ///
    /// # Errors
    /// [`Refusal::Noisy`] on a host that stays noisy; what is missing, what failed, and wrong answers.
    pub fn run(
        &self,
        trial: &Trial,
        tell: &dyn Fn(&str),
        progress: &(dyn Fn(Progress<'_>) + Sync),
    ) -> Result<BenchReceipt, Refusal> {
        let time = SystemTime::now();
        let Prepared { bench, path, model, threads } = self.prepare(trial, progress)?;
        let noises = self.quiet(model.bytes, tell)?;
        let mut pair = self.pair(trial, &bench, &path, threads)?;
        let demand = Demand { min_ratio: bench.min_ratio, rounds: bench.rounds, all_rounds: false };
        let (mut measured, mut kernels) = (Vec::new(), Vec::new());
        for task in Task::of(&bench) {
            let (mut done, calls) = measure(&mut pair, &task, demand, tell)?;
            if !noises.is_empty() {
                done.verdict.word = Word::Inconclusive;
                done.verdict.reasons.splice(0..0, noises.iter().map(ToString::to_string));
            }
            super::contender::add_calls(&mut kernels, calls);
            measured.push(done);
        }
        kernels.sort();
        Ok(BenchReceipt {
            schema_version: SCHEMA_VERSION.to_owned(),
            kind: Kind::Bench,
            tool: Tool::here(),
            time: rfc3339(time),
            case: CaseFacts::new(&trial.id, &self.project.suite(trial).sha256),
            model,
            subject: pair.subject.identity().clone(),
            reference: pair.reference.identity().clone(),
            machine: Machine::here(),
            threads,
            kernels,
            peak_memory: PeakMemory {
                subject: pair.subject.peak_memory(),
                reference: pair.reference.peak_memory(),
            },
            verdict: worst(measured.iter().map(|measured| (&*measured.name, &measured.verdict))),
            measured,
        })
    }

    /// Measures the subject against itself at the trial's first decode, or its first measure: the ln time
    /// ratios of `rounds` rounds in the order of time, and the measure's name.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn against_itself(
        &self,
        trial: &Trial,
        rounds: usize,
        tell: &dyn Fn(&str),
        progress: &(dyn Fn(Progress<'_>) + Sync),
    ) -> Result<(String, Vec<f64>), Refusal> {
        let Prepared { bench, path, model, threads } = self.prepare(trial, progress)?;
        self.quiet(model.bytes, tell)?;
        let request = self.request(trial, &bench, &path, threads);
        let subject = || Contender::new(self.subject(trial), request.clone(), None);
        let mut pair = Pair { subject: subject()?, reference: subject()? };
        let tasks = Task::of(&bench);
        let decode = tasks.iter().find(|task| task.measure == Measure::Decode);
        let Some(task) = decode.or(tasks.first()) else {
            return Err(Refusal::error(format!("{}: the case times nothing", trial.id)));
        };
        let demand = Demand { min_ratio: bench.min_ratio, rounds, all_rounds: true };
        let (measured, _) = measure(&mut pair, task, demand, tell)?;
        let ratios = derive::ln_time_ratios(task.measure, &measured.rounds).unwrap_or_default();
        Ok((measured.name, ratios))
    }

    fn prepare(
        &self,
        trial: &Trial,
        progress: &(dyn Fn(Progress<'_>) + Sync),
    ) -> Result<Prepared, Refusal> {
        let case = self.project.case(trial);
        let Check::Bench(bench) = &case.check else {
            return Err(Refusal::error(format!("{} is no benchmark", trial.id)));
        };
        reference_of(case, trial)?;
        let id = case.model.as_deref().unwrap_or_default();
        let locked = self.project.lock.get(id);
        let locked = locked.ok_or_else(|| Refusal::error(format!("models.toml has no '{id}'")))?;
        let store = self.store.as_ref();
        let store = store.map_err(|error| Obstacle::Missing(escape::text(&error.to_string())))?;
        let path = store.resolve(locked, progress).map_err(Obstacle::from)?;
        readable_by_references(ModelFile::of(locked, &path))?;
        let FileFacts { bytes, architecture, tensor_types } = file_facts(&path)?;
        let model = ModelFacts {
            id: id.to_owned(),
            sha256: locked.sha256.clone(),
            bytes,
            architecture,
            tensor_types,
        };
        let threads = trial.variant.threads.unwrap_or(1);
        Ok(Prepared { bench: bench.clone(), path, model, threads })
    }

    /// Waits for a quiet host. Gives what is noisy where that is to be measured on all the same.
    fn quiet(&self, model: u64, tell: &dyn Fn(&str)) -> Result<Vec<Noise>, Refusal> {
        let patience = if self.options.noisy_host { Duration::ZERO } else { self.options.patience };
        let told = |noises: &[Noise]| noises.iter().for_each(|noise| tell(&noise.to_string()));
        let mut seconds = 0;
        let waiting = |noises: &[Noise]| {
            if seconds % SECONDS_BETWEEN_LINES == 0 {
                tell("waiting for a quiet host");
                told(noises);
            }
            seconds += 1;
        };
        // Each engine holds the model.
        match wait_for_quiet(2 * model, patience, waiting) {
            Ok(_) => Ok(Vec::new()),
            Err(noises) if self.options.noisy_host => {
                told(&noises);
                Ok(noises)
            }
            Err(noises) => Err(Refusal::Noisy(noises.iter().map(ToString::to_string).collect())),
        }
    }

    fn request(&self, trial: &Trial, bench: &Bench, path: &Path, threads: usize) -> OpenRequest {
        let isa = trial.variant.isa.clone();
        OpenRequest { threads, isa, ..OpenRequest::new(path, bench.positions()) }
    }

    fn pair<'a>(
        &'a self,
        trial: &'a Trial,
        bench: &Bench,
        path: &Path,
        threads: usize,
    ) -> Result<Pair<'a>, Refusal> {
        let request = self.request(trial, bench, path, threads);
        let program = reference_of(self.project.case(trial), trial)?;
        let seconds = self.answer_seconds(trial);
        let start: Start<'a> =
            Box::new(move || Ok(program.start(seconds, &[SPEED_SETTINGS])?.into()));
        let reference = OpenRequest { isa: None, ..request.clone() };
        let reference = Contender::new(start, reference, Some(Output::Logits))?;
        let build = ReferenceBuild::of(reference.identity());
        if build == ReferenceBuild::Checking && !self.options.against_checking {
            return Err(Refusal::Obstacle(Obstacle::Missing(format!(
                "no opponent: the worker of {} is the checking build, slower than its sources can be \
                 compiled\n  to get the fast one: cargo build --release --features \
                 fastest-references, then target/release/parity bench\n  to measure against this one \
                 all the same: --reference-build checking",
                program.name
            ))));
        }
        let subject = Contender::new(self.subject(trial), request, None)?;
        if subject.facts() != reference.facts() {
            return Err(Refusal::error(format!(
                "the engines read the model differently: {} found {:?}, {} found {:?}",
                reference.identity().name,
                reference.facts(),
                subject.identity().name,
                subject.facts()
            )));
        }
        Ok(Pair { subject, reference })
    }

    /// How the engine under test is started: this program serves it, so it is never another build's.
    fn subject<'a>(&'a self, trial: &Trial) -> Start<'a> {
        let request_seconds = self.answer_seconds(trial);
        Box::new(move || {
            let worker = WorkerBackend::start(WorkerSpec {
                name: engine::NAME.to_owned(),
                program: self.program.clone(),
                args: vec![WORKER_VERB.into()],
                env: Vec::new(),
                build: Some(build_id()),
                remedy: "run the benchmark with the program that was built last".to_owned(),
                handshake_seconds: HANDSHAKE_SECONDS,
                request_seconds,
            })?;
            Ok(worker.into())
        })
    }

    fn answer_seconds(&self, trial: &Trial) -> u64 {
        let timeout = self.project.case(trial).timeout;
        timeout.map_or(ANSWER_SECONDS, |limit| limit.as_secs().max(1))
    }
}

/// What a trial measures, with its model.
struct Prepared {
    bench: Bench,
    path: PathBuf,
    model: ModelFacts,
    threads: usize,
}

/// Why a trial has no receipt.
#[derive(Debug)]
pub enum Refusal {
    /// The host is too noisy to measure speed on, for these reasons.
    Noisy(Vec<String>),
    /// What stops other trials too.
    Obstacle(Obstacle),
}

impl Refusal {
    fn error(what: impl Into<String>) -> Self {
        Self::Obstacle(Obstacle::Error(what.into()))
    }
}

impl From<Obstacle> for Refusal {
    fn from(obstacle: Obstacle) -> Self {
        Self::Obstacle(obstacle)
    }
}

impl From<BackendError> for Refusal {
    fn from(error: BackendError) -> Self {
        Self::Obstacle(error.into())
    }
}

impl From<MeasureError> for Refusal {
    fn from(error: MeasureError) -> Self {
        match error {
            MeasureError::Engine(error) => error.into(),
            MeasureError::Wrong(what) => Self::error(escape::text(&what)),
        }
    }
}

/// The worst of several verdicts, with the reasons of those that are as bad.
pub(crate) fn worst<'a>(verdicts: impl Iterator<Item = (&'a str, &'a Verdict)> + Clone) -> Verdict {
    let word = verdicts.clone().map(|(_, verdict)| verdict.word).max().unwrap_or(Word::Pass);
    let of_word = verdicts.filter(|(_, verdict)| verdict.word == word);
    let reasons = of_word.flat_map(|(name, verdict)| {
        verdict.reasons.iter().map(move |why| format!("{name}: {why}"))
    });
    Verdict { word, reasons: reasons.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_measure_is_the_case_and_says_why() {
        let verdict = |word, why: &str| Verdict { word, reasons: vec![why.to_owned()] };
        let all = [
            ("pp512", verdict(Word::Pass, "fast")),
            ("tg128", verdict(Word::Fail, "slow")),
            ("tg64", verdict(Word::Inconclusive, "noise")),
        ];
        let got = worst(all.iter().map(|(name, verdict)| (*name, verdict)));
        assert_eq!(got, verdict(Word::Fail, "tg128: slow"));
    }
}
