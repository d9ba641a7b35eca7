//! `bitnet completions`, `man` and `docs`: documents of the command line itself, from its definition.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use bitnet_engine::command_docs::{self, Shell};
use bitnet_engine::escape;
use bitnet_engine::exit::Exit;
use clap::Args;

use super::atomic::AtomicFile;
use super::output;
use super::terminal::Terminal;

/// Flags of `bitnet completions`.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Flags of `bitnet man`.
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Folder for the pages; made if it is not there
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// Flags of `bitnet docs`.
#[derive(Debug, Args)]
pub(crate) struct DocsArgs {
    /// Document whose regions `bitnet` and `exit codes` are brought up to date; without it the text of
    /// the former is printed
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Executes `bitnet completions`.
pub(crate) fn completions(args: &CompletionsArgs, terminal: &Terminal) -> Exit {
    let script = command_docs::completions(super::command(), args.shell);
    output::to_stdout(terminal, |out| out.write_all(&script))
}

/// Executes `bitnet man`.
pub(crate) fn man(args: &ManArgs, terminal: &Terminal) -> Exit {
    match command_docs::man_pages(super::command(), &args.folder) {
        Ok(pages) => output::to_stdout(terminal, |out| {
            pages.iter().try_for_each(|page| writeln!(out, "{}", shown(page)))
        }),
        Err(error) => {
            terminal.error(format_args!(
                "cannot write man pages to '{}': {error}; name another folder",
                shown(&args.folder)
            ));
            Exit::ReportNotWritten
        }
    }
}

/// Executes `bitnet docs`.
pub(crate) fn docs(args: &DocsArgs, terminal: &Terminal) -> Exit {
    let text = command_docs::markdown(super::command());
    match &args.file {
        None => output::to_stdout(terminal, |out| out.write_all(text.as_bytes())),
        Some(file) => match update(file, &text, terminal) {
            Ok(()) => Exit::Ok,
            Err(exit) => exit,
        },
    }
}

fn update(path: &Path, text: &str, terminal: &Terminal) -> Result<(), Exit> {
    let refuse = |why: String| {
        terminal.error(format_args!("cannot bring '{}' up to date: {why}", shown(path)));
        Exit::Usage
    };
    let document = fs::read_to_string(path).map_err(|error| refuse(error.to_string()))?;
    let codes = format!("\n```text\n{}\n```\n\n", Exit::table());
    let updated = command_docs::replace_region(&document, "exit codes", &codes)
        .and_then(|updated| {
            command_docs::replace_region(&updated, "bitnet", &format!("\n{text}\n"))
        })
        .map_err(|error| refuse(format!("it {error}")))?;
    let mut file = AtomicFile::create(path, terminal)?;
    file.write_all(updated.as_bytes()).map_err(|error| file.failed(&error, terminal))?;
    file.finish(terminal)
}

fn shown(path: &Path) -> String {
    escape::text(&path.display().to_string())
}
