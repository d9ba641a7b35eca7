//! A receipt in words: who, what, on what, and how it ended. It checks nothing.

use std::fmt::Write as _;

use super::bench;
use crate::backend::Identity;
use crate::compare::{explain, one_line as verdict_line};
use crate::escape;
use crate::receipt::{BenchReceipt, ParityReceipt, Receipt};

/// The verdict and its figures in one line; safe to print.
pub fn one_line(receipt: &Receipt) -> String {
    match receipt {
        Receipt::Bench(receipt) => {
            let id = escape::text(&receipt.case.id);
            format!("{} {id}", receipt.verdict.word)
        }
        Receipt::Parity(receipt) => {
            let id = escape::text(&receipt.case.id);
            let known = match receipt.known_failure {
                Some(issue) => format!(" (expected: issue {issue})"),
                None => String::new(),
            };
            format!("{}{known}; {id}", parity_line(receipt))
        }
    }
}

fn parity_line(receipt: &ParityReceipt) -> String {
    let judged = receipt.raw.as_ref().and_then(|raw| raw.judge(&receipt.tolerance).ok());
    judged.map_or_else(
        || {
            let error = receipt.verdict.error.as_deref().unwrap_or("no reason was given");
            let first = error.lines().next().unwrap_or_default();
            format!("{} {}", receipt.verdict.word.name(), escape::text(first))
        },
        |verdict| verdict_line(&verdict),
    )
}

/// All that people ask of a receipt, several lines; safe to print.
pub fn text(receipt: &Receipt) -> String {
    match receipt {
        Receipt::Bench(receipt) => {
            let mut out = bench::block(&receipt.case.id, receipt);
            let BenchReceipt { time, tool, subject, reference, machine, threads, .. } = &**receipt;
            out.push('\n');
            basis(&mut out, time, &tool.version, tool.commit.as_deref(), *threads);
            engines(&mut out, subject, Some(reference));
            let _ = writeln!(out, "  machine: {}", escape::text(&machine.fingerprint()));
            out
        }
        Receipt::Parity(receipt) => parity(receipt),
    }
}

fn parity(receipt: &ParityReceipt) -> String {
    let ParityReceipt { raw, verdict, tool, model, .. } = receipt;
    let mut out = format!("{}\n", escape::text(&receipt.case.id));
    let judged = raw.as_ref().and_then(|raw| Some((raw, raw.judge(&receipt.tolerance).ok()?)));
    match judged {
        Some((raw, judged)) => {
            let piece = |id: u32| {
                let at = raw.ids.iter().position(|other| *other == id);
                at.and_then(|at| raw.texts.get(at)).map_or_else(
                    || "(no text in the receipt)".to_owned(),
                    |text| escape::text(text),
                )
            };
            out += &explain(&judged, &raw.ids, &piece);
        }
        None => {
            let error = verdict.error.as_deref().unwrap_or("no reason was given");
            let _ = writeln!(out, "{}", verdict.word.name());
            for line in error.lines() {
                let _ = writeln!(out, "  {}", escape::text(line));
            }
        }
    }
    if let Some(metrics) = &receipt.metrics {
        let _ = writeln!(
            out,
            "  mean KL {:.2e} nat ({}), cosine {:.9}; {} of {} rows equal to the bit",
            metrics.mean_kl,
            metrics.damage,
            metrics.cosine_similarity,
            metrics.bit_equal_rows,
            metrics.rows
        );
        let _ = writeln!(
            out,
            "  top-1 {}/{}, which certifies an agreement of {:.3} at 95 %",
            metrics.top1.hits, metrics.top1.of, metrics.certified_agreement
        );
    }
    if let Some(qualification) = &receipt.qualification {
        let _ = writeln!(out, "  known-wrong outputs rejected: {qualification}");
    }
    if let Some(issue) = receipt.known_failure {
        let _ = writeln!(out, "  marked as a known failure: issue {issue}");
    }
    basis(&mut out, &receipt.time, &tool.version, tool.commit.as_deref(), receipt.threads);
    engines(&mut out, &receipt.subject, receipt.reference.as_ref());
    if let Some(model) = model {
        let _ = writeln!(
            out,
            "  model: {}, sha256 {}",
            escape::text(&model.id),
            escape::text(&model.sha256)
        );
    }
    let _ = writeln!(out, "  machine: {}", escape::text(&receipt.machine.fingerprint()));
    let kernels: Vec<String> =
        receipt.kernels.iter().map(|kernel| format!("{}×{}", kernel.name, kernel.count)).collect();
    if !kernels.is_empty() {
        let _ = writeln!(out, "  kernels: {}", escape::text(&kernels.join(", ")));
    }
    out
}

fn basis(out: &mut String, time: &str, version: &str, commit: Option<&str>, threads: usize) {
    let commit = commit.map(|commit| format!(" at commit {commit}")).unwrap_or_default();
    let line = format!("{time}, parity {version}{commit}, {threads} thread(s)");
    let _ = writeln!(out, "  run: {}", escape::text(&line));
}

fn engines(out: &mut String, subject: &Identity, reference: Option<&Identity>) {
    let line = |identity: &Identity| {
        let Identity { name, version, source, build } = identity;
        escape::text(&format!("{name} {version} ({source}), {build}"))
    };
    let _ = writeln!(out, "  subject: {}", line(subject));
    let reference = reference.map_or_else(|| "none was started".to_owned(), line);
    let _ = writeln!(out, "  reference: {reference}");
}
