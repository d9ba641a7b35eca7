//! A throw-away project to break rules in, and what messages must say. Knows no single rule.

use std::fs;
use std::path::PathBuf;

use bitnet_runner::models::ModelLock;
pub use bitnet_runner::run::KNOWN;
use bitnet_runner::suite;
use bitnet_runner::suite::case::Suite;

pub const LOCK: &str = r#"schema_version = 1

[[model]]
id = "small"
tier = "ci-light"
sha256 = "4221b252fdd5fd25e15847adfeb5ee88886506ba50b8a34548374492884c2162"
bytes = 5
license = "MIT"
references = ["bitnet-cpp"]
source = { path = "models/small.gguf" }

[[model]]
id = "large"
tier = "integration"
sha256 = "4221b252fdd5fd25e15847adfeb5ee88886506ba50b8a34548374492884c2162"
bytes = 5
license = "MIT"
references = []
source = { url = "https://example.org/large.gguf", mirrors = ["https://example.com/l.gguf"] }
"#;

/// A folder with `models.toml` and `suites/`, removed at the end.
pub struct Project(tempfile::TempDir);

impl Project {
    pub fn new(files: &[(&str, &[u8])]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(folder.path().join("suites")).expect("the suites folder");
        let project = Self(folder);
        project.write("models.toml", LOCK.as_bytes());
        for (path, bytes) in files {
            project.write(path, bytes);
        }
        project
    }

    pub fn path(&self, relative: &str) -> PathBuf {
        self.0.path().join(relative)
    }

    pub fn write(&self, relative: &str, bytes: &[u8]) {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().expect("a parent")).expect("its folder");
        fs::write(path, bytes).expect("the file");
    }

    /// The rendered errors, with paths relative to the project.
    pub fn load(&self) -> Result<Vec<Suite>, String> {
        let prefix = format!("{}/", self.0.path().display());
        let lock = ModelLock::read(&self.path("models.toml"))
            .map_err(|errors| errors.to_string().replace(&prefix, ""))?;
        suite::load(&self.path("suites"), &lock, &KNOWN)
            .map_err(|errors| errors.to_string().replace(&prefix, ""))
    }

    pub fn errors(&self) -> String {
        self.load().expect_err("the files must be refused")
    }
}

/// Lines 1 to 6 of every suite below; a case's own lines begin at line 7.
pub const HEAD: &str = "kind = \"parity\"\nanalysis = \"x\"\n[defaults]\nmodel = \"small\"\ntier = \"ci-light\"\n[[case]]\n";

/// A good case; with `HEAD` it fills lines 7 to 10.
pub const GOOD: &str = "name = \"a\"\nprompt = \"x\"\nsteps = 4\ntolerance = \"same-numerics\"\n";

pub fn one(text: &str) -> Project {
    Project::new(&[("suites/x.toml", text.as_bytes())])
}

/// The errors of one suite file.
pub fn refused(text: &str) -> String {
    one(text).errors()
}

/// Each part must stand in the message; a part with `-->` is the place, one with `^` the caret.
#[track_caller]
pub fn says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "`{part}` is not in:\n{message}");
    }
}

/// Exactly one error with these parts.
#[track_caller]
pub fn says_only(message: &str, parts: &[&str]) {
    says(message, parts);
    assert!(message.ends_with("\n1 error; nothing was run"), "{message}");
}
