//! Order statistics of one sample: type-7 quantiles, median and MAD.
//! A sample is never empty and holds no NaN or Inf.

use statrs::distribution::{Binomial, DiscreteCDF};

use super::rate::Interval;

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

    /// Distribution-free interval of the population's median, `[x₍k₎, x₍n+1−k₎]`, that leaves at most
    /// `tail` on each side: the largest k with `P(Binomial(n, ½) < k) ≤ tail` (Hollander and Wolfe,
    /// "Nonparametric Statistical Methods", §3.6).
    ///
    /// None where even the smallest and the largest value leave more than `tail`.
    pub fn median_interval(&self, tail: f64) -> Option<Interval> {
        let n = self.sorted.len();
        let below = Binomial::new(0.5, n as u64).ok()?;
        let k = (1..=n.div_ceil(2)).take_while(|&k| below.cdf(k as u64 - 1) <= tail).last()?;
        Some(Interval { low: self.sorted[k - 1], high: self.sorted[n - k] })
    }

    /// Median absolute deviation from the median, unscaled; see [`MAD_TO_SIGMA`].
    pub fn mad(&self) -> f64 {
        let median = self.median();
        let deviations = self.sorted.iter().map(|v| (v - median).abs()).collect();
        Self { sorted: sort(deviations) }.median()
    }
}

fn sort(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_unstable_by(f64::total_cmp);
    values
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
    fn median_intervals_are_those_of_the_binomial_table() {
        let of = |n: usize, tail| {
            sample(&(1..=n).map(|i| i as f64).collect::<Vec<_>>()).median_interval(tail)
        };
        // One-sided 5 %: P(B < 2 | 8) = 9/256, P(B < 3 | 12) = 79/4096, and so on.
        for (n, k) in [(8, 2), (12, 3), (20, 6), (30, 11)] {
            let want = Interval { low: k as f64, high: (n + 1 - k) as f64 };
            assert_eq!(of(n, 0.05), Some(want), "{n} values");
        }
        assert_eq!(of(6, 0.025), Some(Interval { low: 1.0, high: 6.0 }), "2/64 of both sides");
        assert_eq!(of(5, 0.025), None, "five values cannot give 95 %");
        assert_eq!(of(8, 0.01), Some(Interval { low: 1.0, high: 8.0 }));
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
}
