//! Where two engines part: the first stage, the first operation, and the mistake that explains it.
//!
//! `graph` says which operations there are, `names` what a reference calls their results; `evaluate` computes
//! one operation from captured inputs, `measure`, `hypotheses`, `fit` and `ladder` judge slices. Only `search`,
//! through `question`, asks engines, and only `reproducer` writes files. Nothing here prints.

use serde::{Deserialize, Serialize};

pub mod evaluate;
mod fit;
pub mod graph;
pub mod hypotheses;
pub mod ladder;
pub mod measure;
pub mod names;
mod origin;
mod question;
pub mod report;
pub mod reproducer;
pub mod safetensors;
mod search;
mod tokens;
pub mod vote;

pub use hypotheses::Hypothesis;
pub use ladder::{Ladder, Rung};
pub use measure::Distance;
pub use question::{LocalizeError, Pair, Question};
pub use search::{MOST_POSITIONS, localize};

/// What was found, from the ids to one operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Localization {
    /// The engine under test.
    pub subject: String,
    /// The engine that it is held against.
    pub reference: String,
    /// Positions that were looked at, from the first one.
    pub positions: usize,
    /// Positions that the case has.
    pub positions_of_case: usize,
    /// In short, what was found.
    pub finding: Finding,
    /// Where the engines' ids of the text part.
    pub tokens: Option<TokenDifference>,
    /// Whether capturing changed what is computed.
    pub capture: Capture,
    /// Each stage's output, in order.
    pub profile: Vec<Level>,
    /// The operations of the stages that were looked into, in order of evaluation.
    pub nodes: Vec<Look>,
    /// The operation where a difference begins.
    pub origin: Option<Origin>,
    /// The ladders of ternary products around the origin.
    pub ladders: Vec<Ladder>,
    /// Where the engines part while decoding, looked at where their prefills agree.
    pub decode: Option<DecodeDifference>,
}

/// What kind of difference was found first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finding {
    /// Every tensor that was compared has the same bits, and decoding as well.
    Nothing,
    /// Bits differ, and no operation by more than another order of its sums.
    Rounding,
    /// The ids of the text.
    Tokens,
    /// An operation of the prefill.
    Operation,
    /// The decode path alone.
    Decode,
    /// Stages differ, and no operation that was computed anew stands out.
    Unexplained,
}

/// Where two tokenisations part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TokenDifference {
    /// Index of the first id that differs.
    pub index: usize,
    /// The subject's ids from there on, at most eight.
    pub subject: Vec<u32>,
    /// The reference's.
    pub reference: Vec<u32>,
    /// What explains it.
    pub hypotheses: Vec<Hypothesis>,
}

/// Whether an engine gives the same logits with and without capturing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Capture {
    /// The subject, to the bit.
    pub subject_unchanged: bool,
    /// The reference, to the bit.
    pub reference_unchanged: bool,
}

/// A stage's output in both engines.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Level {
    /// `embedding`, `layer 3`, `head`.
    pub stage: String,
    /// The tensor.
    pub tensor: String,
    /// How far the subject is from the reference; none where the subject has no such tensor.
    pub distance: Option<Distance>,
    /// How far the reference is from itself when it is fed one position less, on the others.
    pub noise: f64,
    /// ln of the growth of the relative distance since the stage before, where both are above 0.
    pub jump: Option<f64>,
    /// Whether the distance is above the floor.
    pub flagged: bool,
}

/// One operation in both engines.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Look {
    /// `embedding`, `layer 3`, `head`.
    pub stage: String,
    /// The result, by our name.
    pub tensor: String,
    /// What is computed.
    pub operation: String,
    /// Subject against reference, inherited differences included.
    pub distance: Option<Distance>,
    /// The subject against this operation on its own inputs: what it adds.
    pub subject: Local,
    /// The same for the reference.
    pub reference: Local,
}

/// An engine's result against the operation computed anew from its own inputs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Local {
    /// Computed.
    Computed(Distance),
    /// Not computed, for this reason.
    NotComputed(String),
}

impl Local {
    /// The distance, where it was computed.
    pub fn distance(&self) -> Option<&Distance> {
        match self {
            Local::Computed(distance) => Some(distance),
            Local::NotComputed(_) => None,
        }
    }
}

/// Who stands alone at an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Alone {
    /// The subject: the reference and the operation computed anew agree.
    Subject,
    /// The reference: the subject and the operation computed anew agree.
    Reference,
    /// Nobody: all three differ, or the operation was not computed anew.
    Undecided,
}

/// The operation where a difference begins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Origin {
    /// `embedding`, `layer 3`, `head`.
    pub stage: String,
    /// The layer, where it is one.
    pub layer: Option<usize>,
    /// The result, by our name.
    pub tensor: String,
    /// What is computed.
    pub operation: String,
    /// Who is wrong, by the vote of subject, reference and the operation computed anew.
    pub alone: Alone,
    /// Worst position and column.
    pub worst: (usize, usize),
    /// What was found, in a sentence.
    pub words: String,
    /// Mistakes that explain it, best first.
    pub hypotheses: Vec<Hypothesis>,
}

/// What an operation's reproducer is made of: rows at some positions.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Evidence {
    /// Name of the tensor, and the operation in words.
    pub origin: Option<(String, String)>,
    /// The ids that were fed.
    pub ids: Vec<u32>,
    /// Positions of the rows.
    pub positions: Vec<usize>,
    /// Name, values of one position and rows: the reference's inputs, `expected` and `actual`.
    pub tensors: Vec<(String, usize, Vec<f32>)>,
}

/// Where decoding leaves prefill.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct DecodeDifference {
    /// First position whose logits differ between the engines.
    pub position: usize,
    /// How far all logits are apart from there on.
    pub distance: Distance,
    /// Whether the subject's decode path agrees with its own prefill, to the bit.
    pub subject_consistent: bool,
    /// Whether the reference's does.
    pub reference_consistent: bool,
    /// Mistakes that explain it, best first.
    pub hypotheses: Vec<Hypothesis>,
}

impl Localization {
    /// Whether a divergence was found.
    pub fn diverges(&self) -> bool {
        !matches!(self.finding, Finding::Nothing | Finding::Rounding)
    }
}
