//! Whether new receipts keep to the accepted levels: a drop of more than a tenth fails. It judges each
//! measure by itself, changes no file, and what it cannot compare does not pass.

use super::accept::name;
use super::admit::{key, ln_subject, unsound};
use super::document::{Document, Entry, Level};
use crate::bench::verdict::{Call, Look, Question, decide};
use crate::machine::Machine;
use crate::receipt::{BenchReceipt, Measured, Verdict, Word, derive};

/// The smallest part of an accepted speed that passes.
pub const KEPT: f64 = 0.9;

/// Standard deviation of ln ratios between runs on machines of one processor model.
const SAME_PROCESSOR: f64 = 0.015;
/// The same between processors: one engine may like an instruction set more than the other does.
const OTHER_PROCESSOR: f64 = 0.05;
/// Standard deviation of ln times between days on one machine, which a ratio takes away.
const SAME_MACHINE_ABSOLUTE: f64 = 0.05;

/// What became of one measure.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// The measure.
    pub name: String,
    /// How it ended, and why.
    pub verdict: Verdict,
}

/// Holds every measure of `receipt` against `documents`, those of its target.
pub fn check(receipt: &BenchReceipt, documents: &[Document]) -> Vec<Finding> {
    let finding = |measured: &Measured| Finding {
        name: name(&key(receipt, measured)),
        verdict: verdict(receipt, measured, documents),
    };
    receipt.measured.iter().map(finding).collect()
}

fn verdict(receipt: &BenchReceipt, measured: &Measured, documents: &[Document]) -> Verdict {
    let ended = |word, reason: String| Verdict { word, reasons: vec![reason] };
    if let Some(why) = unsound(receipt, measured) {
        return ended(Word::Inconclusive, why);
    }
    let Some((entry, machine)) = nearest(receipt, measured, documents) else {
        let why = "there is no baseline of it; `parity baselines gen --from` makes one of receipts";
        return ended(Word::NotComparable, why.into());
    };
    if entry.reference != receipt.reference {
        let why = "the reference is another build than the baseline's; measure with that one, or accept \
                   new levels with `parity baselines accept --why`";
        return ended(Word::NotComparable, why.into());
    }
    let Some(ratios) = derive::ln_time_ratios(measured.measure, &measured.rounds) else {
        return ended(Word::NotComparable, "a visit has no time".into());
    };
    let here = &receipt.machine;
    let systematic = match machine.hard.cpu == here.hard.cpu && machine.hard.cpu.is_some() {
        true => SAME_PROCESSOR,
        false => OTHER_PROCESSOR,
    };
    let by_ratio = |level: &Level, what: &str| {
        let (origin, error) = (level.ln_time_ratio, level.ln_time_ratio_error);
        (what.to_owned(), decide(&ratios, &question(origin, error, systematic)))
    };
    let mut gates = vec![
        by_ratio(&entry.accepted, "accepted level, ratio to the reference"),
        by_ratio(&entry.release.level, &format!("release '{}', ratio", entry.release.name)),
    ];
    if machine.fingerprint() == here.fingerprint() {
        let level = &entry.accepted;
        let question =
            question(level.ln_subject_ns, level.ln_subject_ns_error, SAME_MACHINE_ABSOLUTE);
        let look = ln_subject(measured).and_then(|times| decide(&times, &question));
        // The machine may have had a slow day: alone, only a failure says something.
        let look = look.filter(|look| look.call() == Call::Fail);
        gates.extend(look.map(|look| ("accepted level, absolute".to_owned(), Some(look))));
    }
    judged(gates)
}

fn question(origin: f64, origin_error: f64, systematic: f64) -> Question {
    Question { origin, origin_error, systematic, ..Question::share_of_reference(KEPT) }
}

/// The worst of all gates; each says its figures.
fn judged(gates: Vec<(String, Option<Look>)>) -> Verdict {
    let word = |look: &Option<Look>| match look.as_ref().map(Look::call) {
        Some(Call::Pass) => Word::Pass,
        Some(Call::Fail) => Word::Fail,
        Some(Call::Undecided) | None => Word::Inconclusive,
    };
    let reason = |(what, look): &(String, Option<Look>)| match look {
        Some(look) => format!("{what}: {}: {look}", word(&Some(*look))),
        None => format!("{what}: too few rounds for a first look"),
    };
    Verdict {
        word: gates.iter().map(|(_, look)| word(look)).max().unwrap_or(Word::NotComparable),
        reasons: gates.iter().map(reason).collect(),
    }
}

/// The entry of this measure on the machine that is most like the receipt's: the same, one with the same
/// processor, any.
fn nearest<'a>(
    receipt: &BenchReceipt,
    measured: &Measured,
    documents: &'a [Document],
) -> Option<(&'a Entry, &'a Machine)> {
    let (key, here) = (key(receipt, measured), &receipt.machine);
    let distance = |machine: &Machine| match machine.fingerprint() == here.fingerprint() {
        true => 0,
        false if machine.hard.cpu == here.hard.cpu => 1,
        false => 2,
    };
    let entries = documents.iter().filter_map(|d| Some((d.entry(&key)?, &d.machine)));
    entries.min_by_key(|(_, machine)| distance(machine))
}
