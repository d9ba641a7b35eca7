//! SentencePiece's BPE: merging characters by score, with bytes for what is no token; it handles
//! text between special tokens only.

use super::error::{TokenizerError, TokenizerWarning};
use super::merge_queue::{MergeQueue, MergeRule, Symbol};
use super::source::VocabularySource;
use super::vocabulary::{SPACE_MARK, Vocabulary, check_length};

/// Stands for a character that is no token.
const NO_TOKEN: u32 = u32::MAX;

/// The scores of a vocabulary.
#[derive(Debug, Clone)]
pub(super) struct SentencePiece {
    /// By id; the higher the score, the lower the number. Equal scores have equal numbers.
    priorities: Vec<u32>,
    longest: usize,
}

struct Rule<'a> {
    priorities: &'a [u32],
    longest: usize,
    vocabulary: &'a Vocabulary,
    text: &'a [u8],
}

impl MergeRule for Rule<'_> {
    fn merge(&self, left: &Symbol, right: &Symbol) -> Option<(u32, u32)> {
        let len = left.len as usize + right.len as usize;
        if len > self.longest {
            return None;
        }
        let start = left.start as usize;
        let id = self.vocabulary.find(&self.text[start..start + len])?;
        Some((self.priorities[id as usize], id))
    }
}

impl SentencePiece {
    /// Checks and orders the scores.
    pub(super) fn new(
        vocabulary: &Vocabulary,
        source: &VocabularySource<'_>,
        warnings: &mut Vec<TokenizerWarning>,
    ) -> Result<Self, TokenizerError> {
        let size = vocabulary.size();
        let priorities = match source.scores {
            None => {
                warnings.push(TokenizerWarning::MissingScores);
                vec![priority(0.0); size]
            }
            Some(scores) => {
                check_length("scores", scores.len(), size)?;
                if let Some(id) = scores.iter().position(|score| score.is_nan()) {
                    return Err(TokenizerError::ScoreNotANumber { id: id as u32 });
                }
                scores.iter().map(|&score| priority(score)).collect()
            }
        };
        let longest = (0..size as u32).map(|id| vocabulary.text(id).len()).max().unwrap_or(0);
        Ok(Self { priorities, longest })
    }

    /// Appends the tokens of a text, with a space put before it if `prefix` says so.
    pub(super) fn encode_text(
        &self,
        vocabulary: &Vocabulary,
        queue: &mut MergeQueue,
        text: &str,
        prefix: bool,
        out: &mut Vec<u32>,
    ) -> Result<(), TokenizerError> {
        let mut marked = text.replace(' ', SPACE_MARK.encode_utf8(&mut [0; 4]));
        if prefix {
            marked.insert(0, SPACE_MARK);
        }
        if marked.len() > i32::MAX as usize {
            return Err(TokenizerError::TextTooLong { bytes: marked.len() });
        }
        queue.clear();
        for (start, c) in marked.char_indices() {
            let len = c.len_utf8();
            let id = vocabulary.find(&marked.as_bytes()[start..start + len]);
            queue.push(len as u32, id.unwrap_or(NO_TOKEN));
        }
        let rule = Rule {
            priorities: &self.priorities,
            longest: self.longest,
            vocabulary,
            text: marked.as_bytes(),
        };
        for symbol in queue.merge(&rule) {
            if symbol.id != NO_TOKEN {
                out.push(symbol.id);
                continue;
            }
            let start = symbol.start as usize;
            for &byte in &marked.as_bytes()[start..start + symbol.len as usize] {
                let name = format!("<0x{byte:02X}>");
                let id = vocabulary.find(name.as_bytes()).or_else(|| vocabulary.find(&[byte]));
                out.push(id.ok_or_else(|| {
                    let before = marked[..start].chars().count().saturating_sub(prefix.into());
                    let offset = text.chars().take(before).map(char::len_utf8).sum();
                    TokenizerError::NoTokenForByte { byte, offset }
                })?);
            }
        }
        Ok(())
    }
}

/// Turns the order of the scores around in whole numbers, where -0 equals 0.
fn priority(score: f32) -> u32 {
    let bits = (score + 0.0).to_bits();
    let ascending = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 };
    !ascending
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priorities_turn_the_order_of_scores_around() {
        let scores = [f32::INFINITY, 3.5, 1e-40, 0.0, -1e-40, -7.0, -1e9, f32::NEG_INFINITY];
        assert!(scores.windows(2).all(|pair| priority(pair[0]) < priority(pair[1])));
        assert_eq!(priority(-0.0), priority(0.0));
    }
}
