//! `parity record`: what the references answer to the cases of tier ci-light, kept for machines without
//! them. It compares nothing and runs no subject.

#![expect(clippy::print_stderr, reason = "a command prints its complaints")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use clap::Args;

use super::manifest;
use crate::backend::golden::{GoldenError, GoldenStore, Kept, MOST_BYTES_IN_ALL};
use crate::escape;
use crate::exit::Exit;
use crate::receipt::rfc3339;
use crate::report::{Colour, print_line, progress};
use crate::run::{Engines, Obstacle, Project, Runner, Settings};
use crate::suite::case::{Kind, Tier};
use crate::suite::{Filter, Trial};

/// Flags of `parity record`.
#[derive(Debug, Args)]
pub struct RecordArgs {
    /// Record only cases with a trial whose id contains one of these
    filters: Vec<String>,
    /// Compare filters with whole ids
    #[arg(long)]
    exact: bool,
}

/// Records the selected cases of the project in `root`.
pub fn execute(root: &Path, args: &RecordArgs, colour: Colour) -> Exit {
    let project = match Project::load(root) {
        Ok(project) => Arc::new(project),
        Err(error) => {
            eprintln!("{}", manifest::text(&error, colour));
            return Exit::Usage;
        }
    };
    let all = recordable(&project);
    let filter = Filter { wanted: args.filters.clone(), exact: args.exact, ..Filter::default() };
    let selected: Vec<&Trial> = all
        .values()
        .filter(|trials| trials.iter().any(|t| filter.selects(&t.id)))
        .map(|t| t[0])
        .collect();
    if selected.is_empty() {
        eprintln!(
            "error: no parity or tokenizer trial of tier ci-light matches {:?}; `parity run --list` \
             shows all",
            args.filters
        );
        return Exit::NothingSelected;
    }
    let settings = Settings::from_environment(progress());
    let mut runner = Runner::new(Arc::clone(&project), Engines::default(), settings);
    let store = GoldenStore::new(root);
    let today = rfc3339(SystemTime::now());
    let today = today.split('T').next().unwrap_or_default();
    let (mut exit, mut counts) = (Exit::Ok, [0; 3]);
    for trial in selected {
        match record(&mut runner, &store, trial, today) {
            Ok(kept) => counts[kept as usize] += 1,
            Err((failed, why)) => {
                eprintln!("error: {}: {why}", trial.id);
                exit = failed;
            }
        }
    }
    let [new, changed, same] = counts;
    print_line(&format!("{new} new, {changed} changed, {same} the same as before"));
    if args.filters.is_empty() && exit == Exit::Ok {
        exit = prune(&store, all.keys());
    }
    total(&store, exit)
}

/// The trials of each golden: a case with one of its references, in whatever variants.
type Trials<'a> = BTreeMap<(String, String, String), Vec<&'a Trial>>;

fn recordable(project: &Project) -> Trials<'_> {
    let mut all = Trials::new();
    for trial in &project.trials {
        let (suite, case) = (project.suite(trial), project.case(trial));
        let wanted = matches!(suite.kind, Kind::Parity | Kind::Tokenizer);
        if let (true, Tier::CiLight, Some(reference)) = (wanted, case.tier, &trial.reference) {
            let key = (suite.name.clone(), case.name.clone(), reference.clone());
            all.entry(key).or_default().push(trial);
        }
    }
    all
}

fn record(
    runner: &mut Runner,
    store: &GoldenStore,
    trial: &Trial,
    today: &str,
) -> Result<Kept, (Exit, String)> {
    let golden = runner.record(trial, today).map_err(|obstacle| match obstacle {
        Obstacle::Missing(why) | Obstacle::NotBuilt(why) | Obstacle::Hardware(why) => {
            (Exit::Environment, why)
        }
        Obstacle::Load { why, .. } => (Exit::ModelLoad, escape::text(&why.to_string())),
        Obstacle::Error(why) => (Exit::CaseFailed, why),
    })?;
    let (path, kept, bytes) = store.keep(&golden).map_err(unwritten)?;
    let word = match kept {
        Kept::New => "new",
        Kept::Changed => "changed",
        Kept::Same => "same",
    };
    let name = path.file_name().map(|name| name.display().to_string()).unwrap_or_default();
    print_line(&format!("{word:>8} {bytes:>6} bytes {}", escape::text(&name)));
    Ok(kept)
}

fn unwritten(error: GoldenError) -> (Exit, String) {
    let exit = match error {
        GoldenError::TooLarge { .. } => Exit::CaseFailed,
        _ => Exit::ReportNotWritten,
    };
    (exit, error.to_string())
}

/// Removes goldens of cases that are no more.
fn prune<'a>(
    store: &GoldenStore,
    wanted: impl Iterator<Item = &'a (String, String, String)>,
) -> Exit {
    match store.prune(&wanted.cloned().collect::<Vec<_>>()) {
        Ok(removed) => {
            for path in removed {
                print_line(&format!(" removed {}", escape::text(&path.display().to_string())));
            }
            Exit::Ok
        }
        Err(error) => {
            eprintln!("error: {error}");
            Exit::ReportNotWritten
        }
    }
}

fn total(store: &GoldenStore, exit: Exit) -> Exit {
    let sizes = store.all().map(|paths| {
        paths.iter().filter_map(|p| p.metadata().ok()).map(|m| m.len()).collect::<Vec<_>>()
    });
    let sizes = match sizes {
        Ok(sizes) => sizes,
        Err(error) => {
            eprintln!("error: {error}");
            return Exit::ReportNotWritten;
        }
    };
    let bytes: u64 = sizes.iter().sum();
    print_line(&format!("{} goldens, {bytes} bytes", sizes.len()));
    if bytes > MOST_BYTES_IN_ALL {
        eprintln!("error: goldens may have {MOST_BYTES_IN_ALL} bytes in all; shorten cases");
        return Exit::CaseFailed;
    }
    exit
}
