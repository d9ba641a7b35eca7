//! What only bitnet.cpp refuses.

use crate::fixture::Model;
use crate::reference::{CacheType, Reference, Settings};
use crate::refusing::{assert_says, small};

/// The fixture's largest matrix has 512 rows; a share is rounded to whole groups of four rows.
#[test]
fn a_micro_batch_that_overflows_a_stack() {
    let model = Model::new();
    let wide = |threads, positions| Settings {
        threads,
        context: positions,
        micro_batch: positions,
        ..Settings::default()
    };
    // (64 MiB - 256 KiB) / 4 bytes / 512 rows
    assert_says(
        Reference::load(&model.path(), &wide(1, 32_641)),
        &[
            "micro_batch",
            "512 rows x 32641 positions",
            "smallest has 67108864 bytes",
            "at most 32640 or use more threads",
        ],
    );
    assert_says(
        Reference::load(&model.path(), &wide(2, 70_000)),
        &["260 rows x 70000 positions", "set micro_batch to at most", "`ulimit -s`"],
    );
    let narrow = Settings { micro_batch: 64, ..wide(1, 40_000) };
    Reference::load(&model.path(), &narrow).expect("a wide context in narrow graphs");
}

/// What a thread without attributes gets is the limit of the process, where that is a number.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[test]
fn the_references_own_threads_have_the_systems_stack() {
    let limits = std::fs::read_to_string("/proc/self/limits").expect("the limits");
    let line = limits.lines().find(|line| line.starts_with("Max stack size")).expect("a line");
    let soft = line.split_whitespace().nth(3).and_then(|word| word.parse::<usize>().ok());
    let Some(bytes) = soft.filter(|bytes| *bytes < 64 << 20) else {
        println!("not compared: the limit of this process is {line}");
        return;
    };
    let settings =
        Settings { threads: 2, context: 70_000, micro_batch: 70_000, ..Settings::default() };
    let says = format!("smallest has {bytes} bytes");
    assert_says(Reference::load(&Model::new().path(), &settings), &[&says]);
}

#[test]
fn a_value_cache_that_the_reference_cannot_use() {
    let model = Model::new();
    let settings = Settings { value_cache: CacheType::F32, ..small() };
    assert_says(Reference::load(&model.path(), &settings), &["V cache"]);
}
