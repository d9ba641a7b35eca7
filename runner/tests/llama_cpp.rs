//! The engine against llama.cpp, without a suite between them: one file under the two names that they
//! have for BitNet b1.58. llama.cpp reads `bitnet` with squared ReLU, the engine `bitnet-b1.58`.

use std::fs::File;
use std::path::{Path, PathBuf};

use bitnet_engine::gguf::{GgufFile, GgufWriter};
use bitnet_engine::model::KeyCache;
use bitnet_engine::synth::{SynthSpec, write_model};
use bitnet_runner::backend::engine::EngineBackend;
use bitnet_runner::backend::protocol::build_id;
use bitnet_runner::backend::worker::{WorkerBackend, WorkerSpec};
use bitnet_runner::backend::{Backend, Feed, KEYS_IN_Q8_0, OpenRequest, TokenizeOptions};

const OURS: &str = "bitnet-b1.58";
const THEIRS: &str = "bitnet";
const IDS: usize = 70;
const STEPS: usize = 24;

/// A synthetic model under both names.
struct Pair {
    folder: tempfile::TempDir,
}

impl Pair {
    fn new(weights: &str, embedding: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let pair = Self { folder };
        let spec = SynthSpec::from_names(OURS, "tiny", weights, embedding, 1).expect("a spec");
        write_model(&spec, File::create(pair.path(OURS)).expect("a file"), |_, _| ())
            .expect("the model");
        let file = GgufFile::open(&pair.path(OURS)).expect("the model");
        let mut writer = GgufWriter::new();
        for (key, value) in file.metadata().iter() {
            match key.strip_prefix(&format!("{OURS}.")) {
                Some(rest) => writer.value(&format!("{THEIRS}.{rest}"), value).map(drop),
                None if key == "general.architecture" => writer.str(key, THEIRS).map(drop),
                None => writer.value(key, value).map(drop),
            }
            .expect("a key");
        }
        writer.str("bitnet.hidden_activation", "relu2").expect("a key");
        for tensor in file.tensors() {
            let bytes = file.data(tensor);
            writer.tensor_bytes(&tensor.name, tensor.tensor_type, &tensor.dims, bytes).expect("it");
        }
        writer.write(File::create(pair.path(THEIRS)).expect("a file")).expect("the model");
        pair
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.gguf"))
    }

    /// The engine and llama.cpp, each with its file open.
    fn open(&self) -> (EngineBackend, WorkerBackend) {
        self.open_in(EngineBackend::new(), worker())
    }

    fn open_in(
        &self,
        mut subject: EngineBackend,
        mut reference: WorkerBackend,
    ) -> (EngineBackend, WorkerBackend) {
        let request = |name| OpenRequest::new(self.path(name), 512);
        let ours = subject.open(&request(OURS)).expect("the engine opens it");
        let theirs = reference.open(&request(THEIRS)).expect("llama.cpp opens it");
        assert_eq!(ours, theirs, "both read the same facts");
        (subject, reference)
    }
}

fn worker() -> WorkerBackend {
    worker_with(&[], &[])
}

fn worker_with(args: &[&str], env: &[(&str, &str)]) -> WorkerBackend {
    WorkerBackend::start(WorkerSpec {
        name: "llama-cpp".into(),
        program: Path::new(env!("CARGO_BIN_EXE_llama-cpp-worker")).into(),
        args: args.iter().map(Into::into).collect(),
        env: env.iter().map(|(name, value)| (name.into(), value.into())).collect(),
        build: Some(build_id()),
        remedy: "build with the feature".into(),
        handshake_seconds: 30,
        request_seconds: 60,
    })
    .expect("the worker starts")
}

fn ids() -> Vec<u32> {
    (0..IDS).map(|i| (i * 37 % 300) as u32).collect()
}

/// Whether the reference was compiled as our kernels compute: for AVX2, by this workspace.
#[expect(clippy::print_stderr, reason = "says why nothing is compared")]
fn has_our_arithmetic(reference: &WorkerBackend) -> bool {
    let build = &reference.identity().build;
    let ours = build.contains("-march=x86-64-v3");
    if !ours {
        eprintln!("not the AVX2 build of this workspace, nothing to compare with: {build}");
    }
    ours
}

#[track_caller]
fn assert_bits(ours: &[f32], theirs: &[f32], what: &str) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    let mut differing = ours.iter().zip(theirs).enumerate().filter(|(_, (a, b))| a != b);
    if let Some((index, (a, b))) = differing.next() {
        let rest = differing.count();
        panic!("{what}: {} of {} differ, first [{index}]: {a:e} {b:e}", rest + 1, ours.len());
    }
}

#[test]
fn float_models_give_the_same_bits() {
    for (weights, embedding) in [("F32", "F32"), ("F16", "F16"), ("F16", "F32")] {
        let pair = Pair::new(weights, embedding);
        let (mut subject, mut reference) = pair.open();
        if !has_our_arithmetic(&reference) {
            return;
        }
        let what = format!("{weights} with {embedding} embedding");
        for feed in [Feed::Prefill, Feed::Steps] {
            let ours = subject.logits(&ids(), feed).expect("logits");
            let theirs = reference.logits(&ids(), feed).expect("logits");
            assert_bits(&ours.values, &theirs.values, &format!("{what}, {feed:?}"));
        }
        let ours = subject.generate(&ids(), STEPS).expect("a run");
        let theirs = reference.generate(&ids(), STEPS).expect("a run");
        assert_eq!(ours.ids, theirs.ids, "{what}");
        assert_bits(&ours.logits.values, &theirs.logits.values, &format!("{what}, greedy"));
    }
}

/// llama.cpp of 2026 turns queries and keys by a Hadamard matrix before they become Q8_0, unless told not to;
/// bitnet.cpp does not know of it, and the engine follows bitnet.cpp.
#[test]
fn keys_in_q8_0_that_are_not_rotated_give_the_same_bits() {
    let pair = Pair::new("F32", "F32");
    let open = |env| {
        let subject = EngineBackend::with_keys(KeyCache::Q8_0);
        pair.open_in(subject, worker_with(&[KEYS_IN_Q8_0], env))
    };
    let (mut subject, mut reference) = open(&[("LLAMA_ATTN_ROT_DISABLE", "1")]);
    if !has_our_arithmetic(&reference) {
        return;
    }
    for feed in [Feed::Prefill, Feed::Steps] {
        let ours = subject.logits(&ids(), feed).expect("logits");
        let theirs = reference.logits(&ids(), feed).expect("logits");
        assert_bits(&ours.values, &theirs.values, &format!("{feed:?}"));
    }
    let (_, mut rotating) = open(&[]);
    let theirs = rotating.logits(&ids(), Feed::Prefill).expect("logits").values;
    let ours = subject.logits(&ids(), Feed::Prefill).expect("logits").values;
    assert_ne!(ours, theirs, "keys are not rotated any more: the variable is not needed");
}

/// llama.cpp takes the 32 of Q6_K's values off in other lanes than bitnet.cpp and the engine: eight
/// float sums are grouped otherwise, each rounded a few times.
#[test]
fn a_q6_k_head_differs_in_the_last_bits_alone() {
    let pair = Pair::new("F16", "Q6_K");
    let (mut subject, mut reference) = pair.open();
    if !has_our_arithmetic(&reference) {
        return;
    }
    let ours = subject.logits(&ids(), Feed::Prefill).expect("logits").values;
    let theirs = reference.logits(&ids(), Feed::Prefill).expect("logits").values;
    let largest = theirs.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    let distance = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    println!("largest difference {distance:e} of {largest}");
    assert_ne!(ours, theirs, "the lanes are the same now: assert bits above");
    assert!(distance <= 8.0 * f32::EPSILON * largest, "{distance:e} of {largest}");
}

#[test]
fn texts_become_the_same_ids() {
    let (mut subject, mut reference) = Pair::new("F16", "F16").open();
    let options = TokenizeOptions { add_special: true, parse_special: false };
    for text in
        ["", "Hello world", "  two  spaces\n", "naïve 東京 🙂", "1984 3.14", "it's <|eot_id|>"]
    {
        let ours = subject.tokenize(text, options).expect("ids");
        assert_eq!(reference.tokenize(text, options).expect("ids"), ours, "{text:?}");
    }
}

#[test]
fn what_llama_cpp_does_not_know_is_refused_in_its_words() {
    let pair = Pair::new("F16", "F16");
    let request = OpenRequest::new(pair.path(OURS), 64);
    let refusal = worker().open(&request).expect_err("another name").to_string();
    assert!(refusal.contains("unknown model architecture: 'bitnet-b1.58'"), "{refusal}");
}
