//! Takes bytes from a source, hashes them and writes them, all three at the same time in a handful of
//! buffers, so that memory stays flat whatever the size. Judges nothing but speed and length.

use std::fs::File;
use std::io::{self, Read};
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::disk::Disk;
use super::hashing::BLOCK;

/// Buffers on their way from the source to the disk.
const BLOCKS: usize = 6;
/// A buffer with so many bytes is passed on when nothing else is on its way, …
const FEW: usize = 64 << 10;
/// … and one with fewer after this time: what has arrived survives a crash.
const PATIENCE: Duration = Duration::from_millis(250);
/// Fewer bytes in a window of time are no transfer.
const LEAST: u64 = 1024;

/// Why no more bytes came.
pub(super) enum End {
    /// The source had no more.
    Ended,
    /// All that were wanted are here.
    Full,
    /// The source has more than were wanted.
    TooLong,
    /// The source failed.
    Cut(io::Error),
    /// Fewer than [`LEAST`] bytes in the given time.
    TooSlow,
}

/// Where bytes go.
pub(super) struct Sink<'a> {
    pub disk: &'a dyn Disk,
    /// Open for appending.
    pub file: &'a File,
    /// Sees every byte.
    pub hasher: &'a mut Sha256,
    /// Hears how many bytes have been written.
    pub written: &'a (dyn Fn(u64) + Sync),
}

struct Block {
    bytes: Box<[u8]>,
    len: usize,
}

/// Moves up to `wanted` bytes from `body` to `sink`; gives how many were written and hashed, and why
/// no more came. `window` is the time in which a source must give [`LEAST`] bytes.
///
/// # Errors
/// If the sink cannot be written; how much of it was is unknown then.
pub(super) fn receive(
    body: &mut dyn Read,
    sink: Sink<'_>,
    wanted: u64,
    window: Option<Duration>,
) -> io::Result<(u64, End)> {
    let Sink { disk, file, hasher, written } = sink;
    let (to_hasher, for_hasher) = sync_channel::<Block>(BLOCKS);
    let (to_writer, for_writer) = sync_channel::<Block>(BLOCKS);
    let (give_back, empty) = sync_channel::<Block>(BLOCKS);
    let under_way = &AtomicUsize::new(0);
    for _ in 0..BLOCKS {
        let _ = give_back.send(Block { bytes: vec![0; BLOCK].into(), len: 0 });
    }
    thread::scope(|scope| {
        let hashing = scope.spawn(move || {
            for block in for_hasher {
                hasher.update(&block.bytes[..block.len]);
                if to_writer.send(block).is_err() {
                    break;
                }
            }
        });
        let writing = scope.spawn(move || -> io::Result<u64> {
            let mut total = 0;
            for mut block in for_writer {
                disk.write(file, &block.bytes[..block.len])?;
                total += block.len as u64;
                written(total);
                block.len = 0;
                under_way.fetch_sub(1, Ordering::Relaxed);
                // Nobody takes it any more once the source has ended.
                let _ = give_back.send(block);
            }
            Ok(total)
        });
        let end = read(body, Line { full: &to_hasher, empty: &empty, under_way }, wanted, window);
        drop(to_hasher);
        hashing.join().unwrap_or_else(|panic| resume_unwind(panic));
        let total = writing.join().unwrap_or_else(|panic| resume_unwind(panic))?;
        Ok((total, end))
    })
}

/// The way to the disk, as the source sees it.
struct Line<'a> {
    full: &'a SyncSender<Block>,
    empty: &'a Receiver<Block>,
    /// Buffers that are being hashed or written.
    under_way: &'a AtomicUsize,
}

/// Fills buffers until there is a reason to stop.
fn read(body: &mut dyn Read, line: Line<'_>, wanted: u64, window: Option<Duration>) -> End {
    let mut left = wanted;
    let mut pace = window.map(Pace::new);
    // The writer gives no buffer back once it has failed, and says so itself.
    while let Ok(mut block) = line.empty.recv() {
        let end = fill(body, &mut block, left, line.under_way, pace.as_mut());
        left -= block.len as u64;
        if block.len > 0 {
            line.under_way.fetch_add(1, Ordering::Relaxed);
            if line.full.send(block).is_err() {
                break;
            }
        }
        match end {
            Some(end) => return end,
            None if left == 0 => return past_the_end(body),
            None => {}
        }
    }
    End::Ended
}

/// Reads up to `left` bytes into `block`, until it is full or has to be passed on.
fn fill(
    body: &mut dyn Read,
    block: &mut Block,
    left: u64,
    under_way: &AtomicUsize,
    mut pace: Option<&mut Pace>,
) -> Option<End> {
    let (begun, room) = (Instant::now(), left.min(BLOCK as u64) as usize);
    let idle = |len: usize| len >= FEW && under_way.load(Ordering::Relaxed) == 0;
    while block.len < room && (block.len == 0 || !(idle(block.len) || begun.elapsed() >= PATIENCE))
    {
        match body.read(&mut block.bytes[block.len..room]) {
            Ok(0) => return Some(End::Ended),
            Ok(read) => {
                block.len += read;
                if pace.as_mut().is_some_and(|pace| pace.is_too_slow(read as u64)) {
                    return Some(End::TooSlow);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Some(End::Cut(error)),
        }
    }
    None
}

/// All bytes are here: one more is one too many, and any other end is as good as the right one.
fn past_the_end(body: &mut dyn Read) -> End {
    match body.read(&mut [0]) {
        Ok(read) if read > 0 => End::TooLong,
        _ => End::Full,
    }
}

/// Bytes in a window of time.
struct Pace {
    window: Duration,
    since: Instant,
    bytes: u64,
}

impl Pace {
    fn new(window: Duration) -> Self {
        Self { window, since: Instant::now(), bytes: 0 }
    }

    fn is_too_slow(&mut self, read: u64) -> bool {
        self.bytes += read;
        if self.since.elapsed() < self.window {
            return false;
        }
        let slow = self.bytes < LEAST;
        (self.since, self.bytes) = (Instant::now(), 0);
        slow
    }
}
