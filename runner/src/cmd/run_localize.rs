//! `parity run`: where the engines part on the parity trials that fail.

#![expect(clippy::print_stderr, reason = "a command prints its complaints")]

use std::io::{self, IsTerminal};

use super::localize::complaint;
use crate::localize::report;
use crate::report::{Terminal, json, print_line};
use crate::run::{Cause, Outcome, Runner};
use crate::suite::Trial;

/// How much is said behind a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Localizing {
    /// Nothing.
    Off,
    /// A few lines: nobody has asked, but somebody is reading.
    Short,
    /// Everything.
    Whole,
}

impl Localizing {
    /// `asked` is the flag; `human` says whether results are for people.
    pub(super) fn new(asked: bool, human: bool) -> Self {
        match (asked, human && io::stdout().is_terminal()) {
            (true, _) => Self::Whole,
            (false, true) => Self::Short,
            (false, false) => Self::Off,
        }
    }

    /// Whether both engines gave logits, these differ, and something is to be said.
    pub(super) fn applies(self, outcome: &Outcome) -> bool {
        let differ =
            matches!(outcome, Outcome::Failed { cause: Cause::Judged, verdict: Some(_), .. });
        self != Self::Off && differ
    }

    /// Finds where the engines part on a trial that has failed, and says it behind the failure.
    ///
    /// # Errors
    /// If a figure has no JSON.
    pub(super) fn say(
        self,
        runner: &mut Runner,
        trial: &Trial,
        terminal: &mut Option<Terminal>,
    ) -> serde_json::Result<()> {
        let localized = match runner.localize(trial) {
            Ok(localized) => localized,
            Err(obstacle) => {
                let (_, why) = complaint(obstacle, "");
                eprintln!("{}: not localised: {why}", trial.id);
                return Ok(());
            }
        };
        let found = &localized.found;
        match (terminal, self) {
            (None, _) => print_line(&json::localization(&trial.id, found)?),
            (Some(terminal), Self::Whole) => terminal.more(&report::text(found)),
            (Some(terminal), Self::Short | Self::Off) => {
                let more = format!("  more: parity localize '{}'", trial.id);
                terminal.more(&format!("{}\n{more}", report::short(found)));
            }
        }
        Ok(())
    }
}
