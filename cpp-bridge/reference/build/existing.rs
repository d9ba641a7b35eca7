//! Finds the headers and libraries of a reference that is already built or installed.
//!
//! Part of the providers' build scripts. Looks only; builds and prints nothing.

use std::fs;
use std::path::{Path, PathBuf};

/// Where headers lie below the directory, in the layouts of llama.cpp, bitnet.cpp and an install.
const HEADER_DIRS: [&str; 8] = [
    "include",
    "3rdparty/llama.cpp/include",
    "3rdparty/llama.cpp/ggml/include",
    "ggml/include",
    "include/llama",
    "include/ggml",
    "3rdparty/llama.cpp",
    ".",
];

/// Where libraries lie below the directory: an install first, then the trees that CMake makes.
const LIBRARY_DIRS: [&str; 16] = [
    "lib",
    "lib64",
    "lib/x86_64-linux-gnu",
    "lib/aarch64-linux-gnu",
    "build/bin",
    "build/lib",
    "build/src",
    "build/ggml/src",
    "build/ggml/src/ggml-cpu",
    "build/3rdparty/llama.cpp/src",
    "build/3rdparty/llama.cpp/ggml/src",
    "build/3rdparty/llama.cpp/ggml/src/ggml-cpu",
    "build",
    "bin",
    "src",
    ".",
];

/// How a library is linked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `lib<name>.a`
    Static,
    /// `lib<name>.so` or `.dylib`
    Shared,
}

/// One library file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Library {
    /// Name as the linker takes it: `llama`.
    pub name: String,
    /// The file.
    pub file: PathBuf,
    /// How it is linked.
    pub kind: Kind,
}

/// A reference found on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Existing {
    /// Directories for the compiler's search path.
    pub includes: Vec<PathBuf>,
    /// Libraries in link order: what needs comes before what is needed.
    pub libraries: Vec<Library>,
    /// Name of the OpenMP run-time library that the static archives need, if any.
    pub openmp: Option<&'static str>,
}

/// Looks for `llama.h`, `ggml.h`, libllama and libggml below `dir`, which `variable` names.
///
/// # Errors
/// One message with what was looked for, where, and what to do.
pub fn find(variable: &str, dir: &Path) -> Result<Existing, String> {
    let fail = |what: String| {
        Err(format!(
            "{variable}={}: {what}. Set {variable} to the directory of a finished build or install \
             of the reference, or unset it to compile the pinned sources (`unset {variable}`)",
            dir.display()
        ))
    };
    if !dir.is_dir() {
        return fail("there is no such directory".to_owned());
    }
    let mut includes = Vec::new();
    for header in ["llama.h", "ggml.h", "ggml-backend.h"] {
        match first_holding(dir, &HEADER_DIRS, header) {
            Some(found) if includes.contains(&found) => {}
            Some(found) => includes.push(found),
            None => return fail(format!("no {header} in {}", list(&HEADER_DIRS))),
        }
    }
    let Some(llama) = library(dir, "llama") else {
        return fail(format!(
            "no libllama.a, libllama.so or libllama.dylib in {}",
            list(&LIBRARY_DIRS)
        ));
    };
    let Some(ggml) = library(dir, "ggml") else {
        return fail(format!(
            "no libggml.a, libggml.so or libggml.dylib in {}",
            list(&LIBRARY_DIRS)
        ));
    };
    let mut libraries = vec![llama, ggml];
    libraries.extend(backends(dir, &libraries));
    libraries.extend(library(dir, "ggml-base"));
    let openmp = openmp(&libraries)?;
    Ok(Existing { includes, libraries, openmp })
}

fn first_holding(root: &Path, dirs: &[&str], file: &str) -> Option<PathBuf> {
    dirs.iter().map(|dir| root.join(dir)).find(|dir| dir.join(file).is_file())
}

fn library(root: &Path, name: &str) -> Option<Library> {
    LIBRARY_DIRS.iter().find_map(|dir| library_in(&root.join(dir), name))
}

/// A static archive wins over a shared library beside it: it needs no search path at run time.
fn library_in(dir: &Path, name: &str) -> Option<Library> {
    [("a", Kind::Static), ("so", Kind::Shared), ("dylib", Kind::Shared)].into_iter().find_map(
        |(extension, kind)| {
            let file = dir.join(format!("lib{name}.{extension}"));
            file.is_file().then(|| Library { name: name.to_owned(), file, kind })
        },
    )
}

/// The newer generation splits its kernels off as libggml-cpu and others; sorted, to link alike everywhere.
fn backends(root: &Path, known: &[Library]) -> Vec<Library> {
    let mut found: Vec<Library> = Vec::new();
    for dir in LIBRARY_DIRS.map(|dir| root.join(dir)) {
        let Ok(entries) = fs::read_dir(&dir) else { continue };
        for entry in entries.flatten() {
            let file_name = entry.file_name();
            let Some(name) = file_name.to_str().and_then(backend_name) else { continue };
            if name == "ggml-base" || known.iter().chain(&found).any(|other| other.name == name) {
                continue;
            }
            found.extend(library_in(&dir, name));
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

fn backend_name(file: &str) -> Option<&str> {
    let (name, extension) = file.strip_prefix("lib")?.split_once('.')?;
    (name.starts_with("ggml-") && ["a", "so", "dylib"].contains(&extension)).then_some(name)
}

/// A static archive does not say which OpenMP run time it wants; the symbols it calls do.
fn openmp(libraries: &[Library]) -> Result<Option<&'static str>, String> {
    for library in libraries.iter().filter(|library| library.kind == Kind::Static) {
        let bytes = fs::read(&library.file)
            .map_err(|error| format!("cannot read {}: {error}", library.file.display()))?;
        for (symbol, run_time) in [("GOMP_parallel", "gomp"), ("__kmpc_fork_call", "omp")] {
            if bytes.windows(symbol.len()).any(|window| window == symbol.as_bytes()) {
                return Ok(Some(run_time));
            }
        }
    }
    Ok(None)
}

fn list(dirs: &[&str]) -> String {
    let named = |dir: &&str| if *dir == "." { "the directory itself" } else { *dir }.to_owned();
    dirs.iter().map(named).collect::<Vec<_>>().join(", ")
}

/// Makes the reference's shared libraries of `from` appear in `to`, versioned names included: the
/// libraries find each other by those. Nothing else of `from` may get onto the library path, which
/// goes before the system's; a link that leads nowhere is left out.
///
/// # Errors
/// The directory that cannot be read, or the link that cannot be made.
pub fn mirror_shared(from: &Path, to: &Path) -> Result<(), String> {
    let fail =
        |path: &Path, error: std::io::Error| format!("cannot link {}: {error}", path.display());
    fs::create_dir_all(to).map_err(|error| fail(to, error))?;
    for entry in fs::read_dir(from).map_err(|error| fail(from, error))?.flatten() {
        let name = entry.file_name();
        let text = name.to_string_lossy();
        let ours = text.starts_with("libllama") || text.starts_with("libggml");
        if !ours || !(text.contains(".so") || text.ends_with(".dylib")) {
            continue;
        }
        let Ok(target) = entry.path().canonicalize() else { continue };
        let link = to.join(&name);
        if link.symlink_metadata().is_ok() {
            fs::remove_file(&link).map_err(|error| fail(&link, error))?;
        }
        std::os::unix::fs::symlink(target, &link).map_err(|error| fail(&link, error))?;
    }
    Ok(())
}
