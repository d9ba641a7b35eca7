//! Keys in F16, which benchmarks use, against bitnet.cpp with the settings of its benchmarks: the same bits.

use std::fs::File;
use std::path::Path;

use bitnet_engine::synth::{SynthSpec, write_model};
use bitnet_runner::backend::engine::EngineBackend;
use bitnet_runner::backend::protocol::build_id;
use bitnet_runner::backend::worker::{WorkerBackend, WorkerSpec};
use bitnet_runner::backend::{Backend, Feed, OpenRequest, SPEED_SETTINGS};

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

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn keys_in_f16_are_the_references() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("m.gguf");
    let spec = SynthSpec::from_names("bitnet-b1.58", "tiny", "I2_S", "F16", 1).expect("a spec");
    write_model(&spec, File::create(&path).expect("a file"), |_, _| ()).expect("the model");
    let request = OpenRequest::new(&path, 128);
    let ids: Vec<u32> = (0..100).map(|i| i * 37 % 300).collect();
    let (mut subject, mut reference) = (EngineBackend::for_speed(), worker(&[SPEED_SETTINGS]));
    assert!(subject.identity().build.ends_with("keys in F16"), "{}", subject.identity().build);
    if !reference.identity().build.contains("-march=x86-64-v3") {
        eprintln!("not the AVX2 build of this workspace, nothing to compare with");
        return;
    }
    subject.open(&request).expect("the engine opens it");
    reference.open(&request).expect("bitnet.cpp opens it");
    for feed in [Feed::Prefill, Feed::Steps] {
        let ours = subject.logits(&ids, feed).expect("logits");
        let theirs = reference.logits(&ids, feed).expect("logits");
        assert_eq!(bits(&ours.values), bits(&theirs.values), "{feed:?}");
    }
    // With F32 keys they are others: the comparison can fail.
    let mut exact = EngineBackend::new();
    exact.open(&request).expect("the engine opens it");
    let (ours, theirs) = (exact.logits(&ids, Feed::Prefill), reference.logits(&ids, Feed::Prefill));
    assert_ne!(bits(&ours.expect("logits").values), bits(&theirs.expect("logits").values));
}
