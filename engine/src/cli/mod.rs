//! The verbs of the `bitnet` command, one a file, and what they share.

mod atomic;
mod bench;
mod chat;
mod documents;
mod format;
mod giving;
mod inspect;
mod load;
mod logits;
mod model_args;
mod npy;
mod output;
mod quantize;
mod receipt;
mod run;
mod sampling_args;
mod screen;
mod signals;
mod terminal;
mod text_args;
mod timings;
mod tokenize;

use bitnet_engine::exit::Exit;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use terminal::{Color, Terminal, TerminalArgs};

/// Runs GGUF models on the CPU.
#[derive(Debug, Parser)]
#[command(name = "bitnet", version, after_help = Exit::table())]
struct Cli {
    #[command(flatten)]
    terminal: TerminalArgs,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Continue a text
    Run(run::RunArgs),
    /// Talk with a model, line by line
    Chat(chat::ChatArgs),
    /// Print the token ids of a text, or the text of ids
    Tokenize(tokenize::TokenizeArgs),
    /// Print the most likely next tokens of a text, or write all logits
    Logits(logits::LogitsArgs),
    /// Print what a GGUF file holds: keys, tensors, totals by type
    Inspect(inspect::InspectArgs),
    /// Convert a GGUF file to other tensor types
    Quantize(quantize::QuantizeArgs),
    /// Time a model on this machine, and what part of the machine's limits that is
    Bench(bench::BenchArgs),
    /// Print completions of this command for a shell
    Completions(documents::CompletionsArgs),
    /// Write man pages of this command and its verbs into a folder
    Man(documents::ManArgs),
    /// Print this command's documentation as Markdown
    #[command(hide = true)]
    Docs(documents::DocsArgs),
}

/// The command line's definition: what parses it, documents it and completes it.
fn command() -> clap::Command {
    Cli::command()
}

/// Parses the arguments and executes the verb.
pub(crate) fn main() -> Exit {
    let color = Color::scan(std::env::args_os());
    let parsed = command()
        .color(color.for_clap())
        .try_get_matches()
        .and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            // Help is asked for and is no error; a reader that has gone needs none.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Ok };
        }
    };
    let terminal = Terminal::new(&cli.terminal);
    match &cli.verb {
        Verb::Run(args) => run::execute(args, &terminal),
        Verb::Chat(args) => chat::execute(args, &terminal),
        Verb::Tokenize(args) => tokenize::execute(args, &terminal),
        Verb::Logits(args) => logits::execute(args, &terminal),
        Verb::Inspect(args) => inspect::execute(args, &terminal),
        Verb::Quantize(args) => quantize::execute(args, &terminal),
        Verb::Bench(args) => bench::execute(args, &terminal),
        Verb::Completions(args) => documents::completions(args, &terminal),
        Verb::Man(args) => documents::man(args, &terminal),
        Verb::Docs(args) => documents::docs(args, &terminal),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_definition_is_consistent() {
        super::command().debug_assert();
    }
}
