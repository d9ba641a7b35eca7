//! `parity run`: where the engines part on the parity trials that fail.

use std::io::{self, IsTerminal};

use super::localize::complaint;
use crate::localize::report;
use crate::report::{json, print_line};
use crate::run::{Cause, Outcome, Runner};
use crate::suite::Trial;

/// How much is said behind a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Localizing {
    /// A few lines: nobody has asked, but somebody is reading.
    Short,
    /// Everything.
    Whole,
}

impl Localizing {
    /// What to say, if anything: `asked` is the flag, `human` says whether results are for people.
    pub(super) fn new(asked: bool, human: bool) -> Option<Self> {
        match (asked, human && io::stdout().is_terminal()) {
            (true, _) => Some(Self::Whole),
            (false, true) => Some(Self::Short),
            (false, false) => None,
        }
    }

    /// `outcome` with where the engines part behind its story, so that every report has it; in a run for programs
    /// a line of its own as well.
    ///
    /// # Errors
    /// If a figure has no JSON.
    pub(super) fn extend(
        self,
        runner: &mut Runner,
        trial: &Trial,
        outcome: Outcome,
        human: bool,
    ) -> serde_json::Result<Outcome> {
        let Outcome::Failed { cause: Cause::Judged, text, verdict: Some(verdict) } = outcome else {
            return Ok(outcome);
        };
        let more = match (self, runner.localize(trial)) {
            (_, Err(obstacle)) => format!("not localised: {}", complaint(obstacle, "").1),
            (Self::Whole, Ok(localized)) => {
                if !human {
                    print_line(&json::localization(&trial.id, &localized.found)?);
                }
                report::text(&localized.found)
            }
            (Self::Short, Ok(localized)) => {
                let short = report::short(&localized.found);
                format!("{short}\n  more: parity localize '{}'", trial.id)
            }
        };
        let text = format!("{text}\n{more}");
        Ok(Outcome::Failed { cause: Cause::Judged, text, verdict: Some(verdict) })
    }
}
