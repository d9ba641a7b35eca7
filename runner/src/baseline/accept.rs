//! Makes levels of receipts and moves accepted ones: upwards on evidence, any way with a reason. It writes
//! nothing until all receipts are judged, and takes no receipt in secret: what it refuses it says.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::admit::{Evidence, input, key};
use super::derive;
use super::document::{BaselineError, Document, Entry, Input, Key, Level, Release};
use crate::backend::Identity;
use crate::machine::Machine;
use crate::stats::z_one_sided;

/// Fewest runs that make a level: rounds of one run share its processes, its pages and its hour.
pub const FEWEST_RUNS: usize = 3;

/// Confidence that a new level is faster, for it to move without a reason.
const CONFIDENCE: f64 = 0.95;

/// What moves a level that there is already.
#[derive(Debug, Clone, Copy)]
pub enum Mode<'a> {
    /// Only what is faster with confidence.
    OnEvidence,
    /// Everything, and the reason is kept.
    Because {
        /// Why.
        why: &'a str,
        /// Name of the release that these levels are pinned for.
        release: Option<&'a str>,
    },
}

/// What became of a measure, or why it was refused.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The measure, or the receipt's file where none of it counts.
    pub what: String,
    /// In words.
    pub text: String,
    /// What it means for the document.
    pub effect: Effect,
}

/// What receipts do to a level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// There is a new level.
    Changed,
    /// The old one stays.
    Kept,
    /// The receipts do not count.
    Refused,
}

/// What a run of the tool does to `baselines/`.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Documents that change, whole.
    pub documents: Vec<Document>,
    /// What became of each measure.
    pub outcomes: Vec<Outcome>,
}

/// A name for people.
pub fn name(key: &Key) -> String {
    format!("{} {} against {}, {} threads", key.case, key.measure, key.reference, key.threads)
}

/// Works out what `evidence` does to the baselines below `root`. Writes nothing.
///
/// # Errors
/// [`BaselineError`], if a document that is there cannot be used.
pub fn plan(root: &Path, evidence: &[Evidence], mode: Mode<'_>) -> Result<Plan, BaselineError> {
    let mut plan = Plan { documents: Vec::new(), outcomes: Vec::new() };
    let mut machines: BTreeMap<String, &Machine> = BTreeMap::new();
    for one in evidence {
        machines.entry(one.receipt.machine.fingerprint()).or_insert(&one.receipt.machine);
    }
    for (fingerprint, machine) in machines {
        let own = evidence.iter().filter(|one| one.receipt.machine.fingerprint() == fingerprint);
        let mut document = match Document::read(root, machine)? {
            Some(document) => document,
            None => Document::new(machine.clone()),
        };
        let groups = grouped(own, &mut plan.outcomes);
        let mut changed = false;
        for (key, group) in groups {
            let outcome = apply(&mut document, &key, group, mode);
            changed |= outcome.effect == Effect::Changed;
            plan.outcomes.push(outcome);
        }
        if changed {
            plan.documents.push(document);
        }
    }
    Ok(plan)
}

/// Inputs of one key, and the reference that they are against.
struct Group {
    reference: Identity,
    inputs: Vec<Input>,
    /// Another build or version of the reference, if there was one.
    other_reference: bool,
}

fn grouped<'a>(
    evidence: impl Iterator<Item = &'a Evidence>,
    refused: &mut Vec<Outcome>,
) -> BTreeMap<Key, Group> {
    let mut groups: BTreeMap<Key, Group> = BTreeMap::new();
    for one in evidence {
        for measured in &one.receipt.measured {
            let key = key(&one.receipt, measured);
            match input(one, measured) {
                Ok(input) => {
                    let reference = &one.receipt.reference;
                    let group = groups.entry(key).or_insert_with(|| Group {
                        reference: reference.clone(),
                        inputs: Vec::new(),
                        other_reference: false,
                    });
                    group.other_reference |= group.reference != *reference;
                    group.inputs.push(input);
                }
                Err(why) => refused.push(Outcome {
                    what: name(&key),
                    text: format!("refused, {}: {why}", one.path.display()),
                    effect: Effect::Refused,
                }),
            }
        }
    }
    groups
}

fn apply(document: &mut Document, key: &Key, group: Group, mode: Mode<'_>) -> Outcome {
    let outcome = |text: String, effect| Outcome { what: name(key), text, effect };
    if group.other_reference {
        return outcome(
            "refused: its receipts are against different builds of the reference".into(),
            Effect::Refused,
        );
    }
    let runs: BTreeSet<&str> = group.inputs.iter().map(|input| &*input.time).collect();
    if runs.len() < FEWEST_RUNS {
        let runs = runs.len();
        return outcome(
            format!("refused: {runs} runs count, a level takes {FEWEST_RUNS}"),
            Effect::Refused,
        );
    }
    let position = document.entries.iter().position(|entry| entry.key == *key);
    let why = match (mode, position) {
        (Mode::Because { why, .. }, _) => why.to_owned(),
        (Mode::OnEvidence, None) => "the first level".to_owned(),
        (Mode::OnEvidence, Some(_)) => "faster with confidence".to_owned(),
    };
    let Some(level) = derive::level(why, group.inputs) else {
        return outcome("refused: its receipts give no level".into(), Effect::Refused);
    };
    let speed = |level: &Level| (-level.ln_time_ratio).exp();
    let pin = match mode {
        Mode::Because { release, .. } => release,
        Mode::OnEvidence => None,
    };
    let Some(position) = position else {
        let text =
            format!("accepted at {:.3} of the reference's speed: {}", speed(&level), level.why);
        let release = Release { name: pin.unwrap_or("first").to_owned(), level: level.clone() };
        let (key, reference) = (key.clone(), group.reference);
        document.entries.push(Entry { key, reference, accepted: level, release });
        return outcome(text, Effect::Changed);
    };
    let entry = &mut document.entries[position];
    let same_reference = entry.reference == group.reference;
    if matches!(mode, Mode::OnEvidence) && !(same_reference && faster(&level, &entry.accepted)) {
        let why = match same_reference {
            true => "not faster with confidence",
            false => "the reference is another build; `parity baselines accept --why` takes it",
        };
        let (old, new) = (speed(&entry.accepted), speed(&level));
        return outcome(
            format!("kept at {old:.3} of the reference's speed, receipts say {new:.3}: {why}"),
            Effect::Kept,
        );
    }
    let (old, new) = (speed(&entry.accepted), speed(&level));
    let text = format!("moved from {old:.3} to {new:.3} of the reference's speed: {}", level.why);
    // A ratio to another reference says nothing beside the old one's.
    if let Some(name) = pin.or((!same_reference).then_some("another reference")) {
        entry.release = Release { name: name.to_owned(), level: level.clone() };
    }
    entry.reference = group.reference;
    entry.accepted = level;
    outcome(text, Effect::Changed)
}

/// Whether the upper end of the difference in ln time is below 0.
fn faster(new: &Level, old: &Level) -> bool {
    let error = new.ln_time_ratio_error.hypot(old.ln_time_ratio_error);
    new.ln_time_ratio - old.ln_time_ratio + z_one_sided(CONFIDENCE) * error < 0.0
}
