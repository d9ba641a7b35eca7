//! Our ids against llama.cpp's on real vocabularies, where the shared test data is there.
//!
//! The data is llama.cpp's own (`models/ggml-vocab-*.gguf`, `.inp`, `.out`) and not part of this
//! repository.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a test says what it compared")]

use std::path::PathBuf;

use bitnet_engine::gguf::{FromValue, GgufFile, Items, Strings};
use bitnet_engine::tokenizer::{SpecialIds, StreamDecoder, Tokenizer, VocabularySource};

/// What the file says of its vocabulary, copied where a tokenizer wants slices of numbers.
struct Stated {
    file: GgufFile,
    scores: Option<Vec<f32>>,
    token_types: Option<Vec<i32>>,
}

fn key(name: &str) -> String {
    format!("tokenizer.ggml.{name}")
}

impl Stated {
    fn new(file: GgufFile) -> Self {
        let metadata = file.metadata();
        let scores: Option<Items<'_, f32>> = metadata.optional(&key("scores")).unwrap();
        let token_types: Option<Items<'_, i32>> = metadata.optional(&key("token_type")).unwrap();
        let (scores, token_types) = (scores.map(|s| s.to_vec()), token_types.map(|t| t.to_vec()));
        Self { file, scores, token_types }
    }

    fn optional<'a, T: FromValue<'a>>(&'a self, name: &str) -> Option<T> {
        self.file.metadata().optional(&key(name)).unwrap()
    }

    fn texts(&self, name: &str) -> Option<Vec<&[u8]>> {
        let texts: Strings<'_> = self.optional(name)?;
        Some(texts.iter().map(|text| text.as_bytes()).collect())
    }

    fn source(&self) -> VocabularySource<'_> {
        VocabularySource {
            model: self.optional("model").unwrap(),
            pre: self.optional("pre"),
            tokens: self.texts("tokens").unwrap(),
            scores: self.scores.as_deref(),
            token_types: self.token_types.as_deref(),
            merges: self.texts("merges"),
            ids: SpecialIds {
                bos: self.optional("bos_token_id"),
                eos: self.optional("eos_token_id"),
                unk: self.optional("unknown_token_id"),
                pad: self.optional("padding_token_id"),
                ..SpecialIds::default()
            },
            add_bos: self.optional("add_bos_token"),
            add_eos: self.optional("add_eos_token"),
            add_space_prefix: self.optional("add_space_prefix"),
        }
    }
}

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/vocab"))
}

/// The file's path, or none, said aloud, where the shared data is not there.
fn shared(name: &str) -> Option<PathBuf> {
    if !folder().is_dir() {
        eprintln!("the shared vocabularies are not there: nothing compared with {name}");
        return None;
    }
    Some(folder().join(name))
}

fn text(name: &str) -> String {
    let path = folder().join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn compare(name: &str) {
    let Some(path) = shared(&format!("{name}.gguf")) else { return };
    let stated = Stated::new(GgufFile::open(&path).unwrap_or_else(|error| panic!("{error}")));
    let tokenizer = Tokenizer::new(&stated.source()).unwrap();
    let (texts, ids) = (text(&format!("{name}.gguf.inp")), text(&format!("{name}.gguf.out")));
    let texts: Vec<&str> = texts.split("\n__ggml_vocab_test__\n").collect();
    let ids: Vec<&str> = ids.split('\n').collect();
    assert!(texts.len() >= 40, "{} texts", texts.len());
    assert!(ids.len() >= texts.len(), "{} texts, {} lists", texts.len(), ids.len());
    for (number, (text, expected)) in texts.iter().zip(&ids).enumerate() {
        let expected: Vec<u32> =
            expected.split_whitespace().map(|id| id.parse().unwrap()).collect();
        let found = tokenizer.encode(text, false, false).unwrap();
        assert_eq!(found, expected, "{name}, text {number}: {text:?}");
        let bytes = tokenizer.decode(&found).unwrap();
        assert_eq!(String::from_utf8(bytes).as_deref(), Ok(*text), "{name}, text {number}");
        let mut decoder = StreamDecoder::new(&tokenizer);
        let mut streamed = String::new();
        for &id in &found {
            streamed.push_str(decoder.push(id).unwrap());
        }
        streamed.push_str(decoder.finish());
        assert_eq!(&streamed, text, "{name}, text {number}, streamed");
    }
    println!(
        "{name}: {} tokens, {} texts give llama.cpp's ids",
        tokenizer.vocab_size(),
        texts.len()
    );
}

#[test]
fn gpt_2_gives_the_ids_of_llama_cpp() {
    compare("gpt-2");
}

#[test]
fn llama_spm_gives_the_ids_of_llama_cpp() {
    compare("llama-spm");
}

#[test]
fn falcon_gives_the_ids_of_llama_cpp() {
    compare("falcon");
}

#[test]
fn deepseek_coder_gives_the_ids_of_llama_cpp() {
    compare("deepseek-coder");
}
