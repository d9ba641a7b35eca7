//! The worker pool: the only place that starts threads that compute while a model runs (loading and
//! synthesis use rayon's).
//!
//! One fork-join at a time, with a fixed split of the work, so that no result depends on timing.
//! Workers spin for a while after each job, because the next one of the same token is microseconds
//! away, and then park, so that a waiting pool takes nothing from others. A pool of one thread
//! starts none. This file hands out disjoint parts of slices; it computes nothing.

use std::any::Any;
use std::cell::UnsafeCell;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, Thread};

/// Turns of the waiting loop before a worker parks. A turn's time is the processor's affair: all of
/// them were measured once as 231 µs.
const SPINS: u32 = 20_000;

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
        });
        let mut pool = Self { shared, workers: Vec::new() };
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
                std::hint::spin_loop();
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

    /// Calls `task(index, row)` for every row of `row_length` values in `rows`. Thread t takes rows t,
    /// t + threads, ….
    ///
    /// # Panics
    /// If `rows` is not whole rows.
    pub fn for_each_row_alone<T: Send>(
        &mut self,
        rows: &mut [T],
        row_length: usize,
        task: impl Fn(usize, &mut [T]) + Sync,
    ) {
        let threads = self.threads();
        assert!(row_length > 0 && rows.len().is_multiple_of(row_length), "whole rows");
        let count = rows.len() / row_length;
        if count == 1 {
            // Waking the others costs more than they could help.
            return task(0, rows);
        }
        let rows = Shareable(rows.as_mut_ptr());
        self.run(&|thread| {
            for index in (thread..count).step_by(threads) {
                // SAFETY: rows are disjoint, each index belongs to one thread, and index < count.
                let row = unsafe {
                    std::slice::from_raw_parts_mut(rows.get().add(index * row_length), row_length)
                };
                task(index, row);
            }
        });
    }

    /// Cuts `rows` (rows of `row_length` values) into tiles of up to `tile_rows` rows and `tile_columns`
    /// columns and calls `task(scratch, first_row, tile)` for each; [`ColumnShare::columns`] are those of the
    /// whole rows. Thread t takes tiles t, t + threads, …, and `scratch[t]` is its own.
    ///
    /// # Panics
    /// If `scratch` has fewer values than the pool has threads, `rows` is not whole rows, or a tile is empty.
    pub fn for_each_tile<T: Send, S: Send>(
        &mut self,
        rows: &mut [T],
        row_length: usize,
        (tile_rows, tile_columns): (usize, usize),
        scratch: &mut [S],
        task: impl Fn(&mut S, usize, ColumnShare<'_, T>) + Sync,
    ) {
        let threads = self.threads();
        assert!(scratch.len() >= threads, "one scratch value for each thread");
        assert!(row_length > 0 && rows.len().is_multiple_of(row_length), "whole rows");
        assert!(tile_rows > 0 && tile_columns > 0, "tiles of something");
        let count = rows.len() / row_length;
        let across = row_length.div_ceil(tile_columns);
        let tiles = count.div_ceil(tile_rows) * across;
        let (rows, scratch) = (Shareable(rows.as_mut_ptr()), Shareable(scratch.as_mut_ptr()));
        self.run(&|thread| {
            // SAFETY: `thread` is below `threads` ≤ scratch.len() and no other call of this job
            // has the same one.
            let own = unsafe { &mut *scratch.get().add(thread) };
            for tile in (thread..tiles).step_by(threads) {
                let (row, column) = (tile / across * tile_rows, tile % across * tile_columns);
                let share = ColumnShare {
                    // SAFETY: row < count; tiles do not overlap and each belongs to one thread.
                    first: unsafe { rows.get().add(row * row_length) },
                    row_length,
                    rows: tile_rows.min(count - row),
                    columns: column..row_length.min(column + tile_columns),
                    slice: std::marker::PhantomData,
                };
                task(own, row, share);
            }
        });
    }

    /// Splits the columns of `rows` (rows of `row_length` values) over the threads, in multiples of
    /// `step`, and calls `task` with each thread's share.
    ///
    /// # Panics
    /// If `rows` is not whole rows or `step` is 0.
    pub fn for_each_column_share<T: Send>(
        &mut self,
        rows: &mut [T],
        row_length: usize,
        step: usize,
        task: impl Fn(ColumnShare<'_, T>) + Sync,
    ) {
        assert!(row_length > 0 && rows.len().is_multiple_of(row_length), "whole rows");
        let threads = self.threads();
        let steps = row_length.div_ceil(step);
        let count = rows.len() / row_length;
        let pointer = Shareable(rows.as_mut_ptr());
        self.run(&|thread| {
            let bound = |t: usize| (steps * t / threads * step).min(row_length);
            let columns = bound(thread)..bound(thread + 1);
            if !columns.is_empty() {
                task(ColumnShare {
                    first: pointer.get(),
                    row_length,
                    rows: count,
                    columns,
                    slice: std::marker::PhantomData,
                });
            }
        });
    }
}

/// One thread's columns of a matrix that several threads fill.
pub struct ColumnShare<'a, T> {
    first: *mut T,
    row_length: usize,
    rows: usize,
    columns: Range<usize>,
    slice: std::marker::PhantomData<&'a mut [T]>,
}

impl<T> ColumnShare<'_, T> {
    /// How many rows there are.
    pub fn row_count(&self) -> usize {
        self.rows
    }

    /// The columns.
    pub fn columns(&self) -> Range<usize> {
        self.columns.clone()
    }

    /// These columns of one row.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&mut self, index: usize) -> &mut [T] {
        assert!(index < self.rows, "row {index} of {}", self.rows);
        // SAFETY: the row exists, the columns lie inside it, shares of one job do not overlap, and
        // `&mut self` keeps this share's slices apart in time.
        unsafe {
            let start = self.first.add(index * self.row_length + self.columns.start);
            std::slice::from_raw_parts_mut(start, self.columns.len())
        }
    }
}

/// A pointer into a slice whose parts are given to threads without overlap.
struct Shareable<T>(*mut T);

// SAFETY: the methods above give every element to one thread only, and `T: Send` is required there.
unsafe impl<T: Send> Sync for Shareable<T> {}

impl<T> Shareable<T> {
    fn get(&self) -> *mut T {
        self.0
    }
}

/// Locks even behind a panic: the data is one value, replaced whole.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn work(shared: &Shared, parked: &AtomicBool, index: usize) {
    let mut seen = 0;
    loop {
        let mut spins = 0;
        while shared.generation.0.load(Ordering::SeqCst) == seen {
            if spins < shared.spins {
                spins += 1;
                std::hint::spin_loop();
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
    fn rows_are_filled_once_by_any_number_of_threads() {
        for threads in [1, 2, 3, 5] {
            let mut pool = pool(threads);
            let mut rows = vec![0; 7 * 4];
            let mut calls = vec![0; threads];
            pool.for_each_tile(&mut rows, 4, (1, 4), &mut calls, |calls, index, mut tile| {
                *calls += 1;
                tile.row(0).fill(index + 1);
            });
            let truth: Vec<usize> = (1..=7).flat_map(|i| [i; 4]).collect();
            assert_eq!(rows, truth, "{threads} threads");
            assert_eq!(calls.iter().sum::<usize>(), 7);
        }
    }

    #[test]
    fn column_shares_cover_every_column_once() {
        for threads in [1, 2, 4] {
            let mut pool = pool(threads);
            let mut rows = vec![0; 3 * 37];
            pool.for_each_column_share(&mut rows, 37, 16, |mut share| {
                assert!(share.columns().start.is_multiple_of(16));
                for r in 0..3 {
                    share.row(r).iter_mut().for_each(|v| *v += r + 1);
                }
            });
            let truth: Vec<usize> = (1..=3).flat_map(|i| [i; 37]).collect();
            assert_eq!(rows, truth, "{threads} threads");
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
