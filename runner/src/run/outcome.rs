//! How a trial ended, with what a report needs to say about it. Every text here is safe to print.

use std::path::PathBuf;

use bitnet_engine::model::ModelError;
use serde::Serialize;

use crate::backend::BackendError;
use crate::compare::{Qualification, Verdict, Word, explain, one_line};
use crate::escape;
use crate::models::StoreError;

/// How a trial ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Everything that was to be compared was compared, and agrees.
    Passed {
        /// One line: the figures, or what was compared.
        line: String,
        /// The verdict, where logits were compared.
        verdict: Option<Box<Verdict>>,
    },
    /// Something differs, or could not be compared.
    Failed {
        /// Which of the two.
        cause: Cause,
        /// The whole story, several lines.
        text: String,
        /// The verdict, where there is one.
        verdict: Option<Box<Verdict>>,
    },
    /// Not run, for a reason that is counted and printed.
    Ignored {
        /// The reason.
        reason: String,
    },
}

/// Why a trial failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// It was compared, and differs: the only failure that `known-failure` expects.
    Judged,
    /// An engine failed, or its output cannot be compared.
    Engine,
    /// A model or a reference is missing.
    Missing,
    /// The subject cannot load the model.
    Load,
}

/// An outcome, or what kept the trial from one.
pub type Result<T> = std::result::Result<T, Obstacle>;

/// What kept a trial from being judged. The texts are safe to print.
#[derive(Debug)]
pub enum Obstacle {
    /// Something is missing that the user can provide: a failure, unless skipping is allowed.
    Missing(String),
    /// This processor cannot compute the variant: nobody can provide that here.
    Hardware(String),
    /// This build lacks the trial's reference, and has another that the same case is compared with.
    NotBuilt(String),
    /// The subject cannot load the model.
    Load {
        /// The file.
        path: PathBuf,
        /// The engine's reason.
        why: Box<ModelError>,
    },
    /// An engine failed.
    Error(String),
}

impl From<BackendError> for Obstacle {
    /// Engines and files choose these words, so they are escaped, line breaks included.
    fn from(error: BackendError) -> Self {
        match error {
            BackendError::Unavailable { what, remedy } => Obstacle::Missing(format!(
                "{}\n  to get it: {}",
                escape::text(&what),
                escape::text(&remedy)
            )),
            BackendError::Hardware(why) => Obstacle::Hardware(escape::text(&why)),
            BackendError::Load { path, why } => Obstacle::Load { path, why },
            other => Obstacle::Error(escape::text(&other.to_string())),
        }
    }
}

impl From<StoreError> for Obstacle {
    fn from(error: StoreError) -> Self {
        let text = escape::text(&error.to_string());
        match error.is_missing() {
            true => Obstacle::Missing(text),
            false => Obstacle::Error(text),
        }
    }
}

impl Outcome {
    /// Passed, with a line of figures.
    pub fn passed(line: impl Into<String>) -> Self {
        Outcome::Passed { line: line.into(), verdict: None }
    }

    /// Compared and found different, with the story.
    pub fn differs(text: impl Into<String>) -> Self {
        Outcome::Failed { cause: Cause::Judged, text: text.into(), verdict: None }
    }

    /// Not compared, for this cause.
    pub fn failed(cause: Cause, text: impl Into<String>) -> Self {
        Outcome::Failed { cause, text: text.into(), verdict: None }
    }

    /// What a verdict means for its trial; `piece` turns an id into its escaped text.
    pub fn of_verdict(verdict: Verdict, ids: &[u32], piece: &dyn Fn(u32) -> String) -> Self {
        if verdict.passes() {
            return Outcome::Passed { line: one_line(&verdict), verdict: Some(Box::new(verdict)) };
        }
        let cause = if verdict.word == Word::Error { Cause::Engine } else { Cause::Judged };
        let text = explain(&verdict, ids, piece);
        Outcome::Failed { cause, text, verdict: Some(Box::new(verdict)) }
    }

    /// The outcome of a case whose tolerance was fed with known-wrong outputs: a pass names the score, and
    /// where one of them passed, the pass means nothing.
    pub(super) fn qualified(self, qualification: &Qualification) -> Self {
        let Outcome::Passed { line, verdict } = self else { return self };
        if qualification.passes() {
            let line = format!("{line}; known-wrong outputs rejected: {qualification}");
            return Outcome::Passed { line, verdict };
        }
        let survivors = qualification.survivors().map(|(gate, control)| {
            format!("\n  passes the gate of {}: {}", gate.name(), control.control)
        });
        let text = format!(
            "VACUOUS: this case also passes what is known to be wrong, so its pass means nothing\n  \
             known-wrong outputs rejected: {qualification}{}\n  to make it see: tighten its tolerance, \
             or give it a longer prompt\n  it would have passed with: {line}",
            survivors.collect::<String>()
        );
        // Not a judged difference: a known failure does not expect it.
        Outcome::Failed { cause: Cause::Engine, text, verdict }
    }

    /// A pass that names the reference it rests on, where a case has several.
    pub(super) fn against(self, reference: &str) -> Self {
        match self {
            Outcome::Passed { line, verdict } => {
                Outcome::Passed { line: format!("{line}; against {reference}"), verdict }
            }
            other => other,
        }
    }

    /// The same, saying that a golden answered for the reference.
    pub(super) fn against_golden(self, golden: &str) -> Self {
        match self {
            Outcome::Passed { line, verdict } => {
                Outcome::Passed { line: format!("{line}; {golden}"), verdict }
            }
            Outcome::Failed { cause, text, verdict } => {
                let text = format!("{}\n  {golden}", text.trim_end());
                Outcome::Failed { cause, text, verdict }
            }
            other => other,
        }
    }

    /// What a pass does not show, in sentences.
    pub fn untested(&self) -> &[String] {
        match self {
            Outcome::Passed { verdict: Some(verdict), .. } => &verdict.untested,
            _ => &[],
        }
    }
}
