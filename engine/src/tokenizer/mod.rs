//! Text to token ids and back, from a GGUF file's vocabulary; it reads no files and knows no model.

mod bpe;
mod byte_alphabet;
mod clean_up;
mod encoder;
mod error;
mod interner;
mod merge_queue;
mod partition;
mod pre_tokenizer;
mod sentencepiece;
mod source;
mod special_ids;
mod stream;
mod unicode;
mod vocabulary;

pub use encoder::{DetokenizeOptions, Tokenizer};
pub use error::{TokenizerError, TokenizerWarning};
pub use source::{SpecialIds, VocabularySource};
pub use stream::StreamDecoder;
pub use vocabulary::{TokenType, VocabularyKind};

pub(crate) use byte_alphabet::{byte_to_char, char_to_byte};
pub(crate) use pre_tokenizer::PreTokenizer;

/// Every value of `tokenizer.ggml.pre` that byte-level BPE is known to be split by.
pub fn pre_tokenizers() -> impl Iterator<Item = &'static str> {
    PreTokenizer::names()
}
