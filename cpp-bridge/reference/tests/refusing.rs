//! Bad input is an error with the reference's reason, never a crash and never a wrong answer.

use crate::fixture::{self, BOS, EOS, Model, VOCABULARY};
use crate::provider;
use crate::reference::{CacheType, Error, Reference, Settings, log_tail};

pub fn small() -> Settings {
    Settings { context: 64, ..Settings::default() }
}

fn load(model: &Model) -> Reference {
    Reference::load(&model.path(), &small()).expect("the reference loads the fixture")
}

#[track_caller]
pub fn assert_says<T: std::fmt::Debug>(result: Result<T, Error>, parts: &[&str]) {
    let message = result.expect_err("must be refused").to_string();
    for part in parts {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
}

#[test]
fn caches_in_q8_0_that_it_would_not_compute_with() {
    let model = Model::new();
    let values = Settings { value_cache: CacheType::Q8_0, ..small() };
    assert_says(
        Reference::load(&model.path(), &values),
        &["values in Q8_0 need flash attention, which is off: take F16"],
    );
}

#[test]
fn a_missing_file() {
    let model = Model::new();
    let path = model.directory().join("absent.gguf");
    assert_says(
        Reference::load(&path, &small()),
        &["absent.gguf", "failed to open it: No such file"],
    );
}

#[test]
fn junk() {
    let model = Model::new();
    let path = model.sibling("junk.gguf", b"this is not a model, it only has its name");
    assert_says(Reference::load(&path, &small()), &["junk.gguf", "failed to load model"]);
}

#[test]
fn a_truncated_file() {
    let model = Model::new();
    let bytes = fixture::bytes();
    let path = model.sibling("short.gguf", &bytes[..bytes.len() / 2]);
    assert_says(Reference::load(&path, &small()), &["short.gguf", "not within the file bounds"]);
}

#[test]
fn a_header_cut_off() {
    let model = Model::new();
    let path = model.sibling("header.gguf", &fixture::bytes()[..300]);
    assert_says(Reference::load(&path, &small()), &["header.gguf", "failed to load model"]);
}

/// The fixture with another architecture's name.
fn renamed(name: &str) -> Vec<u8> {
    let mut bytes = fixture::bytes();
    let old = provider::ARCHITECTURE.as_bytes();
    let at = bytes.windows(old.len()).position(|window| window == old).expect("the name");
    bytes[at - 8..at].copy_from_slice(&(name.len() as u64).to_le_bytes());
    bytes.splice(at..at + old.len(), name.bytes());
    bytes
}

#[test]
fn an_unknown_architecture() {
    let model = Model::new();
    let name = "x".repeat(provider::ARCHITECTURE.len());
    let path = model.sibling("arch.gguf", &renamed(&name));
    assert_says(Reference::load(&path, &small()), &["unknown model architecture", &name]);
}

#[test]
fn an_error_as_long_as_a_file_makes_it_is_cut() {
    let model = Model::new();
    // Longer by a multiple of the alignment, so that the data stays aligned.
    let name = "x".repeat(provider::ARCHITECTURE.len() + 32 * 150);
    let path = model.sibling("long.gguf", &renamed(&name));
    let message = Reference::load(&path, &small()).expect_err("must be refused").to_string();
    assert!(message.contains("unknown model architecture: 'xxx"), "{message}");
    let kept = message.matches('x').count();
    assert!((1800..2000).contains(&kept), "{kept} of {} letters are left", name.len());
}

#[test]
fn a_path_with_nul() {
    let path = std::path::Path::new("a\0b.gguf");
    assert_says(Reference::load(path, &small()), &["NUL"]);
}

#[test]
fn settings_out_of_range() {
    let model = Model::new();
    for (settings, part) in [
        (Settings { context: 0, ..small() }, "context must be"),
        (Settings { threads: 0, ..small() }, "threads must be"),
        (Settings { threads: 100_000, ..small() }, "threads must be"),
        (Settings { micro_batch: 0, ..small() }, "micro_batch must be"),
    ] {
        assert_says(Reference::load(&model.path(), &settings), &[part]);
    }
}

#[test]
fn more_ids_than_the_context_holds() {
    let model = Model::new();
    let mut reference = load(&model);
    let ids = vec![1; 65];
    assert_says(reference.logits(&ids), &["logits", "65 positions", "holds 64"]);
    assert_says(reference.logits_by_step(&ids), &["logits_by_step", "65 positions", "holds 64"]);
    assert_says(reference.capture(&ids, &["l_out-0".to_owned()]), &["capture", "65", "64"]);
    assert_says(reference.generate(&[1; 60], 6), &["generate", "65 positions", "holds 64"]);
    reference.generate(&[1; 60], 5).expect("64 positions fit: the last id is not fed");
    reference.logits(&[1; 64]).expect("64 positions fit");
}

#[test]
fn ids_outside_the_vocabulary() {
    let model = Model::new();
    let mut reference = load(&model);
    let bad = [1, 2, VOCABULARY as u32];
    let says = ["id 320 at index 2", "vocabulary of 320"];
    assert_says(reference.logits(&bad), &says);
    assert_says(reference.logits_by_step(&bad), &says);
    assert_says(reference.generate(&bad, 1), &says);
    assert_says(reference.capture(&bad, &["l_out-0".to_owned()]), &says);
    assert_says(reference.detokenize(&bad), &says);
    assert_says(reference.logits(&[u32::MAX]), &["4294967295"]);
}

#[test]
fn no_ids_at_all() {
    let model = Model::new();
    let mut reference = load(&model);
    assert_says(reference.logits(&[]), &["no ids"]);
    assert_says(reference.logits_by_step(&[]), &["no ids"]);
    assert_says(reference.generate(&[], 3), &["no ids"]);
    assert_eq!(reference.detokenize(&[]), Ok(Vec::new()));
}

#[test]
fn a_result_that_no_memory_holds() {
    let model = Model::new();
    let result = load(&model).generate(&[1], usize::MAX / 2);
    assert_says(result, &["generate", "too many"]);
}

#[test]
fn tensor_names_that_do_not_exist() {
    let model = Model::new();
    let mut reference = load(&model);
    let names = ["l_out-0".to_owned(), "l_out-9".to_owned()];
    assert_says(reference.capture(&[1, 2], &names), &["no tensor named l_out-9"]);
    assert_says(reference.capture(&[1, 2], &[]), &["no tensor names"]);
    let mut narrow = Reference::load(&model.path(), &Settings { micro_batch: 32, ..small() })
        .expect("the fixture");
    assert_says(narrow.capture(&[1; 33], &names[..1]), &["33 ids", "micro_batch = 32"]);
}

#[test]
fn a_failed_call_leaves_the_model_usable() {
    let model = Model::new();
    let mut reference = load(&model);
    let before = reference.logits(&[BOS, 5, 9]).expect("logits");
    assert_says(reference.logits(&[BOS, 5, 999]), &["id 999"]);
    assert_eq!(reference.logits(&[BOS, 5, 9]), Ok(before));
}

#[test]
fn text_survives_the_tokenizer() {
    let model = Model::new();
    let reference = load(&model);
    for text in [
        "",
        "hello",
        "the cat sat on the world",
        "  two  spaces\n\ttab\r\n",
        "naïve café — 東京 🙂",
        "nul \0 inside",
        "<|eot_id|>",
        "trailing ",
        "123 4567 89",
        "don't we'll I'M",
    ] {
        for parse_special in [false, true] {
            let ids = reference.tokenize(text, false, parse_special).expect("ids");
            let back = reference.detokenize(&ids).expect("bytes");
            assert_eq!(back, text.as_bytes(), "{text:?} gave {ids:?}");
        }
    }
}

#[test]
fn special_ids_are_added_and_read_only_when_asked() {
    let model = Model::new();
    let reference = load(&model);
    let plain = reference.tokenize("hello", false, false).expect("ids");
    assert_eq!(plain.len(), 1, "`hello` is one token of the fixture: {plain:?}");
    let with_bos = reference.tokenize("hello", true, false).expect("ids");
    assert_eq!(with_bos, [BOS, plain[0]]);
    assert_eq!(reference.tokenize("<|end_of_text|>", false, true).expect("ids"), [EOS]);
    assert!(reference.tokenize("<|end_of_text|>", false, false).expect("ids").len() > 1);
    assert_eq!(
        reference.detokenize(&[BOS, plain[0], EOS]).expect("bytes"),
        b"<|begin_of_text|>hello<|end_of_text|>"
    );
}

#[test]
fn a_long_text_needs_more_than_one_attempt() {
    let model = Model::new();
    let reference = load(&model);
    let text = "é".repeat(50_000);
    let ids = reference.tokenize(&text, true, true).expect("ids");
    assert_eq!(ids.len(), 100_001, "two bytes a character and a BOS");
    assert_eq!(reference.detokenize(&ids[1..]).expect("bytes"), text.as_bytes());
}

#[test]
fn the_log_is_kept() {
    let model = Model::new();
    load(&model);
    let log = log_tail();
    assert!(log.lines().any(|line| line.starts_with("info: ")), "{log}");
    assert!(log.contains("llama"), "{log}");
}
