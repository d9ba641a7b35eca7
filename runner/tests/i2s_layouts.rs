//! A model whose I2_S is packed as ARM builds pack it: with `i2s-layout` in the lock it is the same
//! model to the last bit, without it the load is refused, and no reference reads it in its own way.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use bitnet_engine::gguf::{GgufFile, GgufWriter, TensorInfo, TensorType};
use bitnet_engine::quant::i2_s::{self, FileLayout};
use bitnet_engine::synth::{SynthSpec, write_model};
use bitnet_runner::backend::engine::EngineBackend;
use bitnet_runner::backend::{Backend, Feed, OpenRequest};
use bitnet_runner::run::{Cause, Engines, Outcome, Project, Runner, Settings};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

const ALONE: &str = r#"kind = "metamorphic"
analysis = "The engine alone."
[[case]]
name = "a"
model = "m"
tier = "ci-light"
prompt = "Many hands make light work."
relation = "prefill-equals-steps"
"#;

#[cfg(all(feature = "bitnet-cpp", target_arch = "x86_64"))]
const COMPARED: &str = r#"kind = "parity"
analysis = "A reference that cannot read the file."
[[case]]
name = "a"
model = "m"
tier = "ci-light"
prompt = "Many hands make light work."
steps = 4
tolerance = "same-numerics"
"#;

/// Norms in front of matrices, by the matrix's name.
const NORMS: [(&str, &str); 4] = [
    ("attn_q", "attn_norm"),
    ("attn_output", "attn_sub_norm"),
    ("ffn_gate", "ffn_norm"),
    ("ffn_down", "ffn_sub_norm"),
];

/// One tensor's codes in 128-value blocks, and how many rows have a zero in each column.
fn zeros(codes: &[u8], columns: usize) -> Vec<f32> {
    let rows = codes.chunks_exact(columns / 4);
    let share = |column: usize| {
        let zero = |row: &&[u8]| i2_s::code(row, column) == 1;
        rows.clone().filter(zero).count() as f32 / rows.len() as f32
    };
    (0..columns).map(share).collect()
}

/// The codes of 128-value blocks in blocks of 64: byte j of 16 holds the values j, 16+j, 32+j, 48+j.
fn packed_for_arm(codes: &[u8], columns: usize) -> Vec<u8> {
    let byte = |i: usize| {
        let (row, block, j) = (i * 4 / columns, i % (columns / 4) / 16, i % 16);
        let row = &codes[row * columns / 4..][..columns / 4];
        let code = |slot: usize| i2_s::code(row, 64 * block + 16 * slot + j);
        (0..4).fold(0, |byte, slot| byte | code(slot) << (6 - 2 * slot))
    };
    (0..codes.len()).map(byte).collect()
}

/// What a tensor of the tiny model becomes in the file for ARM, or in the one for x86.
fn content(file: &GgufFile, tensor: &TensorInfo, arm: bool) -> Vec<u8> {
    let (columns, data) = (tensor.dims[0], file.data(tensor));
    let behind = NORMS.iter().find(|(_, norm)| tensor.name.ends_with(&format!("{norm}.weight")));
    if tensor.tensor_type == TensorType::I2S && arm {
        let (codes, tail) = data.split_at(data.len() - i2_s::TAIL_BYTES);
        return [packed_for_arm(codes, columns).as_slice(), tail].concat();
    }
    let Some((matrix, norm)) = behind else { return data.to_vec() };
    let matrix = file.tensor(&tensor.name.replace(norm, matrix)).expect("its matrix");
    let codes = file.data(matrix);
    let shares = zeros(&codes[..codes.len() - i2_s::TAIL_BYTES], columns);
    shares.iter().flat_map(|share| (1.0 + 0.3 * share).to_le_bytes()).collect()
}

/// Writes the tiny model as `x86.gguf` and `arm.gguf`. Its norms follow the zeros of the matrices
/// behind them, as training makes them: without that no program could tell the packings apart.
fn write_both(folder: &Path) {
    let spec = SynthSpec::from_names("bitnet-b1.58", "tiny", "I2_S", "F16", 1).expect("a spec");
    let base = folder.join("base.gguf");
    write_model(&spec, File::create(&base).expect("a file"), |_, _| ()).expect("the model");
    let file = GgufFile::open(&base).expect("the model");
    for (name, arm) in [("x86.gguf", false), ("arm.gguf", true)] {
        let contents: Vec<Vec<u8>> =
            file.tensors().iter().map(|tensor| content(&file, tensor, arm)).collect();
        let mut writer = GgufWriter::new();
        for (key, value) in file.metadata().iter() {
            writer.value(key, value).expect("a key");
        }
        for (tensor, bytes) in file.tensors().iter().zip(&contents) {
            writer.tensor_bytes(&tensor.name, tensor.tensor_type, &tensor.dims, bytes).expect("it");
        }
        writer.write(File::create(folder.join(name)).expect("a file")).expect("the model");
    }
}

/// A project whose model `m` is `arm.gguf`, with `line` in its entry.
fn project(line: &str, suite: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    write_both(folder.path());
    let bytes = fs::read(folder.path().join("arm.gguf")).expect("the model");
    let sha256: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let lock = format!(
        "schema_version = 1\n[[model]]\nid = \"m\"\ntier = \"ci-light\"\nsha256 = \"{sha256}\"\n\
         bytes = {}\nlicense = \"MIT\"\nreferences = [\"bitnet-cpp\"]\n{line}source = {{ path = \
         \"arm.gguf\" }}\n",
        bytes.len()
    );
    fs::write(folder.path().join("models.toml"), lock).expect("the lock");
    fs::create_dir(folder.path().join("suites")).expect("the suites folder");
    fs::write(folder.path().join("suites/x.toml"), suite).expect("a suite");
    folder
}

fn outcome(line: &str, suite: &str) -> Outcome {
    let folder = project(line, suite);
    let project = Arc::new(Project::load(folder.path()).unwrap_or_else(|error| panic!("{error}")));
    let settings = Settings { allow_skip: false, progress: Box::new(|_| ()) };
    let mut runner = Runner::new(Arc::clone(&project), Engines::default(), settings);
    runner.run(&project.trials[0])
}

#[test]
fn stated_it_is_the_same_model_to_the_last_bit() {
    let folder = tempfile::tempdir().expect("a folder");
    write_both(folder.path());
    let ids: Vec<u32> = (0..12).map(|i| (i * 197 + 31) % 300).collect();
    let logits = |name: &str, i2s_layout| {
        let request = OpenRequest { i2s_layout, ..OpenRequest::new(folder.path().join(name), 12) };
        let mut engine = EngineBackend::new();
        engine.open(&request).expect("it loads");
        engine.logits(&ids, Feed::Prefill).expect("logits")
    };
    let truth = logits("x86.gguf", FileLayout::X86);
    assert_eq!(logits("arm.gguf", FileLayout::Arm), truth);
    // The same engine, another statement: what is open is not used again.
    let mut engine = EngineBackend::new();
    let request = OpenRequest::new(folder.path().join("x86.gguf"), 12);
    engine.open(&request).expect("it loads");
    let wrong = engine.open(&OpenRequest { i2s_layout: FileLayout::Arm, ..request });
    assert!(wrong.expect_err("refused").to_string().contains("state the I2_S layout x86"));
}

#[test]
fn with_the_key_a_case_runs_and_without_it_says_what_to_write() {
    let stated = outcome("i2s-layout = \"arm\"\n", ALONE);
    assert!(matches!(stated, Outcome::Passed { .. }), "{stated:?}");
    let Outcome::Failed { cause: Cause::Load, text, .. } = outcome("", ALONE) else {
        panic!("another model is not computed")
    };
    for part in [
        "error[E10]",
        "the file was to be read in the I2_S layout x86, but its matrices fit their norms in the \
         layout arm",
        "next: write `i2s-layout = \"arm\"` into the entry of 'm' in models.toml",
    ] {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
}

/// bitnet.cpp would compute another model without a word.
#[test]
#[cfg(all(feature = "bitnet-cpp", target_arch = "x86_64"))]
fn a_reference_of_another_packing_is_not_asked() {
    let Outcome::Failed { cause: Cause::Engine, text, .. } =
        outcome("i2s-layout = \"arm\"\n", COMPARED)
    else {
        panic!("nothing was compared")
    };
    assert_eq!(
        text,
        "ERROR: no reference here reads this file: models.toml says that its I2_S is packed as `arm`, \
         bitnet.cpp built for this processor reads `x86`, and llama.cpp has no I2_S\n  metamorphic \
         cases can use the model; for a comparison quantise it as `x86`"
    );
}
