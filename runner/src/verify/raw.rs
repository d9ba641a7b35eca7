//! The rules of raw data of a comparison: lengths that belong together, figures that logits can have.

use super::Reasons;
use crate::compare::{NoiseProfile, Path, RowMetrics, TokenComparison};
use crate::receipt::{PromptFacts, PromptForm, Raw, RawPath};

/// What rounding may take a figure beyond its bounds.
const ROUNDING: f64 = 1e-9;

pub(super) fn verify(raw: &Raw, prompt: &PromptFacts, reasons: &mut Reasons) {
    reasons.check(raw.vocab_size >= 2, "raw.vocab_size", "is below 2: there is no choice");
    let (ids, prompt_len) = (raw.ids.len(), raw.prompt_len);
    let fits = (1..=ids).contains(&prompt_len);
    reasons.check(fits, "raw.prompt_len", format!("is {prompt_len}, of {ids} ids"));
    let why = format!("has {} entries for {ids} ids", raw.texts.len());
    reasons.check(raw.texts.len() == ids, "raw.texts", why);
    below(raw.vocab_size, "raw.ids", &raw.ids, reasons);
    if !fits {
        return;
    }
    if prompt.form == PromptForm::Ids {
        let same = PromptFacts::of_ids(&raw.ids[..prompt_len]).sha256 == prompt.sha256;
        reasons.check(same, "prompt.sha256", "is not that of the prompt's ids");
    }
    let why = "a text is turned into ids by both engines, and ids are given as they stand";
    let told = raw.tokens.is_some() == (prompt.form == PromptForm::Text);
    reasons.check(told, "raw.tokens", why);
    if let Some(tokens) = &raw.tokens {
        tokenised(tokens, &raw.ids[..prompt_len], reasons);
    }
    let steps = ids - prompt_len;
    let names: Vec<Path> = raw.paths.iter().map(|path| path.path).collect();
    let wanted: &[Path] = if steps > 0 { &[Path::Prefill, Path::Decode] } else { &[Path::Prefill] };
    reasons.check(names == wanted, "raw.paths", format!("are {names:?}, not {wanted:?}"));
    for (index, path) in raw.paths.iter().enumerate() {
        let (first, rows) = match path.path {
            Path::Decode => (prompt_len - 1, steps),
            // Nothing follows the last choice, so it is not fed.
            _ => (0, prompt_len + steps.saturating_sub(1)),
        };
        one_path(raw, path, &format!("raw.paths[{index}].rows"), first, rows, reasons);
    }
    let told = (raw.free_run.is_some(), raw.noise.is_some()) == (steps > 0, steps > 0);
    reasons.check(
        told,
        "raw.free_run",
        "and the noise are measured with steps, and only with steps",
    );
    if let Some(run) = &raw.free_run {
        below(raw.vocab_size, "raw.free_run.ids", &run.ids, reasons);
        let sensible = run.regret.is_finite() && run.regret >= 0.0;
        reasons.check(sensible, "raw.free_run.regret", "is no distance below the best logit");
    }
    if let Some(pair) = &raw.noise {
        noise("raw.noise.reference", &pair.reference, steps, reasons);
        noise("raw.noise.test", &pair.test, steps, reasons);
    }
}

fn below(vocab_size: usize, path: &str, ids: &[u32], reasons: &mut Reasons) {
    if let Some(index) = ids.iter().position(|id| *id as usize >= vocab_size) {
        let why = format!("is {}, not below the vocabulary of {vocab_size}", ids[index]);
        reasons.add(format!("{path}[{index}]"), why);
    }
}

fn tokenised(tokens: &TokenComparison, prompt: &[u32], reasons: &mut Reasons) {
    let (reference, test) = (tokens.reference_ids, tokens.test_ids);
    let why = format!("is {reference}, and the prompt has {} ids", prompt.len());
    reasons.check(reference == prompt.len(), "raw.tokens.reference_ids", why);
    match &tokens.difference {
        None => {
            let why = format!("is {test}, without a difference from {reference}");
            reasons.check(test == reference, "raw.tokens.test_ids", why);
        }
        Some(difference) => {
            let from = difference.from.min(prompt.len());
            let shown = prompt[from..].starts_with(&difference.reference);
            let why = "are not the prompt's ids there";
            reasons.check(shown, "raw.tokens.difference.reference", why);
            let at = difference.index.checked_sub(difference.from);
            let ours = at.map(|at| difference.test.get(at));
            let theirs = at.map(|at| difference.reference.get(at));
            let why = "is no place where the two lists of ids differ";
            reasons.check(ours.is_some() && ours != theirs, "raw.tokens.difference.index", why);
        }
    }
    let told = tokens.bytes_equal == Some(tokens.first_different_byte.is_none());
    let why = "and the first different byte contradict one another";
    reasons.check(told || tokens.bytes_equal.is_none(), "raw.tokens.bytes_equal", why);
}

fn noise(path: &str, noise: &NoiseProfile, steps: usize, reasons: &mut Reasons) {
    let why = format!("is {}, of {steps} steps", noise.rows);
    reasons.check(noise.rows == steps, format!("{path}.rows"), why);
    let fits = noise.bit_equal_rows <= noise.rows;
    reasons.check(fits, format!("{path}.bit_equal_rows"), "is more than all rows");
    for (name, value) in [
        ("mad_sigma", noise.mad_sigma),
        ("pair_p999", noise.pair_p999),
        ("p99_kl", noise.p99_kl),
        ("p99_nmse", noise.p99_nmse),
    ] {
        let sensible = value.is_finite() && value >= 0.0;
        let why = format!("is {value}: no size of a noise");
        reasons.check(sensible, format!("{path}.{name}"), why);
        let all_equal = noise.rows > 0 && noise.bit_equal_rows == noise.rows;
        let why = format!("is {value}, and every row repeats itself bit by bit");
        reasons.check(!all_equal || value == 0.0, format!("{path}.{name}"), why);
    }
}

fn one_path(
    raw: &Raw,
    path: &RawPath,
    place: &str,
    first: usize,
    count: usize,
    reasons: &mut Reasons,
) {
    let columns = &path.rows;
    let why = format!("is {}, and this path begins at {first}", columns.first_position);
    reasons.check(columns.first_position == first, format!("{place}.first_position"), why);
    // Lists that do not fit are told of where the verdict is computed.
    let Ok(rows) = columns.rows() else { return };
    let why = format!("has {} rows, and this path {count}", rows.len());
    reasons.check(rows.len() == count, place, why);
    below(raw.vocab_size, &format!("{place}.reference_top"), &columns.reference_top, reasons);
    below(raw.vocab_size, &format!("{place}.test_top"), &columns.test_top, reasons);
    for (index, row) in rows.iter().enumerate() {
        if let Some((column, why)) = impossible(row, raw.bounded.is_some()) {
            reasons.add(format!("{place}.{column}[{index}]"), why);
            return;
        }
        let last = index + 1 == rows.len();
        let text = match path.path {
            Path::Decode => Some(false),
            _ if last => None,
            _ => Some(index + 1 < raw.prompt_len),
        };
        if row.nll.map(|nll| nll.text) != text {
            let why = "does not say what follows this position";
            reasons.add(format!("{place}.nll_text[{index}]"), why);
            return;
        }
    }
}

/// The first figure of a row that no two rows of logits have; bounds need not belong to one pair of rows.
fn impossible(row: &RowMetrics, bounded: bool) -> Option<(&'static str, String)> {
    let RowMetrics { kl, total_variation, .. } = *row;
    for (column, value, low, high) in [
        ("raw_cosine", row.raw_cosine, -1.0, 1.0),
        ("unshifted_cosine", row.unshifted_cosine, -1.0, 1.0),
        ("centred_cosine", row.centred_cosine, -1.0, 1.0),
        ("nmse", row.nmse, 0.0, f64::MAX),
        ("slope_error", row.slope_error, 0.0, f64::MAX),
        ("slope", row.slope, f64::MIN, f64::MAX),
        ("mean_shift", row.mean_shift, f64::MIN, f64::MAX),
        ("kl", kl, 0.0, f64::MAX),
        ("total_variation", total_variation, 0.0, 1.0 + ROUNDING),
        ("max_ln_p_gap", row.max_ln_p_gap, 0.0, f64::MAX),
        ("reference_logit", row.reference_logit, f64::from(f32::MIN), f64::from(f32::MAX)),
        ("reference_margin", row.reference_margin, 0.0, 2.0 * f64::from(f32::MAX)),
        ("top10_overlap", row.top10_overlap, 0.0, 1.0),
        ("nll_reference", row.nll.map_or(0.0, |nll| nll.reference), -ROUNDING, f64::MAX),
        ("nll_test", row.nll.map_or(0.0, |nll| nll.test), -ROUNDING, f64::MAX),
    ] {
        if !(low..=high).contains(&value) {
            return Some((column, format!("is {value}, which no row of logits gives")));
        }
    }
    // Pinsker's inequality, for KL in nats.
    if !bounded && kl + ROUNDING < 2.0 * total_variation * total_variation {
        let least = 2.0 * total_variation * total_variation;
        let why = format!("is {kl:e}, less than the {least:e} that the total variation demands");
        return Some(("kl", why));
    }
    if row.bit_equal {
        let exact = [
            ("raw_cosine", row.raw_cosine, 1.0),
            ("unshifted_cosine", row.unshifted_cosine, 1.0),
            ("centred_cosine", row.centred_cosine, 1.0),
            ("nmse", row.nmse, 0.0),
            ("slope", row.slope, 1.0),
            ("slope_error", row.slope_error, 0.0),
            ("mean_shift", row.mean_shift, 0.0),
            ("kl", kl, 0.0),
            ("total_variation", total_variation, 0.0),
            ("max_ln_p_gap", row.max_ln_p_gap, 0.0),
            ("top10_overlap", row.top10_overlap, 1.0),
            ("nll_test", row.nll.map_or(0.0, |n| n.test), row.nll.map_or(0.0, |n| n.reference)),
            ("test_top", f64::from(row.test_top), f64::from(row.reference_top)),
        ];
        let wrong = exact.into_iter().find(|(_, value, wanted)| value != wanted);
        return wrong.map(|(column, value, wanted)| {
            (column, format!("is {value}, and equal bits give {wanted}"))
        });
    }
    None
}
