//! `parity ppl`: perplexity and KL divergence of our engine against a reference over a text, with the names of
//! llama.cpp's perplexity tool. It gates nothing.

#![expect(clippy::print_stderr, reason = "a command prints its complaints")]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde::Serialize;

use super::manifest;
use super::run::Format;
use crate::backend::Identity;
use crate::compare::{Distribution, Perplexity, SHARES, WithError};
use crate::escape;
use crate::exit::Exit;
use crate::report::{Colour, print_line, progress};
use crate::run::{Engines, Obstacle, Project, Runner, ScoredText, Settings, TextQuestion};

/// Flags of `parity ppl`.
#[derive(Debug, Args)]
pub struct PplArgs {
    /// The model, by its id in models.toml
    #[arg(long, value_name = "ID")]
    model: String,
    /// The text, UTF-8
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Ids of a chunk, of which the second half is scored
    #[arg(short, long, value_name = "N", default_value_t = 512, value_parser = context)]
    ctx_size: usize,
    /// Score at most so many chunks; all of the text if not given
    #[arg(long, value_name = "N", value_parser = positive)]
    chunks: Option<usize>,
    /// Compare with this one of the model's references; the first of them if not given
    #[arg(long, value_name = "NAME")]
    reference: Option<String>,
    /// Compute threads of our engine
    #[arg(long, value_name = "N", default_value = "1", value_parser = positive)]
    threads: usize,
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number @ 1..) => Ok(number),
        _ => Err("a whole number from 1 on is needed".to_owned()),
    }
}

fn context(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number @ 8..) => Ok(number),
        _ => Err("a whole number from 8 on is needed".to_owned()),
    }
}

/// Scores the text with the models of the project in `root`.
pub fn execute(root: &Path, args: &PplArgs, colour: Colour) -> Exit {
    let lock = match manifest::lock(root, colour) {
        Ok(lock) => lock,
        Err(exit) => return exit,
    };
    let text = match fs::read_to_string(&args.file) {
        Ok(text) => text,
        Err(error) => {
            let file = escape::text(&args.file.display().to_string());
            eprintln!("error: cannot read the text '{file}': {error}; name a file of UTF-8 text");
            return Exit::Usage;
        }
    };
    // As the tool reads a file: the newline that ends it is not part of the text.
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let project = Project { root: root.to_owned(), lock, suites: Vec::new(), trials: Vec::new() };
    let settings = Settings::from_environment(progress());
    let mut runner = Runner::new(Arc::new(project), Engines::default(), settings);
    let question = TextQuestion {
        model: &args.model,
        reference: args.reference.as_deref(),
        text,
        context: args.ctx_size,
        chunks: args.chunks,
        threads: args.threads,
    };
    let heard = |done, of, kl: f64| eprintln!("chunk {done} of {of}: mean KLD {kl:.6e} so far");
    match runner.score_text(&question, &heard) {
        Ok(scored) => print(&runner, &scored, args),
        Err(obstacle) => complain(obstacle),
    }
}

fn complain(obstacle: Obstacle) -> Exit {
    let (exit, why) = match obstacle {
        Obstacle::Missing(why) | Obstacle::NotBuilt(why) | Obstacle::Hardware(why) => {
            (Exit::Environment, why)
        }
        Obstacle::Load { why, .. } => (Exit::ModelLoad, escape::text(&why.to_string())),
        Obstacle::Error(why) => (Exit::CaseFailed, why),
    };
    eprintln!("error: {why}");
    exit
}

#[derive(Debug, Serialize)]
struct Line<'a> {
    model: &'a str,
    subject: &'a Identity,
    references: Vec<&'a Identity>,
    context: usize,
    chunks: usize,
    ids: usize,
    statistics: &'a Perplexity,
}

fn print(runner: &Runner, scored: &ScoredText, args: &PplArgs) -> Exit {
    let line = Line {
        model: &args.model,
        subject: runner.engines.subject.identity(),
        references: runner.engines.started().collect(),
        context: args.ctx_size,
        chunks: scored.chunks,
        ids: scored.ids,
        statistics: &scored.perplexity,
    };
    if args.format == Format::Human {
        print_line(text(&line).trim_end());
        return Exit::Ok;
    }
    match serde_json::to_string(&line) {
        Ok(json) => {
            print_line(&json);
            Exit::Ok
        }
        Err(error) => {
            eprintln!("error: a result has no JSON: {error}");
            Exit::Environment
        }
    }
}

fn text(line: &Line<'_>) -> String {
    let s = line.statistics;
    let mut out = String::new();
    let plus = |f: WithError| format!("{:10.6} ± {:10.6}", f.value, f.error);
    let _ = writeln!(out, "====== Perplexity statistics ======");
    let _ = writeln!(out, "Mean PPL(Q)                   : {}", plus(s.ppl_q));
    let _ = writeln!(out, "Mean PPL(base)                : {}", plus(s.ppl_base));
    let _ = writeln!(out, "Cor(ln(PPL(Q)), ln(PPL(base))): {:6.2}%", 100.0 * s.correlation);
    let exact = |f: WithError| format!("{:e} ± {:e}", f.value, f.error);
    let _ = writeln!(out, "Mean ln(PPL(Q)/PPL(base))     : {}", exact(s.ln_ratio));
    let _ = writeln!(out, "Mean PPL(Q)/PPL(base)         : {}", plus(s.ratio));
    let _ = writeln!(out, "Mean PPL(Q)-PPL(base)         : {}", exact(s.difference));
    let _ = writeln!(out, "\n====== KL divergence statistics ======");
    let nats = |value: f64| format!("{value:.6e}");
    distribution(&mut out, "KLD", &s.kld, &nats);
    let _ = writeln!(out, "\n====== Token probability statistics ======");
    let percent = |value: f64| format!("{:.6} %", 100.0 * value);
    distribution(&mut out, "Δp", &s.delta_p, &percent);
    let (rms, top) = (s.rms_delta_p, &s.same_top);
    let _ = writeln!(out, "RMS Δp    : {} ± {}", percent(rms.value), percent(rms.error));
    let share = top.hits as f64 / top.of as f64;
    let _ = writeln!(
        out,
        "Same top p: {:.3} ± {:.3} % ({} of {}; Wilson 95 %: {:.3} to {:.3} %)",
        100.0 * share,
        100.0 * s.same_top_error,
        top.hits,
        top.of,
        100.0 * top.interval.low,
        100.0 * top.interval.high
    );
    let _ = writeln!(
        out,
        "\n{} positions of {} chunks of {} ids; {} of them equal to the bit",
        s.tokens, line.chunks, line.context, s.bit_equal
    );
    let who = |identity: &Identity| {
        let Identity { name, version, source, build } = identity;
        escape::text(&format!("{name} {version} ({source}), {build}"))
    };
    let _ = writeln!(out, "  Q: {}", who(line.subject));
    for base in &line.references {
        let _ = writeln!(out, "  base: {}", who(base));
    }
    out
}

fn distribution(out: &mut String, name: &str, d: &Distribution, show: &dyn Fn(f64) -> String) {
    let mut line = |label: &str, value: String| {
        let _ = writeln!(out, "{label:<7} {name}: {value}");
    };
    line("Mean", format!("{} ± {}", show(d.mean.value), show(d.mean.error)));
    line("Maximum", show(d.maximum));
    for (share, value) in SHARES.iter().zip(d.percentiles) {
        let label = match *share {
            0.5 => "Median".to_owned(),
            share => format!("{:>4.1}%", 100.0 * share),
        };
        line(&label, show(value));
    }
    line("Minimum", show(d.minimum));
}
