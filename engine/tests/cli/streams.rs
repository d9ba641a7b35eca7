//! Standard output and standard error: what goes where, colours, and readers that go away.

use std::io::pipe;
use std::process::Stdio;

use bitnet_engine::exit::Exit;

use crate::program::{Ended, Models, call, command};

#[test]
fn help_shows_the_exit_codes_and_wrong_usage_is_2() {
    let help = call(&["--help"]).with(Exit::Ok);
    let table = help.out.split_once("Exit codes:").expect("the table").1;
    for exit in Exit::ALL {
        let line = format!("{:>5}  {}", exit.code(), exit.meaning());
        assert!(table.contains(&line), "`{line}` is not in:\n{table}");
    }
    assert_eq!(help.err, "");
    assert!(call(&["--version"]).with(Exit::Ok).out.starts_with("bitnet "));
    let cases: [(&[&str], &str); 5] = [
        (&[], "Usage: bitnet"),
        (&["tokenise"], "unrecognized subcommand 'tokenise'"),
        (&["tokenize", "-p", "x"], "--model <PATH>"),
        (
            &["logits", "-m", "m", "-p", "x", "--isa", "mmx"],
            "[possible values: scalar, avx2, avx512, avx512-vbmi, neon, neon-dotprod]",
        ),
        (&["logits", "-m", "m", "-p", "x", "-t", "0"], "invalid value '0' for '--threads <N>'"),
    ];
    for (args, words) in cases {
        let ended = call(args).with(Exit::Usage);
        assert!(ended.err.contains(words), "`{words}` is not in:\n{}", ended.err);
        assert_eq!(ended.out, "");
    }
}

#[test]
fn a_reader_that_is_gone_ends_every_verb_quietly() {
    let models = Models::new();
    let path = models.path();
    let calls: [&[&str]; 6] = [
        &["inspect", &path],
        &["inspect", &path, "--format", "json"],
        &["tokenize", "-m", &path, "-p", "The quick brown fox"],
        &["logits", "-m", &path, "-p", "The quick brown fox", "--all"],
        &["completions", "bash"],
        &["--help"],
    ];
    for args in calls {
        let (reader, writer) = pipe().expect("a pipe");
        drop(reader);
        let mut child = command(args)
            .stdout(Stdio::from(writer))
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program runs");
        let ended = Ended::of({
            let status = child.wait().expect("it ends");
            let mut err = Vec::new();
            let mut stream = child.stderr.take().expect("a pipe");
            std::io::Read::read_to_end(&mut stream, &mut err).expect("its messages");
            std::process::Output { status, stdout: Vec::new(), stderr: err }
        });
        let ended = ended.with(Exit::Ok);
        let complaints = ended.err.lines().filter(|line| !line.starts_with("warning: "));
        assert_eq!(complaints.count(), 0, "{args:?}: {}", ended.err);
    }
}

#[test]
fn a_standard_error_that_is_gone_changes_nothing() {
    let (reader, writer) = pipe().expect("a pipe");
    drop(reader);
    let args = ["inspect", "/nope/bad.gguf"];
    let status = command(&args).stderr(Stdio::from(writer)).status().expect("the program runs");
    assert_eq!(status.code(), Some(Exit::ModelLoad.code().into()));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_behind_standard_output_is_an_error() {
    let models = Models::new();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("the device");
    let path = models.path();
    let mut command = command(&["inspect", &path]);
    let ended = Ended::of(command.stdout(full).output().expect("the program runs"));
    let ended = ended.with(Exit::Environment);
    let words = "error: cannot write to standard output: No space left on device";
    assert!(ended.err.starts_with(words), "{}", ended.err);
}

#[test]
fn colours_follow_the_flag_then_the_environment() {
    let coloured = |args: &[&str], set: &[(&str, &str)]| {
        let mut command = command(args);
        command.envs(set.iter().copied());
        let ended = Ended::of(command.output().expect("the program runs")).with(Exit::ModelLoad);
        ended.err.contains("\u{1b}[")
    };
    let bad = ["inspect", "/nope/bad.gguf"];
    let (always, never) = ([&bad[..], &["--color", "always"]], [&bad[..], &["--color=never"]]);
    assert!(!coloured(&bad, &[]), "no terminal, no colour");
    assert!(coloured(&always.concat(), &[("NO_COLOR", "1")]));
    assert!(coloured(&bad, &[("CLICOLOR_FORCE", "1")]));
    assert!(!coloured(&bad, &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]));
    assert!(coloured(&bad, &[("CARGO_TERM_COLOR", "always"), ("NO_COLOR", "1")]));
    assert!(!coloured(&never.concat(), &[("CARGO_TERM_COLOR", "always")]));
    let wrong = call(&["--color", "always", "--nonsense"]).with(Exit::Usage);
    assert!(wrong.err.contains("\u{1b}["), "{}", wrong.err);
}
