//! The `parity` program in projects of a test's own, with nothing of the caller's settings.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use bitnet_runner::exit::Exit;
use tempfile::TempDir;

const HEAD: &str = "kind = \"quantization\"\nanalysis = \"x\"\n[defaults]\ntier = \"ci-light\"\n\
                    type = \"Q4_0\"\nrows = 16\ncolumns = 64\nseed = 1\nweights = \"normal\"\n";

/// A suite with one case that passes.
pub const GOOD: &str = "kind = \"quantization\"\nanalysis = \"x\"\n[[case]]\nname = \"good\"\n\
                        tier = \"ci-light\"\ntype = \"Q4_0\"\nrows = 16\ncolumns = 64\nseed = 1\n\
                        weights = \"normal\"\n";

/// How a call ended.
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ended {
    pub fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    #[track_caller]
    pub fn with(self, exit: Exit) -> Self {
        let (out, err) = (&self.out, &self.err);
        assert_eq!(self.code, Some(exit.code().into()), "stdout:\n{out}\nstderr:\n{err}");
        self
    }
}

/// A project in a folder of its own.
pub struct Project(TempDir);

impl Project {
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn command(&self, args: &[&str]) -> Command {
        command(self.0.path(), args)
    }

    pub fn call(&self, args: &[&str]) -> Ended {
        Ended::of(self.command(args).output().expect("the program runs"))
    }
}

/// The program in `folder`.
fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_parity"));
    for variable in [
        "BITNET_TIER",
        "BITNET_ALLOW_SKIP",
        "CARGO_TERM_COLOR",
        "GITHUB_ACTIONS",
        "GITHUB_STEP_SUMMARY",
    ] {
        command.env_remove(variable);
    }
    command.current_dir(folder).args(args);
    command
}

/// The program in the shipped project: its models are made where they are not here, and goldens answer for
/// references that are not built.
pub fn shipped(args: &[&str]) -> Ended {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    Ended::of(command(&root, args).output().expect("the program runs"))
}

/// A project with the shipped lock and these suites.
pub fn project(suites: &[(&str, &str)]) -> Project {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models.toml");
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::copy(shipped, folder.path().join("models.toml")).expect("the lock");
    fs::create_dir(folder.path().join("suites")).expect("the suites folder");
    for (name, text) in suites {
        fs::write(folder.path().join("suites").join(name), text).expect("a suite");
    }
    Project(folder)
}

/// One case that passes, one that breaks a limit, one of a higher tier.
pub fn mixed() -> Project {
    let suite = format!(
        "{HEAD}[[case]]\nname = \"good\"\n[[case]]\nname = \"bad\"\nlimits = {{ nmse = 1e-9 }}\n\
         [[case]]\nname = \"above\"\ntier = \"integration\"\n"
    );
    project(&[("mixed.toml", &suite)])
}

#[track_caller]
pub fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
}
