//! The rules of a comparison's receipt: its verdict and figures follow from its raw data and tolerance.

use serde_json::{Value, json};

use super::json::differences;
use super::{Reasons, common, raw};
use crate::compare::{Qualification, Word};
use crate::receipt::{Kind, ParityMetrics, ParityReceipt, ParityVerdict};

/// Fewest known-wrong outputs a gate.
const FEWEST_CONTROLS: usize = 12;

pub(super) fn verify(receipt: &ParityReceipt, json: &Value, reasons: &mut Reasons) {
    let r = receipt;
    reasons.check(r.kind == Kind::Parity, "kind", "is not 'parity'");
    common::tool(&r.tool, reasons);
    common::time(&r.time, reasons);
    let told = r.seconds.is_finite() && r.seconds >= 0.0;
    reasons.check(told, "seconds", format!("is {}: no time of a trial", r.seconds));
    common::case(&r.case, "parity", r.threads, r.isa.as_deref(), reasons);
    common::sha256("prompt.sha256", &r.prompt.sha256, reasons);
    common::identity("subject", &r.subject, reasons);
    common::machine(&r.machine, r.threads, reasons);
    if let Some(model) = &r.model {
        common::model(model, reasons);
    }
    if let Some(reference) = &r.reference {
        common::identity("reference", reference, reasons);
        let against = r.against.as_deref();
        let why = format!("is '{}', and the trial asks for {against:?}", reference.name);
        reasons.check(against == Some(&*reference.name), "reference.name", why);
        let why = "is the subject's: an engine was compared with itself";
        reasons.check(reference.name != r.subject.name, "reference.name", why);
    }
    passed(r, reasons);
    match &r.raw {
        Some(measured) => {
            raw::verify(measured, &r.prompt, reasons);
            compared(r, json, reasons);
        }
        None => uncompared(r, reasons),
    }
    if let Some(qualification) = &r.qualification {
        qualified(qualification, reasons);
    }
}

fn passed(r: &ParityReceipt, reasons: &mut Reasons) {
    let follows =
        ParityReceipt::passes(r.verdict.word, r.known_failure.is_some(), r.qualification.as_ref());
    let why = format!("is {}, and {follows} follows from the verdict", r.passed);
    reasons.check(r.passed == follows, "passed", why);
    common::unaltered(&r.subject, r.passed, reasons);
}

/// A trial in which logits were compared.
fn compared(r: &ParityReceipt, json: &Value, reasons: &mut Reasons) {
    common::kernels(&r.kernels, &r.subject, &r.machine, r.isa.as_deref(), reasons);
    reasons.check(r.model.is_some(), "model", "is missing, and logits were compared");
    reasons.check(r.reference.is_some(), "reference", "is missing, and logits were compared");
    let none = r.verdict.error.is_none();
    reasons.check(none, "verdict.error", "is there, and logits were compared");
    let verdict = match r.raw.as_ref().map(|measured| measured.judge(&r.tolerance)) {
        Some(Ok(verdict)) => verdict,
        Some(Err(why)) => return reasons.add("raw", why),
        None => return,
    };
    let follows = json!(ParityVerdict::of(&verdict));
    differences("verdict", &json["verdict"], &follows, reasons);
    match ParityMetrics::of(&verdict) {
        Some(metrics) => differences("metrics", &json["metrics"], &json!(metrics), reasons),
        None => reasons.add("metrics", "nothing follows from the raw data"),
    }
}

/// A trial that ended before anything could be compared.
fn uncompared(r: &ParityReceipt, reasons: &mut Reasons) {
    let word = r.verdict.word;
    let why = format!("is {}, and nothing was compared: only ERROR has no raw data", word.name());
    reasons.check(word == Word::Error, "verdict.word", why);
    let told = r.verdict.error.as_deref().is_some_and(|error| !error.trim().is_empty());
    reasons.check(told, "verdict.error", "is missing: an ERROR has its reason");
    let none = r.metrics.is_none();
    reasons.check(none, "metrics", "is there, and there are no raw data for it to follow from");
    let none = r.verdict.findings.is_empty() && r.verdict.rung.is_none();
    reasons.check(none, "verdict.findings", "is there, and nothing was compared");
    reasons.check(r.qualification.is_none(), "qualification", "is there, and nothing was compared");
}

fn qualified(qualification: &Qualification, reasons: &mut Reasons) {
    reasons.check(!qualification.gates.is_empty(), "qualification.gates", "is empty");
    for (index, gate) in qualification.gates.iter().enumerate() {
        let path = format!("qualification.gates[{index}].controls");
        let count = gate.controls.len();
        let why =
            format!("has {count} known-wrong outputs; a gate is fed at least {FEWEST_CONTROLS}");
        reasons.check(count >= FEWEST_CONTROLS, &*path, why);
        for (at, control) in gate.controls.iter().enumerate() {
            let twice = gate.controls[..at].iter().any(|other| other.control == control.control);
            let path = format!("{path}[{at}].control");
            reasons.check(!twice, path, format!("'{}' is there twice", control.control));
        }
    }
}
