//! The course of a provider's build script: take the finished build that the user names, or compile
//! the sources; then the shim against its headers.
//!
//! Part of the providers' build scripts. Knows no reference in particular: which files are compiled
//! is each provider's own.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use crate::compile::{self, Unit};
use crate::existing::{self, Existing, Kind};
use crate::fingerprint;
use crate::provider::{self, Provider};
use crate::shim::{self, Bridge};
use crate::sources::{self, Origin, Sources};
use crate::toolchain::{self, Profile};

/// What tells one reference from another.
pub struct Reference {
    /// Short stable name, as results bear it.
    pub name: &'static str,
    /// Where its sources come from, and the variables that choose others.
    pub origin: Origin,
    /// Variable with the value of `-march`.
    pub march: &'static str,
    /// Name of its archive; the shim's has `_shim` behind it.
    pub library: &'static str,
    /// What to compile of a source tree for which purpose, given the folder that generated files are
    /// written to.
    pub plan: fn(&Sources, Profile, &Path) -> Result<Plan, String>,
}

/// What to compile of a source tree.
pub struct Plan {
    /// Files and folders whose content decides what is compiled.
    pub watched: Vec<PathBuf>,
    /// Files that are written for this build, by name; their text must not depend on the machine.
    pub generated: Vec<(String, String)>,
    /// What to compile; `-march` is added to its flags.
    pub units: Vec<Unit>,
    /// Search path of the shim, for `llama.h` and the headers of ggml.
    pub headers: Vec<PathBuf>,
    /// Said of the sources beside their origin, if anything.
    pub remark: Option<String>,
}

impl Reference {
    /// Runs the build script.
    pub fn build(&self) {
        for variable in [self.origin.dir, self.origin.source, self.march] {
            println!("cargo::rerun-if-env-changed={variable}");
        }
        for path in ["build.rs", "source", "../build"] {
            println!("cargo::rerun-if-changed={path}");
        }
        if let Err(message) = self.attempt() {
            println!("cargo::error={}", message.replace('\n', " "));
        }
    }

    fn attempt(&self) -> Result<(), String> {
        let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo did not set OUT_DIR")?);
        let bridge = Bridge::from_env()?;
        println!("cargo::rerun-if-changed={}", bridge.shim.display());
        let os = env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
        match env::var_os(self.origin.dir) {
            Some(dir) => self.link(Path::new(&dir), &bridge, &out)?,
            None => self.compile(&bridge, &out)?,
        }
        println!("cargo::rustc-link-lib=dylib={}", provider::cpp_runtime(&os));
        if os == "linux" {
            for library in ["m", "pthread", "dl"] {
                println!("cargo::rustc-link-lib=dylib={library}");
            }
        }
        Ok(())
    }

    fn sources(&self) -> Result<Sources, String> {
        if let Some(dir) = env::var_os(self.origin.source) {
            return sources::in_directory(&self.origin, Path::new(&dir));
        }
        let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
        let root = PathBuf::from(
            env::var_os("CARGO_MANIFEST_DIR").ok_or("cargo did not set CARGO_MANIFEST_DIR")?,
        );
        sources::in_crate(&self.origin, &cargo, &root.join("source/Cargo.toml"))
    }

    fn compile(&self, bridge: &Bridge, out: &Path) -> Result<(), String> {
        let sources = self.sources()?;
        let (profile, folder) = (compile::profile(), out.join("generated"));
        let Plan { watched, generated, mut units, headers, remark } =
            (self.plan)(&sources, profile, &folder)?;
        if env::var_os(self.origin.source).is_some() {
            for path in &watched {
                println!("cargo::rerun-if-changed={}", path.display());
            }
        }
        let tree = fingerprint::of(&sources.root, &watched)?;
        let mut everything = tree;
        for (name, text) in &generated {
            everything = fingerprint::and(everything, name.as_bytes());
            everything = fingerprint::and(everything, text.as_bytes());
            write(&folder.join(name), text)?;
        }
        for unit in &mut units {
            unit.flags.splice(0..0, self.march_flag(profile)?);
        }
        let made = compile::archive(self.library, &units, profile, everything, out)?;
        let remark = remark.map_or(String::new(), |remark| format!(", {remark}"));
        let provider = Provider {
            name: self.name,
            profile: profile.name(),
            version: sources.version.unwrap_or_else(|| format!("tree {tree:016x}")),
            source: format!("{}, tree {tree:016x}{remark}", sources.origin),
            flags: made.flags,
            compiler: made.compiler,
        };
        self.compile_shim(bridge, &headers, &provider, out)?;
        println!("cargo::rustc-link-lib=static:-bundle={}", self.library);
        Ok(())
    }

    fn march_flag(&self, profile: Profile) -> Result<Option<String>, String> {
        let requested = match env::var(self.march) {
            Ok(value) => Some(value),
            Err(env::VarError::NotPresent) => None,
            Err(error) => {
                return Err(format!("{}: {error}; set it to a value of -march", self.march));
            }
        };
        let march = toolchain::march(requested.as_deref(), profile, &compile::machines()?);
        Ok(march.map(|value| format!("-march={value}")))
    }

    fn link(&self, dir: &Path, bridge: &Bridge, out: &Path) -> Result<(), String> {
        let variable = self.origin.dir;
        let Existing { includes, libraries, openmp } = existing::find(variable, dir)?;
        let files: Vec<PathBuf> = libraries.iter().map(|library| library.file.clone()).collect();
        for file in &files {
            println!("cargo::rerun-if-changed={}", file.display());
        }
        let fingerprint = fingerprint::of(dir, &files)?;
        let provider = Provider {
            name: self.name,
            profile: "linked",
            version: format!("libraries {fingerprint:016x}"),
            source: format!("{variable}={}", dir.display()),
            flags: "not known: linked, not compiled here".to_owned(),
            compiler: "not known: linked, not compiled here".to_owned(),
        };
        self.compile_shim(bridge, &includes, &provider, out)?;
        let shared = out.join("shared");
        if shared.is_dir() {
            // An earlier run may have linked another build's libraries here.
            fs::remove_dir_all(&shared)
                .map_err(|error| format!("cannot remove {}: {error}", shared.display()))?;
        }
        for library in &libraries {
            let parent = library.file.parent().unwrap_or(dir);
            match library.kind {
                Kind::Static => {
                    println!("cargo::rustc-link-search=native={}", parent.display());
                    println!("cargo::rustc-link-lib=static:-bundle={}", library.name);
                }
                Kind::Shared => {
                    existing::mirror_shared(parent, &shared)?;
                    println!("cargo::rustc-link-lib=dylib={}", library.name);
                }
            }
        }
        if libraries.iter().any(|library| library.kind == Kind::Shared) {
            // Cargo puts search directories inside OUT_DIR on the library path of `run` and `test`; a
            // binary that is started otherwise needs the rpath, which its own package must emit.
            println!("cargo::rustc-link-search=native={}", shared.display());
            println!("cargo::rustc-link-arg=-Wl,-rpath,{}", shared.display());
            println!("cargo::metadata=rpath={}", shared.display());
        }
        if let Some(run_time) = openmp {
            println!("cargo::rustc-link-lib=dylib={run_time}");
        }
        Ok(())
    }

    fn compile_shim(
        &self,
        bridge: &Bridge,
        headers: &[PathBuf],
        provider: &Provider,
        out: &Path,
    ) -> Result<(), String> {
        let library = format!("{}_shim", self.library);
        shim::compile(&library, bridge, headers, provider, out)?;
        for line in provider::link_lines(&library, out) {
            println!("{line}");
        }
        Ok(())
    }
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    let fail = |error: std::io::Error| format!("cannot write {}: {error}", path.display());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(fail)?;
    }
    fs::write(path, text).map_err(fail)
}
