//! A random projection of a row: few numbers that bound how far another row lies from it. It knows no
//! logits and no limit.

use statrs::distribution::{ChiSquared, ContinuousCDF};

use crate::stats::Rng;

/// Numbers that are kept of a row.
pub const PROJECTIONS: usize = 32;
/// The directions are the same everywhere, and older than what they are to judge.
const SEED: u64 = 0x626e_676f_6c64;
/// Probability of each side that a distance lies outside its bounds.
const MISS: f64 = 1e-6;
/// Largest code, so that a projection is kept as `code · scale`.
const LARGEST: f64 = i16::MAX as f64;

/// What is kept of a row `x`: its scalar products with 32 directions whose components are independent
/// standard normal numbers, rounded to 16 bits.
#[derive(Debug, Clone, PartialEq)]
pub struct Sketch {
    /// One step of the codes; 0 for a row of zeros.
    pub scale: f32,
    /// The products in steps. Each is wrong by at most half a step.
    pub codes: [i16; PROJECTIONS],
}

/// The directions for rows of one length.
pub(super) struct Directions {
    /// `PROJECTIONS` components for each element of a row.
    components: Vec<[f64; PROJECTIONS]>,
}

impl Directions {
    /// For rows of `len` elements.
    pub(super) fn new(len: usize) -> Self {
        let mut rng = Rng::new(SEED);
        let components = (0..len).map(|_| std::array::from_fn(|_| rng.normal())).collect();
        Self { components }
    }

    /// The products of `row` with every direction.
    fn project(&self, row: impl Iterator<Item = f64>) -> [f64; PROJECTIONS] {
        let mut sums = [0.0; PROJECTIONS];
        for (value, components) in row.zip(&self.components) {
            for (sum, component) in sums.iter_mut().zip(components) {
                *sum += value * component;
            }
        }
        sums
    }

    /// What to keep of `row`.
    pub(super) fn sketch(&self, row: impl Iterator<Item = f64>) -> Sketch {
        let products = self.project(row);
        let largest = products.iter().fold(0.0_f64, |most, p| most.max(p.abs()));
        // Rounded up: the largest product must not lie beyond the last code.
        let scale = ((largest / LARGEST) as f32).next_up();
        let codes = products.map(|p| (p / f64::from(scale)).round() as i16);
        Sketch { scale, codes }
    }

    /// Bounds of `‖row − x‖²` where `sketch` is what was kept of `x`.
    ///
    /// For a fixed `d = row − x` each product with `d` is normal with variance `‖d‖²`, so that the sum of
    /// their squares is `‖d‖²·χ²(32)` (Johnson and Lindenstrauss 1984; Vempala, "The Random Projection
    /// Method", 2004). Rounding moves its root by at most `√32` half steps. Each bound is missed with a
    /// probability of 1e-6.
    pub(super) fn distance(&self, row: impl Iterator<Item = f64>, sketch: &Sketch) -> (f64, f64) {
        let scale = f64::from(sketch.scale);
        let products = self.project(row);
        let gaps = products.iter().zip(&sketch.codes).map(|(p, c)| p - f64::from(*c) * scale);
        let root = gaps.map(|gap| gap * gap).sum::<f64>().sqrt();
        let rounding = 0.5 * scale * (PROJECTIONS as f64).sqrt();
        let (least, most) = chi_squared();
        let low = (root - rounding).max(0.0);
        (low * low / most, (root + rounding) * (root + rounding) / least)
    }
}

/// The quantiles at `MISS` and `1 − MISS` of χ² with `PROJECTIONS` degrees of freedom.
fn chi_squared() -> (f64, f64) {
    // 32 degrees of freedom are a distribution; were they none, the bounds would say nothing.
    ChiSquared::new(PROJECTIONS as f64).map_or((f64::MIN_POSITIVE, f64::INFINITY), |chi| {
        (chi.inverse_cdf(MISS), chi.inverse_cdf(1.0 - MISS))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_distribution() {
        // R: qchisq(c(1e-6, 1 - 1e-6), 32)
        let (least, most) = chi_squared();
        let chi = ChiSquared::new(32.0).unwrap();
        assert!((chi.cdf(least) - 1e-6).abs() < 1e-9, "{least}");
        assert!((chi.cdf(most) - (1.0 - 1e-6)).abs() < 1e-9, "{most}");
        assert!(least > 5.0 && least < 8.0 && most > 79.0 && most < 90.0, "{least} {most}");
    }

    #[test]
    fn distances_lie_between_their_bounds() {
        let directions = Directions::new(500);
        let mut rng = Rng::new(3);
        for size in [1e-4, 1e-2, 1.0, 30.0] {
            for _ in 0..50 {
                let kept: Vec<f64> = (0..500).map(|_| 3.0 * rng.normal()).collect();
                let other: Vec<f64> = kept.iter().map(|v| v + size * rng.normal()).collect();
                let real: f64 = kept.iter().zip(&other).map(|(a, b)| (a - b) * (a - b)).sum();
                let sketch = directions.sketch(kept.iter().copied());
                let (low, high) = directions.distance(other.iter().copied(), &sketch);
                assert!(low <= real && real <= high, "{low} <= {real} <= {high}");
                if size > 0.1 {
                    assert!(high < 40.0 * low, "within a factor of 40: {low} {high}");
                }
            }
        }
    }

    #[test]
    fn a_row_of_zeros_has_a_sketch() {
        let directions = Directions::new(4);
        let sketch = directions.sketch([0.0; 4].into_iter());
        assert_eq!(sketch.codes, [0; PROJECTIONS]);
        let (low, high) = directions.distance([0.0; 4].into_iter(), &sketch);
        assert!(low == 0.0 && high < 1e-60, "{high}");
    }
}
