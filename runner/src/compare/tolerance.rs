//! The one table of what "close enough" means: three numeric contracts, each ceiling with its reason.
//! An override may tighten a ceiling and never loosen one; no ceiling is derived from the outputs
//! that it judges.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Contract, Policy};

/// A figure with a ceiling (or a floor).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// Mean `KL(ref‖test)`.
    MeanKl,
    /// Its 99 % quantile.
    P99Kl,
    /// Its maximum.
    MaxKl,
    /// 99 % quantile of the centred NMSE.
    P99Nmse,
    /// Its maximum.
    MaxNmse,
    /// 1 % quantile of the centred cosine.
    CentredCosine,
    /// Smallest raw cosine.
    RawCosine,
    /// Distance of the scale slope from 1.
    Slope,
    /// Distance of the ln-perplexity ratio from 0.
    LnPplRatio,
    /// Agreement of greedy choices outside ties.
    StableAgreement,
    /// Probability of as many tie flips under measured noise.
    FlipProbability,
    /// Ceiling of the margin that counts as a tie.
    TauMax,
    /// Mean Jaccard index of the best 10 tokens.
    Top10Overlap,
}

/// Which side of the limit is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sense {
    /// The figure may be at most the limit.
    AtMost,
    /// The figure must be at least the limit.
    AtLeast,
}

/// One line of the table.
#[derive(Debug, Clone, Copy)]
pub struct Line {
    /// The figure.
    pub metric: Metric,
    /// Its name in suite files.
    pub name: &'static str,
    /// The rule in words; the limit and its unit follow.
    pub rule: &'static str,
    /// Unit, with a leading space, or empty.
    pub unit: &'static str,
    /// Which side is good.
    pub sense: Sense,
    /// Limits of `self`, `same-numerics` and `cross-numerics`; none where the contract has none.
    pub limits: [Option<f64>; 3],
    /// Why these limits.
    pub reason: &'static str,
    /// Contracts, as a column index, from which on a breach is only reported.
    advisory_from: usize,
}

impl Line {
    /// The limit under `contract`.
    pub fn limit(&self, contract: Contract) -> Option<f64> {
        self.limits[contract as usize]
    }

    /// Whether a breach under `contract` is reported without failing the case.
    pub fn advisory(&self, contract: Contract) -> bool {
        contract as usize >= self.advisory_from
    }

    /// Whether `measured` keeps `limit`. NaN never does.
    pub fn keeps(&self, measured: f64, limit: f64) -> bool {
        match self.sense {
            AtMost => measured <= limit,
            AtLeast => measured >= limit,
        }
    }

    /// Values that a limit of this figure can take.
    fn domain(&self) -> (f64, f64) {
        match self.metric {
            Metric::CentredCosine
            | Metric::RawCosine
            | Metric::StableAgreement
            | Metric::FlipProbability
            | Metric::Top10Overlap => (0.0, 1.0),
            _ => (0.0, f64::MAX),
        }
    }
}

const NEVER: usize = 3;

use Sense::{AtLeast, AtMost};

const fn line(
    metric: Metric,
    name: &'static str,
    rule: &'static str,
    unit: &'static str,
    sense: Sense,
    limits: [Option<f64>; 3],
    reason: &'static str,
) -> Line {
    Line { metric, name, rule, unit, sense, limits, reason, advisory_from: NEVER }
}

const TABLE: [Line; 13] = [
    line(
        Metric::MeanKl,
        "mean-kl",
        "mean KL(ref‖test) is at most",
        " nat",
        AtMost,
        [Some(1e-6), Some(1e-3), Some(1e-2)],
        "below q8_0 damage (1.36e-3) for equal numerics and below q5_K_M damage (1.08e-2) for \
         different ones, on llama.cpp's scoreboard; a float-rounding floor for the same engine",
    ),
    line(
        Metric::P99Kl,
        "p99-kl",
        "99 % of positions have a KL of at most",
        " nat",
        AtMost,
        [Some(1e-5), Some(1e-2), Some(0.1)],
        "ten times the mean's limit: for normal noise on the logits p99 is four to five times the mean",
    ),
    line(
        Metric::MaxKl,
        "max-kl",
        "no position has a KL above",
        " nat",
        AtMost,
        [Some(1e-4), Some(0.1), Some(0.5)],
        "one position may be ten (five) times worse than the 99 % quantile before it is a fault of \
         its own",
    ),
    line(
        Metric::P99Nmse,
        "p99-nmse",
        "99 % of positions have a centred NMSE of at most",
        "",
        AtMost,
        [Some(1e-6), Some(1e-3), Some(2e-2)],
        "llama-results allows 1e-6 for the same engine, test-llama-archs 1e-4 and check-nmse 1e-2 \
         across implementations; NMSE 2(1−cos) ties it to the cosine's limits",
    ),
    line(
        Metric::MaxNmse,
        "max-nmse",
        "no position has a centred NMSE above",
        "",
        AtMost,
        [Some(1e-6), Some(1e-2), Some(0.1)],
        "in a long run p99 would leave one position in a hundred unjudged; ten (five) times the \
         quantile's limit, as for the KL",
    ),
    line(
        Metric::CentredCosine,
        "centred-cosine",
        "99 % of positions have a centred cosine of at least",
        "",
        AtLeast,
        [Some(0.999_999), Some(0.999), Some(0.99)],
        "for equal norms NMSE = 2(1−cos): the same faults as NMSE, on the scale people know",
    ),
    line(
        Metric::RawCosine,
        "raw-cosine",
        "every position has a raw cosine of at least",
        "",
        AtLeast,
        [Some(0.99), Some(0.99), Some(0.99)],
        "the contract line users ask for; loose and blind to scale, so it never stands alone",
    ),
    line(
        Metric::Slope,
        "slope",
        "the slope of test on reference logits is not shown to differ from 1 by more than",
        "",
        AtMost,
        [Some(1e-4), Some(0.005), Some(0.02)],
        "catches a wrong scale, which no cosine sees: ×1.3 keeps every cosine at 1",
    ),
    line(
        Metric::LnPplRatio,
        "ln-ppl-ratio",
        "ln(PPL_test/PPL_ref) is not shown, at 99.99 %, to lie further from 0 than",
        "",
        AtMost,
        [Some(1e-5), Some(0.002), Some(0.01)],
        "a bias in one direction, which KL cannot tell from noise; llama.cpp's paired formula, on given \
         text only: the reference's own choices favour it",
    ),
    line(
        Metric::StableAgreement,
        "stable-agreement",
        "greedy choices outside ties agree at a rate of at least",
        "",
        AtLeast,
        [Some(1.0), Some(1.0), Some(0.99)],
        "noise cannot turn a choice whose margin exceeds it; below 1 the limit is on the one-sided \
         95 % Wilson bound, and no difference is allowed where too few positions could reach it",
    ),
    line(
        Metric::FlipProbability,
        "flip-probability",
        "as many tie flips have, under each engine's own noise, a probability of at least",
        "",
        AtLeast,
        [None, Some(0.01), None],
        "single ties are excused one by one; this asks whether noise explains their number",
    ),
    line(
        Metric::TauMax,
        "tau-max",
        "no margin counts as a tie above",
        " nat",
        AtMost,
        [Some(0.25), Some(0.25), Some(0.25)],
        "gaps called near-ties in the wild reached 1.25 nat; however noisy an engine measures \
         itself to be, a quarter of a nat is a preference",
    ),
    Line {
        metric: Metric::Top10Overlap,
        name: "top10-overlap",
        rule: "the mean Jaccard index of the ten best tokens is at least",
        unit: "",
        sense: AtLeast,
        limits: [Some(1.0), Some(0.95), Some(0.85)],
        reason: "the tenth place is decided by near ties, so between engines a breach is only reported",
        advisory_from: 1,
    },
];

/// The table, in the order in which breaches are reported.
pub fn table() -> &'static [Line] {
    &TABLE
}

impl Metric {
    /// The metric's line.
    pub fn line(self) -> &'static Line {
        // The test `every_metric_has_one_line` keeps this lookup total.
        TABLE.iter().find(|line| line.metric == self).unwrap_or(&TABLE[0])
    }
}

/// Why an override was refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ToleranceError {
    /// No such figure.
    #[error("no tolerance is called `{name}`; there are {known}")]
    Unknown {
        /// The name given.
        name: String,
        /// All names.
        known: String,
    },
    /// A number that no limit can be.
    #[error("`{name}` = {value} is not a limit; give a number from {low} to {high}")]
    NotALimit {
        /// The figure.
        name: &'static str,
        /// The number given.
        value: f64,
        /// Smallest sensible limit.
        low: f64,
        /// Largest sensible limit.
        high: f64,
    },
    /// An override beyond the contract's limit.
    #[error(
        "`{name}` = {value} would loosen the contract, which says {limit}; an override may only \
         tighten. Choose a looser contract and say why, or fix the difference"
    )]
    Looser {
        /// The figure.
        name: &'static str,
        /// The number given.
        value: f64,
        /// The limit in force.
        limit: f64,
    },
    /// `policy = "margin"` where the contract forbids flips.
    #[error("contract `{contract}` forbids flips; policy `margin` would loosen it")]
    LooserPolicy {
        /// The contract.
        contract: &'static str,
    },
}

/// A contract, possibly tightened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Wire", into = "Wire")]
#[schemars(with = "Wire")]
pub struct Tolerance {
    contract: Contract,
    policy: Policy,
    limits: BTreeMap<Metric, f64>,
}

impl From<Contract> for Tolerance {
    fn from(contract: Contract) -> Self {
        let limits = TABLE.iter().filter_map(|l| Some((l.metric, l.limit(contract)?))).collect();
        Self { contract, policy: contract.policy(), limits }
    }
}

impl Tolerance {
    /// The contract that this starts from.
    pub fn contract(&self) -> Contract {
        self.contract
    }

    /// What a different greedy choice means.
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// The limit in force; none where neither contract nor override sets one.
    pub fn limit(&self, metric: Metric) -> Option<f64> {
        self.limits.get(&metric).copied()
    }

    /// The same with the limit `name` set to `value`.
    ///
    /// # Errors
    /// An unknown name, a value that is no limit, or one looser than what is in force.
    pub fn tightened(&self, name: &str, value: f64) -> Result<Self, ToleranceError> {
        let Some(line) = TABLE.iter().find(|line| line.name == name) else {
            let known = TABLE.map(|line| line.name).join(", ");
            return Err(ToleranceError::Unknown { name: name.to_owned(), known });
        };
        let (low, high) = line.domain();
        if !(low..=high).contains(&value) {
            return Err(ToleranceError::NotALimit { name: line.name, value, low, high });
        }
        if let Some(limit) = self.limit(line.metric)
            && !line.keeps(value, limit)
        {
            return Err(ToleranceError::Looser { name: line.name, value, limit });
        }
        let mut tightened = self.clone();
        tightened.limits.insert(line.metric, value);
        Ok(tightened)
    }

    /// The same under `policy`.
    ///
    /// # Errors
    /// `margin` where flips are forbidden.
    pub fn with_policy(&self, policy: Policy) -> Result<Self, ToleranceError> {
        if self.policy == Policy::Exact && policy == Policy::Margin {
            return Err(ToleranceError::LooserPolicy { contract: self.contract.name() });
        }
        Ok(Self { policy, ..self.clone() })
    }
}

/// How a tolerance is written to a receipt. Reading goes through [`Tolerance::tightened`], so a
/// receipt cannot carry a looser contract than the table.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Wire {
    contract: Contract,
    policy: Policy,
    limits: BTreeMap<String, f64>,
}

impl From<Tolerance> for Wire {
    fn from(t: Tolerance) -> Self {
        let limits = t.limits.iter().map(|(m, v)| (m.line().name.to_owned(), *v)).collect();
        Self { contract: t.contract, policy: t.policy, limits }
    }
}

impl TryFrom<Wire> for Tolerance {
    type Error = ToleranceError;

    fn try_from(wire: Wire) -> Result<Self, ToleranceError> {
        let start = Self::from(wire.contract).with_policy(wire.policy)?;
        wire.limits.iter().try_fold(start, |t, (name, value)| t.tightened(name, *value))
    }
}

/// The table as Markdown, for the documentation.
pub fn contracts_markdown() -> String {
    let mut out =
        String::from("| name | rule | `self` | `same-numerics` | `cross-numerics` | why |\n");
    out.push_str("|---|---|---|---|---|---|\n");
    for line in &TABLE {
        let sign = if line.sense == AtMost { "≤" } else { "≥" };
        let cells = Contract::ALL.map(|contract| match line.limit(contract) {
            Some(v) if line.advisory(contract) => format!("{sign} {} (reported only)", plain(v)),
            Some(v) => format!("{sign} {}", plain(v)),
            None => "–".to_owned(),
        });
        out.push_str(&format!(
            "| `{}` | {} … | {} | {} |\n",
            line.name,
            line.rule,
            cells.join(" | "),
            line.reason
        ));
    }
    let policies = Contract::ALL.map(|c| match c.policy() {
        Policy::Exact => "`exact`",
        Policy::Margin => "`margin`",
    });
    out.push_str(&format!(
        "| `policy` | a greedy choice that differs … | {} | what the contract means by the same \
         choice |\n",
        policies.join(" | ")
    ));
    out
}

/// A limit as people write it: plain from 0.001 on, scientific below.
pub(super) fn plain(value: f64) -> String {
    if value != 0.0 && value.abs() < 1e-3 { format!("{value:e}") } else { value.to_string() }
}
