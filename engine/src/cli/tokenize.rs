//! `bitnet tokenize`: the ids of a text, or the text of ids. Reads the vocabulary and no weights.

use std::io::{self, Write};

use bitnet_engine::escape;
use bitnet_engine::exit::Exit;
use bitnet_engine::model::read_tokenizer;
use bitnet_engine::tokenizer::Tokenizer;
use clap::Args;
use serde::Serialize;

use super::format::{Format, JsonBytes, json_line};
use super::model_args::ModelFile;
use super::terminal::Terminal;
use super::text_args::{self, EncodeArgs, TextArgs};
use super::{load, output};

/// Flags of `bitnet tokenize`.
#[derive(Debug, Args)]
pub(crate) struct TokenizeArgs {
    #[command(flatten)]
    model: ModelFile,
    #[command(flatten)]
    text: TextArgs,
    /// Print the ids only, as [1, 2, 3]
    #[arg(long)]
    ids: bool,
    #[command(flatten)]
    encode: EncodeArgs,
    /// Print the text of these ids instead; `-` reads them from standard input
    #[arg(long, value_name = "IDS", conflicts_with_all = ["prompt", "file", "ids"],
        conflicts_with_all = EncodeArgs::FLAGS)]
    detokenize: Option<String>,
    /// Print the number of tokens as well
    #[arg(long)]
    show_count: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// What `--format json` prints, on one line.
#[derive(Serialize)]
struct Report<'a> {
    count: usize,
    ids: &'a [u32],
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens: Option<Vec<Token<'a>>>,
    /// Of all ids together; only when ids were given.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<JsonBytes<'a>>,
}

#[derive(Serialize)]
struct Token<'a> {
    id: u32,
    piece: JsonBytes<'a>,
}

/// Executes the verb.
pub(crate) fn execute(args: &TokenizeArgs, terminal: &Terminal) -> Exit {
    run(args, terminal).unwrap_or_else(|exit| exit)
}

fn run(args: &TokenizeArgs, terminal: &Terminal) -> Result<Exit, Exit> {
    let file = load::file(&args.model.path, terminal)?;
    let tokenizer = read_tokenizer(file.metadata())
        .map_err(|error| load::refused(&args.model.path, &error, terminal))?;
    for warning in tokenizer.warnings() {
        terminal.warning(escape::text(&warning.to_string()));
    }
    if let Some(list) = &args.detokenize {
        let ids = text_args::ids(list, terminal)?;
        let text = tokenizer.decode(&ids).map_err(|error| {
            terminal.error(error);
            Exit::Usage
        })?;
        return Ok(output::to_stdout(terminal, |out| print_text(args, &ids, &text, out)));
    }
    let text = args.text.read(terminal)?;
    let ids = args.encode.encode(&tokenizer, &text, terminal)?;
    Ok(output::to_stdout(terminal, |out| print_ids(args, &tokenizer, &ids, out)))
}

fn print_text(
    args: &TokenizeArgs,
    ids: &[u32],
    text: &[u8],
    out: &mut impl Write,
) -> io::Result<()> {
    if args.format == Format::Json {
        let text = Some(JsonBytes::new(text));
        return json_line(out, &Report { count: ids.len(), ids, tokens: None, text });
    }
    writeln!(out, "{}", escape::piece(text))?;
    print_count(args, ids, out)
}

fn print_ids(
    args: &TokenizeArgs,
    tokenizer: &Tokenizer,
    ids: &[u32],
    out: &mut impl Write,
) -> io::Result<()> {
    let piece = |id: u32| tokenizer.piece(id).map_err(io::Error::other);
    if args.format == Format::Json {
        let token = |&id: &u32| Ok(Token { id, piece: JsonBytes::new(piece(id)?) });
        let tokens = match args.ids {
            true => None,
            false => Some(ids.iter().map(token).collect::<io::Result<_>>()?),
        };
        return json_line(out, &Report { count: ids.len(), ids, tokens, text: None });
    }
    if args.ids {
        writeln!(out, "{ids:?}")?;
    } else {
        for &id in ids {
            writeln!(out, "{id:>6} -> '{}'", escape::piece(piece(id)?))?;
        }
    }
    print_count(args, ids, out)
}

fn print_count(args: &TokenizeArgs, ids: &[u32], out: &mut impl Write) -> io::Result<()> {
    match args.show_count {
        true => writeln!(out, "Total number of tokens: {}", ids.len()),
        false => Ok(()),
    }
}
