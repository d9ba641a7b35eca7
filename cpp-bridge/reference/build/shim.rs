//! Compiles the bridge's shim against a reference's headers, and writes down who the reference is.
//!
//! Part of the providers' build scripts. Knows no reference in particular.

use std::fs;
use std::path::{Path, PathBuf};

/// Who stands behind the bridge, as results will name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provider {
    /// Short stable name.
    pub name: &'static str,
    /// Version of the sources.
    pub version: String,
    /// Where sources or libraries came from.
    pub source: String,
    /// Compiler flags.
    pub flags: String,
    /// Compiler and version.
    pub compiler: String,
}

/// What the build script of the bridge tells its dependants (`DEP_BITNET_CPP_BRIDGE_*`).
#[derive(Debug, Clone)]
pub struct Bridge {
    /// Headers that cxx generated.
    pub include: PathBuf,
    /// A directory in which the bridge's package appears under its own name.
    pub crate_include: PathBuf,
    /// The shim's sources.
    pub shim: PathBuf,
}

impl Bridge {
    /// Reads the variables that cargo sets for a direct dependant of the bridge.
    ///
    /// # Errors
    /// The variable that is not there.
    pub fn from_env() -> Result<Self, String> {
        let read = |key: &str| {
            let name = format!("DEP_BITNET_CPP_BRIDGE_{key}");
            std::env::var_os(&name).map(PathBuf::from).ok_or_else(|| {
                format!("{name} is not set: the provider must depend on bitnet-cpp-bridge")
            })
        };
        Ok(Self {
            include: read("INCLUDE")?,
            crate_include: read("CRATE_INCLUDE")?,
            shim: read("SHIM")?,
        })
    }
}

/// Makes `lib<library>.a` in `out` from the shim's sources.
///
/// # Errors
/// The compiler's words, or the file that cannot be written.
pub fn compile(
    library: &str,
    bridge: &Bridge,
    headers: &[PathBuf],
    provider: &Provider,
    out: &Path,
) -> Result<(), String> {
    let header = out.join("provider.h");
    fs::write(&header, provider_header(provider))
        .map_err(|error| format!("cannot write {}: {error}", header.display()))?;
    let mut build = cc::Build::new();
    build.cpp(true).std("c++17").opt_level(2).extra_warnings(true).cargo_metadata(false);
    build.flag_if_supported("-Wno-deprecated-declarations");
    for dir in headers {
        build.flag("-isystem").flag(dir);
    }
    build
        .include(out)
        .include(&bridge.shim)
        .include(&bridge.include)
        .include(&bridge.crate_include);
    for file in ["engine.cc", "capture.cc", "log.cc", "build_info.cc"] {
        build.file(bridge.shim.join(file));
    }
    build.try_compile(library).map_err(|error| error.to_string())
}

/// The lines that link the shim: all of it and before the reference, because the glue that calls it
/// comes later on the linker's command line and GNU ld looks into an archive once.
pub fn link_lines(library: &str, out: &Path) -> [String; 2] {
    [
        format!("cargo::rustc-link-search=native={}", out.display()),
        format!("cargo::rustc-link-lib=static:+whole-archive,-bundle={library}"),
    ]
}

/// The C++ run-time library of a target, by rustc's name for the target's system.
pub fn cpp_runtime(target_os: &str) -> &'static str {
    match target_os {
        "macos" | "ios" | "freebsd" | "openbsd" => "c++",
        _ => "stdc++",
    }
}

/// The content of `provider.h`.
pub fn provider_header(provider: &Provider) -> String {
    let define = |key: &str, value: &str| format!("#define PROVIDER_{key} {}\n", c_string(value));
    define("NAME", provider.name)
        + &define("VERSION", &provider.version)
        + &define("SOURCE", &provider.source)
        + &define("FLAGS", &provider.flags)
        + &define("COMPILER", &provider.compiler)
}

/// A C string literal; octal escapes end after three digits, whatever follows.
fn c_string(text: &str) -> String {
    let mut literal = String::from("\"");
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' | b'?' => literal.extend(['\\', char::from(byte)]),
            b' '..=b'~' => literal.push(char::from(byte)),
            _ => literal += &format!("\\{byte:03o}"),
        }
    }
    literal.push('"');
    literal
}
