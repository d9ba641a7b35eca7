//! C04: file systems without locks.

use std::sync::Arc;
use std::thread;

use rustix::io::Errno;

use super::Bench;
use super::double::Double;

#[test]
fn without_locks_each_process_works_under_names_of_its_own() {
    for code in [Errno::NOSYS, Errno::NOTSUP, Errno::NOLCK] {
        let bench = Bench::new();
        let disk = Double { lock_error: Some(code.raw_os_error()), ..Double::new() };
        let disk = Arc::new(disk);
        thread::scope(|scope| {
            let fetch = || {
                let disk = Arc::clone(&disk) as _;
                bench.fetch_on(disk, &|_| ()).unwrap_or_else(|error| panic!("{code}: {error}"));
            };
            for _ in 0..4 {
                scope.spawn(fetch);
            }
        });
        bench.nothing_wrong_is_in_place("at the end");
        assert_eq!(bench.names(), [".verified", "model.gguf"], "{code}");
        let done = disk.done.lock().expect("no panic");
        let partials: Vec<&String> =
            done.iter().filter(|step| step.starts_with("create .partial-")).collect();
        assert!(!partials.is_empty(), "{code}: {done:?}");
        assert!(!done.iter().any(|step| step == "create .partial"), "{code}: {done:?}");
        let mut unique = partials.clone();
        unique.sort();
        unique.dedup();
        assert_eq!(unique.len(), partials.len(), "{code}: {partials:?}");
    }
}

#[test]
fn a_lock_that_fails_for_another_reason_stops_the_work() {
    let bench = Bench::new();
    let disk = Double { lock_error: Some(Errno::IO.raw_os_error()), ..Double::new() };
    let error = bench.fetch_on(Arc::new(disk), &|_| ()).expect_err("no lock").to_string();
    assert!(error.contains(".lock: cannot lock: Input/output error"), "{error}");
    assert!(!bench.room().exists(), "nothing was written");
}
