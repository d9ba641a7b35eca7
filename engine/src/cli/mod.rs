//! The verbs of the `bitnet` command, one a file.

use bitnet_engine::exit::Exit;
use clap::{Parser, Subcommand};

/// Runs GGUF models on the CPU.
#[derive(Debug, Parser)]
#[command(name = "bitnet", version, after_help = Exit::table())]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {}

/// Parses the arguments and executes the verb.
pub(crate) fn main() -> Exit {
    match Cli::parse().command {}
}
