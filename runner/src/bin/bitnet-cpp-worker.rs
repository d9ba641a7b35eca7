//! The worker program that holds bitnet.cpp: the reference as a backend, served on standard input and
//! output (`docs/worker-protocol.md`). It judges nothing.

use std::io;

use bitnet_reference_bitnet_cpp as reference;
use bitnet_runner::backend::serve::serve_stdio;

#[path = "reference/backend.rs"]
mod backend;

fn main() -> io::Result<()> {
    serve_stdio(backend::ReferenceBackend::new)
}
