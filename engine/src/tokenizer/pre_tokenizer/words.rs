//! The expressions that tile a text with words, as functions that tell how long the next word is.
//!
//! Every one of them matches at any place of any text, so that nothing lies between.

use super::cut::prefix;
use super::stage::{is_letter, is_number, is_whitespace};
use crate::tokenizer::unicode::Class;

/// `'s|'t|'re|'ve|'m|'ll|'d`, given how a letter is read.
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

/// ` ?[^\s\p{L}\p{N}]+[ends]*|\s*[\r\n]+|\s+(?!\S)|\s+`, where no letter and no number comes first.
fn symbols_or_spaces(text: &str, is_end: impl Fn(char) -> bool) -> usize {
    let body = text.strip_prefix(' ').unwrap_or(text);
    let symbols = prefix(body, |c| Class::of(c).is_symbolic());
    if symbols > 0 {
        return text.len() - body.len() + symbols + prefix(&body[symbols..], is_end);
    }
    let white = &text[..prefix(text, is_whitespace)];
    match white.rfind(['\r', '\n']) {
        Some(line_end) => line_end + 1,
        None => spaces(text),
    }
}

/// `\p{N}{1,most}`
fn numbers(text: &str, most: usize) -> usize {
    text.chars().take_while(|&c| is_number(c)).take(most).map(char::len_utf8).sum()
}

/// Bytes of the character that `[^\r\n\p{L}\p{N}]?` takes before a letter, 0 if none; none at all
/// if no letter follows.
fn before_letters(text: &str) -> Option<usize> {
    let mut chars = text.chars();
    let first = chars.next()?;
    match Class::of(first) {
        Class::Letter => Some(0),
        Class::Number => None,
        _ if matches!(first, '\r' | '\n') => None,
        _ => chars.next().is_some_and(is_letter).then_some(first.len_utf8()),
    }
}

/// The next word of [`Stage::Gpt2`](super::stage::Stage::Gpt2).
pub(super) fn gpt2(text: &str) -> usize {
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

/// The next word of [`Stage::Llama3`](super::stage::Stage::Llama3), whose numbers have at most
/// `most_digits` characters.
pub(super) fn llama3(text: &str, most_digits: usize) -> usize {
    if let Some(len) = contraction(text, |b| b.to_ascii_lowercase()) {
        return len;
    }
    if let Some(before) = before_letters(text) {
        return before + prefix(&text[before..], is_letter);
    }
    match numbers(text, most_digits) {
        0 => symbols_or_spaces(text, |c| matches!(c, '\r' | '\n')),
        digits => digits,
    }
}

/// The next word of [`Stage::Tekken`](super::stage::Stage::Tekken).
pub(super) fn tekken(text: &str) -> usize {
    if let Some(before) = before_letters(text) {
        return before + cased(&text[before..]);
    }
    match numbers(text, 1) {
        0 => symbols_or_spaces(text, |c| matches!(c, '\r' | '\n' | '/')),
        digits => digits,
    }
}

/// `U*L+|U+L*`, where U is a letter outside `a-z` and L one outside `A-Z`, for a text that begins
/// with a letter. A letter beyond ASCII is both.
fn cased(text: &str) -> usize {
    let upper = prefix(text, |c| is_letter(c) && !c.is_ascii_lowercase());
    let lower = prefix(&text[upper..], |c| is_letter(c) && !c.is_ascii_uppercase());
    if lower > 0 {
        return upper + lower;
    }
    // The first alternative gives characters of U* back until one of them is an L; what comes after
    // the last of those is in capitals.
    text[..upper]
        .rfind(|c: char| !c.is_ascii())
        .map_or(upper, |last| last + text[last..].chars().next().map_or(0, char::len_utf8))
}
