//! Progress of slow steps on standard error: a bar on a terminal, plain lines elsewhere.

#![expect(clippy::print_stderr, reason = "this file is where progress is printed")]

use std::io::IsTerminal;
use std::sync::{Mutex, MutexGuard, PoisonError};

use indicatif::{ProgressBar, ProgressStyle};

use crate::models::Progress;

/// A listener that shows progress.
pub fn progress() -> Box<dyn Fn(Progress<'_>) + Send + Sync> {
    if std::io::stderr().is_terminal() { bars() } else { lines() }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn waiting(id: &str) {
    eprintln!("{:>12} for another process that makes {id}", "Waiting");
}

fn bars() -> Box<dyn Fn(Progress<'_>) + Send + Sync> {
    let bar: Mutex<Option<ProgressBar>> = Mutex::new(None);
    Box::new(move |step| {
        let mut bar = lock(&bar);
        let mut show = |verb: &str, id: &str, done: u64, all: u64, unit: &str| {
            let bar = bar.get_or_insert_with(|| {
                let template = format!("{{msg}} {{wide_bar}} {unit} {{eta}}");
                let style = ProgressStyle::with_template(&template)
                    .unwrap_or_else(|_| ProgressStyle::default_bar());
                ProgressBar::new(all).with_style(style).with_message(format!("{verb:>12} {id}"))
            });
            bar.set_position(done);
        };
        match step {
            Progress::Waiting(id) => waiting(id),
            Progress::Making(id, done, all) => {
                show("Making", id, done as u64, all as u64, "{pos}/{len} tensors");
            }
            Progress::Hashing(id, done, all) => {
                show("Verifying", id, done, all, "{bytes}/{total_bytes}");
            }
            Progress::Done(_) => {
                if let Some(bar) = bar.take() {
                    bar.finish_and_clear();
                }
            }
        }
    })
}

/// One line when a step begins.
fn lines() -> Box<dyn Fn(Progress<'_>) + Send + Sync> {
    let begun = Mutex::new(false);
    Box::new(move |step| {
        let mut begun = lock(&begun);
        let mut begin = |line: String| {
            if !*begun {
                eprintln!("{line}");
            }
            *begun = true;
        };
        match step {
            Progress::Waiting(id) => waiting(id),
            Progress::Making(id, _, all) => begin(format!("{:>12} {id} ({all} tensors)", "Making")),
            Progress::Hashing(id, _, all) => {
                begin(format!("{:>12} {id} ({all} bytes)", "Verifying"))
            }
            Progress::Done(_) => *begun = false,
        }
    })
}
