//! `bitnet logits`: what the model computes for a text, position by position. It samples nothing.

use std::io::{self, BufWriter, Write};
use std::num::NonZeroUsize;
use std::path::PathBuf;

use bitnet_engine::escape;
use bitnet_engine::exit::Exit;
use bitnet_engine::model::LogitsOf;
use bitnet_engine::session::{Session, SessionError};
use bitnet_engine::tokenizer::Tokenizer;
use clap::Args;
use serde::Serialize;

use super::atomic::AtomicFile;
use super::format::{Format, JsonBytes, json_line};
use super::model_args::ModelArgs;
use super::terminal::Terminal;
use super::text_args::{self, EncodeArgs, TextArgs};
use super::{load, npy, output};

/// Positions whose logits are held at a time: of 128,256 ids they take 33 MB.
const CHUNK: usize = 64;

/// Flags of `bitnet logits`.
#[derive(Debug, Args)]
pub(crate) struct LogitsArgs {
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
    /// Print every position, not only the last
    #[arg(long)]
    all: bool,
    /// Print the ids with the K largest logits
    #[arg(long, value_name = "K", default_value = "10")]
    top: NonZeroUsize,
    /// Write the logits of all positions as NumPy .npy: f32 of shape [positions, vocabulary]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// What `--format json` prints of a position.
#[derive(Serialize)]
struct Position<'a> {
    position: usize,
    /// The id at this position; its logits are for the next one.
    id: u32,
    top: &'a [Candidate<'a>],
}

#[derive(Serialize)]
struct Candidate<'a> {
    id: u32,
    piece: JsonBytes<'a>,
    logit: f32,
    log_prob: f64,
    #[serde(skip)]
    bytes: &'a [u8],
}

/// Executes the verb.
pub(crate) fn execute(args: &LogitsArgs, terminal: &Terminal) -> Exit {
    run(args, terminal).unwrap_or_else(|exit| exit)
}

fn run(args: &LogitsArgs, terminal: &Terminal) -> Result<Exit, Exit> {
    let mut file = match &args.out {
        Some(path) => Some(AtomicFile::create(path, terminal)?),
        None => None,
    };
    let given = match &args.prompt_tokens {
        Some(list) => Given::Ids(text_args::ids(list, terminal)?),
        None => Given::Text(args.text.read(terminal)?),
    };
    let model = load::model(&args.model, terminal)?.model;
    let tokenizer = model.tokenizer();
    let ids = match given {
        Given::Ids(ids) => ids,
        Given::Text(text) => args.encode.encode(tokenizer, &text, terminal)?,
    };
    if ids.is_empty() {
        terminal.error("the text is empty and gives no token; give at least one character or id");
        return Err(Exit::Usage);
    }
    let context = args.model.context_for(ids.len(), model.config());
    let mut session = load::session_of(&model, context, &args.model, terminal)?;
    fits(&ids, context, model.config().vocab_size)
        .map_err(|error| load::not_computed(&error, terminal))?;
    let mut printer = Printer { args, tokenizer, ids: &ids, printed: Ok(()) };
    let result = compute(&mut session, &ids, file.as_mut(), &mut printer, terminal);
    let printed = printer.printed;
    result?;
    if let Some(file) = file {
        file.finish(terminal)?;
    }
    Ok(output::ended(terminal, printed))
}

enum Given {
    Text(String),
    Ids(Vec<u32>),
}

/// Whether all ids can be computed: they are fed in chunks, and nothing is printed of a request that
/// fails in a later one.
fn fits(ids: &[u32], context: usize, vocab_size: usize) -> Result<(), SessionError> {
    if ids.len() > context {
        return Err(SessionError::ContextFull { used: 0, wanted: ids.len(), context });
    }
    match ids.iter().position(|id| *id as usize >= vocab_size) {
        Some(index) => Err(SessionError::UnknownId { id: ids[index], index, vocab_size }),
        None => Ok(()),
    }
}

/// Computes position by position, and stops early only if nobody wants the rest.
fn compute(
    session: &mut Session,
    ids: &[u32],
    file: Option<&mut AtomicFile>,
    printer: &mut Printer<'_>,
    terminal: &Terminal,
) -> Result<(), Exit> {
    let vocab_size = session.model().config().vocab_size;
    let mut file = file.map(|file| BufWriter::with_capacity(1 << 20, file));
    let refused =
        |out: &BufWriter<&mut AtomicFile>, error: &io::Error| out.get_ref().failed(error, terminal);
    if let Some(out) = &mut file {
        let header = npy::header(ids.len(), vocab_size);
        out.write_all(&header).map_err(|error| refused(out, &error))?;
    }
    let wanted = match printer.args.all || file.is_some() {
        true => LogitsOf::All,
        false => LogitsOf::Last,
    };
    let chunk = if wanted == LogitsOf::All { CHUNK } else { ids.len() };
    for chunk in ids.chunks(chunk) {
        let logits =
            session.prefill(chunk, wanted).map_err(|error| load::not_computed(&error, terminal))?;
        let rows = logits.len() / vocab_size;
        for (row, logits) in logits.chunks(vocab_size).enumerate() {
            if let Some(out) = &mut file {
                let written = logits.iter().try_for_each(|l| out.write_all(&l.to_le_bytes()));
                written.map_err(|error| refused(out, &error))?;
            }
            printer.row(session.position() - rows + row, logits, terminal)?;
        }
        if printer.printed.is_err() && file.is_none() {
            return Ok(());
        }
    }
    if let Some(out) = &mut file {
        out.flush().map_err(|error| refused(out, &error))?;
    }
    Ok(())
}

/// Prints rows until standard output refuses them.
struct Printer<'a> {
    args: &'a LogitsArgs,
    tokenizer: &'a Tokenizer,
    ids: &'a [u32],
    printed: io::Result<()>,
}

impl Printer<'_> {
    /// Takes the logits of one position; they must be finite.
    fn row(&mut self, position: usize, logits: &[f32], terminal: &Terminal) -> Result<(), Exit> {
        if let Some(id) = logits.iter().position(|logit| !logit.is_finite()) {
            let found = logits[id];
            terminal.error(format_args!(
                "the logit of id {id} at position {position} is {found}: this model computes no \
                 result for this text; `bitnet inspect` shows what it is made of"
            ));
            return Err(Exit::CaseFailed);
        }
        let last = position + 1 == self.ids.len();
        if self.printed.is_ok() && (last || self.args.all) {
            let top = top(logits, self.args.top.get(), self.tokenizer);
            self.printed = self.print(position, &top);
        }
        Ok(())
    }

    fn print(&self, position: usize, top: &[Candidate<'_>]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if self.args.format == Format::Json {
            json_line(&mut out, &Position { position, id: self.ids[position], top })?;
            return out.flush();
        }
        if position == 0 || !self.args.all {
            writeln!(out, "position      id         logit      log-prob  piece")?;
        }
        for Candidate { id, logit, log_prob, bytes, .. } in top {
            let piece = escape::piece(bytes);
            writeln!(out, "{position:>8}  {id:>6}  {logit:>12.6}  {log_prob:>12.6}  '{piece}'")?;
        }
        out.flush()
    }
}

/// The `count` largest of finite logits, the lower id first among equals.
fn top<'a>(logits: &[f32], count: usize, tokenizer: &'a Tokenizer) -> Vec<Candidate<'a>> {
    let mut order: Vec<u32> = (0..logits.len() as u32).collect();
    let larger = |a: &u32, b: &u32| {
        logits[*b as usize].total_cmp(&logits[*a as usize]).then_with(|| a.cmp(b))
    };
    if count < order.len() {
        order.select_nth_unstable_by(count, larger);
        order.truncate(count);
    }
    order.sort_unstable_by(larger);
    let log_sum = log_sum_exp(logits);
    let candidate = |id: u32| {
        let logit = logits[id as usize];
        // An id of the logits is an id of the vocabulary: loading has checked that.
        let bytes = tokenizer.piece(id).unwrap_or_default();
        let (piece, log_prob) = (JsonBytes::new(bytes), f64::from(logit) - log_sum);
        Candidate { id, piece, logit, log_prob, bytes }
    };
    order.into_iter().map(candidate).collect()
}

/// ln Σ e^logit, in f64.
fn log_sum_exp(logits: &[f32]) -> f64 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|l| (f64::from(*l) - f64::from(largest)).exp()).sum();
    f64::from(largest) + sum.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_sum_survives_large_logits() {
        assert_eq!(log_sum_exp(&[0.0, 0.0]), 2f64.ln());
        assert_eq!(log_sum_exp(&[3e38, -3e38]), f64::from(3e38f32));
        let sum = log_sum_exp(&[1.0, 2.0, 3.0]);
        assert!((sum - 3.407_605_964_444_38).abs() < 1e-12, "{sum}");
    }
}
