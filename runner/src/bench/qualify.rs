//! How often the verdict would be wrong on this host: measured rounds of an engine against itself, drawn
//! again and again, with slowdowns of a known size put in. Pure functions over slices; it measures nothing
//! and does not make up any noise.

use std::fmt;

use super::verdict::{Call, LOOKS, Question, decide};
use crate::stats::{Interval, Rng, wilson, z_two_sided};

/// Slowdowns that are put in, as parts of the time of a token: 0.2 is 20 % more time. As a drop in speed
/// each is smaller than it sounds (0.2 is 16.7 %), so the power that is shown is the less flattering.
pub const SLOWDOWNS: [f64; 6] = [0.0, 0.05, 0.10, 0.15, 0.20, 0.30];

/// Fewer measured rounds say too little about a host.
pub const FEWEST_ROUNDS: usize = LOOKS[0];

/// Simulated runs of each slowdown: the interval around a rate of 1 % is ± 0.2 points.
const RUNS: usize = 10_000;

/// Neighbouring rounds that are drawn together, because noise lasts: drift and bursts stay in.
const BLOCK: usize = 4;

/// At most so many false alarms.
const MOST_FALSE_ALARMS: f64 = 0.01;
/// A slowdown of 20 % must be caught at least so often.
const LEAST_POWER: f64 = 0.95;

/// The verdict's calls at one slowdown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row {
    /// More time, as a part.
    pub slowdown: f64,
    /// Runs that were called FAIL.
    pub fails: usize,
    /// Runs that were called PASS.
    pub passes: usize,
    /// Rounds that a run took, on average.
    pub rounds: f64,
}

/// How the verdict fares on a host.
#[derive(Debug, Clone, PartialEq)]
pub struct Qualification {
    /// Rounds of the engine against itself that were measured.
    pub measured: usize,
    /// What the engine seems to differ from itself, mean of the measured ln time ratios.
    pub bias: f64,
    /// Standard deviation of the same.
    pub sd: f64,
    /// One for each of [`SLOWDOWNS`].
    pub rows: Vec<Row>,
}

impl Row {
    /// Share of runs called FAIL, with its two-sided 95 % Wilson interval over the simulated runs.
    pub fn fail_rate(&self) -> (f64, Interval) {
        let interval = wilson(self.fails, RUNS, z_two_sided(0.95));
        (self.fails as f64 / RUNS as f64, interval.unwrap_or(Interval { low: 0.0, high: 1.0 }))
    }
}

impl Qualification {
    /// Whether no-change runs are called FAIL at most once in a hundred, and those of 20 % more time at
    /// least 95 times.
    pub fn passes(&self) -> bool {
        self.rows.iter().all(|row| {
            let rate = row.fail_rate().0;
            (row.slowdown != 0.0 || rate <= MOST_FALSE_ALARMS)
                && (row.slowdown != 0.2 || rate >= LEAST_POWER)
        })
    }
}

/// Draws runs from `differences`, the measured ln time ratios of an engine against itself in the order of
/// time, and has [`decide`] judge them against `question`. None with fewer than [`FEWEST_ROUNDS`], or one
/// that is NaN or Inf.
///
/// Runs are drawn in circular blocks of neighbours (Politis and Romano 1992).
pub fn qualify(differences: &[f64], question: &Question, seed: u64) -> Option<Qualification> {
    if differences.len() < FEWEST_ROUNDS || differences.iter().any(|d| !d.is_finite()) {
        return None;
    }
    let moments = crate::stats::Moments::of(differences.iter().copied());
    let mut rng = Rng::new(seed);
    let rows = SLOWDOWNS.map(|slowdown| row(differences, question, slowdown, &mut rng));
    Some(Qualification {
        measured: differences.len(),
        bias: moments.mean()?,
        sd: moments.sd()?,
        rows: rows.to_vec(),
    })
}

fn row(differences: &[f64], question: &Question, slowdown: f64, rng: &mut Rng) -> Row {
    let injected = slowdown.ln_1p();
    let mut row = Row { slowdown, fails: 0, passes: 0, rounds: 0.0 };
    let mut run = Vec::with_capacity(LOOKS[LOOKS.len() - 1]);
    for _ in 0..RUNS {
        run.clear();
        while run.len() < LOOKS[LOOKS.len() - 1] {
            let start = rng.below(differences.len());
            let block = differences.iter().cycle().skip(start).take(BLOCK);
            run.extend(block.map(|difference| difference + injected));
        }
        let Some(look) = decide(&run, question) else { continue };
        row.rounds += look.rounds as f64 / RUNS as f64;
        match look.call() {
            Call::Fail => row.fails += 1,
            Call::Pass => row.passes += 1,
            Call::Undecided => {}
        }
    }
    row
}

/// The table, with what is demanded of it below.
impl fmt::Display for Qualification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rounds = self.measured;
        writeln!(
            f,
            "{rounds} rounds of the engine against itself: bias {:+.2} %, deviation {:.2} %; {RUNS} runs \
             drawn for each row",
            self.bias.exp_m1() * 100.0,
            self.sd * 100.0
        )?;
        writeln!(f, "| more time |   FAIL | 95 % interval     |   PASS | undecided | rounds |")?;
        writeln!(f, "|----------:|-------:|:------------------|-------:|----------:|-------:|")?;
        let share = |count: usize| count as f64 / RUNS as f64 * 100.0;
        for row in &self.rows {
            let (rate, interval) = row.fail_rate();
            writeln!(
                f,
                "| {:>7.0} % | {:>5.2}% | {:>6.2}% to {:>6.2}% | {:>5.2}% | {:>8.2}% | {:>6.1} |",
                row.slowdown * 100.0,
                rate * 100.0,
                interval.low * 100.0,
                interval.high * 100.0,
                share(row.passes),
                share(RUNS - row.fails - row.passes),
                row.rounds
            )?;
        }
        let word = if self.passes() { "qualified" } else { "NOT qualified" };
        write!(
            f,
            "{word}: FAIL without a slowdown in at most {:.0} % of the runs and with 20 % more time in at \
             least {:.0} % is demanded",
            MOST_FALSE_ALARMS * 100.0,
            LEAST_POWER * 100.0
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounds(sd: f64, count: usize) -> Vec<f64> {
        let mut rng = Rng::new(5);
        (0..count).map(|_| sd * rng.normal()).collect()
    }

    fn tenth() -> Question {
        Question::share_of_reference(0.9)
    }

    #[test]
    fn a_quiet_host_is_qualified_and_says_so() {
        let got = qualify(&rounds(0.02, 24), &tenth(), 1).unwrap();
        assert!(got.passes(), "{got}");
        let rates: Vec<f64> = got.rows.iter().map(|row| row.fail_rate().0).collect();
        assert!(rates.is_sorted(), "more slowdown, more FAIL: {rates:?}");
        assert_eq!((rates[0], rates[5]), (0.0, 1.0), "{got}");
        let text = got.to_string();
        assert!(text.starts_with("24 rounds of the engine against itself: bias "), "{text}");
        assert!(text.contains("\n|       0 % |  0.00% |   0.00% to   0.04% | 100.00% |"), "{text}");
        assert!(text.contains("\nqualified: FAIL without a slowdown in at most 1 %"), "{text}");
    }

    #[test]
    fn a_host_that_shakes_is_not() {
        let got = qualify(&rounds(0.6, 24), &tenth(), 1).unwrap();
        assert!(!got.passes(), "{got}");
        assert!(got.to_string().contains("\nNOT qualified: "), "{got}");
    }

    #[test]
    fn the_same_seed_gives_the_same_table() {
        let rounds = rounds(0.05, 12);
        assert_eq!(qualify(&rounds, &tenth(), 9), qualify(&rounds, &tenth(), 9));
    }

    #[test]
    fn too_few_rounds_or_no_numbers_are_refused() {
        assert_eq!(qualify(&rounds(0.02, FEWEST_ROUNDS - 1), &tenth(), 1), None);
        assert_eq!(qualify(&[f64::INFINITY; 12], &tenth(), 1), None);
    }
}
