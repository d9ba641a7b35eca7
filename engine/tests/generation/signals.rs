//! Ctrl-C and SIGTERM in the middle of a run: it ends in order, and its receipt says so.
#![cfg(unix)]

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};

use bitnet_engine::exit::Exit;
use serde_json::Value;

use crate::support::{Models, command, ids, tokens};

fn send(signal: &str, child: &Child) {
    let arguments = [format!("-{signal}"), child.id().to_string()];
    let status = Command::new("kill").args(&arguments).status().expect("`kill` runs");
    assert!(status.success(), "the program was still there");
}

/// The code, the JSON lines and the receipt of a run that gets `signal` behind `lines` lines.
fn interrupted(prompt: &str, signal: &str, lines: usize) -> (Option<i32>, Vec<Value>, Value) {
    let models = Models::endless();
    let receipt = models.text_of("receipt.json");
    let path = models.path();
    let args = ["run", "-m", &path, "--prompt-tokens", "-", "-n", "-1", "-c", "100000"];
    let more = ["--greedy", "--ignore-eos", "--format", "json", "--receipt", &receipt];
    let mut child = command(&[&args[..], &more].concat())
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program runs");
    child.stdin.take().expect("a pipe").write_all(prompt.as_bytes()).expect("it reads all");
    let mut out = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut read = String::new();
    for _ in 0..lines {
        assert!(out.read_line(&mut read).expect("text") > 0, "it went on:\n{read}");
    }
    send(signal, &child);
    out.read_to_string(&mut read).expect("text");
    let code = child.wait().expect("it ends").code();
    let lines = read.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    (code, lines, models.json("receipt.json"))
}

#[test]
fn a_signal_ends_the_text_behind_the_current_token() {
    for (signal, exit) in [("INT", Exit::Interrupted), ("TERM", Exit::Terminated)] {
        let (code, lines, receipt) = interrupted("3,4,5", signal, 4);
        assert_eq!(code, Some(exit.code().into()), "{signal}");
        let end = lines.last().expect("lines");
        assert_eq!((&end["event"], &end["reason"]), (&"end".into(), &"interrupted".into()));
        assert_eq!((&receipt["status"], &receipt["error"]), (&"interrupted".into(), &Value::Null));
        assert_eq!(receipt["generated"]["end"]["reason"], "interrupted");
        let generated = ids(&receipt["generated"]["ids"]);
        assert!(generated.len() >= 3, "{generated:?}");
        assert_eq!(generated, tokens(&lines));
        assert_eq!(receipt["timings"], end["timings"]);
    }
}

#[test]
fn a_signal_ends_a_long_prompt_between_its_chunks() {
    let prompt: Vec<String> = (0..60_000).map(|i| (i * 197 % 700).to_string()).collect();
    let (code, lines, receipt) = interrupted(&prompt.join(","), "INT", 1);
    assert_eq!(code, Some(Exit::Interrupted.code().into()));
    assert_eq!(receipt["status"], "interrupted");
    assert_eq!(tokens(&lines), [0u32; 0]);
    let computed = receipt["timings"]["prompt_tokens"].as_u64().expect("a number");
    assert!(computed < 60_000 && computed.is_multiple_of(96), "{computed}");
}

#[test]
fn a_chat_that_waits_for_a_line_ends_with_the_signal() {
    let models = Models::new();
    let path = models.path();
    let args = ["chat", "-m", &path, "-n", "4", "--greedy", "--format", "json"];
    let mut child = command(&args)
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program runs");
    let mut input = child.stdin.take().expect("a pipe");
    input.write_all(b"Hi\n").expect("it reads");
    let mut out = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let ended = out.find(|line| line.as_ref().is_ok_and(|line| line.contains("\"end\"")));
    assert!(ended.is_some(), "an answer");
    send("INT", &child);
    // Killed while it waits, or told so just before.
    let status = child.wait().expect("it ends");
    let code = Some(Exit::Interrupted.code().into());
    assert!(status.signal() == Some(2) || status.code() == code, "{status:?}");
    drop(input);
}
