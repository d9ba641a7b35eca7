//! Finds the sources of a reference: in a directory that the user names, or in the crate that the
//! provider pins.
//!
//! Part of the providers' build scripts. Looks only; builds and prints nothing.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Where a reference's sources come from.
#[derive(Debug, Clone, Copy)]
pub struct Origin {
    /// Variable that names a finished build.
    pub dir: &'static str,
    /// Variable that names a source tree.
    pub source: &'static str,
    /// The crate that holds the pinned sources.
    pub package: &'static str,
    /// The folder of the crate that holds the reference's own tree.
    pub nested: &'static str,
    /// One file of each part that a usable tree must have.
    pub required: &'static [&'static str],
}

/// A source tree and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sources {
    /// Directory that holds the reference's own tree.
    pub root: PathBuf,
    /// Version to be named in results, if the origin has one.
    pub version: Option<String>,
    /// Origin in words: a crate with its version, or a directory.
    pub origin: String,
}

/// The tree in `dir`, which `origin.source` names: either the reference's own, or that of a crate
/// which keeps it in the folder `origin.nested`.
///
/// # Errors
/// One message with the files that are missing, and what to do.
pub fn in_directory(origin: &Origin, dir: &Path) -> Result<Sources, String> {
    let Origin { source: variable, nested, required, .. } = origin;
    let fail = |what: String| {
        Err(format!(
            "{variable}={}: {what}. Set {variable} to an unpacked source tree (a git clone may need \
             `git submodule update --init --recursive`), or unset it to compile the pinned sources \
             (`unset {variable}`)",
            dir.display()
        ))
    };
    if !dir.is_dir() {
        return fail("there is no such directory".to_owned());
    }
    let root = if dir.join(nested).is_dir() { dir.join(nested) } else { dir.to_owned() };
    let missing: Vec<&str> =
        required.iter().copied().filter(|file| !root.join(file).is_file()).collect();
    if !missing.is_empty() {
        return fail(format!("no {} in {}", missing.join(", "), root.display()));
    }
    Ok(Sources { root, version: None, origin: format!("directory {}", dir.display()) })
}

/// The tree in the crate `origin.package`, which the package at `manifest` pins. Cargo downloads it
/// and checks it against the lock file; nothing of it is built.
///
/// # Errors
/// Cargo's own words and what to do.
pub fn in_crate(origin: &Origin, cargo: &str, manifest: &Path) -> Result<Sources, String> {
    let Origin { dir, source, package: name, nested, required } = origin;
    let arguments = ["metadata", "--format-version=1", "--locked", "--manifest-path"];
    let prefetch = format!("cargo fetch --locked --manifest-path {}", manifest.display());
    let output = Command::new(cargo)
        .args(arguments)
        .arg(manifest)
        .output()
        .map_err(|error| format!("cannot run `{cargo} metadata`: {error}"))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        return Err(format!(
            "cargo cannot provide the crate {name}: {}. With a network, `{prefetch}` fetches it; \
             without one, set {source} to an unpacked source tree or {dir} to a finished build",
            words.split_whitespace().collect::<Vec<_>>().join(" ")
        ));
    }
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("`{cargo} metadata` gave no JSON: {error}"))?;
    let package = metadata["packages"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|package| package["name"] == *name)
        .ok_or_else(|| format!("{} does not depend on the crate {name}", manifest.display()))?;
    let (Some(crate_manifest), Some(version)) =
        (package["manifest_path"].as_str(), package["version"].as_str())
    else {
        return Err(format!("`{cargo} metadata` says nothing of where the crate {name} lies"));
    };
    let root = Path::new(crate_manifest).with_file_name(nested);
    if let Some(missing) = required.iter().find(|file| !root.join(file).is_file()) {
        return Err(format!(
            "the crate {name} {version} has no {missing} in {}: remove that directory and run \
             `{prefetch}`",
            root.display()
        ));
    }
    Ok(Sources {
        root,
        version: Some(format!("{name} {version}")),
        origin: format!("crate {name} {version}"),
    })
}
