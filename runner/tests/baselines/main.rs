//! `parity baselines` from outside: which receipts make a level, what moves it, what fails a check, and
//! how each of them ends. No engine runs.

mod receipts;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use bitnet_runner::baseline::Document;
use bitnet_runner::exit::Exit;
use bitnet_runner::machine::Machine;
use bitnet_runner::receipt::{BenchReceipt, Word};
use tempfile::TempDir;

use receipts::{receipt, three, write};

/// A project with receipts and baselines.
struct Project {
    folder: TempDir,
}

/// Makes a receipt one that does not count.
type Spoil = fn(&mut BenchReceipt);

/// How a call ended.
struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Project {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("models.toml"), "schema_version = 1\n").expect("room");
        fs::create_dir(folder.path().join("suites")).expect("room");
        Self { folder }
    }

    /// One with levels of a subject as fast as the reference.
    fn with_levels() -> Self {
        let project = Self::new();
        project.call(&["baselines", "gen"], &three(1.0, 1)).with(Exit::Ok);
        project
    }

    /// `parity … --from` a new folder of these receipts.
    fn call(&self, args: &[&str], receipts: &[BenchReceipt]) -> Ended {
        let name = self.folder.path().join("receipts");
        if name.exists() {
            fs::remove_dir_all(&name).expect("removed");
        }
        self.call_on(args, &write(&name, receipts))
    }

    fn call_on(&self, args: &[&str], from: &Path) -> Ended {
        let mut command = Command::new(env!("CARGO_BIN_EXE_parity"));
        command.arg("--root").arg(self.folder.path()).args(args).arg("--from").arg(from);
        let output = command.output().expect("the program runs");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Ended { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    fn path(&self) -> PathBuf {
        Document::path(self.folder.path(), &Machine::here())
    }

    fn document(&self) -> Document {
        let found = Document::read(self.folder.path(), &Machine::here());
        found.unwrap_or_else(|error| panic!("{error}")).expect("a baseline of this machine")
    }
}

impl Ended {
    #[track_caller]
    fn with(self, exit: Exit) -> Self {
        let (out, err) = (&self.out, &self.err);
        assert_eq!(self.code, Some(exit.code().into()), "stdout:\n{out}\nstderr:\n{err}");
        self
    }

    /// Standard output has these words.
    #[track_caller]
    fn says(self, words: &str) -> Self {
        assert!(self.out.contains(words), "no `{words}` in:\n{}", self.out);
        self
    }
}

#[test]
fn three_runs_make_a_level_that_new_runs_keep_or_miss() {
    let project = Project::new();
    let first = project.call(&["baselines", "gen"], &three(2.0, 1)).with(Exit::Ok);
    let words = "bench::speed::small tg4 against bitnet-cpp, 2 threads: accepted at ";
    first.says(words).says(": the first level\n");
    let document = project.document();
    assert_eq!(document.entries.len(), 1);
    let entry = &document.entries[0];
    assert!((entry.accepted.ln_time_ratio + 2_f64.ln()).abs() < 0.02, "{entry:?}");
    assert_eq!((entry.accepted.inputs.len(), entry.release.name.as_str()), (3, "first"));
    // As fast as before, although no faster than 0.9 of anything is asked for here.
    let check = ["baselines", "check"];
    project.call(&check, &[receipt(2.0, 9)]).with(Exit::Ok).says("PASS bench::speed::small tg4");
    project.call(&["check-perf"], &[receipt(2.0, 9)]).with(Exit::Ok);
    let slow = project.call(&check, &[receipt(1.5, 9)]).with(Exit::CaseFailed);
    let slow = slow.says("FAIL bench::speed::small tg4").says("release 'first', ratio: FAIL: 0.7");
    slow.says("\n0 PASS, 1 FAIL, 0 INCONCLUSIVE, 0 NOT_COMPARABLE\n");
    // A tenth less is neither kept nor missed with confidence.
    let between = project.call(&check, &[receipt(1.8, 9)]).with(Exit::Undecided);
    between.says("INCONCLUSIVE bench::speed::small tg4").says("after 12 rounds; ");
    let json = project.call(&["check-perf", "--format", "json"], &[receipt(1.5, 9)]);
    let line: serde_json::Value = serde_json::from_str(&json.out).expect("one object");
    assert_eq!((&line["reason"], &line["word"]), (&"baseline".into(), &"FAIL".into()));
}

#[test]
fn what_does_not_count_is_refused_with_its_reason() {
    let refusals: [(Spoil, &str); 8] = [
        (|r| r.tool.dirty = Some(true), "a program that is not built from a commit as it is"),
        (|r| r.tool.commit = None, "a program that is not built from a commit as it is"),
        (|r| r.kernels.clear(), "no kernel was dispatched"),
        (|r| r.subject.name = r.reference.name.clone(), "an engine was measured against itself"),
        (|r| r.measured[0].verification.positions = 0, "no answer of the subject was verified"),
        (|r| r.measured[0].metrics.speed_ratio = 9.0, "its figures do not follow from its rounds"),
        (
            |r| r.measured[0].verdict.reasons.push("noisy host: somebody".into()),
            ": noisy host: somebody",
        ),
        (
            |r| r.measured[0].verdict.word = Word::Inconclusive,
            "its verdict is INCONCLUSIVE, not PASS: fast enough",
        ),
    ];
    for (spoil, words) in refusals {
        let project = Project::new();
        let mut receipts = three(1.0, 1);
        spoil(&mut receipts[1]);
        let ended = project.call(&["gen-baselines"], &receipts).with(Exit::CaseFailed);
        let ended = ended.says("refused, ").says(words);
        ended.says("refused: 2 runs count, a level takes 3\n");
        assert!(!project.path().exists(), "{words}");
    }
    // The same run three times is one run.
    let project = Project::new();
    let again = vec![receipt(1.0, 1); 3];
    let ended = project.call(&["baselines", "gen"], &again).with(Exit::CaseFailed);
    ended.says("refused: 1 runs count, a level takes 3\n");
}

#[test]
fn levels_move_on_evidence_or_with_a_reason() {
    let project = Project::with_levels();
    let slower = three(0.8, 11);
    let kept = project.call(&["baselines", "gen"], &slower).with(Exit::Ok);
    kept.says("kept at 1.0").says(": not faster with confidence\n");
    project
        .call(&["baselines", "gen"], &three(1.5, 11))
        .with(Exit::Ok)
        .says("faster with confidence");
    let entry = project.document().entries.remove(0);
    assert!((entry.accepted.ln_time_ratio + 1.5_f64.ln()).abs() < 0.02);
    assert!(entry.release.level.ln_time_ratio.abs() < 0.02, "the pinned level stays: {entry:?}");
    let accept = ["baselines", "accept", "--why", "the exact head costs it"];
    project.call(&accept, &slower).with(Exit::Ok).says(": the exact head costs it\n");
    assert_eq!(project.document().entries[0].accepted.why, "the exact head costs it");
    // Accepted, and still a fifth below the release: losses do not add up unseen.
    let ended = project.call(&["baselines", "check"], &[receipt(0.8, 21)]).with(Exit::CaseFailed);
    ended
        .says("accepted level, ratio to the reference: PASS: ")
        .says("release 'first', ratio: FAIL: ");
    let pin = [&accept[..], &["--release", "0.2.0"]].concat();
    project.call(&pin, &slower).with(Exit::Ok);
    project
        .call(&["baselines", "check"], &[receipt(0.8, 21)])
        .with(Exit::Ok)
        .says("release '0.2.0'");
    let empty = ["baselines", "accept", "--why", " "];
    let ended = project.call(&empty, &slower).with(Exit::Usage);
    assert!(ended.err.contains("it must say something"), "{}", ended.err);
}

#[test]
fn what_cannot_be_compared_does_not_pass() {
    let project = Project::with_levels();
    let check = |change: fn(&mut BenchReceipt), words: &str| {
        let mut receipt = receipt(1.0, 9);
        change(&mut receipt);
        project.call(&["baselines", "check"], &[receipt]).with(Exit::Undecided).says(words);
    };
    check(|r| r.case.id.push('x'), "NOT_COMPARABLE bench::speed::smallx tg4 against bitnet-cpp");
    check(|r| r.model.sha256 = "2".repeat(64), "there is no baseline of it; `parity baselines gen");
    check(|r| r.reference.build.push('x'), "the reference is another build than the baseline's");
    check(
        |r| r.verdict.reasons.push("noisy host: somebody".into()),
        "INCONCLUSIVE bench::speed::small tg4 against bitnet-cpp, 2 threads\n  noisy host: somebody\n",
    );
    // What has a level and no receipt is named, whatever else was checked.
    let mut other = receipt(1.0, 9);
    other.case.id.push('x');
    let ended = project.call(&["baselines", "check"], &[other]).with(Exit::Undecided);
    let note = "note: not checked, because no receipt has it: bench::speed::small tg4 against bitnet-cpp, \
                2 threads\n";
    assert_eq!(ended.err, note);
    let whole = project.call(&["baselines", "check"], &[receipt(1.0, 9)]).with(Exit::Ok);
    assert_eq!(whole.err, "");
    let empty = project.folder.path().join("empty");
    fs::create_dir(&empty).expect("a folder");
    let ended = project.call_on(&["baselines", "check"], &empty).with(Exit::NothingSelected);
    assert!(ended.err.contains("`parity bench --receipts DIR` writes them"), "{}", ended.err);
}

#[test]
fn ratios_cross_machines_and_absolute_times_do_not() {
    let project = Project::with_levels();
    let slow_machine = |change: fn(&mut BenchReceipt)| {
        let mut receipt = receipt(1.0, 9);
        for round in &mut receipt.measured[0].rounds {
            for nanos in round.subject.nanos.iter_mut().chain(&mut round.reference.nanos) {
                *nanos *= 2;
            }
        }
        let measured = &mut receipt.measured[0];
        measured.metrics =
            bitnet_runner::receipt::derive::metrics(measured.measure, 4, &measured.rounds)
                .expect("rounds with times");
        change(&mut receipt);
        receipt
    };
    let check = ["baselines", "check"];
    // Half the speed on this very machine fails, though the reference is as slow.
    let same = project.call(&check, &[slow_machine(|_| ())]).with(Exit::CaseFailed);
    same.says("ratio to the reference: PASS: ").says("accepted level, absolute: FAIL: 0.");
    let other: fn(&mut BenchReceipt) = |r| r.machine.hard.microcode = Some("another".into());
    let ended = project.call(&check, &[slow_machine(other)]).with(Exit::Ok);
    assert!(!ended.out.contains("absolute"), "{}", ended.out);
    // Another processor leaves more doubt, and a large loss is a loss anywhere.
    let mut lost = receipt(0.6, 9);
    lost.machine.hard.cpu = Some("another".into());
    project.call(&check, &[lost]).with(Exit::CaseFailed);
}

#[test]
fn files_that_were_changed_by_hand_are_refused() {
    let project = Project::with_levels();
    let text = fs::read_to_string(project.path()).expect("the baseline");
    let changed = text.replace("the first level", "a better reason");
    assert_ne!(changed, text);
    fs::write(project.path(), changed).expect("room");
    for verb in ["gen", "check"] {
        let ended = project.call(&["baselines", verb], &three(1.0, 1)).with(Exit::Usage);
        let words = "is no baseline: its SHA-256 is not that of its contents, so it was changed; files \
                     in baselines/ are written by `parity baselines gen` and `accept` alone";
        assert!(ended.err.contains(words), "{}", ended.err);
    }
    // Even with a digest that fits, a level must follow from its inputs.
    fs::write(project.path(), &text).expect("room");
    let mut document = project.document();
    document.entries[0].accepted.ln_time_ratio = -3.0;
    document.write(project.folder.path()).expect("written");
    let ended = project.call(&["baselines", "check"], &[receipt(1.0, 9)]).with(Exit::Usage);
    let words = "a level with the ln time ratio -3 does not follow from its inputs";
    assert!(ended.err.contains(words), "{}", ended.err);
}
