//! The `parity` command: parses flags and hands over to `cmd`.

#![expect(clippy::print_stderr, reason = "a command prints its complaints")]

use std::path::PathBuf;
use std::process::ExitCode;

use bitnet_runner::cmd::{
    baselines, bench, crossval, documents, fetch, localize, models, new, ppl, receipt, record,
    report, run, schema, worker,
};
use bitnet_runner::exit::Exit;
use bitnet_runner::report::Colour;
use bitnet_runner::run::Project;
use clap::{CommandFactory, Parser, Subcommand};

/// Compares an LLM engine with a real llama.cpp, case by case.
#[derive(Debug, Parser)]
#[command(name = "parity", version, after_help = Exit::table())]
struct Cli {
    /// Folder with models.toml and suites/; found from the current one upwards if not given
    #[arg(long, global = true, value_name = "DIR")]
    root: Option<PathBuf>,
    /// When to colour output
    #[arg(long, global = true, value_enum, default_value_t = Colour::Auto)]
    color: Colour,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run trials of the suites
    Run(run::RunArgs),
    /// Write a commented case to start from
    New(new::NewArgs),
    /// Find the operation where the engines part on a parity case, and the cause
    Localize(localize::LocalizeArgs),
    /// Measure speed against the references that are built for it
    Bench(bench::BenchArgs),
    /// Get verified files for the models of models.toml
    #[command(alias = "fetch-models")]
    Fetch(fetch::FetchArgs),
    /// List models, make synthetic ones
    #[command(subcommand)]
    Models(models::ModelsCommand),
    /// Accept speeds from receipts, and hold receipts against them
    #[command(subcommand)]
    Baselines(baselines::BaselinesCommand),
    /// `baselines gen` by its old name
    #[command(hide = true)]
    GenBaselines(baselines::ReceiptArgs),
    /// `baselines check` by its old name
    #[command(hide = true)]
    CheckPerf(baselines::CheckArgs),
    /// Make one HTML page of receipts, or join the receipts of several shards
    Report(report::ReportArgs),
    /// Compare once, with a prompt from the command line
    Crossval(crossval::CrossvalArgs),
    /// Perplexity and KL divergence of a text, against a reference
    Ppl(ppl::PplArgs),
    /// Keep what references answer, for machines without them
    Record(record::RecordArgs),
    /// Check receipts, and print what one says
    #[command(subcommand)]
    Receipt(receipt::ReceiptCommand),
    /// `receipt verify` by its old name
    #[command(hide = true)]
    VerifyReceipt(receipt::VerifyArgs),
    /// Print the JSON schema of suite files
    Schema,
    /// Serve the engine on standard input and output, as docs/worker-protocol.md says
    Worker,
    /// Print completions of this command for a shell
    Completions(documents::CompletionsArgs),
    /// Write man pages of this command and its verbs into a folder
    Man(documents::ManArgs),
    /// Print this command's documentation as Markdown
    #[command(hide = true)]
    Docs(documents::DocsArgs),
}

/// A file that outgrows its limit (`ulimit -f`) is an error of the write, as a full disk is, and no
/// death by a signal: a command says what is missing and keeps what is there.
#[cfg(unix)]
fn take_limits_as_errors() {
    let seen = std::sync::Arc::default();
    // Where this is refused, the limit ends the program as it ends others.
    let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, seen);
}

fn main() -> ExitCode {
    #[cfg(unix)]
    take_limits_as_errors();
    let cli = Cli::parse();
    let root = cli.root.map_or_else(
        || {
            let here = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
            Project::find_root(&here)
        },
        Ok,
    );
    let exit = match (&cli.command, root) {
        (Command::Schema, _) => schema::execute(),
        (Command::Report(args), _) => report::execute(args),
        (Command::Worker, _) => worker::execute(),
        (Command::Receipt(command), _) => receipt::execute(command),
        (Command::VerifyReceipt(args), _) => receipt::verify_all(args),
        (Command::Completions(args), _) => documents::completions(Cli::command(), args),
        (Command::Man(args), _) => documents::man(Cli::command(), args),
        (Command::Docs(args), _) => documents::docs(Cli::command(), args),
        (_, Err(error)) => {
            eprintln!("error: {error}");
            Exit::Usage
        }
        (Command::Run(args), Ok(root)) => run::execute(&root, args, cli.color),
        (Command::New(args), Ok(root)) => new::execute(&root, args, cli.color),
        (Command::Localize(args), Ok(root)) => localize::execute(&root, args, cli.color),
        (Command::Crossval(args), Ok(root)) => crossval::execute(&root, args, cli.color),
        (Command::Ppl(args), Ok(root)) => ppl::execute(&root, args, cli.color),
        (Command::Record(args), Ok(root)) => record::execute(&root, args, cli.color),
        (Command::Bench(args), Ok(root)) => bench::execute(&root, args, cli.color),
        (Command::Baselines(command), Ok(root)) => baselines::execute(&root, command),
        (Command::GenBaselines(args), Ok(root)) => baselines::generate(&root, args),
        (Command::CheckPerf(args), Ok(root)) => baselines::compare(&root, args),
        (Command::Fetch(args), Ok(root)) => fetch::execute(&root, args, cli.color),
        (Command::Models(command), Ok(root)) => models::execute(&root, command, cli.color),
    };
    exit.into()
}
