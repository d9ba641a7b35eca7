//! Between which figures a row lies whose bits are not the kept ones. Strict where it follows from the kept
//! logits and sums; where it follows from the projection, missed once in a million. Judges nothing.

use super::digest::{RowFigures, spread};
use super::sketch::Directions;
use crate::compare::{
    NllPair, RowMetrics, SLOPE_TOKENS,
    metrics::{SMALL, mean, small_excess, softmax_terms},
    rows::{argmax, key_id, select_top},
};

const OVERLAP_TOKENS: usize = 10;

/// Which ends of the bounds a row is filled with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// No real figure is better.
    Best,
    /// No real figure is worse; slopes as large as they can be.
    WorstSteep,
    /// No real figure is worse; slopes as small as they can be.
    WorstFlat,
}

/// Two bounds, the better figure first.
#[derive(Debug, Clone, Copy)]
struct Between {
    best: f64,
    worst: f64,
}

impl Between {
    fn at(self, end: End) -> f64 {
        if end == End::Best { self.best } else { self.worst }
    }
}

/// The bounds of one row.
#[derive(Debug)]
pub(super) struct RowBounds {
    raw_cosine: Between,
    unshifted_cosine: Between,
    centred_cosine: Between,
    nmse: Between,
    kl: Between,
    total_variation: Between,
    max_ln_p_gap: Between,
    /// Low and high.
    slope: (f64, f64),
    /// Largest standard error that the slope can have.
    slope_error: f64,
    mean_shift: f64,
    reference_top: u32,
    reference_logit: f64,
    reference_margin: f64,
    test_top: u32,
    top10_overlap: f64,
    nll: Option<(f64, f64)>,
}

impl RowBounds {
    /// The bounds of the test row `t` against the reference row of which `kept` remains. `next` is the id
    /// that follows.
    pub(super) fn new(
        kept: &RowFigures,
        t: &[f32],
        next: Option<u32>,
        directions: &Directions,
    ) -> Self {
        let n = t.len() as f64;
        let mut q = Vec::new();
        let (mean_r, mean_t, ln_z_test) = (kept.mean, mean(t), softmax_terms(t, &mut q));
        let (rr, tt) = (kept.spread, spread(t.iter().map(|v| f64::from(*v)), mean_t));
        let offset = kept.ln_z - ln_z_test;
        let shift = mean_t - mean_r;
        let head = Head::of(kept, t, &q, offset, shift);

        // ‖(t − t̄) − (r − r̄)‖²
        let (low, high) =
            directions.distance(t.iter().map(|v| f64::from(*v) - mean_t), &kept.sketch);
        let low = low.max((tt.sqrt() - rr.sqrt()).powi(2)).max(head.centred);
        let high = high.min((tt.sqrt() + rr.sqrt()).powi(2)).max(low);
        // By polarisation; the smaller the distance, the larger the product.
        let rt = Between { best: 0.5 * (rr + tt - low), worst: 0.5 * (rr + tt - high) };

        let cosine = |dot: &dyn Fn(f64) -> f64, norms: f64| {
            let of = |rt| if norms > 0.0 { (dot(rt) / norms).clamp(-1.0, 1.0) } else { 0.0 };
            Between { best: of(rt.best), worst: of(rt.worst) }
        };
        let norm_r = (rr + n * mean_r * mean_r).sqrt();
        let slope = if t.len() <= SLOPE_TOKENS {
            (rt.worst / rr, rt.best / rr)
        } else {
            // Cauchy and Schwarz on the best 1,024 tokens, which are a part of the row.
            let most = (high / kept.best_spread).sqrt();
            (1.0 - most, 1.0 + most)
        };
        let fitted = t.len().min(SLOPE_TOKENS) as f64;
        let residual = (tt - rt.worst * rt.worst / rr).max(0.0);
        let slope_error =
            if fitted > 2.0 { (residual / (fitted - 2.0) / kept.best_spread).sqrt() } else { 0.0 };
        // Every δ = ln q − ln p is its centred part plus this.
        let common = shift + offset;
        let farthest = (high - head.centred).max(0.0).sqrt();
        let gap = head.largest_gap.max(farthest + common.abs());
        Self {
            raw_cosine: cosine(
                &|rt| rt + n * mean_r * mean_t,
                norm_r * (tt + n * mean_t * mean_t).sqrt(),
            ),
            unshifted_cosine: cosine(
                &|rt| rt + n * mean_r * mean_r,
                norm_r * (tt + n * mean_r * mean_r).sqrt(),
            ),
            centred_cosine: cosine(&|rt| rt, (rr * tt).sqrt()),
            nmse: Between { best: low / rr, worst: high / rr },
            kl: head.kl(
                &q,
                farthest + common,
                (high + n * common * common - head.squares).max(0.0),
            ),
            total_variation: Between {
                best: 0.5 * (head.variation + (head.p_tail - head.q_tail).abs()),
                worst: 0.5 * (head.variation + head.p_tail + head.q_tail),
            },
            max_ln_p_gap: Between { best: head.largest_gap, worst: gap },
            slope,
            slope_error,
            mean_shift: shift,
            reference_top: kept.head[0].0,
            reference_logit: f64::from(kept.head[0].1),
            reference_margin: f64::from(kept.head[0].1) - f64::from(kept.head[1].1),
            test_top: argmax(t),
            top10_overlap: overlap(kept, t),
            nll: next.and_then(|id| {
                let own = kept.next?;
                let test = t.get(id as usize)?;
                Some((kept.ln_z - f64::from(own), ln_z_test - f64::from(*test)))
            }),
        }
    }

    /// The row at `position`, filled from one end. `text` says whether what follows is given text.
    pub(super) fn row(&self, position: usize, text: bool, end: End) -> RowMetrics {
        let (low, high) = self.slope;
        let (slope, slope_error) = match end {
            End::Best => (1.0_f64.max(low).min(high), self.slope_error),
            End::WorstSteep => (high, 0.0),
            End::WorstFlat => (low, 0.0),
        };
        RowMetrics {
            position,
            bit_equal: false,
            raw_cosine: self.raw_cosine.at(end),
            unshifted_cosine: self.unshifted_cosine.at(end),
            mean_shift: self.mean_shift,
            centred_cosine: self.centred_cosine.at(end),
            nmse: self.nmse.at(end),
            slope,
            slope_error,
            kl: self.kl.at(end),
            total_variation: self.total_variation.at(end),
            max_ln_p_gap: self.max_ln_p_gap.at(end),
            reference_top: self.reference_top,
            reference_logit: self.reference_logit,
            reference_margin: self.reference_margin,
            test_top: self.test_top,
            top10_overlap: self.top10_overlap,
            nll: self.nll.map(|(reference, test)| NllPair { reference, test, text }),
        }
    }
}

/// Sums over the kept tokens, all exact, and what they leave for the others.
struct Head {
    /// `Σ p·(e^δ − 1 − δ)`.
    kl: f64,
    /// `Σ|p − q|`.
    variation: f64,
    /// `Σ((t − t̄) − (r − r̄))²`.
    centred: f64,
    /// `Σδ²`.
    squares: f64,
    largest_gap: f64,
    /// Probability of all other tokens, in the reference and in the test.
    p_tail: f64,
    q_tail: f64,
    /// No other token is likelier in the reference.
    p_last: f64,
    ids: Vec<u32>,
}

impl Head {
    fn of(kept: &RowFigures, t: &[f32], q: &[f64], offset: f64, shift: f64) -> Self {
        let mut head = Self {
            kl: 0.0,
            variation: 0.0,
            centred: 0.0,
            squares: 0.0,
            largest_gap: 0.0,
            p_tail: 1.0,
            q_tail: 0.0,
            p_last: 1.0,
            ids: kept.head.iter().map(|(id, _)| *id).collect(),
        };
        for (id, r) in &kept.head {
            let (Some(t), Some(q)) = (t.get(*id as usize), q.get(*id as usize)) else { continue };
            let p = (f64::from(*r) - kept.ln_z).exp();
            let gap = f64::from(*t) - f64::from(*r);
            let delta = gap + offset;
            head.kl += p * excess(delta);
            head.variation += (p - q).abs();
            head.centred += (gap - shift) * (gap - shift);
            head.squares += delta * delta;
            head.largest_gap = head.largest_gap.max(delta.abs());
            head.p_tail -= p;
            head.p_last = p;
        }
        head.p_tail = head.p_tail.max(0.0);
        head.q_tail = head.others(q).sum();
        head
    }

    fn others<'a>(&'a self, q: &'a [f64]) -> impl Iterator<Item = f64> + 'a {
        let other = |id: &usize| !self.ids.iter().any(|head| *head as usize == *id);
        q.iter().enumerate().filter(move |(id, _)| other(id)).map(|(_, q)| *q)
    }

    /// Bounds of the KL where no other token's δ is above `most` and their squares sum to at most
    /// `squares`.
    ///
    /// Below, the log-sum inequality: the others as one token. Above, the smaller of
    /// `p_last · ½·Σδ²·e^most`, since `e^δ − 1 − δ ≤ ½δ²·max(1, e^δ)`, and of what the least likely token
    /// would cost if all of the probability lay on it.
    fn kl(&self, q: &[f64], most: f64, squares: f64) -> Between {
        let (p, other) = (self.p_tail, self.q_tail);
        let lump = if p > 0.0 && other > 0.0 { p * excess((other / p).ln()) } else { 0.0 };
        let near = self.p_last * 0.5 * squares * most.max(0.0).exp();
        let least = self.others(q).fold(1.0, f64::min).max(f64::MIN_POSITIVE);
        let far = (p * (self.p_last / least).ln().max(0.0) - p + other).max(0.0);
        Between { best: self.kl + lump, worst: self.kl + near.min(far).max(lump) }
    }
}

/// `e^δ − 1 − δ`, never negative.
fn excess(delta: f64) -> f64 {
    if delta.abs() < SMALL { small_excess(delta) } else { (delta.exp_m1() - delta).max(0.0) }
}

/// Jaccard index of the best 10 tokens, all of which are kept.
fn overlap(kept: &RowFigures, t: &[f32]) -> f64 {
    let mut keys = Vec::new();
    select_top(t, OVERLAP_TOKENS, &mut keys);
    let count = keys.len().min(kept.head.len());
    let head = &kept.head[..count];
    let common = keys.iter().filter(|k| head.iter().any(|(id, _)| *id == key_id(**k))).count();
    common as f64 / (2 * count - common).max(1) as f64
}
