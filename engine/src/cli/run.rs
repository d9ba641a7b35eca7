//! `bitnet run`: continues a text once. It keeps no conversation; `bitnet chat` does.

use std::io;
use std::path::PathBuf;
use std::time::{Instant, SystemTime};

use bitnet_engine::exit::Exit;
use bitnet_engine::generate::{End, Event, GenerateError, Generation};
use bitnet_engine::model::Model;
use bitnet_engine::session::{Session, SessionError};
use clap::Args;
use serde::Serialize;

use super::format::Format;
use super::giving::{self, Giving};
use super::load::{self, Loaded};
use super::model_args::ModelArgs;
use super::output;
use super::receipt::{self, Receipt, Status};
use super::sampling_args::{Limit, SamplingArgs, Settings, n_predict};
use super::signals::Signals;
use super::terminal::Terminal;
use super::text_args::{self, EncodeArgs, TextArgs};
use super::timings::Timings;

/// Flags of `bitnet run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    text: TextArgs,
    /// Token ids instead of a text, as 1,2,3; `-` reads them from standard input
    #[arg(long, value_name = "IDS", conflicts_with_all = ["prompt", "file"],
        conflicts_with_all = EncodeArgs::FLAGS)]
    prompt_tokens: Option<String>,
    #[command(flatten)]
    encode: EncodeArgs,
    /// Tokens to generate at most; -1 goes on to the end of the text or of the context
    #[arg(short, long, value_name = "N", default_value = "128", allow_negative_numbers = true,
        value_parser = n_predict)]
    n_predict: Limit,
    /// Write a receipt of the run: JSON with ids, options, measured times and the machine
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
    /// How to print: the text alone, or a line for the start, each token and the end
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    sampling: SamplingArgs,
}

#[derive(Serialize)]
struct Start<'a> {
    event: &'static str,
    model: String,
    architecture: &'a str,
    prompt_ids: &'a [u32],
    options: &'a Settings,
}

/// Executes the verb.
pub(crate) fn execute(args: &RunArgs, terminal: &Terminal) -> Exit {
    run(args, terminal).unwrap_or_else(|exit| exit)
}

fn run(args: &RunArgs, terminal: &Terminal) -> Result<Exit, Exit> {
    let settings = args.sampling.settle(args.n_predict, terminal)?;
    let file = match &args.receipt {
        Some(path) => Some(receipt::create(path, &args.model.file.path, terminal)?),
        None => None,
    };
    let given = match &args.prompt_tokens {
        Some(list) => Given::Ids(text_args::ids(list, terminal)?),
        None => Given::Text(args.text.read(terminal)?),
    };
    // From here on a signal ends the run in order. Reading a prompt has nothing to put in order.
    let signals = Signals::install(terminal)?;
    let (start, started) = (Instant::now(), SystemTime::now());
    let loaded = load::model(&args.model, terminal)?;
    let model = &loaded.model;
    let mut receipt = Receipt::begin(model, args.model.threads().get(), &settings, started);
    let work = Work { args, terminal, settings: &settings, signals: &signals, start };
    let outcome = work.generate(&loaded, &given, &mut receipt);
    let (exit, status, error) = match outcome {
        Ok(End::Interrupted) => {
            (signals.received().unwrap_or(Exit::Interrupted), Status::Interrupted, None)
        }
        Ok(_) => (Exit::Ok, Status::Complete, None),
        // A reader that has gone wants no more: that is no failure.
        Err(Failure { exit: Exit::Ok, why }) => (Exit::Ok, Status::Interrupted, Some(why)),
        Err(Failure { exit, why }) => (exit, Status::Failed, Some(why)),
    };
    if let Some(file) = file {
        receipt.digest(model);
        receipt.write(status, error, file, terminal)?;
    }
    Ok(exit)
}

enum Given {
    Text(String),
    Ids(Vec<u32>),
}

/// Why there is no whole text; printed already.
struct Failure {
    exit: Exit,
    why: String,
}

/// One run, when the model is there.
struct Work<'a> {
    args: &'a RunArgs,
    terminal: &'a Terminal,
    settings: &'a Settings,
    signals: &'a Signals,
    start: Instant,
}

impl Work<'_> {
    fn generate(
        &self,
        loaded: &Loaded,
        given: &Given,
        receipt: &mut Receipt,
    ) -> Result<End, Failure> {
        let (args, model) = (self.args, &loaded.model);
        let (text, ids) = match given {
            Given::Ids(ids) => (None, ids.clone()),
            Given::Text(text) => {
                let ids = args.encode.encode(model.tokenizer(), text, self.terminal);
                let why = || "the vocabulary cannot express the prompt".to_owned();
                (Some(text.as_str()), ids.map_err(|exit| Failure { exit, why: why() })?)
            }
        };
        receipt.prompt(text, &ids);
        if ids.is_empty() {
            let why = "the prompt is empty and gives no token; give at least one character or id";
            return Err(self.told(Exit::Usage, why.to_owned()));
        }
        let usage = |why| self.told(Exit::Usage, why);
        let mut sampler = self.settings.sampler(model).map_err(usage)?;
        let stops = self.settings.stops().map_err(usage)?;
        let context = args.model.context(model.config());
        let (threads, options) = (args.model.threads(), args.model.session_options());
        let mut session = Session::with_options(model, context, threads, options)
            .map_err(|error| self.not_computed(&error))?;
        receipt.session(&session);
        self.settings.announce(self.terminal);

        let mut giving = Giving::new(args.format);
        let start = Start {
            event: "start",
            model: file_name(model),
            architecture: model.config().architecture,
            prompt_ids: &ids,
            options: self.settings,
        };
        giving.object(&start).map_err(|error| self.not_given(&error))?;
        let mut generation = Generation::new(model.tokenizer(), stops);
        let stop = self.signals.stop();
        let mut give = |event: Event<'_>| giving.event(event);
        let result = generation.run(&mut session, &mut sampler, &ids, stop, &mut give);
        let timings = Timings::of(&generation, Some(loaded.time), self.start);
        let end = result.as_ref().ok();
        receipt.generated(&session, &generation, end, &timings);

        let gone = matches!(&result, Err(GenerateError::Output(_)));
        let error = result.as_ref().err().map(ToString::to_string);
        let tokens = generation.ids().len();
        let ended = match gone {
            true => Ok(()),
            false => giving.end(end, error.as_deref(), &timings, tokens),
        };
        if let Some(end) = end {
            self.terminal.note(giving::why(end, tokens));
        }
        if args.format == Format::Text {
            timings.lines().iter().for_each(|line| self.terminal.note(line));
        }
        let end = result.map_err(|error| self.failed(&error))?;
        ended.map_err(|error| self.not_given(&error))?;
        Ok(end)
    }

    fn failed(&self, error: &GenerateError) -> Failure {
        match error {
            GenerateError::Session(error) => self.not_computed(error),
            GenerateError::Output(error) => self.not_given(error),
            GenerateError::Sample { .. } | GenerateError::Tokenizer(_) => {
                self.told(Exit::CaseFailed, error.to_string())
            }
        }
    }

    fn not_computed(&self, error: &SessionError) -> Failure {
        Failure { exit: load::not_computed(error, self.terminal), why: error.to_string() }
    }

    fn not_given(&self, error: &io::Error) -> Failure {
        let why = format!("standard output cannot be written: {error}");
        Failure { exit: output::ended(self.terminal, Err(error.kind().into())), why }
    }

    fn told(&self, exit: Exit, why: String) -> Failure {
        self.terminal.error(&why);
        Failure { exit, why }
    }
}

fn file_name(model: &Model) -> String {
    let path = model.file().path();
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
