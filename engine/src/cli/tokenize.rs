//! `bitnet tokenize`: the ids of a text, or the text of ids. Reads the vocabulary and no weights.

use std::io::{self, Write};

use bitnet_engine::escape;
use bitnet_engine::exit::Exit;
use bitnet_engine::model::read_tokenizer;
use bitnet_engine::tokenizer::Tokenizer;
use clap::Args;
use serde::Serialize;

use super::format::Format;
use super::model_args::ModelFile;
use super::terminal::Terminal;
use super::text_args::{self, TextArgs};
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
    /// Leave out the BOS (and EOS) that the vocabulary asks for
    #[arg(long)]
    no_bos: bool,
    /// Read texts such as <|eot_id|> as the tokens that they name (the default, as in
    /// llama-tokenize)
    #[arg(long, overrides_with = "no_parse_special")]
    parse_special: bool,
    /// Read such texts as ordinary text
    #[arg(long, overrides_with = "parse_special")]
    no_parse_special: bool,
    /// Print the text of these ids instead; `-` reads them from standard input
    #[arg(long, value_name = "IDS", conflicts_with_all = ["prompt", "file", "ids", "no_bos",
        "parse_special", "no_parse_special"])]
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
    text: Option<Bytes<'a>>,
}

#[derive(Serialize)]
struct Token<'a> {
    id: u32,
    piece: Bytes<'a>,
}

/// A string if the bytes are UTF-8, else an array of numbers.
#[derive(Serialize)]
#[serde(untagged)]
enum Bytes<'a> {
    Text(&'a str),
    Raw(&'a [u8]),
}

impl<'a> Bytes<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        std::str::from_utf8(bytes).map_or(Bytes::Raw(bytes), Bytes::Text)
    }
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
    let refused = |error| {
        terminal.error(error);
        Exit::Usage
    };
    if let Some(list) = &args.detokenize {
        let ids = text_args::ids(list, terminal)?;
        let text = tokenizer.decode(&ids).map_err(refused)?;
        return Ok(output::to_stdout(terminal, |out| print_text(args, &ids, &text, out)));
    }
    let text = args.text.read(terminal)?;
    let ids = tokenizer.encode(&text, !args.no_bos, !args.no_parse_special).map_err(refused)?;
    Ok(output::to_stdout(terminal, |out| print_ids(args, &tokenizer, &ids, out)))
}

fn print_text(
    args: &TokenizeArgs,
    ids: &[u32],
    text: &[u8],
    out: &mut impl Write,
) -> io::Result<()> {
    if args.format == Format::Json {
        let text = Some(Bytes::new(text));
        return print_json(&Report { count: ids.len(), ids, tokens: None, text }, out);
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
        let token = |&id: &u32| Ok(Token { id, piece: Bytes::new(piece(id)?) });
        let tokens = match args.ids {
            true => None,
            false => Some(ids.iter().map(token).collect::<io::Result<_>>()?),
        };
        return print_json(&Report { count: ids.len(), ids, tokens, text: None }, out);
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

fn print_json(report: &Report<'_>, out: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer(&mut *out, report)?;
    writeln!(out)
}
