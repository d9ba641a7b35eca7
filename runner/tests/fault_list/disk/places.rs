//! D10, D11, D13: where the cache is: another disk, no home, odd names, long paths.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

use bitnet_runner::exit::Exit;

use super::honest;
use crate::program::{Ended, Running};
use crate::sandbox::{Sandbox, files, name};
use crate::tools;

pub fn d10_no_other_disk_is_written() {
    // A rename from another disk fails; so nothing may begin its life outside the cache.
    let (_server, sandbox, model) = honest();
    sandbox.run_with(&["fetch"], &[("TMPDIR", "/nonexistent/nowhere")]).with(Exit::Ok);
    sandbox.has(&model);
    assert_eq!(files(&sandbox.path("tmp")), files(&sandbox.path("home")), "both stay empty");
    assert!(files(&sandbox.path("tmp")).is_empty(), "{:?}", files(&sandbox.path("tmp")));

    if tools::may_mount("D10") {
        let (_server, sandbox, model) = honest();
        fs::create_dir(sandbox.cache()).expect("a mount point");
        let script = r#"mount -t tmpfs -o size=64m tmpfs "$1" || exit 99
            "$0" fetch && sha256sum <"$1/models/$2/model.gguf""#;
        let mut command = sandbox.wrapped("unshare", &["-rm", "sh", "-c", script]);
        command.arg(env!("CARGO_BIN_EXE_parity")).arg(sandbox.cache()).arg(model.sha256());
        let ended = Running::start(command).end().with(Exit::Ok);
        assert!(ended.out.contains(&model.sha256()), "{}", ended.out);
    }
}

/// Runs `fetch` after `settle` has changed the environment, without the cache's own variable.
fn elsewhere(sandbox: &Sandbox, args: &[&str], settle: impl Fn(&mut Command)) -> Ended {
    let mut command = sandbox.command(args);
    command.env_remove("BITNET_CACHE_DIR");
    settle(&mut command);
    Running::start(command).end()
}

pub fn d11_homes() {
    let (_server, sandbox, model) = honest();
    let sha = model.sha256();
    let at = |base: &std::path::Path| base.join("models").join(&sha).join("model.gguf");

    elsewhere(&sandbox, &["fetch"], |_| {}).with(Exit::Ok);
    assert!(at(&sandbox.path("home/.cache/bitnet")).is_file());

    // Relative values are no places: they would name another one in every folder.
    let home = sandbox.path("home2");
    elsewhere(&sandbox, &["fetch"], |command| {
        command.env("HOME", &home).env("XDG_CACHE_HOME", "relative/cache");
    })
    .with(Exit::Ok);
    assert!(at(&home.join(".cache/bitnet")).is_file());
    assert!(!sandbox.path("project/relative").exists());

    // Spaces, and bytes that are no text.
    for odd in [&b"with spaces and \xc3\xa9"[..], b"no text \xff\xfe"] {
        let cache = sandbox.root().join(OsStr::from_bytes(odd));
        if fs::create_dir(&cache).is_err() {
            tools::untested("D11", "a name that is no text: this file system refuses it");
            continue;
        }
        for args in [&["fetch"][..], &["models", "path", "model"]] {
            elsewhere(&sandbox, args, |command| {
                command.env("XDG_CACHE_HOME", &cache);
            })
            .with(Exit::Ok);
        }
        assert!(at(&cache.join("bitnet")).is_file());
    }

    // No home at all: nothing is written, and the way out is named. Offline, so that nothing could be.
    for home in [None, Some("")] {
        elsewhere(&sandbox, &["fetch", "--offline"], |command| {
            match home {
                Some(home) => command.env("HOME", home),
                None => command.env_remove("HOME"),
            };
        })
        .with(Exit::Environment)
        .says(&["error:", "BITNET_CACHE_DIR"]);
    }

    // A cache that is a file.
    sandbox.write("file", b"");
    let ended = elsewhere(&sandbox, &["fetch"], |command| {
        command.env("BITNET_CACHE_DIR", sandbox.path("file"));
    });
    ended.with(Exit::Environment).says(&["error:", sandbox.path("file").to_str().expect("UTF-8")]);
}

pub fn d13_names_and_long_paths() {
    let (_server, sandbox, model) = honest();
    let model = model.called(&"a".repeat(64));
    sandbox.lock(&[&model]);
    sandbox.run(&["fetch"]).with(Exit::Ok);
    sandbox.has(&model);
    for path in sandbox.files() {
        let name = name(&path);
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-".contains(c);
        assert!(name.chars().all(plain), "{name}: two names could be one");
        assert!(name.len() <= 80, "{name}");
    }

    // As long as a path may be, and longer than any may be.
    for (parts, works) in [(12, true), (60, false)] {
        let deep = sandbox.path(&vec!["x".repeat(99); parts].join("/"));
        let ended = elsewhere(&sandbox, &["fetch"], |command| {
            command.env("BITNET_CACHE_DIR", &deep);
        });
        if works {
            ended.with(Exit::Ok);
            assert!(deep.join("models").join(model.sha256()).join("model.gguf").is_file());
        } else {
            ended.with(Exit::Environment).says(&["error:", "ame too long"]);
        }
    }
}
