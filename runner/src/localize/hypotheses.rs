//! Which known mistake turns what an operation should give into what it gave. Every mistake is computed and
//! held against the observed values; nothing is guessed from the size of an error.

use bitnet_engine::model::{Activation, Config, RopeStyle};
use serde::{Deserialize, Serialize};

use super::evaluate::{Site, added};
use super::fit;
use super::graph::Operation;
use super::measure::explained;
use crate::backend::operations::{AttentionRule, GateRule, Grouping, Rounding};

/// Smallest share that makes a hypothesis worth a line.
const WORTH: f64 = 0.5;
/// How many are kept.
const KEPT: usize = 3;
/// Slots of the cache that are tried as stale.
const SLOTS: usize = 64;

/// A mistake, and how much of the observed error it accounts for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Hypothesis {
    /// Short stable name: `silu`, `rope-base`.
    pub name: String,
    /// A sentence.
    pub words: String,
    /// Share of the error's sum of squares that is gone with it, at most 1.
    pub explained: f64,
    /// Whether it gives every observed bit.
    pub exact: bool,
}

/// Candidates being collected.
pub(super) struct Candidates<'a> {
    actual: &'a [f32],
    expected: &'a [f32],
    found: Vec<Hypothesis>,
}

impl<'a> Candidates<'a> {
    pub(super) fn new(actual: &'a [f32], expected: &'a [f32]) -> Self {
        Self { actual, expected, found: Vec::new() }
    }

    pub(super) fn actual(&self) -> &'a [f32] {
        self.actual
    }

    pub(super) fn expected(&self) -> &'a [f32] {
        self.expected
    }

    /// Holds `values` against what was observed. What is the same as it should be explains nothing.
    pub(super) fn add(&mut self, name: &str, words: impl Into<String>, values: &[f32]) {
        if values.len() != self.actual.len() {
            return;
        }
        let explained = explained(self.actual, self.expected, values);
        let exact = values.iter().zip(self.actual).all(|(a, b)| a.to_bits() == b.to_bits());
        if explained >= WORTH || exact {
            let (name, words) = (name.to_owned(), words.into());
            self.found.push(Hypothesis { name, words, explained, exact });
        }
    }

    /// The best ones first; of equals the one that was tried first, for the special come before the general.
    pub(super) fn best(mut self) -> Vec<Hypothesis> {
        self.found.sort_by(|a, b| {
            b.exact.cmp(&a.exact).then(rounded(b.explained).total_cmp(&rounded(a.explained)))
        });
        self.found.truncate(KEPT);
        self.found
    }
}

/// Shares as far as they are worth telling apart.
fn rounded(share: f64) -> f64 {
    (share * 1e4).round()
}

/// The mistakes that explain what `site` gave, best first.
pub fn explain(site: Site<'_>, actual: &[f32], expected: &[f32]) -> Vec<Hypothesis> {
    let mut candidates = Candidates::new(actual, expected);
    // A hypothesis that cannot be computed is none.
    let _ = special(site, &mut candidates);
    fit::general(site, &mut candidates);
    candidates.best()
}

fn special(site: Site<'_>, candidates: &mut Candidates<'_>) -> Result<(), String> {
    match &site.node.operation {
        Operation::Embedding => other_ids(site, candidates),
        Operation::Norm(weight) => norms(site, weight, candidates),
        Operation::Linear { part, .. } => {
            products(site, part, candidates)?;
            roundings(site, candidates)
        }
        Operation::Bias(_) => {
            candidates.add("bias-missing", "the bias is not added", &site.x(0)?);
            Ok(())
        }
        Operation::Rope => rotations(site, candidates),
        Operation::Attention => attentions(site, candidates),
        Operation::Gate => gates(site, candidates),
        Operation::Residual => residuals(site, candidates),
    }
}

fn other_ids(site: Site<'_>, candidates: &mut Candidates<'_>) -> Result<(), String> {
    for (name, by) in [("ids-late", -1), ("ids-early", 1)] {
        let id = |p: &usize| site.ids.get(p.saturating_add_signed(by)).or(site.ids.get(*p));
        let ids: Vec<u32> = site.positions.iter().filter_map(id).copied().collect();
        let words = format!("each position has the id of position {by:+}: BOS lost, or off by one");
        candidates.add(name, words, &site.operations.table_rows("token_embd.weight", &ids)?);
    }
    Ok(())
}

fn norms(site: Site<'_>, weight: &str, candidates: &mut Candidates<'_>) -> Result<(), String> {
    let (x, epsilon) = (site.x(0)?, site.operations.config().rms_epsilon);
    let weights = site.weight(weight)?;
    let width = weights.len();
    candidates.add("norm-missing", "the norm is left out: the input goes on as it is", &x);
    if let Some(other) = fit::epsilon(&x, &weights, candidates.actual, epsilon) {
        let words = format!("ε is {other:.3e} in place of {epsilon:.3e}");
        candidates.add("epsilon", words, &site.operations.norm(&weights, other, &x));
    }
    let ones = vec![1.0; width];
    let bare = site.operations.norm(&ones, epsilon, &x);
    candidates.add("norm-weights-missing", "the norm's weights are left out", &bare);
    let more: Vec<f32> = weights.iter().map(|w| w + 1.0).collect();
    let words = "the norm multiplies by 1 + weight";
    candidates.add("norm-weights-plus-one", words, &site.operations.norm(&more, epsilon, &x));
    let centred: Vec<f32> = x
        .chunks_exact(width)
        .flat_map(|row| {
            let mean = row.iter().sum::<f32>() / width as f32;
            row.iter().map(move |v| v - mean)
        })
        .collect();
    let values = site.operations.norm(&weights, epsilon, &centred);
    candidates.add("layer-norm", "the mean is taken off first: LayerNorm for RMS norm", &values);
    for twin in site.operations.twins(&format!("{weight}.weight")) {
        if let Some(other) = site.operations.vector(&twin) {
            let values = site.operations.norm(&other, epsilon, &x);
            candidates.add("other-weights", format!("the weights are those of {twin}"), &values);
        }
    }
    Ok(())
}

fn products(site: Site<'_>, part: &str, candidates: &mut Candidates<'_>) -> Result<(), String> {
    let x = site.x(0)?;
    let matrix = site.operations.matrix(&format!("{part}.weight"))?;
    let product = site.operations.product(&matrix, &x)?;
    if let Some(factor) = site.factor(part) {
        let unscaled = site.finished(product.iter().map(|v| v / factor).collect());
        candidates.add("factor-missing", format!("{part}.scale is left out"), &unscaled);
    }
    candidates.add("bias-missing", "the bias is not added", &product);
    // Another matrix of this layer, or this one of a neighbouring layer.
    let (layer, kind) = part.rsplit_once('.').unwrap_or(("", part));
    for twin in site.operations.twins(&matrix.name) {
        let neighbour = |by: isize| {
            let number = layer.strip_prefix("blk.")?.parse::<usize>().ok()?;
            Some(format!("blk.{}.{kind}.weight", number.checked_add_signed(by)?))
        };
        let near = [neighbour(-1), neighbour(1)].contains(&Some(twin.clone()));
        if !near && !twin.starts_with(&format!("{layer}.")) {
            continue;
        }
        let values = site.finished(site.operations.product(&site.operations.matrix(&twin)?, &x)?);
        candidates.add("other-matrix", format!("the matrix is {twin}"), &values);
    }
    Ok(())
}

/// Other rules for the int8 codes of a ternary product.
fn roundings(site: Site<'_>, candidates: &mut Candidates<'_>) -> Result<(), String> {
    let Some(matrix) = site.matrix() else { return Ok(()) };
    let x = site.x(0)?;
    for (name, words, rounding) in [
        ("int8-truncated", "activations are rounded towards zero", Rounding::Truncate),
        ("int8-floored", "activations are rounded down", Rounding::Floor),
        ("int8-half-away", "halves are rounded away from zero", Rounding::NearestAway),
    ] {
        let rows = site.operations.codes(rounding, matrix.columns, &x);
        let Some((sums, scale)) = site.operations.ternary_sums(&matrix, &rows) else {
            return Ok(());
        };
        let values = sums
            .chunks_exact(matrix.rows)
            .zip(&rows)
            .flat_map(|(sums, row)| sums.iter().map(move |sum| *sum as f32 / row.scale * scale));
        candidates.add(name, words, &site.finished(values.collect()));
    }
    let rows = site.operations.codes(Rounding::NearestEven, matrix.columns, &x);
    let Some((sums, scale)) = site.operations.ternary_sums(&matrix, &rows) else { return Ok(()) };
    let values = sums.chunks_exact(matrix.rows).zip(&rows).flat_map(|(sums, row)| {
        let total: i32 = row.codes.iter().map(|code| i32::from(*code)).sum();
        sums.iter().map(move |sum| (sum + total) as f32 / row.scale * scale)
    });
    let words = "the 1 in every ternary code is not taken back";
    candidates.add("codes-not-centred", words, &site.finished(values.collect()));
    Ok(())
}

fn rotations(site: Site<'_>, candidates: &mut Candidates<'_>) -> Result<(), String> {
    let (x, columns) = (site.x(0)?, site.node.columns);
    let (config, operations) = (site.operations.config(), site.operations);
    let turned = |config: &Config, positions: &[usize], x: &[f32]| {
        operations.rope(config, columns, positions, x)
    };
    candidates.add("rope-missing", "nothing is rotated", &x);
    let mut other = config.clone();
    let (style, words) = match config.graph.rope {
        RopeStyle::Neox => {
            (RopeStyle::Norm, "RoPE pairs neighbours (NORM) in place of halves (NEOX)")
        }
        RopeStyle::Norm => {
            (RopeStyle::Neox, "RoPE pairs halves (NEOX) in place of neighbours (NORM)")
        }
    };
    other.graph.rope = style;
    candidates.add("rope-layout", words, &turned(&other, site.positions, &x)?);
    for by in [1isize, -1, 2] {
        let positions: Vec<usize> =
            site.positions.iter().map(|p| p.saturating_add_signed(by)).collect();
        let words = format!("RoPE turns by position {by:+}: off by one");
        candidates.add("rope-offset", words, &turned(config, &positions, &x)?);
    }
    if let Some(base) = fit::rope_base(config, site.positions, columns, &x, candidates.actual) {
        let words = format!("RoPE's base is {base:.6e} in place of {:.6e}", config.rope_base);
        let other = Config { rope_base: base, ..config.clone() };
        candidates.add("rope-base", words, &turned(&other, site.positions, &x)?);
    }
    let mut plain = config.clone();
    plain.rope_scaling.frequency = 1.0;
    plain.rope_scaling.magnitude = 1.0;
    plain.rope_scaling.yarn_context = None;
    let words = "RoPE's stretching is left out";
    candidates.add("rope-scaling-missing", words, &turned(&plain, site.positions, &x)?);
    let mut plain = config.clone();
    plain.graph.rope_factors = false;
    let words = "RoPE's frequency factors are left out";
    candidates.add("rope-factors-missing", words, &turned(&plain, site.positions, &x)?);
    let back = turned(config, site.positions, &mirrored(config, &x))?;
    let words = "RoPE turns the other way: the sine's sign";
    candidates.add("rope-direction", words, &mirrored(config, &back));
    Ok(())
}

/// The second value of every pair with the other sign.
fn mirrored(config: &Config, x: &[f32]) -> Vec<f32> {
    let half = config.head_length / 2;
    let second = |i: usize| match config.graph.rope {
        RopeStyle::Neox => i % config.head_length >= half,
        RopeStyle::Norm => i % 2 == 1,
    };
    x.iter().enumerate().map(|(i, v)| if second(i) { -v } else { *v }).collect()
}

fn attentions(site: Site<'_>, candidates: &mut Candidates<'_>) -> Result<(), String> {
    let (rule, config) = (site.attention_rule(), site.operations.config());
    let count = site.ids.len();
    let length = config.head_length as f32;
    let mut try_rule = |name: &str, words: String, rule: AttentionRule| {
        site.attention(rule).map(|values| candidates.add(name, words, &values))
    };
    let words = |what: &str| format!("the causal mask is off by one: a position {what}");
    let ahead = words("sees its successor");
    try_rule("mask-ahead", ahead, AttentionRule { ahead: 1, ..rule })?;
    let behind = words("does not see itself");
    try_rule("mask-behind", behind, AttentionRule { ahead: -1, ..rule })?;
    let open = AttentionRule { ahead: count as isize, ..rule };
    try_rule("mask-missing", "nothing is masked: every position sees all".into(), open)?;
    for (scale, shown) in [(1.0, "1"), (1.0 / length, "1/d"), (length.sqrt(), "√d")] {
        let words = format!("scores are multiplied by {shown} in place of 1/√d");
        try_rule("attention-scale", words, AttentionRule { scale, ..rule })?;
    }
    let words = "query head h reads KV head h mod n: groups are strided".into();
    try_rule("kv-heads-strided", words, AttentionRule { grouping: Grouping::Strided, ..rule })?;
    let words = "every query head reads the first KV head".into();
    try_rule("kv-heads-first", words, AttentionRule { grouping: Grouping::First, ..rule })?;
    let words = "attention's weights are not rounded to f16".into();
    try_rule("weights-in-f32", words, AttentionRule { narrow: false, ..rule })?;
    for slot in 1..count.min(SLOTS) {
        let words = format!("slot {slot} of the KV cache holds what slot {} does", slot - 1);
        let stale = AttentionRule { stale: Some((slot, slot - 1)), ..rule };
        try_rule("kv-stale", words, stale)?;
    }
    Ok(())
}

fn gates(site: Site<'_>, candidates: &mut Candidates<'_>) -> Result<(), String> {
    let (gate, up, columns) = (site.x(0)?, site.x(1)?, site.node.columns);
    let right = GateRule::Known(site.operations.config().graph.activation);
    for (name, words, rule) in [
        ("silu", "the gate is SiLU", GateRule::Known(Activation::Silu)),
        ("relu-squared", "the gate is ReLU²", GateRule::Known(Activation::ReluSquared)),
        ("relu", "the gate is ReLU without the square", GateRule::Relu),
        ("gelu", "the gate is GELU", GateRule::Gelu),
        ("gate-linear", "the gate has no function", GateRule::Linear),
    ] {
        if rule != right {
            candidates.add(name, words, &site.operations.gate(rule, columns, &gate, &up));
        }
    }
    let swapped = site.operations.gate(right, columns, &up, &gate);
    candidates.add("gate-up-swapped", "gate and up have changed places", &swapped);
    Ok(())
}

fn residuals(site: Site<'_>, candidates: &mut Candidates<'_>) -> Result<(), String> {
    let (stream, branch) = (site.x(0)?, site.x(1)?);
    candidates.add("residual-missing", "the residual stream is not added", &branch);
    candidates.add("branch-missing", "the branch is not added to the stream", &stream);
    let twice = added(added(stream.clone(), &branch), &branch);
    candidates.add("branch-twice", "the branch is added twice", &twice);
    let twice = added(added(branch, &stream), &stream);
    candidates.add("residual-twice", "the residual stream is added twice", &twice);
    Ok(())
}
