//! A checked view of logits: whole rows, one a position, every value finite. Computes nothing from
//! them beyond the order of the tokens.

use super::CompareError;

/// Logits of consecutive positions, row-major, borrowed.
///
/// Whoever holds one knows that the length is a whole number of rows and that no value is NaN or Inf.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    label: &'a str,
    vocab_size: usize,
    first_position: usize,
    values: &'a [f32],
}

impl<'a> Rows<'a> {
    /// Checks `values` as rows of `vocab_size` logits; row 0 belongs to position `first_position` and
    /// errors call the rows `label`.
    ///
    /// # Errors
    /// A vocabulary below 2 or beyond ids of 32 bits, a broken last row, or a NaN or Inf with its
    /// position and index.
    pub fn new(
        label: &'a str,
        vocab_size: usize,
        values: &'a [f32],
        first_position: usize,
    ) -> Result<Self, CompareError> {
        if vocab_size < 2 || u32::try_from(vocab_size).is_err() {
            return Err(CompareError::Vocabulary { what: label.to_owned(), vocab_size });
        }
        if !values.len().is_multiple_of(vocab_size) {
            return Err(CompareError::Shape {
                what: label.to_owned(),
                found: format!("{} values", values.len()),
                expected: format!("whole rows of {vocab_size}"),
            });
        }
        for (row, chunk) in values.chunks_exact(vocab_size).enumerate() {
            // Without an early exit the check vectorises; the index is looked for only when needed.
            let finite = chunk.iter().fold(true, |all, v| all & v.is_finite());
            if !finite && let Some(index) = chunk.iter().position(|v| !v.is_finite()) {
                return Err(CompareError::NotFinite {
                    what: label.to_owned(),
                    position: first_position + row,
                    index,
                    value: chunk[index].to_string(),
                });
            }
        }
        Ok(Self { label, vocab_size, first_position, values })
    }

    /// What errors call these rows.
    pub fn label(&self) -> &'a str {
        self.label
    }

    /// Logits in a row.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.values.len() / self.vocab_size
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Position of row `row`.
    pub fn position(&self, row: usize) -> usize {
        self.first_position + row
    }

    /// The logits of row `row`.
    ///
    /// # Panics
    /// If `row` is not below [`Rows::len`].
    pub fn row(&self, row: usize) -> &'a [f32] {
        &self.values[row * self.vocab_size..(row + 1) * self.vocab_size]
    }

    /// Rows `from..from + count`.
    ///
    /// # Errors
    /// If there are fewer rows.
    pub fn slice(&self, from: usize, count: usize) -> Result<Self, CompareError> {
        let end = from.checked_add(count).filter(|end| *end <= self.len());
        let Some(end) = end else {
            return Err(CompareError::Shape {
                what: self.label.to_owned(),
                found: format!("{} rows", self.len()),
                expected: format!("at least {count} rows from row {from} on"),
            });
        };
        Ok(Self {
            values: &self.values[from * self.vocab_size..end * self.vocab_size],
            first_position: self.first_position + from,
            ..*self
        })
    }

    /// Checks that `other` has the same number of rows of the same vocabulary, and at least one.
    ///
    /// # Errors
    /// A difference in either, or nothing to compare.
    pub fn same_shape(&self, other: &Rows<'_>) -> Result<(), CompareError> {
        let shape = |r: &Rows<'_>| format!("{} rows of {} logits", r.len(), r.vocab_size);
        if self.len() != other.len() || self.vocab_size != other.vocab_size {
            return Err(CompareError::Shape {
                what: other.label.to_owned(),
                found: shape(other),
                expected: format!("{} like {}", shape(self), self.label),
            });
        }
        if self.is_empty() {
            return Err(CompareError::Empty { what: self.label.to_owned() });
        }
        Ok(())
    }
}

/// The token with the highest logit; of equals the lowest id, as the reference's strict `>` gives.
pub(super) fn argmax(row: &[f32]) -> u32 {
    let mut best = 0;
    for (id, value) in row.iter().enumerate() {
        if *value > row[best] {
            best = id;
        }
    }
    best as u32
}

/// The best token and the runner-up; of equals the lowest id comes first.
pub(super) fn best_two(row: &[f32]) -> (u32, u32) {
    let best = argmax(row) as usize;
    let mut second = usize::from(best == 0);
    for (id, value) in row.iter().enumerate() {
        if id != best && *value > row[second] {
            second = id;
        }
    }
    (best as u32, second as u32)
}

/// Sorts tokens by logit without comparing floats: a 64-bit key whose ascending order is descending
/// logit, then ascending id.
pub(super) fn descending_key(value: f32, id: usize) -> u64 {
    // Adding zero turns −0 into +0, which the order of bits would tell apart.
    let bits = (value + 0.0).to_bits();
    let ascending = if bits >> 31 == 1 { !bits } else { bits | 0x8000_0000 };
    u64::from(!ascending) << 32 | id as u64
}

/// The id inside a [`descending_key`].
pub(super) fn key_id(key: u64) -> u32 {
    key as u32
}

/// Moves the best `count` tokens of `row` to the front of `keys` (in any order) and drops the rest.
pub(super) fn select_top(row: &[f32], count: usize, keys: &mut Vec<u64>) {
    keys.clear();
    keys.extend(row.iter().enumerate().map(|(id, v)| descending_key(*v, id)));
    truncate_to_top(keys, count);
}

/// Keeps the `count` smallest keys, in any order.
pub(super) fn truncate_to_top(keys: &mut Vec<u64>, count: usize) {
    if count < keys.len() && count > 0 {
        keys.select_nth_unstable(count - 1);
    }
    keys.truncate(count);
}
