//! The rules that one operation can be computed by: those of the models, and those that a faulty engine may
//! have instead. It computes nothing.

use bitnet_engine::model::Activation;

/// How queries, keys and values become a head's output.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AttentionRule {
    /// What scores are multiplied with.
    pub scale: f32,
    /// How many positions beyond its own a query sees; negative, how many it does not see.
    pub ahead: isize,
    /// Which KV head a query head reads.
    pub grouping: Grouping,
    /// A slot of the cache that holds what another one should: (slot, read instead).
    pub stale: Option<(usize, usize)>,
    /// Whether the weights are rounded to f16 in front of the values.
    pub narrow: bool,
}

/// Which KV head the query heads read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grouping {
    /// Neighbours share one: the rule of every architecture here.
    Neighbours,
    /// Every n-th head shares one.
    Strided,
    /// All read the first.
    First,
}

/// The gate's function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GateRule {
    /// One of the engine's.
    Known(Activation),
    /// max(x, 0) without the square.
    Relu,
    /// x · Φ(x) by its tanh form.
    Gelu,
    /// x as it is.
    Linear,
}

/// How a value becomes an int8 code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rounding {
    /// To the nearest, halves to even: the rule.
    NearestEven,
    /// To the nearest, halves away from zero.
    NearestAway,
    /// Towards zero.
    Truncate,
    /// Down.
    Floor,
}

/// int8 codes of one row, and what they were scaled with.
#[derive(Debug, Clone, PartialEq)]
pub struct Codes {
    /// The codes.
    pub codes: Vec<i8>,
    /// 127 / absmax.
    pub scale: f32,
}
