//! Finds the suite files of a folder, reads all of them and reports everything wrong in all of
//! them at once; no rule of a case is decided here.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern};

use super::case::{Known, Suite};
use super::validate::{self, Context};
use super::wire::WireHead;
use crate::manifest::diagnostic::{Diagnostic, LoadErrors, nearest};
use crate::manifest::document::{self, Table};
use crate::manifest::name;
use crate::models::ModelLock;

/// The rule about links.
const LEADS_OUT: &str = "this link leads out of the suites folder";

/// Tables of a suite file beside the keys of [`WireHead`].
const TABLES: [&str; 2] = ["case", "defaults"];

/// Loads every suite of the folder `root`, sorted by file name.
///
/// `known` gives the limits that a case may only tighten, and the types that it may name.
///
/// # Errors
/// Everything that is wrong in all files. A folder without suites is an error.
pub fn load(root: &Path, lock: &ModelLock, known: &Known) -> Result<Vec<Suite>, LoadErrors> {
    let mut problems = Vec::new();
    let paths = discover(root, &mut problems);
    if paths.is_empty() && problems.is_empty() {
        problems.push(Diagnostic::of_file(
            root.display().to_string(),
            "the folder holds no suite; a run of nothing would pass",
        ));
    }
    let mut suites = Vec::new();
    for path in paths {
        let before = problems.len();
        let suite = read_suite(&path, root, lock, known, &mut problems);
        if problems.len() == before {
            suites.extend(suite);
        }
    }
    if problems.is_empty() { Ok(suites) } else { Err(LoadErrors::new(problems)) }
}

/// Paths of the suite files, sorted; files in the wrong place become problems, because a file that
/// is passed over silently is a test that does not run.
fn discover(root: &Path, problems: &mut Vec<Diagnostic>) -> Vec<PathBuf> {
    let shown = root.display().to_string();
    if !root.is_dir() {
        problems.push(Diagnostic::of_file(shown, "there is no such folder"));
        return Vec::new();
    }
    let mut paths = matches(root, "*.toml", problems);
    let mut open = matches(root, "*/", problems);
    // Links may lead back, and each folder is searched once: the search ends.
    let mut seen = BTreeSet::from([root.canonicalize().unwrap_or_else(|_| root.to_owned())]);
    while let Some(folder) = open.pop() {
        if !lies_inside(&folder, root) {
            problems.push(Diagnostic::of_file(folder.display().to_string(), LEADS_OUT));
        } else if seen.insert(folder.canonicalize().unwrap_or_else(|_| folder.clone())) {
            for path in matches(&folder, "*.toml", problems) {
                problems.push(Diagnostic::of_file(
                    path.display().to_string(),
                    format!("a suite lies directly in {shown}; move this file there"),
                ));
            }
            open.extend(matches(&folder, "*/", problems));
        }
    }
    paths.sort();
    paths
}

/// Entries of `folder` that match `pattern`; what cannot be searched becomes a problem.
fn matches(folder: &Path, pattern: &str, problems: &mut Vec<Diagnostic>) -> Vec<PathBuf> {
    let shown = folder.display().to_string();
    let Some(escaped) = folder.to_str().map(Pattern::escape) else {
        problems.push(Diagnostic::of_file(shown, "the folder's path is not UTF-8"));
        return Vec::new();
    };
    let any_case = MatchOptions { case_sensitive: false, ..MatchOptions::new() };
    let found = match glob::glob_with(&format!("{escaped}/{pattern}"), any_case) {
        Ok(found) => found,
        Err(error) => {
            problems.push(Diagnostic::of_file(
                shown,
                format!("the folder cannot be searched: {error}"),
            ));
            return Vec::new();
        }
    };
    let mut paths = Vec::new();
    for entry in found {
        match entry {
            Ok(path) => paths.push(path),
            Err(error) => problems.push(Diagnostic::of_file(
                error.path().display().to_string(),
                format!("cannot be searched for suites: {}", error.error()),
            )),
        }
    }
    paths
}

fn read_suite(
    path: &Path,
    root: &Path,
    lock: &ModelLock,
    known: &Known,
    problems: &mut Vec<Diagnostic>,
) -> Option<Suite> {
    let shown = path.display().to_string();
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    if let Err(why) = name::check(stem) {
        problems.push(
            Diagnostic::of_file(
                shown.as_str(),
                "the file's stem is the suite's name, and a bad one",
            )
            .with_help(format!("{why}; {}", name::NAME_RULE)),
        );
    }
    if !lies_inside(path, root) {
        problems.push(Diagnostic::of_file(shown, LEADS_OUT));
        return None;
    }
    let source = document::read(path).map_err(|found| problems.extend(found)).ok()?;
    let mut table = document::parse(&source).map_err(|found| problems.extend(found)).ok()?;

    let (cases, defaults) = (table.remove("case"), table.remove("defaults"));
    let mut head = Table::new();
    for (key, value) in table {
        if matches!(key.get_ref().as_ref(), "kind" | "analysis") {
            head.insert(key, value);
        } else {
            let known = ["kind", "analysis", TABLES[0], TABLES[1]];
            let mut problem =
                document::unknown_key(&source, key.span(), key.get_ref(), "a suite file", &known);
            if nearest(key.get_ref(), ["case"]).is_some() {
                problem = problem.with_help("each case begins with the line `[[case]]`");
            }
            problems.push(problem);
        }
    }
    let before = problems.len();
    let (head, _) = document::wire::<WireHead>(&source, &head, "a suite file", problems);
    if problems.len() == before {
        for (key, missing) in [("kind", head.kind.is_none()), ("analysis", head.analysis.is_none())]
        {
            if missing {
                problems.push(Diagnostic::new(
                    &source,
                    0..0,
                    format!("a suite file needs the key `{key}`"),
                    format!("`{key}` is missing"),
                ));
            }
        }
    }
    let analysis = head.analysis.and_then(|text| {
        let empty = text.get_ref().trim().is_empty();
        if empty {
            problems.push(Diagnostic::new(
                &source,
                text.span(),
                "`analysis` says nothing",
                "empty",
            ));
        }
        (!empty).then(|| text.into_inner().trim().to_owned())
    });
    // Without a kind it is unknown which keys a case may have.
    let kind = head.kind?.into_inner();
    let context = Context { source: &source, root, lock, known, kind };
    let defaults = match defaults {
        None => validate::Defaults::none(),
        Some(value) => validate::defaults(&context, value, problems),
    };
    let cases = validate::cases(&context, cases, &defaults, problems);
    Some(Suite {
        name: stem.to_owned(),
        path: path.to_owned(),
        sha256: document::sha256(&source),
        kind,
        analysis: analysis?,
        cases,
    })
}

/// Whether `path`, with links resolved, lies in the folder `root`.
pub(super) fn lies_inside(path: &Path, root: &Path) -> bool {
    match (path.canonicalize(), root.canonicalize()) {
        (Ok(path), Ok(root)) => path.starts_with(root),
        // Unreadable: the reading that follows says why.
        _ => true,
    }
}
