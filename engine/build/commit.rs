//! For build scripts: which commit a program is built from. `BITNET_COMMIT` is that commit, and `BITNET_DIRTY`
//! is there where files that decide what is computed are not those of it. Neither outside a git checkout.

use std::path::Path;
use std::process::Command;

/// Tells cargo both, of a program that `sources` decide: paths from the package.
pub fn tell(sources: &[&str]) {
    let Some(commit) = git(&["rev-parse", "--verify", "HEAD"]) else { return };
    println!("cargo::rustc-env=BITNET_COMMIT={commit}");
    // A commit moves one of these.
    let branch = git(&["symbolic-ref", "-q", "HEAD"]);
    for name in ["HEAD", "packed-refs"].into_iter().chain(branch.as_deref()) {
        let path = git(&["rev-parse", "--git-path", name]);
        if let Some(path) = path.filter(|path| Path::new(path).exists()) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    let status = [&["status", "--porcelain", "--untracked-files=no", "--"], sources].concat();
    if git(&status).is_none_or(|changes| !changes.is_empty()) {
        println!("cargo::rustc-env=BITNET_DIRTY=1");
    }
}

/// What git answers, if it does.
fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok().filter(|o| o.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
