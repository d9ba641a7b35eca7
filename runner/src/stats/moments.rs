//! Means, standard deviations and paired differences with Student-t intervals.
//! Takes the values as independent: correlated positions belong in clusters first.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};

use super::rate::Interval;

/// Mean and sum of squared deviations, updated value by value (Welford 1962).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Moments {
    count: usize,
    mean: f64,
    squares: f64,
}

impl Moments {
    /// The moments of `values`.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut moments = Self::default();
        for value in values {
            moments.push(value);
        }
        moments
    }

    /// Adds one value.
    pub fn push(&mut self, value: f64) {
        self.count += 1;
        let delta = value - self.mean;
        self.mean += delta / self.count as f64;
        self.squares += delta * (value - self.mean);
    }

    /// Number of values.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Arithmetic mean; none without a value.
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then_some(self.mean)
    }

    /// Standard deviation with `n − 1`; none with fewer than two values.
    pub fn sd(&self) -> Option<f64> {
        (self.count > 1).then(|| (self.squares / (self.count - 1) as f64).sqrt())
    }

    /// Standard error of the mean; none with fewer than two values.
    pub fn standard_error(&self) -> Option<f64> {
        self.sd().map(|sd| sd / (self.count as f64).sqrt())
    }
}

/// Quantile of Student's t with `degrees` degrees of freedom; none for 0 degrees or a share
/// outside `(0, 1)`.
pub fn student_t(degrees: usize, share: f64) -> Option<f64> {
    if !(share > 0.0 && share < 1.0) {
        return None;
    }
    StudentsT::new(0.0, 1.0, degrees as f64).ok().map(|t| t.inverse_cdf(share))
}

/// A mean of differences with its standard error.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PairedMean {
    /// Number of differences.
    pub count: usize,
    /// Their mean.
    pub mean: f64,
    /// Standard error of the mean; none with one difference.
    pub standard_error: Option<f64>,
    /// Two-sided 95 % Student-t interval; none with one difference.
    pub interval: Option<Interval>,
}

/// Mean of `differences` with a 95 % interval; none without a difference.
pub fn paired_mean(differences: impl IntoIterator<Item = f64>) -> Option<PairedMean> {
    let moments = Moments::of(differences);
    let mean = moments.mean()?;
    let standard_error = moments.standard_error();
    let interval = standard_error
        .zip(student_t(moments.count().saturating_sub(1), 0.975))
        .map(|(se, t)| Interval { low: mean - t * se, high: mean + t * se });
    Some(PairedMean { count: moments.count(), mean, standard_error, interval })
}

/// `ln(PPL_test / PPL_ref)` of one or more prompts, paired by position: the mean over prompts of the
/// mean of `NLL_test − NLL_ref`.
///
/// One slice of differences a prompt. With two or more prompts the error is that between prompts,
/// `√(Σ(mean_j − mean)² / (P(P−1)))`; with one it is that between positions, which is too small when
/// they are correlated. Empty prompts are an error of the caller and give none.
pub fn ln_perplexity_ratio(prompts: &[&[f64]]) -> Option<PairedMean> {
    match prompts {
        [one] => paired_mean(one.iter().copied()),
        many => {
            let means: Option<Vec<f64>> =
                many.iter().map(|p| Moments::of(p.iter().copied()).mean()).collect();
            paired_mean(means?)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn student_t_matches_the_table() {
        for (degrees, share, table) in [
            (7, 0.975, 2.364_624),
            (1, 0.975, 12.706_205),
            (30, 0.95, 1.697_261),
            (9, 0.99, 2.821_438),
        ] {
            let got = student_t(degrees, share).unwrap();
            assert!((got - table).abs() < 2e-6, "t({degrees}, {share}) = {got}, table {table}");
        }
        assert_eq!(student_t(0, 0.975), None);
        assert_eq!(student_t(4, 1.0), None);
    }

    #[test]
    fn welford_matches_two_passes_on_a_large_offset() {
        let values: Vec<f64> = (0..1000).map(|i| 1e9 + f64::from(i % 7)).collect();
        let mean = values.iter().map(|v| v - 1e9).sum::<f64>() / 1000.0;
        let var = values.iter().map(|v| (v - 1e9 - mean).powi(2)).sum::<f64>() / 999.0;
        let m = Moments::of(values);
        assert!((m.mean().unwrap() - 1e9 - mean).abs() < 1e-6);
        assert!((m.sd().unwrap() - var.sqrt()).abs() < 1e-6, "{:?} {}", m.sd(), var.sqrt());
    }

    #[test]
    fn too_few_values_give_no_figure() {
        assert_eq!(Moments::default().mean(), None);
        assert_eq!(Moments::of([3.0]).sd(), None);
        assert_eq!(paired_mean([]), None);
        let one = paired_mean([0.5]).unwrap();
        assert_eq!((one.mean, one.standard_error, one.interval), (0.5, None, None));
    }

    #[test]
    fn paired_mean_gives_the_textbook_interval() {
        // n = 8, mean 4.5, sd √6: half width 2.364624·√6/√8.
        let got = paired_mean((1..=8).map(f64::from)).unwrap();
        let half = 2.364_624 * 6f64.sqrt() / 8f64.sqrt();
        let interval = got.interval.unwrap();
        assert!(
            (interval.low - (4.5 - half)).abs() < 1e-5
                && (interval.high - (4.5 + half)).abs() < 1e-5
        );
    }

    #[test]
    fn perplexity_ratio_takes_its_error_between_prompts() {
        let prompts: [&[f64]; 3] = [&[0.1, 0.3], &[0.0], &[0.6, 0.6, 0.6]];
        let got = ln_perplexity_ratio(&prompts).unwrap();
        let means = [0.2, 0.0, 0.6];
        let mean = 0.8 / 3.0;
        let se = (means.iter().map(|m| (m - mean) * (m - mean)).sum::<f64>() / 6.0).sqrt();
        assert!((got.mean - mean).abs() < 1e-12);
        assert!((got.standard_error.unwrap() - se).abs() < 1e-12);
        assert_eq!(got.count, 3);
        assert_eq!(
            ln_perplexity_ratio(&[&[0.1], &[]]),
            None,
            "an empty prompt is not averaged away"
        );
        assert_eq!(ln_perplexity_ratio(&[&[0.1, 0.3]]).unwrap().count, 2);
    }
}
