//! D01: a disk that is too small, or becomes full.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use bitnet_runner::models::{How, Progress};

use super::double::Double;
use super::{BYTES, Bench};

#[test]
fn too_little_space_is_found_before_anything_is_written() {
    let bench = Bench::new();
    let needs = BYTES as u64 + (16 << 20);
    let disk = Double { free: Some(needs - 1), ..Double::new() };
    let error = bench.fetch_on(Arc::new(disk), &|_| ()).expect_err("no space").to_string();
    let wanted = format!("model 'small': needs {needs} bytes, free are {} in ", needs - 1);
    assert!(error.starts_with(&wanted), "{error}");
    assert!(error.ends_with("or set BITNET_CACHE_DIR to a folder on a larger disk"), "{error}");
    assert!(!bench.room().exists(), "nothing was written");
    let disk = Double { free: Some(needs), ..Double::new() };
    bench.fetch_on(Arc::new(disk), &|_| ()).expect("just enough space");
}

#[test]
fn what_was_written_before_the_disk_was_full_is_kept_and_goes_on() {
    let bench = Bench::new();
    // Not a multiple of a buffer: the last one is written in part.
    let room = 2_000_000;
    let disk = Double { room: AtomicU64::new(room), ..Double::new() };
    let error = bench.fetch_on(Arc::new(disk), &|_| ()).expect_err("a full disk").to_string();
    let here = fs::metadata(bench.room().join(".partial")).expect("the partial file").len();
    assert!(here > room - 4096 && here <= room, "{here} bytes are kept");
    let missing = BYTES as u64 - here;
    assert!(error.starts_with("model 'small': No space left on device"), "{error}");
    assert!(error.contains(&format!(": {missing} bytes are missing; ")), "{error}");
    assert!(error.contains("/.partial: free some space"), "{error}");
    assert!(error.ends_with("run `parity fetch --id small` again"), "{error}");

    let begun = AtomicU64::new(u64::MAX);
    let hear = |step: Progress<'_>| {
        if let Progress::Fetching { from, .. } = step {
            begun.store(from, std::sync::atomic::Ordering::Relaxed);
        }
    };
    let provided = bench.fetch_on(Arc::new(Double::new()), &hear).expect("space again");
    assert!(matches!(provided.how, How::Fetched(_)), "{provided:?}");
    assert_eq!(begun.into_inner(), here, "the kept bytes were not fetched again");
    bench.nothing_wrong_is_in_place("at the end");
    assert_eq!(bench.names(), [".verified", "model.gguf"]);
}
