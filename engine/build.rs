//! Which commit the program is built from, for its version and its receipts: `BITNET_COMMIT`, and
//! `BITNET_DIRTY` where the engine's files are not those of the commit. Neither outside a git checkout.

use std::process::Command;

/// What decides what is computed, from this package.
const SOURCES: [&str; 3] = [".", "../Cargo.lock", "../Cargo.toml"];

fn main() {
    println!("cargo::rerun-if-changed=src");
    println!("cargo::rerun-if-changed=build.rs");
    for file in ["Cargo.toml", "../Cargo.toml", "../Cargo.lock"] {
        println!("cargo::rerun-if-changed={file}");
    }
    let Some(commit) = git(&["rev-parse", "--verify", "HEAD"]) else { return };
    println!("cargo::rustc-env=BITNET_COMMIT={commit}");
    // A commit moves one of these.
    let branch = git(&["symbolic-ref", "-q", "HEAD"]);
    for name in ["HEAD", "packed-refs"].into_iter().chain(branch.as_deref()) {
        let path = git(&["rev-parse", "--git-path", name]);
        if let Some(path) = path.filter(|path| std::path::Path::new(path).exists()) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    let status = [&["status", "--porcelain", "--untracked-files=no", "--"], &SOURCES[..]].concat();
    if git(&status).is_none_or(|changes| !changes.is_empty()) {
        println!("cargo::rustc-env=BITNET_DIRTY=1");
    }
}

/// What git answers, if it does.
fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok().filter(|o| o.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
