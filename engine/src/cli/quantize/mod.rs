//! `bitnet quantize`: a model's file in other tensor types. What it decides is the library's.

mod report;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use bitnet_engine::escape;
use bitnet_engine::exit::Exit;
use bitnet_engine::gguf::{GgufFile, WriteError};
use bitnet_engine::quantize::{Options, Plan, QuantizeError, Target, Written};
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use indicatif::{ProgressBar, ProgressStyle};

use super::atomic::AtomicFile;
use super::format::Format;
use super::load;
use super::model_args::{PackingArgs, tiles};
use super::signals::Signals;
use super::terminal::Terminal;
use report::Report;

/// Flags of `bitnet quantize`.
#[derive(Debug, Args)]
pub(crate) struct QuantizeArgs {
    /// GGUF file to read
    #[arg(value_name = "INPUT")]
    input: PathBuf,
    /// GGUF file to write; an existing one is replaced when all is done
    #[arg(value_name = "OUTPUT", required_unless_present = "dry_run")]
    output: Option<PathBuf>,
    /// Type of the matrices
    #[arg(long = "type", value_name = "TYPE", value_parser = target_parser(), ignore_case = true)]
    target: Target,
    /// Type of the embedding; without it that of the matrices, and as it is if they become ternary
    #[arg(long, value_name = "TYPE", value_parser = target_parser(), ignore_case = true)]
    token_embedding_type: Option<Target>,
    /// Type of the head, where it is not the embedding; as for the embedding
    #[arg(long, value_name = "TYPE", value_parser = target_parser(), ignore_case = true)]
    output_type: Option<Target>,
    /// Make matrices ternary that are not, as the reference's quantisers do: this changes the model
    #[arg(long)]
    allow_lossy: bool,
    #[command(flatten)]
    packing: PackingArgs,
    /// kernel_config.ini of the kernels that a written TL1 or TL2 file is for; without it those that
    /// bitnet.cpp publishes
    #[arg(long, value_name = "FILE")]
    output_tl_config: Option<PathBuf>,
    /// Print what would become of each tensor, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

fn target_parser() -> impl TypedValueParser<Value = Target> {
    PossibleValuesParser::new(Target::ALL.map(Target::name)).try_map(|name| name.parse::<Target>())
}

/// Executes the verb.
pub(crate) fn execute(args: &QuantizeArgs, terminal: &Terminal) -> Exit {
    run(args, terminal).unwrap_or_else(|exit| exit)
}

fn run(args: &QuantizeArgs, terminal: &Terminal) -> Result<Exit, Exit> {
    let options = options(args).map_err(|why| {
        terminal.error(why);
        Exit::Usage
    })?;
    let file = load::file(&args.input, terminal)?;
    let plan = Plan::new(&file, options).map_err(|error| refused(&error, terminal))?;
    let report = |written: Option<&Written>| Report { args, plan: &plan, written }.print(terminal);
    let Some(path) = args.output.as_deref().filter(|_| !args.dry_run) else {
        return Ok(report(None));
    };
    if is_same_file(&args.input, path) {
        terminal.error(format_args!(
            "'{}' is the file to read; name another to write",
            escape::text(&path.display().to_string())
        ));
        return Err(Exit::Usage);
    }
    let written = write(&plan, &file, path, terminal)?;
    Ok(report(Some(&written)))
}

fn options(args: &QuantizeArgs) -> Result<Options, String> {
    let tiles = args.output_tl_config.as_deref().map(tiles).transpose()?.unwrap_or_default();
    Ok(Options {
        embedding: args.token_embedding_type,
        output: args.output_type,
        allow_lossy: args.allow_lossy,
        source: args.packing.options()?,
        tiles,
        ..Options::new(args.target)
    })
}

/// Whether both name one file, which cannot be read and replaced at once.
fn is_same_file(input: &Path, output: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let id = |path: &Path| path.metadata().map(|facts| (facts.dev(), facts.ino())).ok();
        id(output).is_some() && id(input) == id(output)
    }
    #[cfg(not(unix))]
    {
        let whole = |path: &Path| path.canonicalize().ok();
        whole(output).is_some() && whole(input) == whole(output)
    }
}

fn write(
    plan: &Plan<'_>,
    file: &GgufFile,
    path: &Path,
    terminal: &Terminal,
) -> Result<Written, Exit> {
    let mut output = AtomicFile::create(path, terminal)?;
    let signals = Signals::install(terminal)?;
    let bar = progress(file.tensors().len(), path, terminal);
    let stopping = Stopping { file: &mut output, stop: signals.stop() };
    let written = plan.write(stopping, |_, _| bar.inc(1));
    bar.finish_and_clear();
    if let Some(exit) = signals.received() {
        terminal.note("interrupted: nothing was written");
        return Err(exit);
    }
    match written {
        Ok(written) => {
            output.finish(terminal)?;
            Ok(written)
        }
        Err(QuantizeError::Write(WriteError::Io { source, .. })) => {
            Err(output.failed(&source, terminal))
        }
        Err(error) => Err(refused(&error, terminal)),
    }
}

fn progress(tensors: usize, path: &Path, terminal: &Terminal) -> ProgressBar {
    let text = format!("writing '{}'", escape::text(&path.display().to_string()));
    if !terminal.animates() {
        terminal.note(text);
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{msg} {bar:30} {pos}/{len} tensors");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(tensors as u64).with_style(style).with_message(text)
}

/// Prints why nothing is converted: [`Exit::Environment`] if the input is damaged, else [`Exit::Usage`],
/// since something else was asked for than the model allows.
fn refused(error: &QuantizeError, terminal: &Terminal) -> Exit {
    let flag = match error {
        QuantizeError::NotTernary { .. } => " (--allow-lossy)",
        QuantizeError::Table { .. } | QuantizeError::NoTensor { .. } => {
            " (--token-embedding-type, --output-type)"
        }
        QuantizeError::Tiles { writing: true, .. } => " (--output-tl-config)",
        QuantizeError::Tiles { .. } => " (--tl-config)",
        QuantizeError::RowsTogether { .. } => " (--i2s-layout)",
        _ => "",
    };
    terminal.error(format_args!("{}{flag}", escape::text(&error.to_string())));
    match error {
        QuantizeError::Code { .. }
        | QuantizeError::NotFinite { .. }
        | QuantizeError::Scale { .. }
        | QuantizeError::RowsTogether { .. } => Exit::Environment,
        _ => Exit::Usage,
    }
}

/// An output that takes nothing more once a signal has arrived.
struct Stopping<'a> {
    file: &'a mut AtomicFile,
    stop: &'a AtomicBool,
}

impl Write for Stopping<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.stop.load(Ordering::SeqCst) {
            return Err(io::Error::other("interrupted"));
        }
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
