//! Synthetic models as bytes and as opened files, for tests of what computes with them. No checks.

use std::io::Write;
use std::sync::Arc;

use bitnet_engine::gguf::GgufFile;
use bitnet_engine::kernels::Kernels;
use bitnet_engine::model::{Config, Model};
use bitnet_engine::synth::{Preset, SynthSpec, WeightType, write_model};

/// The spec that the others differ from.
pub const TINY: SynthSpec = SynthSpec {
    architecture: "bitnet-b1.58",
    preset: Preset::Tiny,
    weights: WeightType::I2S,
    embedding: WeightType::F16,
    tied: true,
    seed: 7,
};

/// The bytes of a model.
pub fn bytes(spec: &SynthSpec) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_model(spec, &mut bytes, |_, _| {}).expect("memory takes all bytes");
    bytes
}

/// A file with these bytes; it stays open when its name is gone.
pub fn open(bytes: &[u8]) -> Arc<GgufFile> {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(bytes).expect("room for a small file");
    Arc::new(GgufFile::open(file.path()).expect("a GGUF file"))
}

/// The model in a file, laid out for `kernels`.
pub fn load(file: &Arc<GgufFile>, kernels: &'static Kernels) -> Arc<Model> {
    let config = Config::from_file(file).expect("good hyper-parameters");
    Arc::new(Model::load(file, config, kernels).expect("a whole model"))
}
