//! What the receipt of a trial holds beside its verdict, and the receipt itself. It measures nothing
//! and writes no file.

use std::time::SystemTime;

use super::{Outcome, Project};
use crate::backend::engine::{FileFacts, file_facts};
use crate::backend::{Identity, KernelCalls};
use crate::compare::{Qualification, Tolerance, Verdict, Word};
use crate::machine::Machine;
use crate::receipt::{
    CaseFacts, Kind, ModelFacts, ParityMetrics, ParityReceipt, ParityVerdict, PromptFacts, Raw,
    SCHEMA_VERSION, Tool, rfc3339,
};
use crate::suite::Trial;
use crate::suite::case::{Parity, Prompt};

/// What a comparison rests on beside its verdict.
#[derive(Debug, Clone)]
pub(super) struct Evidence {
    /// The verdict, whatever becomes of it.
    pub(super) verdict: Verdict,
    /// Logits in a row.
    pub(super) vocab_size: usize,
    /// Prompt and the reference's choices.
    pub(super) ids: Vec<u32>,
    /// Their texts, escaped.
    pub(super) texts: Vec<String>,
    /// The subject's kernels of this trial.
    pub(super) kernels: Vec<KernelCalls>,
    /// The known-wrong outputs, where they were asked for.
    pub(super) qualification: Option<Qualification>,
}

/// What a runner knows of a trial that has ended.
pub(super) struct Ended<'a> {
    pub(super) project: &'a Project,
    pub(super) trial: &'a Trial,
    pub(super) outcome: &'a Outcome,
    pub(super) evidence: Option<&'a Evidence>,
    pub(super) subject: Identity,
    /// The trial's reference, if it was started.
    pub(super) reference: Option<Identity>,
    /// The model's verified file, if it was there.
    pub(super) model: Option<&'a std::path::Path>,
    pub(super) begun: SystemTime,
    pub(super) seconds: f64,
}

impl Ended<'_> {
    /// The receipt of this trial of `check`, judged by `tolerance`. A trial without a comparison is an
    /// ERROR with the outcome's own words.
    pub(super) fn receipt(self, check: &Parity, tolerance: Tolerance) -> ParityReceipt {
        let Self { project, trial, evidence, .. } = self;
        let (suite, case) = (project.suite(trial), project.case(trial));
        let verdict = evidence.map_or_else(
            || ParityVerdict::error(self.words()),
            |evidence| ParityVerdict::of(&evidence.verdict),
        );
        let qualification = evidence.and_then(|evidence| evidence.qualification.clone());
        let compared = evidence.filter(|evidence| evidence.verdict.word != Word::Error);
        let known_failure = case.known_failure.as_ref().map(|known| known.issue);
        let passed =
            ParityReceipt::passes(verdict.word, known_failure.is_some(), qualification.as_ref());
        ParityReceipt {
            schema_version: SCHEMA_VERSION.to_owned(),
            kind: Kind::Parity,
            tool: Tool::here(),
            time: rfc3339(self.begun),
            seconds: self.seconds,
            case: CaseFacts::new(&trial.id, &suite.sha256),
            prompt: match &check.prompt {
                Prompt::Text(text) => PromptFacts::of_text(text),
                Prompt::Tokens(ids) => PromptFacts::of_ids(ids),
            },
            model: self.model_facts(),
            machine: Machine::here(),
            against: trial.reference.clone(),
            threads: trial.variant.threads.unwrap_or(1),
            isa: trial.variant.isa.clone(),
            kernels: evidence.map(|evidence| evidence.kernels.clone()).unwrap_or_default(),
            raw: compared.and_then(|evidence| {
                let Evidence { verdict, vocab_size, ids, texts, .. } = evidence;
                Raw::of(verdict, *vocab_size, ids, texts)
            }),
            metrics: compared.and_then(|evidence| ParityMetrics::of(&evidence.verdict)),
            tolerance,
            subject: self.subject,
            reference: self.reference,
            qualification,
            known_failure,
            verdict,
            passed,
        }
    }

    /// Why nothing was compared.
    fn words(&self) -> String {
        match self.outcome {
            Outcome::Passed { line: text, .. }
            | Outcome::Failed { text, .. }
            | Outcome::Ignored { reason: text } => text.clone(),
        }
    }

    /// None where the file is not there or is no model; the verdict says so then.
    fn model_facts(&self) -> Option<ModelFacts> {
        let id = self.project.case(self.trial).model.as_deref()?;
        let locked = self.project.lock.get(id)?;
        let FileFacts { bytes, architecture, tensor_types } = file_facts(self.model?).ok()?;
        let (id, sha256) = (id.to_owned(), locked.sha256.clone());
        Some(ModelFacts { id, sha256, bytes, architecture, tensor_types })
    }
}
