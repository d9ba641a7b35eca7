//! A compiled chat template, and what it makes of a conversation.
//!
//! It runs with limits on its length, its steps, its data and its output, reaches no file and no
//! clock of its own, and fails rather than leave out what is not defined.

use std::error::Error as _;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Value;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, context};
use minijinja_contrib::pycompat::unknown_method_callback;

use super::contained::{Uncontained, contained};
use super::generation_tag;
use super::json::tojson;
use super::strftime::strftime;
use super::{ChatError, Message, content};
use crate::escape;
use crate::gguf::Metadata;
use crate::tokenizer::Tokenizer;

/// Where a GGUF file keeps its template.
pub const METADATA_KEY: &str = "tokenizer.chat_template";

/// Bytes of the longest template that is read.
const MAX_TEMPLATE: usize = 1 << 20;
/// Steps of one rendering; minijinja counts 64 bytes of data as one as well.
const FUEL: u64 = 2_000_000;
/// Bytes of the longest text that is taken.
const MAX_OUTPUT: usize = 16 << 20;
/// The only template of its environment.
const NAME: &str = "chat";

/// What a conversation became.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// The template's text.
    pub text: String,
    /// Its ids, with the BOS that the vocabulary asks for where the template wrote none.
    pub ids: Vec<u32>,
}

/// A template that can be parsed.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Arc<Environment<'static>>,
}

/// What `raise_exception` was called with.
#[derive(Debug)]
struct Raised(String);

impl fmt::Display for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Raised {}

impl ChatTemplate {
    /// The template of a model file. `now` is the time that templates are told.
    ///
    /// # Errors
    /// If there is none, or as for [`ChatTemplate::new`].
    pub fn from_metadata(metadata: &Metadata, now: SystemTime) -> Result<Self, ChatError> {
        let source = metadata.optional::<&str>(METADATA_KEY)?.ok_or(ChatError::Missing)?;
        Self::new(source, now)
    }

    /// Compiles a template. `now` is the time that templates are told.
    ///
    /// # Errors
    /// If it is too long or cannot be parsed.
    pub fn new(source: &str, now: SystemTime) -> Result<Self, ChatError> {
        if source.len() > MAX_TEMPLATE {
            return Err(ChatError::TooLong { bytes: source.len(), limit: MAX_TEMPLATE });
        }
        let mut environment = Environment::new();
        // As transformers' `apply_chat_template` sets up Jinja.
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|error| failure(&error))?);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
        environment.set_unknown_method_callback(unknown_method_callback);
        environment.set_fuel(Some(FUEL));
        // Errors then name the variable that is not defined.
        environment.set_debug(true);
        environment.add_filter("tojson", tojson);
        environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
            let raised = Error::new(ErrorKind::InvalidOperation, "raise_exception was called");
            Err(raised.with_source(Raised(message)))
        });
        environment.add_function("strftime_now", move |format: String| {
            strftime(&format, now).map_err(|why| Error::new(ErrorKind::InvalidOperation, why))
        });
        let source = generation_tag::as_with(source);
        environment.add_template_owned(NAME, source).map_err(|error| failure(&error))?;
        Ok(Self { environment: Arc::new(environment) })
    }

    /// What the template makes of `messages`, and where `add_generation_prompt` is set, of the
    /// beginning of the answer.
    ///
    /// # Errors
    /// If the template refuses the messages, uses what is not defined, exceeds its limits or fails
    /// otherwise, or the vocabulary cannot express its text.
    pub fn prompt(
        &self,
        tokenizer: &Tokenizer,
        messages: &[Message],
        add_generation_prompt: bool,
    ) -> Result<Prompt, ChatError> {
        let controls = content::controls(tokenizer);
        let marked: Vec<Value> = messages
            .iter()
            .map(|message| {
                let content = content::marked(message, &controls)?;
                Ok(context! { role => message.role.name(), content })
            })
            .collect::<Result<_, ChatError>>()?;
        // A vocabulary without one has nothing to put there, which is no fault of the template.
        let text_of = |id: Option<u32>| {
            let piece = id.and_then(|id| tokenizer.piece(id).ok()).unwrap_or_default();
            String::from_utf8_lossy(piece).into_owned()
        };
        let values = context! {
            messages => marked,
            add_generation_prompt,
            bos_token => text_of(tokenizer.bos()),
            eos_token => text_of(tokenizer.eos()),
            tools => (),
            documents => (),
        };
        let (text, mut ids) = content::encode(tokenizer, &self.render(values)?)?;
        if let Some(bos) = tokenizer.bos().filter(|_| tokenizer.adds_bos())
            && ids.first() != Some(&bos)
        {
            ids.insert(0, bos);
        }
        Ok(Prompt { text, ids })
    }

    fn render(&self, values: Value) -> Result<String, ChatError> {
        let environment = Arc::clone(&self.environment);
        let rendered = contained(move || {
            let render = || -> Result<String, Error> {
                let mut out = Capped(Vec::new());
                environment.get_template(NAME)?.render_captured_to(values, &mut out)?;
                Ok(String::from_utf8_lossy(&out.0).into_owned())
            };
            // Here, because errors hold values, which only this thread has the stack to drop.
            render().map_err(|error| failure(&error))
        });
        rendered.unwrap_or_else(|how| {
            Err(match how {
                Uncontained::Runaway(how) => ChatError::Runaway(how),
                Uncontained::Thread(error) => ChatError::Thread(error),
                Uncontained::Panicked => ChatError::Panicked,
            })
        })
    }
}

/// Takes up to [`MAX_OUTPUT`] bytes.
struct Capped(Vec<u8>);

impl std::io::Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_OUTPUT {
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What an error of the template engine means.
fn failure(error: &Error) -> ChatError {
    let line = error.line().unwrap_or(0);
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(Raised(message)) = cause.downcast_ref() {
            return ChatError::Raised(escape::text(message));
        }
        source = cause.source();
    }
    let why = || escape::text(error.detail().unwrap_or(&error.kind().to_string()));
    match error.kind() {
        ErrorKind::SyntaxError => ChatError::Syntax { line, why: why() },
        ErrorKind::OutOfFuel => ChatError::OutOfFuel { fuel: FUEL },
        ErrorKind::UndefinedError => ChatError::Undefined { line, why: why() },
        ErrorKind::WriteFailure => ChatError::OutputTooLong { limit: MAX_OUTPUT },
        kind => match error.detail() {
            Some(_) => ChatError::Failed { line, why: format!("{kind}: {}", why()) },
            None => ChatError::Failed { line, why: why() },
        },
    }
}
