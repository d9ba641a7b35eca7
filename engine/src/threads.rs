//! The worker pool: the only place that starts threads that compute while a model runs (loading and
//! synthesis use rayon's).
//!
//! One fork-join at a time. Each thread has neighbouring parts of a job, takes them in order, and then helps the
//! others from the end of theirs: what parts are made of is read in streams, and none waits long for a slower
//! thread. Each part is computed whole by one thread, so that no result depends on which.
//! Workers spin for a while after each job, because the next one of the same token is microseconds
//! away, and then park, so that a waiting pool takes nothing from others. A pool of one thread
//! starts none. It hands out parts ([`Parts`]); it computes nothing.

use std::any::Any;
use std::cell::UnsafeCell;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, Thread};

pub use parts::{Chunks, ColumnShare, ColumnShares, Columns, Parts, Tiles};
use queue::Queue;
pub use queue::own_parts;

use crate::kernels::prefetch;
use crate::memory::CACHE_LINE;

mod parts;
mod queue;

/// Turns of the waiting loop before a worker parks. A turn's time is the processor's affair: all of
/// them were measured once as 231 µs.
const SPINS: u32 = 20_000;
/// Bytes that a waiting thread asks for: a part of a second-level cache.
const AHEAD: usize = 512 << 10;
/// Cache lines that it asks for between two looks at what it waits for.
const LINES_A_TURN: usize = 4;

/// A value alone on its cache lines, so that waiting on it disturbs no neighbour.
#[repr(align(128))]
struct Padded<T>(T);

/// A fork-join task; the pointer is valid for as long as [`ThreadPool::run`] has not returned.
type Job = *const (dyn Fn(usize) + Sync);

struct Shared {
    /// Counts jobs; a worker starts when it changes.
    generation: Padded<AtomicUsize>,
    /// Workers that have not finished the current job.
    running: Padded<AtomicUsize>,
    job: JobCell,
    panicked: AtomicBool,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    stop: AtomicBool,
    /// Turns of a waiting loop; none where there are more threads than processors, because a
    /// spinning thread would then keep the one it waits for from running.
    spins: u32,
    /// What each thread reads next.
    ahead: Vec<Padded<Ahead>>,
    /// The parts of the current job that each thread has left.
    queues: Vec<Padded<Queue>>,
}

/// The current job. `run` writes it while `running` is 0 and before it raises `generation`; workers
/// read it after they saw `generation` rise and before they lower `running`. So writes and reads
/// never meet, and no lock is taken for a job.
struct JobCell(UnsafeCell<Option<Job>>);

// SAFETY: the order of accesses described above keeps the cell free of races, and the closure behind
// the pointer is `Sync` and outlives the job.
unsafe impl Sync for JobCell {}
// SAFETY: as above; a pointer that is moved to another thread is only used within its job.
unsafe impl Send for JobCell {}

struct Worker {
    thread: Thread,
    parked: Arc<AtomicBool>,
    handle: Option<JoinHandle<()>>,
}

/// `threads − 1` workers and the calling thread.
pub struct ThreadPool {
    shared: Arc<Shared>,
    workers: Vec<Worker>,
    /// What the calling thread has asked for.
    fetched: Fetched,
}

impl ThreadPool {
    /// A pool that computes with `threads` threads, the caller's included.
    ///
    /// # Errors
    /// If the system refuses to start a thread.
    pub fn new(threads: NonZeroUsize) -> std::io::Result<Self> {
        let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let shared = Arc::new(Shared {
            generation: Padded(AtomicUsize::new(0)),
            running: Padded(AtomicUsize::new(0)),
            job: JobCell(UnsafeCell::new(None)),
            panicked: AtomicBool::new(false),
            panic: Mutex::new(None),
            stop: AtomicBool::new(false),
            spins: if threads.get() <= processors { SPINS } else { 0 },
            ahead: (0..threads.get()).map(|_| Padded(Ahead::default())).collect(),
            queues: (0..threads.get()).map(|_| Padded(Queue::default())).collect(),
        });
        let mut pool = Self { shared, workers: Vec::new(), fetched: Fetched::NOTHING };
        for index in 1..threads.get() {
            let (shared, parked) = (Arc::clone(&pool.shared), Arc::new(AtomicBool::new(false)));
            let flag = Arc::clone(&parked);
            let handle = std::thread::Builder::new()
                .name(format!("compute-{index}"))
                .spawn(move || work(&shared, &flag, index))?;
            let thread = handle.thread().clone();
            pool.workers.push(Worker { thread, parked, handle: Some(handle) });
        }
        // A thread that starts allocates; after this none does while a model computes.
        pool.run(&|_| {});
        Ok(pool)
    }

    /// Threads that compute, the caller's included.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Runs `task(thread)` once on every thread and returns when all are done.
    ///
    /// # Panics
    /// With the panic of a task (the caller's, if it is among several), after all threads have ended
    /// theirs.
    pub fn run(&mut self, task: &(dyn Fn(usize) + Sync)) {
        if self.workers.is_empty() {
            return task(0);
        }
        let shared = &*self.shared;
        // SAFETY: only the lifetime is erased. Nothing below returns or unwinds before `running`
        // is back at zero, that is before the last worker has let go of the closure.
        let job = unsafe {
            std::mem::transmute::<*const (dyn Fn(usize) + Sync + '_), Job>(std::ptr::from_ref(task))
        };
        // SAFETY: `&mut self` admits one `run` at a time, and the one before left `running` at 0:
        // no worker reads the job until `generation` rises.
        unsafe { *shared.job.0.get() = Some(job) };
        shared.running.0.store(self.workers.len(), Ordering::SeqCst);
        shared.generation.0.fetch_add(1, Ordering::SeqCst);
        for worker in &self.workers {
            if worker.parked.load(Ordering::SeqCst) {
                worker.thread.unpark();
            }
        }
        let own = catch_unwind(AssertUnwindSafe(|| task(0)));
        let mut spins = 0;
        while shared.running.0.load(Ordering::SeqCst) != 0 {
            if spins < shared.spins {
                spins += 1;
                self.fetched.turn(&shared.ahead[0].0);
            } else {
                // More threads than free cores: let a worker have this one.
                std::thread::yield_now();
            }
        }
        // Taken even where the caller's own comes first: the next job starts without it.
        let theirs = match shared.panicked.swap(false, Ordering::SeqCst) {
            true => lock(&shared.panic).take(),
            false => None,
        };
        if let Some(panic) = own.err().or(theirs) {
            resume_unwind(panic);
        }
    }

    /// Calls `task(thread, index, part)` for every part. A single part is the caller's, because waking the others
    /// costs more than they could help.
    ///
    /// # Panics
    /// With the panic of a task, as [`ThreadPool::run`].
    pub fn for_each<P: Parts>(&mut self, parts: P, task: impl Fn(usize, usize, P::Part) + Sync) {
        let (count, threads) = (parts.count(), self.threads());
        if count <= 1 || threads == 1 {
            for index in 0..count {
                // SAFETY: the index is below the count, and comes once.
                task(0, index, unsafe { parts.part(index) });
            }
            return;
        }
        let shared = Arc::clone(&self.shared);
        for (thread, queue) in shared.queues.iter().enumerate() {
            queue.0.fill(own_parts(count, threads, thread));
        }
        self.run(&|thread| {
            while let Some(index) = shared.next_part(thread) {
                // SAFETY: the queues hold the indices below the count, and give each out once.
                task(thread, index, unsafe { parts.part(index) });
            }
        });
    }

    /// The same with something of its own for every thread: `task(scratch, index, part)`.
    ///
    /// # Panics
    /// If `scratch` has fewer values than the pool has threads, and as [`ThreadPool::run`].
    pub fn for_each_with<S: Send, P: Parts>(
        &mut self,
        scratch: &mut [S],
        parts: P,
        task: impl Fn(&mut S, usize, P::Part) + Sync,
    ) {
        assert!(scratch.len() >= self.threads(), "one scratch value for each thread");
        let own = Chunks::new(scratch, 1);
        self.for_each(parts, |thread, index, part| {
            // SAFETY: a thread's number is below the threads and is one thread's alone, and its task has ended
            // before it has the next.
            let scratch = unsafe { own.part(thread) };
            task(&mut scratch[0], index, part);
        });
    }

    /// Says what each thread reads once the job that comes next is done: a thread that waits asks for it meanwhile,
    /// up to 512 KiB.
    pub fn expect<'a>(&mut self, bytes_of: impl Fn(usize) -> &'a [u8]) {
        for (thread, ahead) in self.shared.ahead.iter().enumerate() {
            let bytes = bytes_of(thread);
            ahead.0.bytes.store(bytes.len().min(AHEAD), Ordering::Relaxed);
            ahead.0.start.store(bytes.as_ptr().cast_mut(), Ordering::Relaxed);
        }
    }
}

impl Shared {
    /// A thread's next part: its own first one, or the last one of another.
    fn next_part(&self, thread: usize) -> Option<usize> {
        let (before, from) = self.queues.split_at(thread);
        let (own, behind) = from.split_first()?;
        let mut others = behind.iter().chain(before);
        own.0.take_first().or_else(|| others.find_map(|queue| queue.0.take_last()))
    }
}

/// What a thread asks for while it waits. Start and length may be seen apart: at worst the wrong lines are
/// fetched.
#[derive(Debug, Default)]
struct Ahead {
    start: AtomicPtr<u8>,
    bytes: AtomicUsize,
}

/// How much of it a thread has asked for.
#[derive(Debug)]
struct Fetched {
    /// The address that it began at.
    start: usize,
    bytes: usize,
}

impl Fetched {
    const NOTHING: Self = Self { start: 0, bytes: 0 };

    /// One turn of a waiting loop: asks for the next lines, or does nothing for a moment.
    fn turn(&mut self, ahead: &Ahead) {
        let start = ahead.start.load(Ordering::Relaxed).cast_const();
        if start.addr() != self.start {
            *self = Self { start: start.addr(), bytes: 0 };
        }
        if self.bytes < ahead.bytes.load(Ordering::Relaxed) {
            for line in 0..LINES_A_TURN {
                prefetch(start.wrapping_add(self.bytes + line * CACHE_LINE));
            }
            self.bytes += LINES_A_TURN * CACHE_LINE;
        } else {
            std::hint::spin_loop();
        }
    }
}

/// Locks even behind a panic: the data is one value, replaced whole.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn work(shared: &Shared, parked: &AtomicBool, index: usize) {
    let (mut seen, mut fetched) = (0, Fetched::NOTHING);
    loop {
        let mut spins = 0;
        while shared.generation.0.load(Ordering::SeqCst) == seen {
            if spins < shared.spins {
                spins += 1;
                fetched.turn(&shared.ahead[index].0);
                continue;
            }
            // Announce first, then look again: `run` bumps the generation before it looks here, so
            // one of the two sees the other. A stale unpark only ends this wait early.
            parked.store(true, Ordering::SeqCst);
            if shared.generation.0.load(Ordering::SeqCst) == seen {
                std::thread::park();
            }
            parked.store(false, Ordering::SeqCst);
        }
        seen = seen.wrapping_add(1);
        if shared.stop.load(Ordering::SeqCst) {
            return;
        }
        // SAFETY: the generation has risen and this worker has not lowered `running` yet, so `run`
        // is waiting and writes nothing.
        if let Some(task) = unsafe { *shared.job.0.get() } {
            // SAFETY: `run` keeps the closure alive until `running` is 0, which needs this worker.
            let outcome = catch_unwind(AssertUnwindSafe(|| unsafe { (*task)(index) }));
            if let Err(panic) = outcome {
                lock(&shared.panic).get_or_insert(panic);
                shared.panicked.store(true, Ordering::SeqCst);
            }
        }
        shared.running.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for ThreadPool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.shared.generation.0.fetch_add(1, Ordering::SeqCst);
        for worker in &mut self.workers {
            worker.thread.unpark();
            if let Some(handle) = worker.handle.take() {
                // A worker catches its tasks' panics, so there is nothing to hear here.
                let _ = handle.join();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(threads: usize) -> ThreadPool {
        ThreadPool::new(NonZeroUsize::new(threads).expect("not zero")).expect("threads start")
    }

    #[test]
    fn every_part_is_taken_once_by_any_number_of_threads() {
        for threads in [1, 2, 3, 5] {
            let mut pool = pool(threads);
            let (mut rows, mut marks) = (vec![0; 7 * 4], vec![0u8; 7]);
            let mut calls = vec![0; threads];
            let parts = (Chunks::new(&mut rows, 4), Chunks::new(&mut marks, 1));
            pool.for_each_with(&mut calls, parts, |calls, index, (row, mark)| {
                *calls += 1;
                row.iter_mut().for_each(|value| *value += index + 1);
                mark[0] += 1;
            });
            let truth: Vec<usize> = (1..=7).flat_map(|i| [i; 4]).collect();
            assert_eq!(rows, truth, "{threads} threads");
            assert_eq!(marks, [1; 7]);
            assert_eq!(calls.iter().sum::<usize>(), 7);
        }
    }

    #[test]
    fn tiles_cover_a_matrix_and_know_their_place() {
        let mut pool = pool(2);
        let mut matrix = vec![0; 5 * 7];
        pool.for_each(Tiles::new(&mut matrix, 7, (2, 3)), |_, _, (first, mut tile)| {
            let columns = tile.columns();
            for r in 0..tile.row_count() {
                for (value, c) in tile.row(r).iter_mut().zip(columns.clone()) {
                    *value += (first + r) * 7 + c;
                }
            }
        });
        assert_eq!(matrix, (0..35).collect::<Vec<_>>());
    }

    #[test]
    fn columns_of_neighbours_are_covered_once_however_they_are_cut() {
        for (threads, steps) in [(1, usize::MAX), (2, 1), (2, 3), (4, 2)] {
            let mut pool = pool(threads);
            let (mut wide, mut narrow) = (vec![0; 3 * 101], vec![0; 3 * 37]);
            let columns = Columns::new([(&mut wide[..], 101), (&mut narrow[..], 37)], 16);
            pool.for_each(columns.in_parts_of(steps), |_, _, mut shares| {
                for which in 0..2 {
                    let Some(mut share) = shares.take(which) else { continue };
                    assert!(share.columns().start.is_multiple_of(16));
                    for r in 0..3 {
                        share.row(r).iter_mut().for_each(|v| *v += r + 1);
                    }
                }
            });
            for (matrix, columns) in [(wide, 101), (narrow, 37)] {
                let truth: Vec<usize> = (1..=3).flat_map(|i| vec![i; columns]).collect();
                assert_eq!(matrix, truth, "{threads} threads, parts of {steps}");
            }
        }
    }

    #[test]
    fn a_thread_begins_with_its_own_parts_and_helps_one_that_is_late() {
        let mut pool = pool(2);
        let mut takers = [usize::MAX; 100];
        let helped = AtomicBool::new(false);
        pool.for_each(Chunks::new(&mut takers, 1), |thread, index, taker| {
            taker[0] = thread;
            if index == 0 {
                // The first part lasts until the other thread has taken what is behind it.
                while !helped.load(Ordering::Acquire) {
                    std::thread::yield_now();
                }
            }
            if index == 1 {
                helped.store(true, Ordering::Release);
            }
        });
        assert_eq!(takers[1..], [1; 99]);
    }

    #[test]
    fn what_is_expected_changes_no_result() {
        let mut pool = pool(3);
        let bytes = vec![0; 100_000];
        for _ in 0..100 {
            pool.expect(|thread| &bytes[thread * 1000..]);
            let hits = AtomicUsize::new(0);
            pool.run(&|_| {
                hits.fetch_add(1, Ordering::SeqCst);
            });
            assert_eq!(hits.load(Ordering::SeqCst), 3);
        }
    }

    #[test]
    fn a_parked_pool_wakes_up() {
        let mut pool = pool(3);
        for _ in 0..3 {
            std::thread::sleep(std::time::Duration::from_millis(30));
            let hits = AtomicUsize::new(0);
            pool.run(&|_| {
                hits.fetch_add(1, Ordering::SeqCst);
            });
            assert_eq!(hits.load(Ordering::SeqCst), 3);
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_lives_on() {
        for bad in [0, 1] {
            let mut pool = pool(2);
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                pool.run(&|thread| assert_ne!(thread, bad, "thread {bad} fails"));
            }));
            let message = outcome.expect_err("the panic is passed on");
            let text = message.downcast_ref::<String>().expect("a formatted message");
            assert!(text.contains(&format!("thread {bad} fails")), "{text}");
            pool.run(&|_| {});
        }
    }

    #[test]
    fn panics_of_all_threads_leave_nothing_to_the_next_job() {
        for threads in [1, 2, 4] {
            let mut pool = pool(threads);
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                pool.run(&|thread| panic!("thread {thread} fails"));
            }));
            let message = outcome.expect_err("the panic is passed on");
            let text = message.downcast_ref::<String>().expect("a formatted message");
            assert_eq!(text, "thread 0 fails", "the caller's own comes first");
            let hits = AtomicUsize::new(0);
            pool.run(&|_| {
                hits.fetch_add(1, Ordering::SeqCst);
            });
            assert_eq!(hits.load(Ordering::SeqCst), threads);
        }
    }
}
