//! The figures of one position: reference logits against test logits. All sums in f64 with
//! log-sum-exp; decides nothing, and compares only rows of the same shape.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    CompareError, Rows,
    rows::{argmax, best_two, key_id, select_top},
};

/// Tokens, best of the reference first, that the scale slope is fitted on.
pub const SLOPE_TOKENS: usize = 1024;
/// Tokens of either side whose log probabilities are compared one by one.
pub const TOP_TOKENS: usize = 64;
const OVERLAP_TOKENS: usize = 10;

/// Negative log likelihood, in nats, that each side gives to the forced next token.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NllPair {
    /// The reference's.
    pub reference: f64,
    /// The test's.
    pub test: f64,
    /// The token comes from given text and not from the reference's own greedy choice.
    pub text: bool,
}

/// The ids that follow the compared rows.
#[derive(Debug, Clone, Copy)]
pub struct Targets<'a> {
    /// `ids[i]` follows row `i`; the last row may have none.
    pub ids: &'a [u32],
    /// How many of them, from the first on, are given text. The rest are the reference's own choices,
    /// which favour it: they are no sample to take a perplexity from.
    pub text: usize,
}

impl<'a> Targets<'a> {
    /// All of them from a given text.
    pub fn of_text(ids: &'a [u32]) -> Self {
        Self { ids, text: ids.len() }
    }

    /// All of them the reference's greedy choices.
    pub fn chosen(ids: &'a [u32]) -> Self {
        Self { ids, text: 0 }
    }
}

/// One position, reference `r` against test `t`, with `p = softmax(r)` and `q = softmax(t)`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RowMetrics {
    /// Index of the last id that was fed.
    pub position: usize,
    /// Every logit has the same bits; the figures below are then exact, not computed.
    pub bit_equal: bool,
    /// `r·t / (‖r‖‖t‖)`; 0 when the test row is all zero.
    pub raw_cosine: f64,
    /// Raw cosine after the mean difference is taken off `t`: what a constant shift hides.
    pub unshifted_cosine: f64,
    /// `t̄ − r̄`.
    pub mean_shift: f64,
    /// Cosine of `r − r̄` and `t − t̄`; 0 when the test row is constant.
    pub centred_cosine: f64,
    /// `Σ((t−t̄) − (r−r̄))² / Σ(r−r̄)²`.
    pub nmse: f64,
    /// Slope of the least-squares line `t = a + b·r` over the reference's best 1,024 tokens.
    pub slope: f64,
    /// Standard error of that slope.
    pub slope_error: f64,
    /// `KL(p‖q)` in nats.
    pub kl: f64,
    /// `½ Σ|p − q|`.
    pub total_variation: f64,
    /// Largest `|ln q − ln p|` over the best 64 tokens of either side.
    pub max_ln_p_gap: f64,
    /// The reference's best token; of equals the lowest id.
    pub reference_top: u32,
    /// The test's best token.
    pub test_top: u32,
    /// The reference's logit of its best token.
    pub reference_logit: f64,
    /// How far it lies above the second best: how sure the reference is, in nats.
    pub reference_margin: f64,
    /// Jaccard index of the two sets of best 10 tokens.
    pub top10_overlap: f64,
    /// For the forced next token; none at the last position.
    pub nll: Option<NllPair>,
}

/// Compares row by row.
///
/// # Errors
/// Different shapes, no rows, a reference row without spread, or targets that do not fit.
pub fn compare_rows(
    reference: &Rows<'_>,
    test: &Rows<'_>,
    targets: &Targets<'_>,
) -> Result<Vec<RowMetrics>, CompareError> {
    reference.same_shape(test)?;
    let rows = reference.len();
    let Targets { ids, text } = *targets;
    if ids.len() != rows && ids.len() + 1 != rows {
        return Err(CompareError::Shape {
            what: format!("ids that follow {}", reference.label()),
            found: format!("{} ids", ids.len()),
            expected: format!("{rows}, or {} when the last row has none", rows - 1),
        });
    }
    let vocab_size = reference.vocab_size();
    if let Some((index, id)) = ids.iter().enumerate().find(|(_, id)| **id as usize >= vocab_size) {
        return Err(CompareError::Id {
            what: format!("ids that follow {}", reference.label()),
            index,
            id: *id,
            vocab_size,
        });
    }
    let mut scratch = Scratch::default();
    let mut metrics = Vec::with_capacity(rows);
    for row in 0..rows {
        let place =
            Place { rows: reference, row, target: ids.get(row).map(|id| (*id, row < text)) };
        metrics.push(scratch.compare(reference.row(row), test.row(row), &place)?);
    }
    Ok(metrics)
}

struct Place<'a> {
    rows: &'a Rows<'a>,
    row: usize,
    /// The next id, and whether it is given text.
    target: Option<(u32, bool)>,
}

impl Place<'_> {
    fn position(&self) -> usize {
        self.rows.position(self.row)
    }

    fn constant(&self) -> CompareError {
        CompareError::Constant { what: self.rows.label().to_owned(), position: self.position() }
    }
}

/// Buffers of one vocabulary's size, kept between rows.
#[derive(Default)]
struct Scratch {
    p: Vec<f64>,
    q: Vec<f64>,
    reference_keys: Vec<u64>,
    test_keys: Vec<u64>,
}

impl Scratch {
    fn compare(
        &mut self,
        r: &[f32],
        t: &[f32],
        place: &Place<'_>,
    ) -> Result<RowMetrics, CompareError> {
        if r.iter().zip(t).all(|(r, t)| r.to_bits() == t.to_bits()) {
            return self.bit_equal(r, place);
        }
        let sums = CentredSums::of(r, t);
        // Equal logits leave the rounding of their mean; their spread is zero all the same.
        if sums.rr == 0.0 || r.iter().all(|v| *v == r[0]) {
            return Err(place.constant());
        }
        let n = r.len() as f64;
        let ln_z_reference = softmax_terms(r, &mut self.p);
        let ln_z_test = softmax_terms(t, &mut self.q);
        let (kl, total_variation) = self.divergence(r, t, ln_z_reference - ln_z_test);

        let raw_dot = sums.rt + n * sums.mean_r * sums.mean_t;
        let norm_r = (sums.rr + n * sums.mean_r * sums.mean_r).sqrt();
        let norm_t = (sums.tt + n * sums.mean_t * sums.mean_t).sqrt();
        let unshifted_dot = sums.rt + n * sums.mean_r * sums.mean_r;
        let unshifted_norm = (sums.tt + n * sums.mean_r * sums.mean_r).sqrt();

        self.order(r, t);
        let (slope, slope_error) = self.slope(r, t, &sums);
        let offset = ln_z_reference - ln_z_test;
        let (reference_top, second) = best_two(r);
        let reference_logit = f64::from(r[reference_top as usize]);
        let nll = place.target.map(|(id, text)| NllPair {
            reference: ln_z_reference - f64::from(r[id as usize]),
            test: ln_z_test - f64::from(t[id as usize]),
            text,
        });
        Ok(RowMetrics {
            position: place.position(),
            bit_equal: false,
            raw_cosine: cosine(raw_dot, norm_r * norm_t),
            unshifted_cosine: cosine(unshifted_dot, norm_r * unshifted_norm),
            mean_shift: sums.mean_t - sums.mean_r,
            centred_cosine: cosine(sums.rt, (sums.rr * sums.tt).sqrt()),
            nmse: sums.difference / sums.rr,
            slope,
            slope_error,
            kl,
            total_variation,
            max_ln_p_gap: self.max_ln_p_gap(r, t, offset),
            reference_top,
            test_top: argmax(t),
            reference_logit,
            reference_margin: reference_logit - f64::from(r[second as usize]),
            top10_overlap: self.overlap(),
            nll,
        })
    }

    fn bit_equal(&mut self, r: &[f32], place: &Place<'_>) -> Result<RowMetrics, CompareError> {
        if r.iter().all(|v| *v == r[0]) {
            return Err(place.constant());
        }
        let nll = place.target.map(|(id, text)| {
            let nll = softmax_terms(r, &mut self.p) - f64::from(r[id as usize]);
            NllPair { reference: nll, test: nll, text }
        });
        let (top, second) = best_two(r);
        let reference_logit = f64::from(r[top as usize]);
        Ok(RowMetrics {
            position: place.position(),
            bit_equal: true,
            raw_cosine: 1.0,
            unshifted_cosine: 1.0,
            mean_shift: 0.0,
            centred_cosine: 1.0,
            nmse: 0.0,
            slope: 1.0,
            slope_error: 0.0,
            kl: 0.0,
            total_variation: 0.0,
            max_ln_p_gap: 0.0,
            reference_top: top,
            test_top: top,
            reference_logit,
            reference_margin: reference_logit - f64::from(r[second as usize]),
            top10_overlap: 1.0,
            nll,
        })
    }

    /// KL as `Σ p·(e^δ − 1 − δ)` with `δ = ln q − ln p`: equal to `Σ p·(−δ)` because `Σp = Σq = 1`,
    /// but no term is negative and nothing cancels. Also the total variation.
    fn divergence(&self, r: &[f32], t: &[f32], offset: f64) -> (f64, f64) {
        let (mut kl, mut variation) = (0.0f64, 0.0f64);
        for (((r, t), p), q) in r.iter().zip(t).zip(&self.p).zip(&self.q) {
            let delta = f64::from(*t) - f64::from(*r) + offset;
            // p·e^δ is q.
            kl += if delta.abs() < SMALL { p * small_excess(delta) } else { q - p - p * delta };
            variation += (p - q).abs();
        }
        (kl, 0.5 * variation)
    }

    /// Keys of the best tokens: the reference's best 1,024 with its best 64 in order in front, and
    /// the test's best 64 in order.
    fn order(&mut self, r: &[f32], t: &[f32]) {
        select_top(r, SLOPE_TOKENS, &mut self.reference_keys);
        let top = TOP_TOKENS.min(self.reference_keys.len());
        self.reference_keys.select_nth_unstable(top - 1);
        self.reference_keys[..top].sort_unstable();
        select_top(t, TOP_TOKENS, &mut self.test_keys);
        self.test_keys.sort_unstable();
    }

    /// Slope and its standard error. Where the best tokens are all equal the whole row is fitted.
    fn slope(&self, r: &[f32], t: &[f32], all: &CentredSums) -> (f64, f64) {
        let n = self.reference_keys.len() as f64;
        let pairs = || {
            self.reference_keys.iter().map(|key| {
                let id = key_id(*key) as usize;
                (f64::from(r[id]), f64::from(t[id]))
            })
        };
        let (sum_r, sum_t) = pairs().fold((0.0, 0.0), |(a, b), (r, t)| (a + r, b + t));
        let (mean_r, mean_t) = (sum_r / n, sum_t / n);
        let (mut rr, mut tt, mut rt) = (0.0, 0.0, 0.0);
        for (r, t) in pairs() {
            let (r, t) = (r - mean_r, t - mean_t);
            rr += r * r;
            tt += t * t;
            rt += r * t;
        }
        if rr > 0.0 { line(rr, tt, rt, n) } else { line(all.rr, all.tt, all.rt, all.count) }
    }

    fn max_ln_p_gap(&self, r: &[f32], t: &[f32], offset: f64) -> f64 {
        let top = TOP_TOKENS.min(self.reference_keys.len());
        let keys = self.reference_keys[..top].iter().chain(&self.test_keys);
        keys.map(|key| {
            let id = key_id(*key) as usize;
            (f64::from(t[id]) - f64::from(r[id]) + offset).abs()
        })
        .fold(0.0, f64::max)
    }

    fn overlap(&self) -> f64 {
        let count = OVERLAP_TOKENS.min(self.test_keys.len());
        let ours = &self.test_keys[..count];
        let common = self.reference_keys[..count]
            .iter()
            .filter(|a| ours.iter().any(|b| key_id(**a) == key_id(*b)))
            .count();
        common as f64 / (2 * count - common) as f64
    }
}

fn cosine(dot: f64, norms: f64) -> f64 {
    if norms > 0.0 { (dot / norms).clamp(-1.0, 1.0) } else { 0.0 }
}

fn line(rr: f64, tt: f64, rt: f64, n: f64) -> (f64, f64) {
    let slope = rt / rr;
    // Two points always lie on a line: their slope has no measurable error.
    let residual = (tt - slope * rt).max(0.0);
    let error = if n > 2.0 { (residual / (n - 2.0) / rr).sqrt() } else { 0.0 };
    (slope, error)
}

/// Below this size `e^δ − 1 − δ` is taken from its series.
pub(super) const SMALL: f64 = 1e-2;

/// `e^δ − 1 − δ` by its series; the first term left out is δ⁷/5040.
pub(super) fn small_excess(delta: f64) -> f64 {
    let tail = 1.0 / 24.0 + delta * (1.0 / 120.0 + delta / 720.0);
    delta * delta * (0.5 + delta * (1.0 / 6.0 + delta * tail))
}

/// Writes `softmax(row)` to `out` and gives the log of its normaliser, `ln Σ e^x`.
pub(super) fn softmax_terms(row: &[f32], out: &mut Vec<f64>) -> f64 {
    let max = f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    out.clear();
    out.extend(row.iter().map(|v| (f64::from(*v) - max).exp()));
    let z: f64 = lanes(out.chunks_exact(LANES), out.chunks_exact(LANES).remainder());
    let scale = 1.0 / z;
    out.iter_mut().for_each(|e| *e *= scale);
    max + z.ln()
}

const LANES: usize = 8;

/// Sum over independent lanes: the order is fixed, and the additions do not wait for each other.
fn lanes<'a>(chunks: impl Iterator<Item = &'a [f64]>, rest: &[f64]) -> f64 {
    let mut sums = [0.0f64; LANES];
    for chunk in chunks {
        for (sum, v) in sums.iter_mut().zip(chunk) {
            *sum += v;
        }
    }
    sums.iter().sum::<f64>() + rest.iter().sum::<f64>()
}

/// Means and centred second moments of a pair of rows.
struct CentredSums {
    count: f64,
    mean_r: f64,
    mean_t: f64,
    rr: f64,
    tt: f64,
    rt: f64,
    difference: f64,
}

impl CentredSums {
    fn of(r: &[f32], t: &[f32]) -> Self {
        let count = r.len() as f64;
        let (mean_r, mean_t) = (mean(r), mean(t));
        let mut lanes = [[0.0f64; 4]; LANES];
        let add = |sums: &mut [f64; 4], r: f32, t: f32| {
            let (r, t) = (f64::from(r) - mean_r, f64::from(t) - mean_t);
            let gap = t - r;
            sums[0] += r * r;
            sums[1] += t * t;
            sums[2] += r * t;
            sums[3] += gap * gap;
        };
        let (r_chunks, t_chunks) = (r.chunks_exact(LANES), t.chunks_exact(LANES));
        for (r, t) in r_chunks.remainder().iter().zip(t_chunks.remainder()) {
            add(&mut lanes[0], *r, *t);
        }
        for (r, t) in r_chunks.zip(t_chunks) {
            for ((sums, r), t) in lanes.iter_mut().zip(r).zip(t) {
                add(sums, *r, *t);
            }
        }
        let [rr, tt, rt, difference] =
            std::array::from_fn(|k| lanes.iter().map(|l| l[k]).sum::<f64>());
        Self { count, mean_r, mean_t, rr, tt, rt, difference }
    }
}

pub(super) fn mean(row: &[f32]) -> f64 {
    let chunks = row.chunks_exact(LANES);
    let rest: f64 = chunks.remainder().iter().map(|v| f64::from(*v)).sum();
    let mut sums = [0.0f64; LANES];
    for chunk in chunks {
        for (sum, v) in sums.iter_mut().zip(chunk) {
            *sum += f64::from(*v);
        }
    }
    (sums.iter().sum::<f64>() + rest) / row.len() as f64
}
