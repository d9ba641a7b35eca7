//! `bitnet chat`: a conversation, line by line. The template is the model's own or one that is named;
//! what does not fit the context is said, never cut.

mod commands;
mod conversation;
mod input;

use std::io;
use std::time::SystemTime;

use bitnet_engine::chat::{ChatError, ChatTemplate, FORMATS, Format as ChatFormat};
use bitnet_engine::escape;
use bitnet_engine::exit::Exit;
use bitnet_engine::model::Model;
use clap::Args;

use super::format::Format;
use super::model_args::ModelArgs;
use super::sampling_args::{Limit, SamplingArgs, n_predict};
use super::signals::Signals;
use super::terminal::Terminal;
use super::{load, output};
use commands::Command;
use conversation::{Conversation, Failure};
use input::{Input, Line};

/// Bytes of the longest template file; the library takes fewer.
const MAX_TEMPLATE: u64 = 2 << 20;

/// Flags of `bitnet chat`.
#[derive(Debug, Args)]
pub(crate) struct ChatArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// Instructions before the conversation
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    system: Option<String>,
    /// Chat template in the place of the model's own: a file, or one of bitnet, chatml, llama3
    /// (`./bitnet` is a file)
    #[arg(long, value_name = "FILE|NAME")]
    template: Option<String>,
    /// Tokens of an answer at most; -1 goes on to its end or that of the context
    #[arg(short, long, value_name = "N", default_value = "-1", allow_negative_numbers = true,
        value_parser = n_predict)]
    n_predict: Limit,
    /// How to print: the answers alone, or a line for each turn, token and end
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    sampling: SamplingArgs,
}

/// Executes the verb.
pub(crate) fn execute(args: &ChatArgs, terminal: &Terminal) -> Exit {
    run(args, terminal).unwrap_or_else(|exit| exit)
}

fn run(args: &ChatArgs, terminal: &Terminal) -> Result<Exit, Exit> {
    let settings = args.sampling.settle(args.n_predict, terminal)?;
    let named = args.template.as_deref().map(|name| named(name, terminal)).transpose()?;
    let signals = Signals::install(terminal)?;
    let model = load::model(&args.model, terminal)?.model;
    let template = template(named.as_deref(), &model).map_err(|error| {
        terminal.error(&error);
        terminal.note(advice());
        Exit::Usage
    })?;
    let usage = |why: String| {
        terminal.error(why);
        Exit::Usage
    };
    let sampler = settings.sampler(&model).map_err(usage)?;
    let session = load::session(&model, &args.model, terminal)?;
    let mut input = Input::new(args.format, terminal);
    if input.is_interactive() {
        terminal.note("/help lists the commands; Ctrl-C stops an answer, Ctrl-D leaves");
    }
    settings.announce(terminal);
    let mut chat = Conversation::new(
        &model,
        session,
        template,
        sampler,
        settings,
        args.format,
        args.system.clone(),
    );
    converse(&mut chat, &mut input, &signals, terminal)
}

/// Line after line, until one of the ways to leave.
fn converse(
    chat: &mut Conversation<'_>,
    input: &mut Input,
    signals: &Signals,
    terminal: &Terminal,
) -> Result<Exit, Exit> {
    let mut interrupts = 0;
    loop {
        // A signal while the model was loading, or behind the last token of an answer.
        if let Some(exit) = signals.received() {
            return Ok(exit);
        }
        let line = match signals.idle(|| input.next(terminal))? {
            Line::Text(line) => line,
            Line::End => return Ok(Exit::Ok),
            Line::Interrupted if interrupts == 0 => {
                interrupts += 1;
                terminal.note("Ctrl-C again, or Ctrl-D, leaves");
                continue;
            }
            Line::Interrupted => return Ok(Exit::Interrupted),
        };
        interrupts = 0;
        let done = match Command::parse(&line) {
            Ok(Command::Exit) => return Ok(Exit::Ok),
            Ok(command) => commands::execute(&command, chat, signals, terminal),
            Err(why) => Err(Failure::refused(why)),
        };
        if let Some(exit) = signals.received() {
            // At a terminal a Ctrl-C has only stopped the answer.
            if exit == Exit::Terminated || !input.is_interactive() {
                return Ok(exit);
            }
            signals.forget();
        }
        match done {
            Ok(()) => {}
            // A script that goes on would talk about something else.
            Err(Failure { why: Some(why), exit, ends }) => {
                terminal.error(why);
                if ends || !input.is_interactive() {
                    return Ok(exit);
                }
            }
            Err(Failure { exit, .. }) => return Ok(exit),
        }
    }
}

/// The source of a template that was named: a format's, or a file's.
fn named(name: &str, terminal: &Terminal) -> Result<String, Exit> {
    if let Some(format) = ChatFormat::named(name) {
        return Ok(format.template.to_owned());
    }
    let read = || -> io::Result<String> {
        if std::fs::metadata(name)?.len() > MAX_TEMPLATE {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        std::fs::read_to_string(name)
    };
    read().map_err(|error| {
        terminal.error(format_args!(
            "cannot read the chat template '{}': {error}; it is a file, or one of {}",
            escape::text(name),
            names()
        ));
        Exit::Usage
    })
}

fn template(named: Option<&str>, model: &Model) -> Result<ChatTemplate, ChatError> {
    let now = SystemTime::now();
    match named {
        Some(source) => ChatTemplate::new(source, now),
        None => ChatTemplate::from_metadata(model.file().metadata(), now),
    }
}

fn names() -> String {
    FORMATS.iter().map(|format| format.name).collect::<Vec<_>>().join(", ")
}

fn advice() -> String {
    let formats = FORMATS.iter().map(|format| format!("\n  {:<8} {}", format.name, format.about));
    let formats: String = formats.collect();
    format!("--template names another: a file, or the format the model was trained on:{formats}")
}

/// How a failed write to standard output ends a chat.
fn not_given(error: &io::Error, terminal: &Terminal) -> Failure {
    Failure::ending(output::ended(terminal, Err(error.kind().into())))
}
