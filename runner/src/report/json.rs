//! A run as JSON lines: one object a trial, one at the end.

use serde::Serialize;

use super::{Basis, Summary};
use crate::compare::Verdict;
use crate::run::{Cause, Outcome};

/// One line.
#[derive(Debug, Serialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
enum Line<'a> {
    Trial {
        id: &'a str,
        outcome: &'static str,
        cause: Option<Cause>,
        text: &'a str,
        seconds: f64,
        verdict: Option<&'a Verdict>,
    },
    Summary {
        summary: &'a Summary,
        basis: &'a Basis<'a>,
    },
}

/// The line of one trial, with its whole verdict: per-position figures and both engines' self-noise.
///
/// # Errors
/// If a figure has no JSON.
pub fn trial(id: &str, outcome: &Outcome, seconds: f64) -> serde_json::Result<String> {
    let (word, cause, text, verdict) = match outcome {
        Outcome::Passed { line, verdict } => ("passed", None, line, verdict.as_deref()),
        Outcome::Failed { cause, text, verdict } => {
            ("failed", Some(*cause), text, verdict.as_deref())
        }
        Outcome::Ignored { reason } => ("ignored", None, reason, None),
    };
    serde_json::to_string(&Line::Trial { id, outcome: word, cause, text, seconds, verdict })
}

/// The last line.
///
/// # Errors
/// If a figure has no JSON.
pub fn summary(summary: &Summary, basis: &Basis<'_>) -> serde_json::Result<String> {
    serde_json::to_string(&Line::Summary { summary, basis })
}
