//! What the night does with its measurements: the steps `baselines`, `report` and `publish` of its script, in a
//! checkout of its own with made receipts and a remote in a folder. Nothing is built or measured.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::receipts::{receipt, three, write};
use crate::root;

/// A checkout with the scripts and with programs where they are built.
struct Checkout(TempDir);

impl Checkout {
    fn new() -> Self {
        let checkout = Self(tempfile::tempdir().expect("a folder"));
        let path = |name: &str| checkout.path(name);
        for folder in ["scripts", "suites", "baselines", "target/debug", "target/release"] {
            fs::create_dir_all(path(folder)).expect("a folder");
        }
        for script in ["ci_nightly.sh", "ci_crossval.sh"] {
            fs::copy(root().join("scripts").join(script), path("scripts").join(script))
                .expect("the script");
        }
        fs::copy(root().join("models.toml"), path("models.toml")).expect("the lock");
        fs::write(path("baselines/README.md"), "").expect("room");
        for profile in ["debug", "release"] {
            let program = path("target").join(profile).join("parity");
            symlink(env!("CARGO_BIN_EXE_parity"), program).expect("a link");
        }
        checkout.git(&["init", "--quiet", "--initial-branch", "main"]);
        checkout.git(&["init", "--quiet", "--bare", "remote"]);
        checkout.git(&["remote", "add", "origin", "remote"]);
        checkout.git(&["add", "scripts", "models.toml", "baselines"]);
        checkout.git(&["commit", "--quiet", "-m", "a day's work"]);
        checkout
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn git(&self, args: &[&str]) -> String {
        let mut command = Command::new("git");
        command.args(["-c", "user.name=day", "-c", "user.email=day@invalid"]).args(args);
        self.run(command)
    }

    fn step(&self, step: &str) -> String {
        let mut command = Command::new("bash");
        command.arg("scripts/ci_nightly.sh").arg(step);
        self.run(command)
    }

    /// Standard output of a command that must succeed.
    fn run(&self, mut command: Command) -> String {
        command.current_dir(self.0.path()).env("CARGO_TARGET_DIR", self.path("target"));
        for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
            command.env_remove(variable);
        }
        let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{command:?}:\n{out}\n{err}");
        out
    }

    /// A receipt of each of three runs.
    fn measured(&self, speed: f64, first_day: u64) {
        for (run, receipt) in three(speed, first_day).into_iter().enumerate() {
            let folder = self.path(&format!("out/receipts/bench-{}", run + 1));
            write(&folder, &[receipt]);
        }
    }

    /// The one baseline that there is.
    fn baseline(&self) -> PathBuf {
        let first = |folder: &Path, is_folder: bool| {
            let mut paths =
                fs::read_dir(folder).expect("it").map(|entry| entry.expect("it").path());
            paths.find(|path| path.is_dir() == is_folder).expect("an entry")
        };
        first(&first(&self.path("baselines"), true), false)
    }
}

#[test]
fn new_levels_are_published_beside_their_receipts_and_slower_ones_never() {
    let checkout = Checkout::new();
    checkout.measured(1.2, 1);
    let said = checkout.step("baselines");
    assert!(said.contains("of the reference's speed: the first level"), "{said}");
    let accepted = fs::read(checkout.baseline()).expect("the baseline");
    // A slower night changes nothing and is no failure.
    checkout.measured(0.8, 11);
    let said = checkout.step("baselines");
    assert!(said.contains("not faster with confidence"), "{said}");
    assert_eq!(fs::read(checkout.baseline()).expect("the baseline"), accepted);
    let folder = checkout.step("report");
    let folder = folder.lines().last().expect("the folder's name").to_owned();
    checkout.step("publish");
    let branch = folder.strip_prefix("docs/").expect("below docs");
    let published = checkout.git(&["--git-dir", "remote", "ls-tree", "-r", "--name-only", branch]);
    let published: Vec<&str> = published.lines().collect();
    let baseline = checkout.baseline();
    let baseline =
        baseline.strip_prefix(checkout.0.path()).expect("inside").to_str().expect("UTF-8");
    for file in [
        baseline,
        &format!("{folder}/report.html"),
        &format!("{folder}/receipts/bench-1/0.json"),
        &format!("{folder}/receipts/bench-3/0.json"),
    ] {
        assert!(published.contains(&file), "{file} is not among {published:?}");
    }
}

#[test]
fn a_night_whose_runs_do_not_count_says_so_and_goes_on() {
    let checkout = Checkout::new();
    write(&checkout.path("out/receipts/bench-1"), &[receipt(1.2, 1)]);
    let said = checkout.step("baselines");
    assert!(said.contains("refused: 1 runs count, a level takes 3"), "{said}");
    assert!(said.ends_with("neutral: not every measure has a new level\n"), "{said}");
    // On a noisy host nothing is measured, and there is no receipt at all.
    fs::remove_file(checkout.path("out/receipts/bench-1/0.json")).expect("removed");
    let said = checkout.step("baselines");
    assert_eq!(said, "neutral: not every measure has a new level\n");
    let is_empty = |path: &Path| fs::read_dir(path).expect("it").count() == 1;
    assert!(is_empty(&checkout.path("baselines")), "nothing was accepted");
}
