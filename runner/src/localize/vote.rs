//! Who stands alone among three or more voices on the same ids: the subject, the references, and the model
//! computed one operation after the other by the scalar kernels. Asks no engine.

use serde::{Deserialize, Serialize};

use super::evaluate::{Captured, Site};
use super::graph::{nodes, output, stages};
use super::measure::Distance;
use super::origin::ROUNDING;
use crate::backend::operations::Operations;

/// How much farther a voice must be from all others than they are from each other.
const FARTHER: f64 = 10.0;

/// Logits of all positions.
#[derive(Debug, Clone, PartialEq)]
pub struct Voice {
    /// Who.
    pub name: String,
    /// A row for each position.
    pub logits: Vec<f32>,
}

/// How far two voices are apart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Apart {
    /// The one.
    pub one: String,
    /// The other.
    pub other: String,
    /// ‖one − other‖ / ‖other‖; none where a value is no finite number.
    pub relative: Option<f64>,
    /// Share of logits with the same bits.
    pub equal_bits: f64,
}

/// Who stands alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Vote {
    /// Every pair.
    pub pairs: Vec<Apart>,
    /// The voice that the others contradict together, where there is one.
    pub alone: Option<String>,
    /// The result in a sentence.
    pub words: String,
    /// Voices that could not speak, with the reason.
    pub silent: Vec<String>,
}

/// Takes the vote of `voices`, rows of `columns` logits.
///
/// # Panics
/// If the voices differ in length.
pub fn take(voices: &[Voice], columns: usize, silent: Vec<String>) -> Vote {
    let count = voices.first().map_or(0, |voice| voice.logits.len() / columns.max(1));
    let positions: Vec<usize> = (0..count).collect();
    let apart = |a: &Voice, b: &Voice| Distance::of(&a.logits, &b.logits, columns, &positions);
    let mut pairs = Vec::new();
    for (index, one) in voices.iter().enumerate() {
        for other in &voices[index + 1..] {
            let distance = apart(one, other);
            pairs.push(Apart {
                one: one.name.clone(),
                other: other.name.clone(),
                relative: distance.relative,
                equal_bits: distance.equal_bits,
            });
        }
    }
    let size = |pair: &Apart| match pair.equal_bits >= 1.0 {
        true => 0.0,
        false => pair.relative.unwrap_or(f64::INFINITY),
    };
    let contradicted = |name: &str| {
        let (own, others): (Vec<_>, Vec<_>) =
            pairs.iter().partition(|pair| pair.one == name || pair.other == name);
        let nearest = own.into_iter().map(size).fold(f64::INFINITY, f64::min);
        let widest = others.into_iter().map(size).fold(0.0, f64::max);
        nearest > ROUNDING && nearest > FARTHER * widest
    };
    let alone: Vec<&Voice> = voices.iter().filter(|voice| contradicted(&voice.name)).collect();
    let widest = pairs.iter().map(size).fold(0.0, f64::max);
    let (alone, words) = match (voices.len(), &alone[..]) {
        (0..=2, _) => (None, "fewer than three voices: there is no vote".to_owned()),
        (count, []) if widest <= ROUNDING => {
            (None, format!("all {count} voices agree, within {widest:.1e}"))
        }
        (_, [voice]) => {
            (Some(voice.name.clone()), format!("{} stands alone: the others agree", voice.name))
        }
        _ => (None, "undecided: the voices fall into no majority".to_owned()),
    };
    Vote { pairs, alone, words, silent }
}

/// Logits of all positions, every operation of the graph computed by the scalar kernels from the results before
/// it.
///
/// # Errors
/// In words, which operation is not computed here.
pub fn scalar_pass(operations: &Operations, ids: &[u32]) -> Result<Vec<f32>, String> {
    let positions: Vec<usize> = (0..ids.len()).collect();
    let mut before = Captured::default();
    let mut result = Vec::new();
    for stage in stages(operations) {
        let mut captured = before;
        for node in &nodes(operations, stage) {
            let site = Site { operations, node, captured: &captured, positions: &positions, ids };
            result = site.expected().map_err(|why| format!("{}: {why}", node.key))?;
            captured.insert(node.key.clone(), result.clone());
        }
        // Of a stage only its output is read by the next one.
        before = Captured::default();
        before.insert(output(stage), result.clone());
    }
    Ok(result)
}

/// Multiplications of a [`scalar_pass`], about: one for each weight of a matrix and position.
pub fn scalar_cost(operations: &Operations, positions: usize) -> u64 {
    operations.weights().saturating_mul(positions as u64)
}

/// The vote as lines of text.
pub fn text(vote: &Vote) -> String {
    let mut lines = vec![format!("  vote on the logits: {}", vote.words)];
    for pair in &vote.pairs {
        let size = match (pair.equal_bits >= 1.0, pair.relative) {
            (true, _) => "the same bits".to_owned(),
            (false, Some(relative)) => format!("{relative:.3e}"),
            (false, None) => "no finite distance".to_owned(),
        };
        lines.push(format!("    {} and {}: {size}", pair.one, pair.other));
    }
    lines.extend(vote.silent.iter().map(|why| format!("    without a voice: {why}")));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voices(rows: &[(&str, [f32; 4])]) -> Vec<Voice> {
        let voice = |(name, logits): &(&str, [f32; 4])| Voice {
            name: (*name).into(),
            logits: logits.to_vec(),
        };
        rows.iter().map(voice).collect()
    }

    #[test]
    fn whom_the_others_contradict_stands_alone() {
        let right = [1.0, 2.0, 3.0, 4.0];
        let near = [1.000_000_1, 2.0, 3.0, 4.0];
        let wrong = [1.0, 2.0, 3.5, 4.0];
        let all = voices(&[("a", right), ("b", wrong), ("c", near)]);
        let vote = take(&all, 2, Vec::new());
        assert_eq!(vote.alone.as_deref(), Some("b"));
        assert_eq!(vote.words, "b stands alone: the others agree");
        assert_eq!(vote.pairs.len(), 3);
        let nan = voices(&[("a", right), ("b", [f32::NAN; 4]), ("c", right)]);
        assert_eq!(take(&nan, 2, Vec::new()).alone.as_deref(), Some("b"));
    }

    #[test]
    fn without_a_majority_nothing_is_decided() {
        let all = voices(&[("a", [1.0; 4]), ("b", [2.0; 4]), ("c", [3.0; 4])]);
        let vote = take(&all, 2, Vec::new());
        assert_eq!(
            (vote.alone, &*vote.words),
            (None, "undecided: the voices fall into no majority")
        );
        let two = take(&voices(&[("a", [1.0; 4]), ("b", [2.0; 4])]), 2, Vec::new());
        assert_eq!((two.alone, &*two.words), (None, "fewer than three voices: there is no vote"));
        let same = voices(&[("a", [1.0; 4]), ("b", [1.0; 4]), ("c", [1.0; 4])]);
        assert_eq!(take(&same, 2, Vec::new()).words, "all 3 voices agree, within 0.0e0");
    }
}
