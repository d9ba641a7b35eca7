//! The checked vocabulary: texts, types, printable pieces and special ids; it converts no text.

use super::byte_alphabet::char_to_byte;
use super::error::{TokenizerError, TokenizerWarning, excerpt};
use super::interner::Interner;
use super::pre_tokenizer::PreTokenizer;
use super::source::{SpecialIds, VocabularySource};
use super::special_ids::{Resolved, resolve};

/// SentencePiece writes a space as this character.
pub(super) const SPACE_MARK: char = '\u{2581}';

/// How a vocabulary makes tokens of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VocabularyKind {
    /// `tokenizer.ggml.model = "gpt2"`.
    ByteLevelBpe,
    /// `tokenizer.ggml.model = "llama"`.
    SentencePiece,
}

/// `tokenizer.ggml.token_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenType {
    /// 0: no statement. Prints as nothing.
    Undefined,
    /// 1: ordinary text.
    Normal,
    /// 2: stands for what the vocabulary cannot express.
    Unknown,
    /// 3: structure rather than text: BOS, end of turn.
    Control,
    /// 4: text that is never split.
    UserDefined,
    /// 5: prints as nothing.
    Unused,
    /// 6: one byte, written `<0xNN>`.
    Byte,
}

impl TokenType {
    fn from_value(value: i32) -> Option<Self> {
        Some(match value {
            0 => Self::Undefined,
            1 => Self::Normal,
            2 => Self::Unknown,
            3 => Self::Control,
            4 => Self::UserDefined,
            5 => Self::Unused,
            6 => Self::Byte,
            _ => return None,
        })
    }
}

/// A vocabulary without contradictions.
#[derive(Debug, Clone)]
pub(super) struct Vocabulary {
    kind: VocabularyKind,
    /// The first `types.len()` strings are the tokens' texts; a byte-level BPE adds the
    /// intermediate texts of its merges.
    texts: Interner,
    types: Vec<TokenType>,
    pieces: Vec<u8>,
    piece_ends: Vec<u32>,
    ids: SpecialIds,
    end_of_generation: Vec<u32>,
}

impl Vocabulary {
    /// Checks everything but scores and merges, which are for one kind only.
    pub(super) fn new(
        kind: VocabularyKind,
        pre: &PreTokenizer,
        source: &VocabularySource<'_>,
        warnings: &mut Vec<TokenizerWarning>,
    ) -> Result<Self, TokenizerError> {
        let size = source.tokens.len();
        if size == 0 {
            return Err(TokenizerError::NoTokens);
        }
        let texts = intern_tokens(source, warnings)?;
        let mut types = token_types(source, warnings)?;
        let default = match kind {
            VocabularyKind::ByteLevelBpe => {
                let bos = pre.default_bos.then_some(11);
                SpecialIds { bos, eos: Some(11), ..SpecialIds::default() }
            }
            VocabularyKind::SentencePiece => {
                SpecialIds { bos: Some(1), eos: Some(2), unk: Some(0), ..SpecialIds::default() }
            }
        };
        let Resolved { ids, end_of_generation, control } =
            resolve(&source.ids, default, size, |text| texts.get(text.as_bytes()))?;
        for id in control {
            if types[id as usize] != TokenType::Control {
                types[id as usize] = TokenType::Control;
                let text = excerpt(texts.text(id));
                warnings.push(TokenizerWarning::TypeOverridden { id, text });
            }
        }
        let mut pieces = Vec::new();
        let mut piece_ends = Vec::with_capacity(size);
        for (id, &token_type) in types.iter().enumerate() {
            push_piece(kind, id as u32, texts.text(id as u32), token_type, &mut pieces)?;
            let end = u32::try_from(pieces.len());
            piece_ends.push(end.map_err(|_| TokenizerError::VocabularyTooLarge)?);
        }
        pieces.shrink_to_fit();
        Ok(Self { kind, texts, types, pieces, piece_ends, ids, end_of_generation })
    }

    pub(super) fn kind(&self) -> VocabularyKind {
        self.kind
    }

    pub(super) fn size(&self) -> usize {
        self.types.len()
    }

    pub(super) fn ids(&self) -> &SpecialIds {
        &self.ids
    }

    pub(super) fn end_of_generation(&self) -> &[u32] {
        &self.end_of_generation
    }

    /// Type of a token below [`Vocabulary::size`].
    pub(super) fn token_type(&self, id: u32) -> TokenType {
        self.types[id as usize]
    }

    /// The text of a token, or of a symbol that merges made.
    pub(super) fn text(&self, id: u32) -> &[u8] {
        self.texts.text(id)
    }

    /// The token with exactly this text.
    pub(super) fn find(&self, text: &[u8]) -> Option<u32> {
        self.texts.get(text).filter(|&id| (id as usize) < self.size())
    }

    /// The number of a text that need not be a token.
    pub(super) fn intern(&mut self, text: &[u8]) -> Result<u32, TokenizerError> {
        self.texts.intern(text).map_err(|_| TokenizerError::VocabularyTooLarge)
    }

    /// The bytes that a token prints as.
    pub(super) fn piece(&self, id: u32) -> Option<&[u8]> {
        let end = *self.piece_ends.get(id as usize)? as usize;
        let start = match id {
            0 => 0,
            _ => self.piece_ends[id as usize - 1] as usize,
        };
        Some(&self.pieces[start..end])
    }
}

fn intern_tokens(
    source: &VocabularySource<'_>,
    warnings: &mut Vec<TokenizerWarning>,
) -> Result<Interner, TokenizerError> {
    let merges = source.merges.as_ref().map_or(0, Vec::len);
    let mut texts = Interner::with_capacity(source.tokens.len().saturating_add(merges / 8 + 256));
    for (id, token) in source.tokens.iter().enumerate() {
        let id = u32::try_from(id).map_err(|_| TokenizerError::VocabularyTooLarge)?;
        let name;
        let mut text = *token;
        if text.is_empty() {
            warnings.push(TokenizerWarning::EmptyToken { id });
            name = format!("[EMPTY_{id}]");
            text = name.as_bytes();
        }
        let first = texts.intern(text).map_err(|_| TokenizerError::VocabularyTooLarge)?;
        if first != id {
            let text = excerpt(text);
            return Err(TokenizerError::DuplicateToken { text, first, second: id });
        }
    }
    Ok(texts)
}

fn token_types(
    source: &VocabularySource<'_>,
    warnings: &mut Vec<TokenizerWarning>,
) -> Result<Vec<TokenType>, TokenizerError> {
    let tokens = source.tokens.len();
    let Some(values) = source.token_types else {
        warnings.push(TokenizerWarning::MissingTokenTypes);
        return Ok(vec![TokenType::Normal; tokens]);
    };
    check_length("token_type", values.len(), tokens)?;
    let checked = |(id, &found): (usize, &i32)| {
        TokenType::from_value(found)
            .ok_or(TokenizerError::UnknownTokenType { id: id as u32, found })
    };
    values.iter().enumerate().map(checked).collect()
}

/// Refuses an array that has not one element per token.
pub(super) fn check_length(
    key: &'static str,
    found: usize,
    tokens: usize,
) -> Result<(), TokenizerError> {
    if found == tokens { Ok(()) } else { Err(TokenizerError::ArrayLength { key, found, tokens }) }
}

/// What llama.cpp's `llama_token_to_piece` prints with `special` set.
///
/// One departure: in byte-level BPE, llama.cpp prints `[UNK_BYTE_0x…]` with the whole token's text
/// for each character outside the alphabet; here such a character stands for itself.
fn push_piece(
    kind: VocabularyKind,
    id: u32,
    text: &[u8],
    token_type: TokenType,
    out: &mut Vec<u8>,
) -> Result<(), TokenizerError> {
    match (token_type, kind) {
        (TokenType::Control | TokenType::Unknown | TokenType::UserDefined, _) => {
            out.extend_from_slice(text);
        }
        (TokenType::Normal, VocabularyKind::ByteLevelBpe) => {
            for chunk in text.utf8_chunks() {
                for c in chunk.valid().chars() {
                    match char_to_byte(c) {
                        Some(byte) => out.push(byte),
                        None => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
                    }
                }
                out.extend_from_slice(chunk.invalid());
            }
        }
        (TokenType::Normal, VocabularyKind::SentencePiece) => {
            for chunk in text.utf8_chunks() {
                let mut parts = chunk.valid().split(SPACE_MARK);
                out.extend_from_slice(parts.next().unwrap_or_default().as_bytes());
                for part in parts {
                    out.push(b' ');
                    out.extend_from_slice(part.as_bytes());
                }
                out.extend_from_slice(chunk.invalid());
            }
        }
        (TokenType::Byte, VocabularyKind::SentencePiece) => {
            let text_of = || excerpt(text);
            let byte = byte_of(text)
                .ok_or_else(|| TokenizerError::MalformedByteToken { id, text: text_of() })?;
            out.push(byte);
        }
        (TokenType::Byte, VocabularyKind::ByteLevelBpe)
        | (TokenType::Unused | TokenType::Undefined, _) => {}
    }
    Ok(())
}

/// `<0xNN>` with exactly two hexadecimal digits: number parsers take signs and spaces as well.
fn byte_of(text: &[u8]) -> Option<u8> {
    let digits = text.strip_prefix(b"<0x")?.strip_suffix(b">")?;
    let [high, low] = digits else { return None };
    let digit = |b: u8| char::from(b).to_digit(16);
    u8::try_from(digit(*high)? << 4 | digit(*low)?).ok()
}
