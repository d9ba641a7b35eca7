//! Three things that only a build knows.
//!
//! `BITNET_COMMIT` and `BITNET_DIRTY` say which commit the programs are built from.
//!
//! `BITNET_BUILD_ID` fingerprints the sources of the worker programs, so that a runner refuses a
//! worker that was built from others: `cargo run --bin parity` does not rebuild them.
//!
//! The run-time path lets a worker find a reference that is linked as shared libraries
//! (`BITNET_CPP_DIR`, `LLAMA_CPP_DIR`) when it is started outside cargo.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};

#[path = "../engine/build/commit.rs"]
mod commit;

/// Folders, from this package, whose files decide what a worker computes and how it speaks.
const SOURCES: [&str; 3] = ["src/backend", "src/bin", "../cpp-bridge"];

/// What decides what is computed and how it is measured, from this package.
const MEASURED: [&str; 5] = [".", "../engine", "../cpp-bridge", "../Cargo.lock", "../Cargo.toml"];

fn main() -> io::Result<()> {
    for file in [
        "src",
        "build.rs",
        "Cargo.toml",
        "../Cargo.toml",
        "../Cargo.lock",
        "../engine/src",
        "../engine/build",
    ] {
        println!("cargo::rerun-if-changed={file}");
    }
    commit::tell(&MEASURED);
    let mut files = Vec::new();
    for folder in SOURCES {
        println!("cargo::rerun-if-changed={folder}");
        collect(Path::new(folder), &mut files)?;
    }
    files.sort();
    let mut hasher = DefaultHasher::new();
    for file in files {
        file.hash(&mut hasher);
        fs::read(&file)?.hash(&mut hasher);
    }
    println!("cargo::rustc-env=BITNET_BUILD_ID={:016x}", hasher.finish());

    for (reference, worker) in
        [("BITNET_CPP", "bitnet-cpp-worker"), ("LLAMA_CPP", "llama-cpp-worker")]
    {
        let variable = format!("DEP_BITNET_REFERENCE_{reference}_RPATH");
        println!("cargo::rerun-if-env-changed={variable}");
        if let Ok(folder) = std::env::var(variable) {
            println!("cargo::rustc-link-arg-bin={worker}=-Wl,-rpath,{folder}");
        }
    }
    Ok(())
}

/// Source files below `folder`; prose and tests make no difference to a worker.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "tests" && name != "target" {
                collect(&path, files)?;
            }
        } else if !name.ends_with(".md") {
            files.push(path);
        }
    }
    Ok(())
}
