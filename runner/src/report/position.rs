//! The place within a trial that takes long, with its rate and the time left: beside the spinner on a
//! terminal, a line now and then elsewhere. It computes nothing but rates.

#![expect(clippy::print_stderr, reason = "progress goes to standard error")]

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::ProgressBar;

use crate::backend::{Listener, Position};

/// Where there is no terminal, lines of one trial are at least this far apart.
const PAUSE: Duration = Duration::from_secs(30);
/// A pass has no rate before this time.
const SETTLED: Duration = Duration::from_millis(200);

/// Shows positions of the trial that is running.
#[derive(Clone)]
pub struct Positions(Arc<Mutex<State>>);

struct State {
    bar: ProgressBar,
    /// Print lines instead.
    plain: bool,
    trial: String,
    /// When the pass began: behind its first step, so that the first one's prompt is in no rate.
    pass: Instant,
    line: Instant,
}

impl Positions {
    /// Beside `bar`, or as lines where it is hidden and `plain` lines are wanted.
    pub fn new(bar: ProgressBar, plain: bool) -> Self {
        let now = Instant::now();
        let trial = String::new();
        Self(Arc::new(Mutex::new(State { bar, plain, trial, pass: now, line: now })))
    }

    /// A trial begins.
    pub fn begin(&self, trial: &str) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.bar.set_message(trial.to_owned());
        trial.clone_into(&mut state.trial);
        (state.pass, state.line) = (Instant::now(), Instant::now());
    }

    /// Who tells it.
    pub fn listener(&self) -> Listener {
        let state = Arc::clone(&self.0);
        Arc::new(move |position| {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            state.hear(position, Instant::now());
        })
    }
}

impl State {
    fn hear(&mut self, position: Position, now: Instant) {
        if matches!(position, Position::Prefill { .. } | Position::Steps { done: 1, .. }) {
            self.pass = now;
        }
        let text = text(position, now.saturating_duration_since(self.pass));
        self.bar.set_message(format!("{}  {text}", self.trial));
        if self.plain && now.saturating_duration_since(self.line) >= PAUSE {
            self.line = now;
            eprintln!("{:>12} {}: {text}", "Running", self.trial);
        }
    }
}

/// `step 40 of 256, 4.1/s, 53 s left`, `passed` after the pass's first step.
fn text(position: Position, passed: Duration) -> String {
    match position {
        Position::Prefill { ids } => format!("prefill of {ids}"),
        Position::Steps { done, of } if done >= of => format!("{of} steps done, comparing"),
        Position::Steps { done, of } if passed < SETTLED => format!("step {done} of {of}"),
        Position::Steps { done, of } => {
            let rate = (done - 1) as f64 / passed.as_secs_f64();
            format!("step {done} of {of}, {rate:.1}/s, {} left", time((of - done) as f64 / rate))
        }
    }
}

/// `53 s`, `4 min`, `1.5 h`.
fn time(seconds: f64) -> String {
    match seconds {
        _ if seconds < 100.0 => format!("{seconds:.0} s"),
        _ if seconds < 6000.0 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use indicatif::ProgressDrawTarget;

    use super::*;

    #[test]
    fn a_place_has_its_rate_and_the_time_left() {
        let after = |done, seconds| {
            text(Position::Steps { done, of: 1001 }, Duration::from_secs_f64(seconds))
        };
        assert_eq!(after(1, 0.0), "step 1 of 1001");
        assert_eq!(after(101, 25.0), "step 101 of 1001, 4.0/s, 4 min left");
        assert_eq!(after(901, 225.0), "step 901 of 1001, 4.0/s, 25 s left");
        assert_eq!(after(2, 60.0), "step 2 of 1001, 0.0/s, 16.6 h left");
        assert_eq!(after(1001, 250.0), "1001 steps done, comparing");
        let prefill = text(Position::Prefill { ids: 812 }, Duration::ZERO);
        assert_eq!(prefill, "prefill of 812");
    }

    #[test]
    fn what_stands_beside_the_spinner_is_of_the_trial_that_runs() {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        let positions = Positions::new(bar.clone(), false);
        let tell = positions.listener();
        positions.begin("one");
        tell(Position::Prefill { ids: 7 });
        assert_eq!(bar.message(), "one  prefill of 7");
        tell(Position::Steps { done: 1, of: 8 });
        assert_eq!(bar.message(), "one  step 1 of 8");
        positions.begin("two");
        assert_eq!(bar.message(), "two");
    }
}
