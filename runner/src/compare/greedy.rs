//! Greedy choices, teacher-forced: both engines see the reference's ids, so every step is judged and
//! a flip cannot hide what follows. Excuses nothing by the difference between the two engines.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CompareError, Rate, Rows, rows::argmax};
use crate::stats::{normal_cdf, poisson_binomial_tail};

/// τ is this many standard deviations of a pair's difference.
const TAU_SIGMAS: f64 = 3.0;
/// τ is never below this many units in the last place of the reference's best logit.
const TAU_ULPS: f64 = 2.0;

/// Up to which margin a choice counts as a tie.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Tau {
    /// `clamp(3·√2·√(σ_ref² + σ_test²), 2 ulp, ceiling)` with each engine's own noise.
    Noise {
        /// The reference's self-noise, nats.
        reference: f64,
        /// The test's self-noise, nats.
        test: f64,
        /// Upper clamp, nats.
        ceiling: f64,
    },
    /// A fixed margin in nats: between different numerics, where the difference is not noise.
    Fixed(f64),
}

impl Tau {
    /// Noise of the difference of one logit between the engines, at a best logit of `best`; never
    /// below what gives the smallest τ.
    fn sigma(&self, best: f32) -> f64 {
        let floor = TAU_ULPS * ulp(best) / (TAU_SIGMAS * std::f64::consts::SQRT_2);
        match *self {
            Self::Noise { reference, test, .. } => reference.hypot(test).max(floor),
            Self::Fixed(_) => floor,
        }
    }

    /// τ at a best logit of `best`.
    pub fn at(&self, best: f32) -> f64 {
        match *self {
            Self::Noise { ceiling, .. } => {
                let tau = TAU_SIGMAS * std::f64::consts::SQRT_2 * self.sigma(best);
                // A tightened ceiling also holds below two ulp.
                tau.min(ceiling)
            }
            Self::Fixed(tau) => tau,
        }
    }
}

/// Distance from `|value|` to the next larger float.
fn ulp(value: f32) -> f64 {
    let size = value.abs();
    f64::from(size.next_up()) - f64::from(size)
}

/// A position where the test prefers another token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Flip {
    /// Position of the row.
    pub position: usize,
    /// The reference's choice.
    pub reference_id: u32,
    /// The test's choice.
    pub test_id: u32,
    /// Reference logit of its choice less that of the test's choice: how sure it was, in nats.
    pub margin: f64,
    /// Test logit of its choice less that of the reference's choice.
    pub test_margin: f64,
    /// Up to which margin this position is a tie.
    pub tau: f64,
    /// `margin > tau`: noise does not explain it.
    pub hard: bool,
    /// Place of the test's choice in the reference's order, from 2.
    pub reference_rank: usize,
    /// Place of the reference's choice in the test's order, from 2.
    pub test_rank: usize,
}

/// The greedy choices of one path.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GreedyReport {
    /// Positions judged.
    pub judged: usize,
    /// Positions where both choose the same token.
    pub matches: usize,
    /// The others, in order.
    pub flips: Vec<Flip>,
    /// Flips within τ.
    pub tie_flips: usize,
    /// Flips beyond τ.
    pub hard_flips: usize,
    /// Agreement where the reference's margin exceeds τ (a hard flip always counts here); none when
    /// there was no such position: not tested.
    pub stable: Option<Rate>,
    /// Agreement where it does not; none when no near tie was met: not tested.
    pub near_ties: Option<Rate>,
    /// Smallest margin of the reference's best two tokens at which both still agreed.
    pub smallest_resolved_margin: Option<f64>,
    /// Probability of at least this many tie flips under the engines' own noise, or under the
    /// rounding that gives the smallest τ where that is more; none when τ is fixed.
    pub flip_probability: Option<f64>,
}

/// Judges every row. `forced`, where given, are the ids that the reference chose at these rows.
///
/// # Errors
/// Different shapes, or forced ids that the reference's own rows contradict by more than τ.
pub fn judge_greedy(
    reference: &Rows<'_>,
    test: &Rows<'_>,
    forced: Option<&[u32]>,
    tau: &Tau,
) -> Result<GreedyReport, CompareError> {
    reference.same_shape(test)?;
    if let Some(forced) = forced {
        check_forced(reference, forced, tau)?;
    }
    let judged = reference.len();
    let mut flips = Vec::new();
    let mut odds = Vec::with_capacity(judged);
    let (mut near, mut near_agreeing) = (0, 0);
    let mut smallest_resolved: Option<f64> = None;
    for row in 0..judged {
        let (r, t) = (reference.row(row), test.row(row));
        let (best, second) = best_two(r);
        let gap = difference(r, best, second);
        let limit = tau.at(r[best as usize]);
        odds.push(normal_cdf(-gap / (std::f64::consts::SQRT_2 * tau.sigma(r[best as usize]))));
        let ours = argmax(t);
        let agree = ours == best;
        let mut is_near = gap <= limit;
        if agree {
            smallest_resolved = Some(smallest_resolved.map_or(gap, |m| m.min(gap)));
        } else {
            let margin = difference(r, best, ours);
            let hard = margin > limit;
            is_near &= !hard;
            flips.push(Flip {
                position: reference.position(row),
                reference_id: best,
                test_id: ours,
                margin,
                test_margin: difference(t, ours, best),
                tau: limit,
                hard,
                reference_rank: rank(r, ours),
                test_rank: rank(t, best),
            });
        }
        if is_near {
            near += 1;
            near_agreeing += usize::from(agree);
        }
    }
    let hard_flips = flips.iter().filter(|f| f.hard).count();
    let tie_flips = flips.len() - hard_flips;
    let flip_probability =
        matches!(tau, Tau::Noise { .. }).then(|| poisson_binomial_tail(&odds, tie_flips));
    Ok(GreedyReport {
        judged,
        matches: judged - flips.len(),
        tie_flips,
        hard_flips,
        stable: Rate::new(judged - near - hard_flips, judged - near),
        near_ties: Rate::new(near_agreeing, near),
        smallest_resolved_margin: smallest_resolved,
        flip_probability,
        flips,
    })
}

fn check_forced(reference: &Rows<'_>, forced: &[u32], tau: &Tau) -> Result<(), CompareError> {
    let what = || format!("ids that {} chose", reference.label());
    if forced.len() != reference.len() {
        return Err(CompareError::Shape {
            what: what(),
            found: format!("{} ids", forced.len()),
            expected: format!("{}, one a row", reference.len()),
        });
    }
    for (step, &chosen) in forced.iter().enumerate() {
        let row = reference.row(step);
        if chosen as usize >= row.len() {
            let vocab_size = row.len();
            return Err(CompareError::Id { what: what(), index: step, id: chosen, vocab_size });
        }
        let preferred = argmax(row);
        let gap = difference(row, preferred, chosen);
        // Within τ: the rows may come from another feed of the same ids than the choice did.
        if gap > tau.at(row[preferred as usize]) {
            return Err(CompareError::ReferenceChoice { step, chosen, preferred, gap });
        }
    }
    Ok(())
}

fn difference(row: &[f32], a: u32, b: u32) -> f64 {
    f64::from(row[a as usize]) - f64::from(row[b as usize])
}

/// The best token and the runner-up; of equals the lowest id comes first.
fn best_two(row: &[f32]) -> (u32, u32) {
    let best = argmax(row) as usize;
    let mut second = usize::from(best == 0);
    for (id, value) in row.iter().enumerate() {
        if id != best && *value > row[second] {
            second = id;
        }
    }
    (best as u32, second as u32)
}

/// Place of `id` in the row's order, from 1.
fn rank(row: &[f32], id: u32) -> usize {
    let value = row[id as usize];
    let before = |(other, v): (usize, &f32)| *v > value || (*v == value && other < id as usize);
    1 + row.iter().enumerate().filter(|pair| before(*pair)).count()
}

/// The test's own continuation, which no one corrected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FreeRun {
    /// Steps compared.
    pub steps: usize,
    /// Steps before the first difference; all of them when there is none.
    pub equal_steps: usize,
    /// What the test chose at the first difference.
    pub test_id: Option<u32>,
    /// What the reference chose there.
    pub reference_id: Option<u32>,
    /// By how much the test's own logits prefer another token than the one it chose there, nats.
    /// Above `tau` the test does not choose what it computes.
    pub regret: f64,
    /// The tie limit at that step.
    pub tau: f64,
    /// The choice has the best logit exactly, but so has a lower id.
    pub tie_rule_broken: bool,
}

impl FreeRun {
    /// Whether the two continuations are the same.
    pub fn equal(&self) -> bool {
        self.equal_steps == self.steps
    }
}

/// Holds the test's free run against the reference's, and its first different choice against the
/// test's own logits for the same ids. The steps after a difference follow another text and are not
/// compared.
///
/// # Errors
/// Lengths that differ, or an id outside the vocabulary.
pub fn judge_free_run(
    test: &Rows<'_>,
    chosen: &[u32],
    free: &[u32],
    tau: &Tau,
) -> Result<FreeRun, CompareError> {
    let what = || "the test's free run".to_owned();
    if free.len() != chosen.len() || test.len() != chosen.len() {
        return Err(CompareError::Shape {
            what: what(),
            found: format!("{} ids", free.len()),
            expected: format!("{} ids for {} rows", chosen.len(), test.len()),
        });
    }
    if let Some((index, id)) =
        free.iter().enumerate().find(|(_, id)| **id as usize >= test.vocab_size())
    {
        let vocab_size = test.vocab_size();
        return Err(CompareError::Id { what: what(), index, id: *id, vocab_size });
    }
    let steps = chosen.len();
    let Some(step) = chosen.iter().zip(free).position(|(a, b)| a != b) else {
        return Ok(FreeRun {
            steps,
            equal_steps: steps,
            test_id: None,
            reference_id: None,
            regret: 0.0,
            tau: 0.0,
            tie_rule_broken: false,
        });
    };
    let row = test.row(step);
    let best = argmax(row);
    let regret = difference(row, best, free[step]);
    Ok(FreeRun {
        steps,
        equal_steps: step,
        test_id: Some(free[step]),
        reference_id: Some(chosen[step]),
        regret,
        tau: tau.at(row[best as usize]),
        tie_rule_broken: free[step] != best && regret == 0.0,
    })
}
