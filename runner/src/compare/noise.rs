//! How much an engine differs from itself. The only source of the noise that may excuse a flipped
//! greedy choice: the difference between two engines is never used, because a flip itself makes that
//! difference as large as the margin it would be excused by.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    CompareError, Rows, Targets, compare_rows,
    metrics::TOP_TOKENS,
    rows::{key_id, select_top},
};
use crate::stats::{MAD_TO_SIGMA, Sample, z_two_sided};

const PAIR_TOKENS: usize = 8;

/// The self-noise of one engine under one perturbation that should not matter, such as feeding the
/// same ids at once or one by one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoiseProfile {
    /// Positions measured.
    pub rows: usize,
    /// Of them, positions that came out equal bit by bit.
    pub bit_equal_rows: usize,
    /// `1.4826 · MAD` of the centred differences of each row's best 64 tokens, in nats.
    pub mad_sigma: f64,
    /// 99.9 % quantile of `|δ_a − δ_b|` over the pairs of each row's best 8 tokens.
    pub pair_p999: f64,
    /// 99 % quantile of the KL.
    pub p99_kl: f64,
    /// 99 % quantile of the centred NMSE.
    pub p99_nmse: f64,
}

impl NoiseProfile {
    /// Measures `again` against `once`: the same ids through two paths of one engine.
    ///
    /// # Errors
    /// Whatever makes the two incomparable; see [`compare_rows`].
    pub fn measure(once: &Rows<'_>, again: &Rows<'_>) -> Result<Self, CompareError> {
        let metrics = compare_rows(once, again, &Targets::chosen(&vec![0; once.len()]))?;
        let mut keys = Vec::new();
        let mut single = Vec::with_capacity(once.len() * TOP_TOKENS);
        let mut pairs = Vec::with_capacity(once.len() * PAIR_TOKENS * (PAIR_TOKENS - 1) / 2);
        for (row, metrics) in metrics.iter().enumerate() {
            let (a, b) = (once.row(row), again.row(row));
            select_top(a, TOP_TOKENS, &mut keys);
            keys.sort_unstable();
            let gaps: Vec<f64> = keys
                .iter()
                .map(|key| key_id(*key) as usize)
                .map(|id| f64::from(b[id]) - f64::from(a[id]) - metrics.mean_shift)
                .collect();
            for (i, first) in gaps.iter().take(PAIR_TOKENS).enumerate() {
                pairs.extend(gaps.iter().take(i).map(|second| (first - second).abs()));
            }
            single.extend(gaps);
        }
        let column = |values: Vec<f64>| {
            Sample::new(values).ok_or_else(|| CompareError::Empty { what: once.label().to_owned() })
        };
        Ok(Self {
            rows: metrics.len(),
            bit_equal_rows: metrics.iter().filter(|m| m.bit_equal).count(),
            mad_sigma: MAD_TO_SIGMA * column(single)?.mad(),
            pair_p999: column(pairs)?.quantile(0.999),
            p99_kl: column(metrics.iter().map(|m| m.kl).collect())?.quantile(0.99),
            p99_nmse: column(metrics.iter().map(|m| m.nmse).collect())?.quantile(0.99),
        })
    }

    /// Standard deviation of one logit, in nats.
    ///
    /// The larger of the MAD's estimate and of the one that a normal distribution with this 99.9 %
    /// quantile of pairs would have. Rounding activations to int8 makes noise of many rows without
    /// any and a few with much: there the MAD alone is 0.
    pub fn sigma(&self) -> f64 {
        self.mad_sigma.max(self.pair_p999 / (z_two_sided(0.999) * std::f64::consts::SQRT_2))
    }
}

/// The self-noise of both engines.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoisePair {
    /// The reference against itself.
    pub reference: NoiseProfile,
    /// The test against itself.
    pub test: NoiseProfile,
}
