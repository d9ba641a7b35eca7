//! Whether a tolerance can see: it is fed known-wrong outputs, gate by gate, and must reject each. It
//! makes none of them; `known_wrong` does.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CompareError, ParityInput, Rung, Tokenised, Tolerance, Verdict, judge, known_wrong};

/// What a tolerance made of known-wrong outputs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Qualification {
    /// One a gate that the case has.
    pub gates: Vec<GateScore>,
}

/// One gate's score.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GateScore {
    /// The rung whose inputs were made wrong.
    pub gate: Rung,
    /// Each way of being wrong.
    pub controls: Vec<ControlResult>,
}

/// What became of one known-wrong output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ControlResult {
    /// How it is wrong.
    pub control: String,
    /// The first rung that rejected it; none if it passed.
    pub caught_by: Option<Rung>,
    /// The rule that it broke there; none if it passed, and if it could not even be compared.
    pub rule: Option<String>,
}

impl Qualification {
    /// Whether every known-wrong output was rejected.
    pub fn passes(&self) -> bool {
        self.gates.iter().all(|gate| gate.caught() == gate.controls.len())
    }

    /// Known-wrong outputs that passed, with their gate.
    pub fn survivors(&self) -> impl Iterator<Item = (Rung, &ControlResult)> {
        self.gates.iter().flat_map(|gate| {
            let passed = gate.controls.iter().filter(|control| control.caught_by.is_none());
            passed.map(|control| (gate.gate, control))
        })
    }
}

impl GateScore {
    /// How many controls were rejected.
    pub fn caught(&self) -> usize {
        self.controls.iter().filter(|control| control.caught_by.is_some()).count()
    }
}

/// The mutation score: `tokens 12/12, logits 18/18, greedy 12/12`.
impl fmt::Display for Qualification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, gate) in self.gates.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(f, "{comma}{} {}/{}", gate.gate.name(), gate.caught(), gate.controls.len())?;
        }
        Ok(())
    }
}

/// Feeds `tolerance` with known-wrong outputs made of the reference's own in `input`; what the test gave is
/// not looked at. A case without steps has no gate for free runs, one without text none for tokens.
pub fn qualify(input: &ParityInput<'_>, tolerance: &Tolerance) -> Qualification {
    let vocab_size = input.vocab_size;
    // An engine that is right: what is wrong below is wrong against this.
    let right = ParityInput {
        test_prefill: input.reference_prefill,
        test_steps: input.reference_steps,
        free_run: None,
        tokens: None,
        ..*input
    };
    let mut gates = Vec::new();
    if let Some((reference, _)) = &input.tokens
        && !reference.ids.is_empty()
    {
        let (ids, lengths) = (reference.ids, reference.byte_lengths);
        let back = reference.detokenised.unwrap_or_default();
        let wrong = known_wrong::tokenisations(ids, lengths, back, vocab_size);
        let controls = wrong.into_iter().map(|wrong| {
            let test = Tokenised {
                ids: &wrong.ids,
                byte_lengths: &wrong.byte_lengths,
                detokenised: Some(&wrong.back),
            };
            let fed = ParityInput { tokens: Some((*reference, test)), ..right };
            ControlResult::of(wrong.name, Rung::Tokens, judge(&fed, tolerance))
        });
        gates.push(GateScore { gate: Rung::Tokens, controls: controls.collect() });
    }
    let prefill = known_wrong::rows(input.reference_prefill, vocab_size);
    let mut steps: Vec<_> = match input.chosen {
        [] => Vec::new(),
        _ => known_wrong::rows(input.reference_steps, vocab_size).collect(),
    };
    let controls = prefill.map(|(name, rows)| {
        let at = steps.iter().position(|(other, _)| *other == name);
        // A way that changes the prefill alone is wrong all the same.
        let decode = at.map(|at| steps.swap_remove(at).1);
        let test_steps = decode.as_deref().unwrap_or(input.reference_steps);
        let fed = ParityInput { test_prefill: &rows, test_steps, ..right };
        ControlResult::of(name.to_owned(), Rung::Logits, judge(&fed, tolerance))
    });
    gates.push(GateScore { gate: Rung::Logits, controls: controls.collect() });
    if !input.chosen.is_empty() {
        let wrong = known_wrong::free_runs(input.chosen, input.reference_steps, vocab_size);
        let controls = wrong.into_iter().map(|(name, ids)| {
            let fed = ParityInput { free_run: Some(&ids), ..right };
            ControlResult::of(name, Rung::Greedy, judge(&fed, tolerance))
        });
        gates.push(GateScore { gate: Rung::Greedy, controls: controls.collect() });
    }
    Qualification { gates }
}

impl ControlResult {
    /// What became of a known-wrong output; one that cannot be compared is caught where it was made.
    fn of(control: String, gate: Rung, judged: Result<Verdict, CompareError>) -> Self {
        match judged {
            Err(_) => Self { control, caught_by: Some(gate), rule: None },
            Ok(verdict) => {
                let rule = verdict.headline().map(|finding| finding.name.clone());
                Self { control, caught_by: verdict.rung, rule }
            }
        }
    }
}
