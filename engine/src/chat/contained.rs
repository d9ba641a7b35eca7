//! Runs a template where it can do no harm: on a thread of its own, with a stack for the deepest
//! values that its fuel can make, and under watch.
//!
//! Fuel bounds what a template computes, but minijinja (3.1) forgets some of it: a list added to
//! itself 33 times is copied item by item, all 2^33 of them, and values are compared and dropped by
//! recursion. Such a thread cannot be stopped; whoever is told of it must end the process.

use std::io;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Enough for two values nested as deep as the fuel allows to be compared, in a debug build.
/// Address space only: pages that are never touched cost nothing.
const STACK: usize = 512 << 20;
/// A rendering takes milliseconds; the most that fuel allows, about a second.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often it is looked at.
const INTERVAL: Duration = Duration::from_millis(20);
/// Bytes that the process may grow by meanwhile; fuel bounds what is counted to an eighth of it.
const GROWTH: u64 = 1 << 30;

/// Why there is no result.
#[derive(Debug)]
pub(super) enum Uncontained {
    /// The system refused the thread.
    Thread(io::Error),
    /// It panicked.
    Panicked,
    /// It still runs, in spite of the limit in words.
    Runaway(String),
}

/// The result of `work`.
///
/// # Errors
/// If the system has no thread for it, it panics, or it exceeds the limits.
pub(super) fn contained<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Uncontained> {
    let (result, results) = channel();
    let builder = thread::Builder::new().name("chat-template".into()).stack_size(STACK);
    let (start, memory) = (Instant::now(), resident());
    let run = move || {
        // Nobody waits for the result of a runaway.
        let _ = result.send(work());
    };
    builder.spawn(run).map_err(Uncontained::Thread)?;
    loop {
        match results.recv_timeout(INTERVAL) {
            Ok(value) => return Ok(value),
            Err(RecvTimeoutError::Disconnected) => return Err(Uncontained::Panicked),
            Err(RecvTimeoutError::Timeout) => {}
        }
        let grown = resident().zip(memory).map_or(0, |(now, before)| now.saturating_sub(before));
        if grown > GROWTH {
            let limit = GROWTH >> 20;
            return Err(Uncontained::Runaway(format!("has taken more than {limit} MiB")));
        }
        if start.elapsed() > PATIENCE {
            let limit = PATIENCE.as_secs();
            return Err(Uncontained::Runaway(format!("still runs after {limit} seconds")));
        }
    }
}

/// Bytes of this process in memory, where the system tells.
fn resident() -> Option<u64> {
    const PAGE: u64 = 4096; // the smallest there is: a larger one only makes the limit larger
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    statm.split(' ').nth(1)?.parse::<u64>().ok()?.checked_mul(PAGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_comes_back_and_a_panic_is_told() {
        assert!(matches!(contained(|| 7), Ok(7)));
        let panicking = contained(|| -> u8 { panic!("on purpose, by a test") });
        assert!(matches!(panicking, Err(Uncontained::Panicked)));
    }

    #[test]
    fn there_is_stack_for_deep_recursion() {
        fn depth(n: usize) -> usize {
            let held = std::hint::black_box([n; 64]);
            if n == 0 { 0 } else { depth(n - 1) + held[0] / n }
        }
        assert!(matches!(contained(|| depth(200_000)), Ok(200_000)));
    }
}
