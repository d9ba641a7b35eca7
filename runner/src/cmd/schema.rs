//! `parity schema`: the JSON schema of suite files, for editors.

use crate::exit::Exit;
use crate::report::print_line;
use crate::suite::schema;

/// Prints the schema.
pub fn execute() -> Exit {
    print_line(schema::json().trim_end());
    Exit::Ok
}
