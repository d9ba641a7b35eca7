//! Parameters of mistakes, fitted to what was observed, and the mistakes that any operation can make. Pure
//! arithmetic.

use std::collections::BTreeSet;

use bitnet_engine::model::{Config, RopeStyle};
use half::{bf16, f16};

use super::evaluate::Site;
use super::graph::Operation;
use super::hypotheses::Candidates;

/// Share of the error in one row of a matrix, or at one position, that makes it that row's.
const CONCENTRATED: f64 = 0.99;
/// Bases of RoPE that published models have.
const BASES: [f32; 6] = [10_000.0, 50_000.0, 100_000.0, 500_000.0, 1e6, 1e7];

/// Mistakes of any operation.
pub(super) fn general(site: Site<'_>, candidates: &mut Candidates<'_>) {
    let (actual, expected) = (candidates.actual().to_vec(), candidates.expected().to_vec());
    let columns = site.node.columns;
    heads(site, &actual, &expected, candidates);
    if let Some((column, share)) = concentrated(&actual, &expected, |i| i % columns)
        && share >= CONCENTRATED
    {
        let mut one = expected.clone();
        for row in 0..one.len() / columns {
            one[row * columns + column] = actual[row * columns + column];
        }
        let words = match &site.node.operation {
            Operation::Linear { part, .. } => format!("row {column} of {part}.weight alone"),
            _ => format!("column {column} alone"),
        };
        candidates.add("one-row", words, &one);
    }
    if let Some((row, share)) = concentrated(&actual, &expected, |i| i / columns)
        && share >= CONCENTRATED
        && site.positions.len() > 1
    {
        let mut one = expected.clone();
        one[row * columns..][..columns].copy_from_slice(&actual[row * columns..][..columns]);
        let words = format!("position {} alone", site.positions[row]);
        candidates.add("one-position", words, &one);
    }
    let negated: Vec<f32> = expected.iter().map(|v| -v).collect();
    candidates.add("sign", "every value has the other sign", &negated);
    candidates.add("zero", "the result is 0 throughout", &vec![0.0; actual.len()]);
    if let Some(scale) = scale(&actual, &expected) {
        let scaled: Vec<f32> = expected.iter().map(|v| (f64::from(*v) * scale) as f32).collect();
        let words = format!("every value is {scale:.4} times what it should be");
        candidates.add("scale", words, &scaled);
    }
    let shift = difference(&actual, &expected).sum::<f64>() / actual.len().max(1) as f64;
    let shifted: Vec<f32> = expected.iter().map(|v| (f64::from(*v) + shift) as f32).collect();
    candidates.add("shift", format!("every value is {shift:+.4e} off"), &shifted);
    let narrow: Vec<f32> = expected.iter().map(|v| f16::from_f32(*v).to_f32()).collect();
    candidates.add("rounded-to-f16", "the result is rounded to f16", &narrow);
    let narrow: Vec<f32> = expected.iter().map(|v| bf16::from_f32(*v).to_f32()).collect();
    candidates.add("rounded-to-bf16", "the result is rounded to bf16", &narrow);
}

fn difference<'a>(actual: &'a [f32], expected: &'a [f32]) -> impl Iterator<Item = f64> + 'a {
    actual.iter().zip(expected).map(|(a, e)| f64::from(*a) - f64::from(*e))
}

/// b of the least-squares line actual = b · expected.
pub(super) fn scale(actual: &[f32], expected: &[f32]) -> Option<f64> {
    let pairs = || actual.iter().zip(expected).map(|(a, e)| (f64::from(*a), f64::from(*e)));
    let (product, square): (f64, f64) =
        pairs().fold((0.0, 0.0), |(p, s), (a, e)| (p + a * e, s + e * e));
    let scale = product / square;
    (scale.is_finite() && scale != 0.0).then_some(scale)
}

/// The group with the largest part of the error, and its share of the sum of squares.
fn concentrated(
    actual: &[f32],
    expected: &[f32],
    group: impl Fn(usize) -> usize,
) -> Option<(usize, f64)> {
    let mut parts: Vec<f64> = Vec::new();
    for (index, gap) in difference(actual, expected).enumerate() {
        let group = group(index);
        if parts.len() <= group {
            parts.resize(group + 1, 0.0);
        }
        parts[group] += gap * gap;
    }
    let whole: f64 = parts.iter().sum();
    let (group, part) = parts.into_iter().enumerate().max_by(|a, b| a.1.total_cmp(&b.1))?;
    (whole > 0.0 && whole.is_finite()).then(|| (group, part / whole))
}

/// Heads in another order: each observed head is matched with the nearest one that should be there.
fn heads(site: Site<'_>, actual: &[f32], expected: &[f32], candidates: &mut Candidates<'_>) {
    let (columns, length) = (site.node.columns, site.operations.config().head_length);
    let of_heads = match &site.node.operation {
        Operation::Rope | Operation::Attention | Operation::Bias(_) => true,
        Operation::Linear { part, .. } => {
            ["attn_q", "attn_k", "attn_v"].iter().any(|p| part.ends_with(p))
        }
        _ => false,
    };
    if !of_heads || columns == length || !columns.is_multiple_of(length) {
        return;
    }
    let (count, rows) = (columns / length, actual.len() / columns);
    let distance = |shown: usize, meant: usize| -> f64 {
        let head = |of: &[f32], head: usize| -> Vec<f32> {
            let row = |row: usize| of[row * columns + head * length..][..length].to_vec();
            (0..rows).flat_map(row).collect()
        };
        difference(&head(actual, shown), &head(expected, meant)).map(|d| d * d).sum()
    };
    let nearest = |shown: usize| {
        (0..count).map(|meant| (meant, distance(shown, meant))).min_by(|a, b| a.1.total_cmp(&b.1))
    };
    let order: Vec<usize> = (0..count).filter_map(|h| nearest(h).map(|(meant, _)| meant)).collect();
    if order.iter().copied().eq(0..count) {
        return;
    }
    let mut values = expected.to_vec();
    for row in 0..rows {
        for (shown, meant) in order.iter().enumerate() {
            let from = &expected[row * columns + meant * length..][..length];
            values[row * columns + shown * length..][..length].copy_from_slice(from);
        }
    }
    let moved: Vec<String> = (order.iter().enumerate())
        .filter(|(shown, meant)| shown != *meant)
        .map(|(shown, meant)| format!("{shown} is {meant}"))
        .collect();
    let permuted = order.iter().collect::<BTreeSet<_>>().len() == count;
    let what = if permuted { "heads are permuted" } else { "heads are copies of others" };
    candidates.add("heads", format!("{what}: {}", moved.join(", ")), &values);
}

/// ε of the norm that gives `actual`: from the ratio of each row to the norm without ε, the median over rows.
pub(super) fn epsilon(x: &[f32], weights: &[f32], actual: &[f32], right: f32) -> Option<f32> {
    let width = weights.len();
    let mut found: Vec<f64> = Vec::new();
    for (x, actual) in x.chunks_exact(width).zip(actual.chunks_exact(width)) {
        let mean = x.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / width as f64;
        let unit: Vec<f32> = x.iter().zip(weights).map(|(x, w)| x * w).collect();
        // actual = x · w / √(mean + ε)
        let inverse = scale(actual, &unit)?;
        found.push(1.0 / (inverse * inverse) - mean);
    }
    found.sort_by(f64::total_cmp);
    let epsilon = *found.get(found.len() / 2)?;
    // Three digits are what people write; the ratio gives more of them than that only by chance.
    let written: f64 = format!("{epsilon:.2e}").parse().ok()?;
    (written > 0.0 && (written / f64::from(right) - 1.0).abs() > 0.01).then_some(written as f32)
}

/// The base of RoPE that gives `actual`, from the angle of one pair at the first position that turns; of the
/// published ones, the one nearest to it.
pub(super) fn rope_base(
    config: &Config,
    positions: &[usize],
    columns: usize,
    x: &[f32],
    actual: &[f32],
) -> Option<f32> {
    let length = config.head_length;
    let (half, pair) = (length / 2, length / 4);
    let row = positions.iter().position(|p| *p == 1)?;
    let (i, j) = match config.graph.rope {
        RopeStyle::Neox => (pair, pair + half),
        RopeStyle::Norm => (2 * pair, 2 * pair + 1),
    };
    // The angle of all heads together: arg of Σ conj(x) · y.
    let (mut real, mut imaginary) = (0.0, 0.0);
    for head in (0..columns).step_by(length) {
        let at = |of: &[f32], k: usize| f64::from(of[row * columns + head + k]);
        let (a, b, c, d) = (at(x, i), at(x, j), at(actual, i), at(actual, j));
        real += a * c + b * d;
        imaginary += a * d - b * c;
    }
    let angle = f64::atan2(imaginary, real);
    if angle <= 0.0 {
        return None;
    }
    let base = angle.powf(-(length as f64) / (2.0 * pair as f64));
    let near = BASES.into_iter().find(|b| (f64::from(*b) / base).ln().abs() < 0.02);
    Some(near.unwrap_or(base as f32)).filter(|b| b.is_finite() && *b != config.rope_base)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_is_found() {
        assert_eq!(scale(&[2.0, -4.0], &[1.0, -2.0]), Some(2.0));
        assert_eq!(scale(&[0.0, 0.0], &[1.0, 2.0]), None);
        assert_eq!(scale(&[1.0], &[0.0]), None);
    }

    #[test]
    fn the_group_with_the_error_is_found() {
        let found = concentrated(&[1.0, 2.0, 1.0, 3.0], &[1.0, 0.0, 1.0, 0.0], |i| i % 2);
        assert_eq!(found, Some((1, 1.0)));
        assert_eq!(concentrated(&[1.0], &[1.0], |i| i), None);
    }

    #[test]
    fn an_epsilon_is_found_from_the_ratio() {
        let x: Vec<f32> = (0..64).map(|i| (i as f32 - 30.0) / 50.0).collect();
        let weights = vec![0.5f32; 32];
        let norm = |epsilon: f32| -> Vec<f32> {
            x.chunks(32)
                .flat_map(|row| {
                    let mean = row.iter().map(|v| v * v).sum::<f32>() / 32.0;
                    row.iter().map(move |v| v / (mean + epsilon).sqrt() * 0.5)
                })
                .collect()
        };
        let found = epsilon(&x, &weights, &norm(1e-2), 1e-5);
        assert_eq!(found, Some(1e-2));
        assert_eq!(epsilon(&x, &weights, &norm(1e-2), 1e-2), None);
    }
}
