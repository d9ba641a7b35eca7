//! A metamorphic case: the subject against itself, computed another way. No reference is asked.

use std::cell::RefCell;

use super::engines::{Engines, ModelFile, prompt_ids, roomy_request};
use super::outcome::{Obstacle, Outcome, Result};
use super::parity::piece;
use super::tolerance::tolerance;
use crate::backend::{Feed, Logits, OpenRequest};
use crate::compare::{SelfInput, SelfRequirement, Tolerance, Verdict, judge_self, one_line};
use crate::suite::Variant;
use crate::suite::case::{GreedyPolicy, Metamorphic, Prompt, Relation, SpecialTokens};

/// Runs one variant of a metamorphic case.
pub(super) fn run(
    engines: &mut Engines,
    model: ModelFile<'_>,
    check: &Metamorphic,
    variant: &Variant,
) -> Result<Outcome> {
    let tolerance = tolerance(&check.tolerance, GreedyPolicy::Margin)
        .map_err(|error| Obstacle::Error(error.to_string()))?;
    let facts = engines.facts(model, variant)?;
    let ids = prompt_ids(&mut *engines.subject, &check.prompt, check.special)?;
    let request = roomy_request(model, variant, ids.len(), &facts)?;
    engines.open_subject(&request)?;
    if ids.len() < 2
        && matches!(check.relation, Relation::PrefillEqualsSteps | Relation::CausalPrefix)
    {
        return Err(Obstacle::Error("one id compares nothing here: give a longer prompt".into()));
    }
    let mut compare =
        Compare { tolerance, vocab_size: facts.vocab_size, ids, verdicts: Vec::new() };
    let mut untested = String::new();
    match &check.relation {
        Relation::PrefillEqualsSteps => {
            let expected = compare.logits(engines, &request)?;
            let actual = engines.subject.logits(&compare.ids, Feed::Steps)?;
            compare.within("steps", &expected, &actual.values);
        }
        Relation::RepeatRun => {
            let expected = compare.logits(engines, &request)?;
            let actual = compare.logits(engines, &request)?;
            compare.bit_equal("the second run", &expected, &actual.values);
        }
        Relation::CausalPrefix => {
            let expected = compare.logits(engines, &request)?;
            let half = compare.ids.len().div_ceil(2);
            let actual = engines.subject.logits(&compare.ids[..half], Feed::Prefill)?;
            let rows = Logits {
                vocab_size: expected.vocab_size,
                values: expected.values[..half * expected.vocab_size].to_vec(),
            };
            compare.ids.truncate(half);
            compare.within("the first half alone", &rows, &actual.values);
        }
        Relation::FreshCache { after } => {
            let special = SpecialTokens { add: true, parse: false };
            let earlier = prompt_ids(&mut *engines.subject, &Prompt::Text(after.clone()), special)?;
            let positions = earlier.len().max(compare.ids.len());
            let request = roomy_request(model, variant, positions, &facts)?;
            engines.open_subject(&request)?;
            engines.subject.logits(&earlier, Feed::Prefill)?;
            let used = compare.logits(engines, &request)?;
            engines.forget_subject();
            let fresh = compare.logits(engines, &request)?;
            compare.bit_equal("the used cache", &fresh, &used.values);
        }
        Relation::Threads(counts) => {
            let with = |threads| OpenRequest { threads, ..request.clone() };
            let expected = compare.logits(engines, &with(counts[0]))?;
            for &threads in &counts[1..] {
                let actual = compare.logits(engines, &with(threads))?;
                compare.within(&format!("{threads} threads"), &expected, &actual.values);
            }
        }
        Relation::Isa(names) => {
            let (here, missing) = by_availability(engines, &request, names)?;
            let [first, others @ ..] = &here[..] else {
                return Err(Obstacle::Hardware(format!("this processor has none of {names:?}")));
            };
            if others.is_empty() {
                let why = format!("this processor has only {first} of {names:?}");
                return Err(Obstacle::Hardware(why));
            }
            let with = |isa: &String| OpenRequest { isa: Some(isa.clone()), ..request.clone() };
            let expected = compare.logits(engines, &with(first))?;
            for isa in others {
                let actual = compare.logits(engines, &with(isa))?;
                compare.within(isa, &expected, &actual.values);
            }
            untested = format!("; proved {} against {first}", others.join(", "));
            if !missing.is_empty() {
                untested += &format!("; NOT on this processor: {}", missing.join(", "));
            }
        }
    }
    let subject = RefCell::new(&mut *engines.subject);
    Ok(compare.outcome(&untested, &|id| piece(&mut **subject.borrow_mut(), id)))
}

/// Instruction sets that the subject can open here, and those it cannot.
fn by_availability(
    engines: &mut Engines,
    request: &OpenRequest,
    names: &[String],
) -> Result<(Vec<String>, Vec<String>)> {
    let (mut here, mut missing) = (Vec::new(), Vec::new());
    for name in names {
        let request = OpenRequest { isa: Some(name.clone()), ..request.clone() };
        match engines.open_subject(&request) {
            Ok(_) => here.push(name.clone()),
            Err(Obstacle::Hardware(_)) => missing.push(name.clone()),
            Err(other) => return Err(other),
        }
    }
    Ok((here, missing))
}

/// The ids of a case and the verdicts so far.
struct Compare {
    tolerance: Tolerance,
    vocab_size: usize,
    ids: Vec<u32>,
    verdicts: Vec<(String, Verdict)>,
}

impl Compare {
    fn logits(&self, engines: &mut Engines, request: &OpenRequest) -> Result<Logits> {
        engines.open_subject(request)?;
        Ok(engines.subject.logits(&self.ids, Feed::Prefill)?)
    }

    fn within(&mut self, what: &str, expected: &Logits, actual: &[f32]) {
        let tolerance = self.tolerance.clone();
        self.judge(what, expected, actual, SelfRequirement::Within(&tolerance));
    }

    fn bit_equal(&mut self, what: &str, expected: &Logits, actual: &[f32]) {
        self.judge(what, expected, actual, SelfRequirement::BitEqual);
    }

    fn judge(
        &mut self,
        what: &str,
        expected: &Logits,
        actual: &[f32],
        requirement: SelfRequirement<'_>,
    ) {
        let input = SelfInput {
            vocab_size: self.vocab_size,
            ids: &self.ids,
            first_position: 0,
            expected: &expected.values,
            actual,
        };
        let verdict = judge_self(&input, requirement)
            .unwrap_or_else(|error| Verdict::error(&error, &self.tolerance));
        self.verdicts.push((what.to_owned(), verdict));
    }

    fn outcome(mut self, note: &str, piece: &dyn Fn(u32) -> String) -> Outcome {
        if let Some(bad) = self.verdicts.iter().position(|(_, verdict)| !verdict.passes()) {
            let (what, verdict) = self.verdicts.swap_remove(bad);
            return match Outcome::of_verdict(verdict, &self.ids, piece) {
                Outcome::Failed { cause, text, verdict } => {
                    Outcome::Failed { cause, text: format!("{what}: {text}"), verdict }
                }
                other => other,
            };
        }
        let lines: Vec<String> =
            self.verdicts.iter().map(|(what, v)| format!("{what}: {}", one_line(v))).collect();
        let verdict = self.verdicts.pop().map(|(_, verdict)| Box::new(verdict));
        Outcome::Passed { line: lines.join("; ") + note, verdict }
    }
}
