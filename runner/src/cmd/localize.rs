//! `parity localize`: where and why the engines part on one parity case.

#![expect(clippy::print_stderr, reason = "a command prints its complaints")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bitnet_engine::load_error;
use clap::Args;

use super::manifest;
use super::run::Format;
use crate::escape;
use crate::exit::Exit;
use crate::localize::vote::{self, Vote};
use crate::localize::{report, reproducer};
use crate::report::{Colour, json, print_line, progress};
use crate::run::{Engines, Localized, Obstacle, Project, Runner, Settings};
use crate::suite::{Check, Filter, Trial};

/// Flags of `parity localize`.
#[derive(Debug, Args)]
pub struct LocalizeArgs {
    /// Part of the id of a parity case, as `parity run --list` shows it
    #[arg(value_name = "CASE")]
    case: String,
    /// Compare with this reference, where the case has several
    #[arg(long, value_name = "NAME")]
    reference: Option<String>,
    /// Write the operation's tensors and a test that shows the divergence into this folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Let every reference of the case and our scalar code vote on the logits: who stands alone?
    #[arg(long)]
    vote: bool,
    /// How to print what was found
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

/// Localises the divergence of one case of the project in `root`.
pub fn execute(root: &Path, args: &LocalizeArgs, colour: Colour) -> Exit {
    let project = match Project::load(root) {
        Ok(project) => Arc::new(project),
        Err(error) => {
            eprintln!("{}", manifest::text(&error, colour));
            return Exit::Usage;
        }
    };
    let trial = match choose(&project, args) {
        Ok(trial) => trial,
        Err((exit, complaint)) => {
            eprintln!("error: {complaint}");
            return exit;
        }
    };
    let settings = Settings::from_environment(progress());
    let mut runner = Runner::new(Arc::clone(&project), Engines::default(), settings);
    match runner.localize(trial) {
        Ok(localized) => {
            let exit = show(&trial.id, &localized, args);
            match args.vote.then(|| runner.vote(trial, &localized)) {
                None => exit,
                Some(Ok(vote)) => show_vote(&trial.id, &vote, args, exit),
                Some(Err(obstacle)) => say(obstacle, &project, trial),
            }
        }
        Err(obstacle) => say(obstacle, &project, trial),
    }
}

fn say(obstacle: Obstacle, project: &Project, trial: &Trial) -> Exit {
    let model = project.case(trial).model.as_deref().unwrap_or_default();
    let (exit, text) = complaint(obstacle, model);
    eprintln!("{text}");
    exit
}

/// The trial that the arguments name: of several variants of one case, the first.
fn choose<'a>(project: &'a Project, args: &LocalizeArgs) -> Result<&'a Trial, (Exit, String)> {
    let filter = |exact| Filter { wanted: vec![args.case.clone()], exact, ..Filter::default() };
    let is_parity = |trial: &&Trial| matches!(project.case(trial).check, Check::Parity(_));
    let is_asked = |trial: &&Trial| match &args.reference {
        Some(name) => trial.reference.as_ref() == Some(name),
        None => true,
    };
    let of = |filter: Filter| -> Vec<&Trial> {
        let named = project.trials.iter().filter(|trial| filter.selects(&trial.id));
        named.filter(is_parity).filter(is_asked).collect()
    };
    let exact = of(filter(true));
    let found = if exact.is_empty() { of(filter(false)) } else { exact };
    let Some(first) = found.first() else {
        let against =
            args.reference.as_ref().map(|name| format!(" against {}", escape::text(name)));
        let complaint = format!(
            "no parity trial matches '{}'{}; `parity run --list parity::` shows them",
            escape::text(&args.case),
            against.unwrap_or_default()
        );
        return Err((Exit::NothingSelected, complaint));
    };
    let same_case = |trial: &&&Trial| (trial.suite, trial.case) == (first.suite, first.case);
    let others: Vec<&str> =
        found.iter().filter(|t| !same_case(t)).map(|t| t.id.as_str()).take(5).collect();
    match others.is_empty() {
        true => Ok(first),
        false => Err((
            Exit::Usage,
            format!(
                "'{}' names several cases: {}, {}; give more of an id",
                escape::text(&args.case),
                first.id,
                others.join(", ")
            ),
        )),
    }
}

fn show(id: &str, localized: &Localized, args: &LocalizeArgs) -> Exit {
    let found = &localized.found;
    let mut exit = if found.diverges() { Exit::CaseFailed } else { Exit::Ok };
    match args.format {
        Format::Human => print_line(&format!("{id}\n{}", report::text(found))),
        Format::Json => match json::localization(id, found) {
            Ok(line) => print_line(&line),
            Err(error) => {
                eprintln!("error: the finding has no JSON: {error}");
                exit = Exit::ReportNotWritten;
            }
        },
    }
    let Some(folder) = &args.out else { return exit };
    match reproducer::write_folder(folder, &localized.evidence, &localized.request) {
        Ok(Some(test)) => eprintln!("wrote {}", test.display()),
        Ok(None) => eprintln!("no operation was found, so there is no reproducer"),
        Err(error) => {
            eprintln!("error: cannot write into {}: {error}", folder.display());
            return Exit::ReportNotWritten;
        }
    }
    exit
}

/// Prints the vote; the exit stays that of what was found.
fn show_vote(id: &str, result: &Vote, args: &LocalizeArgs, exit: Exit) -> Exit {
    match args.format {
        Format::Human => print_line(&vote::text(result)),
        Format::Json => match json::vote(id, result) {
            Ok(line) => print_line(&line),
            Err(error) => {
                eprintln!("error: the vote has no JSON: {error}");
                return Exit::ReportNotWritten;
            }
        },
    }
    exit
}

/// What kept the case from being looked at, and how the program ends.
pub(super) fn complaint(obstacle: Obstacle, model: &str) -> (Exit, String) {
    match obstacle {
        Obstacle::Missing(why) | Obstacle::Hardware(why) | Obstacle::NotBuilt(why) => {
            (Exit::Environment, format!("error: {why}"))
        }
        Obstacle::Load { path, why } => {
            let next = format!("parity fetch --verify --id {model}");
            (Exit::ModelLoad, load_error::text(&path, &why, &next))
        }
        Obstacle::Error(why) => (Exit::Environment, format!("error: {why}")),
    }
}
