//! What the receipt of a benchmark holds, as it is written and read; computes nothing.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::facts::{CaseFacts, Kind, ModelFacts, Tool};
use crate::backend::{Identity, KernelCalls, Output};
use crate::machine::Machine;
use crate::stats::Interval;

/// One run of a bench case against one reference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BenchReceipt {
    /// Version of this format, `major.minor.patch`.
    pub schema_version: String,
    /// What kind of receipt it is.
    pub kind: Kind,
    /// The program that measured.
    pub tool: Tool,
    /// When the run began: RFC 3339, UTC.
    pub time: String,
    /// What was asked for.
    pub case: CaseFacts,
    /// What was computed with.
    pub model: ModelFacts,
    /// The engine under test.
    pub subject: Identity,
    /// The engine that it is measured against.
    pub reference: Identity,
    /// The machine that both ran on.
    pub machine: Machine,
    /// Compute threads of each engine.
    pub threads: usize,
    /// The subject's kernels as they were dispatched in the measured visits.
    pub kernels: Vec<KernelCalls>,
    /// Both engines' processes at their largest.
    pub peak_memory: PeakMemory,
    /// What was measured, in the order of the case.
    pub measured: Vec<Measured>,
    /// The worst verdict of the measures.
    pub verdict: Verdict,
}

/// Resident bytes of the engines' processes at their largest, loading included; none where the system
/// does not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PeakMemory {
    /// The engine under test.
    pub subject: Option<u64>,
    /// The other.
    pub reference: Option<u64>,
}

/// What is timed, by llama-bench's words.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    /// From an empty process to a model that can be computed with. The file is in the page cache.
    Load,
    /// `pp`: all ids in one call, into an empty KV cache; logits of the last one.
    Prefill,
    /// `tg`: one id a call; the ids are given, whatever the engine would choose.
    Decode,
}

/// One measure of a case: raw data, and what follows from them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// `load`, `pp512`, `tg128`, `tg128@d1024`, with `+logits` where the subject hands out all of them.
    pub name: String,
    /// What was timed.
    pub measure: Measure,
    /// Ids that were timed; 0 for `load`.
    pub tokens: usize,
    /// Ids in the KV cache before the first timed one.
    pub depth: usize,
    /// What the subject handed out; the reference computes all logits in any case.
    pub output: Option<Output>,
    /// The smallest speed, as a part of the reference's, that the case demands.
    pub limit: f64,
    /// Both engines' visits, in the order of time.
    pub rounds: Vec<Round>,
    /// What the subject's answers were held against.
    pub verification: Verification,
    /// Derived from `rounds` alone.
    pub metrics: Metrics,
    /// Derived from `metrics`, `limit` and what was known of the host.
    pub verdict: Verdict,
}

/// Which engine a round begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// The subject, then the reference.
    SubjectFirst,
    /// The reference, then the subject.
    ReferenceFirst,
}

/// One visit to each engine, next to each other in time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Round {
    /// Which engine came first.
    pub order: Order,
    /// The engine under test.
    pub subject: Visit,
    /// The other.
    pub reference: Visit,
}

/// What one engine measured in one visit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Visit {
    /// Nanoseconds on the engine's own monotonic clock: of each id for `decode`, of each repetition
    /// for `prefill` and `load`.
    pub nanos: Vec<u64>,
}

/// What was done so that no number stands for a wrong answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Verification {
    /// Timed positions of the subject whose chosen id was checked.
    pub positions: usize,
    /// Those at which it was not the reference's first choice, but within the margin.
    pub near_ties: usize,
    /// Those outside the margin: at most a tenth of a visit's.
    pub outside: usize,
    /// The margin: how far below the highest logit a choice may lie, in standard deviations of the row.
    pub margin: f64,
}

/// Speeds and their ratio, derived from rounds by [`derive::metrics`](super::derive::metrics).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// The engine under test.
    pub subject: Side,
    /// The other.
    pub reference: Side,
    /// Mean over the rounds of ln(subject's time ÷ reference's time), each by the visit's statistic.
    /// Negative: the subject is faster.
    pub ln_time_ratio: f64,
    /// Standard deviation of the same, between rounds.
    pub ln_time_ratio_sd: Option<f64>,
    /// Subject's speed as a part of the reference's: exp(−`ln_time_ratio`).
    pub speed_ratio: f64,
    /// Two-sided 95 % interval of `speed_ratio` by Student's t over the rounds.
    pub speed_ratio_interval: Option<Interval>,
}

/// One engine's figures over all rounds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Side {
    /// Ids a second, mean over the rounds of each visit's own rate; loads a second for `load`.
    pub per_second: f64,
    /// Standard deviation of the same, between rounds.
    pub per_second_sd: Option<f64>,
    /// Of all times of all rounds, nanoseconds.
    pub mean_ns: f64,
    /// The quantile at 0.2 of all times.
    pub p20_ns: f64,
    /// The median of all times.
    pub p50_ns: f64,
    /// The quantile at 0.95 of all times.
    pub p95_ns: f64,
    /// The largest time.
    pub max_ns: u64,
}

/// How a measurement ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Verdict {
    /// The word.
    pub word: Word,
    /// Why, a sentence each, figures included.
    pub reasons: Vec<String>,
}

/// The words of a benchmark's verdict, best first.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Word {
    /// With confidence not below the limit.
    Pass,
    /// The rounds do not decide.
    Inconclusive,
    /// The figures must not be compared.
    NotComparable,
    /// With confidence below the limit.
    Fail,
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pass => "PASS",
            Self::Inconclusive => "INCONCLUSIVE",
            Self::NotComparable => "NOT_COMPARABLE",
            Self::Fail => "FAIL",
        })
    }
}
