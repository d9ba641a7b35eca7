//! The classes of characters that pre-tokenizers tell apart, as of Unicode 15.1; nothing finer.
//!
//! llama.cpp (`unicode-data.cpp`, October 2024) was generated from Unicode 15.1. Our general
//! categories come from a crate with the tables of Unicode 16.0, so the characters that 16.0 added
//! are taken back here: compared over all code points, the two then agree without exception. A
//! newer llama.cpp may class exactly those characters differently.

use unicode_general_category::{GeneralCategory as Category, get_general_category};

/// What a pre-tokenizer sees in a character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// `\p{L}`
    Letter,
    /// `\p{N}`
    Number,
    /// `\p{P}`
    Punctuation,
    /// `\s`, that is the property `White_Space`.
    Whitespace,
    /// Marks, symbols, control characters, unassigned code points.
    Other,
}

impl Class {
    /// Class of a character.
    pub(super) fn of(c: char) -> Self {
        match c {
            'a'..='z' | 'A'..='Z' => Self::Letter,
            ' ' => Self::Whitespace,
            '0'..='9' => Self::Number,
            '$' | '+' | '<' | '=' | '>' | '^' | '`' | '|' | '~' => Self::Other,
            _ if c.is_ascii_punctuation() => Self::Punctuation,
            _ if c.is_whitespace() => Self::Whitespace,
            _ if added_in_unicode_16(c) => Self::Other,
            _ => Self::of_category(get_general_category(c)),
        }
    }

    fn of_category(category: Category) -> Self {
        match category {
            Category::UppercaseLetter
            | Category::LowercaseLetter
            | Category::TitlecaseLetter
            | Category::ModifierLetter
            | Category::OtherLetter => Self::Letter,
            Category::DecimalNumber | Category::LetterNumber | Category::OtherNumber => {
                Self::Number
            }
            Category::ConnectorPunctuation
            | Category::DashPunctuation
            | Category::OpenPunctuation
            | Category::ClosePunctuation
            | Category::InitialPunctuation
            | Category::FinalPunctuation
            | Category::OtherPunctuation => Self::Punctuation,
            _ => Self::Other,
        }
    }

    /// `[^\s\p{L}\p{N}]`
    pub(super) fn is_symbolic(self) -> bool {
        matches!(self, Self::Punctuation | Self::Other)
    }
}

/// Letters, numbers and punctuation that Unicode 15.1 had not assigned yet: first and last.
const ADDED_IN_UNICODE_16: [(u32, u32); 29] = [
    (0x1B4E, 0x1B4F),
    (0x1B7F, 0x1B7F),
    (0x1C89, 0x1C8A),
    (0xA7CB, 0xA7CD),
    (0xA7DA, 0xA7DC),
    (0x105C0, 0x105F3),
    (0x10D40, 0x10D65),
    (0x10D6E, 0x10D85),
    (0x10EC2, 0x10EC4),
    (0x11380, 0x11389),
    (0x1138B, 0x1138B),
    (0x1138E, 0x1138E),
    (0x11390, 0x113B5),
    (0x113B7, 0x113B7),
    (0x113D1, 0x113D1),
    (0x113D3, 0x113D5),
    (0x113D7, 0x113D8),
    (0x116D0, 0x116E3),
    (0x11BC0, 0x11BE1),
    (0x11BF0, 0x11BF9),
    (0x13460, 0x143FA),
    (0x16100, 0x1611D),
    (0x16130, 0x16139),
    (0x16D40, 0x16D79),
    (0x18CFF, 0x18CFF),
    (0x1CCF0, 0x1CCF9),
    (0x1E5D0, 0x1E5ED),
    (0x1E5F0, 0x1E5FA),
    (0x1E5FF, 0x1E5FF),
];

fn added_in_unicode_16(c: char) -> bool {
    let code = u32::from(c);
    let at = ADDED_IN_UNICODE_16.partition_point(|&(_, last)| last < code);
    ADDED_IN_UNICODE_16.get(at).is_some_and(|&(first, _)| first <= code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_each_class() {
        for (c, class) in [
            ('é', Class::Letter),
            ('中', Class::Letter),
            ('ª', Class::Letter),
            ('7', Class::Number),
            ('٣', Class::Number),
            ('½', Class::Number),
            ('Ⅷ', Class::Number),
            ('_', Class::Punctuation),
            ('。', Class::Punctuation),
            ('$', Class::Other),
            ('😀', Class::Other),
            ('\u{301}', Class::Other),
            ('\u{200D}', Class::Other),
            ('\0', Class::Other),
            ('\u{378}', Class::Other),
            ('\n', Class::Whitespace),
            ('\u{85}', Class::Whitespace),
            ('\u{A0}', Class::Whitespace),
            ('\u{3000}', Class::Whitespace),
            ('\u{200B}', Class::Other),
        ] {
            assert_eq!(Class::of(c), class, "{c:?}");
        }
    }

    #[test]
    fn characters_newer_than_the_reference_are_nothing_in_particular() {
        // U+1C89, U+10D40 and U+11BE1 came with Unicode 16.0; U+2EBF0 with 15.1.
        for c in ['\u{1C89}', '\u{10D40}', '\u{11BE1}', '\u{1E5FF}', '\u{143FA}'] {
            assert_eq!(Class::of(c), Class::Other, "{c:?}");
        }
        assert_eq!(Class::of('\u{2EBF0}'), Class::Letter);
        assert_eq!(Class::of('\u{1C88}'), Class::Letter);
    }

    #[test]
    fn tables_are_those_that_the_list_above_was_made_for() {
        assert_eq!(unicode_general_category::UNICODE_VERSION, (16, 0, 0));
        let mut counts = [0; 4];
        for c in '\0'..=char::MAX {
            match Class::of(c) {
                Class::Letter => counts[0] += 1,
                Class::Number => counts[1] += 1,
                Class::Punctuation => counts[2] += 1,
                Class::Whitespace => counts[3] += 1,
                Class::Other => {}
            }
        }
        // Counted in llama.cpp's own table.
        assert_eq!(counts, [136_726, 1_831, 842, 25], "letters, numbers, punctuation, white space");
    }
}
