//! A model that lists both references: one run starts both workers, and what one of them refuses or
//! cannot compute costs its own trial alone.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use bitnet_engine::synth::{SynthSpec, write_model};
use bitnet_runner::run::{Cause, Engines, Outcome, Project, Runner, Settings};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// An architecture that bitnet.cpp alone computes.
const ONE: &str = "bitnet-b1.58";
/// One that both references compute.
const BOTH: &str = "bitnet";

const SUITE: &str = r#"kind = "parity"
analysis = "One file, two references."
[[case]]
name = "a"
model = "m"
tier = "ci-light"
prompt = "Many hands make light work."
steps = 8
tolerance = "same-numerics"
"#;

/// A project with the model `m` of the architecture `arch`, compared with both references.
fn project(arch: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let spec = SynthSpec::from_names(arch, "tiny", "F16", "F16", 1).expect("a spec");
    write_model(&spec, File::create(path("m.gguf")).expect("a file"), |_, _| ()).expect("it");
    let bytes = fs::read(path("m.gguf")).expect("the model");
    let lock = format!(
        "schema_version = 1\n[[model]]\nid = \"m\"\ntier = \"ci-light\"\nsha256 = \"{}\"\nbytes = {}\n\
         license = \"MIT\"\nreferences = [\"bitnet-cpp\", \"llama-cpp\"]\nsource = {{ path = \"m.gguf\" }}\n",
        sha256(&bytes),
        bytes.len()
    );
    fs::write(path("models.toml"), lock).expect("the lock");
    fs::create_dir(path("suites")).expect("the suites folder");
    fs::write(path("suites").join("x.toml"), SUITE).expect("a suite");
    folder
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Runs both trials of the project in `root`; gives their ids and outcomes, and who was started.
fn run(root: &Path) -> (Vec<(String, Outcome)>, Vec<String>) {
    let project = Arc::new(Project::load(root).unwrap_or_else(|error| panic!("{error}")));
    let settings = Settings { allow_skip: false, progress: Box::new(|_| ()) };
    let mut runner = Runner::new(Arc::clone(&project), Engines::default(), settings);
    let outcomes =
        project.trials.iter().map(|trial| (trial.id.clone(), runner.run(trial))).collect();
    let started = runner.engines.started().map(|identity| identity.name.clone()).collect();
    (outcomes, started)
}

const IDS: [&str; 2] = ["ci-light::parity::x::a", "ci-light::parity::x::a::reference-llama-cpp"];

#[test]
fn both_are_started_and_each_has_a_verdict() {
    let folder = project(BOTH);
    let (outcomes, started) = run(folder.path());
    assert_eq!(started, ["bitnet-cpp", "llama-cpp"]);
    assert_eq!(outcomes.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), IDS);
    for ((_, outcome), reference) in outcomes.iter().zip(&started) {
        let Outcome::Passed { line, verdict: Some(verdict) } = outcome else {
            panic!("{reference}: {outcome:?}")
        };
        assert!(line.ends_with(&format!("; against {reference}")), "{line}");
        assert!(verdict.paths.iter().all(|path| path.summary.rows > 0), "{line}");
    }
}

#[test]
fn what_one_refuses_fails_its_trial_in_its_words() {
    let folder = project(ONE);
    let (outcomes, _) = run(folder.path());
    let [(_, ours), (id, theirs)] = &outcomes[..] else { panic!("{outcomes:?}") };
    assert!(matches!(ours, Outcome::Passed { .. }), "{ours:?}");
    assert_eq!(id, IDS[1]);
    let Outcome::Failed { cause: Cause::Engine, text, .. } = theirs else { panic!("{theirs:?}") };
    assert!(text.contains("unknown model architecture: 'bitnet-b1.58'"), "{text}");
}
