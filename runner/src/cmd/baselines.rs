//! `parity baselines`: accepted speeds from receipts, and receipts held against them. Nothing is measured.

#![expect(clippy::print_stderr, reason = "a command prints its complaints")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use crate::baseline::accept::{Effect, Mode, Plan, name, plan};
use crate::baseline::admit::{Evidence, read_receipts};
use crate::baseline::check::{Finding, check};
use crate::baseline::{BaselineError, read_all};
use crate::escape;
use crate::exit::Exit;
use crate::receipt::{ReceiptError, Word};
use crate::report::print_line;

/// Verbs of `parity baselines`.
#[derive(Debug, Subcommand)]
pub enum BaselinesCommand {
    /// Accept levels that are new, or faster with confidence
    Gen(ReceiptArgs),
    /// Accept levels whatever they are, and say why
    Accept(AcceptArgs),
    /// Hold receipts against accepted levels; a drop of more than a tenth fails
    Check(CheckArgs),
}

/// Which receipts.
#[derive(Debug, Args)]
pub struct ReceiptArgs {
    /// Receipts of `parity bench`, or folders of them; may be given several times
    #[arg(long, value_name = "PATH", required = true, num_args = 1..)]
    from: Vec<PathBuf>,
}

/// Flags of `parity baselines accept`.
#[derive(Debug, Args)]
pub struct AcceptArgs {
    #[command(flatten)]
    receipts: ReceiptArgs,
    /// Why the levels are accepted; it is kept with them
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    why: String,
    /// Also pin them as the levels of this release
    #[arg(long, value_name = "NAME", value_parser = reason)]
    release: Option<String>,
}

/// Flags of `parity baselines check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    #[command(flatten)]
    receipts: ReceiptArgs,
    /// How to print results
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Human,
    /// JSON, one object a line
    Json,
}

fn reason(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("it must say something".to_owned()),
        text => Ok(text.to_owned()),
    }
}

/// Executes a verb for the project in `root`.
pub fn execute(root: &Path, command: &BaselinesCommand) -> Exit {
    match command {
        BaselinesCommand::Gen(args) => generate(root, args),
        BaselinesCommand::Accept(args) => {
            let mode = Mode::Because { why: &args.why, release: args.release.as_deref() };
            take(root, &args.receipts, mode)
        }
        BaselinesCommand::Check(args) => compare(root, args),
    }
}

/// `parity baselines gen`.
pub fn generate(root: &Path, args: &ReceiptArgs) -> Exit {
    take(root, args, Mode::OnEvidence)
}

/// `parity baselines check`.
pub fn compare(root: &Path, args: &CheckArgs) -> Exit {
    let evidence = match receipts(&args.receipts) {
        Ok(evidence) => evidence,
        Err(exit) => return exit,
    };
    let (mut words, mut accepted, mut checked) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    for one in &evidence {
        let documents = match read_all(root, &one.receipt.machine) {
            Ok(documents) => documents,
            Err(error) => return refused(&error),
        };
        let levels = documents.iter().flat_map(|document| &document.entries);
        accepted.extend(levels.map(|entry| name(&entry.key)));
        for finding in check(&one.receipt, &documents) {
            print(&one.path.display().to_string(), &finding, args.format == Format::Json);
            words.push(finding.verdict.word);
            checked.insert(finding.name);
        }
    }
    // A part may be checked alone; a measure that was lost must not look like one that passed.
    for unchecked in accepted.difference(&checked) {
        eprintln!("note: not checked, because no receipt has it: {}", escape::text(unchecked));
    }
    if args.format == Format::Human {
        let count = |word| words.iter().filter(|w| **w == word).count();
        let all = [Word::Pass, Word::Fail, Word::Inconclusive, Word::NotComparable];
        let counts = all.map(|word| format!("{} {word}", count(word)));
        print_line(&counts.join(", "));
    }
    match words.iter().max() {
        Some(Word::Fail) => Exit::CaseFailed,
        Some(Word::Inconclusive | Word::NotComparable) => Exit::Undecided,
        Some(Word::Pass) => Exit::Ok,
        None => nothing(),
    }
}

fn take(root: &Path, args: &ReceiptArgs, mode: Mode<'_>) -> Exit {
    let evidence = match receipts(args) {
        Ok(evidence) => evidence,
        Err(exit) => return exit,
    };
    let Plan { documents, outcomes } = match plan(root, &evidence, mode) {
        Ok(plan) => plan,
        Err(error) => return refused(&error),
    };
    if outcomes.is_empty() {
        return nothing();
    }
    for outcome in &outcomes {
        print_line(&escape::text(&format!("{}: {}", outcome.what, outcome.text)));
    }
    for document in documents {
        match document.write(root) {
            Ok(path) => eprintln!("wrote {}", escape::text(&path.display().to_string())),
            Err(error) => {
                eprintln!("error: {error}");
                return Exit::Environment;
            }
        }
    }
    if outcomes.iter().any(|outcome| outcome.effect == Effect::Refused) {
        eprintln!("error: not every receipt could be taken; the lines above say why");
        return Exit::CaseFailed;
    }
    Exit::Ok
}

fn receipts(args: &ReceiptArgs) -> Result<Vec<Evidence>, Exit> {
    let evidence = read_receipts(&args.from).map_err(|error| {
        eprintln!("error: {error}");
        match error {
            ReceiptError::Io { .. } => Exit::Environment,
            ReceiptError::Form { .. } => Exit::Usage,
        }
    })?;
    if evidence.is_empty() {
        eprintln!("error: there is no receipt; `parity bench --receipts DIR` writes them");
        return Err(Exit::NothingSelected);
    }
    Ok(evidence)
}

fn nothing() -> Exit {
    eprintln!("error: the receipts hold no measure");
    Exit::NothingSelected
}

fn refused(error: &BaselineError) -> Exit {
    eprintln!("error: {error}");
    match error {
        BaselineError::Io { .. } => Exit::Environment,
        BaselineError::Form { .. } => Exit::Usage,
    }
}

/// Prints what became of one measure of a receipt that comes from `source`.
pub(super) fn print(source: &str, finding: &Finding, as_json: bool) {
    let verdict = &finding.verdict;
    if as_json {
        let line = json!({
            "reason": "baseline",
            "receipt": source,
            "name": finding.name,
            "word": verdict.word,
            "reasons": verdict.reasons,
        });
        return print_line(&line.to_string());
    }
    let reasons = verdict.reasons.iter().map(|reason| format!("\n  {reason}"));
    let reasons = reasons.collect::<String>();
    print_line(&format!("{} {}{reasons}", verdict.word, escape::text(&finding.name)));
}
