//! Compiles or links bitnet.cpp and the bridge's shim against it.
//!
//! Which sources, which flags and why: the README of the bridge. Changes no file of the reference.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use compile::Unit;
use existing::{Existing, Kind};
use provider::Provider;
use shim::Bridge;
use sources::Sources;

#[path = "../build/compile.rs"]
mod compile;
#[path = "../build/existing.rs"]
mod existing;
#[path = "../build/fingerprint.rs"]
mod fingerprint;
#[path = "../build/provider.rs"]
mod provider;
#[path = "../build/shim.rs"]
mod shim;
#[path = "../build/sources.rs"]
mod sources;
#[path = "../build/stamp.rs"]
mod stamp;
#[path = "../build/toolchain.rs"]
mod toolchain;

const NAME: &str = "bitnet-cpp";
const DIR: &str = "BITNET_CPP_DIR";
const SOURCE: &str = "BITNET_CPP_SOURCE";
const MARCH: &str = "BITNET_CPP_MARCH";
const CRATE: &str = "bitnet-llm-sys";
const REFERENCE: &str = "bitnet_cpp";
const SHIM: &str = "bitnet_cpp_shim";

/// One file of each part that a usable tree must have; the last two come from a git submodule.
const REQUIRED: [&str; 4] = [
    "src/ggml-bitnet-mad.cpp",
    "include/ggml-bitnet.h",
    "3rdparty/llama.cpp/include/llama.h",
    "3rdparty/llama.cpp/ggml/src/ggml.c",
];

const DEFINES: [&str; 4] =
    ["NDEBUG", "_GNU_SOURCE", "_XOPEN_SOURCE=600", "GGML_SCHED_MAX_COPIES=4"];

fn main() {
    for variable in [DIR, SOURCE, MARCH] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    for path in ["build.rs", "source", "../build"] {
        println!("cargo::rerun-if-changed={path}");
    }
    if let Err(message) = build() {
        println!("cargo::error={}", message.replace('\n', " "));
    }
}

fn build() -> Result<(), String> {
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo did not set OUT_DIR")?);
    let bridge = Bridge::from_env()?;
    println!("cargo::rerun-if-changed={}", bridge.shim.display());
    let os = env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    match env::var_os(DIR) {
        Some(dir) => link(Path::new(&dir), &bridge, &out)?,
        None => compile_sources(&find_sources()?, &bridge, &out)?,
    }
    println!("cargo::rustc-link-lib=dylib={}", provider::cpp_runtime(&os));
    if os == "linux" {
        for library in ["m", "pthread", "dl"] {
            println!("cargo::rustc-link-lib=dylib={library}");
        }
    }
    Ok(())
}

fn find_sources() -> Result<Sources, String> {
    if let Some(dir) = env::var_os(SOURCE) {
        return sources::in_directory(SOURCE, Path::new(&dir), "bitnet.cpp", &REQUIRED);
    }
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let root = PathBuf::from(
        env::var_os("CARGO_MANIFEST_DIR").ok_or("cargo did not set CARGO_MANIFEST_DIR")?,
    );
    sources::in_crate(&cargo, &root.join("source/Cargo.toml"), CRATE, "bitnet.cpp", &REQUIRED)
}

fn compile_sources(sources: &Sources, bridge: &Bridge, out: &Path) -> Result<(), String> {
    let root = &sources.root;
    let llama = root.join("3rdparty/llama.cpp");
    let ggml = llama.join("ggml/src");
    let watched = [
        root.join("src"),
        root.join("include"),
        llama.join("include"),
        llama.join("src"),
        llama.join("ggml/include"),
        ggml.clone(),
    ];
    if env::var_os(SOURCE).is_some() {
        for path in &watched {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
    let fingerprint = fingerprint::of(root, &watched)?;
    let includes =
        vec![llama.join("ggml/include"), llama.join("include"), root.join("include"), ggml.clone()];
    let requested = match env::var(MARCH) {
        Ok(value) => Some(value),
        Err(env::VarError::NotPresent) => None,
        Err(error) => return Err(format!("{MARCH}: {error}; set it to a value of -march")),
    };
    let march = toolchain::march(requested.as_deref(), &compile::machines()?);
    let flags: Vec<String> = march.iter().map(|value| format!("-march={value}")).collect();
    let unit = |cpp, files: Vec<PathBuf>, more: &[&str]| Unit {
        cpp,
        files,
        includes: includes.clone(),
        defines: DEFINES.to_vec(),
        flags: flags.iter().cloned().chain(more.iter().map(|flag| (*flag).to_owned())).collect(),
        needs_gcc: None,
    };
    let c = ["ggml.c", "ggml-alloc.c", "ggml-quants.c", "ggml-aarch64.c"];
    let mut cpp = vec![ggml.join("ggml-backend.cpp")];
    cpp.extend(
        ["llama.cpp", "llama-vocab.cpp", "llama-grammar.cpp", "llama-sampling.cpp"]
            .map(|file| llama.join("src").join(file)),
    );
    cpp.extend(["unicode.cpp", "unicode-data.cpp"].map(|file| llama.join("src").join(file)));
    let bitnet =
        ["ggml-bitnet-mad.cpp", "ggml-bitnet-lut.cpp"].map(|file| root.join("src").join(file));
    let units = [
        unit(false, c.map(|file| ggml.join(file)).to_vec(), &[]),
        // ggml-bitnet-mad.cpp drops a const; gcc takes that for a warning under this flag.
        Unit {
            needs_gcc: Some(
                "bitnet.cpp's ggml-bitnet-mad.cpp drops a `const`, which only gcc can be told to accept",
            ),
            ..unit(true, bitnet.to_vec(), &["-fpermissive"])
        },
        unit(true, cpp, &[]),
    ];
    let made = compile::archive(REFERENCE, &units, fingerprint, out)?;
    let provider = Provider {
        name: NAME,
        version: sources.version.clone().unwrap_or_else(|| format!("tree {fingerprint:016x}")),
        source: format!("{}, tree {fingerprint:016x}", sources.origin),
        flags: made.flags,
        compiler: made.compiler,
    };
    shim::compile(SHIM, bridge, &includes[..2], &provider, out)?;
    for line in provider::link_lines(SHIM, out) {
        println!("{line}");
    }
    println!("cargo::rustc-link-lib=static:-bundle={REFERENCE}");
    Ok(())
}

fn link(dir: &Path, bridge: &Bridge, out: &Path) -> Result<(), String> {
    let Existing { includes, libraries, openmp } = existing::find(DIR, dir)?;
    let files: Vec<PathBuf> = libraries.iter().map(|library| library.file.clone()).collect();
    for file in &files {
        println!("cargo::rerun-if-changed={}", file.display());
    }
    let fingerprint = fingerprint::of(dir, &files)?;
    let provider = Provider {
        name: NAME,
        version: format!("libraries {fingerprint:016x}"),
        source: format!("{DIR}={}", dir.display()),
        flags: "not known: linked, not compiled here".to_owned(),
        compiler: "not known: linked, not compiled here".to_owned(),
    };
    shim::compile(SHIM, bridge, &includes, &provider, out)?;
    for line in provider::link_lines(SHIM, out) {
        println!("{line}");
    }
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
