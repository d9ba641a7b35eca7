//! Whatever the bytes, parsing ends in a file or in a typed error, and never holds more memory than
//! twice their number.
//!
//! A test binary of its own, for its allocator counts what the thread under test holds.

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bitnet_engine::gguf::{Array, Directory, GgufError, Value};
use proptest::prelude::*;
use support::*;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

struct Counting;

fn count(bytes: isize) {
    // A thread being torn down has no counters any more, and nothing of interest.
    let _ = LIVE.try_with(|live| {
        live.set(live.get() + bytes);
        PEAK.with(|peak| peak.set(peak.get().max(live.get())));
    });
}

// SAFETY: every call goes to the system's allocator unchanged; counting does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promises are those that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    // Not `realloc`: the default one allocates, copies and frees, so old and new are both counted.
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Parses, and checks the promise; returns the peak as well.
fn parse(file: &[u8], what: impl Fn() -> String) -> (Result<Directory, GgufError>, usize) {
    let before = LIVE.get();
    PEAK.set(before);
    let result = Directory::parse(file);
    let peak = (PEAK.get() - before) as usize;
    assert!(
        peak <= 2 * file.len(),
        "{}: parsing {} bytes held {peak} bytes: {:?}",
        what(),
        file.len(),
        result.err()
    );
    (result, peak)
}

/// Reads all that a parsed file offers, so that a value which does not decode would show.
fn read_all(directory: &Directory, file: &[u8]) {
    for (key, value) in directory.metadata().iter() {
        // Not `==`: a NaN is a value as well.
        let again = directory.metadata().get(key).expect("a key that is listed is found");
        assert_eq!(format!("{again:?}"), format!("{value:?}"));
        assert!(directory.metadata().offset(key).is_some_and(|at| at < file.len() as u64));
        if let Value::Array(Array::String(strings)) = value {
            assert_eq!(strings.iter().count(), strings.len());
            assert!((0..strings.len()).all(|i| strings.get(i).is_some()));
            assert_eq!(strings.get(strings.len()), None);
        }
    }
    for tensor in directory.tensors() {
        assert_eq!(directory.tensor(&tensor.name), Some(tensor));
        assert_eq!(file[tensor.range()].len(), tensor.size);
    }
}

/// Parses a file that may be broken in any way.
fn survive(file: &[u8], what: impl Fn() -> String) -> bool {
    let (result, _) = parse(file, &what);
    match result {
        Ok(directory) => {
            read_all(&directory, file);
            true
        }
        Err(error) => {
            let offset = error.offset().expect("an error in bytes has a place");
            assert!(offset <= file.len() as u64, "{}: {error}", what());
            assert!(error.to_string().starts_with(&format!("byte {offset}: ")), "{error}");
            false
        }
    }
}

#[test]
fn g01_every_prefix() {
    for with_i2_s in [false, true] {
        let (file, _) = sample(with_i2_s);
        for length in 0..=file.len() {
            let whole = survive(&file[..length], || format!("first {length} bytes"));
            assert_eq!(whole, length == file.len());
        }
    }
}

#[test]
fn g02_every_byte_before_the_data() {
    let (mut accepted, mut refused) = (0, 0);
    for with_i2_s in [false, true] {
        let (file, data) = sample(with_i2_s);
        for position in 0..data {
            for byte in [0, 1, 0x7f, 0x80, 0xff] {
                let mut file = file.clone();
                file[position] = byte;
                let ok = survive(&file, || format!("byte {position} set to {byte}"));
                *(if ok { &mut accepted } else { &mut refused }) += 1;
            }
        }
    }
    assert!(accepted > 100 && refused > 100, "{accepted} accepted, {refused} refused");
}

#[test]
fn g02_counts_that_only_the_whole_file_could_hold() {
    for with_i2_s in [false, true] {
        let (file, _) = sample(with_i2_s);
        // Behind magic and version: the number of tensors, then that of keys.
        for position in [8, 16] {
            for count in 0..=64u64 {
                let mut file = file.clone();
                file[position..position + 8].copy_from_slice(&count.to_le_bytes());
                survive(&file, || format!("count at {position} set to {count}"));
            }
        }
    }
}

#[test]
fn g02_every_u64_before_the_data() {
    const VALUES: [u64; 7] = [0, 1, 1 << 31, 1 << 32, (1 << 63) - 1, 1 << 63, u64::MAX];
    for with_i2_s in [false, true] {
        let (file, data) = sample(with_i2_s);
        // Every position, so every length, count, dimension and offset is among them.
        for position in 0..data - 8 {
            for value in VALUES {
                let mut file = file.clone();
                file[position..position + 8].copy_from_slice(&value.to_le_bytes());
                survive(&file, || format!("u64 at {position} set to {value}"));
            }
        }
    }
}

#[test]
fn counts_that_the_file_could_just_hold() {
    // What is allocated for a claim before the first entry turns out to be broken.
    let keys = Raw::file(0, 60_000).zeros(60_000 * 14);
    assert!(!survive(&keys.0, || "keys".into()));
    let tensors = Raw::file(100_000, 0).zeros(100_000 * 33);
    assert!(!survive(&tensors.0, || "tensors".into()));
    let strings = Raw::file(0, 1).key("k", ARRAY).u32(STRING).u64(100_000).zeros(800_000 - 1);
    assert!(!survive(&strings.0, || "strings".into()));
}

#[test]
fn many_small_things() {
    let keys = (0..50_000).fold(Raw::file(0, 50_000), |raw, i| raw.key(&short(i), U8).u8(1));
    assert!(survive(&keys.0, || "keys".into()));

    let tensors = Raw::file(50_000, 1).key("general.alignment", U32).u32(1);
    let tensors = (0..50_000).fold(tensors, |raw, i| raw.tensor(&short(i), &[1], T_I8, i));
    let tensors = tensors.zeros(50_000);
    assert!(survive(&tensors.0, || "tensors".into()));

    // One array, so that the index of its strings is made at once; and many, so that it grows.
    let strings = Raw::file(0, 1).key("k", ARRAY).u32(STRING).u64(200_000).zeros(8 * 200_000);
    assert!(survive(&strings.0, || "strings".into()));
    let arrays = (0..20_000).fold(Raw::file(0, 20_000), |raw, i| {
        raw.key(&short(i), ARRAY).u32(STRING).u64(5).zeros(40)
    });
    assert!(survive(&arrays.0, || "string arrays".into()));
    let numbers = Raw::file(0, 1).key("k", ARRAY).u32(F32).u64(100_000).zeros(400_000);
    assert!(survive(&numbers.0, || "numbers".into()));
}

/// A unique name of three bytes.
fn short(i: u64) -> String {
    const DIGITS: &[u8; 64] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";
    (0..3).map(|place| DIGITS[(i >> (6 * place) & 63) as usize] as char).collect()
}

#[test]
fn the_counting_allocator_counts() {
    let before = LIVE.get();
    PEAK.set(before);
    let mut bytes: Vec<u8> = Vec::with_capacity(1000);
    bytes.reserve_exact(3000);
    assert!(PEAK.get() - before >= 4000, "old and new both count");
    drop(bytes);
    assert_eq!(LIVE.get(), before);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn several_bytes_changed(
        with_i2_s: bool,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let (mut file, data) = sample(with_i2_s);
        for (position, byte) in &changes {
            file[position.index(data)] = *byte;
        }
        if let Some(cut) = cut {
            file.truncate(cut.index(file.len()));
        }
        survive(&file, || format!("{changes:?}, {} bytes", file.len()));
    }

    #[test]
    fn noise_behind_a_header(noise in prop::collection::vec(any::<u8>(), 0..200), counts: [u8; 2]) {
        let file = Raw::file((counts[0] % 4).into(), (counts[1] % 4).into()).put(&noise);
        survive(&file.0, || format!("{:?}", file.0));
    }
}
