//! `parity schema`: the JSON schema of suite files, for editors.

#![expect(clippy::print_stdout, reason = "a command prints its result")]

use crate::exit::Exit;
use crate::suite::schema;

/// Prints the schema.
pub fn execute() -> Exit {
    print!("{}", schema::json());
    Exit::Ok
}
