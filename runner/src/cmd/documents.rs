//! `parity completions`, `man` and `docs`: documents of the command line itself, from its definition.

#![expect(clippy::print_stderr, reason = "a command prints its complaints")]

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bitnet_engine::command_docs::{self, Shell};
use clap::Args;

use crate::escape;
use crate::exit::Exit;
use crate::report::print_line;

/// Flags of `parity completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Flags of `parity man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Folder for the pages; made if it is not there
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// Flags of `parity docs`.
#[derive(Debug, Args)]
pub struct DocsArgs {
    /// Document whose region `parity` is brought up to date; without it the text is printed
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Prints the completions of `command`.
pub fn completions(command: clap::Command, args: &CompletionsArgs) -> Exit {
    let script = command_docs::completions(command, args.shell);
    print_line(String::from_utf8_lossy(&script).trim_end());
    Exit::Ok
}

/// Writes the man pages of `command` and prints where.
pub fn man(command: clap::Command, args: &ManArgs) -> Exit {
    match command_docs::man_pages(command, &args.folder) {
        Ok(pages) => {
            pages.iter().for_each(|page| print_line(&shown(page)));
            Exit::Ok
        }
        Err(error) => {
            let folder = shown(&args.folder);
            eprintln!("error: cannot write man pages to '{folder}': {error}; name another folder");
            Exit::ReportNotWritten
        }
    }
}

/// Prints the documentation of `command`, or writes it into its region of a document.
pub fn docs(command: clap::Command, args: &DocsArgs) -> Exit {
    let text = command_docs::markdown(command);
    let Some(file) = &args.file else {
        print_line(text.trim_end());
        return Exit::Ok;
    };
    match update(file, &text) {
        Ok(()) => Exit::Ok,
        Err(error) => {
            eprintln!("error: cannot bring '{}' up to date: {error}", shown(file));
            Exit::ReportNotWritten
        }
    }
}

fn update(path: &Path, text: &str) -> io::Result<()> {
    let document = fs::read_to_string(path)?;
    let updated = command_docs::replace_region(&document, "parity", &format!("\n{text}\n"))
        .map_err(io::Error::other)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut temporary = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
    temporary.write_all(updated.as_bytes())?;
    temporary.as_file().set_permissions(fs::metadata(path)?.permissions())?;
    temporary.persist(path)?;
    Ok(())
}

fn shown(path: &Path) -> String {
    escape::text(&path.display().to_string())
}
