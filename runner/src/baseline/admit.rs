//! Which receipts a baseline may be made of or held against, and what they say of each measure. It writes
//! nothing and compares nothing with a baseline.

use std::path::{Path, PathBuf};
use std::{fs, io};

use sha2::{Digest, Sha256};

use super::document::{Input, Key, hex};
use crate::bench::noise::NOISY_HOST;
use crate::bench::verdict::LOOKS;
use crate::escape;
use crate::receipt::{BenchReceipt, Measure, Measured, ReceiptError, Word, derive, read};
use crate::stats::Moments;

/// A receipt as it was read.
#[derive(Debug, Clone)]
pub struct Evidence {
    /// Its file.
    pub path: PathBuf,
    /// SHA-256 of the file, lower-case hex.
    pub sha256: String,
    /// What it says.
    pub receipt: BenchReceipt,
}

/// Reads the receipts that `paths` name: files, and of folders every `.json` in them.
///
/// # Errors
/// [`ReceiptError`] of the first that cannot be read.
pub fn read_receipts(paths: &[PathBuf]) -> Result<Vec<Evidence>, ReceiptError> {
    let mut files = Vec::new();
    for path in paths {
        match path.is_dir() {
            false => files.push(path.clone()),
            true => files.extend(in_folder(path).map_err(|why| ReceiptError::Io {
                verb: "read",
                path: path.clone(),
                why,
            })?),
        }
    }
    files.iter().map(|path| evidence(path)).collect()
}

fn in_folder(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let paths: io::Result<Vec<PathBuf>> =
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect();
    let mut paths = paths?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    Ok(paths)
}

fn evidence(path: &Path) -> Result<Evidence, ReceiptError> {
    let receipt = read(path)?;
    let bytes = fs::read(path).map_err(|why| ReceiptError::Io {
        verb: "read",
        path: path.to_owned(),
        why,
    })?;
    Ok(Evidence { path: path.to_owned(), sha256: hex(&Sha256::digest(bytes)), receipt })
}

/// What a level of this measure hangs on.
pub fn key(receipt: &BenchReceipt, measured: &Measured) -> Key {
    Key {
        case: receipt.case.id.clone(),
        measure: measured.name.clone(),
        model_sha256: receipt.model.sha256.clone(),
        reference: receipt.reference.name.clone(),
        threads: receipt.threads,
    }
}

/// Why the figures of a measure are not to be believed at all; none if they are.
pub fn unsound(receipt: &BenchReceipt, measured: &Measured) -> Option<String> {
    let metrics = derive::metrics(measured.measure, measured.tokens, &measured.rounds);
    if metrics.as_ref() != Some(&measured.metrics) {
        return Some("its figures do not follow from its rounds".into());
    }
    if receipt.subject.name == receipt.reference.name {
        return Some("an engine was measured against itself".into());
    }
    if receipt.kernels.is_empty() {
        return Some("no kernel was dispatched".into());
    }
    if measured.measure != Measure::Load && measured.verification.positions == 0 {
        return Some("no answer of the subject was verified".into());
    }
    let mut reasons = receipt.verdict.reasons.iter().chain(&measured.verdict.reasons);
    reasons.find(|reason| reason.starts_with(NOISY_HOST)).map(|reason| escape::text(reason))
}

/// What a measure adds to a level.
///
/// # Errors
/// Why it may not: what makes it unsound, another verdict than PASS, or a tool that was not built from a
/// commit as it is.
pub fn input(evidence: &Evidence, measured: &Measured) -> Result<Input, String> {
    let receipt = &evidence.receipt;
    if let Some(why) = unsound(receipt, measured) {
        return Err(why);
    }
    let commit = receipt.tool.commit.clone();
    let Some(commit) = commit.filter(|_| receipt.tool.dirty == Some(false)) else {
        return Err(
            "it was measured with a program that is not built from a commit as it is".into()
        );
    };
    let verdict = &measured.verdict;
    if verdict.word != Word::Pass {
        let reasons = escape::text(&verdict.reasons.join("; "));
        return Err(format!("its verdict is {}, not PASS: {reasons}", verdict.word));
    }
    if measured.rounds.len() < LOOKS[0] {
        return Err(format!("it has {} rounds, fewer than {}", measured.rounds.len(), LOOKS[0]));
    }
    let figures = |values: Option<Vec<f64>>| {
        let moments = Moments::of(values?);
        Some((moments.mean()?, moments.standard_error()?))
    };
    let ratio = figures(derive::ln_time_ratios(measured.measure, &measured.rounds));
    let subject = figures(ln_subject(measured));
    let ((ln_time_ratio, ln_time_ratio_error), (ln_subject_ns, ln_subject_ns_error)) =
        ratio.zip(subject).ok_or("a visit has no time")?;
    Ok(Input {
        receipt_sha256: evidence.sha256.clone(),
        time: receipt.time.clone(),
        commit,
        rounds: measured.rounds.len(),
        ln_time_ratio,
        ln_time_ratio_error,
        ln_subject_ns,
        ln_subject_ns_error,
    })
}

/// ln of the subject's nanoseconds in each round.
pub fn ln_subject(measured: &Measured) -> Option<Vec<f64>> {
    let visits = measured.rounds.iter().map(|round| &round.subject);
    visits.map(|visit| derive::statistic(measured.measure, visit).map(f64::ln)).collect()
}
