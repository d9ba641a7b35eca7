//! Whether rounds decide: the sequential three-way test of a benchmark. Pure functions over slices; it
//! knows no engine, starts nothing and asks for no more rounds than the last look has.
//!
//! Each round gives one difference, ln(subject's time ÷ reference's time). The test asks whether its mean
//! lies above the limit (too slow) or below. It looks after 8, 12, 18, 27 and 40 rounds; each look spends
//! a fifth of α, so that looking often is no way to a verdict (Bonferroni). A call needs the Student
//! interval of the mean and the distribution-free interval of the median on the same side: neither one
//! wild round nor a lucky spread decides alone.

use std::fmt;

use crate::stats::{Moments, Sample, student_t, z_one_sided};

/// After how many rounds the test looks.
pub const LOOKS: [usize; 5] = [8, 12, 18, 27, 40];

/// Chance of a wrong call, on each side, over all looks.
pub const ALPHA: f64 = 0.05;

/// What each look may spend of it.
const SPENT: f64 = ALPHA / LOOKS.len() as f64;

/// What is asked of the differences.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Question {
    /// Where differences are counted from: 0 for the reference itself, the accepted mean for a baseline.
    pub origin: f64,
    /// Standard error of `origin`; 0 where it is no measurement.
    pub origin_error: f64,
    /// Standard deviation of what no number of rounds averages away: how far the same two engines'
    /// ratio moves from one machine, or one day, to the next.
    pub systematic: f64,
    /// Largest excess over `origin` that passes.
    pub limit: f64,
}

impl Question {
    /// Whether the subject has at least `share` of the reference's speed: 0.9 fails what loses more
    /// than a tenth. A share of speed is ln(1 / share) in ln time: −ln 0.9 = 0.10536, not ln 1.1.
    pub fn share_of_reference(share: f64) -> Self {
        Self { origin: 0.0, origin_error: 0.0, systematic: 0.0, limit: -share.ln() }
    }
}

/// What a look says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// With confidence below the limit.
    Pass,
    /// With confidence above it.
    Fail,
    /// Neither.
    Undecided,
}

/// One look at all differences so far.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Look {
    /// How many there were.
    pub rounds: usize,
    /// Their mean less the origin.
    pub excess: f64,
    /// Half the width of its interval, at the share of α that one look spends.
    pub half_width: f64,
    /// Their median less the origin.
    pub median: f64,
    /// The limit that both were held against.
    pub limit: f64,
    /// What the mean's interval says.
    pub by_mean: Call,
    /// What the median's says; undecided where there are too few rounds for one.
    pub by_median: Call,
    /// Rounds that the mean's interval would need if spread and excess stayed as they are; none where no
    /// number would do, and where the look decides.
    pub needed: Option<usize>,
}

impl Look {
    /// What both say; undecided where they differ.
    pub fn call(&self) -> Call {
        if self.by_mean == self.by_median { self.by_mean } else { Call::Undecided }
    }
}

/// In words, as parts of the speed at the origin.
impl fmt::Display for Look {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let speed = |ln: f64| (-ln).exp();
        write!(
            f,
            "{:.3} of the speed it is held against, interval {:.3} to {:.3}, median {:.3}, limit {:.3}, \
             after {} rounds",
            speed(self.excess),
            speed(self.excess + self.half_width),
            speed(self.excess - self.half_width),
            speed(self.median),
            speed(self.limit),
            self.rounds
        )?;
        match (self.call(), self.needed) {
            (Call::Undecided, Some(needed)) if needed > self.rounds => {
                write!(f, "; about {needed} rounds would decide")
            }
            (Call::Undecided, None) => f.write_str(
                "; no number of rounds decides: the doubt is in what it is held against",
            ),
            (Call::Undecided, _) => f.write_str("; mean and median do not agree"),
            _ => Ok(()),
        }
    }
}

/// Looks at `differences` once. None with fewer than two, or one that is NaN or Inf.
///
/// The interval of the mean is `t·√(s²/n + SE₀²)` with t of n − 1 degrees at the look's share of α,
/// and `z·σ` at the whole α for what is systematic, added as squares: all looks share that one draw.
pub fn look(differences: &[f64], question: &Question) -> Option<Look> {
    let rounds = differences.len();
    let sample = Sample::new(differences.to_vec())?;
    let moments = Moments::of(differences.iter().copied());
    let (mean, error) = (moments.mean()?, moments.standard_error()?);
    let t = student_t(rounds - 1, 1.0 - SPENT)?;
    let fixed = (t * question.origin_error).hypot(z_one_sided(1.0 - ALPHA) * question.systematic);
    let Question { origin, limit, .. } = *question;
    let (excess, median) = (mean - origin, sample.median() - origin);
    let half_width = (t * error).hypot(fixed);
    let by_mean = call(excess - half_width, excess + half_width, limit);
    let by_median = sample.median_interval(SPENT).map_or(Call::Undecided, |interval| {
        // The same doubt about the origin as the mean has.
        let (below, above) = (median - (interval.low - origin), interval.high - origin - median);
        call(median - below.hypot(fixed), median + above.hypot(fixed), limit)
    });
    let room = (excess - limit).abs();
    // t barely moves with n: t·s/√n = √(room² − fixed²) is solved for n as it is.
    let decides = room > fixed;
    let needed = decides.then(|| {
        let spread = t * error * (rounds as f64).sqrt();
        (spread * spread / (room * room - fixed * fixed)).ceil() as usize
    });
    let mut look = Look { rounds, excess, half_width, median, limit, by_mean, by_median, needed };
    if look.call() != Call::Undecided {
        look.needed = None;
    }
    Some(look)
}

fn call(low: f64, high: f64, limit: f64) -> Call {
    if low > limit {
        Call::Fail
    } else if high < limit {
        Call::Pass
    } else {
        Call::Undecided
    }
}

/// How many rounds to measure before the next look; none behind the last.
pub fn next_look(rounds: usize) -> Option<usize> {
    LOOKS.into_iter().find(|&look| look > rounds)
}

/// The verdict of `differences` in the order of time: the first look that decides, else the last one
/// that they reach. Rounds behind a look that decides change nothing. None where they reach no look, or
/// one is NaN or Inf.
pub fn decide(differences: &[f64], question: &Question) -> Option<Look> {
    let mut last = None;
    for rounds in LOOKS.into_iter().filter(|&look| look <= differences.len()) {
        let look = look(&differences[..rounds], question)?;
        if look.call() != Call::Undecided {
            return Some(look);
        }
        last = Some(look);
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Rng;

    const TENTH: f64 = 0.105_360_515_657_826_3;

    fn tenth() -> Question {
        Question::share_of_reference(0.9)
    }

    #[test]
    fn a_tenth_of_speed_is_ln_of_ten_ninths_of_time() {
        assert!((tenth().limit - TENTH).abs() < 1e-15);
        assert!((tenth().limit - 1.1_f64.ln()).abs() > 0.01);
    }

    #[test]
    fn the_interval_is_the_table_s() {
        // t(7, 0.99) = 2.997952; sd of 1..8 is √6.
        let differences: Vec<f64> = (1..=8).map(f64::from).collect();
        let got = look(&differences, &tenth()).unwrap();
        assert!((got.half_width - 2.997_952 * (6.0_f64 / 8.0).sqrt()).abs() < 1e-5, "{got:?}");
        // Three more of the origin's own: √(0.75 + 0.16) under the t; 1.644854·0.5 beside it.
        let question = Question { origin_error: 0.4, systematic: 0.5, ..tenth() };
        let got = look(&differences, &question).unwrap();
        let want = (2.997_952_f64.powi(2) * 0.91 + (1.644_854_f64 * 0.5).powi(2)).sqrt();
        assert!((got.half_width - want).abs() < 1e-5, "{got:?}");
    }

    #[test]
    fn clear_rounds_decide_at_the_first_look_either_way() {
        let jitter = |i: usize| 0.004 * (i % 3) as f64;
        let at = |level: f64| (0..40).map(|i| level + jitter(i)).collect::<Vec<_>>();
        let slow = decide(&at(0.2), &tenth()).unwrap();
        assert_eq!((slow.call(), slow.rounds, slow.needed), (Call::Fail, 8, None));
        let fine = decide(&at(0.0), &tenth()).unwrap();
        assert_eq!((fine.call(), fine.rounds), (Call::Pass, 8));
        // The accepted level takes the place of the reference's.
        let kept = Question { origin: 0.2, ..tenth() };
        assert_eq!(decide(&at(0.2), &kept).unwrap().call(), Call::Pass);
        assert_eq!(decide(&at(0.2)[..7], &tenth()), None, "seven rounds reach no look");
        assert_eq!(decide(&[f64::NAN; 8], &tenth()), None);
    }

    #[test]
    fn one_wild_round_decides_nothing() {
        // Half the rounds at 0.3, half at −0.3: neither is the subject's speed.
        let torn: Vec<f64> = (0..40).map(|i| if i % 2 == 0 { 0.3 } else { -0.3 }).collect();
        let got = decide(&torn, &tenth()).unwrap();
        assert_eq!((got.call(), got.rounds), (Call::Undecided, 40));
        assert!(got.needed.unwrap() > 40);
        assert!(got.to_string().contains("rounds would decide"), "{got}");
        // Mean far above the limit by a few rounds, median below it.
        let mut few = vec![0.09; 40];
        few.iter_mut().step_by(3).for_each(|d| *d = 0.6);
        let got = look(&few, &tenth()).unwrap();
        assert_eq!((got.by_mean, got.call()), (Call::Fail, Call::Undecided), "{got:?}");
        assert!(got.to_string().ends_with("; mean and median do not agree"), "{got}");
    }

    #[test]
    fn doubt_about_the_baseline_is_not_averaged_away() {
        let differences: Vec<f64> = (0..40).map(|i| 0.001 * (i % 5) as f64).collect();
        let question = Question { systematic: 0.2, ..tenth() };
        let got = decide(&differences, &question).unwrap();
        assert_eq!((got.call(), got.needed), (Call::Undecided, None));
        assert!(got.to_string().contains("no number of rounds decides"), "{got}");
    }

    #[test]
    fn text_speaks_of_speed() {
        let got = look(&[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], &tenth()).unwrap();
        let truth = "1.000 of the speed it is held against, interval 1.000 to 1.000, median 1.000, limit \
                     0.900, after 8 rounds";
        assert_eq!(got.to_string(), truth);
    }

    #[test]
    fn looks_come_in_order_and_end() {
        let mut rounds = 0;
        let mut looks = Vec::new();
        while let Some(next) = next_look(rounds) {
            looks.push(next);
            rounds = next;
        }
        assert_eq!(looks, LOOKS);
    }

    /// Shares of FAIL and PASS among many runs at a true excess with normal rounds.
    fn rates(level: f64, sd: f64, seed: u64) -> (f64, f64) {
        const RUNS: usize = 2000;
        let mut rng = Rng::new(seed);
        let mut count = [0usize; 2];
        for _ in 0..RUNS {
            let rounds: Vec<f64> = (0..40).map(|_| level + sd * rng.normal()).collect();
            match decide(&rounds, &tenth()).unwrap().call() {
                Call::Fail => count[0] += 1,
                Call::Pass => count[1] += 1,
                Call::Undecided => {}
            }
        }
        (count[0] as f64 / RUNS as f64, count[1] as f64 / RUNS as f64)
    }

    #[test]
    fn simulated_errors_stay_under_alpha_and_power_is_there() {
        // On the limit itself both calls are wrong: each may happen in α of the runs.
        let (fail, pass) = rates(TENTH, 0.04, 1);
        assert!(fail <= ALPHA && pass <= ALPHA, "on the limit: FAIL {fail}, PASS {pass}");
        let (fail, pass) = rates(0.0, 0.06, 2);
        assert!(fail == 0.0 && pass > 0.99, "no slowdown: FAIL {fail}, PASS {pass}");
        let (fail, pass) = rates(1.2_f64.ln(), 0.06, 3);
        assert!(fail > 0.97 && pass == 0.0, "20 % more time: FAIL {fail}, PASS {pass}");
    }
}
