//! What a case checks, kind by kind: prompts, texts, tolerances, relations and damages.
//!
//! Prompt files are read here; nothing else is opened.

use std::ops::Range;

use toml::Spanned;

use super::case::{
    Bound, Check, GreedyPolicy, Kind, Metamorphic, Parity, Prompt, Reject, Relation, SpecialTokens,
    Tokenizer, Tolerance, ToleranceClass, ToleranceOverrides,
};
use super::damage::{Damage, ScalarType};
use super::load::lies_inside;
use super::validate::{Reader, axis, threads_axis};
use super::wire::{
    WireCase, WireClass, WireDamage, WireGreedy, WireRelation, WireRename, WireTolerance,
};
use super::{read_bench, read_quantization};
use crate::manifest::diagnostic::Diagnostic;
use crate::manifest::document::{self, read_text};
use crate::manifest::path::is_plain;

/// Largest prompt file in bytes: far above the context of any model here.
const MAX_PROMPT_FILE: u64 = 256 * 1024;

/// Most greedy steps of a case.
const MAX_STEPS: i64 = 4096;

/// Reads what a case of the reader's kind checks.
pub(super) fn read(reader: &mut Reader<'_>, wire: WireCase) -> Option<Check> {
    let before = reader.problems.len();
    report_missing(reader, &wire);
    let special = SpecialTokens {
        add: wire.add_special.as_ref().is_none_or(|flag| *flag.get_ref()),
        parse: wire.parse_special.as_ref().is_some_and(|flag| *flag.get_ref()),
    };
    let check = match reader.context.kind {
        Kind::Parity => {
            let prompt = prompt(reader, &wire);
            let steps = wire.steps.as_ref().and_then(|n| reader.integer("steps", n, 0..=MAX_STEPS));
            let tolerance = wire.tolerance.as_ref().map(|t| tolerance(reader, t.get_ref()));
            let greedy = match wire.greedy.map(Spanned::into_inner) {
                None | Some(WireGreedy::Margin) => GreedyPolicy::Margin,
                Some(WireGreedy::Exact) => GreedyPolicy::Exact,
            };
            let steps = usize::try_from(steps?).ok()?;
            Check::Parity(Parity { prompt: prompt?, special, steps, tolerance: tolerance?, greedy })
        }
        Kind::Tokenizer => Check::Tokenizer(Tokenizer { texts: texts(reader, wire)?, special }),
        Kind::Metamorphic => {
            let prompt = prompt(reader, &wire);
            let varied = wire
                .variants
                .as_ref()
                .map(|v| (v.get_ref().threads.is_some(), v.get_ref().isa.is_some()));
            let relation = wire
                .relation
                .as_ref()
                .and_then(|r| relation(reader, r, varied.unwrap_or_default()));
            let tolerance = match &wire.tolerance {
                Some(wire) => tolerance(reader, wire.get_ref()),
                None => Tolerance {
                    class: ToleranceClass::Self_,
                    tightened: ToleranceOverrides::default(),
                },
            };
            Check::Metamorphic(Metamorphic {
                prompt: prompt?,
                special,
                relation: relation?,
                tolerance,
            })
        }
        Kind::Reject => {
            let expect_error = wire.expect_error.and_then(|text| reader.text("expect-error", text));
            let damage = wire.damage.as_ref().and_then(|wire| damage(reader, wire));
            Check::Reject(Reject { damage: damage?, expect_error: expect_error? })
        }
        Kind::Quantization => Check::Quantization(read_quantization::read(reader, &wire)?),
        Kind::Bench => Check::Bench(read_bench::read(reader, &wire)?),
    };
    (reader.problems.len() == before).then_some(check)
}

/// Keys without which a case of the kind would check nothing.
fn report_missing(reader: &mut Reader<'_>, wire: &WireCase) {
    match reader.context.kind {
        Kind::Parity => {
            reader.required("steps", wire.steps.as_ref());
            reader.required("tolerance", wire.tolerance.as_ref());
        }
        // What reads them asks for what they need.
        Kind::Tokenizer | Kind::Quantization | Kind::Bench => {}
        Kind::Metamorphic => {
            reader.required("relation", wire.relation.as_ref());
        }
        Kind::Reject => {
            reader.required("damage", wire.damage.as_ref());
            reader.required("expect-error", wire.expect_error.as_ref());
        }
    }
}

/// Reports none or several of keys that exclude each other; `true` if there is exactly one.
fn exactly_one(reader: &mut Reader<'_>, given: &[(&str, Option<Range<usize>>)]) -> bool {
    let keys: Vec<&str> = given.iter().map(|(key, _)| *key).collect();
    let rule = format!("a case has exactly one of {}", document::list(&keys));
    let present: Vec<(&str, &Range<usize>)> =
        given.iter().filter_map(|(key, span)| Some((*key, span.as_ref()?))).collect();
    match present.as_slice() {
        [_] => true,
        [] => {
            if reader.readable {
                reader.problem(reader.header.clone(), rule, "none of them in this case");
            }
            false
        }
        [(first, first_span), .., (last, last_span)] => {
            let label = format!("`{last}` as well");
            let problem = Diagnostic::new(reader.context.source, (*last_span).clone(), rule, label);
            reader
                .problems
                .push(problem.with_context((*first_span).clone(), format!("`{first}` is here")));
            false
        }
    }
}

fn prompt(reader: &mut Reader<'_>, wire: &WireCase) -> Option<Prompt> {
    let given = [
        ("prompt", wire.prompt.as_ref().map(Spanned::span)),
        ("prompt-file", wire.prompt_file.as_ref().map(Spanned::span)),
        ("prompt-tokens", wire.prompt_tokens.as_ref().map(Spanned::span)),
    ];
    if !exactly_one(reader, &given) {
        return None;
    }
    let (prompt, span) = if let Some(text) = &wire.prompt {
        (Prompt::Text(text.get_ref().clone()), text.span())
    } else if let Some(path) = &wire.prompt_file {
        (Prompt::Text(text_file(reader, "prompt-file", path)?), path.span())
    } else {
        let tokens = wire.prompt_tokens.as_ref()?;
        (Prompt::Tokens(ids(reader, tokens)?), tokens.span())
    };
    let empty = match &prompt {
        Prompt::Text(text) => text.is_empty(),
        Prompt::Tokens(ids) => ids.is_empty(),
    };
    if empty {
        reader.problem(span, "a prompt is not empty", "there is nothing to compute");
        return None;
    }
    Some(prompt)
}

/// Ids are at most `i32::MAX`: llama.cpp's tokens are `int32_t`.
fn ids(reader: &mut Reader<'_>, tokens: &Spanned<Vec<i64>>) -> Option<Vec<u32>> {
    let ids: Option<Vec<u32>> = tokens
        .get_ref()
        .iter()
        .map(|id| u32::try_from(*id).ok().filter(|id| i32::try_from(*id).is_ok()))
        .collect();
    if ids.is_none() {
        let rule = format!("an id is between 0 and {}", i32::MAX);
        reader.problem(tokens.span(), rule, "one of these is outside");
    }
    ids
}

fn texts(reader: &mut Reader<'_>, wire: WireCase) -> Option<Vec<String>> {
    let given = [
        ("text", wire.text.as_ref().map(Spanned::span)),
        ("text-file", wire.text_file.as_ref().map(Spanned::span)),
        ("texts", wire.texts.as_ref().map(Spanned::span)),
    ];
    if !exactly_one(reader, &given) {
        return None;
    }
    if let Some(text) = wire.text {
        return Some(vec![text.into_inner()]);
    }
    if let Some(path) = wire.text_file {
        return Some(vec![text_file(reader, "text-file", &path)?]);
    }
    let texts = wire.texts?;
    if texts.get_ref().is_empty() {
        reader.problem(texts.span(), "`texts` has at least one value", "empty");
        return None;
    }
    Some(texts.into_inner())
}

/// Reads a file named by a case. The path is checked before it is joined to anything.
fn text_file(reader: &mut Reader<'_>, key: &str, path: &Spanned<String>) -> Option<String> {
    let rule = format!("`{key}` is a relative path inside the suites folder");
    if !is_plain(path.get_ref()) {
        reader.problem(path.span(), rule, "only names joined by `/`, no `..`");
        return None;
    }
    let whole = reader.context.root.join(path.get_ref());
    if !lies_inside(&whole, reader.context.root) {
        reader.problem(path.span(), rule, "a link leads out of it");
        return None;
    }
    match read_text(&whole, MAX_PROMPT_FILE) {
        Ok(text) => Some(text),
        Err(why) => {
            reader.problem(path.span(), format!("`{key}` names a file that can be read"), why);
            None
        }
    }
}

fn class(wire: WireClass) -> ToleranceClass {
    match wire {
        WireClass::Same => ToleranceClass::Self_,
        WireClass::SameNumerics => ToleranceClass::SameNumerics,
        WireClass::CrossNumerics => ToleranceClass::CrossNumerics,
    }
}

fn tolerance(reader: &mut Reader<'_>, wire: &WireTolerance) -> Tolerance {
    let ceilings = match wire {
        WireTolerance::Class(word) => {
            return Tolerance { class: class(*word), tightened: ToleranceOverrides::default() };
        }
        WireTolerance::Ceilings(ceilings) => ceilings,
    };
    let class = class(ceilings.class);
    let mut tightened = ToleranceOverrides::default();
    // In the order of `ToleranceOverrides::entries`.
    let limits: [(&Option<Spanned<f64>>, &mut Option<f64>); 9] = [
        (&ceilings.mean_kl, &mut tightened.mean_kl),
        (&ceilings.p99_kl, &mut tightened.p99_kl),
        (&ceilings.max_kl, &mut tightened.max_kl),
        (&ceilings.p99_nmse, &mut tightened.p99_nmse),
        (&ceilings.max_nmse, &mut tightened.max_nmse),
        (&ceilings.min_raw_cosine, &mut tightened.min_raw_cosine),
        (&ceilings.min_centred_cosine, &mut tightened.min_centred_cosine),
        (&ceilings.max_slope_deviation, &mut tightened.max_slope_deviation),
        (&ceilings.max_ln_perplexity_ratio, &mut tightened.max_ln_perplexity_ratio),
    ];
    let spans = limits.map(|(wire, limit)| {
        *limit = wire.as_ref().map(|value| *value.get_ref());
        wire.as_ref().map(Spanned::span)
    });
    let looser = tightened.looser_than(&(reader.context.known.ceilings)(class));
    for ((key, bound, asked), span) in tightened.entries().into_iter().zip(spans) {
        let (Some(asked), Some(span)) = (asked, span) else { continue };
        if !asked.is_finite() || asked < 0.0 {
            let rule = format!("`{key}` is a finite number and not negative");
            reader.problem(span, rule, format!("this is {asked}"));
        } else if bound == Bound::Floor && asked > 1.0 {
            let rule = format!("`{key}` is at most 1: no cosine is larger");
            reader.problem(span, rule, format!("this is {asked}"));
        } else if let Some((_, limit)) = looser.iter().find(|(loose, _)| *loose == key) {
            let rule = format!("a tolerance may only be tighter than its class `{}`", class.name());
            reader.problem(span, rule, format!("the class has {key} = {limit}"));
        }
    }
    Tolerance { class, tightened }
}

/// `varied` says whether the case's variants already set the threads and the instruction set.
fn relation(
    reader: &mut Reader<'_>,
    wire: &Spanned<WireRelation>,
    varied: (bool, bool),
) -> Option<Relation> {
    let span = wire.span();
    let clash = |reader: &mut Reader<'_>, key: &str| {
        let rule = format!("a relation over `{key}` sets it itself");
        reader.problem(span.clone(), rule, format!("`variants` names `{key}` too"));
    };
    let (relation, values) = match wire.get_ref() {
        WireRelation::PrefillEqualsSteps => return Some(Relation::PrefillEqualsSteps),
        WireRelation::RepeatRun => return Some(Relation::RepeatRun),
        WireRelation::CausalPrefix => return Some(Relation::CausalPrefix),
        WireRelation::FreshCache(earlier) => {
            let after = reader.text("after", earlier.after.clone())?;
            return Some(Relation::FreshCache { after });
        }
        WireRelation::Threads(list) => {
            if varied.0 {
                clash(reader, "threads");
            }
            let values = threads_axis(reader, list);
            let count = values.len();
            (Relation::Threads(values), count)
        }
        WireRelation::Isa(list) => {
            if varied.1 {
                clash(reader, "isa");
            }
            let names: Vec<String> = axis(reader, "isa", list)
                .iter()
                .map(|isa| isa.get_ref().name().to_owned())
                .collect();
            let count = names.len();
            (Relation::Isa(names), count)
        }
    };
    if values < 2 {
        reader.problem(span, "a relation compares at least two values", "one alone proves nothing");
        return None;
    }
    Some(relation)
}

fn damage(reader: &mut Reader<'_>, wire: &Spanned<WireDamage>) -> Option<Damage> {
    match wire.get_ref() {
        WireDamage::TruncateToBytes(keep) => {
            let keep = reader.integer("truncate-to-bytes", keep, 0..=i64::MAX)?;
            Some(Damage::TruncateToBytes(keep.unsigned_abs()))
        }
        WireDamage::TruncateToFraction(part) => {
            if !(0.0..1.0).contains(part.get_ref()) {
                let rule = "`truncate-to-fraction` is at least 0 and below 1";
                reader.problem(part.span(), rule, format!("this is {}", part.get_ref()));
                return None;
            }
            Some(Damage::TruncateToFraction(*part.get_ref()))
        }
        WireDamage::Overwrite(wire) => {
            let offset = reader.integer("offset", &wire.offset, 0..=i64::MAX);
            let bytes = hex_bytes(wire.hex.get_ref());
            if bytes.is_none() {
                reader.problem(
                    wire.hex.span(),
                    "`hex` is pairs of hex digits, at least one",
                    "not hex",
                );
            }
            Some(Damage::Overwrite { offset: offset?.unsigned_abs(), bytes: bytes? })
        }
        WireDamage::ReplaceWithText(text) => Some(Damage::ReplaceWithText(text.get_ref().clone())),
        WireDamage::Rename(WireRename { from, to }) => {
            let (from_text, to_text) = (from.get_ref(), to.get_ref());
            if from_text.is_empty() || from_text.len() != to_text.len() || from_text == to_text {
                let rule = "`from` and `to` are different names of the same number of bytes";
                let label = format!("{} bytes for {}", to_text.len(), from_text.len());
                reader.problem(to.span(), rule, label);
                return None;
            }
            Some(Damage::Rename { from: from_text.clone(), to: to_text.clone() })
        }
        WireDamage::SetU32(set) => {
            let key = reader.text("key", set.key.clone());
            let value = reader.integer("value", &set.value, 0..=i64::from(u32::MAX));
            let bytes = u32::try_from(value?).ok()?.to_le_bytes();
            Some(Damage::SetScalar { key: key?, kind: ScalarType::U32, bytes })
        }
        WireDamage::SetF32(set) => {
            let key = reader.text("key", set.key.clone())?;
            let bytes = (set.value as f32).to_le_bytes();
            Some(Damage::SetScalar { key, kind: ScalarType::F32, bytes })
        }
    }
}

fn hex_bytes(text: &str) -> Option<Vec<u8>> {
    if text.is_empty()
        || !text.len().is_multiple_of(2)
        || !text.bytes().all(|b| b.is_ascii_hexdigit())
    {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}
