//! `parity worker`: our engine as a worker program (`docs/worker-protocol.md`), with the settings for speed
//! with which benchmarks start it. It judges nothing.

#![expect(clippy::print_stderr, reason = "a command prints its complaints")]

use crate::backend::engine::EngineBackend;
use crate::backend::serve::serve_stdio;
use crate::exit::Exit;

/// Serves requests on standard input until it ends.
pub fn execute() -> Exit {
    match serve_stdio(EngineBackend::for_speed) {
        Ok(()) => Exit::Ok,
        Err(error) => {
            eprintln!("error: {error}");
            Exit::Environment
        }
    }
}
