//! `parity run --qualify` from outside: a case that would also pass what is known to be wrong fails as VACUOUS.
//! The gates' own controls are tested in `compare`.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// Two cases that pass without --qualify. One id again and again gives every position the same row, so that
/// rows of other positions are as near as a contract between different numerics demands.
const SUITE: &str = r#"
kind = "parity"
analysis = "x"

[defaults]
model = "tiny-i2s-q6k"
tier = "ci-light"
steps = 0
tolerance = "cross-numerics"

[[case]]
name = "blind"
prompt-tokens = [17, 17, 17, 17, 17, 17, 17, 17]

[[case]]
name = "seeing"
prompt = "The lamp was lit at dusk."
"#;

fn run(args: &[&str]) -> (Output, String) {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package has a parent");
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    fs::copy(shipped.join("models.toml"), root.join("models.toml")).expect("the lock");
    fs::create_dir(root.join("suites")).expect("a folder");
    fs::write(root.join("suites/vacuous.toml"), SUITE).expect("a suite");
    let mut command = Command::new(env!("CARGO_BIN_EXE_parity"));
    for variable in ["BITNET_TIER", "BITNET_REFERENCE", "BITNET_ALLOW_SKIP", "GITHUB_ACTIONS"] {
        command.env_remove(variable);
    }
    command.args(["--color", "never", "--root"]).arg(root).arg("run").args(args);
    let output = command.output().expect("the program runs");
    let shown = String::from_utf8(output.stdout.clone()).expect("UTF-8");
    (output, shown)
}

#[track_caller]
fn says(shown: &str, parts: &[&str]) {
    for part in parts {
        assert!(shown.contains(part), "`{part}` is not in:\n{shown}");
    }
}

#[test]
fn a_case_that_passes_known_wrong_outputs_fails_as_vacuous() {
    let (output, shown) = run(&["--qualify", "blind"]);
    says(
        &shown,
        &[
            "VACUOUS: this case also passes what is known to be wrong, so its pass means nothing",
            "passes the gate of logits: each position has the row of the one before",
            "to make it see: tighten its tolerance, or give it a longer prompt",
            "it would have passed with: EXACT",
            "1 trials run in ",
            ": 0 passed, 1 failed; 0 ignored",
        ],
    );
    assert_eq!(output.status.code(), Some(1), "{shown}");
}

#[test]
fn the_same_tolerance_passes_where_the_prompt_tells_positions_apart() {
    let (output, shown) = run(&["--qualify", "seeing"]);
    says(&shown, &["; known-wrong outputs rejected: ", ": 1 passed, 0 failed; 0 ignored"]);
    assert!(!shown.contains("VACUOUS"), "{shown}");
    assert_eq!(output.status.code(), Some(0), "{shown}");
}

/// What --qualify is for: nothing else tells that the first case proves little.
#[test]
fn without_qualify_both_pass() {
    let (output, shown) = run(&[]);
    says(&shown, &[": 2 passed, 0 failed; 0 ignored"]);
    assert_eq!(output.status.code(), Some(0), "{shown}");
}
