//! How far two tensors are apart. Pure arithmetic over slices.

use serde::{Deserialize, Serialize};

/// The distance of a tensor from another of the same shape.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Distance {
    /// ‖test − reference‖ / ‖reference‖; none where a value is no finite number.
    pub relative: Option<f64>,
    /// Largest difference of two values; none as above.
    pub largest: Option<f64>,
    /// Where the largest difference is: position and column. Of values that are no finite number, the first.
    pub worst: (usize, usize),
    /// Share of values with the same bits.
    pub equal_bits: f64,
}

impl Distance {
    /// Of `test` from `reference`, rows of `columns` values at `positions`.
    ///
    /// # Panics
    /// If the slices differ in length or there are fewer positions than rows.
    pub fn of(test: &[f32], reference: &[f32], columns: usize, positions: &[usize]) -> Self {
        assert_eq!(test.len(), reference.len(), "tensors of one shape");
        let place = |index: usize| (positions[index / columns], index % columns);
        let (mut difference, mut size, mut largest) = (0.0, 0.0, 0.0);
        let (mut worst, mut equal, mut strange) = (0, 0, None);
        for (index, (t, r)) in test.iter().zip(reference).enumerate() {
            equal += usize::from(t.to_bits() == r.to_bits());
            if !t.is_finite() || !r.is_finite() {
                strange = strange.or((t.to_bits() != r.to_bits()).then_some(index));
                continue;
            }
            let gap = (f64::from(*t) - f64::from(*r)).abs();
            difference += gap * gap;
            size += f64::from(*r).powi(2);
            if gap > largest {
                (largest, worst) = (gap, index);
            }
        }
        let equal_bits = if test.is_empty() { 1.0 } else { equal as f64 / test.len() as f64 };
        if let Some(index) = strange {
            return Self { relative: None, largest: None, worst: place(index), equal_bits };
        }
        let relative = match (difference == 0.0, size == 0.0) {
            (true, _) => Some(0.0),
            (false, true) => None,
            (false, false) => Some((difference / size).sqrt()),
        };
        let worst = if test.is_empty() { (0, 0) } else { place(worst) };
        Self { relative, largest: Some(largest), worst, equal_bits }
    }

    /// Whether every value has the same bits.
    pub fn is_none(&self) -> bool {
        self.equal_bits >= 1.0
    }

    /// Whether it is above `floor`; the same bits never are.
    pub fn exceeds(&self, floor: f64) -> bool {
        !self.is_none() && self.relative.is_none_or(|relative| relative > floor)
    }

    /// The relative distance, infinite where there is none.
    pub fn size(&self) -> f64 {
        self.relative.unwrap_or(f64::INFINITY)
    }
}

/// The rows of `values` at `positions`.
pub fn rows(values: &[f32], columns: usize, positions: &[usize]) -> Vec<f32> {
    positions.iter().flat_map(|p| values[p * columns..][..columns].iter().copied()).collect()
}

/// Whether two rows have the same bits.
pub fn same_bits(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
}

/// Share of the distance between `actual` and `expected` that `candidate` takes away: 1 where it gives what
/// was observed, 0 or less where it is no closer. Distances are sums of squares.
pub fn explained(actual: &[f32], expected: &[f32], candidate: &[f32]) -> f64 {
    let apart = |other: &[f32]| {
        let pairs = actual.iter().zip(other);
        pairs.map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum::<f64>()
    };
    let (left, whole) = (apart(candidate), apart(expected));
    if whole > 0.0 && left.is_finite() { 1.0 - left / whole } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distance_names_the_worst_place() {
        let distance = Distance::of(&[1.0, 2.0, 3.0, 5.0], &[1.0, 2.0, 3.0, 4.0], 2, &[7, 9]);
        assert_eq!((distance.worst, distance.equal_bits), ((9, 1), 0.75));
        assert_eq!(distance.largest, Some(1.0));
        assert!((distance.size() - (1.0f64 / 30.0).sqrt()).abs() < 1e-12);
        assert!(distance.exceeds(0.1) && !distance.exceeds(0.2));
    }

    #[test]
    fn what_is_no_number_is_never_small() {
        let distance = Distance::of(&[f32::NAN, 1.0], &[2.0, 1.0], 2, &[0]);
        assert_eq!((distance.relative, distance.worst), (None, (0, 0)));
        assert!(distance.exceeds(1e9));
        let same = Distance::of(&[f32::NAN], &[f32::NAN], 1, &[0]);
        assert!(same.is_none() && !same.exceeds(0.0));
        // Something in place of nothing has no relative size.
        assert!(Distance::of(&[1.0], &[0.0], 1, &[0]).exceeds(1e9));
    }

    #[test]
    fn a_candidate_explains_what_it_takes_away() {
        let (actual, expected) = ([2.0, 4.0], [1.0, 2.0]);
        assert_eq!(explained(&actual, &expected, &[2.0, 4.0]), 1.0);
        assert_eq!(explained(&actual, &expected, &expected), 0.0);
        assert!(explained(&actual, &expected, &[-9.0, 0.0]) < 0.0);
        assert_eq!(explained(&actual, &expected, &[f32::NAN, 0.0]), 0.0);
    }
}
