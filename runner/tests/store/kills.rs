//! D03: a process that is killed at any step leaves nothing wrong behind, and the next one completes.

use std::env;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bitnet_runner::models::disk::LocalDisk;
use bitnet_runner::models::{FetchOptions, Progress, Step, Store};
use rustix::process::{Signal, getpid, kill_process};

use super::{Bench, model};

/// Folder of the child's bench.
const FOLDER: &str = "STORE_TEST_FOLDER";
/// Step at which the child kills itself; 0 for never.
const KILL_AT: &str = "STORE_TEST_KILL_AT";

#[test]
#[ignore = "the process that `killed_at_every_step` and `killed_again_and_again` start"]
fn child() {
    let folder = env::var_os(FOLDER).expect("a folder from the parent");
    let folder = Path::new(&folder);
    let kill_at: u32 = env::var(KILL_AT).expect("a step").parse().expect("a number");
    let steps = AtomicU32::new(0);
    let hear = |_: Progress<'_>| {
        if steps.fetch_add(1, Ordering::SeqCst) + 1 == kill_at {
            kill_process(getpid(), Signal::KILL).expect("killed");
        }
    };
    let source = folder.join("source");
    let model = model(&source, &std::fs::read(&source).expect("the source"));
    let store = Store::on(Arc::new(LocalDisk), folder.join("cache"), folder.to_owned());
    store.fetch(&model, &FetchOptions::default(), &hear).expect("fetched");
}

fn run_child(bench: &Bench, kill_at: u32) -> ExitStatus {
    Command::new(env::current_exe().expect("this program"))
        .args(["--ignored", "--exact", "kills::child"])
        .env(FOLDER, bench.folder.path())
        .env(KILL_AT, kill_at.to_string())
        .output()
        .expect("the program runs")
        .status
}

/// How many steps a fetch has; all durable ones are among them.
fn steps() -> u32 {
    let bench = Bench::new();
    let heard = std::sync::Mutex::new(Vec::new());
    let hear = |step: Progress<'_>| heard.lock().expect("no panic").push(format!("{step:?}"));
    bench.fetch_on(Arc::new(LocalDisk), &hear).expect("fetched");
    let heard = heard.into_inner().expect("no panic");
    for step in [
        Step::Locked,
        Step::PartialOpened,
        Step::PartialNoted,
        Step::Hashed,
        Step::Synced,
        Step::Renamed,
        Step::FolderSynced,
        Step::Stamped,
    ] {
        let wanted = format!("Step(\"small\", {step:?})");
        assert!(heard.contains(&wanted), "{wanted} is not in {heard:?}");
    }
    assert!(heard.iter().any(|step| step.starts_with("Received")), "{heard:?}");
    heard.len() as u32
}

#[test]
fn killed_at_every_step() {
    for kill_at in 1..=steps() {
        let bench = Bench::new();
        let status = run_child(&bench, kill_at);
        assert_eq!(status.signal(), Some(9), "step {kill_at}: {status}");
        bench.nothing_wrong_is_in_place(&format!("killed at step {kill_at}"));
        let status = run_child(&bench, 0);
        assert!(status.success(), "after a kill at step {kill_at}: {status}");
        bench.nothing_wrong_is_in_place("at the end");
        assert_eq!(bench.names(), [".verified", "model.gguf"], "after a kill at step {kill_at}");
    }
}

#[test]
fn killed_again_and_again() {
    let bench = Bench::new();
    for kill_at in 1..=steps() {
        let status = run_child(&bench, kill_at);
        let when = format!("killed up to step {kill_at}");
        bench.nothing_wrong_is_in_place(&when);
        if status.success() {
            break;
        }
        assert_eq!(status.signal(), Some(9), "{when}: {status}");
    }
    assert!(run_child(&bench, 0).success());
    assert!(std::fs::read(bench.file()).expect("the model") == bench.contents);
}
