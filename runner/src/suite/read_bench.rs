//! Reads a case of kind `bench`: sizes in their ranges, at least one measure, no measure twice. Opens
//! no model: whether it has so many positions is seen when it runs.

use std::ops::RangeInclusive;

use toml::Spanned;

use super::bench::{Bench, BenchOutput, FEWEST_ROUNDS, MOST_ROUNDS};
use super::validate::Reader;
use super::wire::{WireCase, WireOutput};

/// Ids of one measure, and of its depth.
const IDS: RangeInclusive<i64> = 1..=131_072;
/// Fewest ids of a decode: its statistic is a quantile of their times.
const FEWEST_DECODED: i64 = 16;
/// The smallest ratio that a case may demand, and the largest.
const RATIOS: RangeInclusive<f64> = 0.01..=100.0;

/// Reads what a case of the kind times.
pub(super) fn read(reader: &mut Reader<'_>, wire: &WireCase) -> Option<Bench> {
    let before = reader.problems.len();
    let load = wire.load.as_ref().is_some_and(|flag| *flag.get_ref());
    let prefill = sizes(reader, "prefill", wire.prefill.as_ref(), IDS);
    let decode = sizes(reader, "decode", wire.decode.as_ref(), FEWEST_DECODED..=*IDS.end());
    let depth = match &wire.depth {
        Some(depth) => reader.integer("depth", depth, 0..=*IDS.end()).and_then(size),
        None => Some(0),
    };
    for (key, span) in [
        ("depth", wire.depth.as_ref().map(Spanned::span)),
        ("output", wire.output.as_ref().map(Spanned::span)),
    ] {
        if let (Some(span), None) = (span, &wire.decode) {
            let rule = format!("`{key}` is a key of decodes");
            reader.problem(span, rule, "this case has no `decode`");
        }
    }
    let rounds = match &wire.rounds {
        Some(rounds) => {
            let range = FEWEST_ROUNDS as i64..=MOST_ROUNDS as i64;
            reader.integer("rounds", rounds, range).and_then(size)
        }
        None => Some(MOST_ROUNDS),
    };
    if let Some(ratio) = &wire.min_ratio
        && !RATIOS.contains(ratio.get_ref())
    {
        let rule = format!("`min-ratio` is between {} and {}", RATIOS.start(), RATIOS.end());
        reader.problem(ratio.span(), rule, format!("{} is outside", ratio.get_ref()));
    }
    reader.required("min-ratio", wire.min_ratio.as_ref());
    if reader.readable && !load && wire.prefill.is_none() && wire.decode.is_none() {
        let rule = "a case of kind `bench` times something";
        reader.problem(reader.header.clone(), rule, "no `load = true`, no `prefill`, no `decode`");
    }
    if reader.problems.len() > before {
        return None;
    }
    Some(Bench {
        load,
        prefill,
        decode,
        depth: depth?,
        output: match wire.output.as_ref().map(Spanned::get_ref) {
            None | Some(WireOutput::Greedy) => BenchOutput::Greedy,
            Some(WireOutput::Logits) => BenchOutput::Logits,
        },
        rounds: rounds?,
        min_ratio: *wire.min_ratio.as_ref()?.get_ref(),
    })
}

/// The sizes of a list that names at least one, none twice.
fn sizes(
    reader: &mut Reader<'_>,
    key: &str,
    list: Option<&Spanned<Vec<Spanned<i64>>>>,
    range: RangeInclusive<i64>,
) -> Vec<usize> {
    let Some(list) = list else { return Vec::new() };
    if list.get_ref().is_empty() {
        reader.problem(list.span(), format!("`{key}` names at least one size"), "empty");
    }
    let mut sizes: Vec<usize> = Vec::new();
    for value in list.get_ref() {
        let Some(found) = reader.integer(key, value, range.clone()).and_then(size) else {
            continue;
        };
        if sizes.contains(&found) {
            reader.problem(value.span(), format!("`{key}` names no size twice"), "the second");
        }
        sizes.push(found);
    }
    sizes
}

fn size(value: i64) -> Option<usize> {
    usize::try_from(value).ok()
}
