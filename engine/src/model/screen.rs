//! The head in 6 bits, and which of its rows can be among the largest logits.
//!
//! A token reads the whole head, more than half of a 2B model's bytes, though a few of its rows decide.
//! Here every row w is kept as w = s·q + e, with integers q of 6 bits. The activations v of a position,
//! rounded as the head's own product takes them, become a·X + d with integers X of 15 bits. Then
//!
//! > w·v = s·a·q·X + s·q·d + e·v, so |w·v − s·a·q·X| ≤ (‖w‖ + ‖e‖)·‖d‖ + ‖e‖·‖v‖
//!
//! (Cauchy and Schwarz). The head's product is not w·v but rounds: n products and sums in f32, in whatever
//! order, are off by at most γ·‖w‖·‖v‖ with γ = (n + 8)·2⁻²³ (Higham, Accuracy and Stability, §3.1, with
//! twice the unit roundoff). What is computed here in f32 is off by less than 2⁻¹⁵·‖w‖·‖v‖: a few roundings
//! of the score, and those of e, whose values are each off by at most 2⁻²⁴ of the largest of w. So each row's
//! score has a bound, and a row whose score plus bound is below what k rows are known to reach is not among
//! the k largest. All others are computed exactly, from the file's weights.
//!
//! It chooses rows; it computes no logit.

use rayon::prelude::*;

use super::arena::{Arena, Part};
use crate::kernels::Dispatch;
use crate::memory::{OutOfMemory, defaults, zeros};
use crate::quant::six_bit::{self, GROUP_COLUMNS, ROWS};
use crate::threads::{Chunks, ThreadPool, own_parts};

/// Rows that one kernel call computes; scores are looked at in blocks of as many.
const BLOCK: usize = 64;
/// Rows that are read before their part of the file is let go.
const SLAB: usize = 8192;
/// Scales below this could underflow: in a product of two, or in the square of what rounding leaves.
const SMALLEST: f32 = 1e-15;
/// Largest logits that are asked for at a time; beyond, a head is computed whole.
pub(crate) const MOST: usize = 256;
/// The largest integer that stands for an activation: 127 · 128 and what rounding adds.
const ACTIVATION_MAX: f32 = 16_256.0;

/// A head in 6 bits.
pub(crate) struct HeadScreen {
    /// Panels; rows that the last block lacks are zeros.
    codes: Part,
    columns: usize,
    rows: usize,
    /// The scale s of each row, ‖e‖ and ‖w‖ + ‖e‖, the latter two rounded up.
    scales: Vec<f32>,
    errors: Vec<f32>,
    norms: Vec<f32>,
}

/// Buffers of a session for screening one position at a time.
pub(crate) struct Screening {
    /// The activations as f32, without rounding.
    pub(super) values: Vec<f32>,
    /// X = 128 · high + low, the high parts before the low ones.
    planes: Vec<i8>,
    blocks: Vec<Block>,
    /// The rows with the largest scores, in the end by number.
    best: Vec<u32>,
    /// The rows that were computed; room for all.
    rows: Vec<u32>,
    /// Their logits; room for all.
    logits: Vec<f32>,
}

/// What is known of some rows.
#[derive(Clone)]
struct Block {
    scores: [f32; BLOCK],
    /// Score plus bound.
    upper: [f32; BLOCK],
    /// The largest of each.
    largest: [f32; 2],
}

/// What a position's activations are, seen from the rows.
struct Position {
    /// The scale a.
    scale: f32,
    /// Σ of the high and of the low parts, times the codes' offset.
    offsets: [i32; 2],
    /// ‖v‖, rounded up.
    length: f32,
    /// What multiplies ‖w‖ + ‖e‖ in the bound, rounded up.
    rest: f32,
}

impl HeadScreen {
    /// Bytes of the screen of a matrix.
    pub(crate) fn bytes(rows: usize, columns: usize) -> usize {
        let padded = rows.next_multiple_of(BLOCK);
        padded.saturating_mul(six_bit::panel_bytes(columns) / ROWS + 3 * size_of::<f32>())
    }

    /// The screen of a matrix whose rows `row` writes as f32. Between parts of the matrix `release` is
    /// called, which may let go of its memory.
    ///
    /// # Errors
    /// If the system has no memory for it.
    pub(super) fn new(
        rows: usize,
        columns: usize,
        row: impl Fn(usize, &mut [f32]) + Sync,
        release: impl Fn(),
    ) -> Result<Self, OutOfMemory> {
        let (padded, panel) = (rows.next_multiple_of(BLOCK), six_bit::panel_bytes(columns));
        let (mut scales, mut errors, mut norms) = (zeros(padded)?, zeros(padded)?, zeros(padded)?);
        let mut arena = Arena::new(padded / ROWS * panel)?;
        let codes = arena.part(padded / ROWS * panel, |codes| {
            let slabs = codes.chunks_mut(SLAB / ROWS * panel).zip(scales.chunks_mut(SLAB));
            let slabs = slabs.zip(errors.chunks_mut(SLAB)).zip(norms.chunks_mut(SLAB));
            for (slab, (((codes, scales), errors), norms)) in slabs.enumerate() {
                let panels =
                    codes.par_chunks_exact_mut(panel).zip(scales.par_chunks_exact_mut(ROWS));
                let figures =
                    errors.par_chunks_exact_mut(ROWS).zip(norms.par_chunks_exact_mut(ROWS));
                panels.zip(figures).enumerate().for_each(
                    |(index, ((codes, scales), (errors, norms)))| {
                        let first = slab * SLAB + index * ROWS;
                        let (mut values, mut rounded) =
                            (vec![0.0; columns], vec![0; ROWS * columns]);
                        let places = rounded.chunks_exact_mut(columns).enumerate();
                        for (place, rounded) in places.take(rows.saturating_sub(first)) {
                            row(first + place, &mut values);
                            (scales[place], errors[place], norms[place]) =
                                round_row(&values, rounded);
                        }
                        pack(&rounded, columns, codes);
                    },
                );
                release();
            }
        });
        arena.finish();
        Ok(Self { codes, columns, rows, scales, errors, norms })
    }

    /// Computes the logits that can be among the `count` largest: `work.rows` says which rows they are,
    /// `work.logits` what they are. `work.values` are the activations, and `exact` computes the logits of
    /// some rows.
    ///
    /// False, and nothing computed, where any row can be: activations that are not all finite, or all zero.
    pub(super) fn largest(
        &self,
        pool: &mut ThreadPool,
        dispatch: &mut Dispatch,
        work: &mut Screening,
        count: usize,
        mut exact: impl FnMut(&mut ThreadPool, &mut Dispatch, &[u32], &mut [f32]),
    ) -> bool {
        let Some(position) = work.quantize() else { return false };
        self.score(pool, dispatch, work, &position);
        work.take_best(self.rows, count.min(self.rows));
        let Screening { blocks, best, rows, logits, .. } = work;
        let first = best.len();
        rows.clear();
        rows.extend_from_slice(best);
        logits.resize(first, 0.0);
        exact(pool, dispatch, rows, logits);
        // So many rows reach this; one that cannot is not among the largest.
        let lowest = |least: f32, logit: &f32| {
            if logit.is_nan() { f32::NEG_INFINITY } else { least.min(*logit) }
        };
        let reached = logits.iter().fold(f32::INFINITY, lowest);
        best.sort_unstable();
        for (index, block) in
            blocks.iter().enumerate().filter(|(_, block)| block.largest[1] >= reached)
        {
            let range = index * BLOCK..self.rows.min((index + 1) * BLOCK);
            let possible = range.zip(&block.upper).filter(|(_, upper)| **upper >= reached);
            rows.extend(
                possible.map(|(row, _)| row as u32).filter(|row| best.binary_search(row).is_err()),
            );
        }
        logits.resize(rows.len(), 0.0);
        exact(pool, dispatch, &rows[first..], &mut logits[first..]);
        true
    }

    /// Tells each thread which codes it reads first, so that it can ask for them while it waits.
    pub(super) fn expect(&self, pool: &mut ThreadPool) {
        let (codes, block) =
            (self.codes.bytes(), BLOCK / ROWS * six_bit::panel_bytes(self.columns));
        let (count, threads) = (codes.len() / block, pool.threads());
        pool.expect(|thread| &codes[own_parts(count, threads, thread).start * block..]);
    }

    /// Scores and upper values of all rows.
    fn score(
        &self,
        pool: &mut ThreadPool,
        dispatch: &mut Dispatch,
        work: &mut Screening,
        position: &Position,
    ) {
        let (columns, panels) = (self.columns, BLOCK / ROWS * six_bit::panel_bytes(self.columns));
        let (dots, codes, planes) = (dispatch.six_bit_dots(), self.codes.bytes(), &work.planes);
        pool.for_each(Chunks::new(&mut work.blocks, 1), |_, index, block| {
            let block = &mut block[0];
            let mut sums = [0; 2 * BLOCK];
            dots(&codes[index * panels..][..panels], columns, planes, &mut sums);
            let (high, low) = sums.split_at(BLOCK);
            let rows = index * BLOCK..(index + 1) * BLOCK;
            let (scales, errors) = (&self.scales[rows.clone()], &self.errors[rows.clone()]);
            let norms = &self.norms[rows];
            for i in 0..BLOCK {
                let integer = (high[i] - position.offsets[0]) as f32 * 128.0
                    + (low[i] - position.offsets[1]) as f32;
                let bound = errors[i] * position.length + norms[i] * position.rest;
                let score = integer * position.scale * scales[i];
                // Beyond, the head's own sums could overflow; what is no number bounds nothing.
                let bounded = norms[i] * position.length < 1e37 && bound < f32::INFINITY;
                block.scores[i] = if bounded { score } else { f32::INFINITY };
                block.upper[i] = if bounded { score + bound } else { f32::INFINITY };
            }
            let largest =
                |values: &[f32; BLOCK]| values.iter().fold(f32::NEG_INFINITY, |a, b| a.max(*b));
            block.largest = [largest(&block.scores), largest(&block.upper)];
        });
    }
}

/// One row in 6 bits, a byte each; returns the scale s, ‖e‖ and ‖w‖ + ‖e‖.
fn round_row(values: &[f32], codes: &mut [u8]) -> (f32, f32, f32) {
    /// Added to a small number it leaves its nearest integer in the low bits: 1.5 · 2^23.
    const ROUND: f32 = 12_582_912.0;
    let largest = values.iter().fold(0f32, |a, v| a.max(v.abs()));
    let scale = largest / six_bit::MAX as f32;
    let numbers = largest < f32::INFINITY && !values.iter().any(|v| v.is_nan());
    // A row that is not all finite, or too small to be bounded, is never left out.
    if !numbers || largest > 0.0 && scale < SMALLEST {
        codes.fill(six_bit::OFFSET as u8);
        return (0.0, f32::INFINITY, f32::INFINITY);
    }
    let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
    // Lanes, so that the compiler keeps them side by side.
    let (mut errors, mut squares) = ([0f32; 8], [0f32; 8]);
    for (values, codes) in values.chunks(8).zip(codes.chunks_mut(8)) {
        for (i, (value, code)) in values.iter().zip(codes).enumerate() {
            let shifted = value * inverse + ROUND;
            let rest = value - scale * (shifted - ROUND);
            errors[i] += rest * rest;
            squares[i] += value * value;
            *code = (shifted.to_bits() as u8).wrapping_add(six_bit::OFFSET as u8);
        }
    }
    let length =
        |lanes: [f32; 8]| rounded_up(lanes.iter().map(|v| f64::from(*v)).sum::<f64>().sqrt());
    (scale, length(errors), length(squares) + length(errors))
}

/// The codes of a panel's rows, `columns` apart, into its groups.
fn pack(codes: &[u8], columns: usize, panel: &mut [u8]) {
    for (g, group) in panel.as_chunks_mut::<{ six_bit::GROUP_BYTES }>().0.iter_mut().enumerate() {
        let rows = std::array::from_fn(|r| {
            std::array::from_fn(|k| codes[r * columns + g * GROUP_COLUMNS + k])
        });
        six_bit::pack_group(&rows, group);
    }
}

/// At least `value`, with room for the roundings of the sum behind it: one for each eighth value of a row,
/// of at most 2⁻²⁴ each.
fn rounded_up(value: f64) -> f32 {
    (value * (1.0 + 1e-3)) as f32
}

impl Screening {
    /// Buffers for a head of this shape.
    ///
    /// # Errors
    /// If the system has no memory for them.
    pub(crate) fn new(rows: usize, columns: usize) -> Result<Self, OutOfMemory> {
        Ok(Self {
            values: zeros(columns)?,
            planes: zeros(2 * columns)?,
            blocks: defaults(rows.div_ceil(BLOCK))?,
            best: Vec::with_capacity(rows.min(MOST) + 1),
            rows: zeros(rows)?,
            logits: zeros(rows)?,
        })
    }

    /// Turns the values into integers of 15 bits. None where they are not all finite, or too small or all
    /// zero.
    fn quantize(&mut self) -> Option<Position> {
        let largest = self.values.iter().fold(0f32, |a, v| a.max(v.abs()));
        let scale = largest / ACTIVATION_MAX;
        let numbers = largest < f32::INFINITY && !self.values.iter().any(|v| v.is_nan());
        if !numbers || scale < SMALLEST {
            return None;
        }
        let n = self.values.len();
        let (mut sums, mut rest, mut square) = ([0; 2], 0f64, 0f64);
        let (high, low) = self.planes.split_at_mut(n);
        for ((value, high), low) in self.values.iter().zip(high).zip(low) {
            let integer = (value / scale).round_ties_even() as i32;
            // To the nearest multiple of 128, so that what is left has 7 bits and a sign.
            let upper = (integer + 64) >> 7;
            (*high, *low) = (upper as i8, (integer - (upper << 7)) as i8);
            sums[0] += upper;
            sums[1] += integer - (upper << 7);
            let d = f64::from(*value) - f64::from(scale) * f64::from(integer);
            rest += d * d;
            square += f64::from(*value) * f64::from(*value);
        }
        let length = square.sqrt();
        let roundings = (n as f64 + 8.0) * 2f64.powi(-23) + 2f64.powi(-15);
        Some(Position {
            scale,
            offsets: sums.map(|sum| sum * six_bit::OFFSET),
            length: rounded_up(length),
            rest: rounded_up(rest.sqrt() + roundings * length),
        })
    }

    /// The computed logits in a row for all ids; the others are −∞.
    pub(super) fn write(&self, logits: &mut [f32]) {
        logits.fill(f32::NEG_INFINITY);
        for (row, logit) in self.rows.iter().zip(&self.logits) {
            logits[*row as usize] = *logit;
        }
    }

    /// The rows with the `count` largest scores.
    fn take_best(&mut self, rows: usize, count: usize) {
        let Self { blocks, best, .. } = self;
        best.clear();
        let score = |row: u32| blocks[row as usize / BLOCK].scores[row as usize % BLOCK];
        let mut least = f32::NEG_INFINITY;
        for (index, block) in blocks.iter().enumerate() {
            if best.len() == count && block.largest[0] <= least {
                continue;
            }
            let range = index * BLOCK..rows.min((index + 1) * BLOCK);
            for (row, value) in range.zip(&block.scores) {
                if best.len() == count {
                    if *value <= least {
                        continue;
                    }
                    best.pop();
                }
                let place = best.partition_point(|other| score(*other) >= *value);
                best.insert(place, row as u32);
                if best.len() == count {
                    least = best.last().map_or(least, |row| score(*row));
                }
            }
        }
    }
}

impl Default for Block {
    fn default() -> Self {
        Self { scores: [0.0; BLOCK], upper: [0.0; BLOCK], largest: [0.0; 2] }
    }
}
