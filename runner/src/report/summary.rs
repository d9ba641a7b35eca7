//! What a run amounts to: counts, worst figures, who computed, on which bytes.
//!
//! Counts what it is told of; a trial that it is not told of is in no count.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use serde::Serialize;

use super::pooled::{Pooled, group};
use crate::backend::Identity;
use crate::compare::{Verdict, Word};
use crate::escape;
use crate::run::{Cause, Outcome, Runner};
use crate::suite::Kind;

/// Lines of one list in the block that ends a run: it stays on one screen.
const LISTED: usize = 10;

/// Counts and worst figures of the trials so far.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Summary {
    /// Trials that passed.
    pub passed: usize,
    /// Trials that failed.
    pub failed: usize,
    /// Their ids, in the order of the run.
    pub failures: Vec<String>,
    /// How many of them lacked a model or a reference.
    pub missing: usize,
    /// How many of them had a model that cannot be loaded.
    pub unloadable: usize,
    /// Trials that were not run, with the reason of each.
    pub ignored: Vec<(String, String)>,
    /// Trials that were not run because their tier is above the one asked for.
    pub above_tier: usize,
    /// Parity trials by word: EXACT, MATCH, …
    pub words: BTreeMap<&'static str, usize>,
    /// Rows of logits compared with a reference.
    pub rows: usize,
    /// How many of them were equal to the bit.
    pub bit_equal_rows: usize,
    /// Largest mean KL of a parity trial, in nats.
    pub worst_mean_kl: Option<f64>,
    /// Smallest raw cosine of a position of a parity trial.
    pub worst_cosine: Option<f64>,
    /// Parity trials by suite and reference.
    pub pooled: BTreeMap<String, Pooled>,
}

impl Summary {
    /// Adds one trial.
    pub fn add(&mut self, id: &str, kind: Kind, outcome: &Outcome) {
        let verdict = match outcome {
            Outcome::Passed { verdict, .. } => {
                self.passed += 1;
                verdict
            }
            Outcome::Failed { cause, verdict, .. } => {
                self.failed += 1;
                self.failures.push(id.to_owned());
                self.missing += usize::from(*cause == Cause::Missing);
                self.unloadable += usize::from(*cause == Cause::Load);
                verdict
            }
            Outcome::Ignored { reason } => {
                self.ignored.push((id.to_owned(), reason.clone()));
                return;
            }
        };
        if let (Kind::Parity, Some(verdict)) = (kind, verdict) {
            self.add_verdict(id, verdict);
        }
    }

    fn add_verdict(&mut self, id: &str, verdict: &Verdict) {
        *self.words.entry(verdict.word.name()).or_default() += 1;
        if verdict.word == Word::Error {
            return;
        }
        if let Some((group, case)) = group(id) {
            self.pooled.entry(group).or_default().add(case, verdict);
        }
        for path in &verdict.paths {
            self.rows += path.summary.rows;
            self.bit_equal_rows += path.summary.bit_equal_rows;
            let kl = path.summary.mean_kl;
            self.worst_mean_kl = Some(self.worst_mean_kl.map_or(kl, |worst| worst.max(kl)));
            let cosine = path.summary.min_raw_cosine.value;
            self.worst_cosine = Some(self.worst_cosine.map_or(cosine, |worst| worst.min(cosine)));
        }
    }

    /// Counts trials of a tier above the one asked for.
    pub fn add_above_tier(&mut self, trials: usize) {
        self.above_tier += trials;
    }

    /// Whether anything ran.
    pub fn ran(&self) -> bool {
        self.passed + self.failed > 0
    }

    /// The block that ends a run, several lines: counts, worst figures, and on what they rest.
    pub fn text(&self, basis: &Basis<'_>) -> String {
        let mut out = String::new();
        let _ = self.write_ignored(&mut out);
        let _ = writeln!(
            out,
            "{} trials run in {:.1} s: {} passed, {} failed; {} ignored",
            self.passed + self.failed,
            basis.seconds,
            self.passed,
            self.failed,
            self.ignored.len() + self.above_tier
        );
        for id in self.failures.iter().take(LISTED) {
            let _ = writeln!(out, "  failed: {id}");
        }
        if self.failures.len() > LISTED {
            let _ = writeln!(out, "  and {} more failed", self.failures.len() - LISTED);
        }
        if self.above_tier > 0 {
            let _ = writeln!(
                out,
                "  {} of the ignored are of a higher tier; BITNET_TIER=integration runs them",
                self.above_tier
            );
        }
        if !self.words.is_empty() {
            let words: Vec<String> =
                self.words.iter().map(|(word, count)| format!("{count} {word}")).collect();
            let _ = writeln!(
                out,
                "  parity: {}; {} of {} rows of logits equal to the bit",
                words.join(", "),
                self.bit_equal_rows,
                self.rows
            );
        }
        if let (Some(kl), Some(cosine)) = (self.worst_mean_kl, self.worst_cosine) {
            let _ = writeln!(out, "  worst case: mean KL {kl:.2e} nat, raw cosine {cosine:.9}");
        }
        for (group, pooled) in self.pooled.iter().take(LISTED) {
            let _ = writeln!(out, "  {group}: {pooled}");
        }
        if self.pooled.len() > LISTED {
            let rest = self.pooled.len() - LISTED;
            let _ = writeln!(out, "  and {rest} more suites; --format json has them all");
        }
        // Engines choose these words.
        let line = |identity: &Identity| {
            let Identity { name, version, source, build } = identity;
            escape::text(&format!("{name} {version} ({source}), {build}"))
        };
        let _ = writeln!(out, "  subject: {}", line(basis.subject));
        for reference in &basis.references {
            let _ = writeln!(out, "  reference: {}", line(reference));
        }
        for (golden, trials) in &basis.goldens {
            let _ = writeln!(out, "  {golden}: compared in {trials} trials");
        }
        if basis.references.is_empty() && basis.goldens.is_empty() && self.ran() {
            let _ = writeln!(out, "  reference: none was started; nothing was compared with one");
        }
        for (id, sha256) in basis.models.iter().take(LISTED) {
            let _ = writeln!(out, "  model: {id}, sha256 {sha256}");
        }
        if basis.models.len() > LISTED {
            let rest = basis.models.len() - LISTED;
            let _ = writeln!(out, "  and {rest} more models; --format json names them all");
        }
        out
    }

    /// Each ignored trial with its reason; where that are many, each reason with its trials.
    fn write_ignored(&self, out: &mut String) -> fmt::Result {
        if self.ignored.len() <= LISTED {
            for (id, reason) in &self.ignored {
                writeln!(out, "  ignored {id}: {reason}")?;
            }
            return Ok(());
        }
        let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (id, reason) in &self.ignored {
            reasons.entry(reason).or_default().push(id);
        }
        for (reason, ids) in reasons {
            match &ids[..] {
                [id] => writeln!(out, "  ignored {id}: {reason}")?,
                [first, ..] => writeln!(out, "  ignored {} as {first}: {reason}", ids.len())?,
                [] => {}
            }
        }
        Ok(())
    }
}

/// What a run's figures rest on.
#[derive(Debug, Clone, Serialize)]
pub struct Basis<'a> {
    /// Wall time.
    pub seconds: f64,
    /// The engine under test.
    pub subject: &'a Identity,
    /// The references that were started.
    pub references: Vec<&'a Identity>,
    /// The goldens that answered for a reference, each with its number of trials.
    pub goldens: BTreeMap<String, usize>,
    /// The models that were used, with their sha256.
    pub models: BTreeMap<String, String>,
}

impl<'a> Basis<'a> {
    /// The basis of what `runner` has run.
    pub fn of(runner: &'a Runner, seconds: f64) -> Self {
        Self {
            seconds,
            subject: runner.engines.subject.identity(),
            references: runner.engines.started().collect(),
            goldens: runner.goldens().clone(),
            models: runner.models().clone(),
        }
    }

    /// The same with what `other`, which ran beside it, has run.
    pub fn with(mut self, other: &'a Runner) -> Self {
        self.references.extend(other.engines.started());
        for (golden, trials) in other.goldens() {
            *self.goldens.entry(golden.clone()).or_default() += trials;
        }
        self.models.extend(other.models().clone());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_of_many_ignored_trials_ends_with_its_reasons_and_names_what_failed() {
        let mut summary = Summary::default();
        for index in 0..40 {
            let reason = if index == 7 { "no worker" } else { "no avx512" };
            let outcome = Outcome::Ignored { reason: reason.into() };
            summary.add(&format!("t::{index}"), Kind::Parity, &outcome);
        }
        for index in 0..12 {
            summary.add(&format!("f::{index}"), Kind::Parity, &Outcome::differs("DIVERGED"));
        }
        let subject = Identity {
            name: "ours".into(),
            version: "1".into(),
            source: "here".into(),
            build: "debug".into(),
        };
        let models = (0..12).map(|i| (format!("m{i:02}"), "00".into())).collect();
        let basis = Basis {
            seconds: 1.0,
            subject: &subject,
            references: vec![],
            goldens: BTreeMap::new(),
            models,
        };
        let text = summary.text(&basis);
        assert!(
            text.starts_with(
                "  ignored 39 as t::0: no avx512\n  ignored t::7: no worker\n\
                 12 trials run in 1.0 s: 0 passed, 12 failed; 40 ignored\n  failed: f::0\n"
            ),
            "{text}"
        );
        assert!(text.contains("  failed: f::9\n  and 2 more failed\n"), "{text}");
        assert!(text.ends_with("  and 2 more models; --format json names them all\n"), "{text}");
        assert!(text.lines().count() <= 30, "one screen, not {} lines", text.lines().count());
    }
}
