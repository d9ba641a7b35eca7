//! Reads a case of kind `quantization`: the matrix's shape against its type, limits against those of
//! the type. Makes no matrix.

use toml::Spanned;

use super::case::Bound;
use super::quantization::{Distribution, KnownType, Quantization, QuantizationLimits};
use super::validate::Reader;
use super::wire::WireCase;
use super::wire_quantization::WireLimits;
use crate::manifest::diagnostic::nearest;
use crate::manifest::document;

/// Most rows and most columns: a matrix of both takes 64 MB as f32.
const MAX_SIDE: i64 = 4096;
/// Most rows of activations.
const MAX_TOKENS: i64 = 64;
/// Rows of activations if the case says nothing.
const TOKENS: usize = 4;

/// Reads what a case of the kind checks.
pub(super) fn read(reader: &mut Reader<'_>, wire: &WireCase) -> Option<Quantization> {
    reader.required("type", wire.r#type.as_ref());
    reader.required("rows", wire.rows.as_ref());
    reader.required("columns", wire.columns.as_ref());
    reader.required("seed", wire.seed.as_ref());
    reader.required("weights", wire.weights.as_ref());
    no_threads(reader, wire);
    let chosen = wire.r#type.as_ref().and_then(|name| known_type(reader, name));
    let rows = wire.rows.as_ref().and_then(|n| size(reader, "rows", n, MAX_SIDE));
    let columns = wire.columns.as_ref().and_then(|n| size(reader, "columns", n, MAX_SIDE));
    if let Some(KnownType { name, row_step, column_step }) = chosen {
        for (key, found, wire, step) in
            [("rows", rows, &wire.rows, row_step), ("columns", columns, &wire.columns, column_step)]
        {
            if let (Some(found), Some(wire)) = (found, wire)
                && !found.is_multiple_of(step)
            {
                let rule = format!("`{key}` of {name} is a multiple of {step}");
                reader.problem(wire.span(), rule, format!("{found} leaves {}", found % step));
            }
        }
    }
    let tokens = match &wire.tokens {
        Some(n) => size(reader, "tokens", n, MAX_TOKENS),
        None => Some(TOKENS),
    };
    let seed = wire.seed.as_ref().and_then(|seed| reader.integer("seed", seed, 0..=i64::MAX));
    let weights = wire.weights.as_ref().map(|weights| weights.get_ref().distribution());
    let limits = chosen.zip(weights).and_then(|(KnownType { name, .. }, weights)| {
        let limits = (reader.context.known.types.limits)(name, weights);
        if limits.is_none()
            && let Some(wire) = &wire.weights
        {
            let rule = format!("{name} does not hold weights that are {}", weights.name());
            reader.problem(wire.span(), rule, "it holds `ternary` ones");
        }
        limits
    });
    let tightened = match (&wire.limits, limits) {
        (Some(wire), Some(limits)) => {
            tightened(reader, wire.get_ref(), &limits, chosen?.name, weights?)
        }
        _ => QuantizationLimits::default(),
    };
    Some(Quantization {
        tensor_type: chosen?.name.to_owned(),
        rows: rows?,
        columns: columns?,
        tokens: tokens?,
        seed: seed?.unsigned_abs(),
        weights: limits.and(weights)?,
        tightened,
    })
}

/// A kernel computes on the thread that calls it.
fn no_threads(reader: &mut Reader<'_>, wire: &WireCase) {
    let threads = wire.variants.as_ref().and_then(|axes| axes.get_ref().threads.as_ref());
    if let Some(threads) = threads {
        let rule = "a case of kind `quantization` varies `isa` alone";
        reader.problem(threads.span(), rule, "one kernel runs on one thread");
    }
}

fn known_type(reader: &mut Reader<'_>, name: &Spanned<String>) -> Option<KnownType> {
    let types = (reader.context.known.types.types)();
    let found = types.iter().copied().find(|known| known.name == name.get_ref());
    if found.is_none() {
        let names: Vec<&str> = types.iter().map(|known| known.name).collect();
        let label = match nearest(name.get_ref(), names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("types: {}", document::list(&names)),
        };
        let rule = format!("`{}` is not a type that the engine quantises to", name.get_ref());
        reader.problem(name.span(), rule, label);
    }
    found
}

fn size(reader: &mut Reader<'_>, key: &str, value: &Spanned<i64>, most: i64) -> Option<usize> {
    usize::try_from(reader.integer(key, value, 1..=most)?).ok()
}

/// The limits of a case, none looser than the type's.
fn tightened(
    reader: &mut Reader<'_>,
    wire: &WireLimits,
    of_type: &QuantizationLimits,
    name: &str,
    weights: Distribution,
) -> QuantizationLimits {
    let value = |value: &Option<Spanned<f64>>| value.as_ref().map(|value| *value.get_ref());
    let tightened = QuantizationLimits {
        nmse: value(&wire.nmse),
        max_error: value(&wire.max_error),
        min_cosine: value(&wire.min_cosine),
        min_accuracy: value(&wire.min_accuracy),
        product_nmse: value(&wire.product_nmse),
        product_max_error: value(&wire.product_max_error),
        min_product_cosine: value(&wire.min_product_cosine),
        arithmetic_nmse: value(&wire.arithmetic_nmse),
    };
    // In the order of `QuantizationLimits::entries`.
    let spans = [
        &wire.nmse,
        &wire.max_error,
        &wire.min_cosine,
        &wire.min_accuracy,
        &wire.product_nmse,
        &wire.product_max_error,
        &wire.min_product_cosine,
        &wire.arithmetic_nmse,
    ]
    .map(|value| value.as_ref().map(Spanned::span));
    for (((key, bound, asked), (_, _, limit)), span) in
        tightened.entries().into_iter().zip(of_type.entries()).zip(spans)
    {
        let (Some(asked), Some(span)) = (asked, span) else { continue };
        let looser = |limit: f64| match bound {
            Bound::Ceiling => asked > limit,
            Bound::Floor => asked < limit,
        };
        if !asked.is_finite() || asked < 0.0 {
            let rule = format!("`{key}` is a finite number and not negative");
            reader.problem(span, rule, format!("this is {asked}"));
        } else if bound == Bound::Floor && asked > 1.0 {
            let rule = format!("`{key}` is at most 1");
            reader.problem(span, rule, format!("this is {asked}"));
        } else if limit.is_none() {
            let rule = format!("`{key}` is not measured for weights that are {}", weights.name());
            reader.problem(span, rule, "it would be ignored");
        } else if let Some(limit) = limit.filter(|limit| looser(*limit)) {
            let rule = format!("a limit may only be tighter than that of {name}");
            let label = format!("for {} weights it has {key} = {limit}", weights.name());
            reader.problem(span, rule, label);
        }
    }
    tightened
}
