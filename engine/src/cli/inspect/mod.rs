//! `bitnet inspect`: what a GGUF file says of itself, of whatever architecture. Loads no weights.

mod facts;
mod forecast;
mod json;
mod text;

use std::env;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use bitnet_engine::escape;
use bitnet_engine::exit::Exit;
use bitnet_engine::gguf::GgufFile;
use bitnet_engine::model::Config;
use bitnet_engine::session::SessionError;
use clap::Args;

use super::format::Format;
use super::terminal::Terminal;
use super::{load, model_args, output};
use facts::Facts;
use forecast::Forecast;

/// Flags of `bitnet inspect`.
#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// GGUF file; that of BITNET_MODEL if none is given
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// The same
    #[arg(short, long, value_name = "PATH", conflicts_with = "file")]
    model: Option<PathBuf>,
    /// Print the tensors only
    #[arg(long)]
    tensors: bool,
    /// Print the value of this key only, whole; may be given several times
    #[arg(long, value_name = "KEY", conflicts_with = "tensors")]
    metadata: Vec<String>,
    /// Positions of the context that memory is worked out for, 0 for all that the model was made for; 4096,
    /// or those of the model if it has fewer, if not given
    #[arg(short, long, value_name = "N")]
    ctx_size: Option<usize>,
    /// Threads that memory is worked out for; as many as this process may use if not given
    #[arg(short, long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// Memory bandwidth in GB/s (1e9 bytes): prints the least time that a token takes
    #[arg(long, value_name = "GB/S", value_parser = bandwidth)]
    bandwidth: Option<f64>,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// What of a file is printed.
enum Part<'a> {
    Everything,
    Tensors,
    /// Keys, all of them in the file.
    Keys(&'a [String]),
}

/// Executes the verb.
pub(crate) fn execute(args: &InspectArgs, terminal: &Terminal) -> Exit {
    run(args, terminal).unwrap_or_else(|exit| exit)
}

fn run(args: &InspectArgs, terminal: &Terminal) -> Result<Exit, Exit> {
    let named = args.file.clone().or_else(|| args.model.clone());
    let Some(path) = named.or_else(|| env::var_os("BITNET_MODEL").map(PathBuf::from)) else {
        terminal.error("no file is given; name one, or set BITNET_MODEL");
        return Err(Exit::Usage);
    };
    let file = load::file(&path, terminal)?;
    let part = part(args, &file, terminal)?;
    let facts = Facts::of(&file);
    let forecast = facts.config.as_ref().map(|config| forecast(args, &file, config, terminal));
    let forecast = forecast.transpose()?;
    let forecast = forecast.as_ref();
    Ok(output::to_stdout(terminal, |out| match args.format {
        Format::Text => text::write(out, &file, &facts, forecast, &part, terminal.colour_out),
        Format::Json => json::write(out, &file, &facts, forecast, &part),
    }))
}

fn forecast(
    args: &InspectArgs,
    file: &GgufFile,
    config: &Config,
    terminal: &Terminal,
) -> Result<Forecast, Exit> {
    let context = model_args::context(args.ctx_size, config);
    if context > config.context_length {
        let error = SessionError::Context { wanted: context, limit: config.context_length };
        return Err(load::not_computed(&error, terminal));
    }
    let threads = model_args::threads(args.threads);
    Ok(Forecast::of(file, config, context, threads, args.bandwidth))
}

fn bandwidth(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| "a number above 0, such as 40 or 38.5, is needed".to_owned())
}

fn part<'a>(args: &'a InspectArgs, file: &GgufFile, terminal: &Terminal) -> Result<Part<'a>, Exit> {
    if args.tensors {
        return Ok(Part::Tensors);
    }
    if args.metadata.is_empty() {
        return Ok(Part::Everything);
    }
    if let Some(key) = args.metadata.iter().find(|key| file.metadata().get(key).is_none()) {
        terminal.error(format_args!(
            "the file has no key '{}'; `bitnet inspect` without --metadata lists the {} that there \
             are",
            escape::text(key),
            file.metadata().len()
        ));
        return Err(Exit::NothingSelected);
    }
    Ok(Part::Keys(&args.metadata))
}
