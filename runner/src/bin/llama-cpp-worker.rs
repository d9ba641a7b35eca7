//! The worker program that holds llama.cpp: the reference as a backend, served on standard input and
//! output (`docs/worker-protocol.md`). It judges nothing.

use std::io;

use bitnet_reference_llama_cpp as reference;
use bitnet_runner::backend::serve::serve_stdio;

#[path = "reference/backend.rs"]
mod backend;

fn main() -> io::Result<()> {
    serve_stdio(backend::ReferenceBackend::new)
}
