//! Times two engines at one task in rounds until a verdict stands, and checks every answer. It prints
//! nothing and knows no suite.
//!
//! The order of the engines alternates from round to round (A B, B A), so that what drifts slowly falls
//! on both. Neither computes while the other is timed.

use super::contender::{Answered, Contender, add_calls};
use super::expected::{Expected, MARGIN};
use super::noise::{Noise, Reading};
use super::task::Task;
use super::verdict::{Call, LOOKS, Look, Question, decide, next_look};
use crate::backend::{BackendError, KernelCalls, Output};
use crate::receipt::{Measure, Measured, Order, Round, Verdict, Verification, Word, derive};

/// Rounds before the ones that count: pages are mapped, threads are there, clocks have risen.
const WARM_UP: usize = 2;
/// A visit of the faster engine takes at least so long, by repetition, …
const VISIT_NANOS: f64 = 0.3e9;
/// … but one of the slower engine not longer than this …
const LONG_VISIT_NANOS: f64 = 3e9;
/// … and no task is repeated more often.
const MOST_REPEATS: usize = 64;

/// Two engines with the same model open.
pub struct Pair<'a> {
    /// The engine under test.
    pub subject: Contender<'a>,
    /// The engine that it is measured against.
    pub reference: Contender<'a>,
}

/// What is asked of a measure.
#[derive(Debug, Clone, Copy)]
pub struct Demand {
    /// Smallest speed of the subject, as a part of the reference's.
    pub min_ratio: f64,
    /// Most rounds.
    pub rounds: usize,
    /// Go on to the last round even where an earlier look decides.
    pub all_rounds: bool,
}

/// Why a measure has no figures.
#[derive(Debug, thiserror::Error)]
pub enum MeasureError {
    /// An engine failed.
    #[error(transparent)]
    Engine(#[from] BackendError),
    /// An engine gave a wrong answer, or another one than before.
    #[error("{0}")]
    Wrong(String),
}

/// Measures `task` until the verdict on `demand` stands. `tell` hears of each round. Gives the figures
/// and the subject's kernels.
///
/// # Errors
/// What an engine fails with, and a wrong answer of either.
pub fn measure(
    pair: &mut Pair<'_>,
    task: &Task,
    demand: Demand,
    tell: &dyn Fn(&str),
) -> Result<(Measured, Vec<KernelCalls>), MeasureError> {
    let vocab_size = pair.reference.facts().vocab_size;
    let ids = task.ids(vocab_size);
    tell(&format!("{}: the answers to check against", task.name));
    let expected = Expected::ask(pair.reference.backend(), vocab_size, task, &ids)?;
    let mut visits =
        Visits { task, ids: &ids, repeats: 1, expected, subject: None, reference: None };
    tell(&format!("{}: warm-up", task.name));
    visits.warm_up(pair)?;

    let question = Question::share_of_reference(demand.min_ratio);
    let (mut rounds, mut kernels) = (Vec::new(), Vec::new());
    let mut verification = Verification { positions: 0, near_ties: 0, outside: 0, margin: MARGIN };
    let before = Reading::now();
    let mut look = None;
    while let Some(until) = next_look(rounds.len()).filter(|&until| until <= demand.rounds) {
        while rounds.len() < until {
            let (round, answered) = visits.round(pair, rounds.len(), &mut verification)?;
            add_calls(&mut kernels, answered);
            rounds.push(round);
            tell(&progress(task, &rounds, until));
        }
        let ratios = derive::ln_time_ratios(task.measure, &rounds).unwrap_or_default();
        look = decide(&ratios, &question);
        if !demand.all_rounds && look.is_some_and(|look| look.call() != Call::Undecided) {
            break;
        }
    }
    let noises = before.while_measuring(&Reading::now());
    let metrics = derive::metrics(task.measure, task.tokens, &rounds).ok_or_else(|| {
        MeasureError::Wrong(format!(
            "{}: fewer than {} rounds have no figures",
            task.name, LOOKS[0]
        ))
    })?;
    let measured = Measured {
        name: task.name.clone(),
        measure: task.measure,
        tokens: task.tokens,
        depth: task.depth,
        output: task.output,
        limit: demand.min_ratio,
        rounds,
        verification,
        metrics,
        verdict: verdict(look, &noises),
    };
    Ok((measured, kernels))
}

/// The verdict of the last look; what was measured on a noisy host decides nothing.
pub fn verdict(look: Option<Look>, noises: &[Noise]) -> Verdict {
    let word = match look.map(|look| look.call()) {
        _ if !noises.is_empty() => Word::Inconclusive,
        Some(Call::Pass) => Word::Pass,
        Some(Call::Fail) => Word::Fail,
        Some(Call::Undecided) | None => Word::Inconclusive,
    };
    let reasons = noises.iter().map(ToString::to_string);
    Verdict { word, reasons: reasons.chain(look.map(|look| look.to_string())).collect() }
}

/// The visits of one task.
struct Visits<'t> {
    task: &'t Task,
    ids: &'t [u32],
    repeats: usize,
    expected: Expected,
    /// The first answers of each engine; every later run must give the same.
    subject: Option<Vec<u32>>,
    reference: Option<Vec<u32>>,
}

impl Visits<'_> {
    /// Rounds that do not count. They settle how often a visit repeats the task, and whether the
    /// subject's greedy answers are those of its logits.
    fn warm_up(&mut self, pair: &mut Pair<'_>) -> Result<(), MeasureError> {
        if self.task.output == Some(Output::Greedy) {
            let exact = pair.subject.visit_with(self.task, self.ids, 1, Some(Output::Logits))?;
            self.subject = Some(exact.ids);
        }
        let mut unused = Verification { positions: 0, near_ties: 0, outside: 0, margin: MARGIN };
        let mut times = [f64::INFINITY, 0.0];
        for index in 0..WARM_UP {
            let (round, _) = self.round(pair, index, &mut unused)?;
            let sums = [&round.subject, &round.reference]
                .map(|visit| visit.nanos.iter().sum::<u64>() as f64);
            times = [sums[0].min(sums[1]), sums[0].max(sums[1])];
        }
        let [fast, slow] = times;
        let wanted = (VISIT_NANOS / fast).ceil().max(1.0);
        let allowed = (LONG_VISIT_NANOS / slow).floor().max(1.0);
        self.repeats = (wanted.min(allowed) as usize).min(MOST_REPEATS);
        Ok(())
    }

    fn round(
        &mut self,
        pair: &mut Pair<'_>,
        index: usize,
        sum: &mut Verification,
    ) -> Result<(Round, Vec<KernelCalls>), MeasureError> {
        let order =
            if index.is_multiple_of(2) { Order::SubjectFirst } else { Order::ReferenceFirst };
        let (subject, reference) = match order {
            Order::SubjectFirst => {
                let subject = pair.subject.visit(self.task, self.ids, self.repeats)?;
                (subject, pair.reference.visit(self.task, self.ids, self.repeats)?)
            }
            Order::ReferenceFirst => {
                let reference = pair.reference.visit(self.task, self.ids, self.repeats)?;
                (pair.subject.visit(self.task, self.ids, self.repeats)?, reference)
            }
        };
        let names = [pair.subject.identity().name.clone(), pair.reference.identity().name.clone()];
        let answers = self.task.answers();
        check(&self.expected, &names[1], &reference, answers, &mut self.reference)?;
        let verified = check(&self.expected, &names[0], &subject, answers, &mut self.subject)?;
        sum.positions += verified.positions;
        sum.near_ties += verified.near_ties;
        sum.outside += verified.outside;
        let round = Round { order, subject: subject.visit, reference: reference.visit };
        Ok((round, subject.kernels))
    }
}

/// Checks a visit's answers, and that they are those of `first`.
fn check(
    expected: &Expected,
    engine: &str,
    answered: &Answered,
    answers: usize,
    first: &mut Option<Vec<u32>>,
) -> Result<Verification, MeasureError> {
    let verified = expected.check(engine, &answered.ids).map_err(MeasureError::Wrong)?;
    for run in answered.ids.chunks(answers) {
        let first = first.get_or_insert_with(|| run.to_vec());
        if let Some(at) = (0..answers).find(|&at| run.get(at) != first.get(at)) {
            return Err(MeasureError::Wrong(format!(
                "{engine} chose id {:?} behind timed id {at} and id {:?} before, for the same ids: what \
                 it computes depends on something else",
                run.get(at),
                first.get(at)
            )));
        }
    }
    Ok(verified)
}

/// A round in words.
fn progress(task: &Task, rounds: &[Round], until: usize) -> String {
    let last = &rounds[rounds.len() - 1..];
    let Some(now) = derive::metrics(task.measure, task.tokens, last) else { return String::new() };
    let unit = if task.measure == Measure::Load { "loads/s" } else { "t/s" };
    format!(
        "{}: round {} of {until}: {:.2} {unit} and {:.2} {unit}, ratio {:.3}",
        task.name,
        rounds.len(),
        now.subject.per_second,
        now.reference.per_second,
        now.speed_ratio
    )
}
