//! Whether a tolerance can see: it is fed known-wrong outputs, gate by gate, and must reject each. It
//! makes none of them; `controls` does.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Rung;

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
