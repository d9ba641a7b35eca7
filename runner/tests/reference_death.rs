//! A reference that is killed, and one that is not there: the trial that needs it fails and says so,
//! every other trial goes on. How the worker client sees a death is `worker.rs`.

#[cfg(all(feature = "bitnet-cpp", target_os = "linux"))]
mod support;

use std::path::Path;
use std::process::{Command, Output};

/// Trials that ask no reference.
const ALONE: &str = "metamorphic::invariance::repeat-run";
/// Trials that do.
const WITH_REFERENCE: &str = "parity::smoke::threads::";

/// The `parity` program in a folder where no worker program is found: neither beside it nor in the
/// folder above.
struct Lonely {
    folder: tempfile::TempDir,
}

impl Lonely {
    fn new() -> Self {
        // A link of the same file system: a program that was just written may still be open for
        // writing in a child of a parallel test, and could then not be executed.
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        std::fs::create_dir(folder.path().join("bin")).expect("a folder in it");
        let lonely = Self { folder };
        std::fs::hard_link(env!("CARGO_BIN_EXE_parity"), lonely.program()).expect("a link");
        lonely
    }

    fn program(&self) -> std::path::PathBuf {
        self.folder.path().join("bin").join(format!("parity{}", std::env::consts::EXE_SUFFIX))
    }

    fn run(&self, filters: &[&str], allow_skip: bool) -> Output {
        let mut command = Command::new(self.program());
        command.env_remove("BITNET_WORKER_DIR").env_remove("BITNET_TIER");
        match allow_skip {
            true => command.env("BITNET_ALLOW_SKIP", "1"),
            false => command.env_remove("BITNET_ALLOW_SKIP"),
        };
        command.args(["run", "--color", "never", "--root"]).arg(project_root()).args(filters);
        command.output().expect("the program runs")
    }
}

fn project_root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package has a parent")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

#[track_caller]
fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
}

#[test]
fn without_a_worker_program_parity_trials_fail_and_say_how_to_get_it() {
    let lonely = Lonely::new();
    let output = lonely.run(&[WITH_REFERENCE, ALONE], false);
    let stdout = text(&output.stdout);
    assert_eq!(output.status.code(), Some(3), "{stdout}");
    let places = [lonely.folder.path().join("bin"), lonely.folder.path().to_owned()]
        .map(|folder| folder.join("bitnet-cpp-worker").display().to_string());
    says(
        &stdout,
        &[
            "ERROR: no worker program `bitnet-cpp-worker`: looked for ",
            &places[0],
            &places[1],
            "to get it: run `cargo build` with the default features",
            "to skip what is missing instead: BITNET_ALLOW_SKIP=1",
            "rerun: cargo parity run --exact 'ci-light::parity::smoke::threads::threads-1'",
            ": 2 passed, 3 failed; 0 ignored\n",
            "  reference: none was started; nothing was compared with one\n",
        ],
    );
    // Not a word that a comparison would have earned.
    assert!(!stdout.contains("parity: "), "{stdout}");
}

#[test]
fn skipping_is_asked_for_named_and_counted() {
    let output = Lonely::new().run(&[WITH_REFERENCE, ALONE], true);
    let stdout = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{stdout}");
    let last = stdout.trim_end().rsplit_once("\n\n").expect("a summary").1;
    for threads in 1..=3 {
        let id = format!("ci-light::parity::smoke::threads::threads-{threads}");
        says(last, &[&format!("  ignored {id}: no worker program `bitnet-cpp-worker`")]);
        says(&stdout, &[&format!("] {id}\n             no worker program")]);
    }
    says(
        last,
        &[
            "(BITNET_ALLOW_SKIP=1)\n",
            "2 trials run in ",
            ": 2 passed, 0 failed; 3 ignored\n",
            "  reference: none was started; nothing was compared with one\n",
        ],
    );
}

#[test]
fn a_run_that_skipped_everything_is_no_success() {
    let output = Lonely::new().run(&[WITH_REFERENCE], true);
    let stdout = text(&output.stdout);
    assert_eq!(output.status.code(), Some(4), "{stdout}");
    says(&stdout, &["0 trials run in ", ": 0 passed, 0 failed; 3 ignored\n"]);
}

/// Any other value than 1 is no permission.
#[test]
fn permission_to_skip_is_given_exactly() {
    let lonely = Lonely::new();
    for value in ["0", "", "true"] {
        let mut command = Command::new(lonely.program());
        command.env_remove("BITNET_WORKER_DIR").env("BITNET_ALLOW_SKIP", value);
        command.args(["run", "--root"]).arg(project_root()).arg("parity::smoke::one-letter");
        let output = command.output().expect("the program runs");
        assert_eq!(output.status.code(), Some(3), "{value:?}: {}", text(&output.stdout));
    }
}

#[cfg(all(feature = "bitnet-cpp", target_os = "linux"))]
mod killed {
    use std::fs;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use bitnet_runner::run::{Engines, Outcome, Runner, Settings};
    use rustix::process::{Pid, Signal, kill_process};

    use crate::support::{project, trial};

    /// Processor time of a process in clock ticks: user and system, proc(5).
    fn ticks(pid: u32) -> Option<u64> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(11);
        let mut next = || fields.next()?.parse::<u64>().ok();
        Some(next()? + next()?)
    }

    #[track_caller]
    fn passes(outcome: &Outcome) {
        match outcome {
            Outcome::Passed { verdict: Some(verdict), .. } => assert!(verdict.passes()),
            other => panic!("it should pass: {other:?}"),
        }
    }

    #[test]
    fn a_reference_killed_in_the_middle_of_a_case_fails_that_case_alone() {
        // Half a second of computing: far more than the questions before the prefill take, far less
        // than the prefill of 1 600 ids.
        const BUSY_TICKS: u64 = 50;

        let project = project();
        let settings = Settings { allow_skip: true, progress: Box::new(|_| ()) };
        let mut runner = Runner::new(Arc::clone(&project), Engines::default(), settings);
        passes(&runner.run(trial(&project, "parity::smoke::one-letter")));
        let first = runner.engines.process_id("bitnet-cpp").expect("a running reference");

        let (before, over) = (ticks(first).expect("its times"), AtomicBool::new(false));
        let long = trial(&project, "parity::long-context::lighthouse-log");
        let (outcome, killed) = std::thread::scope(|scope| {
            let killer = scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    if ticks(first).is_none_or(|now| now >= before + BUSY_TICKS) {
                        let pid = Pid::from_raw(first as i32).expect("a process id");
                        kill_process(pid, Signal::KILL).expect("it was running");
                        return true;
                    }
                    std::thread::sleep(Duration::from_millis(5));
                }
                false
            });
            let outcome = runner.run(long);
            over.store(true, Ordering::Relaxed);
            (outcome, killer.join().expect("the killer"))
        });
        assert!(killed, "the trial was over before the reference was busy: {outcome:?}");
        // Permission to skip covers what is missing, not what breaks.
        let Outcome::Failed { text, verdict: None, .. } = outcome else { panic!("{outcome:?}") };
        let start = "ERROR: bitnet-cpp died (signal 9 (SIGKILL)): ";
        assert!(text.starts_with(start), "{text}");
        assert!(text.len() > start.len(), "its last words: {text}");
        assert_eq!(runner.engines.process_id("bitnet-cpp"), None);

        passes(&runner.run(trial(&project, "parity::smoke::one-letter")));
        let second = runner.engines.process_id("bitnet-cpp").expect("a new reference");
        assert_ne!(first, second);
        passes(&runner.run(trial(&project, "parity::smoke::two-plus-two")));
        assert_eq!(runner.engines.process_id("bitnet-cpp"), Some(second));
        assert!(ticks(first).is_none(), "the killed process was not reaped");
    }
}
