//! Recording a golden: a reference answers a case alone, and what is kept of its answer becomes a file. It
//! runs no subject and compares nothing but the reference with itself.

use super::engines::{ModelFile, options, readable_by_references, request, roomy_request};
use super::golden::question;
use super::outcome::{Obstacle, Result};
use super::parity::{Tokens, rows};
use super::references::reference_of;
use super::runner::Runner;
use crate::backend::golden::{
    Answer, Golden, Header, MOST_BYTES, ParityAnswer, StoredTokens, TextAnswer,
};
use crate::backend::worker::WorkerBackend;
use crate::backend::{Backend, Feed, ModelFacts, TokenizeOptions};
use crate::compare::golden::PathDigest;
use crate::compare::{CompareError, NoiseProfile, Rows};
use crate::models::LockedModel;
use crate::suite::case::{Case, Parity, Prompt, Tokenizer};
use crate::suite::{Check, Trial, Variant};

impl Runner {
    /// What the reference of `trial` answers to its case, to be kept as recorded on the day `recorded`.
    ///
    /// # Errors
    /// A reference or a model that is not here, an engine that fails, and an answer too large to keep.
    pub fn record(&mut self, trial: &Trial, recorded: &str) -> Result<Golden> {
        let project = self.project();
        let (suite, case) = (project.suite(trial), project.case(trial));
        let program = reference_of(case, trial)?;
        let id = case.model.as_deref().unwrap_or_default();
        let locked = project
            .lock
            .get(id)
            .ok_or_else(|| Obstacle::Error(format!("models.toml has no '{id}'")))?;
        let path = self.resolve(locked)?;
        let model = ModelFile::of(locked, &path);
        readable_by_references(model)?;
        // Variants are the subject's; the reference computes in one way.
        let variant = Variant::default();
        let small = request(model, &variant, 1);
        let (_, facts) = self.engines.reference_program(program, &small, case.timeout)?;
        let answer = match &case.check {
            Check::Parity(parity) => {
                let small = roomy_request(model, &variant, 1, &facts)?;
                let (reference, _) =
                    self.engines.reference_program(program, &small, case.timeout)?;
                let (prompt, tokens) = prompt(reference, parity, &facts)?;
                let positions = prompt.len() + parity.steps;
                let roomy = roomy_request(model, &variant, positions, &facts)?;
                let (reference, _) =
                    self.engines.reference_program(program, &roomy, case.timeout)?;
                let answer = parity_answer(reference, parity, prompt, tokens, &facts)?;
                Answer::Parity(Box::new(answer))
            }
            Check::Tokenizer(check) => {
                let small = roomy_request(model, &variant, 1, &facts)?;
                let (reference, _) =
                    self.engines.reference_program(program, &small, case.timeout)?;
                Answer::Tokenizer(text_answers(reference, check, &facts)?)
            }
            _ => return Err(Obstacle::Error("this kind of case asks no reference".into())),
        };
        let (reference, _) = self.engines.reference_program(program, &small, case.timeout)?;
        let identity = reference.identity().clone();
        let header = header(&suite.name, case, locked, recorded, identity, facts)?;
        fitting(Golden { header, answer })
    }
}

fn header(
    suite: &str,
    case: &Case,
    locked: &LockedModel,
    recorded: &str,
    reference: crate::backend::Identity,
    facts: ModelFacts,
) -> Result<Header> {
    let question = question(case, locked)
        .ok_or_else(|| Obstacle::Error("this kind of case asks no reference".into()))?;
    let (case, recorded) = (format!("{suite}::{}", case.name), recorded.to_owned());
    Ok(Header { case, recorded, reference, question, facts })
}

fn prompt(
    reference: &mut WorkerBackend,
    parity: &Parity,
    facts: &ModelFacts,
) -> Result<(Vec<u32>, Option<StoredTokens>)> {
    match &parity.prompt {
        Prompt::Tokens(ids) => Ok((ids.clone(), None)),
        Prompt::Text(text) => {
            let (ids, tokens) = stored(reference, text, options(parity.special), facts)?;
            Ok((ids, Some(tokens)))
        }
    }
}

fn stored(
    reference: &mut WorkerBackend,
    text: &str,
    options: TokenizeOptions,
    facts: &ModelFacts,
) -> Result<(Vec<u32>, StoredTokens)> {
    let tokens = Tokens::new(reference, text, options, facts)?;
    let kept = StoredTokens::new(&tokens.byte_lengths, &tokens.bytes, text);
    Ok((tokens.ids, kept))
}

fn text_answers(
    reference: &mut WorkerBackend,
    check: &Tokenizer,
    facts: &ModelFacts,
) -> Result<Vec<TextAnswer>> {
    let asked = options(check.special);
    let plain = TokenizeOptions { add_special: false, ..asked };
    let answer = |text: &String| {
        Ok(TextAnswer {
            asked: stored(reference, text, asked, facts)?,
            plain: stored(reference, text, plain, facts)?,
        })
    };
    check.texts.iter().map(answer).collect()
}

fn parity_answer(
    reference: &mut WorkerBackend,
    parity: &Parity,
    prompt: Vec<u32>,
    tokens: Option<StoredTokens>,
    facts: &ModelFacts,
) -> Result<ParityAnswer> {
    let run = reference.generate(&prompt, parity.steps)?;
    let mut ids = prompt.clone();
    ids.extend(&run.ids[..parity.steps.saturating_sub(1)]);
    let logits = reference.logits(&ids, Feed::Prefill)?;
    let prefill_values = rows(&logits, facts, "the reference's prefill")?;
    let step_values = rows(&run.logits, facts, "the reference's steps")?;
    let first = prompt.len().saturating_sub(1);
    let digest = || {
        let prefill = Rows::new("reference prefill", facts.vocab_size, prefill_values, 0)?;
        let steps = Rows::new("reference decode", facts.vocab_size, step_values, first)?;
        for (what, rows, expected) in [
            ("reference prefill", &prefill, ids.len()),
            ("reference decode", &steps, run.ids.len()),
        ] {
            if rows.len() != expected {
                return Err(CompareError::Shape {
                    what: what.to_owned(),
                    found: format!("{} rows", rows.len()),
                    expected: expected.to_string(),
                });
            }
        }
        let noise = match steps.is_empty() {
            true => None,
            false => Some(NoiseProfile::measure(&prefill.slice(first, steps.len())?, &steps)?),
        };
        Ok((
            PathDigest::of(&prefill, ids.get(1..).unwrap_or_default())?,
            PathDigest::of(&steps, &run.ids)?,
            noise,
        ))
    };
    let (prefill, steps, noise) = digest().map_err(|e| Obstacle::Error(e.to_string()))?;
    Ok(ParityAnswer { prompt, tokens, chosen: run.ids, prefill, steps, noise })
}

/// The golden with the figures of as many rows as there is room for: every row, every second, every third
/// and so on, the last one always.
fn fitting(golden: Golden) -> Result<Golden> {
    let size = |golden: &Golden| match golden.encode() {
        Ok(bytes) => Ok(bytes.len()),
        Err(error) => Err(Obstacle::Error(format!("the golden's header has no JSON: {error}"))),
    };
    let Answer::Parity(whole) = &golden.answer else { return Ok(golden) };
    let rows = whole.prefill.rows.len();
    for step in 1..=rows {
        let mut answer = (**whole).clone();
        let first = answer.prompt.len() - 1;
        thin(&mut answer.prefill, |row| (rows - 1 - row).is_multiple_of(step));
        thin(&mut answer.steps, |row| (rows - 1 - first - row).is_multiple_of(step));
        let thinned =
            Golden { header: golden.header.clone(), answer: Answer::Parity(Box::new(answer)) };
        if size(&thinned)? <= MOST_BYTES {
            return Ok(thinned);
        }
    }
    Ok(golden)
}

fn thin(path: &mut PathDigest, keep: impl Fn(usize) -> bool) {
    for (index, row) in path.rows.iter_mut().enumerate() {
        if !keep(index) {
            row.figures = None;
        }
    }
}
