//! Greedy choices, teacher-forced: both engines see the reference's ids, so every step is judged and
//! a flip cannot hide what follows. Excuses nothing by the difference between the two engines.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    CompareError, Rate, RowMetrics, Rows,
    rows::{argmax, best_two},
};
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
    let mut choices = Vec::with_capacity(reference.len());
    let mut flips = Vec::new();
    for row in 0..reference.len() {
        let (r, t) = (reference.row(row), test.row(row));
        let (best, second) = best_two(r);
        let ours = argmax(t);
        let choice = Choice {
            margin: difference(r, best, second),
            logit: r[best as usize],
            agrees: ours == best,
        };
        if !choice.agrees {
            let margin = difference(r, best, ours);
            let limit = tau.at(choice.logit);
            flips.push(Flip {
                position: reference.position(row),
                reference_id: best,
                test_id: ours,
                margin,
                test_margin: difference(t, ours, best),
                tau: limit,
                hard: margin > limit,
                reference_rank: rank(r, ours),
                test_rank: rank(t, best),
            });
        }
        choices.push(choice);
    }
    Ok(GreedyReport::of(&choices, flips, tau))
}

/// The reference's choice at one position.
struct Choice {
    /// Its logit less the second best's.
    margin: f64,
    logit: f32,
    /// The test chooses the same.
    agrees: bool,
}

impl GreedyReport {
    /// Counts `choices`, of which those that do not agree are `flips`, in order.
    fn of(choices: &[Choice], flips: Vec<Flip>, tau: &Tau) -> Self {
        let judged = choices.len();
        let mut odds = Vec::with_capacity(judged);
        let (mut near, mut near_agreeing) = (0, 0);
        let mut smallest_resolved: Option<f64> = None;
        let mut hard = flips.iter().map(|flip| flip.hard);
        for &Choice { margin, logit, agrees } in choices {
            odds.push(normal_cdf(-margin / (std::f64::consts::SQRT_2 * tau.sigma(logit))));
            let mut is_near = margin <= tau.at(logit);
            if agrees {
                smallest_resolved = Some(smallest_resolved.map_or(margin, |m| m.min(margin)));
            } else {
                is_near &= !hard.next().unwrap_or_default();
            }
            if is_near {
                near += 1;
                near_agreeing += usize::from(agrees);
            }
        }
        let hard_flips = flips.iter().filter(|f| f.hard).count();
        let tie_flips = flips.len() - hard_flips;
        let flip_probability =
            matches!(tau, Tau::Noise { .. }).then(|| poisson_binomial_tail(&odds, tie_flips));
        Self {
            judged,
            matches: judged - flips.len(),
            tie_flips,
            hard_flips,
            stable: Rate::new(judged - near - hard_flips, judged - near),
            near_ties: Rate::new(near_agreeing, near),
            smallest_resolved_margin: smallest_resolved,
            flip_probability,
            flips,
        }
    }

    /// The report that follows from the figures of rows and what was measured where choices differ:
    /// of `flips` the margins and places are taken, everything else is computed anew.
    ///
    /// # Errors
    /// In words, where rows and flips do not belong together.
    pub(super) fn again(rows: &[RowMetrics], flips: &[Flip], tau: &Tau) -> Result<Self, String> {
        let mut measured = flips.iter();
        let (mut choices, mut again) = (Vec::with_capacity(rows.len()), Vec::new());
        for row in rows {
            let logit = row.reference_logit as f32;
            let agrees = row.reference_top == row.test_top;
            choices.push(Choice { margin: row.reference_margin, logit, agrees });
            if agrees {
                continue;
            }
            let position = row.position;
            let flip = measured.next().filter(|flip| flip.position == position);
            let flip = flip.ok_or_else(|| format!("the flip at position {position} is missing"))?;
            let limit = tau.at(logit);
            again.push(Flip {
                reference_id: row.reference_top,
                test_id: row.test_top,
                tau: limit,
                hard: flip.margin > limit,
                ..flip.clone()
            });
        }
        match measured.next() {
            Some(more) => Err(format!("no choice differs at position {}", more.position)),
            None => Ok(Self::of(&choices, again, tau)),
        }
    }
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
    /// What the test chose, one id a step.
    pub ids: Vec<u32>,
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
    /// The test's best logit at that step; 0 when there is no difference.
    pub best_logit: f64,
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
    let first = chosen.iter().zip(free).position(|(a, b)| a != b).map(|step| {
        let row = test.row(step);
        let best = argmax(row);
        Parting { best, logit: row[best as usize], regret: difference(row, best, free[step]) }
    });
    Ok(FreeRun::of(chosen, free, first, tau))
}

/// The test's logits at the first step where it goes another way.
struct Parting {
    /// Its best token there.
    best: u32,
    logit: f32,
    /// By how much it is better than the token that was chosen.
    regret: f64,
}

impl FreeRun {
    fn of(chosen: &[u32], free: &[u32], first: Option<Parting>, tau: &Tau) -> Self {
        let (steps, ids) = (chosen.len(), free.to_vec());
        let step = chosen.iter().zip(free).position(|(a, b)| a != b);
        let Some((step, parting)) = step.zip(first) else {
            return Self {
                ids,
                steps,
                equal_steps: steps,
                test_id: None,
                reference_id: None,
                regret: 0.0,
                best_logit: 0.0,
                tau: 0.0,
                tie_rule_broken: false,
            };
        };
        let Parting { best, logit, regret } = parting;
        Self {
            steps,
            equal_steps: step,
            test_id: Some(free[step]),
            reference_id: Some(chosen[step]),
            regret,
            best_logit: f64::from(logit),
            tau: tau.at(logit),
            tie_rule_broken: free[step] != best && regret == 0.0,
            ids,
        }
    }

    /// The comparison of this run's ids with `chosen`, computed anew; `rows` are those of the forced
    /// steps, which say what the test prefers.
    ///
    /// # Errors
    /// In words, where lengths do not fit.
    pub(super) fn again(
        &self,
        chosen: &[u32],
        rows: &[RowMetrics],
        tau: &Tau,
    ) -> Result<Self, String> {
        let (free, regret) = (&self.ids, self.regret);
        if free.len() != chosen.len() || rows.len() != chosen.len() {
            return Err(format!(
                "a free run of {} ids does not belong to {} chosen ids and {} rows",
                free.len(),
                chosen.len(),
                rows.len()
            ));
        }
        let step = chosen.iter().zip(free).position(|(a, b)| a != b);
        let logit = self.best_logit as f32;
        let first = step.map(|step| Parting { best: rows[step].test_top, logit, regret });
        Ok(Self::of(chosen, free, first, tau))
    }
}
