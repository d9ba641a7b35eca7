//! A run on a terminal, in the manner of nextest: a line a trial, failures at once and again at the
//! end. Results go to standard output, all else to standard error.

use std::env;
use std::io::IsTerminal;
use std::time::Duration;

use clap::ValueEnum;
use console::Style;
use indicatif::{ProgressBar, ProgressStyle};

use super::{Ended, Positions, print_line};
use crate::backend::Listener;
use crate::run::Outcome;

/// When output is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Colour {
    /// On a terminal, unless the environment says otherwise.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Colour {
    /// Whether to colour what goes to `stream`: the flag, then `CARGO_TERM_COLOR`, then `NO_COLOR`,
    /// then whether it is a terminal.
    pub fn decide(self, stream: &impl IsTerminal) -> bool {
        let cargo = env::var("CARGO_TERM_COLOR").ok();
        match (self, cargo.as_deref()) {
            (Colour::Always, _) | (Colour::Auto, Some("always")) => true,
            (Colour::Never, _) | (Colour::Auto, Some("never")) => false,
            (Colour::Auto, _) => {
                let off = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
                    || env::var_os("TERM").is_some_and(|term| term == "dumb");
                !off && stream.is_terminal()
            }
        }
    }
}

/// Prints a run.
pub struct Terminal {
    colour: bool,
    quiet: bool,
    bar: ProgressBar,
    positions: Positions,
    failures: Vec<(String, String)>,
}

impl Terminal {
    /// For a run of `count` trials. `quiet` prints failures and the summary only.
    pub fn new(colour: Colour, quiet: bool, count: usize) -> Self {
        let style = ProgressStyle::with_template("{spinner} {pos}/{len} {elapsed} {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_spinner());
        // Hides itself where standard error is no terminal.
        let bar = ProgressBar::new(count as u64).with_style(style);
        bar.enable_steady_tick(Duration::from_millis(120));
        let positions = Positions::new(bar.clone(), bar.is_hidden() && !quiet);
        let colour = colour.decide(&std::io::stdout());
        Self { colour, quiet, bar, positions, failures: Vec::new() }
    }

    /// A trial begins.
    pub fn begin(&self, id: &str) {
        self.positions.begin(id);
    }

    /// Who shows how far the trial is that runs.
    pub fn listener(&self) -> Listener {
        self.positions.listener()
    }

    /// A trial has ended.
    pub fn end(&mut self, ended: &Ended) {
        let Ended { id, outcome, seconds, footer, .. } = ended;
        let (word, style) = match outcome {
            Outcome::Passed { .. } => ("PASS", Style::new().green()),
            Outcome::Failed { .. } => ("FAIL", Style::new().red()),
            Outcome::Ignored { .. } => ("IGNORED", Style::new().yellow()),
        };
        let text = ended.text();
        let failed = matches!(outcome, Outcome::Failed { .. });
        if failed || !self.quiet {
            let word = style.bold().force_styling(self.colour).apply_to(format!("{word:>12}"));
            let slow = if ended.is_slow() { " SLOW" } else { "" };
            let head = format!("{word} [{seconds:>8.3}s]{slow} {id}");
            let mut block = match failed {
                true => format!("{head}\n{text}\n{footer}\n"),
                false => format!("{head}\n             {text}"),
            };
            for sentence in outcome.untested() {
                block += &format!("\n             not tested: {sentence}");
            }
            self.bar.suspend(|| print_line(&block));
        }
        if failed {
            self.failures.push((id.to_owned(), format!("{text}\n{footer}")));
        }
        self.bar.inc(1);
    }

    /// The run is over: failures once more, then the summary.
    pub fn finish(self, summary: &str) {
        self.bar.finish_and_clear();
        if !self.failures.is_empty() {
            print_line("failures:\n");
            for (id, text) in &self.failures {
                print_line(&format!("---- {id}\n{text}\n"));
            }
        }
        print_line(&format!("\n{summary}"));
    }
}
