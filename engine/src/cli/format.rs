//! The two ways that results are printed, and what both need of token texts.

use std::io::{self, Write};

use clap::ValueEnum;
use serde::Serialize;

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Text,
    /// JSON, one object a line
    Json,
}

/// Bytes of text in JSON: a string if they are UTF-8, else an array of numbers.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum JsonBytes<'a> {
    /// All of it is UTF-8.
    Text(&'a str),
    /// Some of it is not.
    Raw(&'a [u8]),
}

impl<'a> JsonBytes<'a> {
    /// Nothing is replaced and nothing lost.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        std::str::from_utf8(bytes).map_or(JsonBytes::Raw(bytes), JsonBytes::Text)
    }
}

/// Writes one object and a line break.
///
/// # Errors
/// If `out` cannot be written.
pub(crate) fn json_line(out: &mut impl Write, object: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, object)?;
    writeln!(out)
}
