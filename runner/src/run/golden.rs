//! Parity and tokenizer cases against goldens: the subject computes as always, and what was kept of the
//! reference's answer takes the reference's place. It starts no reference and records nothing.

use std::cell::RefCell;
use std::env;

use super::engines::{Engines, ModelFile, options, roomy_request};
use super::evidence::Evidence;
use super::outcome::{Obstacle, Outcome, Result};
use super::parity::{Compared, Tokens, forced, piece, rows, tokens};
use super::references::REFERENCES;
use super::tokenizer;
use super::tolerance::tolerance;
use crate::backend::golden::{
    Answer, Golden, GoldenError, ParityAnswer, Question, StoredTokens, TextAnswer, prompt_sha256,
    texts_sha256,
};
use crate::backend::{Backend, Feed, Identity, KernelCalls, ModelFacts};
use crate::compare::Verdict;
use crate::compare::golden::{GoldenInput, judge_golden};
use crate::escape;
use crate::models::LockedModel;
use crate::suite::case::{Parity, Prompt, Tokenizer};
use crate::suite::{Case, Check, Variant};

/// Environment variable that says who answers for the references.
pub const REFERENCE_VARIABLE: &str = "BITNET_REFERENCE";

/// When goldens answer for the references.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum GoldenUse {
    /// Where this program was built without the reference.
    #[default]
    NotBuilt,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The value of `BITNET_REFERENCE` is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{REFERENCE_VARIABLE} is {found:?}, allowed are golden and live")]
pub struct BadReference {
    /// What the variable holds.
    pub found: String,
}

impl GoldenUse {
    /// `--goldens`, if it is given; otherwise what the environment says: `golden` is always, `live` never,
    /// and where nothing is set, goldens answer for references that this program was built without.
    ///
    /// # Errors
    /// Another value of the variable, also an empty one.
    pub fn from_environment(flag: bool) -> std::result::Result<Self, BadReference> {
        let value = env::var_os(REFERENCE_VARIABLE);
        match value.as_ref().map(|value| value.to_str()) {
            _ if flag => Ok(Self::Always),
            None => Ok(Self::NotBuilt),
            Some(Some("golden")) => Ok(Self::Always),
            Some(Some("live")) => Ok(Self::Never),
            Some(_) => {
                let found = value.unwrap_or_default().to_string_lossy().into_owned();
                Err(BadReference { found })
            }
        }
    }
}

impl GoldenUse {
    /// Whether no reference is started, so that trials may run side by side.
    pub fn starts_nothing(self) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::NotBuilt => REFERENCES.iter().all(|reference| reference.present().is_err()),
        }
    }
}

impl From<GoldenError> for Obstacle {
    fn from(error: GoldenError) -> Self {
        Obstacle::Error(error.to_string())
    }
}

/// What `case` asks of a reference with the model `locked`; none for the kinds that ask none.
pub fn question(case: &Case, locked: &LockedModel) -> Option<Question> {
    let (prompt_sha256, steps, special) = match &case.check {
        Check::Parity(parity) => {
            let prompt = match &parity.prompt {
                Prompt::Text(text) => prompt_sha256(Ok(text)),
                Prompt::Tokens(ids) => prompt_sha256(Err(ids)),
            };
            (prompt, Some(parity.steps), parity.special)
        }
        Check::Tokenizer(tokenizer) => (texts_sha256(&tokenizer.texts), None, tokenizer.special),
        _ => return None,
    };
    Some(Question {
        model_sha256: locked.sha256.clone(),
        prompt_sha256,
        steps,
        add_special: special.add,
        parse_special: special.parse,
        threads: 1,
    })
}

/// Whose answer a golden holds, for results: `golden: bitnet-cpp 1.0.2, recorded 2026-01-31`.
pub(super) fn basis(golden: &Golden) -> String {
    let (by, recorded) = (&golden.header.reference, &golden.header.recorded);
    escape::text(&format!("golden: {} {}, recorded {recorded}", by.name, by.version))
}

/// Who answered, for receipts: the reference, whose source says that a golden stands for it.
pub(super) fn identity(golden: &Golden) -> Identity {
    let Identity { name, version, source, build } = golden.header.reference.clone();
    let source = format!("golden, recorded {}: {source}", golden.header.recorded);
    Identity { name, version, source, build }
}

/// Runs one variant of a parity case against `golden`.
pub(super) fn run_parity(
    engines: &mut Engines,
    golden: &Golden,
    model: ModelFile<'_>,
    parity: &Parity,
    variant: &Variant,
) -> Result<Compared> {
    let Answer::Parity(answer) = &golden.answer else { return Err(other_kind()) };
    let tolerance = tolerance(&parity.tolerance, parity.greedy)
        .map_err(|error| Obstacle::Error(error.to_string()))?;
    let facts = facts(engines, golden, model, variant)?;
    let ParityAnswer { prompt, chosen, .. } = &**answer;
    // As a live trial does it: the context is a part of what is asked of the subject.
    let positions = prompt.len() + parity.steps;
    engines.open_subject(&roomy_request(model, variant, positions, &facts)?)?;
    let subject = &mut *engines.subject;
    let ours = tokens(subject, parity, &facts)?;
    let theirs = match (&parity.prompt, &answer.tokens) {
        (Prompt::Text(text), Some(kept)) => Some(restored(prompt, kept, text)),
        (Prompt::Tokens(_), None) => None,
        _ => return Err(other_kind()),
    };
    let ids = answer.fed();
    let before = subject.kernels();
    let run = subject.generate(prompt, parity.steps)?;
    let prefill = subject.logits(&ids, Feed::Prefill)?;
    let forced = forced(subject, prompt, &ids, chosen, run)?;
    let input = GoldenInput {
        vocab_size: facts.vocab_size,
        ids: &ids,
        prompt_len: prompt.len(),
        chosen,
        reference_prefill: &answer.prefill,
        reference_steps: &answer.steps,
        reference_noise: answer.noise.as_ref(),
        test_prefill: rows(&prefill, &facts, "the subject's prefill")?,
        test_steps: rows(&forced.logits, &facts, "the subject's steps")?,
        free_run: (parity.steps > 0).then_some(&*forced.free_run),
        tokens: theirs.as_ref().zip(ours.as_ref()).map(|(a, b)| (a.view(), b.view())),
    };
    let verdict =
        judge_golden(&input, &tolerance).unwrap_or_else(|error| Verdict::error(&error, &tolerance));
    let kernels = KernelCalls::since(subject.kernels(), &before);
    let mut ids = ids.clone();
    ids.extend(chosen.last());
    let texts = ids.iter().map(|&id| piece(subject, id)).collect();
    let subject = RefCell::new(subject);
    let piece = |id| piece(&mut **subject.borrow_mut() as &mut dyn Backend, id);
    let outcome = Outcome::of_verdict(verdict.clone(), &ids, &piece);
    let vocab_size = facts.vocab_size;
    let evidence = Evidence { verdict, vocab_size, ids, texts, kernels, qualification: None };
    Ok(Compared { outcome, evidence })
}

/// Runs one variant of a tokenizer case against `golden`.
pub(super) fn run_tokenizer(
    engines: &mut Engines,
    golden: &Golden,
    model: ModelFile<'_>,
    check: &Tokenizer,
    variant: &Variant,
) -> Result<Outcome> {
    let Answer::Tokenizer(texts) = &golden.answer else { return Err(other_kind()) };
    if texts.len() != check.texts.len() {
        return Err(other_kind());
    }
    let facts = facts(engines, golden, model, variant)?;
    engines.open_subject(&roomy_request(model, variant, 1, &facts)?)?;
    let kept = |index: usize, text: &str, special: bool| {
        let TextAnswer { asked, plain } = &texts[index];
        let (ids, tokens) = if special { asked } else { plain };
        Ok(restored(ids, tokens, text))
    };
    tokenizer::compare(&mut *engines.subject, check, options(check.special), &facts, kept)
}

/// What both read in the model, which must be the same.
fn facts(
    engines: &mut Engines,
    golden: &Golden,
    model: ModelFile<'_>,
    variant: &Variant,
) -> Result<ModelFacts> {
    let facts = engines.facts(model, variant)?;
    if facts != golden.header.facts {
        return Err(Obstacle::Error(format!(
            "the engines read the model differently: the golden's {} found {:?}, {} found {facts:?}",
            escape::text(&golden.header.reference.name),
            golden.header.facts,
            engines.subject.identity().name
        )));
    }
    Ok(facts)
}

fn restored(ids: &[u32], kept: &StoredTokens, text: &str) -> Tokens {
    Tokens { ids: ids.to_vec(), byte_lengths: kept.byte_lengths.clone(), bytes: kept.bytes(text) }
}

/// The question's hash says that this cannot be; a file that was made by hand can still do it.
fn other_kind() -> Obstacle {
    Obstacle::Error(
        "the golden holds the answer to a case of another form; record it again where the reference \
         is built: cargo parity record"
            .into(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_stands_above_the_environment() {
        assert_eq!(GoldenUse::from_environment(true), Ok(GoldenUse::Always));
    }

    #[test]
    fn another_word_is_refused_with_those_that_are_allowed() {
        let error = BadReference { found: "x".into() };
        assert_eq!(error.to_string(), "BITNET_REFERENCE is \"x\", allowed are golden and live");
    }
}
