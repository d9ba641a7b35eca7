//! Weights and activations of a quantization case: seeded, and the same bits on every machine, because
//! nothing but sums and products goes into them. Judges nothing.

use crate::stats::Rng;
use crate::suite::quantization::Distribution;

/// Deviation of normal weights, about that of a trained matrix of a few thousand columns.
const DEVIATION: f64 = 0.02;
/// Largest magnitude of uniform weights.
const SPREAD: f64 = 0.05;
/// One weight in so many is an outlier.
const OUTLIER_EVERY: usize = 256;
/// How much larger an outlier is.
const OUTLIER_GAIN: f64 = 8.0;

/// Normal enough: twelve uniform numbers less their mean, whose variance is 1. It reaches ±6.
fn bell(rng: &mut Rng) -> f64 {
    (0..12).map(|_| rng.uniform()).sum::<f64>() - 6.0
}

/// `n` weights, and the distance of neighbouring ones where they are ternary.
pub(super) fn weights(distribution: Distribution, seed: u64, n: usize) -> (Vec<f32>, Option<f32>) {
    let mut rng = Rng::new(seed);
    match distribution {
        Distribution::Ternary => {
            // Eleven bits: an f16 holds the scale, so that types with f16 scales can be exact.
            let step = (1 + rng.below(2047)) as f32 / 2048.0;
            let weights = (0..n).map(|_| (rng.below(3) as f32 - 1.0) * step).collect();
            (weights, Some(step))
        }
        Distribution::Normal => {
            ((0..n).map(|_| (DEVIATION * bell(&mut rng)) as f32).collect(), None)
        }
        Distribution::Uniform => {
            let one = |_| (SPREAD * (2.0 * rng.uniform() - 1.0)) as f32;
            ((0..n).map(one).collect(), None)
        }
        Distribution::Outliers => {
            let one = |_| {
                let gain = if rng.below(OUTLIER_EVERY) == 0 { OUTLIER_GAIN } else { 1.0 };
                (gain * DEVIATION * bell(&mut rng)) as f32
            };
            ((0..n).map(one).collect(), None)
        }
    }
}

/// `n` activations, normal with deviation 1.
pub(super) fn activations(seed: u64, n: usize) -> Vec<f32> {
    let mut rng = Rng::new(!seed);
    (0..n).map(|_| bell(&mut rng) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(distribution: Distribution) -> (f64, f64, f64) {
        let (weights, _) = weights(distribution, 7, 1 << 16);
        let n = weights.len() as f64;
        let wide = || weights.iter().map(|w| f64::from(*w));
        let mean = wide().sum::<f64>() / n;
        let square = wide().map(|w| w * w).sum::<f64>() / n;
        (mean, square.sqrt(), wide().fold(0.0, |max: f64, w| max.max(w.abs())))
    }

    #[test]
    fn distributions_have_the_stated_moments() {
        let (mean, deviation, _) = figures(Distribution::Normal);
        assert!(
            mean.abs() < 3e-4 && (deviation / DEVIATION - 1.0).abs() < 0.02,
            "{mean} {deviation}"
        );
        let (mean, deviation, largest) = figures(Distribution::Uniform);
        assert!(mean.abs() < 5e-4 && largest <= SPREAD, "{mean} {largest}");
        assert!((deviation / (SPREAD / 3f64.sqrt()) - 1.0).abs() < 0.02, "{deviation}");
        // The variance grows by (64 − 1) / 256.
        let (_, deviation, _) = figures(Distribution::Outliers);
        let expected = DEVIATION * (1.0 + 63.0 / 256.0f64).sqrt();
        assert!((deviation / expected - 1.0).abs() < 0.1, "{deviation} {expected}");
    }

    #[test]
    fn ternary_weights_are_multiples_of_a_step_that_an_f16_holds() {
        for seed in 0..50 {
            let (weights, step) = weights(Distribution::Ternary, seed, 3000);
            let step = step.expect("a step");
            assert_eq!(half::f16::from_f32(step).to_f32(), step);
            for wanted in [-step, 0.0, step] {
                let share = weights.iter().filter(|w| **w == wanted).count() as f64 / 3000.0;
                assert!((share - 1.0 / 3.0).abs() < 0.05, "{share} of {wanted}");
            }
        }
    }

    #[test]
    fn a_seed_gives_the_same_numbers_again_and_another_gives_others() {
        for distribution in Distribution::ALL {
            let one = weights(distribution, 1, 64);
            assert_eq!(weights(distribution, 1, 64), one);
            assert_ne!(weights(distribution, 2, 64), one);
        }
        assert_ne!(activations(1, 8), activations(2, 8));
    }
}
