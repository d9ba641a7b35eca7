//! Calls of `bitnet` and a folder with a model for it. Asserts nothing but exit codes.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use bitnet_engine::exit::Exit;
use bitnet_engine::synth::{SynthSpec, write_model};
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

/// A folder with a small model in it.
pub struct Models {
    pub folder: TempDir,
    pub bytes: Vec<u8>,
}

impl Models {
    /// The model of `spec`.
    pub fn of(spec: &SynthSpec) -> Self {
        let mut bytes = Vec::new();
        write_model(spec, &mut bytes, |_, _| {}).expect("memory takes all bytes");
        let models = Self { folder: tempfile::tempdir().expect("a temporary folder"), bytes };
        models.file("model.gguf", &models.bytes);
        models
    }

    /// The model's path.
    pub fn path(&self) -> String {
        self.text_of("model.gguf")
    }

    /// A file of this name in the folder.
    pub fn place(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Its path as an argument.
    pub fn text_of(&self, name: &str) -> String {
        self.place(name).to_str().expect("a path in UTF-8").to_owned()
    }

    /// Writes a file and returns its path.
    pub fn file(&self, name: &str, bytes: &[u8]) -> String {
        std::fs::write(self.place(name), bytes).expect("room for a small file");
        self.text_of(name)
    }
}
