//! A tokenizer case: text to ids and back, against a reference, exactly.

use super::engines::{Engines, options, request};
use super::outcome::{Outcome, Result};
use crate::backend::{Backend, TokenizeOptions};
use crate::compare::escape_piece;
use crate::models::LockedModel;
use crate::suite::case::Tokenizer;
use crate::suite::{Case, Variant};

/// Tokenising computes no position; the smallest session will do.
const CONTEXT: usize = 1;

/// Runs one variant of a tokenizer case.
pub(super) fn run(
    engines: &mut Engines,
    model: &LockedModel,
    path: &std::path::Path,
    case: &Case,
    check: &Tokenizer,
    variant: &Variant,
) -> Result<Outcome> {
    let request = request(path, variant, CONTEXT);
    let (subject, reference, _) = engines.open_pair(model, &request, case.timeout)?;
    let options = options(check.special);
    // BOS is no text: the way back is tried without it.
    let plain = TokenizeOptions { add_special: false, ..options };
    let mut total = 0;
    for (index, text) in check.texts.iter().enumerate() {
        let (theirs, ours) = (reference.tokenize(text, options)?, subject.tokenize(text, options)?);
        if let Some(story) = difference(subject, &theirs, &ours) {
            return Ok(Outcome::failed(format!(
                "DIVERGED at tokens: text {} of {}: {story}\n  text: \"{}\"",
                index + 1,
                check.texts.len(),
                escape_piece(text.as_bytes())
            )));
        }
        total += ours.len();
        let ids = subject.tokenize(text, plain)?;
        for (engine, bytes) in [
            ("the reference's", reference.detokenize(&ids)?),
            ("the subject's", subject.detokenize(&ids)?),
        ] {
            if bytes != text.as_bytes() {
                return Ok(Outcome::failed(format!(
                    "DIVERGED at tokens: {engine} detokenised text {} of {} is not the text\n  \
                     text: \"{}\"\n  back: \"{}\"",
                    index + 1,
                    check.texts.len(),
                    escape_piece(text.as_bytes()),
                    escape_piece(&bytes)
                )));
            }
        }
    }
    let texts = check.texts.len();
    Ok(Outcome::passed(format!("EXACT {total} ids of {texts} texts, and back")))
}

/// Where two tokenisations part, in words.
fn difference(subject: &mut dyn Backend, theirs: &[u32], ours: &[u32]) -> Option<String> {
    if theirs == ours {
        return None;
    }
    let index = theirs.iter().zip(ours).take_while(|(a, b)| a == b).count();
    let before = subject.detokenize(&theirs[..index]).map_or(0, |bytes| bytes.len());
    let around = |ids: &[u32]| {
        let from = index.saturating_sub(5);
        format!("{:?}", &ids[from.min(ids.len())..ids.len().min(index + 6)])
    };
    Some(format!(
        "ids differ from index {index} on (byte {before}; {} ids against {})\n  reference: … {} …\n  \
         subject:   … {} …",
        theirs.len(),
        ours.len(),
        around(theirs),
        around(ours)
    ))
}
