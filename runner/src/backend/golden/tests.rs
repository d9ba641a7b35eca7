//! Bytes of goldens: they come back as they were, and whatever is done to them, nothing panics.

use super::document::Back;
use super::*;
use crate::backend::{Identity, ModelFacts};
use crate::compare::golden::{GoldenInput, PathDigest, judge_golden};
use crate::compare::{Contract, NoiseProfile, Rows, Tolerance};
use crate::stats::Rng;

const VOCAB: usize = 40;

fn logits(rows: usize) -> Vec<f32> {
    let mut rng = Rng::new(5);
    (0..rows * VOCAB).map(|_| rng.normal() as f32).collect()
}

fn header() -> Header {
    let text = |text: &str| text.to_owned();
    Header {
        case: text("smoke::one"),
        recorded: text("2026-01-31"),
        reference: Identity {
            name: text("bitnet-cpp"),
            version: text("1.0"),
            source: text("crate"),
            build: text("checking build"),
        },
        question: Question {
            model_sha256: "ab".repeat(32),
            prompt_sha256: prompt_sha256(Ok("hi")),
            steps: Some(2),
            add_special: true,
            parse_special: false,
            threads: 1,
        },
        facts: ModelFacts { vocab_size: VOCAB, context_length: 64, bos: Some(1), eos: None },
    }
}

/// A case of three ids and two steps; `shared` says whether the decode path has the prefill's bits.
fn parity(shared: bool) -> Golden {
    let values = logits(4);
    let prefill = Rows::new("prefill", VOCAB, &values, 0).unwrap();
    let mut decoded = values[2 * VOCAB..].to_vec();
    if !shared {
        decoded[7] += 1e-6;
    }
    let steps = Rows::new("steps", VOCAB, &decoded, 2).unwrap();
    let best = |row: &[f32]| {
        (0..VOCAB as u32).max_by(|a, b| row[*a as usize].total_cmp(&row[*b as usize])).unwrap()
    };
    let chosen = vec![best(&decoded[..VOCAB]), best(&decoded[VOCAB..])];
    let ids = [1, 5, 9, chosen[0]];
    let answer = ParityAnswer {
        prompt: ids[..3].to_vec(),
        tokens: Some(StoredTokens::new(&[0, 1, 1], b"<s>hi", "hi")),
        prefill: PathDigest::of(&prefill, &ids[1..]).unwrap(),
        steps: PathDigest::of(&steps, &chosen).unwrap(),
        noise: Some(NoiseProfile::measure(&prefill.slice(2, 2).unwrap(), &steps).unwrap()),
        chosen,
    };
    Golden { header: header(), answer: Answer::Parity(Box::new(answer)) }
}

fn tokenizer() -> Golden {
    let tokens = |bytes: &[u8]| (vec![3, 4], StoredTokens::new(&[1, 1], bytes, "hi"));
    let text = TextAnswer { asked: tokens(b"\x01hi"), plain: tokens(b"ha") };
    Golden { header: header(), answer: Answer::Tokenizer(vec![text]) }
}

#[test]
fn goldens_come_back_as_they_were() {
    for golden in [parity(true), parity(false), tokenizer()] {
        let bytes = golden.encode().unwrap();
        assert_eq!(Golden::decode(&bytes), Ok(golden));
    }
    let (shared, own) = (parity(true).encode().unwrap(), parity(false).encode().unwrap());
    assert!(shared.len() + 300 < own.len(), "equal rows are kept once");
}

#[test]
fn bytes_of_a_text_are_kept_beside_it() {
    let kept = StoredTokens::new(&[0, 2], b"<s>hi", "hi");
    assert_eq!(
        (kept.back.clone(), kept.bytes("hi")),
        (Back::Before(b"<s>".to_vec()), b"<s>hi".to_vec())
    );
    let other = StoredTokens::new(&[2], b"ho", "hi");
    assert_eq!(
        (other.back.clone(), other.bytes("hi")),
        (Back::Bytes(b"ho".to_vec()), b"ho".to_vec())
    );
}

#[test]
fn every_cut_is_refused() {
    for golden in [parity(true), parity(false), tokenizer()] {
        let bytes = golden.encode().unwrap();
        for len in 0..bytes.len() {
            assert!(Golden::decode(&bytes[..len]).is_err(), "{len} of {} bytes", bytes.len());
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(Golden::decode(&longer).unwrap_err(), "1 bytes follow its end");
    }
}

/// What is read from flipped bytes is judged without a panic, whatever it says.
#[test]
fn flipped_bits_never_crash() {
    let values = logits(4);
    for (golden, flips) in [(parity(true), [0x01, 0x80, 0xff]), (parity(false), [0x10, 0x40, 0x7f])]
    {
        let bytes = golden.encode().unwrap();
        let mut read = 0;
        for place in 0..bytes.len() {
            for flip in flips {
                let mut bytes = bytes.clone();
                bytes[place] ^= flip;
                let Ok(Golden { answer: Answer::Parity(answer), header }) = Golden::decode(&bytes)
                else {
                    continue;
                };
                read += 1;
                if header.facts.vocab_size != VOCAB {
                    continue;
                }
                let ids = answer.fed();
                let input = GoldenInput {
                    vocab_size: VOCAB,
                    ids: &ids,
                    prompt_len: answer.prompt.len(),
                    chosen: &answer.chosen,
                    reference_prefill: &answer.prefill,
                    reference_steps: &answer.steps,
                    reference_noise: answer.noise.as_ref(),
                    test_prefill: &values,
                    test_steps: &values[2 * VOCAB..],
                    free_run: Some(&answer.chosen),
                    tokens: None,
                };
                let _ = judge_golden(&input, &Tolerance::from(Contract::SameNumerics));
            }
        }
        assert!(read > 500, "{read} of the damaged ones can be read");
    }
}

#[test]
fn the_file_is_found_by_its_case_and_held_against_its_name() {
    let root = tempfile::tempdir().unwrap();
    let store = GoldenStore::new(root.path());
    let mut golden = parity(true);
    assert_eq!(store.read("smoke", "one", "bitnet-cpp").unwrap(), None);
    let (path, kept, bytes) = store.keep(&golden).unwrap();
    assert_eq!((kept, bytes as u64), (Kept::New, path.metadata().unwrap().len()));
    let read = store.read("smoke", "one", "bitnet-cpp").unwrap().unwrap();
    assert_eq!(read, (path.clone(), golden.clone()));
    assert_eq!(store.read("smoke", "on", "bitnet-cpp").unwrap(), None, "a name is whole");

    golden.header.recorded = "2026-02-01".to_owned();
    let (same, kept, _) = store.keep(&golden).unwrap();
    assert_eq!((same, kept), (path.clone(), Kept::Same), "a later day is no change");

    let question = golden.header.question.clone();
    assert!(store.answering("smoke", "one", "bitnet-cpp", &question).unwrap().is_some());
    for (change, what) in [
        (
            Question { model_sha256: "cd".repeat(32), ..question.clone() },
            "model (abababababababab, now cdcdcdcdcdcdcdcd)",
        ),
        (Question { prompt_sha256: prompt_sha256(Ok("ho")), ..question.clone() }, "prompt ("),
        (Question { steps: Some(3), ..question.clone() }, "number of steps (2, now 3)"),
        (Question { add_special: false, ..question.clone() }, "add-special (true, now false)"),
        (Question { parse_special: true, ..question.clone() }, "parse-special (false, now true)"),
        (Question { threads: 2, ..question.clone() }, "number of threads (1, now 2)"),
    ] {
        let error = store.answering("smoke", "one", "bitnet-cpp", &change).unwrap_err().to_string();
        assert!(
            error.contains(&format!(" is stale: it was recorded with another {what}")),
            "{error}"
        );
        assert!(error.ends_with("cargo parity record 'smoke::one'"), "{error}");
    }

    golden.header.question.steps = Some(3);
    let (changed, kept, _) = store.keep(&golden).unwrap();
    assert_eq!(kept, Kept::Changed);
    assert_eq!(store.all().unwrap(), std::slice::from_ref(&changed), "the old one is gone");

    let mut bytes = std::fs::read(&changed).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&changed, &bytes).unwrap();
    let error = store.read("smoke", "one", "bitnet-cpp").unwrap_err().to_string();
    assert!(
        error.contains("is damaged: its bytes have another hash than its name says"),
        "{error}"
    );
    std::fs::copy(&changed, store.folder().join("smoke.one.bitnet-cpp.00.golden")).unwrap();
    let error = store.read("smoke", "one", "bitnet-cpp").unwrap_err().to_string();
    assert!(
        error.starts_with("there are 2 goldens whose names begin with smoke.one.bitnet-cpp"),
        "{error}"
    );

    let wanted = [("smoke".to_owned(), "two".to_owned(), "bitnet-cpp".to_owned())];
    assert_eq!(store.prune(&wanted).unwrap().len(), 2);
    assert!(store.all().unwrap().is_empty());
}

#[test]
fn a_golden_under_another_name_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let store = GoldenStore::new(root.path());
    let (path, ..) = store.keep(&parity(true)).unwrap();
    let name = path.file_name().unwrap().to_str().unwrap().replace("smoke.one", "smoke.two");
    std::fs::rename(&path, store.folder().join(name)).unwrap();
    let error = store.read("smoke", "two", "bitnet-cpp").unwrap_err().to_string();
    assert!(error.contains("is damaged: it is that of smoke::one by bitnet-cpp"), "{error}");
}

#[test]
fn prompts_of_the_same_bytes_and_another_form_differ() {
    assert_ne!(prompt_sha256(Ok("a")), prompt_sha256(Err(&[97])));
    let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_ne!(texts_sha256(&texts(&["ab", "c"])), texts_sha256(&texts(&["a", "bc"])));
}
