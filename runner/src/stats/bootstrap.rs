//! The bootstrap over clusters: what whole prompts say of the next prompt. Positions of one prompt are
//! correlated, so they are never drawn one by one.

use super::{Interval, Rng, Sample};

/// Below so many values the interval is too narrow to be relied on: few distinct draws exist.
pub const FEWEST: usize = 8;
/// Draws: the ends of a 95 % interval then move by about a hundredth of its width from seed to seed.
const DRAWS: usize = 2000;

/// Two-sided 95 % percentile interval of the mean of `values`, one a prompt, by drawing as many with
/// replacement; the same for the same seed. None without values, or with one that is not finite.
pub fn bootstrap_mean(values: &[f64], seed: u64) -> Option<Interval> {
    Sample::new(values.to_vec())?;
    let mut rng = Rng::new(seed);
    let count = values.len();
    let draw =
        |rng: &mut Rng| (0..count).map(|_| values[rng.below(count)]).sum::<f64>() / count as f64;
    let means = Sample::new((0..DRAWS).map(|_| draw(&mut rng)).collect())?;
    Some(Interval { low: means.quantile(0.025), high: means.quantile(0.975) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_of_many_values_is_that_of_the_normal_law() {
        let mut rng = Rng::new(3);
        let values: Vec<f64> = (0..400).map(|_| rng.normal()).collect();
        let interval = bootstrap_mean(&values, 1).unwrap();
        let mean = values.iter().sum::<f64>() / 400.0;
        // 1.96 / √400 = 0.098 on either side.
        assert!((interval.high - mean - 0.098).abs() < 0.015, "{interval:?} of {mean}");
        assert!((mean - interval.low - 0.098).abs() < 0.015, "{interval:?} of {mean}");
        assert_eq!(bootstrap_mean(&values, 1), Some(interval), "the same seed");
        assert_ne!(bootstrap_mean(&values, 2), Some(interval));
    }

    #[test]
    fn one_value_has_no_width_and_none_no_interval() {
        assert_eq!(bootstrap_mean(&[2.0], 1), Some(Interval { low: 2.0, high: 2.0 }));
        assert_eq!(bootstrap_mean(&[], 1), None);
        assert_eq!(bootstrap_mean(&[f64::NAN], 1), None);
    }
}
