//! `parity receipt`: whether receipts are sound, and what one says. Nothing is measured or compared.

#![expect(clippy::print_stderr, reason = "a command prints its complaints")]

use std::path::{Path, PathBuf};
use std::{fs, io};

use clap::{Args, Subcommand};

use crate::escape;
use crate::exit::Exit;
use crate::receipt::{Document, Receipt, ReceiptError, Word, read_any};
use crate::report::{print_line, receipt as shown};
use crate::verify::verify;

/// Verbs of `parity receipt`.
#[derive(Debug, Subcommand)]
pub enum ReceiptCommand {
    /// Compute every figure of receipts anew and check their rules
    Verify(VerifyArgs),
    /// Print what a receipt says, for people
    Show(ShowArgs),
}

/// Flags of `parity receipt verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Receipts, or folders of them
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Accept sound receipts of trials that did not pass
    #[arg(long)]
    allow_failed: bool,
}

/// Flags of `parity receipt show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The receipt
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Executes a verb.
pub fn execute(command: &ReceiptCommand) -> Exit {
    match command {
        ReceiptCommand::Verify(args) => verify_all(args),
        ReceiptCommand::Show(args) => show(args),
    }
}

/// Verifies the receipts that `args` name: 0 where all are sound and passed.
pub fn verify_all(args: &VerifyArgs) -> Exit {
    let mut files = Vec::new();
    for path in &args.paths {
        match files_of(path) {
            Ok(found) => files.extend(found),
            Err(why) => {
                let path = path.clone();
                eprintln!("error: {}", ReceiptError::Io { verb: "read", path, why });
                return Exit::Environment;
            }
        }
    }
    if files.is_empty() {
        eprintln!("error: no receipt in these folders: their names end in .json");
        return Exit::NothingSelected;
    }
    let (mut refused, mut failed, mut undecided) = (0, 0, 0);
    for file in &files {
        let name = escape::text(&file.display().to_string());
        let document = match read_any(file) {
            Ok(document) => document,
            Err(error @ ReceiptError::Io { .. }) => {
                eprintln!("error: {error}");
                return Exit::Environment;
            }
            Err(error) => {
                refused += 1;
                print_line(&format!("REFUSED {name}\n  {error}"));
                continue;
            }
        };
        let reasons = verify(&document);
        if !reasons.is_empty() {
            refused += 1;
            let lines = reasons.iter().map(|reason| format!("\n  {reason}")).collect::<String>();
            print_line(&format!("REFUSED {name}{lines}"));
            continue;
        }
        match ended(&document) {
            Ended::Passed => {}
            Ended::Failed => failed += 1,
            Ended::Undecided => undecided += 1,
        }
        print_line(&format!("sound   {name}: {}", shown::one_line(&document.receipt)));
    }
    let sound = files.len() - refused;
    print_line(&format!(
        "{} receipts: {sound} sound, {refused} refused; of the sound ones {failed} did not pass and \
         {undecided} do not decide",
        files.len()
    ));
    match (refused, failed, undecided) {
        (0, _, _) if args.allow_failed => Exit::Ok,
        (0, 0, 0) => Exit::Ok,
        (0, 0, _) => Exit::Undecided,
        _ => Exit::CaseFailed,
    }
}

/// How a receipt says that its trial ended.
enum Ended {
    Passed,
    Failed,
    Undecided,
}

fn ended(document: &Document) -> Ended {
    match &document.receipt {
        Receipt::Parity(receipt) if receipt.passed => Ended::Passed,
        Receipt::Parity(_) => Ended::Failed,
        Receipt::Bench(receipt) => match receipt.verdict.word {
            Word::Pass => Ended::Passed,
            Word::Fail => Ended::Failed,
            Word::Inconclusive | Word::NotComparable => Ended::Undecided,
        },
    }
}

/// `path`, or the receipts in it where it is a folder, by name.
fn files_of(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries: io::Result<Vec<PathBuf>> =
        fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect();
    let mut files = entries?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    Ok(files)
}

/// Prints what a receipt says; whether that is true is what `verify` asks.
fn show(args: &ShowArgs) -> Exit {
    match read_any(&args.file) {
        Ok(document) => {
            print_line(shown::text(&document.receipt).trim_end());
            Exit::Ok
        }
        Err(error) => {
            eprintln!("error: {error}");
            match error {
                ReceiptError::Io { .. } => Exit::Environment,
                ReceiptError::Form { .. } => Exit::Usage,
            }
        }
    }
}
