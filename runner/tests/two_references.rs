//! A model that lists both references: one run starts both workers, and what one of them refuses or
//! cannot compute costs its own trial alone.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bitnet_engine::gguf::{GgufFile, GgufWriter};
use bitnet_engine::model::Activation;
use bitnet_engine::synth::{SynthSpec, write_model};
use bitnet_runner::backend::engine::EngineBackend;
use bitnet_runner::backend::{
    Backend, BackendError, Feed, Generation, Identity, Logits, ModelFacts, NamedTensor,
    OpenRequest, TokenizeOptions,
};
use bitnet_runner::run::{Cause, Engines, Outcome, Project, Runner, Settings};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

const OURS: &str = "bitnet-b1.58";
/// The architecture that both references compute, with SiLU.
const THEIRS: &str = "bitnet";

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

/// A project with the model `m` under the name `arch`, compared with both references.
fn project(arch: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let spec = SynthSpec::from_names(OURS, "tiny", "F16", "F16", 1).expect("a spec");
    write_model(&spec, File::create(path("ours.gguf")).expect("a file"), |_, _| ()).expect("it");
    renamed(&path("ours.gguf"), arch, &path("m.gguf"));
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

/// The model in `from` under another name of its architecture.
fn renamed(from: &Path, arch: &str, to: &Path) {
    let file = GgufFile::open(from).expect("the model");
    let mut writer = GgufWriter::new();
    for (key, value) in file.metadata().iter() {
        match key.strip_prefix(&format!("{OURS}.")) {
            Some(rest) => writer.value(&format!("{arch}.{rest}"), value).map(drop),
            None if key == "general.architecture" => writer.str(key, arch).map(drop),
            None => writer.value(key, value).map(drop),
        }
        .expect("a key");
    }
    for tensor in file.tensors() {
        let bytes = file.data(tensor);
        writer.tensor_bytes(&tensor.name, tensor.tensor_type, &tensor.dims, bytes).expect("it");
    }
    writer.write(File::create(to).expect("a file")).expect("the model");
}

/// Our engine on the file beside the asked one that has the engine's own name, with SiLU.
struct Silu(EngineBackend);

impl Backend for Silu {
    fn identity(&self) -> &Identity {
        self.0.identity()
    }

    fn open(&mut self, request: &OpenRequest) -> Result<ModelFacts, BackendError> {
        let model: PathBuf = request.model.with_file_name("ours.gguf");
        let request = OpenRequest { model, ..request.clone() };
        self.0.open_changed(&request, |config| config.graph.activation = Activation::Silu)
    }

    fn tokenize(&mut self, text: &str, options: TokenizeOptions) -> Result<Vec<u32>, BackendError> {
        self.0.tokenize(text, options)
    }

    fn detokenize(&mut self, ids: &[u32]) -> Result<Vec<u8>, BackendError> {
        self.0.detokenize(ids)
    }

    fn logits(&mut self, ids: &[u32], feed: Feed) -> Result<Logits, BackendError> {
        self.0.logits(ids, feed)
    }

    fn generate(&mut self, prompt: &[u32], steps: usize) -> Result<Generation, BackendError> {
        self.0.generate(prompt, steps)
    }

    fn tap(&mut self, ids: &[u32], names: &[String]) -> Result<Vec<NamedTensor>, BackendError> {
        self.0.tap(ids, names)
    }
}

/// Runs both trials of the project in `root`; gives their ids and outcomes, and who was started.
fn run(root: &Path, subject: Box<dyn Backend>) -> (Vec<(String, Outcome)>, Vec<String>) {
    let project = Arc::new(Project::load(root).unwrap_or_else(|error| panic!("{error}")));
    let settings = Settings { allow_skip: false, progress: Box::new(|_| ()) };
    let mut runner = Runner::new(Arc::clone(&project), Engines::with_subject(subject), settings);
    let outcomes =
        project.trials.iter().map(|trial| (trial.id.clone(), runner.run(trial))).collect();
    let started = runner.engines.started().map(|identity| identity.name.clone()).collect();
    (outcomes, started)
}

const IDS: [&str; 2] = ["ci-light::parity::x::a", "ci-light::parity::x::a::reference-llama-cpp"];

#[test]
fn both_are_started_and_each_has_a_verdict() {
    let folder = project(THEIRS);
    let (outcomes, started) = run(folder.path(), Box::new(Silu(EngineBackend::new())));
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
    let folder = project(OURS);
    let (outcomes, _) = run(folder.path(), Box::new(EngineBackend::new()));
    let [(_, ours), (id, theirs)] = &outcomes[..] else { panic!("{outcomes:?}") };
    assert!(matches!(ours, Outcome::Passed { .. }), "{ours:?}");
    assert_eq!(id, IDS[1]);
    let Outcome::Failed { cause: Cause::Engine, text, .. } = theirs else { panic!("{theirs:?}") };
    assert!(text.contains("unknown model architecture: 'bitnet-b1.58'"), "{text}");
}
