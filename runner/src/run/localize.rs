//! A parity case whose divergence is looked for: the engines, the ids and the model of a trial, for `localize`.
//! It judges nothing.

use std::sync::Arc;

use super::engines::{ModelFile, readable_by_references, roomy_request};
use super::outcome::{Obstacle, Result};
use super::parity;
use super::references::reference_of;
use super::runner::Runner;
use crate::backend::OpenRequest;
use crate::backend::operations::Operations;
use crate::localize::{self, Evidence, Localization, LocalizeError, Pair, Question};
use crate::suite::case::Prompt;
use crate::suite::{Check, Trial};

/// What was found for a trial, and what its reproducer is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Localized {
    /// What was found.
    pub found: Localization,
    /// Rows of the operation.
    pub evidence: Evidence,
    /// What the subject had open.
    pub request: OpenRequest,
}

impl Runner {
    /// Finds where the engines part on `trial`, which is one of a parity case.
    ///
    /// # Errors
    /// What keeps the trial from being run, and what keeps tensors from being compared.
    pub fn localize(&mut self, trial: &Trial) -> Result<Localized> {
        let project = Arc::clone(&self.project);
        let (case, variant) = (project.case(trial), &trial.variant);
        let Check::Parity(check) = &case.check else {
            return Err(Obstacle::Error(format!(
                "{} compares no logits: only parity cases can be localised",
                trial.id
            )));
        };
        let against = reference_of(case, trial)?;
        let id = case.model.as_deref().unwrap_or_default();
        let missing = || Obstacle::Error(format!("models.toml has no '{id}'"));
        let locked = project.lock.get(id).ok_or_else(missing)?;
        let path = self.resolve(locked)?;
        let model = ModelFile::of(locked, &path);
        readable_by_references(model)?;
        let facts = self.engines.facts(model, variant)?;
        let first = roomy_request(model, variant, 1, &facts)?;
        let (subject, reference, _) = self.engines.open_pair(against, &first, case.timeout)?;
        let ours = parity::tokens(subject, check, &facts)?;
        let theirs = parity::tokens(reference, check, &facts)?;
        let prompt = match &check.prompt {
            Prompt::Tokens(ids) => ids,
            Prompt::Text(_) => theirs.as_ref().map_or(&[][..], |tokens| &tokens.ids),
        };
        let request = roomy_request(model, variant, prompt.len() + check.steps, &facts)?;
        let (subject, reference, _) = self.engines.open_pair(against, &request, case.timeout)?;
        let mut ids = prompt.to_vec();
        if check.steps > 1 {
            ids.extend(crate::backend::Backend::generate(reference, prompt, check.steps - 1)?.ids);
        }
        let operations = Operations::open(&request)?;
        let tokens = ours.as_ref().zip(theirs.as_ref());
        let question =
            Question { ids: &ids, tokens: tokens.map(|(ours, theirs)| (&*ours.ids, &*theirs.ids)) };
        let mut pair = Pair { subject, reference, operations: &operations };
        let (found, evidence) =
            localize::localize(&mut pair, &question).map_err(|error| match error {
                LocalizeError::Backend(error) => Obstacle::from(error),
                other => Obstacle::Error(other.to_string()),
            })?;
        Ok(Localized { found, evidence, request })
    }
}
