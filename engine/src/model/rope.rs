//! Rotary position embedding: tables of angles, and the rotation of one head.

use super::config::RopeStyle;
use crate::memory::{OutOfMemory, zeros};

/// cos and sin of the angles of every position that was reached.
#[derive(Debug)]
pub(crate) struct RopeTable {
    /// `half` pairs (cos, sin) for each position.
    angles: Vec<(f32, f32)>,
    half: usize,
    /// What the angle is multiplied with from pair to pair.
    step: f32,
    /// Positions whose angles are there.
    reached: usize,
}

impl RopeTable {
    /// Room for positions `0..context` of heads of `head_length` values; [`RopeTable::reach`] fills
    /// it, so that a large context costs nothing before it is used.
    ///
    /// # Errors
    /// If the system has no memory for it.
    pub(crate) fn new(context: usize, head_length: usize, base: f32) -> Result<Self, OutOfMemory> {
        let half = head_length / 2;
        let step = base.powf(-2.0 / head_length as f32);
        let angles = zeros(context.saturating_mul(half))?;
        Ok(Self { angles, half, step, reached: 0 })
    }

    /// Computes the angles of positions below `positions` that are not there yet.
    ///
    /// The angle of pair k is p · base^(−2k/d), built as the reference builds it
    /// (`ggml_rope_cache_init`): by repeated f32 multiplication from pair to pair. The rounding of
    /// that chain is part of the result.
    pub(crate) fn reach(&mut self, positions: usize) {
        for position in self.reached..positions {
            let mut theta = position as f32;
            for angle in &mut self.angles[position * self.half..][..self.half] {
                *angle = (theta.cos(), theta.sin());
                theta *= self.step;
            }
        }
        self.reached = self.reached.max(positions);
    }

    /// Rotates one head at a position that was reached, in place.
    pub(crate) fn rotate(&self, head: &mut [f32], position: usize, style: RopeStyle) {
        let angles = &self.angles[position * self.half..][..self.half];
        for (k, &(cos, sin)) in angles.iter().enumerate() {
            let (i, j) = match style {
                RopeStyle::Neox => (k, k + self.half),
                RopeStyle::Norm => (2 * k, 2 * k + 1),
            };
            let (a, b) = (head[i], head[j]);
            head[i] = a * cos - b * sin;
            head[j] = a * sin + b * cos;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotation_agrees_with_f64_in_both_styles() {
        let mut table = RopeTable::new(40, 8, 10_000.0).expect("room for 40 positions");
        table.reach(20);
        table.reach(38);
        let head: Vec<f32> = (0..8).map(|i| i as f32 - 3.5).collect();
        for (style, pairs) in [
            (RopeStyle::Neox, [(0, 4), (1, 5), (2, 6), (3, 7)]),
            (RopeStyle::Norm, [(0, 1), (2, 3), (4, 5), (6, 7)]),
        ] {
            let mut ours = head.clone();
            table.rotate(&mut ours, 37, style);
            for (k, (i, j)) in pairs.into_iter().enumerate() {
                let angle = 37.0 * 10_000f64.powf(-2.0 * k as f64 / 8.0);
                let (a, b) = (f64::from(head[i]), f64::from(head[j]));
                let truth = (a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos());
                assert!((f64::from(ours[i]) - truth.0).abs() < 2e-5, "{style:?} {i}");
                assert!((f64::from(ours[j]) - truth.1).abs() < 2e-5, "{style:?} {j}");
            }
        }
    }
}
