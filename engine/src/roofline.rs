//! The limits of this machine, measured on the spot: how fast memory is read and how many int8 products
//! a second there are. It runs no model and knows no figure of any processor.

use std::fs;
use std::num::NonZeroUsize;
use std::time::Instant;

use memmap2::MmapMut;

use crate::kernels::probe::{self, Streams, Walk};
use crate::memory::huge_pages;
use crate::threads::ThreadPool;

/// Bytes that are read where nothing is known of the caches: more than any has.
const LEAST_BUFFER: usize = 1 << 30;
/// So many times the last-level cache are read, so that next to nothing is found in it.
const CACHES: usize = 4;
/// Passes over the buffer with each walk. The fastest one counts, as STREAM has it: everything that
/// disturbs makes a pass slower, and nothing makes it faster than memory is.
const PASSES: usize = 3;
/// Turns of the product kernel: some 50 ms.
const TURNS: u64 = 1 << 24;
/// Runs of the product kernel; the fastest one counts.
const RUNS: usize = 4;

const WALKS: [Walk; 5] = [
    Walk { streams: Streams::One, lines_ahead: 0 },
    Walk { streams: Streams::One, lines_ahead: 24 },
    Walk { streams: Streams::Four, lines_ahead: 0 },
    Walk { streams: Streams::Four, lines_ahead: 16 },
    Walk { streams: Streams::Eight, lines_ahead: 8 },
];

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum RooflineError {
    /// No memory for the buffer.
    #[error("the system has no {bytes} bytes of memory to read from: {why}")]
    Memory {
        /// Bytes asked for.
        bytes: usize,
        /// The system's words.
        why: std::io::Error,
    },
    /// The system refused a thread.
    #[error("cannot start a compute thread: {0}")]
    Threads(#[from] std::io::Error),
}

/// Memory to read from.
pub struct MemoryProbe {
    buffer: MmapMut,
}

/// What each byte of the buffer is: pages that hold nothing but zeros need not exist.
const FILL: u8 = 1;

impl MemoryProbe {
    /// A filled buffer of four times the last-level cache, of 1 GiB at least; on huge pages where the
    /// system has them, because tables of small pages would be measured as well.
    ///
    /// # Errors
    /// If the system has no memory for it.
    pub fn new() -> Result<Self, RooflineError> {
        let bytes = last_level_cache().map_or(0, |cache| cache * CACHES).max(LEAST_BUFFER);
        let refused = |why| RooflineError::Memory { bytes, why };
        // Without huge pages the figure is that of small ones, which is what a model gets as well.
        let mut buffer = huge_pages(bytes).map_err(refused)?;
        buffer.fill(FILL);
        Ok(Self { buffer })
    }

    /// Bytes of the buffer.
    pub fn buffer_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Bytes a second that so many threads read together, each its own part of the buffer: the fastest
    /// of several passes in several ways to walk.
    ///
    /// # Errors
    /// If the system refuses a thread.
    pub fn read_bandwidth(&self, threads: NonZeroUsize) -> Result<f64, RooflineError> {
        let mut pool = ThreadPool::new(threads)?;
        // Whole cache lines, and whole pages of a thread.
        let share = (self.buffer.len() / threads.get()).next_multiple_of(4096);
        let parts: Vec<&[u8]> = self.buffer.chunks(share).collect();
        let word = u64::from_ne_bytes([FILL; 8]);
        let mut fastest = 0.0f64;
        for walk in WALKS {
            for _ in 0..PASSES {
                let start = Instant::now();
                pool.run(&|thread| {
                    let Some(part) = parts.get(thread) else { return };
                    let sum = probe::read(part, walk);
                    assert_eq!(sum, word.wrapping_mul(part.len() as u64 / 8), "not all was read");
                });
                fastest = fastest.max(self.buffer.len() as f64 / start.elapsed().as_secs_f64());
            }
        }
        Ok(fastest)
    }
}

/// How many int8 products a processor does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Int8Peak {
    /// Multiply-accumulates a second, all threads together.
    pub macs_per_second: f64,
    /// The instruction.
    pub instruction: &'static str,
}

/// Int8 multiply-accumulates a second of so many threads, in registers: the fastest of several runs. None
/// where the engine knows no instruction of this processor for them.
///
/// # Errors
/// If the system refuses a thread.
pub fn int8_peak(threads: NonZeroUsize) -> Result<Option<Int8Peak>, RooflineError> {
    let Some(products) = probe::products() else { return Ok(None) };
    let mut pool = ThreadPool::new(threads)?;
    let mut fastest = 0.0f64;
    for _ in 0..RUNS {
        let start = Instant::now();
        pool.run(&|_| {
            let sum = (products.run)(TURNS);
            assert_eq!(sum, (TURNS * products.macs) as i32, "not all was computed");
        });
        let macs = (TURNS * products.macs) as f64 * threads.get() as f64;
        fastest = fastest.max(macs / start.elapsed().as_secs_f64());
    }
    Ok(Some(Int8Peak { macs_per_second: fastest, instruction: products.name }))
}

/// Bytes of the largest cache, where the system tells.
fn last_level_cache() -> Option<usize> {
    let size = |index| {
        let path = format!("/sys/devices/system/cpu/cpu0/cache/index{index}/size");
        let text = fs::read_to_string(path).ok()?;
        text.trim().strip_suffix('K')?.parse::<usize>().ok().map(|kib| kib * 1024)
    };
    (0..8).filter_map(size).max()
}
