//! The main job: every suite as individual tests. `cargo test --test suites`.
//!
//! One trial a case and variant, with the ids of `parity run`. It loads no model while listing, and
//! prints nothing but libtest's lines to standard output, so that nextest can drive it. What it adds
//! goes to standard error: why trials were ignored, and on what the result rests. Receipts of comparisons
//! go into the folder that BITNET_RECEIPTS names.

#![expect(clippy::print_stderr, reason = "the run's summary goes to standard error")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bitnet_runner::exit::Exit;
use bitnet_runner::receipt;
use bitnet_runner::report::{Basis, Summary, progress};
use bitnet_runner::run::{Engines, Outcome, Project, Runner, Settings};
use libtest_mimic::{Arguments, Completion, Failed, Trial};

/// Names the folder that receipts are written to.
const RECEIPTS_VARIABLE: &str = "BITNET_RECEIPTS";

struct Run {
    runner: Runner,
    summary: Summary,
}

fn main() -> ExitCode {
    let mut args = Arguments::from_args();
    // The engines use the cores themselves, and they are shared from trial to trial.
    args.test_threads = Some(1);
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
    let settings = Settings::from_environment(progress());
    let runner = Runner::new(Arc::clone(&project), Engines::default(), settings);
    let run = Arc::new(Mutex::new(Run { runner, summary: Summary::default() }));
    let trials: Vec<Trial> = (0..project.trials.len())
        .map(|index| {
            let trial = &project.trials[index];
            let (run, project) = (Arc::clone(&run), Arc::clone(&project));
            Trial::ignorable_test(trial.id.clone(), move || one(&run, &project, index))
                .with_ignored_flag(trial.ignored.is_some())
        })
        .collect();
    let (listing, start) = (args.list, Instant::now());
    let conclusion = libtest_mimic::run(&args, trials);
    if !listing {
        let mut run = run.lock().unwrap_or_else(PoisonError::into_inner);
        let told = run.summary.ignored.len();
        run.summary.add_above_tier((conclusion.num_ignored as usize).saturating_sub(told));
        let basis = Basis::of(&run.runner, start.elapsed().as_secs_f64());
        eprintln!("{}", run.summary.text(&basis));
        if !run.summary.ran() && conclusion.num_filtered_out > 0 {
            eprintln!("  NO TRIAL RAN: none matches the filter; --list shows all");
        }
    }
    conclusion.exit_code()
}

fn one(run: &Mutex<Run>, project: &Project, index: usize) -> Result<Completion, Failed> {
    let mut run = run.lock().unwrap_or_else(PoisonError::into_inner);
    let trial = &project.trials[index];
    let outcome = run.runner.run(trial);
    run.summary.add(&trial.id, project.suite(trial).kind, &outcome);
    if let (Some(folder), Some(receipt)) =
        (std::env::var_os(RECEIPTS_VARIABLE), run.runner.receipt(trial, &outcome))
    {
        receipt::write_parity(folder.as_ref(), &receipt).map_err(|error| error.to_string())?;
    }
    match outcome {
        Outcome::Passed { .. } => Ok(Completion::Completed),
        Outcome::Failed { text, .. } => Err(format!("{text}\n{}", run.runner.footer(trial)).into()),
        Outcome::Ignored { reason } => Ok(Completion::ignored_with(reason)),
    }
}
