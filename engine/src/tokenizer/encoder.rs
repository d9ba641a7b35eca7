//! The tokenizer as callers see it: fragments, special ids and spaces around the two encoders.
//!
//! The reference is llama.cpp of October 2024 (bitnet.cpp's fork): the same text gives the same
//! ids. As there, a vocabulary may merge ordinary text into a control token; only texts that are
//! *parsed* as special depend on `parse_special`.

use super::bpe::Bpe;
use super::clean_up::clean_up_spaces;
use super::error::{TokenizerError, TokenizerWarning};
use super::merge_queue::MergeQueue;
use super::partition::{Fragment, Partition};
use super::pre_tokenizer::PreTokenizer;
use super::sentencepiece::SentencePiece;
use super::source::VocabularySource;
use super::vocabulary::{TokenType, Vocabulary, VocabularyKind};

/// Converts between text and token ids. Immutable: one serves any number of threads.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    vocabulary: Vocabulary,
    algorithm: Algorithm,
    partition: Partition,
    warnings: Vec<TokenizerWarning>,
    add_bos: Option<u32>,
    add_eos: Option<u32>,
    add_space_prefix: bool,
}

#[derive(Debug, Clone)]
enum Algorithm {
    Bpe(Bpe, &'static PreTokenizer),
    SentencePiece(SentencePiece),
}

/// What [`Tokenizer::detokenize`] leaves out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DetokenizeOptions {
    /// Drop a BOS at the start and an EOS at the end, where the tokenizer adds them.
    pub remove_special: bool,
    /// Print control and unknown tokens as their text instead of as nothing.
    pub unparse_special: bool,
}

impl Tokenizer {
    /// Checks a vocabulary and prepares it.
    ///
    /// # Errors
    /// A [`TokenizerError`] naming the metadata key that is missing, damaged or not supported.
    pub fn new(source: &VocabularySource<'_>) -> Result<Self, TokenizerError> {
        let mut warnings = Vec::new();
        let kind = match source.model {
            "gpt2" => VocabularyKind::ByteLevelBpe,
            "llama" => VocabularyKind::SentencePiece,
            other => {
                return Err(TokenizerError::UnsupportedModel {
                    model: super::error::excerpt(other.as_bytes()),
                });
            }
        };
        let pre = pre_tokenizer(source, &mut warnings)?;
        let mut vocabulary = Vocabulary::new(kind, pre, source, &mut warnings)?;
        let algorithm = match kind {
            VocabularyKind::ByteLevelBpe => {
                let merges = source.merges.as_ref().ok_or(TokenizerError::MissingMerges)?;
                let ignore_merges = pre.ignore_merges;
                let bpe = Bpe::new(&mut vocabulary, merges, ignore_merges, &mut warnings)?;
                Algorithm::Bpe(bpe, pre)
            }
            VocabularyKind::SentencePiece => {
                Algorithm::SentencePiece(SentencePiece::new(&vocabulary, source, &mut warnings)?)
            }
        };
        let is_sentencepiece = kind == VocabularyKind::SentencePiece;
        let add_bos = source.add_bos.unwrap_or(is_sentencepiece || pre.add_bos);
        let add_eos = source.add_eos.unwrap_or(false);
        let ids = vocabulary.ids();
        let no_bos = TokenizerError::NoIdToAdd { flag: "add_bos_token", key: "bos_token_id" };
        let no_eos = TokenizerError::NoIdToAdd { flag: "add_eos_token", key: "eos_token_id" };
        Ok(Self {
            add_bos: add_bos.then(|| ids.bos.ok_or(no_bos)).transpose()?,
            add_eos: add_eos.then(|| ids.eos.ok_or(no_eos)).transpose()?,
            add_space_prefix: source.add_space_prefix.unwrap_or(is_sentencepiece),
            partition: Partition::new(&vocabulary),
            vocabulary,
            algorithm,
            warnings,
        })
    }

    /// The ids of a text.
    ///
    /// `add_special` adds BOS and EOS where the vocabulary asks for them. `parse_special` reads
    /// texts such as `<|eot_id|>` as the control tokens they name; without it only user-defined
    /// tokens are recognised.
    ///
    /// # Errors
    /// [`TokenizerError::TextTooLong`], or [`TokenizerError::NoTokenForByte`] if the vocabulary
    /// lacks a byte token that the text needs.
    pub fn encode(
        &self,
        text: &str,
        add_special: bool,
        parse_special: bool,
    ) -> Result<Vec<u32>, TokenizerError> {
        if text.len() > i32::MAX as usize {
            return Err(TokenizerError::TextTooLong { bytes: text.len() });
        }
        let mut ids = Vec::new();
        let mut queue = MergeQueue::default();
        if add_special {
            ids.extend(self.add_bos);
        }
        let mut after_special = true;
        for fragment in self.partition.split(text, parse_special) {
            match fragment {
                Fragment::Token(id) => ids.push(id),
                Fragment::Text(text) => {
                    self.encode_fragment(&mut queue, text, after_special, &mut ids)?;
                }
            }
            after_special = matches!(fragment, Fragment::Token(_));
        }
        if add_special {
            ids.extend(self.add_eos);
        }
        Ok(ids)
    }

    fn encode_fragment(
        &self,
        queue: &mut MergeQueue,
        text: &str,
        after_special: bool,
        ids: &mut Vec<u32>,
    ) -> Result<(), TokenizerError> {
        match &self.algorithm {
            Algorithm::Bpe(bpe, pre) => {
                let mut offset = 0;
                for word in pre.words(text) {
                    bpe.encode_word(&self.vocabulary, queue, word, offset, ids)?;
                    offset += word.len();
                }
                Ok(())
            }
            Algorithm::SentencePiece(spm) => {
                let prefix = self.add_space_prefix && after_special;
                spm.encode_text(&self.vocabulary, queue, text, prefix, ids)
            }
        }
    }

    /// The bytes that ids stand for: their pieces one after another. Special ids give their text.
    ///
    /// The space that SentencePiece puts before a text is taken off the first piece, so that
    /// decoding an encoded text gives the text back; as in llama.cpp, also where the text began
    /// with a user-defined token of spaces, which had no space put before it. No other clean-up.
    ///
    /// # Errors
    /// [`TokenizerError::UnknownId`].
    pub fn decode(&self, ids: &[u32]) -> Result<Vec<u8>, TokenizerError> {
        let mut bytes = Vec::new();
        for (position, &id) in ids.iter().enumerate() {
            bytes.extend_from_slice(self.piece_at(id, position)?);
        }
        Ok(bytes)
    }

    /// The piece of an id that is the `position`th of a list, without the added space.
    pub(super) fn piece_at(&self, id: u32, position: usize) -> Result<&[u8], TokenizerError> {
        let piece = self.vocabulary.piece(id).ok_or_else(|| TokenizerError::UnknownId {
            id,
            position,
            vocab_size: self.vocab_size(),
        })?;
        match piece.strip_prefix(b" ") {
            Some(rest) if position == 0 && self.add_space_prefix => Ok(rest),
            _ => Ok(piece),
        }
    }

    /// What llama.cpp's `llama_detokenize` prints, byte for byte: for byte-level BPE that means
    /// without the spaces before `?`, `!`, `.`, `,` and some contractions.
    ///
    /// # Errors
    /// [`TokenizerError::UnknownId`].
    pub fn detokenize(
        &self,
        ids: &[u32],
        options: DetokenizeOptions,
    ) -> Result<Vec<u8>, TokenizerError> {
        let mut rest = ids;
        let mut position = 0;
        if options.remove_special {
            if let (Some(bos), Some((first, tail))) = (self.add_bos, rest.split_first())
                && *first == bos
            {
                rest = tail;
                // llama.cpp keeps the leading space in this case; position 1 does as well.
                position = 1;
            }
            if let (Some(eos), Some((last, head))) = (self.add_eos, rest.split_last())
                && *last == eos
            {
                rest = head;
            }
        }
        let mut bytes = Vec::new();
        for (offset, &id) in rest.iter().enumerate() {
            let piece = self.piece_at(id, position + offset)?;
            let hidden =
                matches!(self.vocabulary.token_type(id), TokenType::Control | TokenType::Unknown);
            if options.unparse_special || !hidden {
                bytes.extend_from_slice(piece);
            }
        }
        Ok(match &self.algorithm {
            Algorithm::Bpe(_, pre) if pre.clean_up_spaces => clean_up_spaces(&bytes),
            _ => bytes,
        })
    }

    /// The bytes that one id prints as; special ids give their text, unused ids nothing.
    ///
    /// # Errors
    /// [`TokenizerError::UnknownId`].
    pub fn piece(&self, id: u32) -> Result<&[u8], TokenizerError> {
        let vocab_size = self.vocab_size();
        let unknown = TokenizerError::UnknownId { id, position: 0, vocab_size };
        self.vocabulary.piece(id).ok_or(unknown)
    }

    /// The id whose text, as the file spells it, is exactly this.
    pub fn find(&self, text: &str) -> Option<u32> {
        self.vocabulary.find(text.as_bytes())
    }

    /// The type of an id, after control tokens have been found by their texts.
    ///
    /// # Errors
    /// [`TokenizerError::UnknownId`].
    pub fn token_type(&self, id: u32) -> Result<TokenType, TokenizerError> {
        self.piece(id).map(|_| self.vocabulary.token_type(id))
    }

    /// Number of ids.
    pub fn vocab_size(&self) -> usize {
        self.vocabulary.size()
    }

    /// How this vocabulary makes tokens.
    pub fn kind(&self) -> VocabularyKind {
        self.vocabulary.kind()
    }

    /// Name of the rules that split words; none for SentencePiece.
    pub fn pre_tokenizer(&self) -> Option<&'static str> {
        match &self.algorithm {
            Algorithm::Bpe(_, pre) => Some(pre.name),
            Algorithm::SentencePiece(_) => None,
        }
    }

    /// Beginning of text. Without a key in the file, the format's default: 11 for `gpt2` (none for
    /// `chatglm-bpe`), 1 for `llama`.
    pub fn bos(&self) -> Option<u32> {
        self.vocabulary.ids().bos
    }

    /// End of text. Without a key in the file, the format's default: 11 for `gpt2`, 2 for `llama`.
    pub fn eos(&self) -> Option<u32> {
        self.vocabulary.ids().eos
    }

    /// End of turn, by key or by text.
    pub fn eot(&self) -> Option<u32> {
        self.vocabulary.ids().eot
    }

    /// Stands for what the vocabulary cannot express.
    pub fn unk(&self) -> Option<u32> {
        self.vocabulary.ids().unk
    }

    /// Padding.
    pub fn pad(&self) -> Option<u32> {
        self.vocabulary.ids().pad
    }

    /// Whether `add_special` puts BOS first.
    pub fn adds_bos(&self) -> bool {
        self.add_bos.is_some()
    }

    /// Whether `add_special` puts EOS last.
    pub fn adds_eos(&self) -> bool {
        self.add_eos.is_some()
    }

    /// Every id that ends generation, ascending.
    pub fn end_of_generation(&self) -> &[u32] {
        self.vocabulary.end_of_generation()
    }

    /// Whether an id ends generation: EOS, end of turn, end of message and their like.
    pub fn is_end_of_generation(&self, id: u32) -> bool {
        self.end_of_generation().binary_search(&id).is_ok()
    }

    /// What was odd about the file; to be shown to the user.
    pub fn warnings(&self) -> &[TokenizerWarning] {
        &self.warnings
    }
}

/// bitnet.cpp splits it as Falcon with single digits, llama.cpp as Llama 3, and nothing in the file
/// tells which of them made it. The models of that name in BitNet encodings run in bitnet.cpp only.
const CONTESTED: &str = "falcon3";

/// The rules for splitting words. SentencePiece does not split, whatever the file says.
fn pre_tokenizer(
    source: &VocabularySource<'_>,
    warnings: &mut Vec<TokenizerWarning>,
) -> Result<&'static PreTokenizer, TokenizerError> {
    match source.pre {
        _ if source.model != "gpt2" => Ok(PreTokenizer::unnamed()),
        None | Some("") => {
            warnings.push(TokenizerWarning::MissingPreTokenizer);
            Ok(PreTokenizer::unnamed())
        }
        Some(name) => {
            if name == CONTESTED {
                warnings.push(TokenizerWarning::ContestedPreTokenizer);
            }
            PreTokenizer::named(name).ok_or_else(|| {
                let names: Vec<String> = PreTokenizer::names().map(|n| format!("`{n}`")).collect();
                TokenizerError::UnsupportedPreTokenizer {
                    pre: super::error::excerpt(name.as_bytes()),
                    supported: names.join(", "),
                }
            })
        }
    }
}
