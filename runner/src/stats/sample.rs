//! Order statistics of one sample: type-7 quantiles, median, MAD and distribution-free intervals.
//! A sample is never empty and holds no NaN or Inf.

use statrs::distribution::{Binomial, DiscreteCDF};

/// Turns a MAD into the standard deviation of a normal distribution: 1 / Φ⁻¹(3/4).
pub const MAD_TO_SIGMA: f64 = 1.482_602_218_505_602;

/// A sorted, finite sample with at least one value.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    sorted: Vec<f64>,
}

impl Sample {
    /// Sorts `values`; none if there is no value or one is NaN or Inf.
    pub fn new(mut values: Vec<f64>) -> Option<Self> {
        if values.is_empty() || values.iter().any(|v| !v.is_finite()) {
            return None;
        }
        values.sort_unstable_by(f64::total_cmp);
        Some(Self { sorted: values })
    }

    /// The values in ascending order.
    pub fn sorted(&self) -> &[f64] {
        &self.sorted
    }

    /// Smallest value.
    pub fn min(&self) -> f64 {
        self.sorted[0]
    }

    /// Largest value.
    pub fn max(&self) -> f64 {
        self.sorted[self.sorted.len() - 1]
    }

    /// Quantile of type 7 (Hyndman and Fan 1996): linear between the values at `(n−1)·q`.
    /// The default of R and NumPy and what llama.cpp's KL report uses.
    ///
    /// # Panics
    /// If `q` is not in `0..=1`.
    pub fn quantile(&self, q: f64) -> f64 {
        assert!((0.0..=1.0).contains(&q), "a quantile is asked for by a share in 0..=1, not {q}");
        let h = (self.sorted.len() - 1) as f64 * q;
        let below = h.floor() as usize;
        let above = h.ceil() as usize;
        let (low, high) = (self.sorted[below], self.sorted[above]);
        low + (h - below as f64) * (high - low)
    }

    /// The middle value, or the mean of the two middle values.
    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// Median absolute deviation from the median, unscaled; see [`MAD_TO_SIGMA`].
    pub fn mad(&self) -> f64 {
        let median = self.median();
        let deviations = self.sorted.iter().map(|v| (v - median).abs()).collect();
        Self { sorted: sort(deviations) }.median()
    }

    /// Distribution-free interval for the `q` quantile that leaves at most `tail` on each side.
    /// A side is none where the sample is too small to bound it.
    pub fn quantile_interval(&self, q: f64, tail: f64) -> (Option<f64>, Option<f64>) {
        let (low, high) = order_statistic_ranks(self.sorted.len(), q, tail);
        (low.map(|r| self.sorted[r - 1]), high.map(|r| self.sorted[r - 1]))
    }
}

fn sort(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_unstable_by(f64::total_cmp);
    values
}

/// Ranks (from 1) of the order statistics that bound the `q` quantile of a continuous distribution
/// in a sample of `n`, leaving at most `tail` on each side: the number of values below the quantile
/// is Binomial(n, q).
pub fn order_statistic_ranks(n: usize, q: f64, tail: f64) -> (Option<usize>, Option<usize>) {
    let Ok(below) = Binomial::new(q, n as u64) else { return (None, None) };
    // Rank r lies above the quantile when at most r−1 values lie below it.
    let low = (1..=n).take_while(|&r| below.cdf(r as u64 - 1) <= tail).last();
    // Rank s lies below the quantile when at least s values lie below it.
    let high = (1..=n).rev().take_while(|&s| below.sf(s as u64 - 1) <= tail).last();
    (low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(values: &[f64]) -> Sample {
        Sample::new(values.to_vec()).unwrap()
    }

    #[test]
    fn type_7_quantiles_are_those_of_r() {
        // R: quantile(c(1, 2, 4, 8, 16), c(0, .1, .25, .5, .9, .99, 1), type = 7)
        let s = sample(&[16.0, 1.0, 8.0, 2.0, 4.0]);
        let cases = [
            (0.0, 1.0),
            (0.1, 1.4),
            (0.25, 2.0),
            (0.5, 4.0),
            (0.9, 12.8),
            (0.99, 15.68),
            (1.0, 16.0),
        ];
        for (q, want) in cases {
            assert!((s.quantile(q) - want).abs() < 1e-12, "q {q}: {} not {want}", s.quantile(q));
        }
    }

    #[test]
    fn median_and_mad_of_a_textbook_sample() {
        // The usual worked example: median 2, absolute deviations 1 1 0 0 2 4 7, MAD 1.
        let s = sample(&[1.0, 1.0, 2.0, 2.0, 4.0, 6.0, 9.0]);
        assert_eq!((s.median(), s.mad()), (2.0, 1.0));
        assert_eq!(sample(&[1.0, 2.0, 3.0, 10.0]).median(), 2.5);
    }

    #[test]
    fn mad_estimates_sigma_of_normal_draws_despite_outliers() {
        let mut rng = crate::stats::Rng::new(3);
        let mut draws: Vec<f64> = (0..20_000).map(|_| 0.25 * rng.normal()).collect();
        draws.extend([1e6; 100]);
        let sigma = MAD_TO_SIGMA * Sample::new(draws).unwrap().mad();
        assert!((sigma - 0.25).abs() < 0.01, "sigma {sigma}");
    }

    #[test]
    fn no_sample_from_nothing_or_from_nan() {
        assert_eq!(Sample::new(vec![]), None);
        assert_eq!(Sample::new(vec![1.0, f64::NAN]), None);
        assert_eq!(Sample::new(vec![f64::NEG_INFINITY]), None);
    }

    #[test]
    fn ranks_for_the_median_are_the_published_ones() {
        // One-sided 95 %: the values used for the bench's robust twin.
        for (n, rank) in [(5, 1), (8, 2), (12, 3), (20, 6), (30, 11)] {
            let (low, high) = order_statistic_ranks(n, 0.5, 0.05);
            assert_eq!((low, high), (Some(rank), Some(n + 1 - rank)), "n {n}");
        }
        // Two-sided 95 % (sign-test tables): none below 6.
        assert_eq!(order_statistic_ranks(5, 0.5, 0.025), (None, None));
        assert_eq!(order_statistic_ranks(6, 0.5, 0.025), (Some(1), Some(6)));
        assert_eq!(order_statistic_ranks(25, 0.5, 0.025), (Some(8), Some(18)));
    }

    #[test]
    fn ranks_for_a_tail_quantile_match_the_binomial_sum() {
        let (n, q, tail): (usize, f64, f64) = (500, 0.99, 0.025);
        let pmf = |k: usize| {
            let ln_choose: f64 = (0..k).map(|i| ((n - i) as f64 / (i + 1) as f64).ln()).sum();
            (ln_choose + k as f64 * q.ln() + (n - k) as f64 * (1.0 - q).ln()).exp()
        };
        let cdf = |k: usize| (0..=k).map(pmf).sum::<f64>();
        let (low, high) = order_statistic_ranks(n, q, tail);
        let low = low.unwrap();
        assert!(cdf(low - 1) <= tail && cdf(low) > tail, "low {low}");
        let high = high.unwrap();
        assert!(1.0 - cdf(high - 1) <= tail && 1.0 - cdf(high - 2) > tail, "high {high}");
        // Nothing bounds the 99 % quantile from above in a hundred values.
        assert_eq!(order_statistic_ranks(100, q, tail).1, None);
    }

    #[test]
    fn interval_gives_the_values_at_the_ranks() {
        let s = Sample::new((1..=20).map(f64::from).collect()).unwrap();
        assert_eq!(s.quantile_interval(0.5, 0.05), (Some(6.0), Some(15.0)));
        assert_eq!((s.min(), s.max()), (1.0, 20.0));
    }
}
