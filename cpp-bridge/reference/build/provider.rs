//! Who the reference behind the bridge is, as the shim and the linker are told.
//!
//! Part of the providers' build scripts. Compiles nothing.

use std::path::Path;

/// Who stands behind the bridge, as results will name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provider {
    /// Short stable name.
    pub name: &'static str,
    /// What the build is for: `checking`, `fastest`, or `linked` where somebody else built it.
    pub profile: &'static str,
    /// Version of the sources.
    pub version: String,
    /// Where sources or libraries came from.
    pub source: String,
    /// Compiler flags.
    pub flags: String,
    /// Compiler and version.
    pub compiler: String,
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
        + &define("PROFILE", provider.profile)
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
