//! `parity crossval`: one comparison from the command line. It is a suite of one case that no file holds, and
//! runs and prints as `parity run` does.

#![expect(clippy::print_stderr, reason = "a command prints its complaints")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use clap::{Args, ValueEnum};

use super::manifest;
use super::run::Format;
use super::run_receipts::{ReceiptArgs, Receipts};
use crate::escape;
use crate::exit::Exit;
use crate::models::{LockedModel, ModelLock};
use crate::report::{Basis, Colour, Ended, Summary, Terminal, json, print_line, progress};
use crate::run::{Engines, GoldenUse, KNOWN, Project, ProjectError, Runner, Settings};
use crate::suite::case::Tier;
use crate::suite::{self, Trial};

/// The numeric contracts by their names in suites.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Class {
    /// One engine against itself
    #[value(name = "self")]
    Itself,
    /// The same file and the same rule for activations
    SameNumerics,
    /// Arithmetic that differs by design
    CrossNumerics,
}

/// Flags of `parity crossval`.
#[derive(Debug, Args)]
pub struct CrossvalArgs {
    /// The model, by its id in models.toml
    #[arg(long, value_name = "ID")]
    model: String,
    /// What both engines start from
    #[arg(long, value_name = "TEXT")]
    prompt: String,
    /// Greedy steps behind the prompt
    #[arg(long, value_name = "N", default_value_t = 32)]
    steps: usize,
    /// How near the logits must be
    #[arg(long, value_name = "CLASS", value_enum, default_value_t = Class::SameNumerics)]
    tolerance: Class,
    /// Compare with this one of the model's references; the first of them if not given
    #[arg(long, value_name = "NAME")]
    reference: Option<String>,
    /// Compute threads of our engine
    #[arg(long, value_name = "N", default_value_t = 1)]
    threads: usize,
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    #[command(flatten)]
    receipts: ReceiptArgs,
}

/// Compares once, with the models of the project in `root`.
pub fn execute(root: &Path, args: &CrossvalArgs, colour: Colour) -> Exit {
    let lock = match manifest::lock(root, colour) {
        Ok(lock) => lock,
        Err(exit) => return exit,
    };
    let known = lock.models().iter().map(|model| model.id.as_str());
    let Some(model) = lock.get(&args.model) else {
        let ids = known.collect::<Vec<_>>().join(", ");
        eprintln!("error: models.toml has no '{}'; it has {ids}", escape::text(&args.model));
        return Exit::Usage;
    };
    let text = suite_text(model, args);
    let project = match project(root, lock.clone(), &text) {
        Ok(project) => Arc::new(project),
        Err(error) => {
            eprintln!("{}", manifest::text(&error, colour));
            return Exit::Usage;
        }
    };
    let wanted = args.reference.as_ref().or(model.references.first());
    let found = project.trials.iter().find(|trial| trial.reference.as_ref() == wanted);
    let Some(trial) = found.filter(|trial| trial.reference.is_some()) else {
        eprintln!(
            "error: model '{}' cannot be compared with '{}'; models.toml lists: {}",
            model.id,
            escape::text(wanted.map_or("any reference", |name| name)),
            model.references.join(", ")
        );
        return Exit::Usage;
    };
    match run(&project, trial, args, colour) {
        Ok(exit) => exit,
        Err(error) => {
            eprintln!("error: a result has no JSON: {error}");
            Exit::Environment
        }
    }
}

/// The suite file that says what the flags say.
fn suite_text(model: &LockedModel, args: &CrossvalArgs) -> String {
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let class = args.tolerance.to_possible_value();
    let class = class.as_ref().map_or("same-numerics", |value| value.get_name());
    format!(
        "kind = \"parity\"\nanalysis = \"One comparison from the command line.\"\n\n[[case]]\nname = \
         \"prompt\"\nmodel = {}\ntier = \"{}\"\nprompt = {}\nsteps = {}\ntolerance = \"{class}\"\n\
         variants = {{ threads = [{}] }}\n",
        quoted(&model.id),
        model.tier,
        quoted(&args.prompt),
        args.steps,
        args.threads
    )
}

/// A project of that suite alone.
fn project(root: &Path, lock: ModelLock, text: &str) -> Result<Project, ProjectError> {
    let io = |error: std::io::Error| ProjectError::Temporary(error.to_string());
    let folder = tempfile::tempdir().map_err(io)?;
    fs::write(folder.path().join("crossval.toml"), text).map_err(io)?;
    let mut suites = suite::load(folder.path(), &lock, &KNOWN)?;
    suites.iter_mut().for_each(|suite| suite.path = PathBuf::from("(command line)"));
    let trials = suite::trials(&suites, Tier::Integration);
    Ok(Project { root: root.to_owned(), lock, suites, trials })
}

fn run(
    project: &Arc<Project>,
    trial: &Trial,
    args: &CrossvalArgs,
    colour: Colour,
) -> serde_json::Result<Exit> {
    let mut receipts = match Receipts::new(&args.receipts, project, std::iter::once(trial)) {
        Ok(receipts) => receipts,
        Err(why) => {
            eprintln!("error: {why}");
            return Ok(Exit::Usage);
        }
    };
    let settings = Settings::from_environment(progress());
    // A prompt of this moment has no golden.
    let mut runner = Runner::new(Arc::clone(project), Engines::default(), settings)
        .with_goldens(GoldenUse::Never);
    let mut terminal = (args.format == Format::Human).then(|| Terminal::new(colour, false, 1));
    if let Some(terminal) = &terminal {
        terminal.begin(&trial.id);
    }
    let start = Instant::now();
    let outcome = runner.run(trial);
    let seconds = start.elapsed().as_secs_f64();
    receipts.keep(&runner, trial, &outcome);
    let mut summary = Summary::default();
    summary.add(&trial.id, project.suite(trial).kind, &outcome);
    let ended = Ended {
        id: trial.id.clone(),
        outcome,
        seconds,
        footer: format!(
            "  reference: {}\n  model: {}, sha256 {}",
            escape::text(trial.reference.as_deref().unwrap_or_default()),
            args.model,
            project.lock.get(&args.model).map_or("", |model| &model.sha256)
        ),
        file: "(command line)".to_owned(),
        line: 1,
    };
    match &mut terminal {
        Some(terminal) => terminal.end(&ended),
        None => print_line(&json::trial(&ended)?),
    }
    let basis = Basis::of(&runner, seconds);
    match terminal {
        Some(terminal) => terminal.finish(&summary.text(&basis)),
        None => print_line(&json::summary(&summary, &basis)?),
    }
    let written = receipts.finish();
    Ok(match summary {
        _ if summary.failed > summary.missing + summary.unloadable => Exit::CaseFailed,
        _ if summary.unloadable > 0 => Exit::ModelLoad,
        _ if summary.missing > 0 => Exit::Environment,
        _ if !summary.ran() => Exit::NothingSelected,
        _ => written,
    })
}
