//! Which answers count as right, so that no number stands for a wrong one: the reference's logits behind
//! every timed id. It times nothing.
//!
//! Builds for speed round elsewhere than the checking ones, and a rounded activation flips int8 codes,
//! layer after layer. So an answer is right if the reference gives it a logit within a margin of its highest,
//! and a few may be outside. An engine that computes something else is outside at nearly every id. What our
//! engine computes exactly is not the question here: its timed answers must be those of its logits, and the
//! suites compare these with the checking build.

use super::task::Task;
use crate::backend::{Backend, BackendError, Feed, Logits};
use crate::receipt::{Measure, Verification};
use crate::stats::Moments;

/// How far below the highest logit a choice may lie, in standard deviations of the row. An arbitrary id lies
/// three (320 ids) to four and a half (128,256 ids) below on average. The checking and the fastest build of
/// bitnet.cpp were seen 0.54 apart (2B-4T shape, random weights).
pub const MARGIN: f64 = 1.0;

/// Share of a visit's answers that must be within the margin. It is all of them where there is one.
const RIGHT: f64 = 0.9;

/// Most bytes of logits that are asked for at once, of all ids of a measure.
const MOST_BYTES: usize = 3 << 30;

/// The reference's logits behind each checked id of a measure.
pub struct Expected {
    rows: Logits,
    /// Lowest logit that is right, for each row.
    floors: Vec<f64>,
}

impl Expected {
    /// Asks `reference` for the logits that the answers to `task` are held against.
    ///
    /// # Errors
    /// Those of the engine, and [`BackendError::Refused`] if they are too many, or one is NaN or Inf.
    pub fn ask(
        reference: &mut dyn Backend,
        vocab_size: usize,
        task: &Task,
        ids: &[u32],
    ) -> Result<Self, BackendError> {
        let rows = match task.measure {
            Measure::Load | Measure::Prefill => reference.generate(ids, 1)?.logits,
            Measure::Decode => {
                let bytes = ids.len().saturating_mul(vocab_size).saturating_mul(size_of::<f32>());
                if bytes > MOST_BYTES {
                    return Err(BackendError::Refused(format!(
                        "{}: its answers would be checked with {bytes} bytes of logits, at most \
                         {MOST_BYTES} are asked for: use a smaller `depth` or `decode`",
                        task.name
                    )));
                }
                let mut logits = reference.logits(ids, Feed::Prefill)?;
                let values = logits.values.split_off(task.depth * vocab_size);
                Logits { vocab_size, values }
            }
        };
        Self::of(rows).ok_or_else(|| {
            let name = &reference.identity().name;
            BackendError::Refused(format!("{name}: a logit is NaN or infinite"))
        })
    }

    /// What `rows` say is right. None if one is NaN or infinite.
    pub fn of(rows: Logits) -> Option<Self> {
        let floor = |row: &[f32]| {
            let highest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let deviation = Moments::of(row.iter().map(|&logit| f64::from(logit))).sd()?;
            let floor = f64::from(highest) - MARGIN * deviation;
            (floor.is_finite() && row.iter().all(|logit| logit.is_finite())).then_some(floor)
        };
        let floors =
            (0..rows.rows()).map(|row| floor(rows.row(row))).collect::<Option<Vec<_>>>()?;
        Some(Self { rows, floors })
    }

    /// Holds `chosen`, which may be the answers of several equal runs behind each other, against the
    /// reference.
    ///
    /// # Errors
    /// In words, if fewer than nine in ten are within the margin.
    pub fn check(&self, engine: &str, chosen: &[u32]) -> Result<Verification, String> {
        let (mut near_ties, mut outside, mut first) = (0, 0, None);
        for (position, &id) in chosen.iter().enumerate() {
            let index = position % self.floors.len();
            let (row, floor) = (self.rows.row(index), self.floors[index]);
            let highest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let logit = row.get(id as usize).copied().unwrap_or(f32::NEG_INFINITY);
            if f64::from(logit) < floor {
                outside += 1;
                first.get_or_insert((id, index, logit, highest, floor));
            } else {
                near_ties += usize::from(logit < highest);
            }
        }
        let right = (chosen.len() - outside) as f64;
        if let Some((id, index, logit, highest, floor)) = first
            && right < RIGHT * chosen.len() as f64
        {
            return Err(format!(
                "{engine} answered wrongly {outside} times of {}: first id {id} behind timed id {index}, \
                 whose logit {logit} is further below the reference's highest, {highest}, than {floor:.4}; \
                 a wrong answer has no speed",
                chosen.len()
            ));
        }
        Ok(Verification { positions: chosen.len(), near_ties, outside, margin: MARGIN })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected() -> Expected {
        // Deviation of 0, 1, …, 9 is 3.03: the floors are 5.97.
        let mut values: Vec<f32> = (0..10_u8).map(f32::from).collect();
        values.extend((0..10_u8).rev().map(f32::from));
        Expected::of(Logits { vocab_size: 10, values }).unwrap()
    }

    #[test]
    fn the_highest_logit_and_near_ties_are_right_in_every_run() {
        let got = expected().check("e", &[9, 0, 6, 0]).unwrap();
        let truth = Verification { positions: 4, near_ties: 1, outside: 0, margin: MARGIN };
        assert_eq!(got, truth);
    }

    #[test]
    fn one_answer_in_ten_may_be_outside_the_margin() {
        let mut chosen = [9, 0, 9, 0, 9, 0, 9, 0, 9, 5];
        assert_eq!(expected().check("e", &chosen).unwrap().outside, 1);
        chosen[3] = 4;
        let text = expected().check("some-engine", &chosen).unwrap_err();
        let truth = "some-engine answered wrongly 2 times of 10: first id 4 behind timed id 1, whose logit 5 \
                     is further below the reference's highest, 9, than 5.97";
        assert!(text.starts_with(truth), "{text}");
    }

    #[test]
    fn one_answer_alone_must_be_right() {
        assert!(expected().check("e", &[5]).is_err());
        assert!(expected().check("e", &[10]).is_err(), "an id outside the vocabulary");
    }

    #[test]
    fn no_answer_is_right_where_the_reference_has_none() {
        let rows = |value| Logits { vocab_size: 2, values: vec![0.0, value] };
        assert!(Expected::of(rows(f32::NAN)).is_none());
        assert!(Expected::of(rows(f32::INFINITY)).is_none());
    }
}
