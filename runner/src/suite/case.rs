//! Validated suites and cases: whatever is here kept every rule of `docs/suite-format.md`.
//!
//! No engine and no file of a model is named here; a model is an id of `models.toml`.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::bench::Bench;
use super::damage::Damage;
use super::quantization::{KnownTypes, Quantization};

pub use crate::manifest::Tier;

/// The cases of one file.
#[derive(Debug, Clone, PartialEq)]
pub struct Suite {
    /// Stem of the file.
    pub name: String,
    /// Path of the file, as it was found.
    pub path: PathBuf,
    /// SHA-256 of the bytes that were parsed, in lower-case hex.
    pub sha256: String,
    /// What every case of the file is.
    pub kind: Kind,
    /// What the suite is about and what to suspect when it fails.
    pub analysis: String,
    /// At least one case, in the order of the file.
    pub cases: Vec<Case>,
}

/// What a case checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Ids, logits and greedy continuation against a reference.
    Parity,
    /// Text to ids and back against a reference.
    Tokenizer,
    /// The subject against itself under another way of computing.
    Metamorphic,
    /// A damaged model that must be refused.
    Reject,
    /// A matrix through a tensor type of the subject and back, and its product.
    Quantization,
    /// The subject's speed against a reference's; timed by `parity bench` alone.
    Bench,
}

impl Kind {
    /// All kinds, in the order of the reference.
    pub const ALL: [Self; 6] = [
        Self::Parity,
        Self::Tokenizer,
        Self::Metamorphic,
        Self::Reject,
        Self::Quantization,
        Self::Bench,
    ];

    /// The word of the file and of ids.
    pub fn name(self) -> &'static str {
        match self {
            Self::Parity => "parity",
            Self::Tokenizer => "tokenizer",
            Self::Metamorphic => "metamorphic",
            Self::Reject => "reject",
            Self::Quantization => "quantization",
            Self::Bench => "bench",
        }
    }

    /// Whether a case of this kind is compared with a reference.
    pub fn asks_reference(self) -> bool {
        matches!(self, Self::Parity | Self::Tokenizer | Self::Bench)
    }

    /// Whether a case of this kind opens a model.
    pub fn opens_model(self) -> bool {
        self != Self::Quantization
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One case with its variants.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// Name, unique in its suite.
    pub name: String,
    /// Line of the file (from 1) where the case begins, for `file:line` in reports.
    pub line: usize,
    /// What the case is for, if the file says so.
    pub analysis: Option<String>,
    /// Id in `models.toml`, for the kinds that open a model.
    pub model: Option<String>,
    /// Names of the references that the model's entry lists, for the kinds that ask one; each has a
    /// trial of its own.
    pub references: Vec<String>,
    /// When it runs.
    pub tier: Tier,
    /// Set if the case passes only while it fails.
    pub known_failure: Option<KnownFailure>,
    /// Limit for one answer of the reference; the runner's own limit if none. The engine under test
    /// runs inside the runner and has no limit.
    pub timeout: Option<Duration>,
    /// One trial each; a single empty variant if the file names none.
    pub variants: Vec<Variant>,
    /// What is checked.
    pub check: Check,
}

/// Why a case is expected to fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownFailure {
    /// The reason.
    pub why: String,
    /// Number of the issue that tracks it.
    pub issue: u32,
}

/// How one trial of a case computes; none leaves the choice to the runner.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Variant {
    /// Compute threads.
    pub threads: Option<usize>,
    /// Instruction set, by its name in `isa`.
    pub isa: Option<String>,
}

impl Variant {
    /// The last part of a trial's id: `threads-2`, `isa-avx2`, `threads-2-isa-avx2`.
    pub fn suffix(&self) -> Option<String> {
        let threads = self.threads.map(|n| format!("threads-{n}"));
        let isa = self.isa.as_ref().map(|isa| format!("isa-{isa}"));
        match (threads, isa) {
            (Some(threads), Some(isa)) => Some(format!("{threads}-{isa}")),
            (one, other) => one.or(other),
        }
    }
}

/// What a case checks, by kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Check {
    /// See [`Kind::Parity`].
    Parity(Parity),
    /// See [`Kind::Tokenizer`].
    Tokenizer(Tokenizer),
    /// See [`Kind::Metamorphic`].
    Metamorphic(Metamorphic),
    /// See [`Kind::Reject`].
    Reject(Reject),
    /// See [`Kind::Quantization`].
    Quantization(Quantization),
    /// See [`Kind::Bench`].
    Bench(Bench),
}

/// What an engine starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prompt {
    /// Text, from the case itself or already read from its file; never empty.
    Text(String),
    /// Ids, used as they stand; never empty, each fits an `i32`.
    Tokens(Vec<u32>),
}

/// Which special ids tokenising adds and recognises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpecialTokens {
    /// Add BOS, and EOS where the model asks for it.
    pub add: bool,
    /// Read special pieces in the text as their ids.
    pub parse: bool,
}

/// Ids, logits and greedy continuation against a reference.
#[derive(Debug, Clone, PartialEq)]
pub struct Parity {
    /// What both engines start from.
    pub prompt: Prompt,
    /// How text becomes ids.
    pub special: SpecialTokens,
    /// Greedy steps; 0 compares the prompt's logits only.
    pub steps: usize,
    /// How near the logits must be.
    pub tolerance: Tolerance,
    /// What a first differing greedy id means.
    pub greedy: GreedyPolicy,
}

/// Text to ids and back against a reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokenizer {
    /// At least one text, each compared on its own; a text may be empty.
    pub texts: Vec<String>,
    /// How text becomes ids.
    pub special: SpecialTokens,
}

/// The subject against itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Metamorphic {
    /// What is computed.
    pub prompt: Prompt,
    /// How text becomes ids.
    pub special: SpecialTokens,
    /// What must not change the logits.
    pub relation: Relation,
    /// How near the logits must be; [`Relation::RepeatRun`] and [`Relation::FreshCache`] demand
    /// equal bits whatever it says.
    pub tolerance: Tolerance,
}

/// What must not change the logits at any position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Relation {
    /// One batch gives what one id at a time through the KV cache gives.
    PrefillEqualsSteps,
    /// The same request twice gives the same bits.
    RepeatRun,
    /// The first half of the ids alone gives the first rows of the whole.
    CausalPrefix,
    /// A model that has just computed `after` gives the bits that a newly opened one gives.
    FreshCache {
        /// The earlier prompt; never empty.
        after: String,
    },
    /// Each number of threads gives what the first one gives; at least two.
    Threads(Vec<usize>),
    /// Each instruction set gives what the first one gives; at least two.
    Isa(Vec<String>),
}

/// A damaged model that must be refused.
#[derive(Debug, Clone, PartialEq)]
pub struct Reject {
    /// What is done to a copy of the model.
    pub damage: Damage,
    /// Text that the refusal must contain; never empty.
    pub expect_error: String,
}

/// What a first differing greedy id means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GreedyPolicy {
    /// The reference's margin between the two choices decides between a tie and a divergence.
    Margin,
    /// Any difference fails.
    Exact,
}

/// What the suite format has to ask others: figures are `compare`'s, types the engine's.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    /// The limits of a tolerance class; a case may only tighten them.
    pub ceilings: fn(ToleranceClass) -> ToleranceOverrides,
    /// The types of kind `quantization` and their limits, likewise.
    pub types: KnownTypes,
}

/// A numeric contract; the figures behind the names belong to `compare`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ToleranceClass {
    /// The same engine with the same shapes.
    Self_,
    /// Another engine, the same file and the same rule for activations.
    SameNumerics,
    /// Another engine whose arithmetic differs by design.
    CrossNumerics,
}

impl ToleranceClass {
    /// All classes, tightest first.
    pub const ALL: [Self; 3] = [Self::Self_, Self::SameNumerics, Self::CrossNumerics];

    /// The word of the file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Self_ => "self",
            Self::SameNumerics => "same-numerics",
            Self::CrossNumerics => "cross-numerics",
        }
    }
}

/// A class, with the ceilings that the case makes tighter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tolerance {
    /// The contract.
    pub class: ToleranceClass,
    /// Only those that the case states.
    pub tightened: ToleranceOverrides,
}

/// Limits by metric; none leaves the metric to the class, or means that the class does not limit
/// it. Every stated value is finite and not negative.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ToleranceOverrides {
    /// Ceiling of the mean KL(reference‖test), nats.
    pub mean_kl: Option<f64>,
    /// Ceiling of the 99th percentile of KL, nats.
    pub p99_kl: Option<f64>,
    /// Ceiling of the largest KL of a position, nats.
    pub max_kl: Option<f64>,
    /// Ceiling of the 99th percentile of the centred NMSE.
    pub p99_nmse: Option<f64>,
    /// Ceiling of the largest centred NMSE of a position.
    pub max_nmse: Option<f64>,
    /// Floor of the raw cosine similarity.
    pub min_raw_cosine: Option<f64>,
    /// Floor of the first percentile of the centred cosine.
    pub min_centred_cosine: Option<f64>,
    /// Ceiling of |1 − slope| of the test's logits on the reference's.
    pub max_slope_deviation: Option<f64>,
    /// Ceiling of |ln of the ratio of perplexities|.
    pub max_ln_perplexity_ratio: Option<f64>,
}

/// Which side of a limit is the good one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// The figure must not be above.
    Ceiling,
    /// The figure must not be below.
    Floor,
}

impl ToleranceOverrides {
    /// Every limit with its key in the file and its direction.
    pub fn entries(&self) -> [(&'static str, Bound, Option<f64>); 9] {
        use Bound::{Ceiling, Floor};
        [
            ("mean-kl", Ceiling, self.mean_kl),
            ("p99-kl", Ceiling, self.p99_kl),
            ("max-kl", Ceiling, self.max_kl),
            ("p99-nmse", Ceiling, self.p99_nmse),
            ("max-nmse", Ceiling, self.max_nmse),
            ("min-raw-cosine", Floor, self.min_raw_cosine),
            ("min-centred-cosine", Floor, self.min_centred_cosine),
            ("max-slope-deviation", Ceiling, self.max_slope_deviation),
            ("max-ln-perplexity-ratio", Ceiling, self.max_ln_perplexity_ratio),
        ]
    }

    /// Keys whose value is looser than the class's own limit, with that limit.
    pub fn looser_than(&self, class: &Self) -> Vec<(&'static str, f64)> {
        self.entries()
            .into_iter()
            .zip(class.entries())
            .filter_map(|((key, bound, asked), (_, _, limit))| {
                let (asked, limit) = (asked?, limit?);
                let looser = match bound {
                    Bound::Ceiling => asked > limit,
                    Bound::Floor => asked < limit,
                };
                looser.then_some((key, limit))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_name_what_varies() {
        let variant = |threads, isa: Option<&str>| Variant { threads, isa: isa.map(str::to_owned) };
        assert_eq!(variant(None, None).suffix(), None);
        assert_eq!(variant(Some(2), None).suffix().as_deref(), Some("threads-2"));
        assert_eq!(variant(None, Some("avx2")).suffix().as_deref(), Some("isa-avx2"));
        assert_eq!(variant(Some(2), Some("avx2")).suffix().as_deref(), Some("threads-2-isa-avx2"));
    }

    #[test]
    fn limits_may_only_be_tightened() {
        let class = ToleranceOverrides {
            mean_kl: Some(1e-3),
            min_raw_cosine: Some(0.99),
            ..Default::default()
        };
        let same = class;
        assert_eq!(same.looser_than(&class), []);
        let tighter = ToleranceOverrides {
            mean_kl: Some(0.0),
            min_raw_cosine: Some(0.999),
            max_nmse: Some(7.0), // the class has no such limit: any is tighter
            ..Default::default()
        };
        assert_eq!(tighter.looser_than(&class), []);
        let looser = ToleranceOverrides {
            mean_kl: Some(2e-3),
            min_raw_cosine: Some(0.9),
            ..Default::default()
        };
        assert_eq!(looser.looser_than(&class), [("mean-kl", 1e-3), ("min-raw-cosine", 0.99)]);
    }
}
