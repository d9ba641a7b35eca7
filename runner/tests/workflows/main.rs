//! The workflows of .github and the scripts that they call: they parse, ask for no more than they need, name
//! actions by commit, and every command of theirs is a step of a script that runs locally as well.

#[cfg(unix)]
mod night;
#[cfg(unix)]
#[path = "../baselines/receipts.rs"]
mod receipts;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use saphyr::{LoadableYamlNode, Yaml};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package has a parent").to_owned()
}

/// Name and text of each workflow.
fn workflows() -> Vec<(String, String)> {
    let folder = root().join(".github/workflows");
    let mut found: Vec<(String, String)> = fs::read_dir(folder)
        .expect("the workflows")
        .map(|entry| entry.expect("an entry").path())
        .map(|path| {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, fs::read_to_string(&path).expect("the workflow"))
        })
        .collect();
    found.sort();
    assert_eq!(
        found.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
        ["ci.yml", "crossval.yml", "nightly.yml"]
    );
    found
}

fn parsed(text: &str) -> Yaml<'_> {
    let mut documents = Yaml::load_from_str(text).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(documents.len(), 1, "one document a file");
    documents.remove(0)
}

fn keys<'a>(node: &'a Yaml<'_>) -> Vec<&'a str> {
    let mapping = node.as_mapping().unwrap_or_else(|| panic!("no mapping: {node:?}"));
    mapping.keys().map(|key| key.as_str().expect("a key")).collect()
}

fn get<'a, 'b>(node: &'a Yaml<'b>, key: &str) -> Option<&'a Yaml<'b>> {
    node.as_mapping_get(key)
}

/// Name and description of each job.
fn jobs<'a, 'b>(workflow: &'a Yaml<'b>) -> Vec<(&'a str, &'a Yaml<'b>)> {
    let jobs = get(workflow, "jobs").expect("jobs");
    keys(jobs).into_iter().map(|name| (name, get(jobs, name).expect("a job"))).collect()
}

fn steps<'a, 'b>(job: &'a Yaml<'b>) -> &'a [Yaml<'b>] {
    get(job, "steps").and_then(|steps| steps.as_sequence()).expect("steps")
}

#[test]
fn each_asks_for_the_least_and_ends() {
    for (file, text) in workflows() {
        let workflow = parsed(&text);
        let permissions = get(&workflow, "permissions").unwrap_or_else(|| panic!("{file}"));
        assert_eq!(keys(permissions), ["contents"], "{file}");
        assert_eq!(get(permissions, "contents").and_then(|p| p.as_str()), Some("read"), "{file}");
        let concurrency = get(&workflow, "concurrency").unwrap_or_else(|| panic!("{file}"));
        assert!(get(concurrency, "group").is_some(), "{file}");
        for (name, job) in jobs(&workflow) {
            let minutes = get(job, "timeout-minutes").and_then(|minutes| minutes.as_integer());
            assert!(minutes.is_some_and(|minutes| minutes <= 300), "{file}: {name} may hang");
            let own = get(job, "permissions").map(keys).unwrap_or_default();
            let may_write = (file.as_str(), name) == ("nightly.yml", "thorough");
            assert_eq!(own.is_empty(), !may_write, "{file}: {name} asks for {own:?}");
        }
    }
}

#[test]
fn actions_are_named_by_commit_with_their_release_beside() {
    for (file, text) in workflows() {
        let mut seen = 0;
        for line in text.lines().filter_map(|line| line.split_once("uses: ").map(|(_, use_)| use_))
        {
            let (action, release) =
                line.split_once(" # ").unwrap_or_else(|| panic!("{file}: {line}"));
            let (name, commit) = action.split_once('@').unwrap_or_else(|| panic!("{file}: {line}"));
            assert!(name.starts_with("actions/"), "{file}: {name} is of somebody else");
            let is_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
            assert!(commit.len() == 40 && commit.chars().all(is_hex), "{file}: {line}");
            assert!(release.starts_with('v'), "{file}: {line}");
            seen += 1;
        }
        let workflow = parsed(&text);
        let used: usize = jobs(&workflow)
            .iter()
            .map(|(_, job)| steps(job).iter().filter(|step| get(step, "uses").is_some()).count())
            .sum();
        assert_eq!(seen, used, "{file}: every use was looked at");
    }
}

/// The steps that a script accepts: the alternatives of its last `case`.
fn steps_of(script: &str) -> BTreeSet<String> {
    let case = script.rfind("\ncase ").map(|at| &script[at..]).unwrap_or_default();
    let alternatives = case.lines().nth(2).and_then(|line| line.split_once(')'));
    let names = alternatives.map(|(names, _)| names).unwrap_or_default();
    names.split('|').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
}

#[test]
fn every_command_is_a_step_of_a_script() {
    for (file, text) in workflows() {
        let workflow = parsed(&text);
        let mut commands = 0;
        for (name, job) in jobs(&workflow) {
            for step in steps(job) {
                let Some(run) = get(step, "run").and_then(|run| run.as_str()) else { continue };
                commands += 1;
                assert!(!run.contains("${{"), "{file}: {name}: `{run}` is filled in from outside");
                let words: Vec<&str> = run.split_whitespace().collect();
                let ["bash", script, arguments @ ..] = &words[..] else {
                    panic!("{file}: {name}: `{run}` calls no script")
                };
                let path = root().join(script);
                let text = fs::read_to_string(&path)
                    .unwrap_or_else(|error| panic!("{file}: {name}: {script}: {error}"));
                match *script {
                    ".ci/run" | "scripts/ci_gate.sh" => assert!(arguments.is_empty(), "{run}"),
                    "scripts/ci_setup.sh" => {
                        for tool in arguments {
                            assert!(text.contains(&format!("    {tool}) ")), "{run}");
                        }
                    }
                    _ => {
                        let [step] = arguments else { panic!("{file}: `{run}` names one step") };
                        assert!(steps_of(&text).contains(*step), "{file}: `{run}`");
                    }
                }
            }
        }
        assert!(commands > 0, "{file} runs nothing");
    }
}

#[test]
fn what_a_script_runs_in_all_is_what_its_workflow_runs() {
    for (file, script, apart) in [
        ("ci.yml", "scripts/ci_pr.sh", &[][..]),
        ("crossval.yml", "scripts/ci_crossval.sh", &[]),
        ("nightly.yml", "scripts/ci_nightly.sh", &["publish"]),
    ] {
        let (_, text) = workflows().into_iter().find(|(name, _)| name == file).expect("it");
        let called: BTreeSet<String> = text
            .lines()
            .filter_map(|line| line.split_once(&format!("bash {script} ")))
            .map(|(_, step)| step.trim().to_owned())
            .collect();
        let text = fs::read_to_string(root().join(script)).expect("the script");
        let mut steps = steps_of(&text);
        assert!(steps.remove("all"), "{script} has the step `all`");
        assert_eq!(called, steps, "{file} and {script}");
        let all = text.split("\nall() {").nth(1).and_then(|rest| rest.split("\n}").next());
        let all = all.unwrap_or_else(|| panic!("{script}: no `all`"));
        for step in steps.iter().filter(|step| !apart.contains(&step.as_str())) {
            assert!(all.contains(step.as_str()), "{script}: `all` leaves {step} out");
        }
    }
}

#[test]
fn the_gate_needs_every_other_job() {
    for (file, text) in workflows() {
        let workflow = parsed(&text);
        let jobs = jobs(&workflow);
        let (_, gate) = jobs.iter().find(|(name, _)| *name == "gate").expect("a gate");
        let needs = get(gate, "needs").and_then(|needs| needs.as_sequence()).expect("needs");
        let needed: BTreeSet<&str> =
            needs.iter().map(|job| job.as_str().expect("a name")).collect();
        let others: BTreeSet<&str> =
            jobs.iter().map(|(name, _)| *name).filter(|name| *name != "gate").collect();
        assert_eq!(needed, others, "{file}");
        // A gate that is skipped because a job failed would let it through.
        let condition = get(gate, "if").and_then(|condition| condition.as_str());
        assert!(condition.is_some_and(|text| text.starts_with("always()")), "{file}");
    }
}

#[cfg(unix)]
#[test]
fn the_gate_opens_for_success_alone() {
    let call = |results: &str| {
        let mut command = Command::new("bash");
        let output = command
            .arg(root().join("scripts/ci_gate.sh"))
            .env("RESULTS", results)
            .output()
            .expect("bash");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(call("[\n  \"success\",\n  \"success\"\n]").0, Some(0));
    for bad in ["failure", "cancelled", "skipped"] {
        let (code, text) = call(&format!("[\"success\", \"{bad}\"]"));
        assert_eq!(code, Some(1));
        assert_eq!(text, format!("error: a job ended with '{bad}'\n"));
    }
    assert_eq!(call("[]").0, Some(1), "a gate of nothing");
}

#[cfg(unix)]
#[test]
fn scripts_are_sound_bash_and_refuse_a_step_that_they_do_not_have() {
    for name in ["ci_pr", "ci_crossval", "ci_nightly", "ci_setup", "ci_gate", "fault_list"] {
        let script = root().join(format!("scripts/{name}.sh"));
        let sound = Command::new("bash").arg("-n").arg(&script).status().expect("bash");
        assert!(sound.success(), "{name}");
        let text = fs::read_to_string(&script).expect("the script");
        assert!(text.contains("set -euo pipefail") || text.contains("set -uo pipefail"), "{name}");
    }
    for name in ["ci_pr", "ci_crossval", "ci_nightly"] {
        let script = root().join(format!("scripts/{name}.sh"));
        let output = Command::new("bash").arg(script).arg("everything").output().expect("bash");
        assert_eq!(output.status.code(), Some(2), "{name}");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.starts_with("error: no step 'everything'; steps: "), "{text}");
    }
}
