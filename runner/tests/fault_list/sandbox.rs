//! A project, a cache and a home of a trial's own, and `parity` in them with nothing of the caller's
//! settings. Knows no fault.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::program::{Ended, Running};
use crate::tls;

pub const MIB: usize = 1 << 20;

/// `n` bytes that `seed` decides and that repeat nowhere.
pub fn bytes(seed: u64, n: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = Vec::with_capacity(n + 8);
    while out.len() < n {
        // xorshift64 (Marsaglia 2003)
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend(state.to_le_bytes());
    }
    out.truncate(n);
    out
}

/// A model of a trial. The store asks nothing of its bytes but their hash.
#[derive(Debug, Clone)]
pub struct Model {
    pub id: String,
    pub bytes: Vec<u8>,
    /// The value of `source` in the lock.
    source: String,
}

impl Model {
    pub fn new(id: &str, bytes: Vec<u8>, source: &str) -> Self {
        Self { id: id.to_owned(), bytes, source: source.to_owned() }
    }

    /// 3 MiB from `url`.
    pub fn at(url: &str) -> Self {
        Self::new("model", bytes(1, 3 * MIB), &format!("{{ url = \"{url}\" }}"))
    }

    /// 3 MiB of the hub's repository `owner/name`, file `model.gguf`.
    pub fn of_the_hub() -> Self {
        let source = format!(
            "{{ hf = \"owner/name\", revision = \"{}\", file = \"model.gguf\" }}",
            "1234567890".repeat(4)
        );
        Self::new("model", bytes(1, 3 * MIB), &source)
    }

    pub fn called(mut self, id: &str) -> Self {
        id.clone_into(&mut self.id);
        self
    }

    pub fn with_bytes(mut self, bytes: Vec<u8>) -> Self {
        self.bytes = bytes;
        self
    }

    pub fn sha256(&self) -> String {
        Sha256::digest(&self.bytes).iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }

    /// Its `[[model]]` of the lock.
    pub fn entry(&self) -> String {
        format!(
            "[[model]]\nid = \"{}\"\ntier = \"ci-light\"\nsha256 = \"{}\"\nbytes = {}\n\
             license = \"MIT\"\nreferences = []\nsource = {}\n\n",
            self.id,
            self.sha256(),
            self.bytes.len(),
            self.source
        )
    }
}

/// Where a trial lives; removed at its end.
pub struct Sandbox {
    folder: TempDir,
}

impl Sandbox {
    /// A project whose lock holds `models`, and an empty cache.
    pub fn with(models: &[&Model]) -> Self {
        let sandbox = Self { folder: tempfile::tempdir().expect("a temporary folder") };
        for folder in ["project/suites", "home", "tmp"] {
            fs::create_dir_all(sandbox.path(folder)).expect("a folder");
        }
        sandbox.write("ca.pem", tls::AUTHORITY.as_bytes());
        sandbox.lock(models);
        sandbox
    }

    /// Writes the lock anew.
    pub fn lock(&self, models: &[&Model]) {
        let entries: String = models.iter().map(|model| model.entry()).collect();
        self.write("project/models.toml", format!("schema_version = 1\n\n{entries}").as_bytes());
    }

    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    pub fn path(&self, relative: &str) -> PathBuf {
        self.folder.path().join(relative)
    }

    pub fn cache(&self) -> PathBuf {
        self.path("cache")
    }

    /// Removes the cache, and again whatever a program puts into it meanwhile.
    pub fn remove_cache(&self) {
        while self.cache().exists() {
            if let Err(error) = fs::remove_dir_all(self.cache()) {
                let raced =
                    matches!(error.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::NotFound);
                assert!(raced, "{}: {error}", self.cache().display());
            }
        }
    }

    pub fn write(&self, relative: &str, bytes: &[u8]) {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().expect("a parent")).expect("its folder");
        fs::write(path, bytes).expect("a file");
    }

    /// `models/<sha256>` in the cache.
    pub fn folder(&self, model: &Model) -> PathBuf {
        self.cache().join("models").join(model.sha256())
    }

    /// Where the verified file belongs.
    pub fn place(&self, model: &Model) -> PathBuf {
        self.folder(model).join("model.gguf")
    }

    /// Settings of the program: of the caller's environment, only what no test is about.
    pub fn settle(&self, command: &mut Command) {
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            let prefixes = ["HF_", "BITNET_", "XDG_", "SSL_", "CARGO_", "CLICOLOR"];
            if prefixes.iter().any(|prefix| name.starts_with(prefix))
                || name.to_lowercase().ends_with("_proxy")
                || ["CI", "NO_COLOR"].contains(&&*name)
            {
                command.env_remove(name);
            }
        }
        command
            .current_dir(self.path("project"))
            .env("HOME", self.path("home"))
            .env("TMPDIR", self.path("tmp"))
            .env("BITNET_CACHE_DIR", self.cache())
            .env("SSL_CERT_FILE", self.path("ca.pem"))
            .env("HF_ENDPOINT", "http://127.0.0.1:9");
    }

    /// `parity` with `args`.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_parity"));
        self.settle(&mut command);
        command.args(args);
        command
    }

    /// Runs `program` (`sh`, `strace`, …) with the same settings.
    pub fn wrapped<A: AsRef<OsStr>>(&self, program: &str, args: &[A]) -> Command {
        let mut command = Command::new(program);
        self.settle(&mut command);
        command.args(args);
        command
    }

    pub fn run(&self, args: &[&str]) -> Ended {
        Running::start(self.command(args)).end()
    }

    /// Runs with further settings.
    pub fn run_with(&self, args: &[&str], settings: &[(&str, &str)]) -> Ended {
        let mut command = self.command(args);
        command.envs(settings.iter().copied());
        Running::start(command).end()
    }

    /// Asserts that the verified file is in its place, protected, with nothing left over beside it.
    #[track_caller]
    pub fn has(&self, model: &Model) {
        let place = self.place(model);
        let file =
            fs::symlink_metadata(&place).unwrap_or_else(|e| panic!("{}: {e}", place.display()));
        assert!(file.is_file(), "{} is no plain file", place.display());
        assert!(fs::read(&place).expect("the model") == model.bytes, "other bytes are in place");
        assert_eq!(file.permissions().mode() & 0o777, 0o444, "a reader's file must not change");
        self.has_no_partial(model);
    }

    /// Asserts that nothing is under the model's final name.
    #[track_caller]
    pub fn lacks(&self, model: &Model) {
        let place = self.place(model);
        assert!(fs::symlink_metadata(&place).is_err(), "{} is there", place.display());
    }

    /// Asserts that no partial download is left.
    #[track_caller]
    pub fn has_no_partial(&self, model: &Model) {
        let left: Vec<PathBuf> =
            self.files().into_iter().filter(|path| name(path).starts_with(".partial")).collect();
        assert!(left.is_empty(), "left of '{}': {left:?}", model.id);
    }

    /// Bytes of the partial download, if there is one.
    pub fn partial(&self, model: &Model) -> Option<u64> {
        fs::symlink_metadata(self.folder(model).join(".partial")).ok().map(|file| file.len())
    }

    /// Every file, link and folder in the cache, sorted. Links are not followed.
    pub fn files(&self) -> Vec<PathBuf> {
        files(&self.cache())
    }

    /// Those whose name begins with `.corrupt-`.
    pub fn quarantined(&self) -> Vec<PathBuf> {
        self.files().into_iter().filter(|path| name(path).starts_with(".corrupt-")).collect()
    }
}

/// The last part of a path.
pub fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Everything below `folder`, sorted. Links are not followed.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                open.push(entry.path());
            }
            found.push(entry.path());
        }
    }
    found.sort();
    found
}
