//! Byte-level BPE: merging the bytes of a word by rank; it neither splits words nor knows special
//! tokens.

use std::collections::HashMap;

use super::byte_alphabet::byte_to_char;
use super::error::{TokenizerError, TokenizerWarning, excerpt};
use super::merge_queue::{MergeQueue, MergeRule, Symbol};
use super::vocabulary::Vocabulary;

/// The merges of a vocabulary, by the numbers of their texts.
#[derive(Debug, Clone)]
pub(super) struct Bpe {
    /// `left << 32 | right` → rank, number of the merged text.
    merges: HashMap<u64, (u32, u32)>,
    /// The symbol of every byte.
    bytes: Box<[u32; 256]>,
    /// A word that is a token is taken as it is.
    ignore_merges: bool,
}

impl MergeRule for Bpe {
    fn merge(&self, left: &Symbol, right: &Symbol) -> Option<(u32, u32)> {
        self.merges.get(&pair(left.id, right.id)).copied()
    }
}

fn pair(left: u32, right: u32) -> u64 {
    u64::from(left) << 32 | u64::from(right)
}

impl Bpe {
    /// Reads the merges. Their texts need not be tokens: llama.cpp merges by text as well, and
    /// looks for tokens only at the end.
    pub(super) fn new(
        vocabulary: &mut Vocabulary,
        merges: &[&[u8]],
        ignore_merges: bool,
        warnings: &mut Vec<TokenizerWarning>,
    ) -> Result<Self, TokenizerError> {
        let mut bytes = Box::new([0; 256]);
        for byte in 0..=255 {
            let letter = byte_to_char(byte);
            let symbol = vocabulary.intern(letter.encode_utf8(&mut [0; 4]).as_bytes())?;
            bytes[usize::from(byte)] = symbol;
        }
        let mut table = HashMap::with_capacity(merges.len());
        let mut repeated = Oddity::default();
        let mut outside = Oddity::default();
        let mut merged = Vec::new();
        for (index, &text) in merges.iter().enumerate() {
            let rank = u32::try_from(index).map_err(|_| TokenizerError::VocabularyTooLarge)?;
            let (left, right) = halves(text)
                .ok_or_else(|| TokenizerError::MalformedMerge { index, text: excerpt(text) })?;
            merged.clear();
            merged.extend_from_slice(left);
            merged.extend_from_slice(right);
            let [left, right, merged] =
                [vocabulary.intern(left)?, vocabulary.intern(right)?, vocabulary.intern(&merged)?];
            if [left, right, merged].iter().any(|&symbol| symbol as usize >= vocabulary.size()) {
                outside.note(index);
            }
            match table.entry(pair(left, right)) {
                std::collections::hash_map::Entry::Occupied(_) => repeated.note(index),
                std::collections::hash_map::Entry::Vacant(entry) => {
                    entry.insert((rank, merged));
                }
            }
        }
        if let Some((count, first)) = repeated.seen {
            warnings.push(TokenizerWarning::DuplicateMerges { count, first });
        }
        if let Some((count, first)) = outside.seen {
            warnings.push(TokenizerWarning::MergesOutsideVocabulary { count, first });
        }
        Ok(Self { merges: table, bytes, ignore_merges })
    }

    /// Appends the tokens of a word that starts at byte `offset` of its text.
    pub(super) fn encode_word(
        &self,
        vocabulary: &Vocabulary,
        queue: &mut MergeQueue,
        word: &str,
        offset: usize,
        out: &mut Vec<u32>,
    ) -> Result<(), TokenizerError> {
        if self.ignore_merges {
            let spelled: String = word.bytes().map(byte_to_char).collect();
            if let Some(id) = vocabulary.find(spelled.as_bytes()) {
                out.push(id);
                return Ok(());
            }
        }
        queue.clear();
        for byte in word.bytes() {
            queue.push(1, self.bytes[usize::from(byte)]);
        }
        for symbol in queue.merge(self) {
            if (symbol.id as usize) < vocabulary.size() {
                out.push(symbol.id);
                continue;
            }
            // llama.cpp looks each byte of the spelling up and drops those that are no token; a
            // lost character is an error here.
            for &byte in vocabulary.text(symbol.id) {
                let id = vocabulary.find(&[byte]).ok_or_else(|| {
                    let start = symbol.start as usize;
                    TokenizerError::NoTokenForByte {
                        byte: word.as_bytes()[start],
                        offset: offset + start,
                    }
                })?;
                out.push(id);
            }
        }
        Ok(())
    }
}

/// How often something odd was seen, and where first.
#[derive(Default)]
struct Oddity {
    seen: Option<(usize, usize)>,
}

impl Oddity {
    fn note(&mut self, index: usize) {
        self.seen = Some(self.seen.map_or((1, index), |(count, first)| (count + 1, first)));
    }
}

/// Both sides of the first space after the first byte; neither may be empty.
fn halves(merge: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = merge.iter().skip(1).position(|&b| b == b' ')? + 1;
    let (left, right) = (&merge[..space], &merge[space + 1..]);
    (!right.is_empty()).then_some((left, right))
}
