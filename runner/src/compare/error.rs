//! Why two outputs could not be compared at all. A comparison that ends here has no verdict but
//! ERROR: nothing is masked, truncated or skipped to get one.

/// An output that cannot be compared, with the place and the next step.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CompareError {
    /// There is nothing to compare.
    #[error("{what}: no position to compare; a comparison of nothing is not a pass")]
    Empty {
        /// What is empty.
        what: String,
    },
    /// A row of fewer than two logits, or of more than ids can number.
    #[error(
        "{what}: a vocabulary of {vocab_size} cannot be compared; check what the engine reports"
    )]
    Vocabulary {
        /// Whose rows.
        what: String,
        /// The size found.
        vocab_size: usize,
    },
    /// Lengths that do not fit together.
    #[error(
        "{what}: {found}, but expected {expected}; both engines must answer for the same ids and \
         vocabulary, and nothing is cut to fit"
    )]
    Shape {
        /// Which input.
        what: String,
        /// What it holds.
        found: String,
        /// What it should hold.
        expected: String,
    },
    /// NaN or Inf among the logits.
    #[error(
        "{what}: logit {index} at position {position} is {value}; find the operation that made it \
         before comparing anything"
    )]
    NotFinite {
        /// Whose rows.
        what: String,
        /// Position of the row.
        position: usize,
        /// Token id of the value.
        index: usize,
        /// `NaN`, `inf` or `-inf`.
        value: String,
    },
    /// A reference row whose logits are all the same: every metric divides by its spread.
    #[error(
        "{what}: all logits at position {position} are equal, so there is nothing to compare with; \
         check that the reference computed this position"
    )]
    Constant {
        /// Whose rows.
        what: String,
        /// Position of the row.
        position: usize,
    },
    /// A token id that has no logit.
    #[error("{what}: id {id} at index {index} is not below the vocabulary size {vocab_size}")]
    Id {
        /// Which ids.
        what: String,
        /// Index in them.
        index: usize,
        /// The id.
        id: u32,
        /// Number of logits in a row.
        vocab_size: usize,
    },
    /// The reference's ids and its logits do not belong together.
    #[error(
        "step {step}: the reference chose id {chosen}, but its own logits prefer id {preferred} by \
         {gap:.6}; ids and rows do not belong to the same run"
    )]
    ReferenceChoice {
        /// Greedy step, from 0.
        step: usize,
        /// The id it chose.
        chosen: u32,
        /// The id with the highest logit.
        preferred: u32,
        /// Logit of `preferred` minus logit of `chosen`.
        gap: f64,
    },
    /// What a golden keeps does not decide a rule.
    #[error(
        "the golden does not decide `{name}`: {rule}, and the figure lies between {low:.2e} and \
         {high:.2e}{unknown}; compare with the reference itself: `cargo build` with the default features, \
         then the same command without --goldens and BITNET_REFERENCE"
    )]
    Undecided {
        /// The first rule that is open.
        name: String,
        /// The rule in words.
        rule: String,
        /// The better bound.
        low: f64,
        /// The worse bound.
        high: f64,
        /// Rows that the golden cannot say anything of, in words; or nothing.
        unknown: String,
    },
}
