//! `bitnet logits`: the library's logits to the bit, as a table, as JSON and as .npy.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use bitnet_engine::exit::Exit;
use bitnet_engine::gguf::Directory;
use bitnet_engine::model::{LogitsOf, Model};
use bitnet_engine::session::Session;
use serde_json::Value;

use crate::program::{Models, call};

/// More positions than are computed at a time.
fn text() -> String {
    "The quick brown fox jumps over the lazy dog. ".repeat(4)
}

/// Ids of a text and their logits, row by row.
fn truth(path: &str, text: &str) -> (Vec<u32>, Vec<Vec<f32>>) {
    let model = Arc::new(Model::open(Path::new(path)).unwrap());
    let ids = model.tokenizer().encode(text, true, true).unwrap();
    let mut session = Session::new(&model, ids.len(), NonZeroUsize::MIN).unwrap();
    let logits = session.prefill(&ids, LogitsOf::All).unwrap();
    (ids, logits.chunks(model.config().vocab_size).map(<[f32]>::to_vec).collect())
}

/// The objects of JSON lines.
fn lines(out: &str) -> Vec<Value> {
    out.lines().map(|line| serde_json::from_str(line).expect("an object")).collect()
}

/// A row of the output has the largest logits of the library's row, to the bit.
#[track_caller]
fn agrees(row: &Value, position: usize, id: u32, logits: &[f32], count: usize) {
    assert_eq!((&row["position"], &row["id"]), (&position.into(), &id.into()));
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|a, b| logits[*b].total_cmp(&logits[*a]).then(a.cmp(b)));
    let log_sum = logits.iter().map(|l| f64::from(*l).exp()).sum::<f64>().ln();
    let top = row["top"].as_array().unwrap();
    assert_eq!(top.len(), count.min(logits.len()));
    for (candidate, id) in top.iter().zip(order) {
        assert_eq!(candidate["id"], id);
        let logit: f32 = serde_json::from_value(candidate["logit"].clone()).unwrap();
        assert_eq!(logit.to_bits(), logits[id].to_bits(), "id {id}");
        let log_prob = candidate["log_prob"].as_f64().unwrap();
        let distance = (log_prob - (f64::from(logit) - log_sum)).abs();
        assert!(distance < 1e-9, "id {id}: {log_prob} is {distance} off");
    }
}

#[test]
fn json_agrees_with_the_library_at_every_position() {
    let models = Models::new();
    let path = models.path();
    let (ids, rows) = truth(&path, &text());
    assert!(ids.len() > 64, "{} positions fit one chunk", ids.len());
    let args = ["logits", "-m", &path, "-p", &text(), "--format", "json"];
    let all = lines(&call(&[&args[..], &["--all"]].concat()).with(Exit::Ok).out);
    assert_eq!(all.len(), ids.len());
    for (position, row) in all.iter().enumerate() {
        agrees(row, position, ids[position], &rows[position], 10);
    }
    let last = lines(&call(&[&args[..], &["--top", "5000"]].concat()).with(Exit::Ok).out);
    assert_eq!(last.len(), 1);
    let end = ids.len() - 1;
    agrees(&last[0], end, ids[end], &rows[end], 5000);
}

#[test]
fn threads_instruction_sets_and_ids_change_nothing() {
    let models = Models::new();
    let path = models.path();
    let (ids, _) = truth(&path, "The fox");
    let ids = ids.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    let args = ["logits", "-m", &path, "--all", "--format", "json"];
    let out = |rest: &[&str]| call(&[&args[..], rest].concat()).with(Exit::Ok).out;
    let plain = out(&["-p", "The fox"]);
    assert_eq!(out(&["--prompt-tokens", &ids]), plain);
    assert_eq!(out(&["-p", "The fox", "-t", "2", "--isa", "scalar", "-c", "0"]), plain);
}

#[test]
fn npy_holds_all_rows_to_the_bit() {
    let models = Models::new();
    let path = models.path();
    let npy = models.file("logits.npy", b"something older");
    let (ids, rows) = truth(&path, &text());
    call(&["logits", "-m", &path, "-p", &text(), "--out", &npy]).with(Exit::Ok);
    let bytes = std::fs::read(&npy).unwrap();
    assert_eq!(bytes[..8], *b"\x93NUMPY\x01\x00");
    let data = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    assert_eq!(data % 64, 0);
    let header = std::str::from_utf8(&bytes[10..data]).unwrap();
    let facts = format!(
        "{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}",
        ids.len(),
        rows[0].len()
    );
    assert_eq!(header.trim_end(), facts);
    let values = bytes[data..].as_chunks::<4>().0.iter().map(|raw| u32::from_le_bytes(*raw));
    assert!(values.eq(rows.iter().flatten().map(|l| l.to_bits())), "the values differ");
    let left: Vec<_> = std::fs::read_dir(models.folder.path()).unwrap().collect();
    assert_eq!(left.len(), 2, "only the model and the result: {left:?}");
}

#[test]
fn a_table_for_people() {
    let models = Models::new();
    let path = models.path();
    let (ids, rows) = truth(&path, "The fox");
    let out = call(&["logits", "-m", &path, "-p", "The fox", "--top", "2"]).with(Exit::Ok).out;
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[0], "position      id         logit      log-prob  piece");
    assert_eq!(lines.len(), 3);
    let fields: Vec<&str> = lines[1].split_whitespace().collect();
    let largest = rows[ids.len() - 1].iter().copied().fold(f32::NEG_INFINITY, f32::max);
    assert_eq!(fields[0], (ids.len() - 1).to_string());
    assert_eq!(fields[2], format!("{largest:.6}"));
}

#[test]
fn requests_that_do_not_fit_are_refused_before_anything_is_printed() {
    let models = Models::new();
    let path = models.path();
    let cases: [(&[&str], &str); 6] = [
        (&["--prompt-tokens", "1,99999"], "id 99999 at index 1 is not in the vocabulary of 768"),
        (&["--prompt-tokens", ""], "the text is empty and gives no token"),
        (
            &["-p", "abc", "-c", "1"],
            "but the context has 1; open the session with a larger context",
        ),
        (&["-p", "abc", "-c", "99999"], "a context of 99999 was asked for; the model has 1 to 512"),
        (
            &["-p", "abc", "--out", "/nope/x.npy"],
            "cannot write '/nope/x.npy': its folder does not exist",
        ),
        (&["-p", "abc", "--top", "0"], "invalid value '0' for '--top <K>'"),
    ];
    for (args, words) in cases {
        let ended = call(&[&["logits", "-m", &path], args].concat()).with(Exit::Usage);
        assert!(ended.err.contains(words), "`{words}` is not in:\n{}", ended.err);
        assert_eq!(ended.out, "");
    }
    let folder = models.place("folder");
    std::fs::create_dir(&folder).unwrap();
    let folder = folder.to_str().unwrap();
    let ended = call(&["logits", "-m", &path, "-p", "abc", "--out", folder]).with(Exit::Usage);
    assert!(ended.err.contains("is no regular file; name a file"), "{}", ended.err);
}

#[test]
fn logits_that_are_no_numbers_are_an_error_and_leave_no_file() {
    let models = Models::new();
    let mut bytes = models.bytes.clone();
    let directory = Directory::parse(&bytes).unwrap();
    let start = directory.tensor("output_norm.weight").unwrap().range().start;
    bytes[start..start + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    let path = models.file("nan.gguf", &bytes);
    let npy = models.place("logits.npy");
    let args = ["logits", "-m", &path, "-p", "abc", "--out", npy.to_str().unwrap()];
    let ended = call(&args).with(Exit::CaseFailed);
    let words = "error: the logit of id 0 at position 0 is NaN: this model computes no result";
    assert!(ended.err.contains(words), "{}", ended.err);
    assert_eq!(ended.out, "");
    assert!(!npy.exists());
}
