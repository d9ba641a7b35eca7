//! The tokenizer of a synthetic model: a BPE trained on the project's text with special tokens, or
//! the same pieces in SentencePiece's form.

use super::bpe_training::{self, TrainedVocabulary, TrainingError};
use crate::tokenizer::char_to_byte;

/// Ordinary tokens that the corpus is trained to; a larger vocabulary is filled up.
const TRAINED: usize = 3840;
/// Special tokens behind the ordinary ones, as many as Llama 3 has.
const SPECIAL: usize = 256;

/// `tokenizer.ggml.token_type` of ordinary, unknown, control and byte tokens.
const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const BYTE: i32 = 6;

pub(super) struct Vocabulary {
    /// `tokenizer.ggml.model`.
    pub(super) model: &'static str,
    pub(super) tokens: Vec<String>,
    pub(super) scores: Vec<f32>,
    pub(super) token_types: Vec<i32>,
    /// None in SentencePiece's form.
    pub(super) merges: Option<Vec<String>>,
    pub(super) bos: u32,
    pub(super) eos: u32,
    pub(super) unknown: Option<u32>,
}

/// The vocabulary of `ordinary` tokens and 256 special ones.
pub(super) fn vocabulary(ordinary: usize) -> Result<Vocabulary, TrainingError> {
    let TrainedVocabulary { mut tokens, merges } =
        bpe_training::train(bpe_training::CORPUS, ordinary.min(TRAINED))?;
    // No merge makes a filler, so no text becomes one; a model can still choose it.
    for id in tokens.len()..ordinary {
        tokens.push(format!("<filler-{id}>"));
    }
    let mut token_types = vec![NORMAL; ordinary];
    // The places of Llama 3's special tokens, whose vocabulary 2B-4T took over.
    for place in 0..SPECIAL {
        tokens.push(match place {
            0 => "<|begin_of_text|>".into(),
            1 => "<|end_of_text|>".into(),
            6 => "<|start_header_id|>".into(),
            7 => "<|end_header_id|>".into(),
            9 => "<|eot_id|>".into(),
            _ => format!("<|reserved_special_token_{place}|>"),
        });
        token_types.push(CONTROL);
    }
    let (bos, scores) = (ordinary as u32, vec![0.0; tokens.len()]);
    Ok(Vocabulary {
        model: "gpt2",
        tokens,
        scores,
        token_types,
        merges: Some(merges),
        bos,
        eos: bos + 1,
        unknown: None,
    })
}

/// Llama's form: three special tokens, 256 bytes, then the pieces of the BPE of `ordinary` tokens that
/// are text, whose scores fall in the order in which they were learnt.
pub(super) fn sentence_pieces(ordinary: usize) -> Result<Vocabulary, TrainingError> {
    let trained = bpe_training::train(bpe_training::CORPUS, ordinary.min(TRAINED))?;
    let mut tokens: Vec<String> = ["<unk>", "<s>", "</s>"].map(Into::into).into();
    let mut token_types = vec![UNKNOWN, CONTROL, CONTROL];
    tokens.extend((0..=u8::MAX).map(|byte| format!("<0x{byte:02X}>")));
    token_types.resize(tokens.len(), BYTE);
    let mut scores = vec![0.0; tokens.len()];
    for token in &trained.tokens {
        let bytes = token.chars().filter_map(char_to_byte).collect();
        let Ok(text) = String::from_utf8(bytes) else { continue };
        // SentencePiece has line ends and their like as bytes only.
        if text.contains(char::is_control) {
            continue;
        }
        tokens.push(text.replace(' ', "▁"));
        scores.push(259.0 - tokens.len() as f32);
        token_types.push(NORMAL);
    }
    Ok(Vocabulary {
        model: "llama",
        tokens,
        scores,
        token_types,
        merges: None,
        bos: 1,
        eos: 2,
        unknown: Some(0),
    })
}
