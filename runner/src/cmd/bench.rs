//! `parity bench`: the trials of kind `bench`, measured against the references that are built for speed.

#![expect(clippy::print_stderr, reason = "a command prints its complaints")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::run::Format;
use super::selection::SelectionArgs;
use super::{baselines, manifest};
use crate::baseline::check::check;
use crate::baseline::{BaselineError, read_all};
use crate::bench::case::{Bencher, Options, Refusal};
use crate::bench::qualify::qualify;
use crate::bench::verdict::{LOOKS, Question};
use crate::escape;
use crate::exit::Exit;
use crate::receipt::{self, BenchReceipt, Word};
use crate::report::{Colour, Reporter, bench, print_line};
use crate::run::{Obstacle, Project};
use crate::suite::{Check, Trial};

/// The question that a host is qualified for: has a tenth of the speed gone?
const QUALIFIED_SHARE: f64 = 0.9;
/// Where the draws of a qualification begin: the same rounds give the same table.
const QUALIFICATION_SEED: u64 = 1;

/// Which build of a reference may be the opponent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Build {
    /// Compiled for speed (feature `fastest-references`), or named by BITNET_CPP_DIR
    Fastest,
    /// The checking build as well, although it is slower than its sources can be
    Checking,
}

/// Flags of `parity bench`.
#[derive(Debug, Args)]
pub struct BenchArgs {
    #[command(flatten)]
    selection: SelectionArgs,
    /// Write a receipt of each trial into this folder
    #[arg(long, value_name = "DIR")]
    receipts: Option<PathBuf>,
    /// Also hold every measure against the accepted baselines, as `parity baselines check` does
    #[arg(long)]
    check: bool,
    /// Which build of a reference may be the opponent
    #[arg(long, value_enum, default_value_t = Build::Fastest, value_name = "BUILD")]
    reference_build: Build,
    /// Seconds to wait for a quiet host
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    patience: u64,
    /// Measure on a noisy host all the same; nothing is decided there
    #[arg(long)]
    noisy_host: bool,
    /// Measure the engine against itself and tell how often this host's verdicts would be wrong
    #[arg(long, conflicts_with_all = ["receipts", "check", "list"])]
    qualify: bool,
    /// Rounds of the engine against itself
    #[arg(long, default_value_t = 40, value_name = "N", requires = "qualify",
          value_parser = rounds)]
    rounds: usize,
    /// How to print results
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

/// One line of `--format json`.
#[derive(Debug, Serialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
enum Line<'a> {
    Bench { id: &'a str, receipt: &'a BenchReceipt },
    Error { id: &'a str, text: &'a str },
    Inconclusive { id: &'a str, reasons: &'a [String] },
}

/// Measures the selected trials of the project in `root`.
pub fn execute(root: &Path, args: &BenchArgs, colour: Colour) -> Exit {
    let project = match Project::load(root) {
        Ok(project) => Arc::new(project),
        Err(error) => {
            eprintln!("{}", manifest::text(&error, colour));
            return Exit::Usage;
        }
    };
    let benchmarks = project.trials.iter();
    let benchmarks =
        benchmarks.filter(|trial| matches!(project.case(trial).check, Check::Bench(_)));
    let all = args.selection.of(benchmarks);
    let (selected, above): (Vec<&Trial>, Vec<&Trial>) = all
        .into_iter()
        .partition(|trial| args.selection.include_ignored || trial.ignored.is_none());
    for trial in &above {
        let reason = trial.ignored.as_deref().unwrap_or_default();
        eprintln!("not measured: {}: {reason}, or --include-ignored", trial.id);
    }
    if selected.is_empty() {
        eprintln!(
            "error: no benchmark matches {}; `parity bench --list --include-ignored` shows all",
            args.selection.words()
        );
        return Exit::NothingSelected;
    }
    if args.selection.list {
        selected.iter().for_each(|trial| print_line(&trial.id));
        return Exit::Ok;
    }
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => {
            eprintln!("error: cannot find this program, which serves the engine: {error}");
            return Exit::Environment;
        }
    };
    let options = Options {
        against_checking: args.reference_build == Build::Checking,
        patience: Duration::from_secs(args.patience),
        noisy_host: args.noisy_host,
    };
    let bencher = Bencher::new(Arc::clone(&project), program, options);
    let run = Run { bencher, root, args, reporter: Reporter::new(false, colour) };
    if args.qualify { run.qualify(&selected) } else { run.measure(&selected) }
}

/// A number of rounds at which a verdict looks.
fn rounds(text: &str) -> Result<usize, String> {
    let found = text.parse().ok().filter(|rounds| LOOKS.contains(rounds));
    found.ok_or_else(|| format!("a verdict looks after {LOOKS:?} rounds"))
}

/// A run in progress.
struct Run<'a> {
    bencher: Bencher,
    root: &'a Path,
    args: &'a BenchArgs,
    reporter: Reporter,
}

impl Run<'_> {
    fn measure(&self, selected: &[&Trial]) -> Exit {
        let (mut words, mut failures, mut unwritten) = (Vec::new(), Vec::new(), false);
        for trial in selected {
            self.reporter.status("Measuring", &trial.id);
            let tell = |step: &str| self.reporter.status("", step);
            match self.bencher.run(trial, &tell, &|step| self.reporter.hear(step)) {
                Ok(receipt) => {
                    words.push(receipt.verdict.word);
                    unwritten |= !self.print(trial, &receipt);
                    if self.args.check {
                        match self.check(trial, &receipt) {
                            Ok(checked) => words.extend(checked),
                            Err(exit) => failures.push(exit),
                        }
                    }
                }
                Err(Refusal::Noisy(reasons)) => {
                    words.push(Word::Inconclusive);
                    self.refused(trial, &Line::Inconclusive { id: &trial.id, reasons: &reasons });
                }
                Err(Refusal::Obstacle(obstacle)) => {
                    let text = text_of(&obstacle);
                    self.refused(trial, &Line::Error { id: &trial.id, text: &text });
                    failures.push(exit_of(&obstacle));
                }
            }
        }
        if self.args.format == Format::Human {
            print_line(&bench::tally(&words, failures.len()));
        }
        let worst = words.iter().max();
        match (failures.first(), worst) {
            _ if worst == Some(&Word::Fail) => Exit::CaseFailed,
            (Some(&exit), _) => exit,
            (None, Some(Word::Inconclusive | Word::NotComparable)) => Exit::Undecided,
            _ if unwritten => Exit::ReportNotWritten,
            _ => Exit::Ok,
        }
    }

    /// Prints a receipt, and writes it where that was asked for. Says whether that succeeded.
    fn print(&self, trial: &Trial, receipt: &BenchReceipt) -> bool {
        match self.args.format {
            Format::Human => print_line(&bench::block(&trial.id, receipt)),
            Format::Json => print_json(&Line::Bench { id: &trial.id, receipt }),
        }
        let Some(folder) = &self.args.receipts else { return true };
        match receipt::write(folder, receipt) {
            Ok(path) => {
                self.reporter.status("Wrote", &path.display().to_string());
                true
            }
            Err(error) => {
                eprintln!("error: {error}");
                false
            }
        }
    }

    /// Prints how each measure stands against the accepted baselines.
    fn check(&self, trial: &Trial, receipt: &BenchReceipt) -> Result<Vec<Word>, Exit> {
        let documents = read_all(self.root, &receipt.machine).map_err(|error| {
            eprintln!("error: {error}");
            match error {
                BaselineError::Io { .. } => Exit::Environment,
                BaselineError::Form { .. } => Exit::Usage,
            }
        })?;
        let findings = check(receipt, &documents);
        for finding in &findings {
            baselines::print(&trial.id, finding, self.args.format == Format::Json);
        }
        Ok(findings.into_iter().map(|finding| finding.verdict.word).collect())
    }

    /// Prints why a trial has no figures.
    fn refused(&self, trial: &Trial, line: &Line<'_>) {
        match (self.args.format, line) {
            (Format::Json, line) => print_json(line),
            (Format::Human, Line::Inconclusive { reasons, .. }) => print_line(&format!(
                "{}\n  INCONCLUSIVE: {}\n  nothing was measured; a longer wait: --patience SECONDS, \
                 figures without a verdict: --noisy-host\n",
                trial.id,
                reasons.join("\n  INCONCLUSIVE: ")
            )),
            (Format::Human, Line::Error { text, .. }) => {
                print_line(&format!("{}\n  ERROR: {text}\n", trial.id));
            }
            (Format::Human, Line::Bench { .. }) => {}
        }
    }

    fn qualify(&self, selected: &[&Trial]) -> Exit {
        let question = Question::share_of_reference(QUALIFIED_SHARE);
        let mut qualified = true;
        for trial in selected {
            self.reporter.status("Qualifying", &trial.id);
            let tell = |step: &str| self.reporter.status("", step);
            let hear = |step: crate::models::Progress<'_>| self.reporter.hear(step);
            let rounds = self.args.rounds;
            let measured = self.bencher.against_itself(trial, rounds, &tell, &hear);
            let (name, ratios) = match measured {
                Ok(measured) => measured,
                Err(Refusal::Noisy(reasons)) => {
                    self.refused(trial, &Line::Inconclusive { id: &trial.id, reasons: &reasons });
                    return Exit::Undecided;
                }
                Err(Refusal::Obstacle(obstacle)) => {
                    let text = text_of(&obstacle);
                    self.refused(trial, &Line::Error { id: &trial.id, text: &text });
                    return exit_of(&obstacle);
                }
            };
            let Some(table) = qualify(&ratios, &question, QUALIFICATION_SEED) else {
                eprintln!("error: {}: {} rounds qualify nothing", trial.id, ratios.len());
                return Exit::Environment;
            };
            qualified &= table.passes();
            print_line(&format!("{}, {name}\n{table}\n", trial.id));
        }
        if qualified { Exit::Ok } else { Exit::CaseFailed }
    }
}

fn print_json(line: &Line<'_>) {
    match serde_json::to_string(line) {
        Ok(text) => print_line(&text),
        Err(error) => eprintln!("error: a result has no JSON: {error}"),
    }
}

fn text_of(obstacle: &Obstacle) -> String {
    match obstacle {
        Obstacle::Missing(text)
        | Obstacle::Hardware(text)
        | Obstacle::NotBuilt(text)
        | Obstacle::Error(text) => text.clone(),
        Obstacle::Load { path, why } => {
            escape::text(&format!("cannot load {}: {why}", path.display()))
        }
    }
}

fn exit_of(obstacle: &Obstacle) -> Exit {
    match obstacle {
        Obstacle::Missing(_) | Obstacle::NotBuilt(_) | Obstacle::Hardware(_) => Exit::Environment,
        Obstacle::Load { .. } => Exit::ModelLoad,
        Obstacle::Error(_) => Exit::CaseFailed,
    }
}
