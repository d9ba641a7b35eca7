//! The statistics of a text under two engines, named and defined as llama.cpp's perplexity tool prints them
//! with `--kl-divergence`. Nothing is clipped: that tool's floor of 16 nat below the best logit, and its
//! 16-bit steps, are those of a file that is not used here. It judges nothing.

use serde::Serialize;

use super::{Rate, RowMetrics};
use crate::stats::Sample;

/// A figure with its standard error, which takes positions as independent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct WithError {
    /// The figure.
    pub value: f64,
    /// Its standard error.
    pub error: f64,
}

/// Perplexities of a text: `Q` is the engine under test, `base` the reference.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Perplexity {
    /// Positions, each with the token that follows in the text.
    pub tokens: usize,
    /// Of them, positions whose logits are equal bit by bit.
    pub bit_equal: usize,
    /// `Mean PPL(Q)`: `e^m̄` with `m̄` the mean negative log likelihood; error `PPL·SE(m̄)`.
    pub ppl_q: WithError,
    /// `Mean PPL(base)`.
    pub ppl_base: WithError,
    /// `Cor(ln(PPL(Q)), ln(PPL(base)))`: Pearson's of the negative log likelihoods.
    pub correlation: f64,
    /// `Mean ln(PPL(Q)/PPL(base))`; error `√(σ_Q² + σ_b² − 2·cov)`, all of the means.
    pub ln_ratio: WithError,
    /// `Mean PPL(Q)/PPL(base)`.
    pub ratio: WithError,
    /// `Mean PPL(Q)-PPL(base)`; error `√(P_Q²σ_Q² + P_b²σ_b² − 2·P_Q·P_b·cov)`.
    pub difference: WithError,
    /// `KL(base‖Q)` of a position, nats.
    pub kld: Distribution,
    /// `Δp`: probability of the token that follows, `Q` less `base`, as a share of 1.
    pub delta_p: Distribution,
    /// `RMS Δp`; error `½/RMS · SE(Δp²)`.
    pub rms_delta_p: WithError,
    /// `Same top p`: positions where both prefer the same token, with its Wilson interval.
    pub same_top: Rate,
    /// That rate's error as the tool prints it: `√(p(1−p)/(n−1))`, 0 where all agree.
    pub same_top_error: f64,
}

/// Shares of the percentiles of a [`Distribution`], largest first.
pub const SHARES: [f64; 11] = [0.999, 0.99, 0.95, 0.9, 0.75, 0.5, 0.25, 0.1, 0.05, 0.01, 0.001];

/// Mean, extremes and percentiles of a figure of positions.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Distribution {
    /// The mean; error `√((E[x²] − E[x]²)/(n−1))`.
    pub mean: WithError,
    /// Largest value.
    pub maximum: f64,
    /// At [`SHARES`], type 7.
    pub percentiles: [f64; SHARES.len()],
    /// Smallest value.
    pub minimum: f64,
}

/// The statistics of `rows`, all of which are followed by given text. None with fewer than two rows,
/// without a next token, or with a figure that is not finite.
pub fn perplexity(rows: &[RowMetrics]) -> Option<Perplexity> {
    let nll: Option<Vec<_>> = rows.iter().map(|row| row.nll.filter(|nll| nll.text)).collect();
    let nll = nll?;
    let q: Vec<f64> = nll.iter().map(|nll| nll.test).collect();
    let base: Vec<f64> = nll.iter().map(|nll| nll.reference).collect();
    let delta: Vec<f64> = nll.iter().map(|n| (-n.test).exp() - (-n.reference).exp()).collect();
    let squares: Vec<f64> = delta.iter().map(|d| d * d).collect();
    let (mean_q, mean_base) = (mean(&q)?, mean(&base)?);
    let [var_q, var_base, cov] =
        [covariance(&q, &q)?, covariance(&base, &base)?, covariance(&q, &base)?];
    let (p_q, p_base) = (mean_q.exp(), mean_base.exp());
    let ln = WithError {
        value: mean_q - mean_base,
        error: (var_q + var_base - 2.0 * cov).max(0.0).sqrt(),
    };
    let spread = p_q * p_q * var_q + p_base * p_base * var_base - 2.0 * p_q * p_base * cov;
    let rms = mean(&squares)?.sqrt();
    let rms_error =
        covariance(&squares, &squares)?.sqrt() * if rms > 0.0 { 0.5 / rms } else { 0.0 };
    let same = rows.iter().filter(|row| row.reference_top == row.test_top).count();
    let share = same as f64 / rows.len() as f64;
    // Equal likelihoods without any spread are one point: they go together.
    let correlation = if var_q * var_base > 0.0 { cov / (var_q * var_base).sqrt() } else { 1.0 };
    Some(Perplexity {
        tokens: rows.len(),
        bit_equal: rows.iter().filter(|row| row.bit_equal).count(),
        ppl_q: WithError { value: p_q, error: p_q * var_q.sqrt() },
        ppl_base: WithError { value: p_base, error: p_base * var_base.sqrt() },
        correlation,
        ln_ratio: ln,
        ratio: WithError { value: ln.value.exp(), error: ln.value.exp() * ln.error },
        difference: WithError { value: p_q - p_base, error: spread.max(0.0).sqrt() },
        kld: distribution(rows.iter().map(|row| row.kl).collect())?,
        delta_p: distribution(delta)?,
        rms_delta_p: WithError { value: rms, error: rms_error },
        same_top: Rate::new(same, rows.len())?,
        same_top_error: (share * (1.0 - share) / (rows.len() - 1) as f64).sqrt(),
    })
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Covariance of the two means: `(E[xy] − E[x]E[y])/(n−1)`, taken around the means so that nothing cancels.
fn covariance(x: &[f64], y: &[f64]) -> Option<f64> {
    let (mean_x, mean_y) = (mean(x)?, mean(y)?);
    let sum: f64 = x.iter().zip(y).map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let n = x.len() as f64;
    (x.len() > 1).then(|| sum / n / (n - 1.0))
}

fn distribution(values: Vec<f64>) -> Option<Distribution> {
    let mean = WithError { value: mean(&values)?, error: covariance(&values, &values)?.sqrt() };
    let sample = Sample::new(values)?;
    Some(Distribution {
        mean,
        maximum: sample.quantile(1.0),
        percentiles: SHARES.map(|share| sample.quantile(share)),
        minimum: sample.quantile(0.0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::tests::{logits, noisy};
    use crate::compare::{Rows, Targets, compare_rows};

    const VOCAB: usize = 300;
    const ROWS: usize = 40;

    /// Naive twins of the tool's formulas, from sums of products as it keeps them.
    struct Sums {
        n: f64,
        x: f64,
        xx: f64,
        y: f64,
        yy: f64,
        xy: f64,
    }

    impl Sums {
        fn of(x: &[f64], y: &[f64]) -> Self {
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            let sum = |a: &[f64]| a.iter().sum::<f64>();
            let n = x.len() as f64;
            Self { n, x: sum(x), xx: dot(x, x), y: sum(y), yy: dot(y, y), xy: dot(x, y) }
        }

        fn error(sum: f64, squares: f64, n: f64) -> f64 {
            ((squares / n - (sum / n) * (sum / n)) / (n - 1.0)).sqrt()
        }

        fn covariance(&self) -> f64 {
            (self.xy / self.n - self.x / self.n * self.y / self.n) / (self.n - 1.0)
        }
    }

    #[track_caller]
    fn near(got: f64, want: f64) {
        assert!((got - want).abs() <= 1e-9 * want.abs().max(1e-3), "{got} is not {want}");
    }

    #[test]
    fn every_figure_is_that_of_an_independent_computation() {
        let base = logits(VOCAB, ROWS, 1);
        let test = noisy(&base, 0.2, 2);
        let next: Vec<u32> = (0..ROWS as u32).map(|i| i * 7 % VOCAB as u32).collect();
        let rows = |values| Rows::new("rows", VOCAB, values, 0).unwrap();
        let measured = compare_rows(&rows(&base), &rows(&test), &Targets::of_text(&next)).unwrap();
        let got = perplexity(&measured).unwrap();

        let ln_p = |values: &[f32], row: usize| -> Vec<f64> {
            let row = &values[row * VOCAB..(row + 1) * VOCAB];
            let z: f64 = row.iter().map(|v| f64::from(*v).exp()).sum();
            row.iter().map(|v| f64::from(*v) - z.ln()).collect()
        };
        let (mut x, mut y, mut kl, mut dp, mut same) = (vec![], vec![], vec![], vec![], 0);
        for (row, id) in next.iter().enumerate() {
            let (q, p) = (ln_p(&test, row), ln_p(&base, row));
            let id = *id as usize;
            x.push(-q[id]);
            y.push(-p[id]);
            kl.push(p.iter().zip(&q).map(|(p, q)| p.exp() * (p - q)).sum::<f64>());
            dp.push(q[id].exp() - p[id].exp());
            let best = |v: &[f64]| (0..VOCAB).max_by(|a, b| v[*a].total_cmp(&v[*b])).unwrap();
            same += usize::from(best(&q) == best(&p));
        }
        let sums = Sums::of(&x, &y);
        let n = sums.n;
        let (mx, my) = (sums.x / n, sums.y / n);
        let (ex, ey) = (Sums::error(sums.x, sums.xx, n), Sums::error(sums.y, sums.yy, n));
        near(got.ppl_q.value, mx.exp());
        near(got.ppl_q.error, mx.exp() * ex);
        near(got.ppl_base.value, my.exp());
        near(got.ppl_base.error, my.exp() * ey);
        near(got.correlation, sums.covariance() / (ex * ey));
        near(got.ln_ratio.value, mx - my);
        let error = (ex * ex + ey * ey - 2.0 * sums.covariance()).sqrt();
        assert!((got.ln_ratio.error - error).abs() < 1e-7, "{} {error}", got.ln_ratio.error);
        near(got.ratio.value, (mx - my).exp());
        assert!((got.ratio.error - got.ratio.value * error).abs() < 1e-7, "{:?}", got.ratio);
        near(got.difference.value, mx.exp() - my.exp());
        let (dx, dy) = (mx.exp() * ex, my.exp() * ey);
        let between = mx.exp() * my.exp() * sums.covariance();
        let error = (dx * dx + dy * dy - 2.0 * between).sqrt();
        assert!((got.difference.error - error).abs() < 1e-6 * error, "{:?}", got.difference);
        let mut sorted = kl.clone();
        sorted.sort_by(f64::total_cmp);
        near(got.kld.mean.value, kl.iter().sum::<f64>() / n);
        near(got.kld.maximum, sorted[ROWS - 1]);
        near(got.kld.minimum, sorted[0]);
        near(got.kld.percentiles[5], (sorted[19] + sorted[20]) / 2.0);
        // Type 7: place f·(n − 1), and a straight line between the two values around it.
        let percentile = |sorted: &[f64], share: f64| {
            let place = share * (n - 1.0);
            let (below, part) = (place as usize, place.fract());
            let above = sorted[(below + 1).min(ROWS - 1)];
            (1.0 - part) * sorted[below] + part * above
        };
        let mut sorted_dp = dp.clone();
        sorted_dp.sort_by(f64::total_cmp);
        for (share, (kld, dp)) in
            SHARES.iter().zip(got.kld.percentiles.iter().zip(got.delta_p.percentiles))
        {
            near(*kld, percentile(&sorted, *share));
            near(dp, percentile(&sorted_dp, *share));
        }
        let k = Sums::of(&kl, &kl);
        near(got.kld.mean.error, Sums::error(k.x, k.xx, n));
        let squares: Vec<f64> = dp.iter().map(|d| d * d).collect();
        let s = Sums::of(&squares, &squares);
        let rms = (s.x / n).sqrt();
        let d = Sums::of(&dp, &dp);
        near(got.delta_p.mean.value, d.x / n);
        near(got.delta_p.mean.error, Sums::error(d.x, d.xx, n));
        near(got.delta_p.maximum, sorted_dp[ROWS - 1]);
        near(got.delta_p.minimum, sorted_dp[0]);
        near(got.rms_delta_p.value, rms);
        near(got.rms_delta_p.error, 0.5 / rms * Sums::error(s.x, s.xx, n));
        assert_eq!((got.same_top.hits, got.same_top.of), (same, ROWS));
        let p = same as f64 / n;
        near(got.same_top_error, (p * (1.0 - p) / (n - 1.0)).sqrt());
    }

    #[test]
    fn equal_engines_have_no_distance_and_an_honest_interval() {
        let base = logits(VOCAB, ROWS, 1);
        let rows = Rows::new("rows", VOCAB, &base, 0).unwrap();
        let next = vec![3; ROWS];
        let measured = compare_rows(&rows, &rows, &Targets::of_text(&next)).unwrap();
        let got = perplexity(&measured).unwrap();
        assert_eq!((got.kld.mean.value, got.kld.maximum, got.ln_ratio.value), (0.0, 0.0, 0.0));
        assert!(got.ln_ratio.error < 1e-8 && (got.correlation - 1.0).abs() < 1e-12);
        assert_eq!((got.same_top_error, got.bit_equal), (0.0, ROWS));
        assert!(got.same_top.interval.low < 0.95, "40 of 40 show no more: {:?}", got.same_top);
    }

    /// The tool takes the first of equal logits on both sides.
    #[test]
    fn of_equal_logits_the_first_is_the_top() {
        let base = [1.0f32, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 2.0, 2.0];
        let test = [1.0f32, 0.0, 0.0, 0.0, 2.0, 1.0, 0.0, 1.0, 3.0];
        let rows = |values| Rows::new("rows", 3, values, 0).unwrap();
        let measured =
            compare_rows(&rows(&base), &rows(&test), &Targets::of_text(&[0, 1, 2])).unwrap();
        let got = perplexity(&measured).unwrap();
        assert_eq!((got.same_top.hits, got.same_top.of), (2, 3));
    }

    #[test]
    fn what_is_no_text_has_no_perplexity() {
        let base = logits(VOCAB, 3, 1);
        let rows = Rows::new("rows", VOCAB, &base, 0).unwrap();
        for targets in [Targets::chosen(&[1, 2, 3]), Targets::of_text(&[1, 2])] {
            assert_eq!(perplexity(&compare_rows(&rows, &rows, &targets).unwrap()), None);
        }
        assert_eq!(perplexity(&[]), None);
    }
}
