//! From a prompt to text: prefill, sampling, stop conditions, events; every step with its measured
//! time. It prints nothing, and knows no flags and no chat.

mod generation;
mod stop;

use std::io;

pub use generation::Generation;
pub use stop::{StopError, StopStrings};

use crate::sample::SampleError;
use crate::session::SessionError;
use crate::tokenizer::TokenizerError;

/// When a generation ends, apart from a full context and an interrupt.
#[derive(Debug, Clone, Default)]
pub struct Stops {
    /// Tokens to generate at most; none for no limit.
    pub limit: Option<usize>,
    /// Texts that end the text before them.
    pub strings: StopStrings,
    /// Ids that end the text before them.
    pub ids: Vec<u32>,
    /// Take the vocabulary's end-of-generation ids for ordinary ones. The sampler chooses them all
    /// the same, unless it is told to [ban](crate::sample::Sampler::ban) them.
    pub ignore_end_of_generation: bool,
}

/// Why a generation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// As many tokens as were asked for.
    Length,
    /// The model ended it with this id, which is not part of the text.
    EndOfGeneration(u32),
    /// One of [`Stops::ids`], which is not part of the text.
    StopId(u32),
    /// One of [`Stops::strings`], which is not part of the text.
    StopString(String),
    /// The next token has no place in the context.
    ContextFull,
    /// The interrupt was raised.
    Interrupted,
}

impl End {
    /// Its name in JSON.
    pub fn name(&self) -> &'static str {
        match self {
            End::Length => "length",
            End::EndOfGeneration(_) => "end-of-generation",
            End::StopId(_) => "stop-id",
            End::StopString(_) => "stop-string",
            End::ContextFull => "context-full",
            End::Interrupted => "interrupted",
        }
    }
}

/// What happens while a text is generated. All `text`, put together, is the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// A token became part of the sequence.
    Token {
        /// The token.
        id: u32,
        /// What is certain of the text since the last event: whole characters, perhaps none.
        text: &'a str,
    },
    /// The text has ended, and this was still held back.
    Rest {
        /// The end of the text.
        text: &'a str,
    },
}

/// Why a generation broke off. What was generated before stays readable.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// The prompt cannot be computed, or the system refused memory.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The model's logits allow no choice.
    #[error(
        "token {token} of the text cannot be chosen: {source}; unless options ban ids, the model file \
         is damaged: fetch it again"
    )]
    Sample {
        /// Which one, from 1.
        token: usize,
        /// What is wrong with them.
        source: SampleError,
    },
    /// The sampler chose an id that has no text: the vocabulary is smaller than the model's head.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// Whoever takes the events could not.
    #[error("the text cannot be given out: {0}")]
    Output(#[from] io::Error),
}
