//! A vocabulary as a GGUF file states it, not yet checked; nothing here interprets it.

/// What the keys `tokenizer.ggml.*` say. Borrowed from wherever the caller keeps the metadata.
///
/// Every field is taken as written: [`Tokenizer::new`](super::Tokenizer::new) checks them all.
#[derive(Debug, Clone, Default)]
pub struct VocabularySource<'a> {
    /// `tokenizer.ggml.model`: `gpt2` (byte-level BPE) or `llama` (SentencePiece).
    pub model: &'a str,
    /// `tokenizer.ggml.pre`. Only byte-level BPE looks at it.
    pub pre: Option<&'a str>,
    /// `tokenizer.ggml.tokens`: one text per id.
    pub tokens: Vec<&'a [u8]>,
    /// `tokenizer.ggml.scores`: one per id. Only SentencePiece looks at them.
    pub scores: Option<&'a [f32]>,
    /// `tokenizer.ggml.token_type`: one per id, see [`TokenType`](super::TokenType).
    pub token_types: Option<&'a [i32]>,
    /// `tokenizer.ggml.merges`: `left right`, best first. Required by byte-level BPE.
    pub merges: Option<Vec<&'a [u8]>>,
    /// `tokenizer.ggml.*_token_id`.
    pub ids: SpecialIds,
    /// `tokenizer.ggml.add_bos_token`.
    pub add_bos: Option<bool>,
    /// `tokenizer.ggml.add_eos_token`.
    pub add_eos: Option<bool>,
    /// `tokenizer.ggml.add_space_prefix`.
    pub add_space_prefix: Option<bool>,
}

/// Ids with a task of their own, each from the key named beside it under `tokenizer.ggml.`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SpecialIds {
    /// `bos_token_id`.
    pub bos: Option<u32>,
    /// `eos_token_id`.
    pub eos: Option<u32>,
    /// `eot_token_id`.
    pub eot: Option<u32>,
    /// `eom_token_id`.
    pub eom: Option<u32>,
    /// `unknown_token_id`.
    pub unk: Option<u32>,
    /// `padding_token_id`.
    pub pad: Option<u32>,
    /// `fim_pre_token_id`, formerly `prefix_token_id`.
    pub fim_pre: Option<u32>,
    /// `fim_suf_token_id`, formerly `suffix_token_id`.
    pub fim_suf: Option<u32>,
    /// `fim_mid_token_id`, formerly `middle_token_id`.
    pub fim_mid: Option<u32>,
    /// `fim_pad_token_id`.
    pub fim_pad: Option<u32>,
    /// `fim_rep_token_id`.
    pub fim_rep: Option<u32>,
    /// `fim_sep_token_id`.
    pub fim_sep: Option<u32>,
}
