//! A parity case: ids, logits of every position and greedy choices, against a reference.
//!
//! It asks both engines and hands the outputs to `compare`; it has no limit of its own.

use std::thread;

use super::engines::{Engines, options, request};
use super::outcome::{Obstacle, Outcome, Result};
use super::tolerance::tolerance;
use crate::backend::{Backend, BackendError, Feed, Generation, Logits, ModelFacts};
use crate::compare::{ParityInput, Tokenised, Verdict, escape_piece, judge};
use crate::models::LockedModel;
use crate::suite::case::{Parity, Prompt};
use crate::suite::{Case, Variant};

/// Positions opened while the length of the prompt is not known.
const FIRST_CONTEXT: usize = 512;

/// Runs one variant of a parity case.
pub(super) fn run(
    engines: &mut Engines,
    model: &LockedModel,
    path: &std::path::Path,
    case: &Case,
    parity: &Parity,
    variant: &Variant,
) -> Result<Outcome> {
    let tolerance = tolerance(&parity.tolerance, parity.greedy)
        .map_err(|error| Obstacle::Error(error.to_string()))?;
    let first = request(path, variant, FIRST_CONTEXT);
    let (subject, reference, facts) = engines.open_pair(model, &first, case.timeout)?;
    let ours = tokens(subject, parity, &facts)?;
    let theirs = tokens(reference, parity, &facts)?;
    let prompt = theirs.as_ref().map_or_else(|| prompt_tokens(parity), |t| t.ids.clone());
    let positions = prompt.len() + parity.steps;
    if positions > facts.context_length {
        return Err(Obstacle::Error(format!(
            "the prompt's {} ids and {} steps are more than the model's {} positions",
            prompt.len(),
            parity.steps,
            facts.context_length
        )));
    }
    let request = request(path, variant, positions.max(FIRST_CONTEXT));
    let (subject, reference, _) = engines.open_pair(model, &request, case.timeout)?;
    let outputs = outputs(subject, reference, &prompt, parity.steps)?;
    let input = ParityInput {
        vocab_size: facts.vocab_size,
        ids: &outputs.ids,
        prompt_len: prompt.len(),
        reference_prefill: &outputs.reference_prefill.values,
        test_prefill: &outputs.subject_prefill.values,
        reference_steps: &outputs.reference.logits.values,
        test_steps: &outputs.subject.logits.values,
        chosen: &outputs.reference.ids,
        free_run: (parity.steps > 0).then_some(&*outputs.subject.free_run),
        tokens: theirs.as_ref().zip(ours.as_ref()).map(|(a, b)| (a.view(), b.view())),
    };
    let verdict =
        judge(&input, &tolerance).unwrap_or_else(|error| Verdict::error(&error, &tolerance));
    let mut all = outputs.ids.clone();
    all.extend(outputs.reference.ids.last());
    let pieces = pieces(subject, &all);
    Ok(Outcome::of_verdict(verdict, &all, &|id| {
        pieces.iter().find(|(known, _)| *known == id).map_or_else(String::new, |(_, p)| p.clone())
    }))
}

/// One engine's tokenisation of the prompt's text.
struct Tokens {
    ids: Vec<u32>,
    byte_lengths: Vec<usize>,
}

impl Tokens {
    fn view(&self) -> Tokenised<'_> {
        Tokenised { ids: &self.ids, byte_lengths: &self.byte_lengths, detokenised: None }
    }
}

fn tokens(
    backend: &mut dyn Backend,
    parity: &Parity,
    facts: &ModelFacts,
) -> Result<Option<Tokens>> {
    let Prompt::Text(text) = &parity.prompt else { return Ok(None) };
    let ids = backend.tokenize(text, options(parity.special))?;
    let mut byte_lengths = Vec::with_capacity(ids.len());
    for (index, id) in ids.iter().enumerate() {
        let added = index == 0 && parity.special.add && facts.bos == Some(*id);
        byte_lengths.push(if added { 0 } else { backend.detokenize(&[*id])?.len() });
    }
    Ok(Some(Tokens { ids, byte_lengths }))
}

fn prompt_tokens(parity: &Parity) -> Vec<u32> {
    match &parity.prompt {
        Prompt::Tokens(ids) => ids.clone(),
        Prompt::Text(_) => Vec::new(),
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
            Ok((logits, forced(subject, prompt, &generation.ids, run)?))
        },
    )?;
    Ok(Outputs { ids, reference: generation, reference_prefill, subject: forced, subject_prefill })
}

/// Asks both engines at the same time: the reference computes in another process.
fn both<A: Send, B>(
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
struct Forced {
    logits: Logits,
    /// What the subject chooses when nobody corrects it.
    free_run: Vec<u32>,
}

/// Starts from the subject's own greedy `run` and puts it back on the reference's ids after every
/// difference: its rows up to and including the different choice were computed on the same ids, so
/// they stand.
fn forced(
    subject: &mut dyn Backend,
    prompt: &[u32],
    chosen: &[u32],
    mut run: Generation,
) -> std::result::Result<Forced, BackendError> {
    let free_run = run.ids.clone();
    let vocab_size = run.logits.vocab_size;
    let mut values = Vec::with_capacity(chosen.len() * vocab_size);
    let mut done = 0;
    loop {
        let rest = &chosen[done..];
        let same = run.ids.iter().zip(rest).take_while(|(a, b)| a == b).count();
        let usable = rest.len().min(same + 1);
        values.extend_from_slice(&run.logits.values[..usable * vocab_size]);
        done += usable;
        if done == chosen.len() {
            return Ok(Forced { logits: Logits { vocab_size, values }, free_run });
        }
        let anchor: Vec<u32> = prompt.iter().chain(&chosen[..done]).copied().collect();
        run = subject.generate(&anchor, chosen.len() - done)?;
    }
}

/// Every id's text, escaped; an id without one is shown as such.
fn pieces(subject: &mut dyn Backend, ids: &[u32]) -> Vec<(u32, String)> {
    let mut unique = ids.to_vec();
    unique.sort_unstable();
    unique.dedup();
    unique
        .into_iter()
        .map(|id| {
            let text = subject.detokenize(&[id]).map(|bytes| escape_piece(&bytes));
            (id, text.unwrap_or_else(|_| "(no text)".into()))
        })
        .collect()
}
