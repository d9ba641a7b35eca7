//! A level from what several receipts say. Pure; whoever has the inputs can recompute it.

use super::document::{Input, Level};
use crate::stats::{Moments, Sample};

/// Standard error of a median as a multiple of the mean's, of normal values: √(π/2).
const MEDIAN_ERROR: f64 = 1.253_314_137_315_500_3;

/// The level of `inputs`: the median of their means, so that one odd run does not set it. None without
/// inputs, or where a figure is NaN or Inf.
pub(super) fn level(why: String, inputs: Vec<Input>) -> Option<Level> {
    let ratio = |input: &Input| (input.ln_time_ratio, input.ln_time_ratio_error);
    let subject = |input: &Input| (input.ln_subject_ns, input.ln_subject_ns_error);
    let (ln_time_ratio, ln_time_ratio_error) = centre(inputs.iter().map(ratio))?;
    let (ln_subject_ns, ln_subject_ns_error) = centre(inputs.iter().map(subject))?;
    Some(Level {
        why,
        inputs,
        ln_time_ratio,
        ln_time_ratio_error,
        ln_subject_ns,
        ln_subject_ns_error,
    })
}

/// Median of the means, and its standard error: from the spread between runs or the errors within them,
/// whichever is larger.
fn centre(means: impl Iterator<Item = (f64, f64)> + Clone) -> Option<(f64, f64)> {
    let median = Sample::new(means.clone().map(|(mean, _)| mean).collect())?.median();
    let between = Moments::of(means.clone().map(|(mean, _)| mean)).standard_error().unwrap_or(0.0);
    let count = means.clone().count() as f64;
    let within = means.map(|(_, error)| error * error).sum::<f64>().sqrt() / count;
    let error = MEDIAN_ERROR * between.max(within);
    error.is_finite().then_some((median, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(got: (f64, f64), want: (f64, f64)) -> bool {
        (got.0 - want.0).abs() < 1e-12 && (got.1 - want.1).abs() < 1e-12
    }

    #[test]
    fn one_odd_run_does_not_set_the_level() {
        let got = centre([(0.1, 0.0), (0.2, 0.0), (9.0, 0.0)].into_iter()).unwrap();
        assert_eq!(got.0, 0.2);
        // The spread between 1, 2 and 3 is 1, over √3.
        let got = centre([(1.0, 0.1), (2.0, 0.1), (3.0, 0.1)].into_iter()).unwrap();
        assert!(near(got, (2.0, MEDIAN_ERROR / 3.0_f64.sqrt())), "{got:?}");
    }

    #[test]
    fn runs_that_agree_by_luck_keep_their_own_errors() {
        let got = centre([(0.5, 0.3), (0.5, 0.3), (0.5, 0.3)].into_iter()).unwrap();
        assert!(near(got, (0.5, MEDIAN_ERROR * 0.27_f64.sqrt() / 3.0)), "{got:?}");
        assert_eq!(centre([].into_iter()), None);
        assert_eq!(centre([(f64::NAN, 0.0)].into_iter()), None);
    }
}
