//! Whether numbers are ternary, and what the reference makes of those that are not. It packs nothing.

use std::fmt;

use rayon::prelude::*;

use super::error::QuantizeError;
use super::source::Source;
use crate::quant::i2_s;

/// How far numbers are from ternary, that is from 0 and from ± the largest magnitude of their group: the
/// whole matrix, or a block of TQ1_0 and TQ2_0.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Misfit {
    /// Weights in all.
    pub weights: usize,
    /// Weights that are neither.
    pub others: usize,
    /// The largest distance of one of them from the nearer, in parts of that magnitude: at most 1/2.
    pub farthest: f32,
}

impl Misfit {
    fn join(self, other: Self) -> Self {
        Self {
            weights: self.weights + other.weights,
            others: self.others + other.others,
            farthest: self.farthest.max(other.farthest),
        }
    }

    /// Of a group with the largest magnitude `scale`.
    fn of(group: &[f32], scale: f32) -> Self {
        let mut misfit = Self { weights: group.len(), ..Self::default() };
        for magnitude in group.iter().map(|v| v.abs()) {
            if magnitude != 0.0 && magnitude != scale {
                misfit.others += 1;
                misfit.farthest = misfit.farthest.max(magnitude.min(scale - magnitude) / scale);
            }
        }
        misfit
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of its {} weights are neither 0 nor ± the largest magnitude, and the farthest is {:.2} % \
             of that away",
            self.others,
            self.weights,
            self.farthest * 100.0
        )
    }
}

/// A matrix with one scale.
pub(super) struct Ternary {
    pub(super) weights: Vec<i8>,
    pub(super) scale: f32,
    pub(super) misfit: Misfit,
}

/// Rounds a matrix to weights and one scale, its largest magnitude ([`i2_s::round`]). Exact for what is ternary already,
/// whatever its scale; a scale of 0 where all are zeros.
///
/// # Errors
/// If a row holds infinities or NaN.
pub(super) fn of_matrix(source: &Source<'_>) -> Result<Ternary, QuantizeError> {
    let (rows, columns) = (source.rows, source.columns);
    let largest = |row: &mut Vec<f32>, index: usize| -> Result<f32, QuantizeError> {
        source.row(index, row)?;
        Ok(row.iter().fold(0f32, |max, v| max.max(v.abs())))
    };
    let scale = (0..rows)
        .into_par_iter()
        .map_init(|| vec![0f32; columns], largest)
        .try_reduce(|| 0f32, |a, b| Ok(a.max(b)))?;
    let mut weights = vec![0i8; rows * columns];
    let misfit = weights
        .par_chunks_exact_mut(columns)
        .enumerate()
        .map_init(
            || vec![0f32; columns],
            |row, (index, weights)| {
                source.row(index, row)?;
                for (weight, &v) in weights.iter_mut().zip(&*row) {
                    *weight = i2_s::round(v, scale);
                }
                Ok::<_, QuantizeError>(Misfit::of(row, scale))
            },
        )
        .try_reduce(Misfit::default, |a, b| Ok(a.join(b)))?;
    Ok(Ternary { weights, scale, misfit })
}

/// How far a matrix is from ternary with a scale for each `block` values of a row.
///
/// # Errors
/// If a row holds infinities or NaN.
pub(super) fn of_blocks(source: &Source<'_>, block: usize) -> Result<Misfit, QuantizeError> {
    (0..source.rows)
        .into_par_iter()
        .map_init(
            || vec![0f32; source.columns],
            |row, index| {
                source.row(index, row)?;
                Ok(row.chunks(block).fold(Misfit::default(), |misfit, group| {
                    let scale = group.iter().fold(0f32, |max, v| max.max(v.abs()));
                    misfit.join(Misfit::of(group, scale))
                }))
            },
        )
        .try_reduce(Misfit::default, |a, b| Ok(a.join(b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_counted_from_the_nearer_of_zero_and_the_largest() {
        let misfit = Misfit::of(&[0.0, -2.0, 2.0, 0.5, -1.75, 1.0], 2.0);
        assert_eq!(misfit, Misfit { weights: 6, others: 3, farthest: 0.5 });
        let truth = "3 of its 6 weights are neither 0 nor ± the largest magnitude, and the farthest is \
                     50.00 % of that away";
        assert_eq!(misfit.to_string(), truth);
        assert_eq!(Misfit::of(&[0.0, 1.5, -1.5], 1.5).others, 0);
        assert_eq!(Misfit::of(&[0.0; 4], 0.0).others, 0);
    }
}
