//! Keys in F16, which benchmarks use, and in Q8_0 against bitnet.cpp with the same settings: the same bits.

use std::fs::File;
use std::path::Path;

use bitnet_engine::model::KeyCache;
use bitnet_engine::synth::{SynthSpec, write_model};
use bitnet_runner::backend::engine::EngineBackend;
use bitnet_runner::backend::protocol::build_id;
use bitnet_runner::backend::worker::{WorkerBackend, WorkerSpec};
use bitnet_runner::backend::{Backend, Feed, KEYS_IN_Q8_0, OpenRequest, SPEED_SETTINGS};
use tempfile::TempDir;

fn worker(args: &[&str]) -> WorkerBackend {
    WorkerBackend::start(WorkerSpec {
        name: "bitnet-cpp".into(),
        program: Path::new(env!("CARGO_BIN_EXE_bitnet-cpp-worker")).into(),
        args: args.iter().map(Into::into).collect(),
        env: Vec::new(),
        build: Some(build_id()),
        remedy: "build with the feature".into(),
        handshake_seconds: 30,
        request_seconds: 60,
    })
    .expect("the worker starts")
}

const NOT_COMPARED: &str = "not the AVX2 build of this workspace, nothing to compare with";

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// A model of this architecture, preset and type, in a folder of its own.
fn open(architecture: &str, preset: &str, weights: &str) -> (TempDir, OpenRequest) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("m.gguf");
    let spec = SynthSpec::from_names(architecture, preset, weights, "F16", 1).expect("a spec");
    write_model(&spec, File::create(&path).expect("a file"), |_, _| ()).expect("the model");
    (folder, OpenRequest::new(&path, 128))
}

/// 100 positions by both paths, with keys of this type and the reference's program started with `args`: the
/// same bits, and others than with keys in F32. False where the reference is another build, whose bits are its
/// own, and nothing was compared.
fn agrees_with_the_reference(request: &OpenRequest, keys: KeyCache, args: &[&str]) -> bool {
    let ids: Vec<u32> = (0..100).map(|i| i * 37 % 300).collect();
    let (mut subject, mut reference) = (EngineBackend::with_keys(keys), worker(args));
    let (ours, theirs) = (&subject.identity().build, &reference.identity().build);
    assert!(ours.ends_with(&format!("keys in {keys}")), "{ours}");
    assert_eq!(theirs.contains("keys in Q8_0"), keys == KeyCache::Q8_0, "{theirs}");
    if !theirs.contains("-march=x86-64-v3") {
        return false;
    }
    subject.open(request).expect("the engine opens it");
    reference.open(request).expect("bitnet.cpp opens it");
    for feed in [Feed::Prefill, Feed::Steps] {
        let ours = subject.logits(&ids, feed).expect("logits");
        let theirs = reference.logits(&ids, feed).expect("logits");
        assert_eq!(bits(&ours.values), bits(&theirs.values), "{feed:?}");
    }
    // With F32 keys they are others: the comparison can fail.
    let mut exact = EngineBackend::new();
    exact.open(request).expect("the engine opens it");
    let (ours, theirs) = (exact.logits(&ids, Feed::Prefill), reference.logits(&ids, Feed::Prefill));
    assert_ne!(bits(&ours.expect("logits").values), bits(&theirs.expect("logits").values));
    true
}

#[test]
fn keys_in_f16_are_the_references() {
    let (_folder, request) = open("bitnet-b1.58", "tiny", "I2_S");
    if !agrees_with_the_reference(&request, KeyCache::F16, &[SPEED_SETTINGS]) {
        eprintln!("{NOT_COMPARED}");
    }
}

#[test]
fn keys_in_q8_0_are_the_references() {
    // Heads of 64 values, and of 96 with neighbours turned.
    for (architecture, preset, weights) in
        [("bitnet-b1.58", "tiny", "I2_S"), ("llama", "tiny-wide-heads", "F32")]
    {
        let (_folder, request) = open(architecture, preset, weights);
        for args in [&[KEYS_IN_Q8_0][..], &[SPEED_SETTINGS, KEYS_IN_Q8_0]] {
            if !agrees_with_the_reference(&request, KeyCache::Q8_0, args) {
                eprintln!("{NOT_COMPARED}");
            }
        }
    }
}

#[test]
fn heads_that_are_no_whole_blocks_are_refused_by_both_engines() {
    let (_folder, request) = open("llama", "tiny-heads-of-100", "F32");
    let ours = EngineBackend::with_keys(KeyCache::Q8_0).open(&request).expect_err("refused");
    assert_eq!(
        ours.to_string(),
        "keys in q8_0 come in blocks of 32 values, and this model's heads have 100; take keys in f16 or f32"
    );
    let theirs = worker(&[KEYS_IN_Q8_0]).open(&request).expect_err("refused").to_string();
    let why =
        "keys in Q8_0 come in blocks of 32 values, which heads of 100 are not: take F16 or F32";
    assert!(theirs.contains(why), "{theirs}");
}
