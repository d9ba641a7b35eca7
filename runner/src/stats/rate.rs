//! Rates with Wilson intervals and the normal distribution behind them. Never Wald: at k = n its
//! width is zero.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, Normal};

/// A closed interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// `Φ(x)`, the standard normal distribution function.
pub fn normal_cdf(x: f64) -> f64 {
    Normal::standard().cdf(x)
}

/// The z that leaves `1 − confidence` above it: 1.645 for 0.95.
pub fn z_one_sided(confidence: f64) -> f64 {
    Normal::standard().inverse_cdf(confidence)
}

/// The z that leaves `1 − confidence` outside ±z: 1.960 for 0.95.
pub fn z_two_sided(confidence: f64) -> f64 {
    Normal::standard().inverse_cdf(0.5 + confidence / 2.0)
}

/// Wilson's score interval for `successes` of `trials` (Wilson 1927):
/// `(p̂ + z²/2n ± z·√(p̂(1−p̂)/n + z²/4n²)) / (1 + z²/n)`.
///
/// None without a trial (nothing was tested) or with more successes than trials.
pub fn wilson(successes: usize, trials: usize, z: f64) -> Option<Interval> {
    if trials == 0 || successes > trials {
        return None;
    }
    let n = trials as f64;
    let rate = successes as f64 / n;
    let z2 = z * z;
    let shrink = 1.0 + z2 / n;
    let centre = (rate + z2 / (2.0 * n)) / shrink;
    let half = z / shrink * (rate * (1.0 - rate) / n + z2 / (4.0 * n * n)).sqrt();
    // The ends are exact at the borders; rounding must not put 1.0000000000000002 into a report.
    let low = if successes == 0 { 0.0 } else { centre - half };
    let high = if successes == trials { 1.0 } else { centre + half };
    Some(Interval { low, high })
}

/// How many trials without a single miss put the Wilson lower bound at `rate` or above:
/// `⌈z²·rate/(1−rate)⌉`. None unless `rate` is in `[0, 1)`.
pub fn certifying_count(rate: f64, z: f64) -> Option<usize> {
    (0.0..1.0).contains(&rate).then(|| (z * z * rate / (1.0 - rate)).ceil() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn z_values_are_those_of_the_table() {
        assert!((z_one_sided(0.95) - 1.644_853_6).abs() < 1e-6);
        assert!((z_two_sided(0.95) - 1.959_964_0).abs() < 1e-6);
        assert!((normal_cdf(-1.959_963_985) - 0.025).abs() < 1e-9);
    }

    #[test]
    fn wilson_matches_published_intervals() {
        // Newcombe 1998, table I (score method, 95 %): 81/263, 15/148, 0/20, 1/29.
        for (k, n, low, high) in [
            (81, 263, 0.2553, 0.3662),
            (15, 148, 0.0624, 0.1605),
            (0, 20, 0.0, 0.1611),
            (1, 29, 0.0061, 0.1718),
        ] {
            let got = wilson(k, n, z_two_sided(0.95)).unwrap();
            assert!(
                (got.low - low).abs() < 6e-5 && (got.high - high).abs() < 6e-5,
                "{k}/{n}: {got:?}"
            );
        }
    }

    #[test]
    fn wilson_without_a_miss_is_n_over_n_plus_z2() {
        let z = z_one_sided(0.95);
        let got = wilson(64, 64, z).unwrap();
        assert!((got.low - 64.0 / (64.0 + z * z)).abs() < 1e-12);
        assert_eq!((got.low * 1000.0).floor(), 959.0, "64/64 certifies only 0.959");
        assert_eq!(got.high, 1.0);
    }

    #[test]
    fn nothing_tested_gives_no_interval() {
        assert_eq!(wilson(0, 0, 1.96), None);
        assert_eq!(wilson(2, 1, 1.96), None);
    }

    #[test]
    fn certifying_counts_are_the_published_ones() {
        let z = z_one_sided(0.95);
        for (rate, count) in [(0.95, 52), (0.98, 133), (0.99, 268), (0.995, 539), (0.999, 2703)] {
            assert_eq!(certifying_count(rate, z), Some(count), "{rate}");
            assert!(wilson(count, count, z).unwrap().low >= rate);
            assert!(wilson(count - 1, count - 1, z).unwrap().low < rate);
        }
        assert_eq!(certifying_count(1.0, z), None);
    }
}
