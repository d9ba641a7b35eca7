//! The pair of engines of a trial, both opened alike.
//!
//! A reference is started when the first trial needs it and kept for the next ones. This file
//! compares nothing; which reference a trial has is chosen in `references`.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use bitnet_engine::quant::i2_s::FileLayout;

use super::outcome::{Obstacle, Result};
use super::references::ReferenceProgram;
use crate::backend::engine::EngineBackend;
use crate::backend::worker::WorkerBackend;
use crate::backend::{Backend, Identity, ModelFacts, OpenRequest, ReferenceBuild, TokenizeOptions};
use crate::models::LockedModel;
use crate::suite::Variant;
use crate::suite::case::{Prompt, SpecialTokens};

/// Positions are asked for in steps of this, so that trials of like length share a session.
const CONTEXT_STEP: usize = 512;
/// Seconds for one answer where the case gives none; the longest ones here take a few.
const ANSWER_SECONDS: u64 = 300;

/// How the references that this workspace compiles here pack I2_S: bitnet.cpp decides when it is
/// compiled.
const REFERENCE_LAYOUT: FileLayout =
    if cfg!(target_arch = "aarch64") { FileLayout::Arm } else { FileLayout::X86 };

/// A model's file and what the lock says of it that the file does not.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ModelFile<'a> {
    /// The verified file.
    pub path: &'a Path,
    /// How it packs I2_S.
    pub i2s_layout: FileLayout,
}

impl<'a> ModelFile<'a> {
    /// The verified file of a model of the lock.
    pub(crate) fn of(locked: &LockedModel, path: &'a Path) -> Self {
        Self { path, i2s_layout: locked.i2s_layout }
    }
}

/// Engines that live as long as a run.
pub struct Engines {
    /// The engine under test.
    pub subject: Box<dyn Backend>,
    /// Requests to the last model that each side opened.
    subject_open: Option<(OpenRequest, ModelFacts)>,
    references: BTreeMap<&'static str, Reference>,
}

struct Reference {
    worker: WorkerBackend,
    open: Option<(OpenRequest, ModelFacts)>,
}

impl Default for Engines {
    fn default() -> Self {
        Self::with_subject(Box::new(EngineBackend::new()))
    }
}

impl Engines {
    /// The engines, with `subject` under test.
    pub fn with_subject(subject: Box<dyn Backend>) -> Self {
        Self { subject, subject_open: None, references: BTreeMap::new() }
    }

    /// Identities of the references that were started.
    pub fn started(&self) -> impl Iterator<Item = &Identity> {
        self.references.values().map(|reference| reference.worker.identity())
    }

    /// Identity of the reference `name`, if it was started.
    pub(super) fn reference(&self, name: &str) -> Option<&Identity> {
        self.references.get(name).map(|reference| reference.worker.identity())
    }

    /// Process id of a started reference: how tests kill it in the middle of a case.
    pub fn process_id(&self, name: &str) -> Option<u32> {
        self.references.get(name).and_then(|reference| reference.worker.process_id())
    }

    /// The subject with `model` open.
    pub(super) fn open_subject(&mut self, request: &OpenRequest) -> Result<ModelFacts> {
        if let Some((open, facts)) = &self.subject_open
            && open == request
        {
            return Ok(facts.clone());
        }
        self.subject_open = None;
        let facts = self.subject.open(request)?;
        self.subject_open = Some((request.clone(), facts.clone()));
        Ok(facts)
    }

    /// What the subject finds in `model`, whatever session is open.
    pub(super) fn facts(&mut self, model: ModelFile<'_>, variant: &Variant) -> Result<ModelFacts> {
        let wanted = request(model, variant, 1);
        match &self.subject_open {
            Some((open, facts)) if same_weights(open, &wanted) => Ok(facts.clone()),
            _ => self.open_subject(&wanted),
        }
    }

    /// Forgets what is open, so that the next request opens a new session.
    pub(super) fn forget_subject(&mut self) {
        self.subject_open = None;
    }

    /// The reference with `request`'s model open, whatever the subject has.
    pub(super) fn open_reference(
        &mut self,
        program: &'static ReferenceProgram,
        request: &OpenRequest,
    ) -> Result<ModelFacts> {
        self.open_reference_within(program, request, None)
    }

    /// The reference with `request`'s model open, whatever the subject has, and what it found.
    pub(super) fn reference_program(
        &mut self,
        program: &'static ReferenceProgram,
        request: &OpenRequest,
        timeout: Option<Duration>,
    ) -> Result<(&mut WorkerBackend, ModelFacts)> {
        let facts = self.open_reference_within(program, request, timeout)?;
        let reference = self.references.get_mut(program.name).expect("opened above");
        Ok((&mut reference.worker, facts))
    }

    fn open_reference_within(
        &mut self,
        program: &'static ReferenceProgram,
        request: &OpenRequest,
        timeout: Option<Duration>,
    ) -> Result<ModelFacts> {
        let name = program.name;
        if !self.references.contains_key(name) {
            let worker = program.start(ANSWER_SECONDS, &[])?;
            if ReferenceBuild::of(worker.identity()) == ReferenceBuild::Fastest {
                return Err(Obstacle::Error(format!(
                    "the worker of {name} is a build for speed, whose sums are rounded elsewhere: \
                     answers are compared with the checking build\n  to get it: build without the \
                     feature `fastest-references`"
                )));
            }
            self.references.insert(name, Reference { worker, open: None });
        }
        let reference = self.references.get_mut(name).expect("inserted above");
        let seconds = timeout.map_or(ANSWER_SECONDS, |limit| limit.as_secs().max(1));
        reference.worker.set_request_seconds(seconds);
        // Variants are the subject's: the reference has the instruction set it was built for, and its
        // results do not depend on threads, which would only spin against the subject's.
        let request = OpenRequest { isa: None, threads: 1, ..request.clone() };
        let facts = match &reference.open {
            Some((open, facts)) if *open == request => facts.clone(),
            _ => {
                reference.open = None;
                let facts = reference.worker.open(&request)?;
                reference.open = Some((request, facts.clone()));
                facts
            }
        };
        Ok(facts)
    }

    /// Both engines with the same model open: (subject, reference, facts).
    pub(super) fn open_pair(
        &mut self,
        program: &'static ReferenceProgram,
        request: &OpenRequest,
        timeout: Option<Duration>,
    ) -> Result<(&mut dyn Backend, &mut WorkerBackend, ModelFacts)> {
        let subject_facts = self.open_subject(request)?;
        let facts = self.open_reference_within(program, request, timeout)?;
        if facts != subject_facts {
            return Err(Obstacle::Error(format!(
                "the engines read the model differently: {} found {facts:?}, {} found \
                 {subject_facts:?}",
                program.name,
                self.subject.identity().name
            )));
        }
        let reference = self.references.get_mut(program.name).expect("opened above");
        Ok((&mut *self.subject, &mut reference.worker, facts))
    }
}

/// Whether two requests differ in the session's settings alone.
fn same_weights(one: &OpenRequest, other: &OpenRequest) -> bool {
    let weights =
        |request: &OpenRequest| (request.model.clone(), request.isa.clone(), request.i2s_layout);
    weights(one) == weights(other)
}

/// Refuses a file that a reference would read in its own packing, and compute another model.
pub(crate) fn readable_by_references(model: ModelFile<'_>) -> Result<()> {
    let packed = model.i2s_layout;
    if packed == REFERENCE_LAYOUT {
        return Ok(());
    }
    Err(Obstacle::Error(format!(
        "no reference here reads this file: models.toml says that its I2_S is packed as `{packed}`, \
         bitnet.cpp built for this processor reads `{REFERENCE_LAYOUT}`, and llama.cpp has no I2_S\n  \
         metamorphic cases can use the model; for a comparison quantise it as `{REFERENCE_LAYOUT}`"
    )))
}

/// What a variant asks of the engines. One thread unless the variant says otherwise: results do not
/// depend on it, and both engines can then work at the same time.
pub(super) fn request(model: ModelFile<'_>, variant: &Variant, positions: usize) -> OpenRequest {
    OpenRequest {
        threads: variant.threads.unwrap_or(1),
        isa: variant.isa.clone(),
        i2s_layout: model.i2s_layout,
        ..OpenRequest::new(model.path, positions)
    }
}

/// [`request`] for at least `positions`, rounded up so that trials of like length share a session.
///
/// Says so where the model has fewer positions.
pub(super) fn roomy_request(
    model: ModelFile<'_>,
    variant: &Variant,
    positions: usize,
    facts: &ModelFacts,
) -> Result<OpenRequest> {
    if positions > facts.context_length {
        return Err(Obstacle::Error(format!(
            "the case needs {positions} positions (prompt and steps), and the model has {}",
            facts.context_length
        )));
    }
    let rounded = positions.max(1).next_multiple_of(CONTEXT_STEP).min(facts.context_length);
    Ok(request(model, variant, rounded))
}

/// The ids of a prompt, by `backend`'s own tokenizer where it is text.
pub(super) fn prompt_ids(
    backend: &mut dyn Backend,
    prompt: &Prompt,
    special: SpecialTokens,
) -> Result<Vec<u32>> {
    match prompt {
        Prompt::Tokens(ids) => Ok(ids.clone()),
        Prompt::Text(text) => Ok(backend.tokenize(text, options(special))?),
    }
}

/// The suite format's words as the backends' options.
pub(super) fn options(special: SpecialTokens) -> TokenizeOptions {
    TokenizeOptions { add_special: special.add, parse_special: special.parse }
}
