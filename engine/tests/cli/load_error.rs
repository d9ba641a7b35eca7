//! `error[E10]`: a model that cannot be loaded ends with 10, its own cause, its own likely causes.

use bitnet_engine::exit::Exit;
use bitnet_engine::gguf::{Directory, GgufWriter};

use crate::program::{Ended, Models, call};

/// The message's lines, after its form was checked.
#[track_caller]
fn e10(ended: Ended, path: &str) -> Vec<String> {
    let ended = ended.with(Exit::ModelLoad);
    assert_eq!(ended.out, "", "nothing was computed");
    let lines: Vec<String> = ended.err.lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 7, "{}", ended.err);
    assert_eq!(lines[0], format!("error[E10]: cannot load the model '{path}'"));
    let heads =
        ["  cause: ", "  likely: 1. ", "          2. ", "          3. ", "  next: parity fetch "];
    for (line, head) in lines[1..].iter().zip(heads) {
        assert!(line.starts_with(head), "`{line}` does not begin with `{head}`");
    }
    assert_eq!(lines[6], "  doc: docs/models.md");
    lines
}

/// The verbs that load a model. Inspecting one of another architecture is no error.
const VERBS: [&str; 3] = ["logits", "run", "tokenize"];

#[test]
fn every_kind_of_bad_file_has_its_own_cause_and_likely_causes() {
    let models = Models::new();
    let folder = models.place("folder");
    std::fs::create_dir(&folder).unwrap();
    let cut = &models.bytes[..models.bytes.len() - 40];
    let mut flipped = models.bytes.clone();
    flipped[4] = 9;
    let cases = [
        ("/nope/bad.gguf".to_owned(), "cannot open: ", "the path is mistyped"),
        (folder.to_str().unwrap().to_owned(), "is a directory", "the folder of the model"),
        (
            models.file("empty.gguf", b""),
            "byte 0: the file is empty",
            "ended before its first byte",
        ),
        (
            models.file("page.gguf", b"<html><body>404</body></html>"),
            "byte 0: not a GGUF file: it begins with \"<htm\"",
            "a web page or a Git LFS pointer",
        ),
        (
            models.file("zip.gguf", b"PK\x03\x04 and so on"),
            "byte 0: not a GGUF file: it begins with \"PK\\x03\\x04\"",
            "in another format (safetensors",
        ),
        (
            models.file("cut.gguf", cut),
            "with its padding ends at byte ",
            "the download or the copy was cut short",
        ),
        (
            models.file("version.gguf", &flipped),
            "byte 4: GGUF version 9 is not known",
            "exported long ago",
        ),
    ];
    let mut likely = Vec::new();
    for (path, cause, first) in &cases {
        for verb in VERBS {
            let lines = e10(call(&[verb, "-m", path, "-p", "test"]), path);
            assert!(lines[1].contains(cause), "{verb}: {}", lines[1]);
            assert!(lines[2].contains(first), "{verb}: {}", lines[2]);
            likely.push(lines[2..5].to_vec());
        }
        assert!(e10(call(&["inspect", path]), path)[1].contains(cause));
    }
    likely.sort_unstable();
    likely.dedup();
    assert_eq!(likely.len(), cases.len(), "two kinds have the same likely causes");
}

#[test]
fn another_architecture_is_named_with_those_that_there_are() {
    let models = Models::new();
    let path = models.of_architecture("gpt-neox");
    let lines = e10(call(&["logits", "-m", &path, "-p", "test"]), &path);
    let cause = "  cause: architecture 'gpt-neox' is not supported; supported are ";
    assert!(lines[1].starts_with(cause), "{}", lines[1]);
    assert!(lines[2].contains("a model of another family"), "{}", lines[2]);
}

#[test]
fn a_missing_tensor_and_a_missing_vocabulary_are_named() {
    let models = Models::new();
    let directory = Directory::parse(&models.bytes).unwrap();
    let mut writer = GgufWriter::new();
    for (key, value) in directory.metadata().iter() {
        writer.value(key, value).unwrap();
    }
    let mut bytes = Vec::new();
    writer.write(&mut bytes).unwrap();
    let path = models.file("bare.gguf", &bytes);
    let lines = e10(call(&["logits", "-m", &path, "-p", "test"]), &path);
    assert!(lines[1].contains("tensor 'token_embd.weight' is missing"), "{}", lines[1]);

    let mut writer = GgufWriter::new();
    writer.str("general.architecture", "bitnet-b1.58").unwrap();
    let mut bytes = Vec::new();
    writer.write(&mut bytes).unwrap();
    let path = models.file("keys.gguf", &bytes);
    let lines = e10(call(&["tokenize", "-m", &path, "-p", "test"]), &path);
    assert!(lines[1].contains("metadata key 'tokenizer.ggml.model' is missing"), "{}", lines[1]);
    assert!(lines[2].contains("holds no language model"), "{}", lines[2]);
}

#[test]
fn a_file_of_the_cache_is_verified_and_any_other_is_fetched() {
    let models = Models::new();
    let entry = models.place("models").join("0123456789abcdef".repeat(4));
    std::fs::create_dir_all(&entry).unwrap();
    let path = entry.join("model.gguf");
    std::fs::write(&path, b"GGUF").unwrap();
    let path = path.to_str().unwrap();
    let lines = e10(call(&["logits", "-m", path, "-p", "test"]), path);
    assert_eq!(lines[5], "  next: parity fetch --verify");
    let path = "/nope/bad.gguf";
    let lines = e10(call(&["logits", "-m", path, "-p", "test"]), path);
    assert!(
        lines[5].starts_with("  next: parity fetch --id ci-light (a model that"),
        "{}",
        lines[5]
    );
}

#[test]
fn a_path_is_shown_escaped() {
    let ended = call(&["logits", "-m", "/nope/\u{1b}[2J\n::error::x", "-p", "test"]);
    e10(ended, "/nope/\\u{1b}[2J\\n::error::x");
}
