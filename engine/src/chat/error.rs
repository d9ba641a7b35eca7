//! Why a conversation does not become a prompt. Text of templates is shown escaped.

use crate::gguf::GgufError;
use crate::tokenizer::TokenizerError;

/// Each way that a chat template can fail.
#[derive(Debug, thiserror::Error)]
pub enum ChatError {
    /// The file has no template.
    #[error(
        "the model file has no chat template (metadata key '{key}'); it may be no chat model: name a \
         template of your own, or continue plain text instead",
        key = super::METADATA_KEY
    )]
    Missing,
    /// The file's template is no text.
    #[error(transparent)]
    Key(#[from] GgufError),
    /// No template is that long.
    #[error("the chat template has {bytes} bytes; at most {limit} are read")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The most that is read.
        limit: usize,
    },
    /// It cannot be parsed.
    #[error("line {line} of the chat template cannot be parsed: {why}")]
    Syntax {
        /// Counted from 1.
        line: usize,
        /// What is wrong, escaped.
        why: String,
    },
    /// It called `raise_exception`: it refuses this conversation.
    #[error("the chat template refuses this conversation: {0}")]
    Raised(String),
    /// It used a value that is not there.
    #[error("line {line} of the chat template uses what is not defined: {why}")]
    Undefined {
        /// Counted from 1.
        line: usize,
        /// What is missing, escaped.
        why: String,
    },
    /// It computes too long, or makes too much.
    #[error(
        "the chat template takes more than {fuel} steps, or 64 times as many bytes; it is damaged or \
         made to harm"
    )]
    OutOfFuel {
        /// Steps that it may take.
        fuel: u64,
    },
    /// Its text is longer than any prompt.
    #[error("the chat template makes a text of more than {limit} bytes")]
    OutputTooLong {
        /// The most that is taken.
        limit: usize,
    },
    /// Anything else that went wrong while it ran.
    #[error("line {line} of the chat template fails: {why}")]
    Failed {
        /// Counted from 1.
        line: usize,
        /// What is wrong, escaped.
        why: String,
    },
    /// It cannot be stopped: its thread runs on, and takes memory, until the process ends. Whoever
    /// gets this should end it.
    #[error("the chat template {0} and cannot be stopped; it is damaged or made to harm")]
    Runaway(String),
    /// The template engine panicked.
    #[error("the template engine panics over this chat template; it is damaged or made to harm")]
    Panicked,
    /// The system has no thread to run it on.
    #[error("cannot start a thread for the chat template: {0}")]
    Thread(std::io::Error),
    /// A message holds characters that mark text for the tokenizer.
    #[error(
        "a message holds the noncharacter U+{0:04X}, which no text needs and which marks text for the \
         tokenizer; remove it"
    )]
    Marked(u32),
    /// The text cannot be made of the vocabulary's tokens.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
}
