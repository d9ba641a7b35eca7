//! Files that `bitnet quantize` writes, in the live references: both load them, conversions that lose
//! nothing change no logit, and those that round are computed as the engine computes them.

use std::fs::File;
use std::path::{Path, PathBuf};

use bitnet_engine::gguf::GgufFile;
use bitnet_engine::quantize::{Loss, Options, Plan, Target};
use bitnet_engine::synth::{SynthSpec, write_model};
use bitnet_runner::backend::engine::EngineBackend;
use bitnet_runner::backend::protocol::build_id;
use bitnet_runner::backend::worker::{WorkerBackend, WorkerSpec};
use bitnet_runner::backend::{Backend, Feed, Logits, OpenRequest};
use bitnet_runner::compare::{Rows, Targets, compare_rows};

const IDS: u32 = 40;

/// A synthetic model as it was made, and what became of it.
struct Models {
    folder: tempfile::TempDir,
}

impl Models {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.gguf"))
    }

    /// The tiny model of an architecture; the weights do not depend on their type.
    fn make(&self, architecture: &str, weights: &str) -> PathBuf {
        let path = self.path(weights);
        let spec = SynthSpec::from_names(architecture, "tiny", weights, "F16", 1).expect("a spec");
        write_model(&spec, File::create(&path).expect("a file"), |_, _| ()).expect("the model");
        path
    }

    /// The file converted once more for each target; says whether no weight has changed.
    fn convert(&self, from: &Path, targets: &[Target]) -> (PathBuf, bool) {
        let (mut path, mut lossless) = (from.to_owned(), true);
        for (index, target) in targets.iter().enumerate() {
            let file = GgufFile::open(&path).expect("the model");
            let mut options = Options::new(*target);
            options.embedding = Some(Target::F16);
            let plan = Plan::new(&file, options).expect("a plan");
            path = self.path(&format!("{target}-{index}"));
            let written =
                plan.write(File::create(&path).expect("a file"), |_, _| ()).expect("the model");
            lossless &= written.losses.iter().all(|loss| *loss == Loss::None);
        }
        (path, lossless)
    }
}

fn worker(name: &str) -> WorkerBackend {
    let program = match name {
        "bitnet-cpp" => env!("CARGO_BIN_EXE_bitnet-cpp-worker"),
        _ => env!("CARGO_BIN_EXE_llama-cpp-worker"),
    };
    WorkerBackend::start(WorkerSpec {
        name: name.into(),
        program: Path::new(program).into(),
        args: Vec::new(),
        env: Vec::new(),
        build: Some(build_id()),
        remedy: "build with the feature".into(),
        handshake_seconds: 30,
        request_seconds: 60,
    })
    .expect("the worker starts")
}

fn logits(backend: &mut dyn Backend, model: &Path) -> Logits {
    let request = OpenRequest::new(model, 64);
    backend.open(&request).unwrap_or_else(|error| panic!("{}: {error}", model.display()));
    let ids: Vec<u32> = (0..IDS).map(|i| i * 37 % 300).collect();
    backend.logits(&ids, Feed::Prefill).expect("logits")
}

/// Mean KL of `test` from `reference` over all positions, in nats.
fn mean_kl(reference: &Logits, test: &Logits) -> f64 {
    let vocab_size = reference.vocab_size;
    let reference = Rows::new("before", vocab_size, &reference.values, 0).expect("rows");
    let test = Rows::new("after", vocab_size, &test.values, 0).expect("rows");
    let ids = vec![0; IDS as usize - 1];
    let metrics = compare_rows(&reference, &test, &Targets::of_text(&ids)).expect("rows alike");
    metrics.iter().map(|row| row.kl).sum::<f64>() / metrics.len() as f64
}

#[test]
fn lossless_conversions_change_no_logit_of_the_reference() {
    let mut reference = worker("bitnet-cpp");
    use Target::{F32, I2S, Tl1, Tl2, Tq1_0, Tq2_0};
    // The last type is the one that `truth` has: only then is the arithmetic the same.
    for (from, targets, truth) in [
        ("F32", &[I2S][..], "I2_S"),
        ("I2_S", &[F32, I2S], "I2_S"),
        ("I2_S", &[Tq1_0, Tq2_0, I2S], "I2_S"),
        ("I2_S", &[Tq2_0], "TQ2_0"),
        ("I2_S", &[Tq1_0], "TQ1_0"),
        ("TQ1_0", &[I2S, Tq2_0], "TQ2_0"),
        ("TQ2_0", &[Tq1_0], "TQ1_0"),
    ] {
        let models = Models::new();
        let (converted, lossless) = models.convert(&models.make("bitnet-b1.58", from), targets);
        let (ours, truth) =
            (logits(&mut reference, &converted), models.make("bitnet-b1.58", truth));
        let truth = logits(&mut reference, &truth);
        let what = format!("{from} to {targets:?}");
        assert!(lossless, "{what} lost something");
        assert!(ours.values == truth.values, "{what}: mean KL {:e}", mean_kl(&truth, &ours));
    }
    // The kernels of these are made for the shapes of published models; the engine reads them back.
    for through in [Tl1, Tl2] {
        let error = {
            let models = Models::new();
            let file = GgufFile::open(&models.make("bitnet-b1.58", "I2_S")).expect("the model");
            Plan::new(&file, Options::new(through)).expect_err("no kernels for it").to_string()
        };
        assert!(error.contains("kernels are published for matrices of"), "{error}");
    }
}

#[test]
fn rounded_models_are_computed_alike_by_both_references() {
    let mut references = ["bitnet-cpp", "llama-cpp"].map(worker);
    let models = Models::new();
    let source = models.make("llama", "F32");
    for target in Target::ALL {
        if matches!(target, Target::I2S | Target::Tl1 | Target::Tl2) {
            continue;
        }
        let (converted, _) = models.convert(&source, &[target]);
        let ours = logits(&mut EngineBackend::new(), &converted);
        for reference in &mut references {
            let kl = mean_kl(&logits(reference, &converted), &ours);
            println!("{target}, {}: mean KL {kl:.1e}", reference.identity().name);
            assert!(kl <= 1e-3, "{target}, {}: mean KL {kl:e}", reference.identity().name);
        }
    }
}
