//! Calls of the program, and models for it. Asserts nothing but exit codes.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use bitnet_engine::exit::Exit;
use bitnet_engine::gguf::{Directory, GgufWriter};
use bitnet_engine::synth::{Preset, SynthSpec, WeightType, write_model};
use tempfile::TempDir;

/// How a call ended.
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ended {
    #[track_caller]
    pub fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// The code is this one.
    #[track_caller]
    pub fn with(self, exit: Exit) -> Self {
        let (out, err) = (&self.out, &self.err);
        assert_eq!(self.code, Some(exit.code().into()), "stdout:\n{out}\nstderr:\n{err}");
        self
    }
}

/// `bitnet`, with nothing of the caller's settings.
pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bitnet"));
    let settings = ["BITNET_MODEL", "CARGO_TERM_COLOR", "NO_COLOR", "CLICOLOR_FORCE", "CLICOLOR"];
    for variable in settings {
        command.env_remove(variable);
    }
    command.args(args).stdin(Stdio::null());
    command
}

pub fn call(args: &[&str]) -> Ended {
    Ended::of(command(args).output().expect("the program runs"))
}

/// A call that reads `input` from standard input.
pub fn call_with(args: &[&str], input: &[u8]) -> Ended {
    let mut command = command(args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program runs");
    child.stdin.take().expect("a pipe").write_all(input).expect("it reads all");
    Ended::of(child.wait_with_output().expect("it ends"))
}

/// A folder with a small model in it.
pub struct Models {
    pub folder: TempDir,
    pub bytes: Vec<u8>,
}

impl Models {
    /// All weights are f32, so that a test can change one.
    pub fn new() -> Self {
        let spec = SynthSpec {
            architecture: "bitnet-b1.58",
            preset: Preset::Tiny,
            weights: WeightType::F32,
            embedding: WeightType::F32,
            tied: true,
            seed: 7,
        };
        let mut bytes = Vec::new();
        write_model(&spec, &mut bytes, |_, _| {}).expect("memory takes all bytes");
        let models = Self { folder: tempfile::tempdir().expect("a temporary folder"), bytes };
        models.file("model.gguf", &models.bytes);
        models
    }

    /// The model's path.
    pub fn path(&self) -> String {
        shown(&self.place("model.gguf"))
    }

    /// A file of this name in the folder.
    pub fn place(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file and returns its path.
    pub fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.place(name);
        std::fs::write(&path, bytes).expect("room for a small file");
        shown(&path)
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

fn shown(path: &Path) -> String {
    path.to_str().expect("a path in UTF-8").to_owned()
}
