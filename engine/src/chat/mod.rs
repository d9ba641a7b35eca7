//! Chat templates: a conversation becomes the text and the ids that the model was trained on.
//!
//! The template is the file's own or one that the caller names; none is ever put in the place of one
//! that is missing or broken. It computes nothing and keeps no conversation.

mod contained;
mod content;
mod error;
mod formats;
mod generation_tag;
mod json;
mod strftime;
mod template;

use serde::Serialize;

pub use error::ChatError;
pub use formats::{FORMATS, Format};
pub use strftime::strftime;
pub use template::{ChatTemplate, METADATA_KEY, Prompt};

/// Who says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions before the conversation.
    System,
    /// The one who asks.
    User,
    /// The model.
    Assistant,
}

impl Role {
    /// Its name in templates.
    pub fn name(self) -> &'static str {
        match self {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
        }
    }
}

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// What is said.
    pub content: String,
}
