//! The documents made from the command line's definition: current, complete, and written whole.

use std::path::Path;

use bitnet_engine::exit::Exit;

use crate::program::{Models, call};
use crate::shell_lines;

#[test]
fn docs_cli_md_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs/cli.md");
    let committed = std::fs::read_to_string(&path).unwrap();
    let models = Models::new();
    let copy = models.file("cli.md", committed.as_bytes());
    call(&["docs", &copy]).with(Exit::Ok);
    assert!(
        std::fs::read_to_string(&copy).unwrap() == committed,
        "docs/cli.md is out of date; run `cargo run -p bitnet-engine --bin bitnet -- docs docs/cli.md`"
    );
    assert!(committed.contains("### `bitnet tokenize`\n"), "the region is empty");
    assert!(committed.contains(&Exit::table()), "the exit codes are not in it");
}

#[test]
fn a_document_without_the_regions_is_refused() {
    let models = Models::new();
    let path = models.file("cli.md", b"# Title\n");
    let ended = call(&["docs", &path]).with(Exit::Usage);
    let words = "it needs the lines `<!-- exit codes: begin -->` and `<!-- exit codes: end -->`";
    assert!(ended.err.contains(words), "{}", ended.err);
    assert_eq!(std::fs::read(models.place("cli.md")).unwrap(), b"# Title\n");
}

#[test]
fn completions_for_every_shell() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = call(&["completions", shell]).with(Exit::Ok).out;
        assert!(script.contains("bitnet") && script.contains("tokenize"), "{shell}:\n{script}");
    }
}

#[test]
fn a_man_page_for_every_verb_that_help_shows() {
    let models = Models::new();
    let folder = models.place("man");
    let out = call(&["man", folder.to_str().unwrap()]).with(Exit::Ok).out;
    let help = call(&["--help"]).with(Exit::Ok).out;
    let verbs = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let verbs =
        verbs.take_while(|line| !line.is_empty()).map(|line| line.split_whitespace().next());
    let verbs = verbs.flatten().filter(|verb| *verb != "help");
    let mut names: Vec<String> = verbs.map(|verb| format!("bitnet-{verb}.1")).collect();
    assert!(names.len() >= 5, "{help}");
    names.insert(0, "bitnet.1".into());
    let pages: Vec<&str> = out.lines().collect();
    assert_eq!(pages.len(), names.len(), "{out}");
    for (page, name) in pages.iter().zip(names) {
        assert!(Path::new(page).ends_with(&name), "{page} should be {name}");
        assert!(std::fs::read_to_string(page).unwrap().contains(".SH SYNOPSIS"), "{page}");
    }
    let file = models.file("taken", b"");
    let ended = call(&["man", &file]).with(Exit::ReportNotWritten);
    assert!(ended.err.contains("cannot write man pages to '"), "{}", ended.err);
}

/// `--help` at the end ends a command before it works, but not before its flags and values are read.
#[test]
fn every_command_of_the_documents_is_one_that_this_program_takes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut seen = 0;
    for document in shell_lines::documents(root) {
        for line in shell_lines::commands(&document) {
            let Some(arguments) = shell_lines::arguments(&line.words, "bitnet") else { continue };
            let mut arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            arguments.push("--help");
            let ended = call(&arguments);
            assert_eq!(ended.code, Some(0), "{}: {:?}\n{}", line.place, line.words, ended.err);
            seen += 1;
        }
    }
    assert!(seen >= 5, "{seen} commands");
    assert_eq!(call(&["run", "--modle", "x", "--help"]).code, Some(2), "a flag that is none");
}
