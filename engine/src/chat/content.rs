//! What people write is text, whatever it looks like: `<|eot_id|>` in a message ends no turn.
//!
//! Texts of control tokens in a message are put between two noncharacters before the template runs,
//! and what comes back between those is encoded as ordinary text. What templates and models say is
//! not marked.

use super::{ChatError, Message, Role};
use crate::tokenizer::{TokenType, Tokenizer, TokenizerError};

/// Unicode never assigns these to a character, and no template trims them.
const BEGIN: char = '\u{fdd0}';
const END: char = '\u{fdd1}';

/// A message of a person with its control texts marked; one of the model as it is.
///
/// # Errors
/// [`ChatError::Marked`] if the message holds the marks itself.
pub(super) fn marked(message: &Message, controls: &[&str]) -> Result<String, ChatError> {
    let content = message.content.as_str();
    if let Some(mark) = content.chars().find(|c| matches!(*c, BEGIN | END)) {
        return Err(ChatError::Marked(mark.into()));
    }
    if message.role == Role::Assistant {
        return Ok(content.to_owned());
    }
    let mut out = String::with_capacity(content.len());
    let mut rest = content;
    // The first one, and of several that begin there the longest.
    let next = |text: &str| {
        let found = controls.iter().filter_map(|control| Some((text.find(control)?, *control)));
        found.min_by_key(|(at, control)| (*at, usize::MAX - control.len()))
    };
    while let Some((at, control)) = next(rest) {
        out.push_str(&rest[..at]);
        out.push(BEGIN);
        out.push_str(control);
        out.push(END);
        rest = &rest[at + control.len()..];
    }
    out.push_str(rest);
    Ok(out)
}

/// The texts that a tokenizer reads as control tokens.
pub(super) fn controls(tokenizer: &Tokenizer) -> Vec<&str> {
    let ids = 0..u32::try_from(tokenizer.vocab_size()).unwrap_or(u32::MAX);
    let is_control =
        |id: &u32| matches!(tokenizer.token_type(*id), Ok(TokenType::Control | TokenType::Unknown));
    let text = |id| std::str::from_utf8(tokenizer.piece(id).ok()?).ok();
    ids.filter(is_control).filter_map(text).filter(|text| !text.is_empty()).collect()
}

/// The text without its marks, and its ids: what is not between marks is parsed for control tokens.
///
/// # Errors
/// As for [`Tokenizer::encode`].
pub(super) fn encode(
    tokenizer: &Tokenizer,
    text: &str,
) -> Result<(String, Vec<u32>), TokenizerError> {
    let mut ids = Vec::new();
    let mut plain = String::with_capacity(text.len());
    for (index, part) in text.split([BEGIN, END]).enumerate() {
        // Parts between marks are every second one: marks come in pairs and are never nested.
        ids.extend(tokenizer.encode(part, false, index % 2 == 0)?);
        plain.push_str(part);
    }
    Ok((plain, ids))
}
