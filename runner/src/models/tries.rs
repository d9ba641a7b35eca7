//! How often a source is asked again, and after what time. Sleeps and asks nobody itself.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// New bytes after which a source has earned all its attempts again.
const PROGRESS: u64 = 1 << 20;
const FIRST_WAIT: f64 = 0.2;
const LONGEST_WAIT: f64 = 10.0;

/// The attempts at one source.
pub(super) struct Tries {
    /// Failed ones in a row.
    failed: u32,
    /// Most bytes that were here when an attempt counted. Bytes that come a second time are no progress.
    mark: u64,
}

impl Tries {
    /// Attempts in a row without progress.
    pub(super) const MOST: u32 = 5;

    /// `bytes` are here before the first one.
    pub(super) fn new(bytes: u64) -> Self {
        Self { failed: 0, mark: bytes }
    }

    /// An attempt has failed with `bytes` here: how long to wait before the next one, `asked` if the
    /// server said so; `None` if there is none.
    pub(super) fn failed(&mut self, bytes: u64, asked: Option<Duration>) -> Option<Duration> {
        if bytes >= self.mark.saturating_add(PROGRESS) {
            (self.failed, self.mark) = (0, bytes);
        }
        self.failed += 1;
        if self.failed >= Self::MOST {
            return None;
        }
        Some(asked.unwrap_or_else(|| backoff(self.failed - 1, random())))
    }

    /// Number of the attempt that comes.
    pub(super) fn next(&self) -> u32 {
        self.failed + 1
    }
}

/// Doubles from attempt to attempt; `random`, 0 to 1, keeps many clients from coming at once.
fn backoff(failed: u32, random: f64) -> Duration {
    let seconds = FIRST_WAIT * f64::from(failed).exp2() * (0.75 + random / 2.0);
    Duration::from_secs_f64(seconds.min(LONGEST_WAIT))
}

/// 0 to 1, from the seed that the standard library takes for its hash tables.
fn random() -> f64 {
    let bits = RandomState::new().build_hasher().finish() >> 32;
    bits as f64 / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_attempts_in_a_row_and_all_again_after_progress() {
        let mut tries = Tries::new(100);
        for number in 2..=5 {
            assert!(tries.failed(100 + u64::from(number), None).is_some());
            assert_eq!(tries.next(), number);
        }
        assert!(tries.failed(200, None).is_none());

        let mut tries = Tries::new(0);
        for round in 1..20 {
            assert!(tries.failed(round * PROGRESS, None).is_some(), "round {round}");
            assert_eq!(tries.next(), 2);
        }
        // The same bytes again and again are no progress.
        let gone = (0..5).map(|_| tries.failed(PROGRESS, None)).take_while(Option::is_some).count();
        assert_eq!(gone, 3);
    }

    #[test]
    fn waits_double_up_to_a_limit_unless_the_server_asks() {
        assert_eq!(backoff(0, 0.5), Duration::from_secs_f64(0.2));
        assert_eq!(backoff(2, 0.5), Duration::from_secs_f64(0.8));
        assert_eq!(backoff(2, 0.0), Duration::from_secs_f64(0.2 * 4.0 * 0.75));
        assert_eq!(backoff(30, 0.5), Duration::from_secs(10));
        let asked = Some(Duration::from_secs(7));
        assert_eq!(Tries::new(0).failed(0, asked), asked);
    }
}
