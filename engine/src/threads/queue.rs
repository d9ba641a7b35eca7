//! The parts of a job that one thread has left: it takes them from the front, others help from the end. It knows
//! numbers only.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// Neighbouring numbers that are given out once each. The order of accesses to what they stand for is the pool's
/// fork and join; nothing rests on the order of these.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// The first number in the upper half, the end in the lower.
    left: AtomicU64,
}

impl Queue {
    /// Holds these from now on. No thread takes any meanwhile.
    ///
    /// # Panics
    /// If there are 2^32 numbers or more.
    pub(super) fn fill(&self, numbers: Range<usize>) {
        self.left.store(pack(numbers), Ordering::Relaxed);
    }

    /// The first number that is left.
    pub(super) fn take_first(&self) -> Option<usize> {
        self.take(|left| left.next())
    }

    /// The last number that is left.
    pub(super) fn take_last(&self) -> Option<usize> {
        self.take(|left| left.next_back())
    }

    fn take(&self, of: impl Fn(&mut Range<usize>) -> Option<usize>) -> Option<usize> {
        let mut packed = self.left.load(Ordering::Relaxed);
        loop {
            let mut left = (packed >> 32) as usize..(packed & u64::from(u32::MAX)) as usize;
            let number = of(&mut left)?;
            let (now, order) = (pack(left), Ordering::Relaxed);
            match self.left.compare_exchange_weak(packed, now, order, order) {
                Ok(_) => return Some(number),
                Err(other) => packed = other,
            }
        }
    }
}

fn pack(numbers: Range<usize>) -> u64 {
    let [start, end] = [numbers.start, numbers.end]
        .map(|number| u32::try_from(number).expect("fewer than 2^32 parts"));
    u64::from(start) << 32 | u64::from(end)
}

/// The parts of `count` that a thread has before it helps others.
pub fn own_parts(count: usize, threads: usize, thread: usize) -> Range<usize> {
    count * thread / threads..count * (thread + 1) / threads
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_given_out_once_from_both_ends() {
        let queue = Queue::default();
        assert_eq!(queue.take_first(), None);
        queue.fill(3..7);
        assert_eq!((queue.take_first(), queue.take_last()), (Some(3), Some(6)));
        assert_eq!((queue.take_last(), queue.take_first()), (Some(5), Some(4)));
        assert_eq!((queue.take_first(), queue.take_last()), (None, None));
    }

    #[test]
    fn threads_that_take_at_once_leave_nothing_and_share_nothing() {
        const NUMBERS: usize = 10_000;
        let queue = Queue::default();
        queue.fill(0..NUMBERS);
        let mut taken: Vec<usize> = std::thread::scope(|scope| {
            let takers = [0, 1, 2].map(|taker| {
                let queue = &queue;
                let next = move || if taker == 0 { queue.take_first() } else { queue.take_last() };
                scope.spawn(move || std::iter::from_fn(next).collect::<Vec<_>>())
            });
            takers.into_iter().flat_map(|taker| taker.join().expect("no panic")).collect()
        });
        taken.sort_unstable();
        assert_eq!(taken, (0..NUMBERS).collect::<Vec<_>>());
    }

    #[test]
    fn own_parts_are_neighbours_and_all_there_are() {
        for (count, threads) in [(0, 3), (2, 3), (7, 3), (8, 1), (8, 4)] {
            let parts = (0..threads).flat_map(|thread| own_parts(count, threads, thread));
            assert!(parts.eq(0..count), "{count} for {threads}");
        }
    }
}
