//! `parity run`: the trials of the suites, with the ids of the test harness.

#![expect(clippy::print_stderr, reason = "a command prints its complaints")]

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use clap::{Args, ValueEnum};

use super::manifest;
use super::run_localize::Localizing;
use super::run_receipts::{ReceiptArgs, Receipts};
use super::run_reports::{self, ReportArgs};
use super::selection::SelectionArgs;
use crate::exit::Exit;
use crate::report::{Basis, Colour, Ended, Summary, Terminal, github, json, print_line, progress};
use crate::run::{Engines, GoldenUse, Outcome, Project, Runner, Settings};
use crate::suite::Trial;

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

/// How `parity run` prints results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RunFormat {
    /// For people
    Human,
    /// One JSON object a line
    Json,
    /// For people, with annotations and a step summary for GitHub Actions
    Github,
}

/// Flags of `parity run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    #[command(flatten)]
    selection: SelectionArgs,
    /// Say in full where the engines part in parity cases that fail; on a terminal a few lines say it unasked
    #[arg(long)]
    localize: bool,
    /// Compare with the goldens of baselines/goldens and start no reference
    #[arg(long)]
    goldens: bool,
    /// Print failures and the summary only
    #[arg(short, long)]
    quiet: bool,
    /// How to print results; `github` where GITHUB_ACTIONS is set, else `human`
    #[arg(long, value_enum)]
    format: Option<RunFormat>,
    /// Feed every tolerance with known-wrong outputs too, and fail the case that passes one
    #[arg(long, conflicts_with = "goldens")]
    qualify: bool,
    #[command(flatten)]
    receipts: ReceiptArgs,
    #[command(flatten)]
    reports: ReportArgs,
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
    let selected = args.selection.of(project.trials.iter());
    if selected.is_empty() {
        eprintln!(
            "error: no trial matches {}; `parity run --list` shows all {}",
            args.selection.words(),
            project.trials.len()
        );
        return Exit::NothingSelected;
    }
    if args.selection.list {
        for trial in &selected {
            print_line(&trial.id);
        }
        return Exit::Ok;
    }
    let goldens = match GoldenUse::from_environment(args.goldens) {
        Ok(goldens) => goldens,
        Err(error) => {
            eprintln!("error: {error}");
            return Exit::Usage;
        }
    };
    let running = selected.iter().copied();
    let running = running.filter(|trial| args.selection.include_ignored || trial.ignored.is_none());
    let receipts = match Receipts::new(&args.receipts, &project, running) {
        Ok(receipts) => receipts,
        Err(why) => {
            eprintln!("error: {why}");
            return Exit::Usage;
        }
    };
    match run(&project, &selected, args, goldens, colour, receipts) {
        Ok((summary, _)) if summary.failed > summary.missing + summary.unloadable => {
            Exit::CaseFailed
        }
        Ok((summary, _)) if summary.unloadable > 0 => Exit::ModelLoad,
        Ok((summary, _)) if summary.missing > 0 => Exit::Environment,
        Ok((summary, _)) if !summary.ran() => Exit::NothingSelected,
        Ok((_, reports)) => reports,
        Err(error) => {
            eprintln!("error: a result has no JSON: {error}");
            Exit::Environment
        }
    }
}

/// Runs and prints; gives the summary, and whether receipts and reports were written.
fn run(
    project: &Arc<Project>,
    selected: &[&Trial],
    args: &RunArgs,
    goldens: GoldenUse,
    colour: Colour,
    mut receipts: Receipts<'_>,
) -> serde_json::Result<(Summary, Exit)> {
    let format = args.format.unwrap_or_else(run_reports::format_of_environment);
    let settings = Settings::from_environment(progress());
    let mut runner =
        Runner::new(Arc::clone(project), Engines::default(), settings).with_goldens(goldens);
    runner = runner.qualifying(args.qualify);
    let human = format != RunFormat::Json;
    let muted = (format == RunFormat::Github).then(github::Muted::new);
    if let Some(muted) = &muted {
        print_line(&muted.begin());
    }
    let mut terminal = human.then(|| Terminal::new(colour, args.quiet, selected.len()));
    if let Some(terminal) = &terminal {
        runner.engines.subject.listen(terminal.listener());
    }
    // Goldens keep no tensors, and whoever asks for them wants no reference started unasked.
    let goldens_alone = goldens == GoldenUse::Always && !args.localize;
    let localizing = if goldens_alone { None } else { Localizing::new(args.localize, human) };
    let (mut summary, mut all, start) = (Summary::default(), Vec::new(), Instant::now());
    for trial in selected {
        if let Some(terminal) = &terminal {
            terminal.begin(&trial.id);
        }
        let begun = Instant::now();
        let outcome = match &trial.ignored {
            Some(reason) if !args.selection.include_ignored => {
                Outcome::Ignored { reason: reason.clone() }
            }
            _ => runner.run(trial),
        };
        let seconds = begun.elapsed().as_secs_f64();
        receipts.keep(&runner, trial, &outcome);
        let outcome = match localizing {
            Some(localizing) => localizing.extend(&mut runner, trial, outcome, human)?,
            None => outcome,
        };
        let ended = ended(project, &runner, trial, outcome, seconds);
        match &trial.ignored {
            Some(_) if !args.selection.include_ignored => summary.add_above_tier(1),
            _ => summary.add(&trial.id, project.suite(trial).kind, &ended.outcome),
        }
        match &mut terminal {
            Some(terminal) => terminal.end(&ended),
            None => print_line(&json::trial(&ended)?),
        }
        all.push(ended);
    }
    let basis = Basis::of(&runner, start.elapsed().as_secs_f64());
    match terminal {
        Some(terminal) => terminal.finish(&summary.text(&basis)),
        None => print_line(&json::summary(&summary, &basis)?),
    }
    if let Some(muted) = &muted {
        print_line(&muted.end());
        github::annotations(&all).iter().for_each(|line| print_line(line));
    }
    let written = receipts.finish();
    let reports = run_reports::write(&args.reports, muted.is_some(), &all, &summary, &basis);
    Ok((summary, if written == Exit::Ok { reports } else { written }))
}

fn ended(
    project: &Project,
    runner: &Runner,
    trial: &Trial,
    outcome: Outcome,
    seconds: f64,
) -> Ended {
    let path = &project.suite(trial).path;
    let file = path.strip_prefix(&project.root).unwrap_or(path).display().to_string();
    let (footer, line) = (runner.footer(trial), project.case(trial).line);
    Ended { id: trial.id.clone(), outcome, seconds, footer, file, line }
}
