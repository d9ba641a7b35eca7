//! C01–C07: several processes with one cache, one of them killed, interrupted or sweeping.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bitnet_runner::exit::Exit;
use rustix::process::{Pid, Signal, kill_process};

use crate::in_process;
use crate::program::{Ended, Running};
use crate::reply::Reply;
use crate::sandbox::{MIB, Model, Sandbox, bytes};
use crate::server::Server;
use crate::tools;

/// A server whose bodies stop after 1 MiB until the gate opens.
fn gated() -> (Server, Arc<AtomicBool>) {
    let gate = Arc::new(AtomicBool::new(false));
    let (body, open) = (Model::at("").bytes, Arc::clone(&gate));
    let server = Server::start(move |request, _| {
        let open = Arc::clone(&open);
        Reply::honest(request, &body, Some("\"v1\"")).hold(MIB, move || open.load(Ordering::SeqCst))
    });
    (server, gate)
}

fn start(sandbox: &Sandbox) -> Running {
    // Long enough for any machine to come to the gate.
    let mut command = sandbox.command(&["fetch"]);
    command.env("HF_HUB_DOWNLOAD_TIMEOUT", "100");
    Running::start(command)
}

pub fn c01_eight_cold_processes() {
    let (server, gate) = gated();
    let model = Model::at(&server.url("/"));
    let sandbox = Sandbox::with(&[&model]);
    let first = start(&sandbox);
    server.wait_for_sent(MIB);
    let others: Vec<Running> = (0..7).map(|_| start(&sandbox)).collect();
    for other in &others {
        other.wait_for("Waiting");
    }
    gate.store(true, Ordering::SeqCst);
    for ended in others.into_iter().chain([first]).map(Running::end) {
        let ended = ended.with(Exit::Ok);
        assert_eq!(ended.out.trim_end(), sandbox.place(&model).to_str().expect("UTF-8"));
    }
    sandbox.has(&model);
    assert_eq!(server.gets().len(), 1, "one download for all");

    // All at once, with nobody to wait for them.
    let (server, gate) = gated();
    gate.store(true, Ordering::SeqCst);
    let model = Model::at(&server.url("/"));
    let sandbox = Sandbox::with(&[&model]);
    let all: Vec<Running> = (0..8).map(|_| start(&sandbox)).collect();
    for ended in all.into_iter().map(Running::end) {
        ended.with(Exit::Ok);
    }
    sandbox.has(&model);
    assert_eq!(server.gets().len(), 1, "one download for all");
}

pub fn c02_the_holder_is_killed() {
    let (server, gate) = gated();
    let model = Model::at(&server.url("/"));
    let sandbox = Sandbox::with(&[&model]);
    let holder = start(&sandbox);
    server.wait_for_sent(MIB);
    let waiter = start(&sandbox);
    waiter.wait_for("Waiting");
    assert_eq!(server.gets().len(), 1);
    gate.store(true, Ordering::SeqCst);
    // The server sends the rest to a process that is gone, if it is quick; to none, if it is not.
    holder.kill();
    waiter.end().with(Exit::Ok);
    sandbox.has(&model);
    assert!(server.gets().len() <= 2);
}

pub fn c03_two_models_do_not_block_each_other() {
    // Each body is held until the other was begun: one after the other would never end.
    let seen = Arc::new([AtomicBool::new(false), AtomicBool::new(false)]);
    let contents = [Model::at("").bytes, bytes(7, 2 * MIB)];
    let (flags, bodies) = (Arc::clone(&seen), contents.clone());
    let server = Server::start(move |request, _| {
        let index = usize::from(request.target == "/1");
        if request.method == "GET" {
            flags[index].store(true, Ordering::SeqCst);
        }
        let flags = Arc::clone(&flags);
        Reply::honest(request, &bodies[index], None)
            .hold(1000, move || flags.iter().all(|flag| flag.load(Ordering::SeqCst)))
    });
    let models: Vec<Model> = contents
        .iter()
        .enumerate()
        .map(|(index, bytes)| {
            let model = Model::at(&server.url(&format!("/{index}")));
            model.called(&format!("model-{index}")).with_bytes(bytes.clone())
        })
        .collect();
    let sandbox = Sandbox::with(&[&models[0], &models[1]]);
    let fetch = |args: &[&str]| {
        let mut command = sandbox.command(args);
        command.env("HF_HUB_DOWNLOAD_TIMEOUT", "100");
        Running::start(command)
    };
    // Two processes.
    let both = [fetch(&["fetch", "model-0"]), fetch(&["fetch", "model-1"])];
    for ended in both.map(Running::end) {
        ended.with(Exit::Ok);
    }
    // One process.
    sandbox.remove_cache();
    seen.iter().for_each(|flag| flag.store(false, Ordering::SeqCst));
    let ended = fetch(&["fetch", "-j", "2"]).end().with(Exit::Ok);
    models.iter().for_each(|model| sandbox.has(model));
    let mut paths: Vec<&str> = ended.out.lines().collect();
    paths.sort_unstable();
    let mut wanted: Vec<String> =
        models.iter().map(|model| sandbox.place(model).display().to_string()).collect();
    wanted.sort();
    assert_eq!(paths, wanted);
}

pub fn c04_no_locks() {
    in_process::no_locks();
    let Some(strace) = tools::strace("C04") else { return };
    for error in ["ENOSYS", "EOPNOTSUPP", "ENOLCK"] {
        let (server, gate) = gated();
        let model = Model::at(&server.url("/"));
        let sandbox = Sandbox::with(&[&model]);
        let unlocked = |name: &str| {
            let inject = format!("inject=flock:error={error}");
            let log = sandbox.path(name);
            let mut command = strace.command(&sandbox, &["-e", "trace=flock", "-e", &inject], &log);
            command.arg("fetch").env("HF_HUB_DOWNLOAD_TIMEOUT", "100");
            Running::start(command)
        };
        let first = unlocked("first.log");
        server.wait_for_sent(MIB);
        // A second one at the same time: two downloads, each in a file of its own.
        let second = unlocked("second.log");
        server.wait_for_sent(2 * MIB);
        gate.store(true, Ordering::SeqCst);
        for ended in [first, second].map(Running::end) {
            ended.with(Exit::Ok);
        }
        sandbox.has(&model);
        let log = fs::read_to_string(sandbox.path("first.log")).expect("the log");
        assert!(log.contains(error), "no lock was tried:\n{log}");
    }
}

fn signal(running: &Running, signal: Signal) {
    let id = i32::try_from(running.id()).ok().and_then(Pid::from_raw).expect("a process id");
    kill_process(id, signal).expect("it is ours");
}

pub fn c05_interrupted_while_waiting() {
    let (server, gate) = gated();
    let model = Model::at(&server.url("/"));
    let sandbox = Sandbox::with(&[&model]);
    let holder = start(&sandbox);
    server.wait_for_sent(MIB);
    for (kind, number) in [(Signal::INT, 2), (Signal::TERM, 15)] {
        let waiter = start(&sandbox);
        waiter.wait_for("Waiting");
        signal(&waiter, kind);
        waiter.end().by_signal(number);
    }
    gate.store(true, Ordering::SeqCst);
    holder.end().with(Exit::Ok);
    sandbox.has(&model);

    // In the middle of a download as well: the next run goes on from there.
    let (server, gate) = gated();
    let model = Model::at(&server.url("/"));
    let sandbox = Sandbox::with(&[&model]);
    let running = start(&sandbox);
    server.wait_for_sent(MIB);
    signal(&running, Signal::INT);
    running.end().by_signal(2);
    sandbox.lacks(&model);
    gate.store(true, Ordering::SeqCst);
    sandbox.run(&["fetch"]).with(Exit::Ok);
    sandbox.has(&model);
}

pub fn c06_sweeping() {
    // Models of other projects: one that is being read, one half fetched; and one that was damaged.
    let (server, gate) = gated();
    gate.store(true, Ordering::SeqCst);
    let known = Model::at(&server.url("/"));
    let sandbox = Sandbox::with(&[&known]);
    sandbox.run(&["fetch"]).with(Exit::Ok);
    let unknown = known.clone().called("unknown").with_bytes(bytes(3, 5000));
    let folder = |model: &Model, name: &str| format!("cache/models/{}/{name}", model.sha256());
    sandbox.write(&folder(&unknown, "model.gguf"), &unknown.bytes);
    let stale = known.clone().called("stale").with_bytes(bytes(4, 6000));
    sandbox.write(&folder(&stale, ".partial"), &stale.bytes[..4321]);
    sandbox.write(&folder(&known, ".corrupt-1700000000"), &[7; 1234]);
    // Nobody knows what these are; they are not ours to remove.
    sandbox.write("cache/models/notes.txt", b"mine");
    sandbox.write("cache/keep/me", b"mine");
    sandbox.write("outside/model.gguf", b"mine");
    // A model's folder that is a link to elsewhere: at most the link goes.
    let link = sandbox.cache().join("models").join("f".repeat(64));
    symlink(sandbox.path("outside"), &link).expect("a link");
    let sum = 5000 + 4321 + 1234 + fs::symlink_metadata(&link).expect("the link").len();
    let parts = ["5000", "4321", "1234", &sum.to_string()].map(str::to_owned);
    let told = |ended: Ended| {
        let all = format!("{}{}", ended.out, ended.err);
        let digits: String = all.chars().filter(|c| !matches!(c, '_' | ',' | ' ')).collect();
        for part in &parts {
            assert!(digits.contains(part), "`{part}` is not in:\n{all}");
        }
    };
    let entries = || {
        let files = sandbox.files().into_iter();
        files.filter(|path| !path.display().to_string().contains("/.locks")).collect::<Vec<_>>()
    };
    let before = entries();
    told(sandbox.run(&["fetch", "--gc", "--dry-run"]).with(Exit::Ok));
    assert_eq!(entries(), before, "a dry run removes nothing");
    let mut reader = File::open(sandbox.place(&unknown)).expect("a reader");
    told(sandbox.run(&["fetch", "--gc"]).with(Exit::Ok).says(&["Removed"]));
    let mut left = Vec::new();
    reader.read_to_end(&mut left).expect("still readable");
    assert!(left == unknown.bytes, "a reader keeps what it opened");
    sandbox.has(&known);
    assert!(!sandbox.folder(&unknown).join("model.gguf").exists());
    assert!(!sandbox.folder(&stale).join(".partial").exists());
    assert!(sandbox.quarantined().is_empty());
    for kept in ["cache/models/notes.txt", "cache/keep/me", "outside/model.gguf"] {
        assert_eq!(fs::read(sandbox.path(kept)).expect("kept"), b"mine", "{kept}");
    }
    let ended = sandbox.run(&["fetch", "--gc"]).with(Exit::Ok);
    assert_eq!(ended.count("Removed"), 0, "the second time nothing is left: {}", ended.err);

    held_by_another_process();
}

/// A download of another project in the same cache: its lock is held, so it is left alone.
fn held_by_another_process() {
    let (server, gate) = gated();
    let model = Model::at(&server.url("/"));
    let sandbox = Sandbox::with(&[&model]);
    let running = start(&sandbox);
    server.wait_for_sent(MIB);
    // This project knows another model only.
    let other = Model::at(&server.url("/other")).called("other").with_bytes(bytes(5, 100));
    sandbox.lock(&[&other]);
    sandbox.run(&["fetch", "--gc"]).with(Exit::Ok);
    gate.store(true, Ordering::SeqCst);
    running.end().with(Exit::Ok);
    sandbox.has(&model);
    assert_eq!(server.gets().len(), 1, "the download was not disturbed");
}

pub fn c07_lines_do_not_interleave() {
    let body = bytes(1, 2000);
    let served = body.clone();
    let server = Server::start(move |request, _| Reply::honest(request, &served, None));
    let models: Vec<Model> = (0..20)
        .map(|index| {
            let mut bytes = body.clone();
            bytes[0] = index;
            // Every second one fails: errors are lines as well.
            let wanted = if index == body[0] || index % 2 == 0 { body.clone() } else { bytes };
            Model::at(&server.url("/")).called(&format!("model-{index}")).with_bytes(wanted)
        })
        .collect();
    let sandbox = Sandbox::with(&models.iter().collect::<Vec<_>>());
    sandbox.write("lines", b"");
    let both: Vec<Running> = (0..2)
        .map(|_| {
            let script = "exec \"$0\" fetch --format json -j 4 >>\"$1\"";
            let mut command: Command =
                sandbox.wrapped("sh", &["-c", script, env!("CARGO_BIN_EXE_parity")]);
            command.arg(sandbox.path("lines"));
            Running::start(command)
        })
        .collect();
    for ended in both.into_iter().map(Running::end) {
        ended.with(Exit::Environment);
    }
    let text = fs::read_to_string(sandbox.path("lines")).expect("the lines");
    let mut reasons = (0, 0);
    for line in text.lines() {
        let value: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        match value["reason"].as_str() {
            Some("model") => {
                assert!(value["id"].is_string() && value["state"].is_string(), "{line}");
                reasons.0 += 1;
            }
            Some("summary") => reasons.1 += 1,
            other => panic!("reason {other:?}: {line}"),
        }
    }
    assert_eq!(reasons, (40, 2), "{text}");
    assert!(text.ends_with('\n'));
}
