//! A parity case: ids, logits of every position and greedy choices, against a reference.
//!
//! It asks both engines and hands the outputs to `compare`; it has no limit of its own.

use std::cell::RefCell;
use std::thread;
use std::time::Duration;

use super::engines::{Engines, ModelFile, options, readable_by_references, roomy_request};
use super::evidence::Evidence;
use super::outcome::{Obstacle, Outcome, Result};
use super::references::ReferenceProgram;
use super::tolerance::tolerance;
use crate::backend::{
    Backend, BackendError, Feed, Generation, KernelCalls, Logits, ModelFacts, TokenizeOptions,
};
use crate::compare::{ParityInput, Tokenised, Verdict, escape_piece, judge, qualify};
use crate::suite::Variant;
use crate::suite::case::{Parity, Prompt};

/// How a parity case ended, and what that rests on.
pub(super) struct Compared {
    pub(super) outcome: Outcome,
    pub(super) evidence: Evidence,
}

/// Runs one variant of a parity case. `qualifying` also feeds its tolerance with known-wrong outputs.
pub(super) fn run(
    engines: &mut Engines,
    against: &'static ReferenceProgram,
    model: ModelFile<'_>,
    timeout: Option<Duration>,
    parity: &Parity,
    variant: &Variant,
    qualifying: bool,
) -> Result<Compared> {
    let tolerance = tolerance(&parity.tolerance, parity.greedy)
        .map_err(|error| Obstacle::Error(error.to_string()))?;
    readable_by_references(model)?;
    let facts = engines.facts(model, variant)?;
    let first = roomy_request(model, variant, 1, &facts)?;
    let (subject, reference, _) = engines.open_pair(against, &first, timeout)?;
    let ours = tokens(subject, parity, &facts)?;
    let theirs = tokens(reference, parity, &facts)?;
    let prompt = match &parity.prompt {
        Prompt::Tokens(ids) => ids,
        Prompt::Text(_) => theirs.as_ref().map_or(&[][..], |tokens| &tokens.ids),
    };
    let request = roomy_request(model, variant, prompt.len() + parity.steps, &facts)?;
    let (subject, reference, _) = engines.open_pair(against, &request, timeout)?;
    let before = subject.kernels();
    let outputs = outputs(subject, reference, prompt, parity.steps)?;
    let input = ParityInput {
        vocab_size: facts.vocab_size,
        ids: &outputs.ids,
        prompt_len: prompt.len(),
        reference_prefill: rows(&outputs.reference_prefill, &facts, "the reference's prefill")?,
        test_prefill: rows(&outputs.subject_prefill, &facts, "the subject's prefill")?,
        reference_steps: rows(&outputs.reference.logits, &facts, "the reference's steps")?,
        test_steps: rows(&outputs.subject.logits, &facts, "the subject's steps")?,
        chosen: &outputs.reference.ids,
        free_run: (parity.steps > 0).then_some(&*outputs.subject.free_run),
        tokens: theirs.as_ref().zip(ours.as_ref()).map(|(a, b)| (a.view(), b.view())),
    };
    let verdict =
        judge(&input, &tolerance).unwrap_or_else(|error| Verdict::error(&error, &tolerance));
    let kernels = KernelCalls::since(subject.kernels(), &before);
    let mut ids = outputs.ids.clone();
    ids.extend(outputs.reference.ids.last());
    let texts = ids.iter().map(|&id| piece(subject, id)).collect();
    let subject = RefCell::new(subject);
    let outcome =
        Outcome::of_verdict(verdict.clone(), &ids, &|id| piece(&mut **subject.borrow_mut(), id));
    let vocab_size = facts.vocab_size;
    let qualification = qualifying.then(|| qualify(&input, &tolerance));
    let outcome = match &qualification {
        Some(qualification) => outcome.qualified(qualification),
        None => outcome,
    };
    let evidence = Evidence { verdict, vocab_size, ids, texts, kernels, qualification };
    Ok(Compared { outcome, evidence })
}

/// An id's text, escaped; an id without one is shown as such.
pub(super) fn piece(backend: &mut dyn Backend, id: u32) -> String {
    match backend.detokenize(&[id]) {
        Ok(bytes) => escape_piece(&bytes),
        Err(_) => "(no text)".into(),
    }
}

/// The values, if their rows are as wide as the model's vocabulary.
pub(super) fn rows<'a>(logits: &'a Logits, facts: &ModelFacts, what: &str) -> Result<&'a [f32]> {
    if logits.vocab_size == facts.vocab_size {
        return Ok(&logits.values);
    }
    Err(Obstacle::Error(format!(
        "{what} has rows of {} logits, but the model's vocabulary is {}",
        logits.vocab_size, facts.vocab_size
    )))
}

/// One engine's tokenisation of a text.
pub(super) struct Tokens {
    pub(super) ids: Vec<u32>,
    pub(super) byte_lengths: Vec<usize>,
    pub(super) bytes: Vec<u8>,
}

impl Tokens {
    /// `backend`'s ids of `text`, and their way back.
    pub(super) fn new(
        backend: &mut dyn Backend,
        text: &str,
        options: TokenizeOptions,
        facts: &ModelFacts,
    ) -> Result<Self> {
        let ids = backend.tokenize(text, options)?;
        let mut byte_lengths = Vec::with_capacity(ids.len());
        for (index, id) in ids.iter().enumerate() {
            let added = index == 0 && options.add_special && facts.bos == Some(*id);
            byte_lengths.push(if added { 0 } else { backend.detokenize(&[*id])?.len() });
        }
        let bytes = backend.detokenize(&ids)?;
        Ok(Self { ids, byte_lengths, bytes })
    }

    /// For `compare`.
    pub(super) fn view(&self) -> Tokenised<'_> {
        Tokenised {
            ids: &self.ids,
            byte_lengths: &self.byte_lengths,
            detokenised: Some(&self.bytes),
        }
    }
}

pub(super) fn tokens(
    backend: &mut dyn Backend,
    parity: &Parity,
    facts: &ModelFacts,
) -> Result<Option<Tokens>> {
    match &parity.prompt {
        Prompt::Tokens(_) => Ok(None),
        Prompt::Text(text) => Tokens::new(backend, text, options(parity.special), facts).map(Some),
    }
}

/// What both engines computed.
struct Outputs {
    /// Prompt and choices, without the last one: nothing follows it.
    ids: Vec<u32>,
    reference: Generation,
    reference_prefill: Logits,
    subject: Forced,
    subject_prefill: Logits,
}

fn outputs(
    subject: &mut dyn Backend,
    reference: &mut dyn Backend,
    prompt: &[u32],
    steps: usize,
) -> Result<Outputs> {
    let (generation, run) =
        both(|| reference.generate(prompt, steps), || subject.generate(prompt, steps))?;
    let mut ids = prompt.to_vec();
    ids.extend(&generation.ids[..steps.saturating_sub(1)]);
    let (reference_prefill, (subject_prefill, forced)) = both(
        || reference.logits(&ids, Feed::Prefill),
        || {
            let logits = subject.logits(&ids, Feed::Prefill)?;
            Ok((logits, forced(subject, prompt, &ids, &generation.ids, run)?))
        },
    )?;
    Ok(Outputs { ids, reference: generation, reference_prefill, subject: forced, subject_prefill })
}

/// Asks both engines at the same time: the reference computes in another process.
pub(super) fn both<A: Send, B>(
    reference: impl FnOnce() -> std::result::Result<A, BackendError> + Send,
    subject: impl FnOnce() -> std::result::Result<B, BackendError>,
) -> Result<(A, B)> {
    let (theirs, ours) = thread::scope(|scope| {
        let theirs = scope.spawn(reference);
        let ours = subject();
        (theirs.join(), ours)
    });
    let theirs =
        theirs.map_err(|_| Obstacle::Error("the reference's client panicked".into()))??;
    Ok((theirs, ours?))
}

/// The subject's decode path on the reference's ids.
pub(super) struct Forced {
    pub(super) logits: Logits,
    /// What the subject chooses when nobody corrects it.
    pub(super) free_run: Vec<u32>,
}

/// The subject's own greedy `run` where it made the reference's choices; otherwise the decode path
/// once more, on the reference's ids from the first one.
pub(super) fn forced(
    subject: &mut dyn Backend,
    prompt: &[u32],
    ids: &[u32],
    chosen: &[u32],
    run: Generation,
) -> std::result::Result<Forced, BackendError> {
    if run.ids == chosen {
        return Ok(Forced { logits: run.logits, free_run: run.ids });
    }
    let steps = subject.logits(ids, Feed::Steps)?;
    let first = prompt.len().saturating_sub(1) * steps.vocab_size;
    let values = steps.values.get(first..).unwrap_or_default().to_vec();
    let logits = Logits { vocab_size: steps.vocab_size, values };
    Ok(Forced { logits, free_run: run.ids })
}
