//! Gives a generated text out as it comes: to people as safe text, to programs as JSON lines.

use std::io::{self, Write};

use bitnet_engine::generate::{End, Event};
use serde::Serialize;

use super::format::{Format, json_line};
use super::receipt::EndFacts;
use super::screen::Screen;
use super::timings::{Rates, Timings};

/// Where a text goes.
#[derive(Debug)]
pub(crate) struct Giving {
    format: Format,
    screen: Screen,
    /// Text that came behind the last token.
    rest: String,
}

#[derive(Serialize)]
struct Token<'a> {
    event: &'static str,
    id: u32,
    text: &'a str,
}

#[derive(Serialize)]
struct Ended<'a> {
    event: &'static str,
    /// None where an error came first.
    #[serde(flatten)]
    end: Option<EndFacts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    /// Text that was held back, in case it became a stop string.
    rest: &'a str,
    generated: usize,
    timings: &'a Timings,
    rates: Rates,
}

impl Giving {
    /// A text that has not begun.
    pub(crate) fn new(format: Format) -> Self {
        Self { format, screen: Screen::default(), rest: String::new() }
    }

    /// Writes a JSON line; nothing for people.
    ///
    /// # Errors
    /// If standard output cannot be written.
    pub(crate) fn object(&self, object: &impl Serialize) -> io::Result<()> {
        match self.format {
            Format::Text => Ok(()),
            Format::Json => line(object),
        }
    }

    /// Takes what a generation says.
    ///
    /// # Errors
    /// If standard output cannot be written.
    pub(crate) fn event(&mut self, event: Event<'_>) -> io::Result<()> {
        match (self.format, event) {
            (Format::Text, Event::Token { text, .. } | Event::Rest { text }) => self.text(text),
            (Format::Json, Event::Token { id, text }) => line(&Token { event: "token", id, text }),
            (Format::Json, Event::Rest { text }) => {
                self.rest.push_str(text);
                Ok(())
            }
        }
    }

    /// Ends the text: with a line break for people, if it has none.
    ///
    /// # Errors
    /// If standard output cannot be written.
    pub(crate) fn end(
        &mut self,
        end: Option<&End>,
        error: Option<&str>,
        timings: &Timings,
        generated: usize,
    ) -> io::Result<()> {
        match self.format {
            Format::Text if self.screen.ends_line() => Ok(()),
            Format::Text => self.text("\n"),
            Format::Json => line(&Ended {
                event: "end",
                end: end.map(EndFacts::from),
                error,
                rest: &self.rest,
                generated,
                timings,
                rates: timings.rates(),
            }),
        }
    }

    fn text(&mut self, text: &str) -> io::Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        out.write_all(self.screen.safe(text).as_bytes())?;
        out.flush()
    }
}

fn line(object: &impl Serialize) -> io::Result<()> {
    let mut out = io::stdout().lock();
    json_line(&mut out, object)?;
    out.flush()
}

/// Why a text ended, for people.
pub(crate) fn why(end: &End, tokens: usize) -> String {
    match end {
        End::Length => format!("ended after {tokens} tokens, as many as --n-predict allows"),
        End::EndOfGeneration(id) => format!("ended by the model after {tokens} tokens (id {id})"),
        End::StopId(id) => format!("ended after {tokens} tokens by --stop-id {id}"),
        End::StopString(string) => {
            let string = bitnet_engine::escape::text(string);
            format!("ended after {tokens} tokens by --stop '{string}'")
        }
        End::ContextFull => format!(
            "ended after {tokens} tokens: the context is full; a larger --ctx-size holds more"
        ),
        End::Interrupted => format!("interrupted after {tokens} tokens"),
    }
}
