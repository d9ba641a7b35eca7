//! Goldens that must not answer: missing ones, and those of another question. The project is a copy whose
//! suites are changed.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use bitnet_runner::run::{Cause, Engines, GoldenUse, Outcome, Project, Runner, Settings};
use tempfile::TempDir;

use crate::support::{project, trial};

const CASE: &str = "parity::smoke::one-letter";

/// A copy of the lock, the suite `smoke` and its goldens.
fn copy() -> TempDir {
    let from = project().root.clone();
    let to = tempfile::tempdir().expect("a folder");
    let copied = |name: &str| fs::copy(from.join(name), to.path().join(name)).expect(name);
    fs::create_dir_all(to.path().join("suites")).expect("suites");
    fs::create_dir_all(to.path().join("baselines/goldens")).expect("goldens");
    copied("models.toml");
    copied("suites/smoke.toml");
    for entry in fs::read_dir(from.join("baselines/goldens")).expect("goldens") {
        let name = entry.expect("an entry").file_name();
        let name = name.to_str().expect("a plain name");
        if name.starts_with("smoke.one-letter.") {
            copied(&format!("baselines/goldens/{name}"));
        }
    }
    to
}

fn run(root: &Path) -> Outcome {
    let project = Arc::new(Project::load(root).unwrap_or_else(|error| panic!("{error}")));
    let settings = Settings { allow_skip: false, progress: Box::new(|_| ()) };
    let mut runner = Runner::new(Arc::clone(&project), Engines::default(), settings)
        .with_goldens(GoldenUse::Always);
    runner.run(trial(&project, CASE))
}

fn change(root: &Path, from: &str, to: &str) {
    let path = root.join("suites/smoke.toml");
    let text = fs::read_to_string(&path).expect("the suite");
    assert!(text.contains(from), "{from}");
    fs::write(path, text.replace(from, to)).expect("the changed suite");
}

#[test]
fn the_copy_passes_as_it_is() {
    let outcome = run(copy().path());
    assert!(matches!(outcome, Outcome::Passed { .. }), "{outcome:?}");
}

#[test]
fn a_changed_case_is_refused_with_the_command_that_records_it() {
    for (from, to, what) in [
        ("prompt = \"A\"", "prompt = \"B\"", "prompt ("),
        ("steps = 16", "steps = 15", "number of steps (16, now 15)"),
        ("prompt = \"A\"", "prompt = \"A\"\nadd-special = false", "add-special (true, now false)"),
        ("model = \"ci-light\"", "model = \"tiny-i2s-q6k\"", "model ("),
    ] {
        let folder = copy();
        change(folder.path(), from, to);
        let outcome = run(folder.path());
        let Outcome::Failed { cause: Cause::Engine, text, .. } = &outcome else {
            panic!("{outcome:?}")
        };
        let says = format!(" is stale: it was recorded with another {what}");
        assert!(text.contains(&says), "{text}");
        assert!(text.ends_with("cargo parity record 'smoke::one-letter'"), "{text}");
    }
}

#[test]
fn a_missing_golden_is_missing_as_a_reference_is() {
    let folder = copy();
    fs::remove_dir_all(folder.path().join("baselines")).expect("the goldens");
    let outcome = run(folder.path());
    let Outcome::Failed { cause: Cause::Missing, text, .. } = &outcome else {
        panic!("{outcome:?}")
    };
    for part in [
        "ERROR: no golden of smoke::one-letter by bitnet-cpp in baselines/goldens",
        "cargo parity record 'smoke::one-letter'",
        "BITNET_ALLOW_SKIP=1",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn damaged_bytes_are_refused() {
    let folder = copy();
    let goldens = folder.path().join("baselines/goldens");
    let path = fs::read_dir(goldens).expect("it").next().expect("one").expect("it").path();
    let mut bytes = fs::read(&path).expect("the golden");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x20;
    fs::write(&path, bytes).expect("the damaged golden");
    let outcome = run(folder.path());
    let Outcome::Failed { cause: Cause::Engine, text, .. } = &outcome else {
        panic!("{outcome:?}")
    };
    assert!(text.contains("is damaged: its bytes have another hash than its name says"), "{text}");
}
