//! How every verb prints what is wrong with a project's manifests.

use crate::report::Colour;
use crate::run::ProjectError;

/// The error as text, diagnostics coloured where standard error is.
pub(super) fn text(error: &ProjectError, colour: Colour) -> String {
    match error {
        ProjectError::Manifest(errors) => errors.render(colour.decide(&std::io::stderr())),
        other => format!("error: {other}"),
    }
}
