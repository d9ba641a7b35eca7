//! Models for generation, calls with pipes, and what the library makes of the same.

#[path = "../support/program.rs"]
mod shared;

use std::io::Write;
use std::num::NonZeroUsize;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use bitnet_engine::gguf::Directory;
use bitnet_engine::model::{LogitsOf, Model};
use bitnet_engine::sample::greedy;
use bitnet_engine::session::Session;
use bitnet_engine::synth::SynthSpec;
use serde_json::Value;

pub use shared::{Ended, Models, call};

impl Ended {
    /// Standard output as JSON lines.
    #[track_caller]
    pub fn lines(&self) -> Vec<Value> {
        let line = |line| serde_json::from_str(line).expect("a JSON object a line");
        self.out.lines().map(line).collect()
    }
}

/// The command, with both of its outputs in pipes.
pub fn command(args: &[&str]) -> Command {
    let mut command = shared::command(args);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A call that reads `input` from standard input.
pub fn call_with(args: &[&str], input: &str) -> Ended {
    let mut child: Child = command(args).stdin(Stdio::piped()).spawn().expect("the program runs");
    // It may end before it has read all.
    let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
    Ended::of(child.wait_with_output().expect("it ends"))
}

impl Models {
    pub fn new() -> Self {
        Self::of_types("I2_S", "F16")
    }

    pub fn of_types(weights: &str, embedding: &str) -> Self {
        let spec = SynthSpec::from_names("bitnet-b1.58", "tiny", weights, embedding, 7);
        Self::of(&spec.expect("a good spec"))
    }

    /// A model that claims far more positions than a test has time for.
    pub fn endless() -> Self {
        let mut models = Self::new();
        let directory = Directory::parse(&models.bytes).expect("a good file");
        let offset = directory.metadata().offset("bitnet-b1.58.context_length");
        let offset = offset.expect("is there") as usize;
        models.bytes[offset..offset + 4].copy_from_slice(&(1u32 << 20).to_le_bytes());
        models.file("model.gguf", &models.bytes);
        models
    }

    pub fn load(&self) -> Arc<Model> {
        Arc::new(Model::open(&self.place("model.gguf")).expect("a whole model"))
    }

    /// A receipt or another JSON document.
    pub fn json(&self, name: &str) -> Value {
        let bytes = std::fs::read(self.place(name)).expect("it was written");
        serde_json::from_slice(&bytes).expect("a JSON document")
    }
}

/// The ids that greedy choice appends to `prompt`, up to `count` or one that ends the text.
pub fn greedy_ids(model: &Arc<Model>, prompt: &[u32], count: usize) -> Vec<u32> {
    let mut session = Session::new(model, 512, NonZeroUsize::MIN).expect("a session");
    let mut id = greedy(&session.prefill(prompt, LogitsOf::Last).expect("room")).expect("logits");
    let mut ids = Vec::new();
    while ids.len() < count && !model.tokenizer().is_end_of_generation(id) {
        ids.push(id);
        id = greedy(session.step(id).expect("room")).expect("logits");
    }
    ids
}

/// Ids of the token events among `lines`.
pub fn tokens(lines: &[Value]) -> Vec<u32> {
    let tokens = lines.iter().filter(|line| line["event"] == "token");
    tokens.map(|line| line["id"].as_u64().expect("an id") as u32).collect()
}

/// Text of the events among `lines`, that which was held back included.
pub fn text(lines: &[Value]) -> String {
    let part = |line: &Value| match line["event"].as_str() {
        Some("token") => line["text"].as_str().map(str::to_owned),
        Some("end") => line["rest"].as_str().map(str::to_owned),
        _ => None,
    };
    lines.iter().filter_map(part).collect()
}

/// Numbers of a JSON array.
pub fn ids(value: &Value) -> Vec<u32> {
    let values = value.as_array().expect("an array").iter();
    values.map(|id| id.as_u64().expect("an id") as u32).collect()
}
