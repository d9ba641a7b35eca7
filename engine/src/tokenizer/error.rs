//! What can be wrong with a vocabulary, a text or an id list, and what is odd but usable.
//!
//! Nothing is decided here. Texts from the file are shown escaped and cut short.

/// Why a vocabulary was refused, or a text or id list not converted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenizerError {
    /// `tokenizer.ggml.model` is not one of ours.
    #[error(
        "tokenizer.ggml.model is `{model}`, and only `gpt2` (byte-level BPE) and `llama` \
         (SentencePiece) are supported; feed token ids instead of text"
    )]
    UnsupportedModel {
        /// The value in the file.
        model: String,
    },
    /// `tokenizer.ggml.pre` is not one of ours.
    #[error(
        "tokenizer.ggml.pre is `{pre}`, a pre-tokenizer that is not supported; supported are \
         {supported}. Feed token ids instead of text"
    )]
    UnsupportedPreTokenizer {
        /// The value in the file.
        pre: String,
        /// Every supported name.
        supported: String,
    },
    /// The token list is empty.
    #[error("tokenizer.ggml.tokens is empty; convert the model again with its tokenizer files")]
    NoTokens,
    /// More texts than 32-bit ids and offsets can address.
    #[error(
        "the vocabulary's texts need more than 4 GiB or 2^31 ids, which no real vocabulary does; \
         the file is damaged"
    )]
    VocabularyTooLarge,
    /// An array has not one element per token.
    #[error(
        "tokenizer.ggml.{key} has {found} elements for {tokens} tokens; the file is damaged: \
         fetch or convert it again"
    )]
    ArrayLength {
        /// `scores` or `token_type`.
        key: &'static str,
        /// Elements in the array.
        found: usize,
        /// Number of tokens.
        tokens: usize,
    },
    /// A score cannot be ordered.
    #[error("tokenizer.ggml.scores[{id}] is not a number; fetch or convert the file again")]
    ScoreNotANumber {
        /// Index of the score.
        id: u32,
    },
    /// A token type outside the format.
    #[error(
        "tokenizer.ggml.token_type[{id}] is {found}, and GGUF knows 0 to 6; fetch or convert the \
         file again"
    )]
    UnknownTokenType {
        /// Index of the type.
        id: u32,
        /// Value in the file.
        found: i32,
    },
    /// Two ids have the same text.
    #[error(
        "tokens {first} and {second} are both `{text}`; the reference aborts on such a file. \
         Convert the model again"
    )]
    DuplicateToken {
        /// The text, escaped.
        text: String,
        /// Lower id.
        first: u32,
        /// Higher id.
        second: u32,
    },
    /// A token of type BYTE names no byte.
    #[error(
        "token {id} `{text}` has type BYTE but is not `<0xNN>` with two hexadecimal digits; \
         fetch or convert the file again"
    )]
    MalformedByteToken {
        /// Its id.
        id: u32,
        /// Its text, escaped.
        text: String,
    },
    /// Byte-level BPE needs merges.
    #[error("tokenizer.ggml.merges is missing; convert the model again with its tokenizer files")]
    MissingMerges,
    /// A merge is not two texts with a space between them.
    #[error(
        "tokenizer.ggml.merges[{index}] is `{text}`, not two texts with a space between them; \
         fetch or convert the file again"
    )]
    MalformedMerge {
        /// Index of the merge.
        index: usize,
        /// Its text, escaped.
        text: String,
    },
    /// A special id is not an id.
    #[error(
        "tokenizer.ggml.{key} is {id}, but the vocabulary has {vocab_size} tokens; fetch or \
         convert the file again"
    )]
    SpecialIdOutOfRange {
        /// Name of the key.
        key: &'static str,
        /// Value in the file.
        id: u32,
        /// Number of tokens.
        vocab_size: usize,
    },
    /// The file asks for an id that it does not name.
    #[error(
        "BOS or EOS is to be added (tokenizer.ggml.{flag}), but there is no tokenizer.ggml.{key} and \
         no default in the vocabulary; convert the model again"
    )]
    NoIdToAdd {
        /// `add_bos_token` or `add_eos_token`.
        flag: &'static str,
        /// `bos_token_id` or `eos_token_id`.
        key: &'static str,
    },
    /// An id that the vocabulary does not have.
    #[error("token id {id} at position {position}: the vocabulary has ids below {vocab_size}")]
    UnknownId {
        /// The id.
        id: u32,
        /// Where it stood in the list; 0 for a single id.
        position: usize,
        /// Number of tokens.
        vocab_size: usize,
    },
    /// The vocabulary cannot express a byte of the text.
    #[error(
        "the vocabulary has no token for byte 0x{byte:02X}, needed by the text at byte {offset}; \
         leave that character out"
    )]
    NoTokenForByte {
        /// The byte.
        byte: u8,
        /// Where the piece that holds it starts in the text between special tokens.
        offset: usize,
    },
    /// A text whose positions do not fit the reference's 32-bit counts.
    #[error("a text of {bytes} bytes is too long to tokenise at once: the limit is 2^31 - 1")]
    TextTooLong {
        /// Its length.
        bytes: usize,
    },
}

/// What was odd about a vocabulary that can be used all the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenizerWarning {
    /// No `tokenizer.ggml.pre`: the reference's fallback may not be what the model was trained on.
    #[error(
        "tokenizer.ggml.pre is missing: words are split by the `default` rules, as the reference \
         does; the model may have been trained with others"
    )]
    MissingPreTokenizer,
    /// A name that the references read differently.
    #[error(
        "tokenizer.ggml.pre is `falcon3`: words are split as bitnet.cpp does, like Falcon's with \
         single digits; llama.cpp splits them like Llama 3's"
    )]
    ContestedPreTokenizer,
    /// A SentencePiece vocabulary without scores merges by position alone.
    #[error("tokenizer.ggml.scores is missing: every score is taken as 0, as the reference does")]
    MissingScores,
    /// Without types nothing is special.
    #[error("tokenizer.ggml.token_type is missing: every token is taken as ordinary text")]
    MissingTokenTypes,
    /// An empty text gets a name.
    #[error("token {id} is empty: it is called `[EMPTY_{id}]`, as the reference does")]
    EmptyToken {
        /// Its id.
        id: u32,
    },
    /// A token that ends generation was not marked as CONTROL.
    #[error("token {id} `{text}` is not of type CONTROL: it is treated as if it were")]
    TypeOverridden {
        /// Its id.
        id: u32,
        /// Its text.
        text: String,
    },
    /// The same pair twice; the first rank counts.
    #[error("{count} merges repeat an earlier one (the first is number {first}): ignored")]
    DuplicateMerges {
        /// How many.
        count: usize,
        /// Index of the first.
        first: usize,
    },
    /// A merge that makes, or is made of, a text that is no token.
    #[error("{count} merges use texts that are no tokens (the first is number {first})")]
    MergesOutsideVocabulary {
        /// How many.
        count: usize,
        /// Index of the first.
        first: usize,
    },
}

/// A text from the file for an error message: escaped, at most 40 bytes of it.
pub(super) fn excerpt(text: &[u8]) -> String {
    let shown = &text[..text.len().min(40)];
    let dots = if shown.len() < text.len() { "…" } else { "" };
    format!("{}{dots}", String::from_utf8_lossy(shown).escape_debug())
}
