//! Standard output for results. A reader that goes away (`| head -1`) ends the command quietly.

use std::io::{self, BufWriter, ErrorKind, StdoutLock, Write};

use bitnet_engine::exit::Exit;

use super::terminal::Terminal;

/// Runs `write` on a buffered standard output and writes out what it left.
///
/// Ok when all was written or nobody reads any more; else the error is printed and is
/// [`Exit::Environment`].
pub(crate) fn to_stdout(
    terminal: &Terminal,
    write: impl FnOnce(&mut BufWriter<StdoutLock<'static>>) -> io::Result<()>,
) -> Exit {
    let mut out = BufWriter::new(io::stdout().lock());
    let written = write(&mut out).and_then(|()| out.flush());
    // What is left in the buffer must not be tried again when it is dropped.
    let _ = out.into_parts();
    ended(terminal, written)
}

/// How a verb ends whose last act was writing results to standard output.
pub(crate) fn ended(terminal: &Terminal, written: io::Result<()>) -> Exit {
    match written {
        Ok(()) => Exit::Ok,
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Exit::Ok,
        Err(error) => {
            terminal.error(format_args!("cannot write to standard output: {error}"));
            Exit::Environment
        }
    }
}
