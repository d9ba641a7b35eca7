//! `parity new`: a commented case to start from, in a suite that is there or a new one. What it leaves
//! behind loads; it runs nothing.

#![expect(clippy::print_stderr, reason = "a command prints its complaints")]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use toml_edit::DocumentMut;

use super::manifest;
use super::run_reports::save;
use crate::exit::Exit;
use crate::manifest::name;
use crate::report::{Colour, print_line};
use crate::run::Project;
use crate::suite::{Kind, Suite, template};

/// Flags of `parity new`.
#[derive(Debug, Args)]
pub struct NewArgs {
    /// Where the case belongs and its name; the suite is made if it is not there
    #[arg(value_name = "SUITE/CASE")]
    case: String,
    /// What the case checks: parity if the suite is new, else the suite's kind
    #[arg(long, value_parser = kind, value_name = "KIND")]
    kind: Option<Kind>,
}

fn kind(text: &str) -> Result<Kind, String> {
    let found = Kind::ALL.into_iter().find(|kind| kind.name() == text);
    found.ok_or_else(|| format!("kinds are {}", Kind::ALL.map(Kind::name).join(", ")))
}

/// Writes the case into the project in `root`.
pub fn execute(root: &Path, args: &NewArgs, colour: Colour) -> Exit {
    let project = match Project::load(root) {
        Ok(project) => project,
        Err(error) => {
            eprintln!("{}", manifest::text(&error, colour));
            return Exit::Usage;
        }
    };
    let plan = match Plan::new(&project, args) {
        Ok(plan) => plan,
        Err(why) => {
            eprintln!("error: {why}");
            return Exit::Usage;
        }
    };
    if let Err(error) = save(&plan.path, &plan.text) {
        eprintln!("error: cannot write '{}': {error}", plan.path.display());
        return Exit::Environment;
    }
    // What was there comes back where the result breaks a rule, as beside defaults that conflict.
    if let Err(error) = Project::load(root) {
        eprintln!("{}", manifest::text(&error, colour));
        let restored = plan.undo();
        eprintln!("error: the case does not fit into this suite; nothing was changed");
        return if restored.is_ok() { Exit::Usage } else { Exit::Environment };
    }
    let shown = plan.path.strip_prefix(root).unwrap_or(&plan.path).display().to_string();
    print_line(&format!("{shown}:{}", plan.line));
    eprintln!("next: edit it, then run it: cargo parity run ::{}::{}", plan.suite, plan.case);
    if plan.before.is_none() && root.join("suites/README.md").is_file() {
        eprintln!("      and list {shown} in suites/README.md: a test compares the two");
    }
    Exit::Ok
}

/// What is to be written.
#[derive(Debug)]
struct Plan {
    suite: String,
    case: String,
    path: PathBuf,
    /// The whole file.
    text: String,
    /// What it was; none if it is new.
    before: Option<String>,
    /// Where the case begins.
    line: usize,
}

impl Plan {
    fn new(project: &Project, args: &NewArgs) -> Result<Self, String> {
        let (suite, case) = args.case.split_once('/').ok_or_else(|| {
            format!("'{}' is not SUITE/CASE, such as prose/two-kettles", args.case)
        })?;
        for part in [suite, case] {
            name::check(part).map_err(|why| format!("'{part}': {why}; {}", name::NAME_RULE))?;
        }
        let found = project.suites.iter().find(|known| known.name == suite);
        let kind = kind_of(found, args.kind)?;
        let path = project.root.join("suites").join(format!("{suite}.toml"));
        let (before, inherited) = match found {
            None => (None, Vec::new()),
            Some(known) => {
                if let Some(same) = known.cases.iter().find(|known| known.name == case) {
                    let line = same.line;
                    return Err(format!(
                        "suites/{suite}.toml:{line} is '{case}' already; choose another name"
                    ));
                }
                let text = fs::read_to_string(&path)
                    .map_err(|error| format!("cannot read '{}': {error}", path.display()))?;
                let inherited = defaults(&text)?;
                (Some(text), inherited)
            }
        };
        let mut text = before.clone().unwrap_or_else(|| template::head(kind));
        if !text.ends_with('\n') {
            text.push('\n');
        }
        // The case begins behind an empty line.
        let line = text.lines().count() + 2;
        text += &template::case(kind, case, &inherited);
        Ok(Self { suite: suite.to_owned(), case: case.to_owned(), path, text, before, line })
    }

    fn undo(&self) -> io::Result<()> {
        match &self.before {
            Some(text) => save(&self.path, text),
            None => fs::remove_file(&self.path),
        }
    }
}

fn kind_of(suite: Option<&Suite>, asked: Option<Kind>) -> Result<Kind, String> {
    match (suite, asked) {
        (Some(suite), Some(kind)) if kind != suite.kind => Err(format!(
            "suites/{}.toml is of kind {}, and a file has one kind; choose another suite for {kind}",
            suite.name, suite.kind
        )),
        (Some(suite), _) => Ok(suite.kind),
        (None, kind) => Ok(kind.unwrap_or(Kind::Parity)),
    }
}

/// Keys of the `[defaults]` of a suite.
fn defaults(text: &str) -> Result<Vec<String>, String> {
    let document: DocumentMut = text.parse().map_err(|error| format!("the suite: {error}"))?;
    let table = document.get("defaults").and_then(|item| item.as_table_like());
    Ok(table.map_or_else(Vec::new, |table| table.iter().map(|(key, _)| key.to_owned()).collect()))
}
