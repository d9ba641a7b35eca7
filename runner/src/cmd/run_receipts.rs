//! The receipts that `parity run` writes: one a comparison, as soon as it has ended.

#![expect(clippy::print_stderr, reason = "a command prints its complaints")]

use std::path::PathBuf;

use clap::Args;

use crate::escape;
use crate::exit::Exit;
use crate::receipt;
use crate::run::{Outcome, Project, Runner};
use crate::suite::{Kind, Trial};

/// Where receipts go.
#[derive(Debug, Args)]
pub struct ReceiptArgs {
    /// Write a receipt of each comparison into this folder
    #[arg(long, value_name = "DIR")]
    receipts: Option<PathBuf>,
    /// Write the receipt of the one selected comparison to this file
    #[arg(long, value_name = "FILE", conflicts_with = "receipts")]
    out: Option<PathBuf>,
}

/// Receipts of a run, as far as they were written.
pub(super) struct Receipts<'a> {
    args: &'a ReceiptArgs,
    written: usize,
    /// Trials that ran and compare nothing with a reference.
    without: usize,
    unwritten: bool,
}

impl<'a> Receipts<'a> {
    /// For a run of `trials`.
    ///
    /// # Errors
    /// In words, where `--out` would hold none or several.
    pub(super) fn new<'t>(
        args: &'a ReceiptArgs,
        project: &Project,
        trials: impl Iterator<Item = &'t Trial>,
    ) -> Result<Self, String> {
        let comparisons = trials.filter(|trial| project.suite(trial).kind == Kind::Parity).count();
        if args.out.is_some() && comparisons != 1 {
            return Err(format!(
                "--out holds the receipt of one comparison, and {comparisons} are selected; name one \
                 with --exact, or give a folder: --receipts DIR"
            ));
        }
        Ok(Self { args, written: 0, without: 0, unwritten: false })
    }

    /// Writes the receipt of `trial`, which has just ended with `outcome`, where that was asked for.
    pub(super) fn keep(&mut self, runner: &Runner, trial: &Trial, outcome: &Outcome) {
        let ReceiptArgs { receipts, out } = self.args;
        let asked = receipts.is_some() || out.is_some();
        if !asked || matches!(outcome, Outcome::Ignored { .. }) {
            return;
        }
        let Some(receipt) = runner.receipt(trial, outcome) else {
            self.without += 1;
            return;
        };
        let written = match (receipts, out) {
            (Some(folder), _) => receipt::write_parity(folder, &receipt).map(drop),
            (None, Some(file)) => receipt::write_to(file, &receipt),
            (None, None) => return,
        };
        match written {
            Ok(()) => self.written += 1,
            Err(error) => {
                eprintln!("error: {error}");
                self.unwritten = true;
            }
        }
    }

    /// Says where the receipts are and which trials have none; gives whether all were written.
    pub(super) fn finish(self) -> Exit {
        let place = self.args.receipts.as_ref().or(self.args.out.as_ref());
        if let Some(place) = place {
            let place = escape::text(&place.display().to_string());
            eprintln!("{} receipts written: {place}", self.written);
        }
        if self.without > 0 {
            eprintln!("{} trials have none: they compare nothing with a reference", self.without);
        }
        if self.unwritten { Exit::ReportNotWritten } else { Exit::Ok }
    }
}
