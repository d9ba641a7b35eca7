//! Compiles the bridge's shim against a reference's headers.
//!
//! Part of the providers' build scripts. Knows no reference in particular.

use std::fs;
use std::path::{Path, PathBuf};

use crate::provider::{Provider, provider_header};

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

/// Makes `lib<library>.a` in `out` from the shim's sources, and tells cargo which variables of the
/// environment it depends on.
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
    build.cpp(true).std("c++17").opt_level(2).extra_warnings(true);
    build.flag_if_supported("-Wno-deprecated-declarations");
    for dir in headers {
        build.flag("-isystem").flag(dir);
    }
    build
        .include(out)
        .include(&bridge.shim)
        .include(&bridge.include)
        .include(&bridge.crate_include);
    for file in ["engine.cc", "capture.cc", "log.cc", "stack.cc", "build_info.cc"] {
        build.file(bridge.shim.join(file));
    }
    // Looking for the compiler tells cargo which variables (`CXX`, `CXXFLAGS`, each with a target's
    // name too) the shim depends on. The lines that link it are the provider's, in an order of their
    // own.
    build.try_get_compiler().map_err(|error| error.to_string())?;
    build.cargo_metadata(false).try_compile(library).map_err(|error| error.to_string())
}
