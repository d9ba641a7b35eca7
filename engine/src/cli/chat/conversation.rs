//! A conversation and its place in the KV cache: each turn renders all of it, keeps the positions
//! that are the same, and computes the rest.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Instant;

use bitnet_engine::chat::{ChatError, ChatTemplate, Message, Role};
use bitnet_engine::exit::Exit;
use bitnet_engine::generate::{End, Event, GenerateError, Generation};
use bitnet_engine::model::Model;
use bitnet_engine::sample::Sampler;
use bitnet_engine::session::Session;
use serde::Serialize;

use super::super::format::{Format, json_line};
use super::super::giving::{self, Giving};
use super::super::sampling_args::Settings;
use super::super::signals::Signals;
use super::super::terminal::Terminal;
use super::super::timings::{Rates, Timings};

/// Why a line was not answered, or not to its end.
#[derive(Debug)]
pub(super) struct Failure {
    /// What to print; none if it was printed.
    pub(super) why: Option<String>,
    /// How a chat ends that does not go on.
    pub(super) exit: Exit,
    /// It cannot go on.
    pub(super) ends: bool,
}

impl Failure {
    /// Nothing has changed; something else may be said.
    pub(super) fn refused(why: String) -> Self {
        Self { why: Some(why), exit: Exit::Usage, ends: false }
    }

    /// The chat ends, and why was printed.
    pub(super) fn ending(exit: Exit) -> Self {
        Self { why: None, exit, ends: true }
    }
}

/// The turns so far, and what the session holds of them.
pub(super) struct Conversation<'m> {
    model: &'m Arc<Model>,
    session: Session,
    template: ChatTemplate,
    sampler: Sampler,
    settings: Settings,
    format: Format,
    system: Option<String>,
    turns: Vec<Message>,
    /// The ids at the session's positions.
    held: Vec<u32>,
    last: Option<Last>,
}

/// What was measured of the last answer.
#[derive(Serialize)]
struct Last {
    timings: Timings,
    /// Positions of the prompt that were in the cache.
    reused: usize,
    /// Positions behind it.
    used: usize,
}

impl Last {
    fn rates(&self) -> Rates {
        self.timings.rates()
    }
}

#[derive(Serialize)]
struct Metrics<'a> {
    event: &'static str,
    context: usize,
    /// None before the first answer.
    last: Option<&'a Last>,
    rates: Option<Rates>,
}

#[derive(Serialize)]
struct Turn {
    event: &'static str,
    turn: usize,
    prompt_tokens: usize,
    /// Of these, positions that were in the cache.
    reused: usize,
    seed: u64,
}

impl<'m> Conversation<'m> {
    /// A conversation that has not begun.
    pub(super) fn new(
        model: &'m Arc<Model>,
        session: Session,
        template: ChatTemplate,
        sampler: Sampler,
        settings: Settings,
        format: Format,
        system: Option<String>,
    ) -> Self {
        Self {
            model,
            session,
            template,
            sampler,
            settings,
            format,
            system,
            turns: Vec::new(),
            held: Vec::new(),
            last: None,
        }
    }

    /// Forgets what was said. The cache keeps what the next conversation may begin with.
    pub(super) fn reset(&mut self) {
        self.turns.clear();
    }

    /// Other instructions, or none.
    pub(super) fn instruct(&mut self, system: Option<String>) {
        self.system = system;
    }

    /// Answers a text and gives the answer out. A text that cannot be answered is not kept.
    pub(super) fn answer(
        &mut self,
        text: &str,
        signals: &Signals,
        terminal: &Terminal,
    ) -> Result<(), Failure> {
        self.turns.push(Message { role: Role::User, content: text.to_owned() });
        let answered = self.answer_last(signals, terminal);
        match &answered {
            Ok(Some(answer)) => {
                self.turns.push(Message { role: Role::Assistant, content: answer.clone() });
            }
            Ok(None) | Err(_) => drop(self.turns.pop()),
        }
        answered.map(|_| ())
    }

    /// The text of the answer to the last turn; none if there is none to keep.
    fn answer_last(
        &mut self,
        signals: &Signals,
        terminal: &Terminal,
    ) -> Result<Option<String>, Failure> {
        let start = Instant::now();
        let ids = self.prompt()?;
        let same = self.held.iter().zip(&ids).take_while(|(held, id)| held == id).count();
        // The logits behind the last id are computed with it.
        let reused = same.min(ids.len() - 1);
        self.session.truncate(reused);
        self.held.truncate(reused);

        let stops = self.settings.stops().map_err(Failure::refused)?;
        let mut giving = Giving::new(self.format);
        let turn = Turn {
            event: "turn",
            turn: self.turns.len().div_ceil(2),
            prompt_tokens: ids.len(),
            reused,
            seed: self.settings.seed,
        };
        let lost = |error: &io::Error| super::not_given(error, terminal);
        giving.object(&turn).map_err(|error| lost(&error))?;
        let mut generation = Generation::new(self.model.tokenizer(), stops);
        let mut give = |event: Event<'_>| giving.event(event);
        let result =
            generation.run(&mut self.session, &mut self.sampler, &ids, signals.stop(), &mut give);
        self.held = ids;
        self.held.extend(generation.ids());
        self.held.truncate(self.session.position());

        let timings = Timings::of(&generation, None, start);
        let tokens = generation.ids().len();
        let error = result.as_ref().err().map(ToString::to_string);
        let ended = match &result {
            Err(GenerateError::Output(_)) => Ok(()),
            _ => giving.end(result.as_ref().ok(), error.as_deref(), &timings, tokens),
        };
        self.last = Some(Last { timings, reused, used: self.session.position() });
        let end = result.map_err(|error| match error {
            GenerateError::Output(error) => lost(&error),
            error => Failure { exit: Exit::CaseFailed, ..Failure::refused(error.to_string()) },
        })?;
        ended.map_err(|error| lost(&error))?;
        match end {
            End::ContextFull => terminal.warning(self.full(tokens)),
            End::Interrupted => terminal.note(giving::why(&end, tokens)),
            End::Length => terminal.note(giving::why(&end, tokens)),
            End::EndOfGeneration(_) | End::StopId(_) | End::StopString(_) => {}
        }
        // What was stopped before it began was not said.
        let begun = end != End::Interrupted || tokens > 0;
        Ok(begun.then(|| generation.text().to_owned()))
    }

    /// All that was said, as ids that fit the context.
    fn prompt(&self) -> Result<Vec<u32>, Failure> {
        let system = self.system.iter();
        let system = system.map(|text| Message { role: Role::System, content: text.clone() });
        let messages: Vec<Message> = system.chain(self.turns.iter().cloned()).collect();
        let prompt = self.template.prompt(self.model.tokenizer(), &messages, true);
        let ids = prompt.map_err(|error| Failure {
            ends: matches!(error, ChatError::Runaway(_)),
            ..Failure::refused(error.to_string())
        })?;
        let (ids, context) = (ids.ids, self.session.context());
        if ids.is_empty() {
            return Err(Failure::refused("the chat template makes no token of this".into()));
        }
        if ids.len() > context {
            let needed = ids.len();
            return Err(Failure::refused(format!(
                "the conversation has {needed} tokens with this, but the context has {context}: {}; \
                 this was not said",
                self.more_room()
            )));
        }
        Ok(ids)
    }

    fn full(&self, tokens: usize) -> String {
        let context = self.session.context();
        format!(
            "the context of {context} is full, and the answer ends after {tokens} tokens: {}",
            self.more_room()
        )
    }

    fn more_room(&self) -> String {
        let (context, limit) = (self.session.context(), self.model.config().context_length);
        match context < limit {
            true => format!("/reset forgets the conversation, --ctx-size holds up to {limit}"),
            false => "/reset forgets the conversation; the model has no larger context".into(),
        }
    }

    /// Gives out the measured figures of the last answer: as lines, or as one JSON object.
    pub(super) fn give_metrics(&self) -> io::Result<()> {
        let mut out = io::stdout().lock();
        let context = self.session.context();
        match (self.format, &self.last) {
            (Format::Json, last) => {
                let last = last.as_ref();
                let event = "metrics";
                json_line(
                    &mut out,
                    &Metrics { event, context, last, rates: last.map(Last::rates) },
                )?;
            }
            (Format::Text, None) => writeln!(out, "nothing was measured yet")?,
            (Format::Text, Some(Last { timings, reused, used })) => {
                timings.lines().iter().try_for_each(|line| writeln!(out, "{line}"))?;
                writeln!(out, "   from the cache = {reused:>10} positions")?;
                writeln!(out, "          context = {used:>10} of {context} positions")?;
            }
        }
        out.flush()
    }
}
