//! Cutting special tokens out of a text before anything else looks at it; it splits no words.
//!
//! The order is llama.cpp's (`tokenizer_st_partition`): the longest special text first, each from
//! left to right in what the earlier ones left over. llama.cpp leaves the order of equal lengths
//! to an unstable sort; here the lower id goes first. Its stripping of white space around special
//! tokens, tied to the names of Phi-3 and Jina models, is left out: those are not run here.

use super::vocabulary::{TokenType, Vocabulary};

/// Bytes of a special text that are looked up at every place of a text; what is longer is searched
/// for as a whole, once the text has its beginning. So the work at one place is bounded, whatever the
/// vocabulary holds.
const PREFIX: usize = 32;

/// A piece of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fragment<'t> {
    /// Ordinary text, never empty.
    Text(&'t str),
    /// A special token.
    Token(u32),
}

/// A text to look for.
#[derive(Debug, Clone)]
struct Special {
    text: String,
    id: u32,
    /// User-defined tokens are cut out always, control and unknown tokens only on request.
    always: bool,
}

/// The special tokens of a vocabulary.
#[derive(Debug, Clone)]
pub(super) struct Partition {
    /// Longest first, then by id.
    specials: Vec<Special>,
    /// Indices into `specials` in the order of their texts.
    by_text: Vec<u32>,
}

impl Partition {
    /// Collects the special tokens of a vocabulary. Those whose text is not UTF-8 cannot occur in a text.
    pub(super) fn new(vocabulary: &Vocabulary) -> Self {
        let specials = (0..vocabulary.size() as u32)
            .filter_map(|id| {
                let always = match vocabulary.token_type(id) {
                    TokenType::UserDefined => true,
                    TokenType::Control | TokenType::Unknown => false,
                    _ => return None,
                };
                let text = std::str::from_utf8(vocabulary.text(id)).ok()?.to_owned();
                // Nothing can be cut out at an empty text.
                (!text.is_empty()).then_some(Special { text, id, always })
            })
            .collect();
        Self::of(specials)
    }

    fn of(mut specials: Vec<Special>) -> Self {
        specials.sort_by_key(|special| (std::cmp::Reverse(special.text.len()), special.id));
        let mut by_text: Vec<u32> = (0..specials.len() as u32).collect();
        by_text.sort_unstable_by_key(|&i| specials[i as usize].text.as_bytes());
        Self { specials, by_text }
    }

    /// The fragments of a text, in order.
    pub(super) fn split<'t>(&self, text: &'t str, parse_special: bool) -> Vec<Fragment<'t>> {
        let mut fragments = Vec::new();
        if !text.is_empty() {
            fragments.push(Fragment::Text(text));
        }
        for index in self.occurring(text, parse_special) {
            let special = &self.specials[index as usize];
            let mut cut = Vec::with_capacity(fragments.len());
            for fragment in fragments {
                match fragment {
                    Fragment::Text(text) => special.cut(text, &mut cut),
                    Fragment::Token(_) => cut.push(fragment),
                }
            }
            fragments = cut;
        }
        fragments
    }

    /// The special tokens that occur anywhere in the text, in the order of cutting.
    ///
    /// One pass over the text for all that are short, so that a vocabulary with thousands of special
    /// tokens does not cost thousands of passes; then one pass for each long one that has begun.
    fn occurring(&self, text: &str, parse_special: bool) -> Vec<u32> {
        let bytes = text.as_bytes();
        let mut seen = vec![false; self.specials.len()];
        let mut begun = Vec::new();
        for start in 0..if self.specials.is_empty() { 0 } else { bytes.len() } {
            let mut range = &self.by_text[..];
            for (depth, &byte) in bytes[start..].iter().enumerate() {
                if depth == PREFIX {
                    // All that share a beginning are one range: it is entered once.
                    if !std::mem::replace(&mut seen[range[0] as usize], true) {
                        begun.push(range);
                    }
                    break;
                }
                let at = |&i: &u32| self.specials[i as usize].text.as_bytes()[depth];
                let low = range.partition_point(|i| at(i) < byte);
                range = &range[low..];
                range = &range[..range.partition_point(|i| at(i) == byte)];
                // Texts that end here sort before those that go on.
                while let Some((&first, rest)) = range.split_first()
                    && self.specials[first as usize].text.len() == depth + 1
                {
                    seen[first as usize] = true;
                    range = rest;
                }
                if range.is_empty() {
                    break;
                }
            }
        }
        for &index in begun.into_iter().flatten() {
            seen[index as usize] = text.contains(&self.specials[index as usize].text);
        }
        let wanted =
            |i: &u32| seen[*i as usize] && (parse_special || self.specials[*i as usize].always);
        (0..self.specials.len() as u32).filter(wanted).collect()
    }
}

impl Special {
    fn cut<'t>(&self, mut text: &'t str, out: &mut Vec<Fragment<'t>>) {
        while let Some(at) = text.find(&self.text) {
            if at > 0 {
                out.push(Fragment::Text(&text[..at]));
            }
            out.push(Fragment::Token(self.id));
            text = &text[at + self.text.len()..];
        }
        if !text.is_empty() {
            out.push(Fragment::Text(text));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(texts: &[&str]) -> Partition {
        let special = |(id, text): (u32, &&str)| Special { text: (*text).into(), id, always: true };
        Partition::of((0..).zip(texts).map(special).collect())
    }

    #[test]
    fn long_texts_that_share_their_beginning_are_told_apart() {
        let a = "a".repeat(PREFIX);
        let texts = [
            a.clone(),
            format!("{a}b"),
            format!("{a}bc"),
            format!("{a}bd"),
            "ab".into(),
            "c".repeat(PREFIX - 1),
        ];
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let partition = partition(&texts);
        let text = format!("x{a}bc {a}ab{a}b{}", "c".repeat(PREFIX));
        use Fragment::{Text, Token};
        // Longest first: `{a}bc` twice, then `{a}b` as far left as it goes, then the rest of the c.
        let truth = [Text("x"), Token(2), Text(" a"), Token(1), Token(2), Token(5)];
        assert_eq!(partition.split(&text, false), truth);
        assert_eq!(partition.split(&a[1..], false), [Text(&a[1..])]);
        assert_eq!(partition.split("", false), []);
    }

    #[test]
    fn a_text_that_almost_matches_everywhere_takes_no_quadratic_time() {
        // 64 kB against 1 MB: byte by byte at every place, 6 · 10^10 comparisons.
        let long = format!("{}b", "a".repeat(64 << 10));
        let partition = partition(&[&long, "<s>"]);
        let text = "a".repeat(1 << 20);
        assert_eq!(partition.split(&text, true), [Fragment::Text(&text)]);
        let text = format!("{text}b<s>");
        let before = &text[..(1 << 20) - (64 << 10)];
        let truth = [Fragment::Text(before), Fragment::Token(0), Fragment::Token(1)];
        assert_eq!(partition.split(&text, true), truth);
    }
}
