//! D03, D04: power cuts. A process is killed at any moment, and the order of what reaches the disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bitnet_runner::exit::Exit;

use super::honest;
use crate::program::Running;
use crate::reply::Reply;
use crate::sandbox::{MIB, Model, Sandbox, bytes};
use crate::server::Server;
use crate::tools;
use crate::{PATIENCE, in_process};

/// Nothing, or the right bytes; never others.
#[track_caller]
fn never_wrong(sandbox: &Sandbox, model: &Model) {
    match std::fs::read(sandbox.place(model)) {
        Ok(bytes) => assert!(bytes == model.bytes, "wrong bytes under the final name"),
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound),
    }
}

pub fn d03_killed() {
    while_bytes_arrive();
    at_any_moment();
    if let Some(strace) = tools::strace("D03") {
        at_system_calls(&strace);
    }
}

/// Each run gets some bytes more and is killed once they are written; the last one goes on from what
/// they left.
fn while_bytes_arrive() {
    const STEP: usize = MIB + MIB / 3;
    let honest = Arc::new(AtomicBool::new(false));
    let (content, is_honest) = (bytes(1, 10 * MIB), Arc::clone(&honest));
    let body = content.clone();
    let server = Server::start(move |request, _| {
        let reply = Reply::honest(request, &body, Some("\"v1\""));
        if is_honest.load(Ordering::SeqCst) { reply } else { reply.hold(STEP, || false) }
    });
    let model = Model::at(&server.url("/")).with_bytes(content);
    let sandbox = Sandbox::with(&[&model]);
    let mut kept = 0;
    for _ in 0..6 {
        let running = Running::start(sandbox.command(&["fetch"]));
        let start = Instant::now();
        while sandbox.partial(&model).unwrap_or(0) <= kept {
            assert!(start.elapsed() < PATIENCE, "nothing is written:\n{}", running.err());
            thread::sleep(Duration::from_millis(1));
        }
        running.kill().by_signal(9);
        sandbox.lacks(&model);
        kept = sandbox.partial(&model).expect("the partial");
    }
    honest.store(true, Ordering::SeqCst);
    sandbox.run(&["fetch"]).with(Exit::Ok).says(&["Resuming"]);
    sandbox.has(&model);
    let starts: Vec<_> = server.gets().iter().map(|get| get.range().unwrap_or(0)).collect();
    assert!(starts.is_sorted_by(|a, b| a < b), "each run goes on further: {starts:?}");
    assert_eq!(starts.last().copied(), usize::try_from(kept).ok(), "from all that was written");
}

/// From the start of the process to its end.
fn at_any_moment() {
    let (_server, sandbox, model) = honest();
    for run in 0..24 {
        let running = Running::start(sandbox.command(&["fetch"]));
        thread::sleep(Duration::from_millis(4 * run));
        let ended = running.kill();
        never_wrong(&sandbox, &model);
        if ended.status.success() {
            sandbox.remove_cache();
        }
    }
    sandbox.run(&["fetch"]).with(Exit::Ok);
    sandbox.run(&["fetch", "--gc"]).with(Exit::Ok);
    sandbox.has(&model);
}

/// At each call that makes something durable, before it is done.
fn at_system_calls(strace: &tools::Strace) {
    let (_server, sandbox, model) = honest();
    let log = sandbox.path("trace.log");
    let mut killed = 0;
    for calls in ["fsync,fdatasync", "rename,renameat,renameat2", "chmod,fchmod,fchmodat"] {
        for when in 1..=3 {
            sandbox.remove_cache();
            let (trace, inject) =
                (format!("trace={calls}"), format!("inject={calls}:signal=SIGKILL:when={when}"));
            let mut command = strace.command(&sandbox, &["-e", &trace, "-e", &inject], &log);
            command.arg("fetch");
            killed += usize::from(!Running::start(command).end().status.success());
            never_wrong(&sandbox, &model);
            sandbox.run(&["fetch"]).with(Exit::Ok);
            // A note about a partial that has its final name already is swept up, not in the way.
            sandbox.run(&["fetch", "--gc"]).with(Exit::Ok);
            sandbox.has(&model);
        }
    }
    assert!(killed >= 4, "only {killed} runs were killed");
}

pub fn d04_order() {
    in_process::order();
    let Some(strace) = tools::strace("D04") else { return };
    let (_server, sandbox, model) = honest();
    let log = sandbox.path("trace.log");
    let calls = "trace=fsync,fdatasync,rename,renameat,renameat2";
    let mut command = strace.command(&sandbox, &["-e", calls], &log);
    command.arg("fetch");
    Running::start(command).end().with(Exit::Ok);
    let log = std::fs::read_to_string(log).expect("the log");
    let lines: Vec<&str> = log.lines().collect();
    let first = |from: usize, what: &str, test: &dyn Fn(&str) -> bool| {
        let place = lines[from..].iter().position(|line| test(line));
        from + place.unwrap_or_else(|| panic!("no {what} behind line {from} of:\n{log}"))
    };
    let folder = format!("/models/{}>", model.sha256());
    let renamed =
        |name: &'static str| move |line: &str| line.contains("rename") && line.contains(name);
    let synced = |line: &str| line.contains("sync(") && line.contains(".partial>");
    let file = first(0, "sync of the file", &synced);
    let name = first(0, "rename to the final name", &renamed("/model.gguf\""));
    assert!(file < name, "the bytes are durable before they have a name:\n{log}");
    let durable =
        first(name, "sync of the folder", &|line| line.contains("sync(") && line.contains(&folder));
    let stamp = first(0, "rename to the stamp", &renamed("/.verified\""));
    assert!(durable < stamp, "the name is durable before the stamp says so:\n{log}");
    let stamp_synced = lines[durable + 1..stamp].iter().any(|line| line.contains("sync("));
    assert!(stamp_synced, "the stamp's bytes are durable before its name:\n{log}");
}
