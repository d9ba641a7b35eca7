//! The files that `parity run` writes beside what it prints: JUnit, Markdown, a step's summary.

#![expect(clippy::print_stderr, reason = "a command prints its complaints")]

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;

use super::run::RunFormat;
use crate::escape;
use crate::exit::Exit;
use crate::report::{Basis, Ended, Summary, github, junit, markdown};

/// Set to `true` by GitHub Actions.
const ACTIONS_VARIABLE: &str = "GITHUB_ACTIONS";
/// Names the file of a step's summary.
const SUMMARY_VARIABLE: &str = "GITHUB_STEP_SUMMARY";
/// Most bytes of a Markdown file: what forges still show.
const MOST_MARKDOWN_BYTES: usize = github::MOST_SUMMARY_BYTES;

/// Reports to write.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Write the run as JUnit XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write the run's summary as Markdown
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
}

/// The format of a run that names none.
pub(super) fn format_of_environment() -> RunFormat {
    match env::var_os(ACTIONS_VARIABLE).is_some_and(|value| value == "true") {
        true => RunFormat::Github,
        false => RunFormat::Human,
    }
}

/// Writes the reports that were asked for, and for GitHub the step's summary.
pub(super) fn write(
    args: &ReportArgs,
    for_github: bool,
    trials: &[Ended],
    summary: &Summary,
    basis: &Basis<'_>,
) -> Exit {
    let closing = summary.text(basis);
    let mut exit = Exit::Ok;
    let mut note = |path: &Path, result: io::Result<()>| {
        if let Err(error) = result {
            let shown = escape::text(&path.display().to_string());
            eprintln!("error: cannot write the report '{shown}': {error}; name another file");
            exit = Exit::ReportNotWritten;
        }
    };
    if let Some(path) = &args.junit {
        let document = junit::document(trials, basis.seconds).map_err(io::Error::other);
        note(path, document.and_then(|text| save(path, &text)));
    }
    if let Some(path) = &args.markdown {
        note(path, save(path, &markdown::document(trials, &closing, MOST_MARKDOWN_BYTES)));
    }
    let step = env::var_os(SUMMARY_VARIABLE).filter(|path| for_github && !path.is_empty());
    if let Some(path) = step.map(PathBuf::from) {
        let text = |room| markdown::document(trials, &closing, room);
        note(&path, github::add_summary(&path, text));
    }
    exit
}

/// Writes a file whole; its folder is made if it is not there.
pub(super) fn save(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut file = tempfile::Builder::new();
    // A report is for others as well; a temporary file is not.
    #[cfg(unix)]
    file.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let file = file.tempfile_in(folder)?;
    fs::write(file.path(), text)?;
    file.persist(path)?;
    Ok(())
}
