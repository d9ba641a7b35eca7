//! A run as JSON lines: one object a trial, one at the end.

use serde::Serialize;

use super::{Basis, Ended, Summary};
use crate::compare::Verdict;
use crate::localize::Localization;
use crate::localize::vote::Vote;
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
        file: &'a str,
        line: usize,
        verdict: Option<&'a Verdict>,
    },
    Vote {
        id: &'a str,
        vote: &'a Vote,
    },
    Localization {
        id: &'a str,
        localization: &'a Localization,
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
pub fn trial(ended: &Ended) -> serde_json::Result<String> {
    let (cause, verdict) = match &ended.outcome {
        Outcome::Passed { verdict, .. } => (None, verdict.as_deref()),
        Outcome::Failed { cause, verdict, .. } => (Some(*cause), verdict.as_deref()),
        Outcome::Ignored { .. } => (None, None),
    };
    serde_json::to_string(&Line::Trial {
        id: &ended.id,
        outcome: ended.word(),
        cause,
        text: ended.text(),
        seconds: ended.seconds,
        file: &ended.file,
        line: ended.line,
        verdict,
    })
}

/// The line of a vote on a trial's logits.
///
/// # Errors
/// If a figure has no JSON.
pub fn vote(id: &str, vote: &Vote) -> serde_json::Result<String> {
    serde_json::to_string(&Line::Vote { id, vote })
}

/// The line of what was found where a trial's engines part.
///
/// # Errors
/// If a figure has no JSON.
pub fn localization(id: &str, localization: &Localization) -> serde_json::Result<String> {
    serde_json::to_string(&Line::Localization { id, localization })
}

/// The last line.
///
/// # Errors
/// If a figure has no JSON.
pub fn summary(summary: &Summary, basis: &Basis<'_>) -> serde_json::Result<String> {
    serde_json::to_string(&Line::Summary { summary, basis })
}
