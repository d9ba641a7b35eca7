//! D02, D12: a cache that may only be read, and the permissions of one that may be written.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use bitnet_runner::exit::Exit;

use super::{fetched, honest};
use crate::program::{Ended, Running};
use crate::sandbox::{Model, Sandbox, files};
use crate::tools;

/// Nobody, on every system that has root.
const NOBODY: u32 = 65534;

pub fn d02_read_only() {
    let (server, sandbox, model) = fetched();
    let other = Model::at(&server.url("/other")).called("other").with_bytes(b"other".to_vec());
    sandbox.lock(&[&model, &other]);
    protect(&sandbox.cache(), 0o555);
    let ended = as_ordinary_user(&sandbox, &["fetch", "model"]);
    let miss = as_ordinary_user(&sandbox, &["fetch", "other"]);
    protect(&sandbox.cache(), 0o755);
    match (ended, miss) {
        (Some(ended), Some(miss)) => {
            let ended = ended.with(Exit::Ok);
            assert_eq!(ended.out.trim_end(), sandbox.place(&model).to_str().expect("UTF-8"));
            let cache = sandbox.cache();
            let cache = cache.to_str().expect("UTF-8");
            miss.with(Exit::Environment).says(&["error: model 'other'", cache, "ermission denied"]);
            assert_eq!(server.gets().len(), 1, "nothing is downloaded that cannot be kept");
        }
        _ => tools::untested("D02", "EACCES: this root may not become another user"),
    }
    sandbox.has(&model);

    if tools::may_mount("D02") {
        let script = r#"mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" || exit 99
            "$0" fetch model; echo "hit $?"
            "$0" fetch other; echo "miss $?""#;
        let mut command = sandbox.wrapped("unshare", &["-rm", "sh", "-c", script]);
        command.arg(env!("CARGO_BIN_EXE_parity")).arg(sandbox.cache());
        let ended = Running::start(command).end().says(&["error: model 'other'", "ead-only"]);
        for part in ["hit 0\n", "miss 3\n"] {
            assert!(ended.out.contains(part), "{}\n{}", ended.out, ended.err);
        }
    }
}

/// Sets the mode of every folder of the cache.
fn protect(cache: &Path, mode: u32) {
    let inside = files(cache).into_iter().filter(|path| path.is_dir());
    for folder in inside.chain([cache.to_owned()]) {
        fs::set_permissions(folder, Permissions::from_mode(mode)).expect("the owner may");
    }
}

/// Runs `parity` as a user whom permissions concern: root passes them all.
fn as_ordinary_user(sandbox: &Sandbox, args: &[&str]) -> Option<Ended> {
    let own = fs::metadata(sandbox.root()).expect("the sandbox").uid();
    if own != 0 {
        return Some(sandbox.run(args));
    }
    let program = sandbox.path("parity");
    if !program.exists() {
        fs::copy(env!("CARGO_BIN_EXE_parity"), &program).expect("a copy for everybody");
        fs::set_permissions(&program, Permissions::from_mode(0o755)).expect("ours");
        fs::set_permissions(sandbox.root(), Permissions::from_mode(0o755)).expect("ours");
    }
    let dropped = |command: &mut Command| {
        sandbox.settle(command);
        command.uid(NOBODY).gid(NOBODY);
    };
    let mut trying = Command::new("true");
    dropped(&mut trying);
    if !trying.status().is_ok_and(|status| status.success()) {
        return None;
    }
    let mut command = Command::new(program);
    dropped(&mut command);
    command.args(args);
    Some(Running::start(command).end())
}

pub fn d12_umask() {
    for (umask, folders) in [("022", 0o755), ("027", 0o750), ("077", 0o700)] {
        let (_server, sandbox, model) = honest();
        let script = format!("umask {umask}; exec \"$0\" fetch");
        let command = sandbox.wrapped("sh", &["-c", &script, env!("CARGO_BIN_EXE_parity")]);
        Running::start(command).end().with(Exit::Ok);
        sandbox.has(&model);
        let mode = |path: &Path| fs::metadata(path).expect("an entry").permissions().mode() & 0o777;
        for path in sandbox.files().iter().filter(|path| path.is_dir()) {
            assert_eq!(mode(path), folders, "{} with umask {umask}", path.display());
        }
        let stamp = mode(&sandbox.folder(&model).join(".verified"));
        let readers = folders & 0o044;
        assert_eq!(stamp & readers, readers, "whoever may enter may read the stamp: {stamp:o}");
        assert_eq!(stamp & 0o022, 0, "nobody else may write it: {stamp:o}");
    }
}
