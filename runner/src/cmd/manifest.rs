//! How every verb reads the lock, and prints what is wrong with a project's manifests.

#![expect(clippy::print_stderr, reason = "a command prints its complaints")]

use std::path::Path;

use crate::exit::Exit;
use crate::models::ModelLock;
use crate::report::Colour;
use crate::run::ProjectError;

/// The lock of the project in `root`.
///
/// # Errors
/// [`Exit::Usage`], with all that is wrong printed.
pub(super) fn lock(root: &Path, colour: Colour) -> Result<ModelLock, Exit> {
    ModelLock::read(&root.join("models.toml")).map_err(|error| {
        eprintln!("{}", text(&ProjectError::from(error), colour));
        Exit::Usage
    })
}

/// The error as text, diagnostics coloured where standard error is.
pub(super) fn text(error: &ProjectError, colour: Colour) -> String {
    match error {
        ProjectError::Manifest(errors) => errors.render(colour.decide(&std::io::stderr())),
        other => format!("error: {other}"),
    }
}
