//! The verdict on a case: a word, the first rung that fails, the broken rules, and the measurements
//! they follow from. Concludes; measures nothing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    CompareError, Contract, Finding, FreeRun, GreedyReport, Metric, NoisePair, Path, RowMetrics,
    Rung, Severity, Summary, TokenComparison, Tolerance, gate,
};

/// The result of a comparison in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Word {
    /// Equal bit by bit, and the same ids.
    Exact,
    /// Within the contract, and every choice the same.
    Match,
    /// Within the contract; some choice differs where noise decides it.
    TieFlip,
    /// Within the contract, but further off than noise explains. Passes with a warning.
    Drift,
    /// Outside the contract.
    Diverged,
    /// Not comparable.
    Error,
}

impl Word {
    /// As reports print it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exact => "EXACT",
            Self::Match => "MATCH",
            Self::TieFlip => "TIE_FLIP",
            Self::Drift => "DRIFT",
            Self::Diverged => "DIVERGED",
            Self::Error => "ERROR",
        }
    }

    /// Whether the case passes.
    pub fn passes(self) -> bool {
        !matches!(self, Self::Diverged | Self::Error)
    }
}

/// What was measured on the rows of one path.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PathResult {
    /// Which path.
    pub path: Path,
    /// Figures of every position: the raw data of this path.
    pub rows: Vec<RowMetrics>,
    /// Derived from `rows`.
    pub summary: Summary,
    /// Greedy choices at these rows.
    pub greedy: GreedyReport,
}

impl Bounded {
    /// What the verdict does not show because of it.
    fn sentence(&self) -> String {
        let end = if self.best { "no real figure is better" } else { "no real figure is worse" };
        let unknown = match self.unknown {
            0 => String::new(),
            rows => format!("; {rows} of them are kept as a hash alone and were not compared"),
        };
        format!(
            "{} rows differ in bits from the golden, which keeps a part of each row: their figures and \
             the ranks of flips are bounds, {end}{unknown}",
            self.rows
        )
    }
}

/// The verdict on a case with everything it rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Verdict {
    /// The word.
    pub word: Word,
    /// The first rung that fails; none when the case passes.
    pub rung: Option<Rung>,
    /// What it was judged by.
    pub tolerance: Tolerance,
    /// One engine had to repeat itself bit by bit.
    pub bit_equal_required: bool,
    /// Ids of the prompt, for turning steps into positions.
    pub prompt_len: usize,
    /// Rules not kept, by rung.
    pub findings: Vec<Finding>,
    /// What a pass does not show, in sentences.
    pub untested: Vec<String>,
    /// Rung 1; none when the case starts from ids.
    pub tokens: Option<TokenComparison>,
    /// Rungs 2 and 3 by path.
    pub paths: Vec<PathResult>,
    /// The test's own continuation; none when it was not run.
    pub free_run: Option<FreeRun>,
    /// Both engines' self-noise; none when it was not measured.
    pub noise: Option<NoisePair>,
    /// Why nothing could be compared; only with ERROR.
    pub error: Option<String>,
    /// Where a figure is a bound and no measurement: part of the reference's logits was not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bounded: Option<Bounded>,
}

/// Rows whose figures are bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bounded {
    /// How many rows, of both paths.
    pub rows: usize,
    /// Of them, rows of which the golden kept a hash alone.
    pub unknown: usize,
    /// No real figure is better; otherwise none is worse.
    pub best: bool,
}

impl Verdict {
    /// The verdict when the outputs could not be compared.
    pub fn error(error: &CompareError, tolerance: &Tolerance) -> Self {
        let empty = Self::empty(tolerance, 0);
        Self { word: Word::Error, error: Some(error.to_string()), ..empty }
    }

    /// Whether the case passes.
    pub fn passes(&self) -> bool {
        self.word.passes()
    }

    /// The finding that fails the case.
    pub fn headline(&self) -> Option<&Finding> {
        self.findings.iter().find(|f| f.severity == Severity::Fail)
    }

    /// Without a measurement.
    pub(super) fn empty(tolerance: &Tolerance, prompt_len: usize) -> Self {
        Self {
            word: Word::Error,
            rung: None,
            tolerance: tolerance.clone(),
            bit_equal_required: false,
            prompt_len,
            findings: Vec::new(),
            untested: Vec::new(),
            tokens: None,
            paths: Vec::new(),
            free_run: None,
            noise: None,
            error: None,
            bounded: None,
        }
    }

    /// Derives findings, rung and word from what was measured.
    pub(super) fn conclude(&mut self) {
        let tolerance = &self.tolerance;
        let mut findings: Vec<Finding> =
            self.tokens.iter().flat_map(gate::token_findings).collect();
        let mut untested = Vec::new();
        for p in &self.paths {
            if self.bit_equal_required {
                findings.extend(gate::bit_finding(p.path, &p.rows));
            }
            findings.extend(gate::logit_findings(p.path, &p.rows, &p.summary, tolerance));
            if let Some(noise) = &self.noise {
                let drift = gate::drift_findings(p.path, &p.rows, &p.summary, noise, tolerance);
                findings.extend(drift);
            }
            findings.extend(gate::greedy_findings(p.path, &p.greedy, tolerance));
            untested.extend(gate::untested(p.path, &p.summary, &p.greedy, tolerance));
        }
        if let Some(run) = &self.free_run {
            findings.extend(gate::free_run_findings(run, self.prompt_len, tolerance));
        }
        if self.paths.iter().all(|p| p.path == Path::Prefill) {
            untested.push("decode: the case has no steps".to_owned());
        }
        if self.free_run.is_none() && self.paths.iter().any(|p| p.path == Path::Decode) {
            untested.push("free run: the test's own continuation was not given".to_owned());
        }
        if self.noise.is_none() && tolerance.contract() == Contract::SameNumerics {
            untested.push(
                "self-noise was not measured: only margins of 2 units in the last place count as \
                 ties, and drift is not judged"
                    .to_owned(),
            );
        }
        if let Some(bounded) = self.bounded {
            untested.push(bounded.sentence());
        }
        // Stable: within a rung, failures before warnings, each in the order of the table.
        findings.sort_by_key(|f| (f.rung, f.severity));
        self.rung = findings.iter().find(|f| f.severity == Severity::Fail).map(|f| f.rung);
        self.findings = findings;
        self.untested = untested;
        self.word = self.concluded_word();
    }

    fn concluded_word(&self) -> Word {
        let any = |severity| self.findings.iter().any(|f| f.severity == severity);
        let same_run = self.free_run.as_ref().is_none_or(FreeRun::equal);
        let bits = !self.paths.is_empty()
            && self.paths.iter().all(|p| p.summary.bit_equal_rows == p.summary.rows);
        if any(Severity::Fail) {
            Word::Diverged
        } else if bits && same_run {
            Word::Exact
        } else if any(Severity::Drift) {
            Word::Drift
        } else if !same_run || self.paths.iter().any(|p| !p.greedy.flips.is_empty()) {
            Word::TieFlip
        } else {
            Word::Match
        }
    }
}

/// Ceiling of τ in force; every contract has one.
pub(super) fn tau_max(tolerance: &Tolerance) -> f64 {
    tolerance.limit(Metric::TauMax).unwrap_or(0.0)
}
