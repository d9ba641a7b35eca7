//! The figures of a comparison that a receipt prints at its top: derived from a verdict's measurements,
//! so that anyone with the receipt can recompute them. It gives no verdict.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::compare::{FreeRun, GreedyReport, Path, Rate, Summary, Verdict, damage_in_words};
use crate::stats::{PairedMean, wilson, z_one_sided};

/// Figures of a comparison; where there are several paths, the worst of them unless it says otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ParityMetrics {
    /// Smallest raw cosine of a position, `r·t / (‖r‖‖t‖)`: the contract line.
    pub cosine_similarity: f64,
    /// Smallest centred cosine of a position.
    pub min_centred_cosine: f64,
    /// Mean `KL(ref‖test)`, nats.
    pub mean_kl: f64,
    /// 99 % quantile of the KL, nats.
    pub p99_kl: f64,
    /// Largest KL, nats.
    pub max_kl: f64,
    /// Largest centred NMSE.
    pub max_nmse: f64,
    /// The mean KL on llama.cpp's scale of quantisation damage.
    pub damage: String,
    /// Rows compared, over all paths.
    pub rows: usize,
    /// Of them, rows whose logits are equal bit by bit.
    pub bit_equal_rows: usize,
    /// Positions where both prefer the same token, of the first path, which covers every position; with
    /// its two-sided 95 % Wilson interval.
    pub top1: Rate,
    /// The agreement that `top1` certifies: the one-sided 95 % Wilson bound.
    pub certified_agreement: f64,
    /// `ln(PPL_test/PPL_ref)` on given text, with its paired error; none without given text.
    pub ln_ppl_ratio: Option<PairedMean>,
    /// Choices that differ within τ, over all paths.
    pub tie_flips: usize,
    /// Choices that differ beyond τ, over all paths.
    pub hard_flips: usize,
    /// Every figure of every path.
    pub paths: Vec<PathMetrics>,
    /// The subject's own continuation against the reference's.
    pub free_run: Option<FreeRun>,
}

/// Every figure of one path.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PathMetrics {
    /// Which path.
    pub path: Path,
    /// Over its positions.
    pub summary: Summary,
    /// Its greedy choices.
    pub greedy: GreedyReport,
}

impl ParityMetrics {
    /// The figures of `verdict`; none where nothing was compared.
    pub fn of(verdict: &Verdict) -> Option<Self> {
        let summaries = || verdict.paths.iter().map(|p| &p.summary);
        let first = summaries().next()?;
        let largest = |figure: fn(&Summary) -> f64| summaries().map(figure).fold(0.0, f64::max);
        let smallest = |figure: fn(&Summary) -> f64| summaries().map(figure).fold(1.0, f64::min);
        let mean_kl = largest(|s| s.mean_kl);
        let bound = wilson(first.top1.hits, first.top1.of, z_one_sided(0.95))?;
        Some(Self {
            cosine_similarity: smallest(|s| s.min_raw_cosine.value),
            min_centred_cosine: smallest(|s| s.min_centred_cosine.value),
            mean_kl,
            p99_kl: largest(|s| s.p99_kl),
            max_kl: largest(|s| s.max_kl.value),
            max_nmse: largest(|s| s.max_nmse.value),
            damage: damage_in_words(mean_kl),
            rows: summaries().map(|s| s.rows).sum(),
            bit_equal_rows: summaries().map(|s| s.bit_equal_rows).sum(),
            top1: first.top1,
            certified_agreement: bound.low,
            ln_ppl_ratio: first.ln_ppl_ratio,
            tie_flips: verdict.paths.iter().map(|p| p.greedy.tie_flips).sum(),
            hard_flips: verdict.paths.iter().map(|p| p.greedy.hard_flips).sum(),
            paths: verdict
                .paths
                .iter()
                .map(|p| PathMetrics {
                    path: p.path,
                    summary: p.summary.clone(),
                    greedy: p.greedy.clone(),
                })
                .collect(),
            free_run: verdict.free_run.clone(),
        })
    }
}
