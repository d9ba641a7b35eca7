//! Compiles C and C++ files into an archive with the `cc` crate, in parallel, and only when the
//! sources, the flags or the compiler changed.
//!
//! Part of the providers' build scripts. Knows no reference in particular.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::stamp::Stamp;
use crate::toolchain::{Machines, Profile, require_gcc};

/// Flags that the arithmetic of the checking build depends on. Without `-ffp-contract=off` a compiler
/// may fuse a product into a following sum wherever it likes. gcc 12's vectoriser does so all the same
/// where products are subtracted and added in turn (`vfmaddsub`), as RoPE over neighbours does.
const CHECKING: [&str; 3] = ["-O3", "-ffp-contract=off", "-fno-tree-vectorize"];
/// What the references' own builds use; the compiler may fuse and vectorise as it likes.
const FASTEST: [&str; 1] = ["-O3"];

/// Files of one language with what they are compiled with.
#[derive(Debug, Clone, Default)]
pub struct Unit {
    /// C++ if true, C otherwise.
    pub cpp: bool,
    /// What to compile.
    pub files: Vec<PathBuf>,
    /// Search path for headers.
    pub includes: Vec<PathBuf>,
    /// `-D` definitions, `NAME` or `NAME=value`.
    pub defines: Vec<&'static str>,
    /// Other flags.
    pub flags: Vec<String>,
    /// Why no compiler but gcc can compile the files, if none can.
    pub needs_gcc: Option<&'static str>,
}

/// What an archive was made with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// Flags of the C++ compiler, as it got them, without the search path.
    pub flags: String,
    /// The C++ compiler and its version.
    pub compiler: String,
    /// True if the archive of an earlier run still holds.
    pub reused: bool,
}

/// Makes `lib<name>.a` in `out` from the units. `fingerprint` stands for the content of all their
/// sources and headers, `profile` chooses the flags.
///
/// # Errors
/// A missing or unfit compiler with what to install, or the compiler's own words.
pub fn archive(
    name: &str,
    units: &[Unit],
    profile: Profile,
    fingerprint: u64,
    out: &Path,
) -> Result<Made, String> {
    let mut builds = Vec::new();
    let mut text = format!("sources {fingerprint:016x}\n");
    let (mut flags, mut compiler) = (String::new(), String::new());
    for unit in units {
        let build = build(unit, profile);
        let tool =
            build.try_get_compiler().map_err(|error| missing(unit.cpp, &error.to_string()))?;
        let version = version(unit.cpp, &tool)?;
        if let Some(why) = unit.needs_gcc {
            require_gcc(tool.is_like_gnu(), &version, why)?;
        }
        let arguments = arguments(&tool);
        text += &format!("{version}\n{arguments}\n{:?}\n", unit.files);
        if unit.cpp {
            (flags, compiler) = (arguments, version);
        }
        builds.push(build);
    }
    let made = |reused| Made { flags: flags.clone(), compiler: compiler.clone(), reused };
    let stamp = Stamp::new(out, name, text);
    if stamp.holds() {
        return Ok(made(true));
    }
    // The jobserver that `cc` finds bounds the processes of all units together.
    let objects: Result<Vec<_>, String> = std::thread::scope(|scope| {
        let workers: Vec<_> =
            builds.iter().map(|build| scope.spawn(|| build.try_compile_intermediates())).collect();
        let results = workers.into_iter().map(|worker| match worker.join() {
            Ok(result) => result.map_err(|error| error.to_string()),
            Err(_) => Err("a thread that ran the compiler panicked".to_owned()),
        });
        results.collect()
    });
    let objects = objects?;
    stamp.clear()?;
    cc::Build::new()
        .cargo_metadata(false)
        .objects(objects.into_iter().flatten())
        .try_compile(name)
        .map_err(|error| error.to_string())?;
    stamp.write()?;
    Ok(made(false))
}

/// What the user asked cargo for: the provider's feature `fastest`.
pub fn profile() -> Profile {
    match std::env::var_os("CARGO_FEATURE_FASTEST") {
        Some(_) => Profile::Fastest,
        None => Profile::Checking,
    }
}

/// The machines of this build: what cargo tells a build script, and what the processor says of itself.
///
/// # Errors
/// The variable that cargo did not set.
pub fn machines() -> Result<Machines, String> {
    let read = |key: &str| std::env::var(key).map_err(|error| format!("cargo's {key}: {error}"));
    Ok(Machines {
        host: read("HOST")?,
        target: read("TARGET")?,
        target_arch: read("CARGO_CFG_TARGET_ARCH")?,
        host_has_avx2: host_has_avx2(),
    })
}

#[cfg(target_arch = "x86_64")]
fn host_has_avx2() -> bool {
    std::is_x86_feature_detected!("avx2")
        && std::is_x86_feature_detected!("fma")
        && std::is_x86_feature_detected!("f16c")
        && std::is_x86_feature_detected!("bmi2")
}

#[cfg(not(target_arch = "x86_64"))]
fn host_has_avx2() -> bool {
    false
}

fn build(unit: &Unit, profile: Profile) -> cc::Build {
    let mut build = cc::Build::new();
    build.cpp(unit.cpp).std(if unit.cpp { "c++17" } else { "gnu11" });
    // Fixed, so that a debug build of the workspace measures the same reference as a release build.
    build.opt_level(3).debug(false).warnings(false).pic(true);
    let flags: &[&str] = match profile {
        Profile::Checking => &CHECKING,
        Profile::Fastest => &FASTEST,
    };
    for flag in flags {
        build.flag(flag);
    }
    for flag in &unit.flags {
        build.flag(flag);
    }
    for define in &unit.defines {
        match define.split_once('=') {
            Some((name, value)) => build.define(name, value),
            None => build.define(define, None),
        };
    }
    build.includes(&unit.includes).files(&unit.files);
    build
}

fn arguments(tool: &cc::Tool) -> String {
    let arguments = tool.args().iter().map(|argument| argument.to_string_lossy().into_owned());
    let mut kept = Vec::new();
    let mut skip = false;
    for argument in arguments {
        if argument == "-I" || argument == "-isystem" {
            skip = true;
        } else if !std::mem::take(&mut skip) && !argument.starts_with("-I") {
            kept.push(argument);
        }
    }
    kept.join(" ")
}

fn version(cpp: bool, tool: &cc::Tool) -> Result<String, String> {
    let output = Command::new(tool.path())
        .arg("--version")
        .output()
        .map_err(|error| missing(cpp, &format!("{}: {error}", tool.path().display())))?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().next().unwrap_or("unknown version").trim().to_owned())
}

fn missing(cpp: bool, why: &str) -> String {
    let (language, variable) = if cpp { ("C++", "CXX") } else { ("C", "CC") };
    format!(
        "no {language} compiler for the reference ({why}). Install one (Debian, Ubuntu: `apt install \
         g++`; Fedora: `dnf install gcc-c++`; macOS: `xcode-select --install`) or name it in {variable}"
    )
}
