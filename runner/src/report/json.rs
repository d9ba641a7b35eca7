//! A run as JSON lines: one object a trial, one at the end.

use serde::Serialize;

use super::Summary;
use crate::backend::Identity;
use crate::compare::Verdict;
use crate::run::Outcome;

/// One line.
#[derive(Debug, Serialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
enum Line<'a> {
    Trial {
        id: &'a str,
        outcome: &'static str,
        text: &'a str,
        seconds: f64,
        verdict: Option<&'a Verdict>,
    },
    Summary {
        summary: &'a Summary,
        subject: &'a Identity,
        references: &'a [&'a Identity],
        seconds: f64,
    },
}

/// The line of one trial, with its whole verdict: per-position figures and both engines' self-noise.
///
/// # Errors
/// If a figure has no JSON.
pub fn trial(id: &str, outcome: &Outcome, seconds: f64) -> serde_json::Result<String> {
    let (word, text, verdict) = match outcome {
        Outcome::Passed { line, verdict } => ("passed", line, verdict.as_deref()),
        Outcome::Failed { text, verdict } => ("failed", text, verdict.as_deref()),
        Outcome::Ignored { reason } => ("ignored", reason, None),
    };
    serde_json::to_string(&Line::Trial { id, outcome: word, text, seconds, verdict })
}

/// The last line.
///
/// # Errors
/// If a figure has no JSON.
pub fn summary(
    summary: &Summary,
    subject: &Identity,
    references: &[&Identity],
    seconds: f64,
) -> serde_json::Result<String> {
    serde_json::to_string(&Line::Summary { summary, subject, references, seconds })
}
