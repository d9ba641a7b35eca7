//! `parity run`: the trials of the suites, with the ids of the test harness.

#![expect(clippy::print_stderr, reason = "a command prints its complaints")]

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use clap::{Args, ValueEnum};

use super::manifest;
use crate::exit::Exit;
use crate::report::{Basis, Colour, Summary, Terminal, json, print_line, progress};
use crate::run::{Engines, Outcome, Project, Runner, Settings};
use crate::suite::{Filter, Trial};

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

/// Flags of `parity run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Run only trials whose id contains one of these
    filters: Vec<String>,
    /// Compare filters with whole ids
    #[arg(long)]
    exact: bool,
    /// Leave out trials whose id contains this
    #[arg(long, value_name = "FILTER")]
    skip: Vec<String>,
    /// Also run trials above the tier of BITNET_TIER
    #[arg(long)]
    include_ignored: bool,
    /// List the selected trials and run nothing
    #[arg(long)]
    list: bool,
    /// Print failures and the summary only
    #[arg(short, long)]
    quiet: bool,
    /// How to print results
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

/// Runs the selected trials of the project in `root`.
pub fn execute(root: &Path, args: &RunArgs, colour: Colour) -> Exit {
    let project = match Project::load(root) {
        Ok(project) => Arc::new(project),
        Err(error) => {
            eprintln!("{}", manifest::text(&error, colour));
            return Exit::Usage;
        }
    };
    let filter =
        Filter { wanted: args.filters.clone(), skipped: args.skip.clone(), exact: args.exact };
    let selected: Vec<&Trial> =
        project.trials.iter().filter(|trial| filter.selects(&trial.id)).collect();
    if selected.is_empty() {
        eprintln!(
            "error: no trial matches {:?}; `parity run --list` shows all {}",
            args.filters,
            project.trials.len()
        );
        return Exit::NothingSelected;
    }
    if args.list {
        for trial in &selected {
            print_line(&trial.id);
        }
        return Exit::Ok;
    }
    match run(&project, &selected, args, colour) {
        Ok(summary) if summary.failed > summary.missing + summary.unloadable => Exit::CaseFailed,
        Ok(summary) if summary.unloadable > 0 => Exit::ModelLoad,
        Ok(summary) if summary.missing > 0 => Exit::Environment,
        Ok(summary) if summary.ran() => Exit::Ok,
        Ok(_) => Exit::NothingSelected,
        Err(error) => {
            eprintln!("error: a result has no JSON: {error}");
            Exit::Environment
        }
    }
}

fn run(
    project: &Arc<Project>,
    selected: &[&Trial],
    args: &RunArgs,
    colour: Colour,
) -> serde_json::Result<Summary> {
    let settings = Settings::from_environment(progress());
    let mut runner = Runner::new(Arc::clone(project), Engines::default(), settings);
    let human = args.format == Format::Human;
    let mut terminal = human.then(|| Terminal::new(colour, args.quiet, selected.len()));
    let (mut summary, start) = (Summary::default(), Instant::now());
    for trial in selected {
        if let Some(terminal) = &terminal {
            terminal.begin(&trial.id);
        }
        let begun = Instant::now();
        let outcome = match &trial.ignored {
            Some(reason) if !args.include_ignored => Outcome::Ignored { reason: reason.clone() },
            _ => runner.run(trial),
        };
        let seconds = begun.elapsed().as_secs_f64();
        match &trial.ignored {
            Some(_) if !args.include_ignored => summary.add_above_tier(1),
            _ => summary.add(&trial.id, project.suite(trial).kind, &outcome),
        }
        match &mut terminal {
            Some(terminal) => terminal.end(&trial.id, &outcome, &runner.footer(trial), seconds),
            None => print_line(&json::trial(&trial.id, &outcome, seconds)?),
        }
    }
    let basis = Basis::of(&runner, start.elapsed().as_secs_f64());
    match terminal {
        Some(terminal) => terminal.finish(&summary.text(&basis)),
        None => print_line(&json::summary(&summary, &basis)?),
    }
    Ok(summary)
}
