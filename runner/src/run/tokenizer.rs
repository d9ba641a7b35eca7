//! A tokenizer case: text to ids and back, against a reference, exactly.

use super::engines::{Engines, ModelFile, options, roomy_request};
use super::outcome::{Obstacle, Outcome, Result};
use super::parity::Tokens;
use super::references::ReferenceProgram;
use crate::backend::{Backend, ModelFacts, TokenizeOptions};
use crate::compare::{TokenComparison, compare_tokens, escape_piece};
use crate::suite::case::Tokenizer;
use crate::suite::{Case, Variant};

/// Runs one variant of a tokenizer case.
pub(super) fn run(
    engines: &mut Engines,
    against: &'static ReferenceProgram,
    model: ModelFile<'_>,
    case: &Case,
    check: &Tokenizer,
    variant: &Variant,
) -> Result<Outcome> {
    let facts = engines.facts(model, variant)?;
    // Tokenising computes no position.
    let request = roomy_request(model, variant, 1, &facts)?;
    let (subject, reference, _) = engines.open_pair(against, &request, case.timeout)?;
    let asked = options(check.special);
    compare(subject, check, asked, &facts, |_, text, special| {
        let options = TokenizeOptions { add_special: special && asked.add_special, ..asked };
        Tokens::new(reference, text, options, &facts)
    })
}

/// Compares the subject's tokenisations of every text with `theirs`: that of the text with this index,
/// with the case's special ids or without any that are added.
pub(super) fn compare(
    subject: &mut dyn Backend,
    check: &Tokenizer,
    asked: TokenizeOptions,
    facts: &ModelFacts,
    mut theirs: impl FnMut(usize, &str, bool) -> Result<Tokens>,
) -> Result<Outcome> {
    // BOS is no text: the way back to the text is tried without it.
    let plain = TokenizeOptions { add_special: false, ..asked };
    let mut total = 0;
    for (index, text) in check.texts.iter().enumerate() {
        let place = format!("text {} of {}", index + 1, check.texts.len());
        let shown = escape_piece(text.as_bytes());
        for (special, options) in [(true, asked), (false, plain)] {
            let theirs = theirs(index, text, special)?;
            let ours = Tokens::new(subject, text, options, facts)?;
            let compared = compare_tokens(&theirs.view(), &ours.view())
                .map_err(|error| Obstacle::Error(error.to_string()))?;
            if !compared.equal() {
                let story = difference(&compared);
                let text = format!("DIVERGED at tokens: {place}: {story}\n  text: \"{shown}\"");
                return Ok(Outcome::differs(text));
            }
            if !options.add_special && ours.bytes != text.as_bytes() {
                return Ok(Outcome::differs(format!(
                    "DIVERGED at tokens: {place}: both engines turn the ids into other text\n  \
                     text: \"{shown}\"\n  back: \"{}\"",
                    escape_piece(&ours.bytes)
                )));
            }
            if !special {
                total += ours.ids.len();
            }
        }
    }
    let texts = check.texts.len();
    Ok(Outcome::passed(format!("EXACT {total} ids of {texts} texts, and back")))
}

/// Where two tokenisations part, in words.
fn difference(compared: &TokenComparison) -> String {
    match (&compared.difference, compared.first_different_byte) {
        (Some(d), _) => format!(
            "ids differ from index {} on (byte {}; {} ids against {})\n  reference: from {} on {:?}\n  \
             subject:   from {} on {:?}",
            d.index,
            d.byte_offset,
            compared.reference_ids,
            compared.test_ids,
            d.from,
            d.reference,
            d.from,
            d.test
        ),
        (None, Some(byte)) => format!("equal ids give other text from byte {byte} on"),
        (None, None) => "the comparison found no place for the difference".into(),
    }
}
