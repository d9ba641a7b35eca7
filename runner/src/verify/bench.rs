//! The rules of a benchmark's receipt: its figures and verdicts follow from its rounds, every answer was
//! checked, and no machine is faster than machines are.

use serde_json::{Value, json};

use super::json::differences;
use super::{Reasons, common};
use crate::backend::Output;
use crate::bench::case::worst;
use crate::bench::expected::MARGIN;
use crate::bench::measure::verdict;
use crate::bench::noise::NOISY_HOST;
use crate::bench::verdict::{LOOKS, Question, decide};
use crate::receipt::{BenchReceipt, Kind, Measure, Measured, Word, derive};

/// Bytes a second and thread that a decode may read its weights with: the two loads of 64 bytes a cycle that
/// the widest cores can make from their first cache, at 5 GHz. Memory gives a tenth of it.
const MOST_BYTES_A_SECOND: f64 = 2.0 * 64.0 * 5e9;
/// Multiplications a second and thread: 1,024 int8 products a cycle of an AMX unit, twice over, at 5 GHz.
const MOST_PRODUCTS_A_SECOND: f64 = 2.0 * 1024.0 * 5e9;
/// Part of a file's bytes that a forward pass reads at least: an embedding that is no head is left out, and
/// what is read of a head that is rescored.
const READ_SHARE: f64 = 0.1;
/// Most bits of a weight: F32.
const MOST_BITS: f64 = 32.0;

pub(super) fn verify(receipt: &BenchReceipt, json: &Value, reasons: &mut Reasons) {
    let r = receipt;
    reasons.check(r.kind == Kind::Bench, "kind", "is not 'bench'");
    common::tool(&r.tool, reasons);
    common::time(&r.time, reasons);
    common::case(&r.case, "bench", r.threads, None, reasons);
    common::model(&r.model, reasons);
    common::identity("subject", &r.subject, reasons);
    common::identity("reference", &r.reference, reasons);
    let why = "is the subject's: an engine was measured against itself";
    reasons.check(r.reference.name != r.subject.name, "reference.name", why);
    common::machine(&r.machine, r.threads, reasons);
    common::kernels(&r.kernels, &r.subject, &r.machine, None, reasons);
    let passed = r.verdict.word == Word::Pass;
    common::unaltered(&r.subject, passed, reasons);
    for (name, bytes) in
        [("subject", r.peak_memory.subject), ("reference", r.peak_memory.reference)]
    {
        let path = format!("peak_memory.{name}");
        reasons.check(bytes != Some(0), path, "is 0: no process takes no memory");
    }
    reasons.check(!r.measured.is_empty(), "measured", "is empty: nothing was measured");
    for (index, measured) in r.measured.iter().enumerate() {
        let path = format!("measured[{index}]");
        one(measured, &json["measured"][index], &path, reasons);
        let speed = Speed { model_bytes: r.model.bytes, threads: r.threads };
        speed.check(measured, &path, reasons);
    }
    let follows = worst(r.measured.iter().map(|m| (&*m.name, &m.verdict)));
    differences("verdict", &json["verdict"], &json!(follows), reasons);
}

fn one(measured: &Measured, json: &Value, path: &str, reasons: &mut Reasons) {
    named(measured, path, reasons);
    let rounds = measured.rounds.len();
    let why = format!("has {rounds} entries; a verdict looks after {LOOKS:?}");
    reasons.check(LOOKS.contains(&rounds), format!("{path}.rounds"), why);
    let limited = measured.limit.is_finite() && measured.limit > 0.0;
    let why = format!("is {}: no share of a speed", measured.limit);
    reasons.check(limited, format!("{path}.limit"), why);
    for (round, pair) in measured.rounds.iter().enumerate() {
        for (side, visit) in [("subject", &pair.subject), ("reference", &pair.reference)] {
            let place = format!("{path}.rounds[{round}].{side}.nanos");
            reasons.check(!visit.nanos.is_empty(), &*place, "is empty: nothing was timed");
            reasons.check(!visit.nanos.contains(&0), &*place, "holds a 0, which no clock gives");
            let whole = measured.measure != Measure::Decode
                || (measured.tokens > 0 && visit.nanos.len().is_multiple_of(measured.tokens));
            let why =
                format!("has {} times, not runs of {} ids", visit.nanos.len(), measured.tokens);
            reasons.check(whole, place, why);
        }
    }
    verified(measured, path, reasons);
    let follows = derive::metrics(measured.measure, measured.tokens, &measured.rounds);
    let place = format!("{path}.metrics");
    match follows {
        Some(metrics) => differences(&place, &json["metrics"], &json!(metrics), reasons),
        None => reasons.add(place, "nothing follows from the rounds"),
    }
    let ratios = derive::ln_time_ratios(measured.measure, &measured.rounds).unwrap_or_default();
    let look = decide(&ratios, &Question::share_of_reference(measured.limit));
    let mut follows = verdict(look, &[]);
    // What the host was like is measured, and comes first.
    let noisy = |reason: &&String| reason.starts_with(NOISY_HOST);
    let noises: Vec<String> = measured.verdict.reasons.iter().filter(noisy).cloned().collect();
    if !noises.is_empty() {
        follows.word = Word::Inconclusive;
        follows.reasons.splice(0..0, noises);
    }
    differences(&format!("{path}.verdict"), &json["verdict"], &json!(follows), reasons);
}

/// Whether the name says what was measured.
fn named(measured: &Measured, path: &str, reasons: &mut Reasons) {
    let Measured { name, measure, tokens, depth, output, .. } = measured;
    let deep = if *depth > 0 { format!("@d{depth}") } else { String::new() };
    let (follows, right) = match (measure, output) {
        (Measure::Load, None) => ("load".to_owned(), *tokens == 0),
        (Measure::Prefill, None) => (format!("pp{tokens}"), *tokens > 0),
        (Measure::Decode, Some(Output::Greedy)) => (format!("tg{tokens}{deep}"), *tokens > 0),
        (Measure::Decode, Some(Output::Logits)) => {
            (format!("tg{tokens}{deep}+logits"), *tokens > 0)
        }
        _ => (String::new(), false),
    };
    let why = format!("is '{name}', and what was timed is called '{follows}'");
    reasons.check(right && *name == follows, format!("{path}.name"), why);
}

/// Whether every answer was held against the reference's.
fn verified(measured: &Measured, path: &str, reasons: &mut Reasons) {
    let verification = &measured.verification;
    // Each timed call has one answer.
    let answers: usize = measured.rounds.iter().map(|round| round.subject.nanos.len()).sum();
    let place = format!("{path}.verification");
    let why = format!(
        "is {}, and the subject gave {answers} answers: no verified answer, no number",
        verification.positions
    );
    reasons.check(verification.positions == answers, format!("{place}.positions"), why);
    let doubtful = verification.near_ties + verification.outside;
    let why = format!("and those outside are {doubtful}, of {}", verification.positions);
    reasons.check(doubtful <= verification.positions, format!("{place}.near_ties"), why);
    let why = format!("is {}, more than a tenth", verification.outside);
    let few = verification.outside * 10 <= verification.positions;
    reasons.check(few, format!("{place}.outside"), why);
    let why = format!("is {}, not {MARGIN}", verification.margin);
    reasons.check(verification.margin == MARGIN, format!("{place}.margin"), why);
}

/// What no machine exceeds.
struct Speed {
    model_bytes: u64,
    threads: usize,
}

impl Speed {
    fn check(&self, measured: &Measured, path: &str, reasons: &mut Reasons) {
        let read = self.model_bytes as f64 * READ_SHARE;
        let threads = self.threads.max(1) as f64;
        let least_seconds = match measured.measure {
            Measure::Decode => read / (MOST_BYTES_A_SECOND * threads),
            Measure::Prefill => {
                let products = read * 8.0 / MOST_BITS * measured.tokens as f64;
                products / (MOST_PRODUCTS_A_SECOND * threads)
            }
            Measure::Load => 0.0,
        };
        let metrics = &measured.metrics;
        for (side, nanos) in
            [("subject", metrics.subject.p50_ns), ("reference", metrics.reference.p50_ns)]
        {
            let why = format!(
                "is {nanos} ns, faster than any processor: {} bytes of weights take {} thread(s) at \
                 least {:.0} ns",
                self.model_bytes,
                self.threads,
                least_seconds * 1e9
            );
            let possible = nanos / 1e9 >= least_seconds;
            reasons.check(possible, format!("{path}.metrics.{side}.p50_ns"), why);
        }
    }
}
