//! Detokenising one id at a time, giving out complete characters only; it never looks ahead.

use super::encoder::Tokenizer;
use super::error::TokenizerError;

/// Turns ids into text as they come.
///
/// All that [`StreamDecoder::push`] and [`StreamDecoder::finish`] give out, put together, is
/// `String::from_utf8_lossy` of [`Tokenizer::decode`] of all ids (apart from the first piece's space,
/// see [`StreamDecoder::continuing`]): bytes that can never become a
/// character come out as U+FFFD as soon as that is certain, the start of a character waits.
#[derive(Debug, Clone)]
pub struct StreamDecoder<'t> {
    tokenizer: &'t Tokenizer,
    /// Position of the text's first id: 0, or any other behind a text.
    first: usize,
    position: usize,
    /// The start of a character: at most three bytes between calls.
    pending: Vec<u8>,
    text: String,
}

impl<'t> StreamDecoder<'t> {
    /// Starts a text.
    pub fn new(tokenizer: &'t Tokenizer) -> Self {
        Self { tokenizer, first: 0, position: 0, pending: Vec::new(), text: String::new() }
    }

    /// Starts a text that follows another: the space that begins its first piece belongs to it.
    pub fn continuing(tokenizer: &'t Tokenizer) -> Self {
        Self { first: 1, position: 1, ..Self::new(tokenizer) }
    }

    /// Takes the next id and gives the text that is now complete, which may be empty.
    ///
    /// # Errors
    /// [`TokenizerError::UnknownId`]; the id is then left out, and the stream can go on.
    pub fn push(&mut self, id: u32) -> Result<&str, TokenizerError> {
        self.pending.extend_from_slice(self.tokenizer.piece_at(id, self.position)?);
        self.position += 1;
        self.text.clear();
        let mut waiting = 0;
        let mut chunks = self.pending.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            self.text.push_str(chunk.valid());
            let invalid = chunk.invalid();
            if chunks.peek().is_none() && is_start_of_character(invalid) {
                waiting = invalid.len();
            } else if !invalid.is_empty() {
                self.text.push(char::REPLACEMENT_CHARACTER);
            }
        }
        self.pending.drain(..self.pending.len() - waiting);
        Ok(&self.text)
    }

    /// Ends the text: U+FFFD if a character was left unfinished, else nothing. The decoder then
    /// starts anew.
    pub fn finish(&mut self) -> &str {
        self.position = self.first;
        self.text.clear();
        if !self.pending.is_empty() {
            self.text.push(char::REPLACEMENT_CHARACTER);
            self.pending.clear();
        }
        &self.text
    }
}

/// Whether more bytes could make this a character.
fn is_start_of_character(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}
