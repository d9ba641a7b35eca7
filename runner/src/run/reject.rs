//! A reject case: a damaged copy of a model that the subject must refuse, in the right words.
//!
//! The reference never sees the damaged file: llama.cpp aborts on some of them.

use std::io::Write;

use super::engines::{Engines, ModelFile, request};
use super::outcome::{Obstacle, Outcome, Result};
use crate::backend::BackendError;
use crate::escape;
use crate::suite::Variant;
use crate::suite::case::Reject;
use crate::suite::damage;

/// Nothing is computed; the smallest session will do.
const CONTEXT: usize = 1;

/// Runs one variant of a reject case.
pub(super) fn run(
    engines: &mut Engines,
    model: ModelFile<'_>,
    check: &Reject,
    variant: &Variant,
) -> Result<Outcome> {
    let failed =
        |what: &str, error: &dyn std::fmt::Display| Obstacle::Error(format!("{what}: {error}"));
    let mut bytes = std::fs::read(model.path).map_err(|e| failed("cannot read the model", &e))?;
    damage::apply(&check.damage, &mut bytes)
        .map_err(|e| failed("the damage does not fit the model", &e))?;
    let mut copy = tempfile::Builder::new()
        .suffix(".gguf")
        .tempfile()
        .map_err(|e| failed("cannot make a temporary file", &e))?;
    copy.write_all(&bytes).map_err(|e| failed("cannot write the damaged copy", &e))?;
    drop(bytes);
    engines.forget_subject();
    let damaged = ModelFile { path: copy.path(), ..model };
    let answer = engines.subject.open(&request(damaged, variant, CONTEXT));
    // The temporary name is noise, and differs from run to run.
    let shown =
        |text: &str| escape::text(&text.replace(&copy.path().display().to_string(), "model.gguf"));
    let answer = answer.map_err(|error| match error {
        BackendError::Load { why, .. } => BackendError::Refused(why.to_string()),
        other => other,
    });
    match answer {
        Err(BackendError::Refused(why)) if why.contains(&check.expect_error) => {
            Ok(Outcome::passed(format!("refused: {}", shown(&why))))
        }
        Err(BackendError::Refused(why)) => Ok(Outcome::differs(format!(
            "ERROR: the damaged model was refused in other words\n  wanted: {}\n  found:  {}",
            escape::text(&check.expect_error),
            shown(&why)
        ))),
        Err(other) => Err(other.into()),
        Ok(_) => Ok(Outcome::differs(format!(
            "ERROR: the damaged model was opened; it should be refused with \"{}\"",
            escape::text(&check.expect_error)
        ))),
    }
}
