//! Progress of slow steps on standard error, in the manner of cargo: bars on a terminal, plain lines
//! elsewhere. Computes nothing but rates.

#![expect(clippy::print_stderr, reason = "this file is where progress is printed")]

use std::collections::BTreeMap;
use std::env;
use std::io::IsTerminal;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use console::Style;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Colour, print_line};
use crate::escape;
use crate::models::Progress;
use crate::models::options::is_on;

/// Lines of one step are at least this share of it apart, …
const SHARE: u64 = 10;
/// … or this time.
const PAUSE: Duration = Duration::from_secs(30);

/// A listener that shows progress.
pub fn progress() -> Box<dyn Fn(Progress<'_>) + Send + Sync> {
    let reporter = Reporter::new(false, Colour::Auto);
    Box::new(move |step| reporter.hear(step))
}

/// Shows what a command does while it works.
pub struct Reporter {
    quiet: bool,
    colour: bool,
    /// Draws nothing where there are no bars.
    bars: MultiProgress,
    has_bars: bool,
    shown: Mutex<BTreeMap<String, Shown>>,
}

/// A slow step that is shown.
struct Shown {
    verb: &'static str,
    bar: ProgressBar,
    begun: Instant,
    /// Where it began and where the last line was.
    first: u64,
    line: u64,
    line_at: Instant,
}

/// What a slow step counts.
#[derive(Clone, Copy)]
enum Unit {
    Bytes,
    Tensors,
}

impl Reporter {
    /// `quiet` shows warnings and errors only.
    pub fn new(quiet: bool, colour: Colour) -> Self {
        let plain = quiet
            || env::var_os("CI").is_some_and(|value| !value.is_empty())
            || env::var_os("TERM").is_some_and(|term| term == "dumb")
            || is_on("HF_HUB_DISABLE_PROGRESS_BARS");
        let has_bars = !plain && std::io::stderr().is_terminal();
        let target = match has_bars {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        };
        let (bars, shown) = (MultiProgress::with_draw_target(target), Mutex::default());
        let colour = colour.decide(&std::io::stderr());
        Self { quiet, colour, bars, has_bars, shown }
    }

    /// A line that begins with what is done, unless it is quiet.
    pub fn status(&self, verb: &str, text: &str) {
        if !self.quiet {
            let verb = self.styled(&format!("{verb:>12}"), Style::new().green());
            self.line(&format!("{verb} {}", escape::text(text)));
        }
    }

    /// Something went wrong and the work goes on.
    pub fn warn(&self, text: &str) {
        let word = self.styled("warning", Style::new().yellow());
        self.line(&format!("{word}: {}", escape::text(text)));
    }

    /// Something went wrong.
    pub fn error(&self, text: &str) {
        let word = self.styled("error", Style::new().red());
        self.line(&format!("{word}: {}", escape::text(text)));
    }

    /// A line of results on standard output.
    pub fn print(&self, text: &str) {
        self.bars.suspend(|| print_line(text));
    }

    fn line(&self, text: &str) {
        self.bars.suspend(|| eprintln!("{text}"));
    }

    fn styled(&self, text: &str, style: Style) -> String {
        style.bold().force_styling(self.colour).apply_to(text).to_string()
    }

    /// Shows a step.
    pub fn hear(&self, step: Progress<'_>) {
        match step {
            Progress::Waiting(id) => {
                self.status("Waiting", &format!("for another process that works on {id}"));
            }
            Progress::Making(id, done, all) => {
                self.advance("Making", id, (done as u64, all as u64), Unit::Tensors);
            }
            Progress::Hashing(id, done, all) => {
                self.advance("Verifying", id, (done, all), Unit::Bytes)
            }
            Progress::Fetching { id, source, from, bytes } => {
                self.shown().remove(id);
                match from {
                    0 => self.status("Fetching", &format!("{id} ({bytes} bytes) from {source}")),
                    _ => {
                        let text = format!("{id} at {from} of {bytes} bytes from {source}");
                        self.status("Resuming", &text);
                    }
                }
                self.begin("Fetching", id, (from, bytes), Unit::Bytes);
            }
            Progress::Received(id, done, all) => {
                self.advance("Fetching", id, (done, all), Unit::Bytes);
            }
            Progress::Retrying { id, cause, attempt, of, wait } => {
                let seconds = wait.as_secs_f64();
                let text = format!("{id}: {cause}; attempt {attempt} of {of} in {seconds:.1} s");
                self.status("Retrying", &text);
            }
            Progress::Quarantined { id, to, why } => {
                self.status("Quarantined", &format!("{id}: {why}; it is now {}", to.display()));
            }
            Progress::Warning(id, text) => self.warn(&format!("model '{id}': {text}")),
            Progress::Done(id) => {
                if let Some(shown) = self.shown().remove(id) {
                    shown.bar.finish_and_clear();
                }
            }
            Progress::Step(..) => {}
        }
    }

    fn shown(&self) -> MutexGuard<'_, BTreeMap<String, Shown>> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, verb: &'static str, id: &str, (first, all): (u64, u64), unit: Unit) {
        let template = match unit {
            Unit::Bytes => "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
            Unit::Tensors => "{msg} {wide_bar} {pos}/{len} tensors {eta}",
        };
        let style =
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::with_draw_target(Some(all), ProgressDrawTarget::hidden());
        let bar = self.bars.add(bar).with_style(style).with_message(format!("{verb:>12} {id}"));
        // The rate is that of the bytes that come now.
        bar.set_position(first);
        bar.reset_eta();
        let now = Instant::now();
        let shown = Shown { verb, bar, begun: now, first, line: first, line_at: now };
        self.shown().insert(id.to_owned(), shown);
    }

    fn advance(&self, verb: &'static str, id: &str, (done, all): (u64, u64), unit: Unit) {
        if self.shown().get(id).is_none_or(|shown| shown.verb != verb) {
            if !self.has_bars {
                let unit = if matches!(unit, Unit::Bytes) { "bytes" } else { "tensors" };
                self.status(verb, &format!("{id} ({all} {unit})"));
            }
            self.begin(verb, id, (0, all), unit);
        }
        let mut all_shown = self.shown();
        let Some(shown) = all_shown.get_mut(id) else { return };
        shown.bar.set_position(done);
        let due =
            done - shown.line.min(done) >= all.div_ceil(SHARE) || shown.line_at.elapsed() >= PAUSE;
        if self.has_bars || !due || done >= all || !matches!(unit, Unit::Bytes) {
            return;
        }
        (shown.line, shown.line_at) = (done, Instant::now());
        let rate = rate(done - shown.first.min(done), shown.begun.elapsed());
        let percent = u128::from(done) * 100 / u128::from(all.max(1));
        drop(all_shown);
        self.status(verb, &format!("{id}: {percent} % ({done} of {all} bytes, {rate})"));
    }
}

/// Bytes in a time as a rate.
pub fn rate(bytes: u64, time: Duration) -> String {
    let seconds = time.as_secs_f64().max(1e-9);
    format!("{:.1} MB/s", bytes as f64 / seconds / 1e6)
}
