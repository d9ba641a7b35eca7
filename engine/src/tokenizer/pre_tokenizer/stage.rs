//! The steps of which the rules are made: one regular expression each, and the pieces between its
//! matches; it knows no names.

use super::cased::is_cased;
use super::cut::{matches, runs, singles, spaced_runs, tail, tile};
use super::words;
use crate::tokenizer::unicode::Class;

/// One expression.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stage {
    /// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
    Gpt2,
    /// `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|`
    /// ` ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
    Llama3,
    /// The same with `\p{N}`
    Qwen2,
    /// `[^\r\n\p{L}\p{N}]?((?=[\p{L}])([^a-z]))*((?=[\p{L}])([^A-Z]))+|`
    /// `[^\r\n\p{L}\p{N}]?((?=[\p{L}])([^a-z]))+((?=[\p{L}])([^A-Z]))*|`
    /// `\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`
    Tekken,
    /// `[\p{P}\$\+<=>\^~\|]+`
    Punctuation,
    /// ``[\p{P}\$\+<=>\^~\|`]+``
    PunctuationOrBacktick,
    /// ``[\p{P}!-/:-@\[-`{-~]``
    PunctuationMark,
    /// `\p{N}+`
    Numbers,
    /// `\p{N}`
    Number,
    /// `[0-9][0-9][0-9]`
    ThreeDigits,
    /// `[0-9]`
    Digit,
    /// `[\r\n]`
    LineBreak,
    /// `\s?\p{L}+`
    SpacedLetters,
    /// `\s?[…]+` with the letters that have a case, see [`is_cased`]
    SpacedCasedLetters,
    /// `\s?\p{P}+`
    SpacedPunctuation,
    /// `\s?[!-/:-~！-／：-～‘-‟　-。]+`
    SpacedSigns,
    /// ` ?[^(\s|.,!?…。，、।۔،)]+`
    SpacedClauses,
    /// `\s+$`
    TrailingSpaces,
    /// `[一-龥ࠀ-一가-퟿]+`
    Cjk,
    /// `<sentinel:[0-9]+>`
    Sentinel,
    /// `(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z`
    ImageToken,
    /// `([\t\n]|    |  )`
    Indent,
}

impl Stage {
    /// Appends the pieces of a text.
    pub(super) fn split<'t>(self, text: &'t str, out: &mut Vec<&'t str>) {
        match self {
            Self::Gpt2 => tile(text, words::gpt2, out),
            Self::Llama3 => tile(text, |rest| words::llama3(rest, 3), out),
            Self::Qwen2 => tile(text, |rest| words::llama3(rest, 1), out),
            Self::Tekken => tile(text, words::tekken, out),
            Self::Punctuation => runs(text, is_punctuation, out),
            Self::PunctuationOrBacktick => runs(text, |c| c == '`' || is_punctuation(c), out),
            Self::PunctuationMark => singles(text, is_mark, out),
            Self::Numbers => runs(text, is_number, out),
            Self::Number => singles(text, is_number, out),
            Self::ThreeDigits => matches(text, three_digits, out),
            Self::Digit => singles(text, |c| c.is_ascii_digit(), out),
            Self::LineBreak => singles(text, |c| matches!(c, '\r' | '\n'), out),
            Self::SpacedLetters => spaced_runs(text, is_whitespace, is_letter, out),
            Self::SpacedCasedLetters => spaced_runs(text, is_whitespace, is_cased, out),
            Self::SpacedPunctuation => {
                spaced_runs(text, is_whitespace, |c| Class::of(c) == Class::Punctuation, out);
            }
            Self::SpacedSigns => spaced_runs(text, is_whitespace, is_sign, out),
            Self::SpacedClauses => spaced_runs(text, |c| c == ' ', is_in_clause, out),
            Self::TrailingSpaces => tail(text, is_whitespace, out),
            Self::Cjk => runs(text, is_cjk, out),
            Self::Sentinel => matches(text, sentinel, out),
            Self::ImageToken => matches(text, image_token, out),
            Self::Indent => matches(text, indent, out),
        }
    }
}

pub(super) fn is_letter(c: char) -> bool {
    Class::of(c) == Class::Letter
}

pub(super) fn is_number(c: char) -> bool {
    Class::of(c) == Class::Number
}

pub(super) fn is_whitespace(c: char) -> bool {
    Class::of(c) == Class::Whitespace
}

fn is_punctuation(c: char) -> bool {
    matches!(c, '$' | '+' | '<' | '=' | '>' | '^' | '~' | '|') || Class::of(c) == Class::Punctuation
}

fn is_mark(c: char) -> bool {
    c.is_ascii_punctuation() || Class::of(c) == Class::Punctuation
}

/// The class in the expression spans a few space characters, but llama.cpp has replaced those by a
/// vertical tab before it matches.
fn is_cjk(c: char) -> bool {
    matches!(c, '\u{800}'..='\u{9FA5}' | '\u{AC00}'..='\u{D7FF}') && !is_whitespace(c)
}

/// As with [`is_cjk`], the ideographic space is in the class and never matches.
fn is_sign(c: char) -> bool {
    matches!(
        c,
        '!'..='/' | ':'..='~' | '！'..='／' | '：'..='～' | '‘'..='‟' | '\u{3001}' | '\u{3002}'
    )
}

fn is_in_clause(c: char) -> bool {
    let ends = matches!(
        c,
        '(' | '|' | '.' | ',' | '!' | '?' | '…' | '。' | '，' | '、' | '।' | '۔' | '،' | ')'
    );
    !ends && !is_whitespace(c)
}

fn three_digits(rest: &[u8]) -> usize {
    let digits = rest.iter().take_while(|b| b.is_ascii_digit()).take(3).count();
    if digits == 3 { 3 } else { 0 }
}

fn image_token(rest: &[u8]) -> usize {
    let Some(body) = rest.strip_prefix(b"IMGIMG") else { return 0 };
    let letters = body.iter().take_while(|b| matches!(b, b'A'..=b'I')).take(5).count();
    match (letters, body.get(letters)) {
        (1..=4, Some(b'Z')) => 6 + letters + 1,
        _ => 0,
    }
}

fn indent(rest: &[u8]) -> usize {
    match rest {
        [b'\t' | b'\n', ..] => 1,
        [b' ', b' ', b' ', b' ', ..] => 4,
        [b' ', b' ', ..] => 2,
        _ => 0,
    }
}

/// It looks past a bounded part of the rest, but at no digit twice: a match begins with `<`.
fn sentinel(rest: &[u8]) -> usize {
    let Some(body) = rest.strip_prefix(b"<sentinel:") else { return 0 };
    let digits = body.iter().take_while(|b| b.is_ascii_digit()).count();
    match (digits, body.get(digits)) {
        (1.., Some(b'>')) => 10 + digits + 1,
        _ => 0,
    }
}
