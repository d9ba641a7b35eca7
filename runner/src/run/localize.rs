//! A parity case whose divergence is looked for: the engines, the ids and the model of a trial, for `localize`.
//! It judges nothing.

use std::sync::Arc;

use super::engines::{ModelFile, readable_by_references, roomy_request};
use super::outcome::{Obstacle, Result};
use super::parity;
use super::references::reference_of;
use super::runner::Runner;
use crate::backend::operations::Operations;
use crate::backend::{Backend, Feed, OpenRequest};
use crate::localize::vote::{self, Voice, Vote};
use crate::localize::{
    self, Evidence, Localization, LocalizeError, MOST_POSITIONS, Pair, Question,
};
use crate::suite::case::Prompt;
use crate::suite::{Check, Trial};

/// Multiplications that the scalar pass may take: half a minute of them.
const SCALAR_COST: u64 = 5_000_000_000;

/// What was found for a trial, and what its reproducer is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Localized {
    /// What was found.
    pub found: Localization,
    /// Rows of the operation.
    pub evidence: Evidence,
    /// The ids that both engines were fed.
    pub ids: Vec<u32>,
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
            ids.extend(Backend::generate(reference, prompt, check.steps - 1)?.ids);
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
        ids.truncate(MOST_POSITIONS);
        Ok(Localized { found, evidence, ids, request })
    }

    /// Lets every engine that can compute the case of `trial` vote on the logits of `ids`, and the model computed
    /// one operation after the other, where that takes seconds.
    ///
    /// # Errors
    /// What keeps an engine from computing. A reference that is not here has no voice, and that is said.
    pub fn vote(&mut self, trial: &Trial, localized: &Localized) -> Result<Vote> {
        let project = Arc::clone(&self.project);
        let (case, request) = (project.case(trial), &localized.request);
        let ids = &localized.ids;
        let (mut voices, mut silent, mut columns) = (Vec::new(), Vec::new(), 0);
        for name in &case.references {
            let of = Trial { reference: Some(name.clone()), ..trial.clone() };
            let program = match reference_of(case, &of) {
                Ok(program) => program,
                Err(Obstacle::Missing(why) | Obstacle::NotBuilt(why)) => {
                    silent.push(why);
                    continue;
                }
                Err(other) => return Err(other),
            };
            let (subject, reference, facts) =
                self.engines.open_pair(program, request, case.timeout)?;
            columns = facts.vocab_size;
            if voices.is_empty() {
                let logits = subject.logits(ids, Feed::Prefill)?.values;
                voices.push(Voice { name: subject.identity().name.clone(), logits });
            }
            let logits = Backend::logits(reference, ids, Feed::Prefill)?.values;
            voices.push(Voice { name: name.clone(), logits });
        }
        let operations = Operations::open(request)?;
        match scalar(&operations, ids) {
            Ok(logits) => voices.push(Voice { name: "our scalar code".into(), logits }),
            Err(why) => silent.push(format!("our scalar code: {why}")),
        }
        if let Some(short) = voices.iter().find(|v| v.logits.len() != ids.len() * columns) {
            let found = short.logits.len();
            return Err(Obstacle::Error(format!(
                "{} gave {found} logits, expected {}",
                crate::escape::text(&short.name),
                ids.len() * columns
            )));
        }
        Ok(vote::take(&voices, columns, silent))
    }
}

/// The scalar pass, where it takes seconds.
fn scalar(operations: &Operations, ids: &[u32]) -> std::result::Result<Vec<f32>, String> {
    let cost = vote::scalar_cost(operations, ids.len());
    if cost > SCALAR_COST {
        return Err(format!(
            "{cost} multiplications for {} positions are more than the {SCALAR_COST} it is asked for",
            ids.len()
        ));
    }
    vote::scalar_pass(operations, ids)
}
