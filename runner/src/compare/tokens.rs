//! The first rung: the same text gives the same ids, and the ids give the same bytes back. Knows no
//! tokenizer.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::CompareError;

/// Ids shown on either side of the first difference.
const CONTEXT: usize = 5;

/// One engine's answer for a text.
#[derive(Debug, Clone, Copy)]
pub struct Tokenised<'a> {
    /// The ids.
    pub ids: &'a [u32],
    /// Bytes of text that each id stands for; 0 for ids that were added, such as BOS.
    pub byte_lengths: &'a [usize],
    /// The ids turned back into bytes, where that was asked for.
    pub detokenised: Option<&'a [u8]>,
}

/// Where two tokenisations part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenDifference {
    /// Index of the first different id; the length of the shorter one when it is a prefix.
    pub index: usize,
    /// Bytes of text before it.
    pub byte_offset: usize,
    /// Index of the first id in the two excerpts.
    pub from: usize,
    /// The reference's ids around the difference.
    pub reference: Vec<u32>,
    /// The test's ids around the difference.
    pub test: Vec<u32>,
}

/// The result of the first rung.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenComparison {
    /// Ids of the reference.
    pub reference_ids: usize,
    /// Ids of the test.
    pub test_ids: usize,
    /// The first difference; none when the ids are equal.
    pub difference: Option<TokenDifference>,
    /// Whether both turn back into the same bytes; none when not both were asked: not tested.
    pub bytes_equal: Option<bool>,
    /// Offset of the first byte that differs.
    pub first_different_byte: Option<usize>,
}

impl TokenComparison {
    /// Whether nothing that was compared differs.
    pub fn equal(&self) -> bool {
        self.difference.is_none() && self.bytes_equal != Some(false)
    }
}

/// Compares two tokenisations of one text.
///
/// # Errors
/// Byte lengths that are not one an id.
pub fn compare_tokens(
    reference: &Tokenised<'_>,
    test: &Tokenised<'_>,
) -> Result<TokenComparison, CompareError> {
    for (side, tokens) in [("reference", reference), ("test", test)] {
        if tokens.byte_lengths.len() != tokens.ids.len() {
            return Err(CompareError::Shape {
                what: format!("byte lengths of the {side}'s ids"),
                found: format!("{} lengths", tokens.byte_lengths.len()),
                expected: format!("{}, one an id", tokens.ids.len()),
            });
        }
    }
    let index = first_difference(reference.ids, test.ids);
    let difference = index.map(|index| {
        let from = index.saturating_sub(CONTEXT);
        let around = |ids: &[u32]| ids[from..ids.len().min(index + CONTEXT + 1)].to_vec();
        TokenDifference {
            index,
            byte_offset: reference.byte_lengths[..index].iter().sum(),
            from,
            reference: around(reference.ids),
            test: around(test.ids),
        }
    });
    let first_different_byte =
        reference.detokenised.zip(test.detokenised).and_then(|(a, b)| first_difference(a, b));
    let both = reference.detokenised.is_some() && test.detokenised.is_some();
    Ok(TokenComparison {
        reference_ids: reference.ids.len(),
        test_ids: test.ids.len(),
        difference,
        bytes_equal: both.then_some(first_different_byte.is_none()),
        first_different_byte,
    })
}

/// Index of the first element that differs or that only one side has.
fn first_difference<T: PartialEq>(a: &[T], b: &[T]) -> Option<usize> {
    let shared = a.iter().zip(b).position(|(a, b)| a != b);
    shared.or_else(|| (a.len() != b.len()).then(|| a.len().min(b.len())))
}
