//! One generation: the loop over tokens, and the record that is left of it.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::{End, Event, GenerateError, Stops};
use crate::model::LogitsOf;
use crate::sample::Sampler;
use crate::session::{CHUNK, Session};
use crate::tokenizer::{StreamDecoder, Tokenizer};

/// Receives events; an error from it breaks the generation off.
pub type OnEvent<'a> = &'a mut dyn FnMut(Event<'_>) -> io::Result<()>;

/// A text being generated, and what was measured. Readable however it ended.
#[derive(Debug)]
pub struct Generation<'t> {
    tokenizer: &'t Tokenizer,
    stops: Stops,
    decoder: StreamDecoder<'t>,
    ids: Vec<u32>,
    text: String,
    prompt_computed: usize,
    prefill: Duration,
    step_nanoseconds: Vec<u64>,
    sampled: usize,
    sampling: Duration,
    first_token: Option<Instant>,
}

impl<'t> Generation<'t> {
    /// A generation that has not begun.
    pub fn new(tokenizer: &'t Tokenizer, stops: Stops) -> Self {
        Self {
            tokenizer,
            stops,
            decoder: StreamDecoder::continuing(tokenizer),
            ids: Vec::new(),
            text: String::new(),
            prompt_computed: 0,
            prefill: Duration::ZERO,
            step_nanoseconds: Vec::new(),
            sampled: 0,
            sampling: Duration::ZERO,
            first_token: None,
        }
    }

    /// Computes the prompt and generates until something ends it. `prompt` is the whole sequence,
    /// of which `session` already holds the first [`Session::position`] ids.
    ///
    /// `interrupt` is looked at between tokens and between the chunks of the prompt. The session
    /// then holds the prompt and the generated ids, the last one perhaps not.
    ///
    /// # Errors
    /// If nothing of the prompt is left to compute, it does not fit, the logits allow no choice, or
    /// `on_event` fails.
    pub fn run(
        &mut self,
        session: &mut Session,
        sampler: &mut Sampler,
        prompt: &[u32],
        interrupt: &AtomicBool,
        on_event: OnEvent<'_>,
    ) -> Result<End, GenerateError> {
        let room = session.context().saturating_sub(prompt.len()) + 1;
        let expected = self.stops.limit.map_or(room, |limit| limit.min(room));
        self.ids.reserve(expected);
        self.step_nanoseconds.reserve(expected);
        sampler.forget();
        prompt.iter().for_each(|id| sampler.accept(*id));
        let end = match self.prefill(session, sampler, prompt, interrupt)? {
            None => End::Interrupted,
            Some(_) if self.stops.limit == Some(0) => End::Length,
            Some(logits) => {
                let first = self.sample(sampler, &logits)?;
                self.decode(session, sampler, first, interrupt, on_event)?
            }
        };
        self.finish(end, on_event)
    }

    /// The logits behind the prompt, as far as the sampler needs them; none if the interrupt came first.
    fn prefill(
        &mut self,
        session: &mut Session,
        sampler: &Sampler,
        prompt: &[u32],
        interrupt: &AtomicBool,
    ) -> Result<Option<Vec<f32>>, GenerateError> {
        let mut rest = prompt.get(session.position()..).unwrap_or_default();
        session.check(rest)?;
        let start = Instant::now();
        let mut logits = None;
        while !rest.is_empty() && !interrupt.load(Ordering::Relaxed) {
            let (chunk, behind) = rest.split_at(CHUNK.min(rest.len()));
            if behind.is_empty() {
                logits = Some(match sampler.deciding() {
                    Some(count) => session.prefill_top(chunk, count)?,
                    None => session.prefill(chunk, LogitsOf::Last)?,
                });
            } else {
                session.prefill(chunk, LogitsOf::Nothing)?;
            }
            self.prompt_computed += chunk.len();
            self.prefill = start.elapsed();
            rest = behind;
        }
        Ok(logits)
    }

    fn decode(
        &mut self,
        session: &mut Session,
        sampler: &mut Sampler,
        first: u32,
        interrupt: &AtomicBool,
        on_event: OnEvent<'_>,
    ) -> Result<End, GenerateError> {
        let mut id = first;
        loop {
            if let Some(end) = self.take(id, sampler, on_event)? {
                return Ok(end);
            }
            if interrupt.load(Ordering::Relaxed) {
                return Ok(End::Interrupted);
            }
            if session.position() == session.context() {
                return Ok(End::ContextFull);
            }
            let start = Instant::now();
            let logits = match sampler.deciding() {
                Some(count) => session.step_top(id, count)?,
                None => session.step(id)?,
            };
            self.step_nanoseconds.push(nanoseconds(start.elapsed()));
            id = self.sample(sampler, logits)?;
        }
    }

    fn sample(&mut self, sampler: &mut Sampler, logits: &[f32]) -> Result<u32, GenerateError> {
        let start = Instant::now();
        let chosen = sampler.choose(logits);
        self.sampling += start.elapsed();
        self.sampled += 1;
        self.first_token.get_or_insert_with(Instant::now);
        let token = self.ids.len() + 1;
        chosen.map_err(|source| GenerateError::Sample { token, source })
    }

    /// Makes a chosen id part of the text, or says why the text ends before or behind it.
    fn take(
        &mut self,
        id: u32,
        sampler: &mut Sampler,
        on_event: OnEvent<'_>,
    ) -> Result<Option<End>, GenerateError> {
        if self.stops.ids.contains(&id) {
            return Ok(Some(End::StopId(id)));
        }
        if !self.stops.ignore_end_of_generation && self.tokenizer.is_end_of_generation(id) {
            return Ok(Some(End::EndOfGeneration(id)));
        }
        let piece = self.decoder.push(id)?;
        sampler.accept(id);
        self.ids.push(id);
        let (text, stop) = self.stops.strings.push(piece);
        self.text.push_str(text);
        on_event(Event::Token { id, text })?;
        if let Some(stop) = stop {
            return Ok(Some(End::StopString(stop.to_owned())));
        }
        Ok((self.stops.limit == Some(self.ids.len())).then_some(End::Length))
    }

    /// Gives out what was held back, unless a stop string ended the text.
    fn finish(&mut self, end: End, on_event: OnEvent<'_>) -> Result<End, GenerateError> {
        if matches!(end, End::StopString(_)) {
            return Ok(end);
        }
        let (text, stop) = self.stops.strings.push(self.decoder.finish());
        let mut rest = text.to_owned();
        // Half a character at the end is U+FFFD, and even that can complete a stop string.
        let end = stop.map_or(end, |stop| End::StopString(stop.to_owned()));
        rest.push_str(self.stops.strings.finish());
        if !rest.is_empty() {
            self.text.push_str(&rest);
            on_event(Event::Rest { text: &rest })?;
        }
        Ok(end)
    }

    /// The ids of the text. Those before a stop string's last token belong to it in part.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// The text that was given out.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Positions of the prompt that were computed.
    pub fn prompt_computed(&self) -> usize {
        self.prompt_computed
    }

    /// Time for computing them.
    pub fn prefill_time(&self) -> Duration {
        self.prefill
    }

    /// Time of each step that computed the logits behind a generated token, in order. The first
    /// token needs none: its logits are the prompt's.
    pub fn step_nanoseconds(&self) -> &[u64] {
        &self.step_nanoseconds
    }

    /// How many tokens were chosen, an end-of-generation id included, and the time for it.
    pub fn sampling(&self) -> (usize, Duration) {
        (self.sampled, self.sampling)
    }

    /// When the first of them was chosen.
    pub fn first_token(&self) -> Option<Instant> {
        self.first_token
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
