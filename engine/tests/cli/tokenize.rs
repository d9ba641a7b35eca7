//! `bitnet tokenize`: the library's ids, and the way back.

use std::path::Path;

use bitnet_engine::exit::Exit;
use bitnet_engine::gguf::GgufFile;
use bitnet_engine::model::read_tokenizer;
use bitnet_engine::tokenizer::Tokenizer;
use serde_json::Value;

use crate::program::{Models, call, call_with};

const TEXT: &str = "Hello, 'fox' <|eot_id|>\n é🦀";

fn tokenizer(path: &str) -> Tokenizer {
    let file = GgufFile::open(Path::new(path)).unwrap();
    read_tokenizer(file.metadata()).unwrap()
}

#[test]
fn ids_are_the_librarys_for_every_source_and_option() {
    let models = Models::new();
    let path = models.path();
    let text = models.file("text.txt", TEXT.as_bytes());
    let tokenizer = tokenizer(&path);
    let ids = |special, parse| format!("{:?}\n", tokenizer.encode(TEXT, special, parse).unwrap());
    let head = ["tokenize", "-m", &path, "--ids"];
    let with = |rest: &[&str]| call(&[&head[..], rest].concat()).with(Exit::Ok).out;
    assert_eq!(with(&["-p", TEXT]), ids(true, true));
    assert_eq!(with(&["-f", &text]), ids(true, true));
    assert_eq!(with(&["-p", TEXT, "--no-bos"]), ids(false, true));
    assert_eq!(with(&["-p", TEXT, "--no-parse-special"]), ids(true, false));
    assert_eq!(with(&["-p", TEXT, "--no-parse-special", "--parse-special"]), ids(true, true));
    assert_ne!(ids(true, true), ids(true, false), "the text holds a special token");
    assert_ne!(ids(true, true), ids(false, true), "the vocabulary asks for BOS");
    for input in [&head[..], &[&head[..], &["-f", "-"]].concat()] {
        assert_eq!(call_with(input, TEXT.as_bytes()).with(Exit::Ok).out, ids(true, true));
    }
    let counted = with(&["-p", TEXT, "--show-count"]);
    let count = tokenizer.encode(TEXT, true, true).unwrap().len();
    assert_eq!(counted, format!("{}Total number of tokens: {count}\n", ids(true, true)));
}

#[test]
fn a_line_a_token_and_no_control_character() {
    let models = Models::new();
    let out =
        call(&["tokenize", "-m", &models.path(), "-p", "a\u{1b}\n", "--no-bos"]).with(Exit::Ok).out;
    assert_eq!(out, "    97 -> 'a'\n    27 -> '\\u{1b}'\n    10 -> '\\n'\n");
}

#[test]
fn ids_give_the_text_back() {
    let models = Models::new();
    let path = models.path();
    let ids = call(&["tokenize", "-m", &path, "-p", TEXT, "--ids", "--no-bos"]).with(Exit::Ok).out;
    let back = ["tokenize", "-m", &path, "--format", "json", "--detokenize"];
    let report = |out: &str| serde_json::from_str::<Value>(out).expect("one object");
    let from_input = call_with(&[&back[..], &["-"]].concat(), ids.as_bytes()).with(Exit::Ok);
    assert_eq!(report(&from_input.out)["text"], TEXT);
    let from_flag = call(&[&back[..], &[ids.trim()]].concat()).with(Exit::Ok);
    assert_eq!(from_flag.out, from_input.out);
    // The first byte of é alone is no text.
    assert_eq!(
        report(&call(&[&back[..], &["195"]].concat()).out)["text"],
        serde_json::json!([195])
    );
    let shown = call(&["tokenize", "-m", &path, "--detokenize", "27,10,195"]).with(Exit::Ok).out;
    assert_eq!(shown, "\\u{1b}\\n\\xc3\n");
}

#[test]
fn json_has_every_token_exactly() {
    let models = Models::new();
    let path = models.path();
    let out = call(&["tokenize", "-m", &path, "-p", TEXT, "--format", "json"]).with(Exit::Ok).out;
    assert_eq!(out.lines().count(), 1);
    let report: Value = serde_json::from_str(&out).unwrap();
    let tokenizer = tokenizer(&path);
    let ids = tokenizer.encode(TEXT, true, true).unwrap();
    assert_eq!(report["ids"], serde_json::json!(ids));
    assert_eq!(report["count"], ids.len());
    for (token, id) in report["tokens"].as_array().unwrap().iter().zip(&ids) {
        let piece = tokenizer.piece(*id).unwrap();
        let bytes = match &token["piece"] {
            Value::String(text) => text.clone().into_bytes(),
            raw => serde_json::from_value(raw.clone()).unwrap(),
        };
        assert_eq!((&token["id"], &bytes[..]), (&serde_json::json!(id), piece));
    }
}

#[test]
fn weights_are_not_needed_and_other_architectures_are_welcome() {
    let models = Models::new();
    let other = models.of_architecture("gpt-neox");
    let ids = |path: &str| call(&["tokenize", "-m", path, "-p", TEXT, "--ids"]).with(Exit::Ok).out;
    assert_eq!(ids(&other), ids(&models.path()));
}

#[test]
fn what_is_no_text_and_no_id_is_refused() {
    let models = Models::new();
    let path = models.path();
    let latin = models.file("latin.txt", b"ab\xe9");
    let folder = models.folder.path().to_str().unwrap().to_owned();
    let cases: [(&[&str], &str); 5] = [
        (&["-f", &latin], "byte 2 begins no UTF-8 character; convert it to UTF-8"),
        (&["-f", "/nope/text"], "cannot use '/nope/text' as text: No such file"),
        (&["-f", &folder], "is a directory"),
        (&["--detokenize", "1,x"], "'x' is no token id; ids look like 1,2,3"),
        (
            &["--detokenize", "1,99999"],
            "token id 99999 at position 1: the vocabulary has ids below",
        ),
    ];
    for (args, words) in cases {
        let ended = call(&[&["tokenize", "-m", &path], args].concat()).with(Exit::Usage);
        assert!(ended.err.contains(words), "`{words}` is not in:\n{}", ended.err);
        assert_eq!(ended.out, "");
    }
}
