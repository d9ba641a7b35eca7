//! Rotary position embedding: tables of angles, and the rotation of one head.

use std::f32::consts::PI;

use super::config::Config;
use super::error::ModelError;
use super::graph::RopeStyle;
use crate::memory::{OutOfMemory, zeros};

/// Turns within the first training's context above which YaRN leaves a frequency as it is, and below
/// which it stretches it wholly.
const YARN_FAST: f32 = 32.0;
const YARN_SLOW: f32 = 1.0;

/// How RoPE is stretched to a context beyond that of the first training.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RopeScaling {
    /// What angles are multiplied with: 1 / `rope.scaling.factor`.
    pub frequency: f32,
    /// What cos and sin are multiplied with, beside YaRN's own correction.
    pub magnitude: f32,
    /// With YaRN, which stretches slow frequencies only, the positions of the first training.
    pub yarn_context: Option<usize>,
}

/// One frequency.
#[derive(Debug)]
struct Pair {
    /// Divides the angle.
    factor: f32,
    /// Share of the angle that is not stretched.
    kept: f32,
}

/// cos and sin of the angles of every position that was reached.
#[derive(Debug)]
pub(crate) struct RopeTable {
    /// `half` pairs (cos, sin) for each position.
    angles: Vec<(f32, f32)>,
    half: usize,
    pairs: Box<[Pair]>,
    /// What the angle is multiplied with from pair to pair.
    step: f32,
    /// What stretched angles are multiplied with.
    frequency: f32,
    /// What cos and sin are multiplied with.
    magnitude: f32,
    /// Positions whose angles are there.
    reached: usize,
}

impl RopeTable {
    /// Room for positions `0..context` of the heads of `config`, whose frequencies are divided by
    /// `factors` (half as many as a head has values) where there are any; [`RopeTable::reach`] fills
    /// it, so that a large context costs nothing before it is used.
    ///
    /// # Errors
    /// If the system has no memory for it.
    pub(crate) fn new(
        config: &Config,
        factors: Option<&[f32]>,
        context: usize,
    ) -> Result<Self, OutOfMemory> {
        let (length, base, scaling) = (config.head_length, config.rope_base, config.rope_scaling);
        let half = length / 2;
        let kept = scaling.yarn_context.map(|trained| kept_shares(length, base, trained));
        let pair = |k| Pair {
            factor: factors.map_or(1.0, |factors| factors[k]),
            kept: kept.as_ref().map_or(0.0, |kept| kept[k]),
        };
        let magnitude = match scaling.yarn_context {
            Some(_) => scaling.magnitude * (1.0 + 0.1 * (1.0 / scaling.frequency).ln()),
            None => scaling.magnitude,
        };
        Ok(Self {
            angles: zeros(context.saturating_mul(half))?,
            half,
            pairs: (0..half).map(pair).collect(),
            step: base.powf(-2.0 / length as f32),
            frequency: scaling.frequency,
            magnitude,
            reached: 0,
        })
    }

    /// Bytes of that room.
    pub(crate) fn bytes(config: &Config, context: usize) -> usize {
        context.saturating_mul(config.head_length / 2).saturating_mul(size_of::<(f32, f32)>())
    }

    /// Computes the angles of positions below `positions` that are not there yet.
    ///
    /// The angle of pair k is p · base^(−2k/d), built as the reference builds it
    /// (`ggml_rope_cache_init`): by repeated f32 multiplication from pair to pair. The rounding of
    /// that chain is part of the result.
    pub(crate) fn reach(&mut self, positions: usize) {
        for position in self.reached..positions {
            let mut theta = position as f32;
            let angles = &mut self.angles[position * self.half..][..self.half];
            for (angle, pair) in angles.iter_mut().zip(&self.pairs) {
                let whole = theta / pair.factor;
                let stretched = self.frequency * whole;
                // Without YaRN this is `stretched`, to the bit.
                let turn = stretched * (1.0 - pair.kept) + whole * pair.kept;
                *angle = (turn.cos() * self.magnitude, turn.sin() * self.magnitude);
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

/// Rotates the heads of each row of `columns` values of `x`, the first row at position `first`, to the bit as
/// the forward pass does: for those who compute one operation anew. `factors` divide the frequencies, half as
/// many as a head has values.
///
/// # Errors
/// If the system has no memory for the angles.
///
/// # Panics
/// If `x` is no whole number of rows, or a row of heads.
pub fn rotate_rows(
    config: &Config,
    factors: Option<&[f32]>,
    first: usize,
    columns: usize,
    x: &mut [f32],
) -> Result<(), ModelError> {
    assert!(columns > 0 && x.len().is_multiple_of(columns), "whole rows");
    assert!(columns.is_multiple_of(config.head_length), "whole heads");
    let positions = first + x.len() / columns;
    let mut table = RopeTable::new(config, factors, positions)
        .map_err(|OutOfMemory { bytes }| ModelError::Memory { bytes })?;
    table.reach(positions);
    for (row, x) in x.chunks_exact_mut(columns).enumerate() {
        for head in x.chunks_exact_mut(config.head_length) {
            table.rotate(head, first + row, config.graph.rope);
        }
    }
    Ok(())
}

/// The share of each frequency that YaRN leaves as it is, for heads of `length` values: 1 for the
/// fast ones, 0 for the slow ones, a ramp between.
fn kept_shares(length: usize, base: f32, trained: usize) -> Vec<f32> {
    // The pair that makes so many turns within the first training's context.
    let pair =
        |turns: f32| length as f32 * (trained as f32 / (turns * 2.0 * PI)).ln() / (2.0 * base.ln());
    let low = pair(YARN_FAST).floor().max(0.0);
    let high = pair(YARN_SLOW).ceil().min((length - 1) as f32);
    let share = |k: usize| {
        let y = (k as f32 - low) / (high - low).max(0.001);
        1.0 - y.clamp(0.0, 1.0)
    };
    (0..length / 2).map(share).collect()
}
