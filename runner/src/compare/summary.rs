//! Aggregates the figures of positions into those of a run. Pure over [`RowMetrics`], so that a
//! summary can be computed again from its rows; it holds no limit.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::RowMetrics;
use crate::stats::{Interval, PairedMean, Sample, ln_perplexity_ratio, wilson, z_two_sided};

/// How many standard errors a slope must lie from 1 before the distance counts as shown.
const SLOPE_ERRORS: f64 = 4.0;

/// A value and the position it was found at (the first one of equals).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Extreme {
    /// The value.
    pub value: f64,
    /// Its position.
    pub position: usize,
}

/// A count of successes with its two-sided 95 % Wilson interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Successes.
    pub hits: usize,
    /// Trials, at least one.
    pub of: usize,
    /// Wilson interval of the rate.
    pub interval: Interval,
}

impl Rate {
    /// None without a trial: nothing was tested.
    pub fn new(hits: usize, of: usize) -> Option<Self> {
        wilson(hits, of, z_two_sided(0.95)).map(|interval| Self { hits, of, interval })
    }
}

/// The figures of all compared positions. Quantiles are type 7; with `n` rows the maximum is about
/// the `1 − 1/n` quantile, and p99 of fewer than 100 rows lies close to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// Positions compared.
    pub rows: usize,
    /// Of them, positions whose logits are equal bit by bit.
    pub bit_equal_rows: usize,
    /// Mean `KL(ref‖test)`, nats.
    pub mean_kl: f64,
    /// 99 % quantile of the KL.
    pub p99_kl: f64,
    /// Largest KL.
    pub max_kl: Extreme,
    /// 1 % quantile of the centred cosine.
    pub p1_centred_cosine: f64,
    /// Smallest centred cosine.
    pub min_centred_cosine: Extreme,
    /// Smallest raw cosine: the contract line.
    pub min_raw_cosine: Extreme,
    /// Smallest raw cosine once a constant shift is taken off.
    pub min_unshifted_cosine: Extreme,
    /// Mean shift of the logits with the largest size.
    pub max_shift: Extreme,
    /// 99 % quantile of the centred NMSE.
    pub p99_nmse: f64,
    /// Largest centred NMSE.
    pub max_nmse: Extreme,
    /// Mean slope.
    pub mean_slope: f64,
    /// Smallest slope.
    pub min_slope: Extreme,
    /// Largest slope.
    pub max_slope: Extreme,
    /// How far a slope is shown to lie from 1: the larger of the mean slope's and the worst
    /// position's distance, each less four of its standard errors.
    pub slope_shown: Extreme,
    /// Largest total variation.
    pub max_total_variation: Extreme,
    /// Largest gap of a log probability among the best 64 tokens.
    pub max_ln_p_gap: Extreme,
    /// Positions where both sides prefer the same token.
    pub top1: Rate,
    /// Mean Jaccard index of the best 10 tokens.
    pub mean_top10_overlap: f64,
    /// `ln(PPL_test/PPL_ref)` on given text, that is without the reference's own choices; none when
    /// no row is followed by text.
    pub ln_ppl_ratio: Option<PairedMean>,
}

/// None without rows, or when a figure is not finite (rows read from a damaged file).
pub fn summarise(rows: &[RowMetrics]) -> Option<Summary> {
    let column = |figure: fn(&RowMetrics) -> f64| Sample::new(rows.iter().map(figure).collect());
    let mean =
        |figure: fn(&RowMetrics) -> f64| rows.iter().map(figure).sum::<f64>() / rows.len() as f64;
    let kl = column(|r| r.kl)?;
    let nmse = column(|r| r.nmse)?;
    let cosine = column(|r| r.centred_cosine)?;
    let agreeing = rows.iter().filter(|r| r.reference_top == r.test_top).count();
    let nll: Vec<f64> = rows
        .iter()
        .filter_map(|r| r.nll)
        .filter(|n| n.text)
        .map(|n| n.test - n.reference)
        .collect();
    if nll.iter().any(|gap| !gap.is_finite()) {
        return None;
    }
    Some(Summary {
        rows: rows.len(),
        bit_equal_rows: rows.iter().filter(|r| r.bit_equal).count(),
        mean_kl: mean(|r| r.kl),
        p99_kl: kl.quantile(0.99),
        max_kl: largest(rows, |r| r.kl)?,
        p1_centred_cosine: cosine.quantile(0.01),
        min_centred_cosine: smallest(rows, |r| r.centred_cosine)?,
        min_raw_cosine: smallest(rows, |r| r.raw_cosine)?,
        min_unshifted_cosine: smallest(rows, |r| r.unshifted_cosine)?,
        max_shift: largest_size(rows, |r| r.mean_shift)?,
        p99_nmse: nmse.quantile(0.99),
        max_nmse: largest(rows, |r| r.nmse)?,
        mean_slope: mean(|r| r.slope),
        min_slope: smallest(rows, |r| r.slope)?,
        max_slope: largest(rows, |r| r.slope)?,
        slope_shown: slope_shown(rows)?,
        max_total_variation: largest(rows, |r| r.total_variation)?,
        max_ln_p_gap: largest(rows, |r| r.max_ln_p_gap)?,
        top1: Rate::new(agreeing, rows.len())?,
        mean_top10_overlap: mean(|r| r.top10_overlap),
        ln_ppl_ratio: if nll.is_empty() { None } else { ln_perplexity_ratio(&[&nll]) },
    })
}

/// The distance of one position's slope from 1, less four standard errors.
pub(super) fn row_slope_shown(row: &RowMetrics) -> f64 {
    ((row.slope - 1.0).abs() - SLOPE_ERRORS * row.slope_error).max(0.0)
}

/// A slope fitted on noisy logits scatters by its standard error, and the worst of many rows by
/// several; judging the bare extreme would fail noise that every other ceiling allows. The mean pools
/// what single rows cannot show: a small scale error at every position.
fn slope_shown(rows: &[RowMetrics]) -> Option<Extreme> {
    let worst = largest(rows, row_slope_shown)?;
    let n = rows.len() as f64;
    let mean = rows.iter().map(|r| r.slope).sum::<f64>() / n;
    let error = rows.iter().map(|r| r.slope_error * r.slope_error).sum::<f64>().sqrt() / n;
    let pooled = ((mean - 1.0).abs() - SLOPE_ERRORS * error).max(0.0);
    Some(if pooled > worst.value { Extreme { value: pooled, ..worst } } else { worst })
}

fn largest(rows: &[RowMetrics], figure: impl Fn(&RowMetrics) -> f64) -> Option<Extreme> {
    let mut best: Option<Extreme> = None;
    for row in rows {
        let value = figure(row);
        if !value.is_finite() {
            return None;
        }
        if best.is_none_or(|b| value > b.value) {
            best = Some(Extreme { value, position: row.position });
        }
    }
    best
}

fn smallest(rows: &[RowMetrics], figure: impl Fn(&RowMetrics) -> f64) -> Option<Extreme> {
    largest(rows, |r| -figure(r)).map(|e| Extreme { value: -e.value, ..e })
}

fn largest_size(rows: &[RowMetrics], figure: impl Fn(&RowMetrics) -> f64) -> Option<Extreme> {
    let worst = largest(rows, |r| figure(r).abs())?;
    let row = rows.iter().find(|r| r.position == worst.position)?;
    Some(Extreme { value: figure(row), ..worst })
}
