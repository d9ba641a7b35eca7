//! Standard output for results. A reader that goes away (`| head -1`) ends the command quietly.

use std::io::{self, ErrorKind, Write};

/// What a shell reports for a program that SIGPIPE ended: 128 + 13.
const BROKEN_PIPE: i32 = 141;

/// Prints `text` and a line break in one write, so that the lines of several processes stay whole.
///
/// Does not return where standard output cannot be written: nobody is there to be told.
pub fn print_line(text: &str) {
    let mut out = io::stdout().lock();
    if let Err(error) = out.write_all(format!("{text}\n").as_bytes()).and_then(|()| out.flush()) {
        if error.kind() != ErrorKind::BrokenPipe {
            let _ = writeln!(io::stderr(), "error: cannot write to standard output: {error}");
        }
        std::process::exit(BROKEN_PIPE);
    }
}
