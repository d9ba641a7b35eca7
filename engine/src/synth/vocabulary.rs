//! The tokenizer of a synthetic model: a BPE trained on the project's text, then special tokens.

use super::bpe_training::{self, TrainedVocabulary, TrainingError};

/// Ordinary tokens that the corpus is trained to; a larger vocabulary is filled up.
const TRAINED: usize = 3840;
/// Special tokens behind the ordinary ones, as many as Llama 3 has.
const SPECIAL: usize = 256;

/// `tokenizer.ggml.token_type` of ordinary and of control tokens.
const NORMAL: i32 = 1;
const CONTROL: i32 = 3;

pub(super) struct Vocabulary {
    pub(super) tokens: Vec<String>,
    pub(super) token_types: Vec<i32>,
    pub(super) merges: Vec<String>,
    pub(super) bos: u32,
    pub(super) eos: u32,
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
    let bos = ordinary as u32;
    Ok(Vocabulary { tokens, token_types, merges, bos, eos: bos + 1 })
}
