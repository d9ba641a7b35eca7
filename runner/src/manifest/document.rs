//! One TOML document: read, parsed with spans, and turned into wire types entry by entry, so that
//! one bad key does not hide the next; it knows no key by name.

use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue, Deserializer};

use super::diagnostic::{Diagnostic, Source, nearest};
use super::digest::hex;
use super::syntax;

/// Largest TOML file in bytes; a hand-written suite stays far below.
pub(crate) const MAX_FILE: u64 = 1024 * 1024;

/// A table whose keys and values know where they stand.
pub(crate) type Table<'t> = DeTable<'t>;

/// Reads the TOML file `path`.
pub(crate) fn read(path: &Path) -> Result<Arc<Source>, Vec<Diagnostic>> {
    let shown = path.display().to_string();
    match read_text(path, MAX_FILE) {
        Ok(text) => Ok(Arc::new(Source { path: shown, text })),
        Err(why) => Err(vec![Diagnostic::of_file(shown, why)]),
    }
}

/// SHA-256 of the bytes that were parsed, in lower-case hex.
pub(crate) fn sha256(source: &Source) -> String {
    hex(&Sha256::digest(source.text.as_bytes()))
}

/// Reads a regular file of UTF-8 text with at most `limit` bytes; the error is a sentence.
pub(crate) fn read_text(path: &Path, limit: u64) -> Result<String, String> {
    let file = File::open(path).map_err(|error| format!("the file cannot be opened: {error}"))?;
    let facts = file.metadata().map_err(|error| format!("the file cannot be read: {error}"))?;
    if !facts.is_file() {
        return Err("this is not a regular file".to_owned());
    }
    // The file may grow between the question and the reading: the limit holds for what is read.
    let mut bytes = Vec::new();
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("the file cannot be read: {error}"))?;
    if bytes.len() as u64 > limit {
        return Err(format!("the file is larger than the limit of {limit} bytes"));
    }
    String::from_utf8(bytes).map_err(|error| {
        format!("the file is not UTF-8: byte {} is invalid", error.utf8_error().valid_up_to())
    })
}

/// The top-level table of a text in TOML 1.0.
pub(crate) fn parse(source: &Arc<Source>) -> Result<Table<'_>, Vec<Diagnostic>> {
    let (table, errors) = DeTable::parse_recoverable(&source.text);
    if !errors.is_empty() {
        return Err(errors
            .iter()
            .map(|error| {
                let span = error.span().unwrap_or(0..0);
                Diagnostic::new(source, span, "this is not valid TOML", one_line(error.message()))
            })
            .collect());
    }
    let newer: Vec<Diagnostic> = syntax::toml_1_1_only(&source.text)
        .into_iter()
        .map(|(span, why)| {
            Diagnostic::new(source, span, "TOML 1.1 syntax is refused; write TOML 1.0", why)
        })
        .collect();
    if !newer.is_empty() {
        return Err(newer);
    }
    Ok(table.into_inner())
}

/// Reads each entry of `table` on its own as `T`, whose fields are all optional, then all good
/// entries together; gives them back with the table of good entries. `owner` names the table in
/// messages.
pub(crate) fn wire<'t, T: DeserializeOwned + Default>(
    source: &Arc<Source>,
    table: &Table<'t>,
    owner: &str,
    problems: &mut Vec<Diagnostic>,
) -> (T, Table<'t>) {
    let mut good = Table::new();
    for (key, value) in table {
        let single: Table<'_> = [(key.clone(), value.clone())].into_iter().collect();
        match read_as::<T>(single) {
            Ok(_) => {
                good.insert(key.clone(), value.clone());
            }
            Err(error) => problems.push(phrase(source, owner, key, value, &error)),
        }
    }
    let wire = match read_as(good.clone()) {
        Ok(wire) => wire,
        Err(error) => {
            let span = error.span().unwrap_or(0..0);
            problems.push(Diagnostic::new(
                source,
                span,
                format!("{owner} cannot be read"),
                one_line(error.message()),
            ));
            T::default()
        }
    };
    (wire, good)
}

fn read_as<T: DeserializeOwned>(table: Table<'_>) -> Result<T, toml::de::Error> {
    T::deserialize(Deserializer::from(Spanned::new(0..0, table)))
}

/// Says in our words what serde found in the entry `key = value`.
fn phrase(
    source: &Arc<Source>,
    owner: &str,
    key: &Spanned<DeString<'_>>,
    value: &Spanned<DeValue<'_>>,
    error: &toml::de::Error,
) -> Diagnostic {
    let span = error.span().filter(|span| *span != (0..0)).unwrap_or_else(|| value.span());
    let message = error.message();
    let mut quoted = message.split('`').skip(1).step_by(2);
    let name = key.get_ref();
    if message.starts_with("unknown field") {
        let offender = quoted.next().unwrap_or_default();
        let known: Vec<&str> = quoted.collect();
        let owner = if offender == name { owner } else { name };
        return unknown_key(source, span, offender, owner, &known);
    }
    if message.starts_with("unknown variant") {
        let offender = quoted.next().unwrap_or_default();
        let known: Vec<&str> = quoted.collect();
        let diagnostic = Diagnostic::new(
            source,
            span,
            format!("`{offender}` is not a value of `{name}`"),
            suggestion(offender, &known).unwrap_or_else(|| "not one of the values".to_owned()),
        );
        return diagnostic.with_help(format!("values: {}", list(&known)));
    }
    if message.starts_with("missing field") {
        let missing = quoted.next().unwrap_or_default();
        return Diagnostic::new(
            source,
            span,
            format!("`{name}` needs the key `{missing}`"),
            format!("`{missing}` is missing here"),
        );
    }
    if message.contains("expected newtype variant") || message.contains("expected struct variant") {
        let word = value.get_ref().as_str().unwrap_or_default();
        return Diagnostic::new(
            source,
            span,
            format!("this value of `{name}` needs arguments"),
            format!("write `{name} = {{ {word} = … }}`"),
        );
    }
    if let Some(mismatch) = message.strip_prefix("invalid type: ") {
        return Diagnostic::new(
            source,
            span,
            format!("`{name}` has the wrong type"),
            one_line(mismatch),
        );
    }
    Diagnostic::new(source, span, format!("`{name}` cannot be read"), one_line(message))
}

/// The message for a key that does not exist.
pub(crate) fn unknown_key(
    source: &Arc<Source>,
    span: Range<usize>,
    key: &str,
    owner: &str,
    known: &[&str],
) -> Diagnostic {
    let label = suggestion(key, known).unwrap_or_else(|| "no such key".to_owned());
    Diagnostic::new(source, span, format!("unknown key `{key}` in {}", quote(owner)), label)
        .with_help(format!("keys: {}", list(known)))
}

/// A key of the file is quoted; an owner in words (`a case`, `[defaults]`) is not.
fn quote(owner: &str) -> String {
    if owner.contains([' ', '[']) { owner.to_owned() } else { format!("`{owner}`") }
}

fn suggestion(word: &str, known: &[&str]) -> Option<String> {
    nearest(word, known.iter().copied()).map(|near| format!("did you mean `{near}`?"))
}

/// `a`, `b`, `c` with quotes.
pub(crate) fn list(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

fn one_line(message: &str) -> String {
    message.lines().collect::<Vec<_>>().join(", ")
}
