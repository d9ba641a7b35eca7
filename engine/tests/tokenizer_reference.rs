//! Our ids against llama.cpp's on real vocabularies, where the shared test data is there.
//!
//! The data is llama.cpp's own (`models/ggml-vocab-*.gguf`, `.inp`, `.out`) and not part of this
//! repository. The reader below knows the few value types of those files and nothing more.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a test says what it compared")]

use std::path::PathBuf;

use bitnet_engine::tokenizer::{SpecialIds, StreamDecoder, Tokenizer, VocabularySource};

/// The values of a vocabulary file that a tokenizer needs.
#[derive(Default)]
struct Metadata {
    strings: Vec<(String, String)>,
    numbers: Vec<(String, u32)>,
    flags: Vec<(String, bool)>,
    texts: Vec<(String, Vec<Vec<u8>>)>,
    floats: Vec<(String, Vec<f32>)>,
    integers: Vec<(String, Vec<i32>)>,
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> &'a [u8] {
        let (head, tail) = self.0.split_at(count);
        self.0 = tail;
        head
    }
    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take(4).try_into().unwrap())
    }
    fn u64(&mut self) -> usize {
        u64::from_le_bytes(self.take(8).try_into().unwrap()) as usize
    }
    fn bytes(&mut self) -> &'a [u8] {
        let len = self.u64();
        self.take(len)
    }
    fn string(&mut self) -> String {
        String::from_utf8(self.bytes().to_vec()).unwrap()
    }
}

fn metadata(file: &[u8]) -> Metadata {
    let mut reader = Reader(file);
    assert_eq!(reader.take(4), b"GGUF");
    assert_eq!(reader.u32(), 3, "GGUF version");
    let _tensors = reader.u64();
    let mut found = Metadata::default();
    for _ in 0..reader.u64() {
        let key = reader.string();
        match reader.u32() {
            4 => found.numbers.push((key, reader.u32())),
            6 => drop(reader.take(4)),
            7 => found.flags.push((key, reader.take(1)[0] != 0)),
            8 => {
                let value = reader.string();
                found.strings.push((key, value));
            }
            9 => {
                let element = reader.u32();
                let count = reader.u64();
                match element {
                    8 => {
                        let values = (0..count).map(|_| reader.bytes().to_vec()).collect();
                        found.texts.push((key, values));
                    }
                    6 => {
                        let values = (0..count).map(|_| f32::from_bits(reader.u32())).collect();
                        found.floats.push((key, values));
                    }
                    5 => {
                        let values = (0..count).map(|_| reader.u32() as i32).collect();
                        found.integers.push((key, values));
                    }
                    other => panic!("array of type {other}"),
                }
            }
            other => panic!("`{key}` has type {other}"),
        }
    }
    found
}

fn get<'a, T>(list: &'a [(String, T)], key: &str) -> Option<&'a T> {
    let wanted = format!("tokenizer.ggml.{key}");
    list.iter().find(|(key, _)| *key == wanted).map(|(_, value)| value)
}

fn slices(texts: &[Vec<u8>]) -> Vec<&[u8]> {
    texts.iter().map(Vec::as_slice).collect()
}

impl Metadata {
    fn source(&self) -> VocabularySource<'_> {
        let id = |key| get(&self.numbers, key).copied();
        VocabularySource {
            model: get(&self.strings, "model").unwrap(),
            pre: get(&self.strings, "pre").map(String::as_str),
            tokens: slices(get(&self.texts, "tokens").unwrap()),
            scores: get(&self.floats, "scores").map(Vec::as_slice),
            token_types: get(&self.integers, "token_type").map(Vec::as_slice),
            merges: get(&self.texts, "merges").map(|merges| slices(merges)),
            ids: SpecialIds {
                bos: id("bos_token_id"),
                eos: id("eos_token_id"),
                unk: id("unknown_token_id"),
                pad: id("padding_token_id"),
                ..SpecialIds::default()
            },
            add_bos: get(&self.flags, "add_bos_token").copied(),
            add_eos: get(&self.flags, "add_eos_token").copied(),
            add_space_prefix: get(&self.flags, "add_space_prefix").copied(),
        }
    }
}

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/vocab"))
}

/// The file's bytes, or none, said aloud, where the shared data is not there.
fn shared(name: &str) -> Option<Vec<u8>> {
    let path = folder().join(name);
    if !folder().is_dir() {
        eprintln!("the shared vocabularies are not there: nothing compared with {name}");
        return None;
    }
    Some(std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

fn compare(name: &str) {
    let Some(file) = shared(&format!("{name}.gguf")) else { return };
    let found = metadata(&file);
    let tokenizer = Tokenizer::new(&found.source()).unwrap();
    let texts = String::from_utf8(shared(&format!("{name}.gguf.inp")).unwrap()).unwrap();
    let ids = String::from_utf8(shared(&format!("{name}.gguf.out")).unwrap()).unwrap();
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
