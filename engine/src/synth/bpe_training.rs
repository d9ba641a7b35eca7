//! Training a byte-level BPE vocabulary from a text, the same on every machine; it makes no
//! special tokens and no model.
//!
//! The algorithm is Sennrich et al. 2016 (arXiv:1508.07909), on bytes as in GPT-2: the most
//! frequent pair of neighbours inside words becomes a token, again and again. Everything is counted
//! in whole numbers, and equal counts are settled by the lower left id, then the lower right id; an
//! id is older the lower it is. Words are those of the pre-tokenizer `default`.

use std::collections::{BTreeMap, BTreeSet};

use crate::tokenizer::{PreTokenizer, byte_to_char};

/// The text that the vocabulary of the `ci-light` model is trained on.
pub const CORPUS: &str = include_str!("corpus.txt");

/// Tokens that every vocabulary starts with: one per byte.
pub const BYTE_TOKENS: usize = 256;

/// A vocabulary in the spelling of `tokenizer.ggml.tokens` and `tokenizer.ggml.merges`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrainedVocabulary {
    /// By id: the 256 bytes in ascending order, then the result of each merge.
    pub tokens: Vec<String>,
    /// `left right`, in the order in which they were learnt; `merges[i]` makes
    /// `tokens[256 + i]`.
    pub merges: Vec<String>,
}

/// Why a text does not give the wanted vocabulary.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrainingError {
    /// Bytes alone are 256 tokens.
    #[error("a vocabulary of {wanted} tokens has no room for the {BYTE_TOKENS} bytes")]
    TooSmall {
        /// The size asked for.
        wanted: usize,
    },
    /// No pair occurs twice any more.
    #[error(
        "after {reached} of {wanted} tokens no pair occurs twice: train on a longer text or ask \
         for fewer tokens"
    )]
    TextTooShort {
        /// The size asked for.
        wanted: usize,
        /// The size that the text is good for.
        reached: usize,
    },
}

/// Learns a vocabulary of exactly `size` tokens.
///
/// # Errors
/// [`TrainingError`] if the text is too short, or `size` below 256.
pub fn train(text: &str, size: usize) -> Result<TrainedVocabulary, TrainingError> {
    let mut counts = BTreeMap::new();
    for word in PreTokenizer::unnamed().words(text) {
        *counts.entry(word).or_insert(0) += 1;
    }
    train_on_words(counts.into_iter(), size)
}

/// Learns from words and how often each occurs. The order of the words makes no difference.
fn train_on_words<'w>(
    words: impl Iterator<Item = (&'w str, u64)>,
    size: usize,
) -> Result<TrainedVocabulary, TrainingError> {
    if size < BYTE_TOKENS {
        return Err(TrainingError::TooSmall { wanted: size });
    }
    let mut tokens: Vec<String> = (0..=255).map(|byte| byte_to_char(byte).to_string()).collect();
    let mut known: BTreeSet<String> = tokens.iter().cloned().collect();
    let mut merges = Vec::with_capacity(size - BYTE_TOKENS);
    let mut pairs = Pairs::new(words);
    while tokens.len() < size {
        let Some((left, right)) = pairs.most_frequent() else {
            return Err(TrainingError::TextTooShort { wanted: size, reached: tokens.len() });
        };
        let (first, second) = (&tokens[left as usize], &tokens[right as usize]);
        let merged = format!("{first}{second}");
        if !known.insert(merged.clone()) {
            // A text is one token: another way to spell it is not learnt.
            pairs.forget((left, right));
            continue;
        }
        merges.push(format!("{first} {second}"));
        pairs.merge((left, right), tokens.len() as u32);
        tokens.push(merged);
    }
    Ok(TrainedVocabulary { tokens, merges })
}

type Pair = (u32, u32);

struct Word {
    symbols: Vec<u32>,
    count: u64,
}

#[derive(Default)]
struct Uses {
    count: u64,
    /// Indices of the words that hold the pair.
    words: BTreeSet<usize>,
}

/// The words as they are spelt so far, and their neighbouring pairs.
struct Pairs {
    words: Vec<Word>,
    uses: BTreeMap<Pair, Uses>,
    forgotten: BTreeSet<Pair>,
}

impl Pairs {
    fn new<'w>(words: impl Iterator<Item = (&'w str, u64)>) -> Self {
        let words = words
            .map(|(text, count)| Word { symbols: text.bytes().map(u32::from).collect(), count })
            .collect();
        let mut pairs = Self { words, uses: BTreeMap::new(), forgotten: BTreeSet::new() };
        for index in 0..pairs.words.len() {
            pairs.add(index);
        }
        pairs
    }

    /// The pair with the highest count, at least 2; of equals the lowest.
    fn most_frequent(&self) -> Option<Pair> {
        let mut best = None;
        let mut most = 1;
        for (&pair, uses) in &self.uses {
            if uses.count > most {
                (best, most) = (Some(pair), uses.count);
            }
        }
        best
    }

    fn forget(&mut self, pair: Pair) {
        self.uses.remove(&pair);
        self.forgotten.insert(pair);
    }

    /// Spells every word anew with `id` in place of the pair, from left to right.
    fn merge(&mut self, pair: Pair, id: u32) {
        let Some(uses) = self.uses.get(&pair) else { return };
        for index in uses.words.clone() {
            self.remove(index);
            let symbols = &mut self.words[index].symbols;
            let mut kept = 0;
            let mut at = 0;
            while at < symbols.len() {
                let here = symbols.get(at..at + 2) == Some(&[pair.0, pair.1]);
                symbols[kept] = if here { id } else { symbols[at] };
                kept += 1;
                at += if here { 2 } else { 1 };
            }
            symbols.truncate(kept);
            self.add(index);
        }
    }

    fn add(&mut self, index: usize) {
        let word = &self.words[index];
        for neighbours in word.symbols.windows(2) {
            let pair = (neighbours[0], neighbours[1]);
            if !self.forgotten.contains(&pair) {
                let uses = self.uses.entry(pair).or_default();
                uses.count += word.count;
                uses.words.insert(index);
            }
        }
    }

    fn remove(&mut self, index: usize) {
        let word = &self.words[index];
        for neighbours in word.symbols.windows(2) {
            let pair = (neighbours[0], neighbours[1]);
            if let Some(uses) = self.uses.get_mut(&pair) {
                uses.count -= word.count;
                uses.words.remove(&index);
                if uses.count == 0 {
                    self.uses.remove(&pair);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::{Tokenizer, VocabularySource};

    const SIZE: usize = 3840;

    fn tokenizer(trained: &TrainedVocabulary) -> Tokenizer {
        let types = vec![1; trained.tokens.len()];
        let source = VocabularySource {
            model: "gpt2",
            pre: Some("default"),
            tokens: trained.tokens.iter().map(String::as_bytes).collect(),
            token_types: Some(&types),
            merges: Some(trained.merges.iter().map(String::as_bytes).collect()),
            ..VocabularySource::default()
        };
        let tokenizer = Tokenizer::new(&source).unwrap();
        assert_eq!(tokenizer.warnings(), []);
        tokenizer
    }

    #[test]
    fn the_most_frequent_pair_comes_first_and_ties_go_to_the_lower_ids() {
        let words = [("abab", 1), ("cd", 2), ("bc", 2)];
        let trained = train_on_words(words.into_iter(), 259).unwrap();
        assert_eq!(trained.merges, ["a b", "b c", "c d"]);
        assert_eq!(trained.tokens[256..], ["ab", "bc", "cd"]);
    }

    #[test]
    fn overlapping_pairs_merge_from_left_to_right() {
        let trained = train_on_words([("aaaa", 1), ("aaa", 1)].into_iter(), 257).unwrap();
        assert_eq!(trained.merges, ["a a"]);
        let trained = train_on_words([("aaaa", 2)].into_iter(), 258).unwrap();
        assert_eq!(trained.merges, ["a a", "aa aa"]);
    }

    #[test]
    fn a_text_is_learnt_in_one_spelling_only() {
        // `abc` comes as ab+c; when a+bc is the only pair left that makes it, it is passed over.
        let words = [("abc", 9), ("ab", 9), ("xbc", 8), ("bc", 40), ("yabc", 3)];
        let trained = train_on_words(words.into_iter(), 259).unwrap();
        let distinct: BTreeSet<&String> = trained.tokens.iter().collect();
        assert_eq!(distinct.len(), trained.tokens.len());
        assert_eq!(trained.merges.len() + BYTE_TOKENS, trained.tokens.len());
    }

    #[test]
    fn what_cannot_be_learnt_is_said() {
        assert_eq!(train("abc", 255), Err(TrainingError::TooSmall { wanted: 255 }));
        assert_eq!(train("", 256).map(|trained| trained.merges), Ok(vec![]));
        assert_eq!(
            train("ab ab abc", 4000),
            Err(TrainingError::TextTooShort { wanted: 4000, reached: 258 })
        );
    }

    #[test]
    fn training_twice_and_in_any_order_gives_the_same() {
        let trained = train(CORPUS, SIZE).unwrap();
        assert_eq!(train(CORPUS, SIZE).as_ref(), Ok(&trained));
        let mut counts = BTreeMap::new();
        for word in PreTokenizer::unnamed().words(CORPUS) {
            *counts.entry(word).or_insert(0) += 1;
        }
        let mut shuffled: Vec<(&str, u64)> = counts.into_iter().collect();
        // Fisher-Yates with a fixed linear congruential generator (Knuth's MMIX constants).
        let mut state: u64 = 42;
        for i in (1..shuffled.len()).rev() {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            shuffled.swap(i, (state >> 33) as usize % (i + 1));
        }
        assert_eq!(train_on_words(shuffled.into_iter(), SIZE), Ok(trained));
    }

    #[test]
    fn the_corpus_has_unix_line_ends() {
        assert!(!CORPUS.contains('\r'), "corpus.txt must be checked out with LF line ends");
    }

    #[test]
    fn the_corpus_comes_back_and_gets_shorter() {
        let trained = train(CORPUS, SIZE).unwrap();
        assert_eq!((trained.tokens.len(), trained.merges.len()), (SIZE, SIZE - BYTE_TOKENS));
        let tokenizer = tokenizer(&trained);
        let mut ids = 0;
        for paragraph in CORPUS.split("\n\n") {
            let encoded = tokenizer.encode(paragraph, false, false).unwrap();
            let decoded = tokenizer.decode(&encoded).unwrap();
            assert_eq!(String::from_utf8(decoded).as_deref(), Ok(paragraph));
            ids += encoded.len();
        }
        let bytes_per_token = CORPUS.len() as f64 / ids as f64;
        println!("{} bytes in {ids} tokens: {bytes_per_token:.3} bytes a token", CORPUS.len());
        assert!(bytes_per_token > 2.5, "{bytes_per_token:.3} bytes a token");
    }
}
