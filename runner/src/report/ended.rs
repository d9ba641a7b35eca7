//! A trial that has ended, with all that reports say of it. It judges nothing.

use crate::run::Outcome;

/// Trials that take longer are marked as slow.
pub const SLOW_SECONDS: f64 = 10.0;

/// One trial of a run. Every text here is safe to print.
#[derive(Debug, Clone)]
pub struct Ended {
    /// `<tier>::<kind>::<suite>::<case>[::<variant>]`.
    pub id: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Wall time.
    pub seconds: f64,
    /// What a failure says last: where the case stands, and the command that runs it alone.
    pub footer: String,
    /// The suite file, relative to the project.
    pub file: String,
    /// Where in it the case begins, from 1.
    pub line: usize,
}

impl Ended {
    /// `<tier>::<kind>::<suite>`, and the rest of the id.
    pub fn group_and_name(&self) -> (&str, &str) {
        let third = self.id.match_indices("::").nth(2).map(|(at, _)| at);
        third.map_or((&*self.id, ""), |at| (&self.id[..at], &self.id[at + 2..]))
    }

    /// Whether it is one of the slow ones.
    pub fn is_slow(&self) -> bool {
        self.seconds > SLOW_SECONDS
    }

    /// The outcome in one word.
    pub fn word(&self) -> &'static str {
        match &self.outcome {
            Outcome::Passed { .. } => "passed",
            Outcome::Failed { .. } => "failed",
            Outcome::Ignored { .. } => "ignored",
        }
    }

    /// The figures of a pass, the story of a failure, the reason of what was ignored.
    pub fn text(&self) -> &str {
        match &self.outcome {
            Outcome::Passed { line, .. } => line,
            Outcome::Failed { text, .. } => text,
            Outcome::Ignored { reason } => reason,
        }
    }

    /// The first line of [`text`](Self::text).
    pub fn headline(&self) -> &str {
        self.text().lines().next().unwrap_or_default()
    }
}
