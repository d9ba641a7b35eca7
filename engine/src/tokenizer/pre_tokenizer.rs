//! Splitting a text into words, as the regular expressions behind `tokenizer.ggml.pre` would.
//!
//! The expressions are llama.cpp's (`llama-vocab.cpp`, October 2024), which for some names differ
//! from those of the model's own tokenizer.json. They are scanned by hand: one pass per stage, no
//! backtracking. A stage sees each word of the stage before on its own, so that its look-ahead
//! ends where the word ends. No word is lost, changed or empty.

use super::unicode::Class;

/// A named way of splitting, with the settings that llama.cpp ties to the name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PreTokenizer {
    /// Name in `tokenizer.ggml.pre`; of aliases the first one.
    pub(crate) name: &'static str,
    /// A word that is a token is taken as it is, without merging.
    pub(super) ignore_merges: bool,
    /// BOS is added unless the file says otherwise.
    pub(super) add_bos: bool,
    /// Detokenising removes the spaces before punctuation.
    pub(super) clean_up_spaces: bool,
    stages: &'static [Stage],
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    /// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
    Gpt2,
    /// `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|`
    /// ` ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
    Llama3,
    /// `[\p{P}\$\+<=>\^~\|]+`
    Punctuation,
    /// ``[\p{P}\$\+<=>\^~\|`]+``
    PunctuationOrBacktick,
    /// `\p{N}+`
    Numbers,
    /// `\p{N}`
    Number,
    /// `[0-9][0-9][0-9]`
    ThreeDigits,
    /// `[\r\n]`
    LineBreak,
    /// `\s?\p{L}+`
    SpacedLetters,
    /// `\s?\p{P}+`
    SpacedPunctuation,
    /// `[一-龥ࠀ-一가-퟿]+`
    Cjk,
}

const DEFAULT: PreTokenizer = PreTokenizer {
    name: "default",
    ignore_merges: false,
    add_bos: false,
    clean_up_spaces: true,
    stages: &[Stage::Punctuation, Stage::Gpt2, Stage::Numbers, Stage::ThreeDigits],
};

const GPT_2: PreTokenizer = PreTokenizer { name: "gpt-2", stages: &[Stage::Gpt2], ..DEFAULT };

const LLAMA_BPE: PreTokenizer = PreTokenizer {
    name: "llama-bpe",
    ignore_merges: true,
    add_bos: true,
    stages: &[Stage::Llama3],
    ..DEFAULT
};

const FALCON: PreTokenizer = PreTokenizer {
    name: "falcon",
    stages: &[Stage::PunctuationOrBacktick, Stage::Gpt2, Stage::ThreeDigits],
    ..DEFAULT
};

const DEEPSEEK_CODER: PreTokenizer = PreTokenizer {
    name: "deepseek-coder",
    clean_up_spaces: false,
    stages: &[
        Stage::LineBreak,
        Stage::SpacedLetters,
        Stage::SpacedPunctuation,
        Stage::Cjk,
        Stage::Number,
    ],
    ..DEFAULT
};

// `falcon3` is left out: bitnet.cpp splits it as Falcon with single digits, mainline llama.cpp as
// Llama 3, and a name must mean one thing here.
const NAMES: [(&str, &PreTokenizer); 7] = [
    ("default", &DEFAULT),
    ("gpt-2", &GPT_2),
    ("llama-bpe", &LLAMA_BPE),
    ("llama3", &LLAMA_BPE),
    ("llama-v3", &LLAMA_BPE),
    ("falcon", &FALCON),
    ("deepseek-coder", &DEEPSEEK_CODER),
];

impl PreTokenizer {
    /// The rules of a name in `tokenizer.ggml.pre`.
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        NAMES.iter().find(|(known, _)| *known == name).map(|(_, rules)| *rules)
    }

    /// The rules for a file that names none.
    pub(crate) fn unnamed() -> &'static Self {
        &DEFAULT
    }

    /// Every supported name, for messages.
    pub(super) fn names() -> String {
        NAMES.map(|(name, _)| format!("`{name}`")).join(", ")
    }

    /// The words of a text; together they are the text.
    pub(crate) fn words<'t>(&self, text: &'t str) -> Vec<&'t str> {
        let mut words = vec![text];
        for stage in self.stages {
            let mut split = Vec::with_capacity(words.len());
            for word in words {
                stage.split(word, &mut split);
            }
            words = split;
        }
        words.retain(|word| !word.is_empty());
        words
    }
}

impl Stage {
    fn split<'t>(self, text: &'t str, out: &mut Vec<&'t str>) {
        match self {
            Self::Gpt2 => tile(text, gpt2_word, out),
            Self::Llama3 => tile(text, llama3_word, out),
            Self::Punctuation => runs(text, is_punctuation, out),
            Self::PunctuationOrBacktick => runs(text, |c| c == '`' || is_punctuation(c), out),
            Self::Numbers => runs(text, is_number, out),
            Self::Number => singles(text, is_number, out),
            Self::ThreeDigits => three_digits(text, out),
            Self::LineBreak => singles(text, |c| matches!(c, '\r' | '\n'), out),
            Self::SpacedLetters => spaced_runs(text, is_letter, out),
            Self::SpacedPunctuation => {
                spaced_runs(text, |c| Class::of(c) == Class::Punctuation, out);
            }
            Self::Cjk => runs(text, is_cjk, out),
        }
    }
}

fn is_letter(c: char) -> bool {
    Class::of(c) == Class::Letter
}

fn is_number(c: char) -> bool {
    Class::of(c) == Class::Number
}

fn is_whitespace(c: char) -> bool {
    Class::of(c) == Class::Whitespace
}

fn is_punctuation(c: char) -> bool {
    matches!(c, '$' | '+' | '<' | '=' | '>' | '^' | '~' | '|') || Class::of(c) == Class::Punctuation
}

/// The class in the expression spans a few space characters, but llama.cpp has replaced those by a
/// vertical tab before it matches.
fn is_cjk(c: char) -> bool {
    matches!(c, '\u{800}'..='\u{9FA5}' | '\u{AC00}'..='\u{D7FF}') && !is_whitespace(c)
}

/// Bytes of the longest prefix whose characters all satisfy `is`.
fn prefix(text: &str, is: impl Fn(char) -> bool) -> usize {
    text.find(|c| !is(c)).unwrap_or(text.len())
}

/// Cuts off words of the length that `next` tells, which must be at least one character.
fn tile<'t>(mut text: &'t str, next: impl Fn(&str) -> usize, out: &mut Vec<&'t str>) {
    while !text.is_empty() {
        let (word, rest) = text.split_at(next(text));
        out.push(word);
        text = rest;
    }
}

/// `[class]+` and what lies between.
fn runs<'t>(text: &'t str, is: impl Fn(char) -> bool, out: &mut Vec<&'t str>) {
    let next = |rest: &str| match prefix(rest, &is) {
        0 => prefix(rest, |c| !is(c)),
        matching => matching,
    };
    tile(text, next, out);
}

/// `[class]` and what lies between.
fn singles<'t>(text: &'t str, is: impl Fn(char) -> bool, out: &mut Vec<&'t str>) {
    let next = |rest: &str| match rest.chars().next() {
        Some(c) if is(c) => c.len_utf8(),
        _ => prefix(rest, |c| !is(c)),
    };
    tile(text, next, out);
}

/// `\s?[class]+` and what lies between, for a class without white space.
fn spaced_runs<'t>(text: &'t str, is: impl Fn(char) -> bool, out: &mut Vec<&'t str>) {
    let mut gap = 0;
    let mut at = 0;
    let mut space = None;
    while let Some(c) = text[at..].chars().next() {
        if is(c) {
            let start = space.unwrap_or(at);
            let end = at + prefix(&text[at..], &is);
            if gap < start {
                out.push(&text[gap..start]);
            }
            out.push(&text[start..end]);
            (gap, at, space) = (end, end, None);
        } else {
            space = is_whitespace(c).then_some(at);
            at += c.len_utf8();
        }
    }
    if gap < text.len() {
        out.push(&text[gap..]);
    }
}

/// `[0-9][0-9][0-9]` and what lies between.
fn three_digits<'t>(text: &'t str, out: &mut Vec<&'t str>) {
    let bytes = text.as_bytes();
    let mut gap = 0;
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at..].iter().take_while(|b| b.is_ascii_digit()).take(3).count() == 3 {
            if gap < at {
                out.push(&text[gap..at]);
            }
            out.push(&text[at..at + 3]);
            at += 3;
            gap = at;
        } else {
            at += 1;
        }
    }
    if gap < text.len() {
        out.push(&text[gap..]);
    }
}

/// `'s|'t|'re|'ve|'m|'ll|'d`, given the text with its letters in lower case.
fn contraction(text: &str, lower: impl Fn(u8) -> u8) -> Option<usize> {
    let letters = text.strip_prefix('\'')?.as_bytes();
    match letters.first().map(|&b| lower(b))? {
        b's' | b't' | b'm' | b'd' => Some(2),
        first => match (first, letters.get(1).map(|&b| lower(b))?) {
            (b'r' | b'v', b'e') | (b'l', b'l') => Some(3),
            _ => None,
        },
    }
}

/// `\s+(?!\S)|\s+`: all white space, but the last character is left to a word that follows.
fn spaces(text: &str) -> usize {
    let all = prefix(text, is_whitespace);
    let last = text[..all].chars().next_back().map_or(0, char::len_utf8);
    if all < text.len() && last < all { all - last } else { all }
}

fn gpt2_word(text: &str) -> usize {
    if let Some(len) = contraction(text, |b| b) {
        return len;
    }
    let body = text.strip_prefix(' ').unwrap_or(text);
    let same: fn(char) -> bool = match body.chars().next().map(Class::of) {
        Some(Class::Letter) => is_letter,
        Some(Class::Number) => is_number,
        Some(Class::Punctuation | Class::Other) => |c| Class::of(c).is_symbolic(),
        Some(Class::Whitespace) | None => return spaces(text),
    };
    text.len() - body.len() + prefix(body, same)
}

fn llama3_word(text: &str) -> usize {
    if let Some(len) = contraction(text, |b| b.to_ascii_lowercase()) {
        return len;
    }
    let mut chars = text.chars();
    let Some(first) = chars.next() else { return 0 };
    let class = Class::of(first);
    if class == Class::Letter
        || !matches!(first, '\r' | '\n')
            && class != Class::Number
            && chars.next().is_some_and(is_letter)
    {
        return first.len_utf8() + prefix(&text[first.len_utf8()..], is_letter);
    }
    if class == Class::Number {
        return text.chars().take_while(|&c| is_number(c)).take(3).map(char::len_utf8).sum();
    }
    let body = text.strip_prefix(' ').unwrap_or(text);
    let symbols = prefix(body, |c| Class::of(c).is_symbolic());
    if symbols > 0 {
        let breaks = prefix(&body[symbols..], |c| matches!(c, '\r' | '\n'));
        return text.len() - body.len() + symbols + breaks;
    }
    let white = &text[..prefix(text, is_whitespace)];
    match white.rfind(['\r', '\n']) {
        Some(line_end) => line_end + 1,
        None => spaces(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words<'t>(name: &str, text: &'t str) -> Vec<&'t str> {
        let words = PreTokenizer::named(name).unwrap().words(text);
        assert_eq!(words.concat(), text);
        words
    }

    #[test]
    fn gpt_2_keeps_one_space_with_the_word_that_follows() {
        assert_eq!(words("gpt-2", "Hello  my world"), ["Hello", " ", " my", " world"]);
        assert_eq!(words("gpt-2", "a \t b"), ["a", " \t", " b"]);
        assert_eq!(words("gpt-2", "end  "), ["end", "  "]);
        assert_eq!(words("gpt-2", "a\n\nb"), ["a", "\n", "\n", "b"]);
        assert_eq!(words("gpt-2", "x\u{3000}y"), ["x", "\u{3000}", "y"]);
    }

    #[test]
    fn gpt_2_separates_letters_numbers_and_the_rest() {
        assert_eq!(
            words("gpt-2", "abc123 456?! $é½"),
            ["abc", "123", " 456", "?!", " $", "é", "½"]
        );
        assert_eq!(words("gpt-2", "e\u{301}😀"), ["e", "\u{301}😀"]);
    }

    #[test]
    fn gpt_2_contractions_are_in_lower_case() {
        assert_eq!(
            words("gpt-2", "we're I'LL 'd's'x"),
            ["we", "'re", " I", "'", "LL", " '", "d", "'s", "'", "x"]
        );
        assert_eq!(words("gpt-2", "'"), ["'"]);
        assert_eq!(words("gpt-2", "'l"), ["'", "l"]);
    }

    #[test]
    fn llama_3_takes_contractions_in_either_case_and_three_digits() {
        assert_eq!(words("llama-bpe", "We'RE 12345 x"), ["We", "'RE", " ", "123", "45", " x"]);
        assert_eq!(words("llama-bpe", "don'T"), ["don", "'T"]);
    }

    #[test]
    fn llama_3_lets_one_character_lead_a_word() {
        assert_eq!(words("llama-bpe", "(hi)\thi !hi"), ["(hi", ")", "\thi", " !", "hi"]);
        assert_eq!(words("llama-bpe", "\nhi 1a"), ["\n", "hi", " ", "1", "a"]);
    }

    #[test]
    fn llama_3_ends_words_with_line_breaks() {
        assert_eq!(
            words("llama-bpe", "a.\n\nb \n \n  c"),
            ["a", ".\n\n", "b", " \n \n", " ", " c"]
        );
        assert_eq!(words("llama-bpe", " ?\r\n "), [" ?\r\n", " "]);
        assert_eq!(words("llama-bpe", "a  "), ["a", "  "]);
    }

    #[test]
    fn default_cuts_punctuation_first_and_digits_last() {
        assert_eq!(words("default", "a (b).c"), ["a", " ", "(", "b", ").", "c"]);
        assert_eq!(words("default", "x 1234567"), ["x", " ", "123", "456", "7"]);
        assert_eq!(words("default", "a `b` |"), ["a", " `", "b", "`", " ", "|"]);
        // The apostrophe is gone before contractions are looked for.
        assert_eq!(words("default", "we're"), ["we", "'", "re"]);
        // Look-ahead ends where the first stage has cut.
        assert_eq!(words("default", "a  ."), ["a", "  ", "."]);
        assert_eq!(words("gpt-2", "a  ."), ["a", " ", " ."]);
        assert_eq!(words("default", "٣٣123"), ["٣٣", "123"]);
    }

    #[test]
    fn falcon_cuts_the_backtick_as_well_and_keeps_numbers_together() {
        assert_eq!(words("falcon", "`a` 12 1234"), ["`", "a", "`", " 12", " ", "123", "4"]);
    }

    #[test]
    fn deepseek_coder_cuts_lines_letters_punctuation_and_single_digits() {
        assert_eq!(
            words("deepseek-coder", "a  b\n(c) 12中文"),
            ["a", " ", " b", "\n", "(", "c", ")", " ", "1", "2", "中文"]
        );
        assert_eq!(words("deepseek-coder", "x中"), ["x", "中"]);
        assert_eq!(words("deepseek-coder", "  \u{3000}?"), ["  ", "\u{3000}?"]);
    }

    #[test]
    fn names_that_mean_two_things_are_not_known() {
        for name in ["falcon3", "qwen2", "Default", ""] {
            assert!(PreTokenizer::named(name).is_none(), "{name}");
        }
        assert!(PreTokenizer::names().contains("`llama-bpe`"));
    }

    #[test]
    fn every_rule_returns_every_text() {
        let hard =
            "'' 's'\r\n\t 12345٣½ x\u{85}\u{3000}中文。、（）\0\u{200B}\u{1C89}e\u{301}👨‍👩‍👧 `$^~";
        for (name, rules) in NAMES {
            for (start, _) in hard.char_indices() {
                for (end, _) in hard.char_indices().filter(|&(end, _)| end >= start) {
                    let words = rules.words(&hard[start..end]);
                    assert_eq!(words.concat(), &hard[start..end], "{name}");
                    assert!(words.iter().all(|word| !word.is_empty()), "{name}");
                }
            }
        }
    }
}
