//! `parity report`: one HTML page of receipts; and the receipts of several shards as those of one run.
//! It works from receipts alone, needs no project, and passes over no file that it was given.

#![expect(clippy::print_stderr, reason = "a command prints its complaints")]

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;

use clap::Args;
use serde::Deserialize;

use super::run_reports::save;
use crate::escape;
use crate::exit::Exit;
use crate::localize::Localization;
use crate::receipt::{self, Receipt, ReceiptError};
use crate::report::{html, print_line};

/// The page's file where none is named.
const PAGE: &str = "report.html";

/// Flags of `parity report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Receipts, and folders whose JSON files are receipts
    #[arg(required = true, value_name = "RECEIPTS")]
    receipts: Vec<PathBuf>,
    /// Write the page here; report.html if neither this nor --merge is given
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Copy the receipts of the shards of one run into this folder, which is made
    #[arg(long, value_name = "DIR")]
    merge: Option<PathBuf>,
    /// JSON lines of `parity localize --format json`: the cause, on the page of its case
    #[arg(long, value_name = "FILE")]
    localized: Vec<PathBuf>,
    /// Bandwidth of the machine's memory, as `bitnet bench` measures it: the roof of decoding
    #[arg(long, value_name = "GB/S", value_parser = positive)]
    bandwidth: Option<f64>,
    /// Title of the page
    #[arg(long, default_value = "Parity report")]
    title: String,
}

fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| *number > 0.0 && number.is_finite());
    number.ok_or_else(|| "a number above 0, such as 12.5".to_owned())
}

/// Makes the page, or joins shards.
pub fn execute(args: &ReportArgs) -> Exit {
    let files = match files(&args.receipts) {
        Ok(files) if files.is_empty() => {
            eprintln!("error: no receipt in {}", shown_all(&args.receipts));
            return Exit::NothingSelected;
        }
        Ok(files) => files,
        Err(Trouble { path, why }) => {
            eprintln!("error: cannot read '{}': {why}", shown(&path));
            return Exit::Environment;
        }
    };
    let receipts = match read_all(&files) {
        Ok(receipts) => receipts,
        Err(errors) => {
            errors.iter().for_each(|error| eprintln!("error: {error}"));
            eprintln!(
                "{} of {} files are no receipts; nothing was written",
                errors.len(),
                files.len()
            );
            return Exit::Usage;
        }
    };
    if let Some(folder) = &args.merge {
        if let Err(why) = merge(&files, folder) {
            eprintln!("error: {why}");
            return Exit::ReportNotWritten;
        }
        print_line(&shown(folder));
        if args.out.is_none() {
            return Exit::Ok;
        }
    }
    let mut input = html::Input {
        title: args.title.clone(),
        bandwidth: args.bandwidth.map(|gigabytes| gigabytes * 1e9),
        ..html::Input::default()
    };
    for receipt in receipts {
        match receipt {
            Receipt::Bench(receipt) => input.bench.push(*receipt),
            Receipt::Parity(receipt) => input.parity.push(*receipt),
        }
    }
    for path in &args.localized {
        match localized(path) {
            Ok(found) => input.localized.extend(found),
            Err(why) => {
                eprintln!("error: {}: {why}; nothing was written", shown(path));
                return Exit::Usage;
            }
        }
    }
    let out = args.out.clone().unwrap_or_else(|| PathBuf::from(PAGE));
    if let Err(error) = save(&out, &html::document(&input)) {
        eprintln!("error: cannot write '{}': {error}; name another file with --out", shown(&out));
        return Exit::ReportNotWritten;
    }
    print_line(&shown(&out));
    Exit::Ok
}

/// The findings in a file of JSON lines, each with its trial. Lines of another reason are a run's.
fn localized(path: &Path) -> Result<Vec<(String, Localization)>, String> {
    /// What tells what a line is.
    #[derive(Deserialize)]
    struct Head {
        reason: String,
    }
    #[derive(Deserialize)]
    struct Found {
        id: String,
        localization: Localization,
    }
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let words = |error: serde_json::Error| format!("line {}: {error}", index + 1);
        let head: Head = serde_json::from_str(line).map_err(words)?;
        if head.reason == "localization" {
            let Found { id, localization } = serde_json::from_str(line).map_err(words)?;
            found.push((id, localization));
        }
    }
    Ok(found)
}

fn shown(path: &Path) -> String {
    escape::text(&path.display().to_string())
}

fn shown_all(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| shown(path)).collect::<Vec<_>>().join(", ")
}

/// What cannot be looked at.
struct Trouble {
    path: PathBuf,
    why: io::Error,
}

/// The files that `paths` name: themselves, and of folders every JSON file at any depth; sorted, each
/// once.
fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Trouble> {
    let (mut open, mut found) = (paths.to_vec(), Vec::new());
    while let Some(path) = open.pop() {
        let trouble = |why| Trouble { path: path.clone(), why };
        if !fs::metadata(&path).map_err(trouble)?.is_dir() {
            found.push(path);
            continue;
        }
        for entry in fs::read_dir(&path).map_err(trouble)? {
            let entry = entry.map_err(trouble)?;
            // A link could lead round in a circle.
            let kind = entry.file_type().map_err(trouble)?;
            if kind.is_dir() {
                open.push(entry.path());
            } else if entry.path().extension().is_some_and(|extension| extension == "json") {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// All receipts, in the order of `files`, read by as many threads as there are processors.
fn read_all(files: &[PathBuf]) -> Result<Vec<Receipt>, Vec<ReceiptError>> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let share = files.len().div_ceil(threads).max(1);
    let read = |part: &[PathBuf]| -> Vec<Result<Receipt, ReceiptError>> {
        part.iter().map(|path| receipt::read_unverified(path)).collect()
    };
    let results: Vec<Result<Receipt, ReceiptError>> = thread::scope(|scope| {
        let parts: Vec<_> =
            files.chunks(share).map(|part| scope.spawn(move || read(part))).collect();
        let joined = parts
            .into_iter()
            .map(|part| part.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        joined.flatten().collect()
    });
    let (mut receipts, mut errors) = (Vec::with_capacity(files.len()), Vec::new());
    for result in results {
        match result {
            Ok(receipt) => receipts.push(receipt),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(receipts) } else { Err(errors) }
}

/// Copies `files` into `folder`, byte by byte. A receipt's name holds its trial and its reference, so two
/// files of one name are one trial twice: the same bytes are one receipt, others are no shards of one run.
fn merge(files: &[PathBuf], folder: &Path) -> Result<(), String> {
    let write = |why: io::Error| format!("cannot write into '{}': {why}", shown(folder));
    fs::create_dir_all(folder).map_err(write)?;
    if fs::read_dir(folder).map_err(write)?.next().is_some() {
        return Err(format!("'{}' is not empty; name a new folder for --merge", shown(folder)));
    }
    let mut known: BTreeMap<String, (&Path, Vec<u8>)> = BTreeMap::new();
    for path in files {
        let bytes =
            fs::read(path).map_err(|why| format!("cannot read '{}': {why}", shown(path)))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match known.get(&name) {
            Some((_, same)) if *same == bytes => {}
            Some((first, _)) => {
                return Err(format!(
                    "'{}' and '{}' are of the same trial and differ: they are not shards of one run",
                    shown(first),
                    shown(path)
                ));
            }
            None => {
                known.insert(name, (path, bytes));
            }
        }
    }
    for (name, (_, bytes)) in &known {
        fs::write(folder.join(name), bytes).map_err(write)?;
    }
    Ok(())
}
