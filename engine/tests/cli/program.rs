//! Models for the plain verbs, and calls that read standard input.

#[path = "../support/program.rs"]
mod shared;

use std::io::Write;
use std::process::Stdio;

use bitnet_engine::gguf::{Directory, GgufWriter};
use bitnet_engine::synth::{Preset, SynthSpec, WeightType};

pub use shared::{Ended, Models, call, command};

/// A call that reads `input` from standard input.
pub fn call_with(args: &[&str], input: &[u8]) -> Ended {
    let mut command = command(args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program runs");
    child.stdin.take().expect("a pipe").write_all(input).expect("it reads all");
    Ended::of(child.wait_with_output().expect("it ends"))
}

impl Models {
    /// All weights are f32, so that a test can change one.
    pub fn new() -> Self {
        Self::of(&SynthSpec {
            architecture: "bitnet-b1.58",
            preset: Preset::Tiny,
            weights: WeightType::F32,
            embedding: WeightType::F32,
            tied: true,
            seed: 7,
        })
    }

    /// The model with another architecture's name, and that one's keys.
    pub fn of_architecture(&self, name: &str) -> String {
        let directory = Directory::parse(&self.bytes).expect("a good file");
        let mut writer = GgufWriter::new();
        for (key, value) in directory.metadata().iter() {
            match key {
                "general.architecture" => writer.str(key, name).map(drop).expect("a text"),
                _ => writer.value(key, value).map(drop).expect("as read"),
            }
        }
        for tensor in directory.tensors() {
            let (name, bytes) = (&tensor.name, &self.bytes[tensor.range()]);
            writer.tensor_bytes(name, tensor.tensor_type, &tensor.dims, bytes).expect("as read");
        }
        let mut bytes = Vec::new();
        writer.write(&mut bytes).expect("memory takes all bytes");
        self.file("other.gguf", &bytes)
    }
}
