//! The documents: every command in an `sh` block is one that exists. Blocks marked `sh tested` run, in
//! order and in a project of their own; of all others the command line is read by the program that it calls
//! (`bitnet`'s by the engine's tests), and what cargo is asked for is looked up.

#[path = "../../../engine/tests/cli/shell_lines.rs"]
mod shell_lines;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use shell_lines::{arguments, commands, documents};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package has a parent").to_owned()
}

fn parity(folder: &Path, args: &[String]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_parity"));
    for variable in ["BITNET_TIER", "BITNET_ALLOW_SKIP", "GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"] {
        command.env_remove(variable);
    }
    command.current_dir(folder).args(args).output().expect("the program runs")
}

/// `--help` at the end ends a command before it works, but not before its flags and values are read.
#[test]
fn every_command_of_parity_is_one_that_it_takes() {
    let nowhere = tempfile::tempdir().expect("a temporary folder");
    let takes = |args: &[String]| {
        let mut args = args.to_vec();
        args.push("--help".to_owned());
        let output = parity(nowhere.path(), &args);
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let mut seen = 0;
    for document in documents(&root()) {
        for line in commands(&document) {
            let Some(args) = arguments(&line.words, "parity") else { continue };
            let (good, why) = takes(args);
            assert!(good, "{}: {:?}\n{why}", line.place, line.words);
            seen += 1;
        }
    }
    assert!(seen >= 20, "{seen} commands");
    assert!(!takes(&["run".into(), "--junti".into(), "x".into()]).0, "a flag that is none");
}

/// Packages, tests, benches and features that cargo may be asked for.
fn known(kind: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for package in [
        "engine",
        "cpp-bridge",
        "runner",
        "cpp-bridge/reference/bitnet-cpp",
        "cpp-bridge/reference/llama-cpp",
    ] {
        let folder = root().join(package);
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).expect("a manifest");
        let manifest: toml::Table = manifest.parse().expect("TOML");
        let files = |folder: PathBuf| {
            let entries = fs::read_dir(folder).into_iter().flatten();
            let paths = entries.map(|entry| entry.expect("an entry").path());
            paths
                .filter(|path| {
                    path.extension().is_some_and(|e| e == "rs") || path.join("main.rs").is_file()
                })
                .map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned())
                .collect::<Vec<_>>()
        };
        match kind {
            "-p" => {
                names.insert(manifest["package"]["name"].as_str().expect("a name").to_owned());
            }
            "--test" => names.extend(files(folder.join("tests"))),
            "--bench" => names.extend(files(folder.join("benches"))),
            "--bin" => names.extend(["parity", "bitnet"].map(str::to_owned)),
            "--features" => {
                let features = manifest.get("features").and_then(|f| f.as_table());
                names.extend(features.into_iter().flat_map(|f| f.keys().cloned()));
            }
            other => panic!("{other}"),
        }
    }
    names
}

#[test]
fn what_cargo_is_asked_for_is_there_and_no_other_program_is_needed() {
    for document in documents(&root()) {
        for line in commands(&document) {
            let words: Vec<&str> = line.words.iter().map(String::as_str).collect();
            if arguments(&line.words, "parity").is_some()
                || arguments(&line.words, "bitnet").is_some()
            {
                continue;
            }
            match words[..] {
                ["bash", script, ..] => {
                    assert!(root().join(script).is_file(), "{}: {script}", line.place);
                }
                ["cd" | "git", ..] => {}
                ["cargo", verb, ref rest @ ..] => {
                    let verbs = ["bench", "build", "fetch", "install", "nextest", "test"];
                    assert!(verbs.contains(&verb), "{}: cargo {verb}", line.place);
                    for pair in rest.windows(2) {
                        if let [
                            flag @ ("-p" | "--test" | "--bench" | "--bin" | "--features"),
                            name,
                        ] = pair
                        {
                            assert!(known(flag).contains(*name), "{}: {flag} {name}", line.place);
                        }
                    }
                }
                _ => panic!("{}: no test knows `{}`", line.place, words.join(" ")),
            }
        }
    }
}

#[test]
fn the_blocks_that_are_marked_as_tested_do_what_they_say() {
    let mut ran = 0;
    for document in documents(&root()) {
        let lines = commands(&document);
        let tested: Vec<_> = lines.iter().filter(|line| line.block == "sh tested").collect();
        if tested.is_empty() {
            continue;
        }
        let project = tempfile::tempdir().expect("a temporary folder");
        copy(&root().join("suites"), &project.path().join("suites"));
        fs::copy(root().join("models.toml"), project.path().join("models.toml")).expect("the lock");
        for line in tested {
            let args = arguments(&line.words, "parity")
                .unwrap_or_else(|| panic!("{}: only `parity` is run here", line.place));
            let output = parity(project.path(), args);
            let (out, err) = (&output.stdout, &output.stderr);
            assert!(
                output.status.success(),
                "{}: {}\n{}{}",
                line.place,
                line.words.join(" "),
                String::from_utf8_lossy(out),
                String::from_utf8_lossy(err)
            );
            ran += 1;
        }
    }
    assert!(ran >= 6, "{ran} commands");
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        match entry.file_type().expect("its type").is_dir() {
            true => copy(&entry.path(), &to.join(entry.file_name())),
            false => drop(fs::copy(entry.path(), to.join(entry.file_name())).expect("a copy")),
        }
    }
}
