//! The `bitnet` command: parses flags and hands over to `cli`.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main().into()
}
