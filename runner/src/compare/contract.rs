//! The three numeric contracts and what each means beyond its ceilings, which are in the table of
//! `tolerance`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which differences between two engines are legitimate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Contract {
    /// The same engine on the same shapes: other build, threads or run.
    #[serde(rename = "self")]
    Itself,
    /// The same file and the same rule for quantising activations.
    SameNumerics,
    /// Other activation quantisation or other arithmetic for the same weights.
    CrossNumerics,
}

impl Contract {
    /// All contracts, strictest first: the columns of the table.
    pub const ALL: [Self; 3] = [Self::Itself, Self::SameNumerics, Self::CrossNumerics];

    /// The name in suite files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Itself => "self",
            Self::SameNumerics => "same-numerics",
            Self::CrossNumerics => "cross-numerics",
        }
    }

    /// What a difference in a greedy choice means unless a case says otherwise. The same engine on
    /// the same shapes has no noise to excuse a flip with.
    pub fn policy(self) -> Policy {
        match self {
            Self::Itself => Policy::Exact,
            Self::SameNumerics | Self::CrossNumerics => Policy::Margin,
        }
    }

    /// Whether a constant shift of all logits, which softmax cannot see, is excused in the raw
    /// cosine. One engine has no reason to shift its own logits.
    pub fn excuses_shift(self) -> bool {
        self != Self::Itself
    }

    /// Whether results are also held against the reference's own noise. Between different numerics
    /// the difference is not noise, so the comparison would always warn.
    pub fn warns_of_drift(self) -> bool {
        self == Self::SameNumerics
    }

    /// Whether a tie is a margin within measured noise; otherwise it is a margin within the ceiling.
    pub fn ties_are_noise(self) -> bool {
        self != Self::CrossNumerics
    }
}

/// What happens when a greedy choice differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// A choice may differ where the reference's margin is within noise.
    Margin,
    /// No choice may differ.
    Exact,
}
