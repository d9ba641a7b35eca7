//! How a trial ended, with what a report needs to say about it.

use crate::backend::BackendError;
use crate::compare::{Verdict, explain, one_line};
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
    /// Something differs, or could not be computed.
    Failed {
        /// The whole story, several lines, safe to print.
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

/// An outcome, or what kept the trial from one.
pub type Result<T> = std::result::Result<T, Obstacle>;

/// What kept a trial from being judged.
#[derive(Debug)]
pub enum Obstacle {
    /// Something is missing that the user can provide: a failure, unless skipping is allowed.
    Missing(String),
    /// This processor cannot compute the variant: nobody can provide that here.
    Hardware(String),
    /// An engine failed.
    Error(String),
}

impl From<BackendError> for Obstacle {
    fn from(error: BackendError) -> Self {
        match error {
            BackendError::Unavailable { .. } => Obstacle::Missing(error.to_string()),
            _ => Obstacle::Error(error.to_string()),
        }
    }
}

impl From<StoreError> for Obstacle {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotHere { .. } => Obstacle::Missing(error.to_string()),
            _ => Obstacle::Error(error.to_string()),
        }
    }
}

impl Outcome {
    /// Passed, with a line of figures.
    pub fn passed(line: impl Into<String>) -> Self {
        Outcome::Passed { line: line.into(), verdict: None }
    }

    /// Failed, with the story.
    pub fn failed(text: impl Into<String>) -> Self {
        Outcome::Failed { text: text.into(), verdict: None }
    }

    /// What a verdict means for its trial; `piece` turns an id into its escaped text.
    pub fn of_verdict(verdict: Verdict, ids: &[u32], piece: &dyn Fn(u32) -> String) -> Self {
        if verdict.passes() {
            Outcome::Passed { line: one_line(&verdict), verdict: Some(Box::new(verdict)) }
        } else {
            let text = explain(&verdict, ids, piece);
            Outcome::Failed { text, verdict: Some(Box::new(verdict)) }
        }
    }
}
