//! `bitnet bench`: how fast this machine computes a model, in llama-bench's terms, and what part of the
//! machine's own limits that is. It compares with no other engine (`parity bench` does) and judges nothing.

mod limits;
mod measure;
mod memory;
mod report;

use std::env;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bitnet_engine::exit::Exit;
use bitnet_engine::gguf::{GgufFile, TensorType};
use bitnet_engine::kernels::Isa;
use bitnet_engine::model::Model;
use bitnet_engine::needs::Needs;
use bitnet_engine::sample;
use bitnet_engine::session::{Session, SessionError};
use clap::Args;

use super::model_args::{CacheArgs, PackingArgs, isa_parser, kernels_of};
use super::terminal::Terminal;
use super::{load, output};
use limits::Machine;
use measure::{Output, Test};
use report::{OutputFormat, Report, Row, Start};

/// Flags of `bitnet bench`.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// GGUF file; that of BITNET_MODEL if none is given
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// The same
    #[arg(short, long, value_name = "PATH", conflicts_with = "file")]
    model: Option<PathBuf>,
    #[command(flatten)]
    packing: PackingArgs,
    #[command(flatten)]
    cache: CacheArgs,
    /// Ids of the prompts to time, separated by commas; 0 for none
    #[arg(short = 'p', long, value_name = "N,…", value_delimiter = ',', default_value = "512")]
    n_prompt: Vec<usize>,
    /// Ids to time one by one, separated by commas; 0 for none
    #[arg(short = 'n', long, value_name = "N,…", value_delimiter = ',', default_value = "128")]
    n_gen: Vec<usize>,
    /// Ids in the KV cache before the first timed one, separated by commas
    #[arg(short = 'd', long, value_name = "N,…", value_delimiter = ',', default_value = "0")]
    n_depth: Vec<usize>,
    /// Numbers of threads, separated by commas; as many as this process may use if not given
    #[arg(short, long, value_name = "N,…", value_delimiter = ',')]
    threads: Vec<NonZeroUsize>,
    /// How often each test is timed
    #[arg(short, long, value_name = "N", default_value = "5")]
    repetitions: NonZeroUsize,
    /// Instruction set of the kernels; the fastest of this processor if not given
    #[arg(long, value_name = "ISA", value_parser = isa_parser())]
    isa: Option<Isa>,
    /// What is computed behind each id that is timed alone
    #[arg(long, value_enum, default_value_t = Output::Greedy)]
    output: Output,
    /// Do not measure what the machine could do at best, which takes some seconds and 1 GiB of memory
    #[arg(long)]
    no_roofline: bool,
    /// How to print
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t = OutputFormat::Md)]
    output_format: OutputFormat,
}

/// Executes the verb.
pub(crate) fn execute(args: &BenchArgs, terminal: &Terminal) -> Exit {
    run(args, terminal).unwrap_or_else(|exit| exit)
}

fn run(args: &BenchArgs, terminal: &Terminal) -> Result<Exit, Exit> {
    let named = args.file.clone().or_else(|| args.model.clone());
    let Some(path) = named.or_else(|| env::var_os("BITNET_MODEL").map(PathBuf::from)) else {
        terminal.error("no file is given; name one, or set BITNET_MODEL");
        return Err(Exit::Usage);
    };
    let tests = tests(args);
    if tests.is_empty() {
        terminal.error("nothing to time: -p and -n are 0");
        return Err(Exit::NothingSelected);
    }
    let threads = match args.threads.is_empty() {
        true => vec![super::model_args::threads(None)],
        false => args.threads.clone(),
    };
    let kernels = kernels_of(args.isa).map_err(|why| {
        terminal.error(why);
        Exit::Environment
    })?;
    let begin = Instant::now();
    let loaded = load::model_at(&path, kernels, &args.packing, terminal)?;
    fits(&tests, &loaded.model, terminal)?;
    let prompt = tests.iter().filter(|test| test.is_prompt()).map(|test| test.tokens).max();
    let prompt = prompt.unwrap_or(1);
    first_token(args, &loaded.model, prompt, threads[0], terminal)?;
    let start = Start { load: loaded.time, prompt, first_token: begin.elapsed() };
    // What the machine's limits are measured in is no part of the peak: it is read before and behind.
    let peak_of_loading = memory::peak();
    let mut machine = Machine::default();
    if !args.no_roofline {
        machine.measure(&threads, terminal)?;
        if let Err(why) = memory::forget_peak() {
            terminal.warning(format_args!(
                "peak memory includes what the machine's limits were measured in: {why}"
            ));
        }
    }
    let mut rows = Vec::new();
    for &threads in &threads {
        rows.extend(timed(args, &loaded.model, &tests, threads, terminal)?);
    }
    let peak_memory = memory::peak().max(peak_of_loading);
    if !args.no_roofline {
        machine.measure(&threads, terminal)?;
    }
    for row in &mut rows {
        if let Some(limits) = machine.limits(row.n_threads) {
            row.limit(limits);
        }
    }
    let report = Report::new(&path, loaded.model.file(), start, peak_memory, rows);
    Ok(output::to_stdout(terminal, |out| report.write(out, args.output_format)))
}

/// What to time, in llama-bench's order: at each depth the prompts, then the generations.
fn tests(args: &BenchArgs) -> Vec<Test> {
    let at = |depth: usize| {
        let of = move |output| move |&tokens: &usize| Test { tokens, depth, output };
        args.n_prompt.iter().map(of(None)).chain(args.n_gen.iter().map(of(Some(args.output))))
    };
    args.n_depth.iter().flat_map(|&depth| at(depth)).filter(|test| test.tokens > 0).collect()
}

/// Refuses tests that take more positions than the model was made for.
fn fits(tests: &[Test], model: &Model, terminal: &Terminal) -> Result<(), Exit> {
    let limit = model.config().context_length;
    let beyond = tests.iter().find(|test| test.depth.saturating_add(test.tokens) > limit);
    beyond.map_or(Ok(()), |test| {
        terminal.error(format_args!(
            "{} needs {} positions, and the model was made for {limit}; lower -d, -p or -n",
            test.name(),
            test.depth.saturating_add(test.tokens)
        ));
        Err(Exit::Usage)
    })
}

/// Computes a prompt in a new session and chooses what follows it: how a user's first answer begins.
fn first_token(
    args: &BenchArgs,
    model: &Arc<Model>,
    prompt: usize,
    threads: NonZeroUsize,
    terminal: &Terminal,
) -> Result<(), Exit> {
    let attempt = || -> Result<Vec<f32>, SessionError> {
        let options = args.cache.session_options();
        let mut session = Session::with_options(model, prompt, threads, options)?;
        session.prefill_top(&measure::ids(model, 0, prompt), 1)
    };
    let logits = attempt().map_err(|error| load::not_computed(&error, terminal))?;
    sample::greedy(&logits).map_err(|error| {
        terminal.error(format_args!("{error}; `bitnet inspect` shows what the file holds"));
        Exit::CaseFailed
    })?;
    Ok(())
}

fn timed(
    args: &BenchArgs,
    model: &Arc<Model>,
    tests: &[Test],
    threads: NonZeroUsize,
    terminal: &Terminal,
) -> Result<Vec<Row>, Exit> {
    let context = tests.iter().map(|test| test.depth + test.tokens).max().unwrap_or(1);
    let mut session = Session::with_options(model, context, threads, args.cache.session_options())
        .map_err(|error| load::not_computed(&error, terminal))?;
    let options = args.packing.options().map_err(|why| {
        terminal.error(why);
        Exit::Usage
    })?;
    let kernels = model.kernels();
    let (config, keys) = (model.config(), args.cache.keys());
    let needs = Needs::of(model.file(), config, kernels, &options, context, threads, keys);
    let macs = int8_macs(model.file());
    let row = |test: &Test| {
        let samples =
            measure::samples(&mut session, test, args.repetitions).map_err(
                |error| match error {
                    measure::MeasureError::Session(error) => load::not_computed(&error, terminal),
                    measure::MeasureError::Sample(error) => {
                        terminal.error(format_args!("{}: {error}", test.name()));
                        Exit::CaseFailed
                    }
                },
            )?;
        let row = Row::new(test, threads.get(), kernels.isa, keys, &samples);
        terminal.note(format_args!("{}, {threads} threads: {}", row.test, row.rate()));
        Ok(match test.output {
            Some(_) => row.reading(measure::bytes_a_token(&needs, test)),
            None => row.multiplying(macs),
        })
    };
    tests.iter().map(row).collect()
}

/// Multiply-accumulates that one id of a prompt takes in matrices whose products are of int8; none where
/// a layer has a matrix of floats. The head is not counted: a prompt computes one row of it.
fn int8_macs(file: &GgufFile) -> Option<u64> {
    let matrices = file.tensors().iter();
    let mut matrices =
        matrices.filter(|t| t.name.starts_with("blk.") && t.dims.len() == 2).peekable();
    matrices.peek()?;
    matrices.try_fold(0, |sum, tensor| match tensor.tensor_type {
        TensorType::F32 | TensorType::F16 | TensorType::Bf16 => None,
        _ => Some(sum + tensor.elements() as u64),
    })
}

/// Nanoseconds of a duration.
fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
