//! Percentile bootstrap over clusters. Resamples whole prompts, never single positions: pooled
//! positions are correlated and their bootstrap covers far less than it says.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Rng, Sample, rate::Interval};

/// Below this many clusters the interval is reported as unreliable.
pub const FEW_CLUSTERS: usize = 8;

/// An interval from resampled clusters.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClusterInterval {
    /// The statistic of all clusters.
    pub estimate: f64,
    /// Percentile interval.
    pub interval: Interval,
    /// Number of clusters.
    pub clusters: usize,
    /// Fewer than [`FEW_CLUSTERS`]: do not rely on the interval.
    pub few_clusters: bool,
}

/// Percentile bootstrap of `statistic`, which gets the indices of the drawn clusters.
///
/// None with fewer than two clusters, without a replicate, for a confidence outside `(0, 1)`, or
/// when the statistic is not finite for some draw.
pub fn cluster_bootstrap(
    clusters: usize,
    replicates: usize,
    confidence: f64,
    seed: u64,
    statistic: impl Fn(&[usize]) -> f64,
) -> Option<ClusterInterval> {
    if clusters < 2 || replicates == 0 || !(confidence > 0.0 && confidence < 1.0) {
        return None;
    }
    let mut drawn: Vec<usize> = (0..clusters).collect();
    let estimate = statistic(&drawn);
    let mut rng = Rng::new(seed);
    let mut values = Vec::with_capacity(replicates);
    for _ in 0..replicates {
        drawn.fill_with(|| rng.below(clusters));
        values.push(statistic(&drawn));
    }
    let values = Sample::new(values)?;
    let tail = (1.0 - confidence) / 2.0;
    let interval = Interval { low: values.quantile(tail), high: values.quantile(1.0 - tail) };
    estimate.is_finite().then_some(ClusterInterval {
        estimate,
        interval,
        clusters,
        few_clusters: clusters < FEW_CLUSTERS,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean_of(values: &[f64]) -> impl Fn(&[usize]) -> f64 {
        |drawn| drawn.iter().map(|&i| values[i]).sum::<f64>() / drawn.len() as f64
    }

    #[test]
    fn two_clusters_span_exactly_their_values() {
        // The resampled mean is 1, 2 or 3 with odds ¼, ½, ¼: every 95 % percentile interval is 1…3.
        let got = cluster_bootstrap(2, 2000, 0.95, 1, mean_of(&[1.0, 3.0])).unwrap();
        assert_eq!((got.estimate, got.interval), (2.0, Interval { low: 1.0, high: 3.0 }));
        assert!(got.few_clusters, "two clusters prove little, and the result says so");
    }

    #[test]
    fn width_matches_the_closed_form_for_a_mean() {
        let mut rng = Rng::new(5);
        let values: Vec<f64> = (0..64).map(|_| rng.normal()).collect();
        let got = cluster_bootstrap(64, 4000, 0.95, 9, mean_of(&values)).unwrap();
        let mean = values.iter().sum::<f64>() / 64.0;
        // Sampling with replacement has variance Σ(x−x̄)²/n², and the mean is close to normal.
        let se = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>()).sqrt() / 64.0;
        assert!((got.interval.low - (mean - 1.96 * se)).abs() < 0.15 * se, "{got:?} se {se}");
        assert!((got.interval.high - (mean + 1.96 * se)).abs() < 0.15 * se, "{got:?} se {se}");
        assert!(!got.few_clusters);
    }

    #[test]
    fn covers_correlated_positions_where_pooling_does_not() {
        // 24 prompts × 40 positions, intraclass correlation 0.5, true mean 0.
        let (mut cluster_hits, mut pooled_hits) = (0, 0);
        for trial in 0..100u64 {
            let mut rng = Rng::new(1000 + trial);
            let prompts: Vec<Vec<f64>> = (0..24)
                .map(|_| {
                    let common = rng.normal();
                    (0..40).map(|_| common + rng.normal()).collect()
                })
                .collect();
            let means: Vec<f64> = prompts.iter().map(|p| p.iter().sum::<f64>() / 40.0).collect();
            let pooled: Vec<f64> = prompts.concat();
            let covers = |i: Interval| usize::from(i.low <= 0.0 && 0.0 <= i.high);
            let c = cluster_bootstrap(24, 300, 0.95, trial, mean_of(&means)).unwrap();
            let p = cluster_bootstrap(pooled.len(), 300, 0.95, trial, mean_of(&pooled)).unwrap();
            cluster_hits += covers(c.interval);
            pooled_hits += covers(p.interval);
        }
        assert!(cluster_hits >= 86, "cluster bootstrap covered {cluster_hits} of 100");
        assert!(pooled_hits <= 60, "pooled bootstrap covered {pooled_hits} of 100");
    }

    #[test]
    fn the_seed_fixes_the_result_and_bad_input_gives_none() {
        let values = [0.3, 0.1, 0.9, 0.2, 0.8];
        let run = |seed| cluster_bootstrap(5, 500, 0.9, seed, mean_of(&values)).unwrap();
        assert_eq!(run(4), run(4));
        assert_eq!(cluster_bootstrap(1, 500, 0.9, 4, mean_of(&values)), None);
        assert_eq!(cluster_bootstrap(5, 0, 0.9, 4, mean_of(&values)), None);
        assert_eq!(cluster_bootstrap(5, 500, 0.9, 4, |_| f64::NAN), None);
    }
}
