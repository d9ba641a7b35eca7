//! The place within a trial that takes long, with its rate and the time left: beside the spinner on a
//! terminal, a line now and then elsewhere. It computes nothing but rates.

#![expect(clippy::print_stderr, reason = "progress goes to standard error")]

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::ProgressBar;

use crate::backend::{Feed, Listener, Position};

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
    /// When the pass began, and what was done then.
    pass: (Instant, usize),
    line: Instant,
}

impl Positions {
    /// Beside `bar`, or as lines where it is hidden and `plain` lines are wanted.
    pub fn new(bar: ProgressBar, plain: bool) -> Self {
        let now = Instant::now();
        let trial = String::new();
        Self(Arc::new(Mutex::new(State { bar, plain, trial, pass: (now, 0), line: now })))
    }

    /// A trial begins.
    pub fn begin(&self, trial: &str) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.bar.set_message(trial.to_owned());
        trial.clone_into(&mut state.trial);
        state.line = Instant::now();
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
        // The first step has the prompt in it, so that rates of steps begin behind it.
        if position.done <= 1 {
            self.pass = (now, position.done);
        }
        let (begun, first) = self.pass;
        let text = text(position, first, now.saturating_duration_since(begun));
        self.bar.set_message(format!("{}  {text}", self.trial));
        if self.plain && now.saturating_duration_since(self.line) >= PAUSE {
            self.line = now;
            eprintln!("{:>12} {}: {text}", "Running", self.trial);
        }
    }
}

/// `step 40 of 256, 4.1/s, 53 s left`, `passed` after `first` of them were done.
fn text(position: Position, first: usize, passed: Duration) -> String {
    let Position { feed, done, of } = position;
    let place = match feed {
        Feed::Prefill => format!("prefill {done} of {of}"),
        Feed::Steps => format!("step {done} of {of}"),
    };
    if done <= first || done >= of || passed < SETTLED {
        return place;
    }
    let rate = (done - first) as f64 / passed.as_secs_f64();
    format!("{place}, {rate:.1}/s, {} left", time((of - done) as f64 / rate))
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
        let after = |feed, done, seconds| {
            let first = if feed == Feed::Steps { 1 } else { 0 };
            text(Position { feed, done, of: 1001 }, first, Duration::from_secs_f64(seconds))
        };
        assert_eq!(after(Feed::Steps, 1, 0.0), "step 1 of 1001");
        assert_eq!(after(Feed::Steps, 101, 25.0), "step 101 of 1001, 4.0/s, 4 min left");
        assert_eq!(after(Feed::Steps, 901, 225.0), "step 901 of 1001, 4.0/s, 25 s left");
        assert_eq!(after(Feed::Steps, 2, 60.0), "step 2 of 1001, 0.0/s, 16.6 h left");
        assert_eq!(after(Feed::Steps, 1001, 250.0), "step 1001 of 1001");
        assert_eq!(after(Feed::Prefill, 0, 5.0), "prefill 0 of 1001");
        assert_eq!(after(Feed::Prefill, 500, 5.0), "prefill 500 of 1001, 100.0/s, 5 s left");
    }

    #[test]
    fn what_stands_beside_the_spinner_is_of_the_trial_that_runs() {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        let positions = Positions::new(bar.clone(), false);
        let tell = positions.listener();
        positions.begin("one");
        tell(Position { feed: Feed::Prefill, done: 0, of: 7 });
        assert_eq!(bar.message(), "one  prefill 0 of 7");
        tell(Position { feed: Feed::Steps, done: 1, of: 8 });
        assert_eq!(bar.message(), "one  step 1 of 8");
        positions.begin("two");
        assert_eq!(bar.message(), "two");
    }
}
