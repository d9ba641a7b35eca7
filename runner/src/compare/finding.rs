//! What a broken rule looks like: its place on the ladder, its figures and what would have passed.
//! Decides nothing; `gate` makes them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Sense;

/// A step of the ladder; the first one that fails is the headline.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Rung {
    /// The same text gives the same ids.
    Tokens,
    /// The same ids give the same distributions.
    Logits,
    /// The same distributions give the same choices.
    Greedy,
}

impl Rung {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tokens => "tokens",
            Self::Logits => "logits",
            Self::Greedy => "greedy",
        }
    }
}

/// Which rows a figure comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Path {
    /// All ids in one batch.
    Prefill,
    /// One id at a time through the KV cache.
    Decode,
    /// Two runs of one engine.
    Relation,
}

impl Path {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Prefill => "prefill",
            Self::Decode => "decode",
            Self::Relation => "relation",
        }
    }
}

/// What a breach means for the case.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The case fails.
    Fail,
    /// The case passes as DRIFT.
    Drift,
    /// Only reported.
    Advisory,
}

/// One rule that was not kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// Where on the ladder.
    pub rung: Rung,
    /// Which rows; none for tokens and free runs.
    pub path: Option<Path>,
    /// Name of the limit: as in the tolerance table, or `tau`, `drift`, `bits`, `flips`, `ids`,
    /// `bytes`, `regret`, `tie-rule`.
    pub name: String,
    /// What it means for the case.
    pub severity: Severity,
    /// The rule in words, with its limit.
    pub rule: String,
    /// Which side of the limit is good.
    pub sense: Sense,
    /// The limit.
    pub limit: f64,
    /// What was measured.
    pub measured: f64,
    /// First position that breaks the limit by itself, or where the fault shows.
    pub position: Option<usize>,
    /// The position with the worst value.
    pub worst_position: Option<usize>,
    /// The tightest limit that would have passed; none where no limit would.
    pub minimum_to_pass: Option<f64>,
    /// What the figure means in other terms.
    pub note: Option<String>,
}
