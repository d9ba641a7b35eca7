//! Vocabularies to compare with: written as models of a few kilobytes round them, for the reference
//! loads a model and not a vocabulary alone. No weight matters.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use bitnet_engine::gguf::{GgufFile, GgufWriter, TensorType, Value};
use bitnet_engine::synth::bpe_training::{CORPUS, TrainedVocabulary, train};

use crate::random::Random;

const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const BYTE: i32 = 6;

/// Texts of special tokens: some begin alike, some lie inside others, one ends a turn.
const SPECIAL: [(&str, i32); 14] = [
    ("<|begin|>", CONTROL),
    ("<|stop|>", CONTROL),
    ("<|eot_id|>", CONTROL),
    ("<|eot_id|>!", CONTROL),
    ("<mask>", CONTROL),
    ("<?>", UNKNOWN),
    ("<mine>", USER_DEFINED),
    ("<mine><mine>", USER_DEFINED),
    ("   ", USER_DEFINED),
    ("\n\n\n", USER_DEFINED),
    (" é", USER_DEFINED),
    ("abab", USER_DEFINED),
    ("👩‍🚀", USER_DEFINED),
    ("7.5", USER_DEFINED),
];

/// A vocabulary by what it is made of.
#[derive(Clone)]
pub enum Recipe {
    /// Byte-level BPE of all pairs of bytes, in an order of chance. Wherever a word begins, some pair
    /// cannot be merged: of two ways of splitting, most differences change the ids.
    Pairs { pre: &'static str },
    /// Byte-level BPE trained on the project's text.
    Trained { pre: &'static str, add_bos: Option<bool> },
    /// SentencePiece.
    SentencePiece { prefix: Option<bool>, add_bos: bool, add_eos: bool, scores: Scores },
    /// The vocabulary of a GGUF file.
    File(PathBuf),
}

/// What a SentencePiece vocabulary says of its tokens' scores.
#[derive(Clone, Copy, PartialEq)]
pub enum Scores {
    /// The longer a token took to learn, the lower.
    Falling,
    /// Sixteen tokens have the same one.
    Tied,
    /// None.
    Absent,
}

/// Writes the model of a recipe to `path`.
pub fn write(recipe: &Recipe, path: &Path) {
    let mut writer = GgufWriter::new();
    let size = match recipe {
        Recipe::Pairs { pre } => bpe(&mut writer, pairs(), pre, None),
        Recipe::Trained { pre, add_bos } => bpe(&mut writer, trained(), pre, *add_bos),
        Recipe::SentencePiece { prefix, add_bos, add_eos, scores } => {
            for (key, value) in [("bos", *add_bos), ("eos", *add_eos)] {
                writer.bool(&format!("tokenizer.ggml.add_{key}_token"), value).expect("a key");
            }
            if let Some(prefix) = prefix {
                writer.bool("tokenizer.ggml.add_space_prefix", *prefix).expect("a key");
            }
            sentencepiece(&mut writer, *scores)
        }
        Recipe::File(source) => copied(&mut writer, source),
    };
    model(&mut writer, size);
    let file = std::fs::File::create(path).expect("room for the model");
    writer.write(std::io::BufWriter::new(file)).expect("room for the model");
}

fn bpe(
    writer: &mut GgufWriter<'_>,
    vocabulary: TrainedVocabulary,
    pre: &str,
    add_bos: Option<bool>,
) -> usize {
    let TrainedVocabulary { mut tokens, merges } = vocabulary;
    let mut types = vec![NORMAL; tokens.len()];
    let first = tokens.len() as u32;
    tokens.extend(SPECIAL.map(|(text, _)| text.to_owned()));
    types.extend(SPECIAL.map(|(_, token_type)| token_type));
    let write = |w: &mut GgufWriter<'_>| -> Result<(), bitnet_engine::gguf::WriteError> {
        w.str("tokenizer.ggml.model", "gpt2")?.str("tokenizer.ggml.pre", pre)?;
        w.strings("tokenizer.ggml.tokens", &tokens)?;
        w.array("tokenizer.ggml.token_type", &types)?;
        w.strings("tokenizer.ggml.merges", &merges)?;
        w.u32("tokenizer.ggml.bos_token_id", first)?;
        w.u32("tokenizer.ggml.eos_token_id", first + 1)?;
        if let Some(add_bos) = add_bos {
            w.bool("tokenizer.ggml.add_bos_token", add_bos)?;
            w.bool("tokenizer.ggml.add_eos_token", !add_bos)?;
        }
        Ok(())
    };
    write(writer).expect("a vocabulary");
    tokens.len()
}

fn trained() -> TrainedVocabulary {
    static TRAINED: LazyLock<TrainedVocabulary> =
        LazyLock::new(|| train(CORPUS, 2048).expect("the corpus is long enough"));
    TRAINED.clone()
}

/// The 256 bytes as tokens, in the spelling of `tokenizer.ggml.tokens`.
fn byte_letters() -> Vec<String> {
    train("", 256).expect("bytes need no text").tokens
}

fn pairs() -> TrainedVocabulary {
    let letters = byte_letters();
    let mut order: Vec<(usize, usize)> =
        (0..256).flat_map(|left| (0..256).map(move |right| (left, right))).collect();
    let mut random = Random::new(11, "pairs", 0);
    for i in (1..order.len()).rev() {
        order.swap(i, random.below(i + 1));
    }
    let spelled = |(left, right): (usize, usize), between: &str| {
        format!("{}{between}{}", letters[left], letters[right])
    };
    let merges = order.iter().map(|&pair| spelled(pair, " ")).collect();
    let mut tokens = letters.clone();
    tokens.extend(order.iter().map(|&pair| spelled(pair, "")));
    // Words that no merge makes: they are tokens only where merges are ignored.
    let words = trained().tokens.into_iter().filter(|token| token.chars().count() > 2);
    tokens.extend(words);
    TrainedVocabulary { tokens, merges }
}

fn sentencepiece(writer: &mut GgufWriter<'_>, stated: Scores) -> usize {
    let mut tokens: Vec<(String, i32, f32)> = vec![
        ("<unk>".into(), UNKNOWN, 0.0),
        ("<s>".into(), CONTROL, 0.0),
        ("</s>".into(), CONTROL, 0.0),
    ];
    tokens.extend((0..=255).map(|byte| (format!("<0x{byte:02X}>"), BYTE, 0.0)));
    let special = SPECIAL.iter().filter(|(text, _)| !text.contains(' ') && *text != "<mask>");
    tokens.extend(special.map(|&(text, token_type)| (text.to_owned(), token_type, 0.0)));
    tokens.extend(["  ", "▁▁▁"].map(|text| (text.to_owned(), USER_DEFINED, 0.0)));
    let letters = byte_letters();
    let byte_of = |c: char| letters.iter().position(|letter| letter.starts_with(c));
    let learnt: Vec<String> = trained()
        .tokens
        .iter()
        .filter_map(|token| {
            let bytes: Vec<u8> = token.chars().filter_map(byte_of).map(|b| b as u8).collect();
            Some(String::from_utf8(bytes).ok()?.replace(' ', "▁"))
        })
        .filter(|text| !text.chars().any(char::is_control))
        .collect();
    let characters = ["é", "ß", "中", "文", "ж", "א", "👍", "▁▁", "▁▁▁▁", "éé", "中文", "\u{301}"];
    let learnt = learnt.into_iter().chain(characters.map(str::to_owned));
    for (rank, text) in learnt.enumerate() {
        let step = if stated == Scores::Tied { rank / 16 } else { rank };
        tokens.push((text, NORMAL, -(step as f32)));
    }
    let mut seen = std::collections::BTreeSet::new();
    tokens.retain(|(text, ..)| seen.insert(text.clone()));
    let write = |w: &mut GgufWriter<'_>| -> Result<(), bitnet_engine::gguf::WriteError> {
        w.str("tokenizer.ggml.model", "llama")?;
        let texts: Vec<&str> = tokens.iter().map(|(text, ..)| text.as_str()).collect();
        w.strings("tokenizer.ggml.tokens", &texts)?;
        let types: Vec<i32> = tokens.iter().map(|token| token.1).collect();
        w.array("tokenizer.ggml.token_type", &types)?;
        if stated != Scores::Absent {
            let scores: Vec<f32> = tokens.iter().map(|token| token.2).collect();
            w.array("tokenizer.ggml.scores", &scores)?;
        }
        Ok(())
    };
    write(writer).expect("a vocabulary");
    tokens.len()
}

fn copied(writer: &mut GgufWriter<'_>, source: &Path) -> usize {
    let file = GgufFile::open(source).unwrap_or_else(|error| panic!("{error}"));
    let mut size = 0;
    for (key, value) in file.metadata().iter().filter(|(key, _)| key.starts_with("tokenizer.")) {
        if let ("tokenizer.ggml.tokens", Value::Array(tokens)) = (key, &value) {
            size = tokens.len();
        }
        writer.value(key, value).expect("a key that was read");
    }
    size
}

/// One layer of the `llama` architecture, all zero.
fn model(writer: &mut GgufWriter<'_>, vocab_size: usize) {
    const WIDTH: usize = 32;
    let write = |w: &mut GgufWriter<'_>| -> Result<(), bitnet_engine::gguf::WriteError> {
        w.str("general.architecture", "llama")?;
        for (key, value) in [
            ("vocab_size", vocab_size as u32),
            ("context_length", 64),
            ("embedding_length", WIDTH as u32),
            ("block_count", 1),
            ("feed_forward_length", WIDTH as u32),
            ("attention.head_count", 1),
        ] {
            w.u32(&format!("llama.{key}"), value)?;
        }
        w.f32("llama.attention.layer_norm_rms_epsilon", 1e-5)?;
        let mut tensor = |name: &str, tensor_type, dims: &[usize]| {
            let bytes = dims.iter().product::<usize>() * 2 * if dims.len() == 1 { 2 } else { 1 };
            w.tensor(name, tensor_type, dims, move |out| out.write_all(&vec![0; bytes])).map(drop)
        };
        tensor("token_embd.weight", TensorType::F16, &[WIDTH, vocab_size])?;
        tensor("output_norm.weight", TensorType::F32, &[WIDTH])?;
        for part in ["attn_norm", "ffn_norm"] {
            tensor(&format!("blk.0.{part}.weight"), TensorType::F32, &[WIDTH])?;
        }
        for part in ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"]
        {
            tensor(&format!("blk.0.{part}.weight"), TensorType::F16, &[WIDTH, WIDTH])?;
        }
        Ok(())
    };
    write(writer).expect("a model");
}
