//! The main job: every suite as individual tests. `cargo test --test suites`.
//!
//! One trial a case and variant, with the ids of `parity run`. It loads no model while listing, and
//! prints nothing but libtest's lines to standard output, so that nextest can drive it. What it adds
//! goes to standard error: why trials were ignored, and on what the result rests. Receipts of comparisons
//! go into the folder that BITNET_RECEIPTS names.

#![expect(clippy::print_stderr, reason = "the run's summary goes to standard error")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bitnet_runner::exit::Exit;
use bitnet_runner::receipt;
use bitnet_runner::report::{Basis, Summary, progress};
use bitnet_runner::run::{Engines, GoldenUse, Outcome, Project, Runner, Settings};
use libtest_mimic::{Arguments, Completion, Failed, Trial};

/// Names the folder that receipts are written to.
const RECEIPTS_VARIABLE: &str = "BITNET_RECEIPTS";

struct Run {
    project: Arc<Project>,
    goldens: GoldenUse,
    /// Runners that no trial uses at the moment.
    idle: Mutex<Vec<Runner>>,
    summary: Mutex<Summary>,
}

fn main() -> ExitCode {
    let mut args = Arguments::from_args();
    let goldens = match GoldenUse::from_environment(false) {
        Ok(goldens) => goldens,
        Err(error) => {
            eprintln!("error: {error}");
            return Exit::Usage.into();
        }
    };
    if !goldens.starts_nothing() {
        // Two engines use the cores themselves, and they are shared from trial to trial.
        args.test_threads = Some(1);
    }
    // Cargo and nextest name the package's folder at run time; a bare executable uses the built one.
    let package = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    let root = package.parent().unwrap_or(&package);
    let project = match Project::load(root) {
        Ok(project) => Arc::new(project),
        Err(error) => {
            eprintln!("{error}");
            return Exit::Usage.into();
        }
    };
    let run = Run { project, goldens, idle: Mutex::default(), summary: Mutex::default() };
    let run = Arc::new(run);
    let trials: Vec<Trial> = (0..run.project.trials.len())
        .map(|index| {
            let trial = &run.project.trials[index];
            let (id, ignored) = (trial.id.clone(), trial.ignored.is_some());
            let run = Arc::clone(&run);
            Trial::ignorable_test(id, move || run.one(index)).with_ignored_flag(ignored)
        })
        .collect();
    let (listing, start) = (args.list, Instant::now());
    let conclusion = libtest_mimic::run(&args, trials);
    if !listing {
        let mut summary = lock(&run.summary);
        let told = summary.ignored.len();
        summary.add_above_tier((conclusion.num_ignored as usize).saturating_sub(told));
        let runners = lock(&run.idle);
        let unused = run.runner();
        let basis = Basis::of(runners.first().unwrap_or(&unused), start.elapsed().as_secs_f64());
        let basis = runners.iter().skip(1).fold(basis, Basis::with);
        eprintln!("{}", summary.text(&basis));
        if !summary.ran() && conclusion.num_filtered_out > 0 {
            eprintln!("  NO TRIAL RAN: none matches the filter; --list shows all");
        }
    }
    conclusion.exit_code()
}

impl Run {
    fn runner(&self) -> Runner {
        let settings = Settings::from_environment(progress());
        Runner::new(Arc::clone(&self.project), Engines::default(), settings)
            .with_goldens(self.goldens)
    }

    fn one(&self, index: usize) -> Result<Completion, Failed> {
        let idle = lock(&self.idle).pop();
        let mut runner = idle.unwrap_or_else(|| self.runner());
        let trial = &self.project.trials[index];
        let outcome = runner.run(trial);
        lock(&self.summary).add(&trial.id, self.project.suite(trial).kind, &outcome);
        let footer = runner.footer(trial);
        let receipt = runner.receipt(trial, &outcome);
        lock(&self.idle).push(runner);
        if let (Some(folder), Some(receipt)) = (std::env::var_os(RECEIPTS_VARIABLE), receipt) {
            receipt::write_parity(folder.as_ref(), &receipt).map_err(|error| error.to_string())?;
        }
        match outcome {
            Outcome::Passed { .. } => Ok(Completion::Completed),
            Outcome::Failed { text, .. } => Err(format!("{text}\n{footer}").into()),
            Outcome::Ignored { reason } => Ok(Completion::ignored_with(reason)),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
