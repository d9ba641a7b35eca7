//! Turns outputs of two engines into a verdict: pure functions over slices and numbers that open no
//! file, print nothing and know neither suites nor engines.

mod contract;
#[cfg(test)]
mod controls;
mod error;
mod explain;
mod finding;
mod gate;
pub mod golden;
mod greedy;
mod judge;
mod known_wrong;
mod metrics;
mod noise;
mod perplexity;
mod qualify;
pub mod quantization;
mod recompute;
mod rows;
mod summary;
#[cfg(test)]
mod tests;
mod tokens;
mod tolerance;
mod verdict;

pub use crate::escape::piece as escape_piece;
pub use contract::{Contract, Policy};
#[cfg(test)]
use controls::Control;
pub use error::CompareError;
pub use explain::{damage_in_words, explain, one_line};
pub use finding::{Finding, Path, Rung, Severity};
pub use greedy::{Flip, FreeRun, GreedyReport, Tau, judge_free_run, judge_greedy};
pub use judge::{ParityInput, SelfInput, SelfRequirement, judge, judge_self};
pub use metrics::{NllPair, RowMetrics, SLOPE_TOKENS, TOP_TOKENS, Targets, compare_rows};
pub use noise::{NoisePair, NoiseProfile};
pub use perplexity::{Distribution, Perplexity, SHARES, WithError, perplexity};
pub use qualify::{ControlResult, GateScore, Qualification, qualify};
pub use recompute::{MeasuredPath, Measurements};
pub use rows::Rows;
pub use summary::{Extreme, Rate, Summary, summarise};
pub use tokens::{TokenComparison, TokenDifference, Tokenised, compare_tokens};
pub use tolerance::{Line, Metric, Sense, Tolerance, ToleranceError, contracts_markdown, table};
pub use verdict::{Bounded, PathResult, Verdict, Word};
