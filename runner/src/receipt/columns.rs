//! Figures of positions, a list a figure: a third of the bytes that a record a position takes. It
//! computes nothing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::compare::{NllPair, RowMetrics};

/// Declares the columns whose values are copied as they are.
macro_rules! columns {
    ($($(#[$doc:meta])* $name:ident: $value:ty,)*) => {
        /// The figures of [`RowMetrics`], a list each, of positions that follow one another.
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct Columns {
            /// Position of the first value of each list.
            pub first_position: usize,
            $($(#[$doc])* pub $name: Vec<$value>,)*
            /// Negative log likelihood, in nats, that the reference gives to the next id; null where
            /// none follows.
            pub nll_reference: Vec<Option<f64>>,
            /// The same of the test.
            pub nll_test: Vec<Option<f64>>,
            /// Whether that id comes from given text and not from the reference's own choice.
            pub nll_text: Vec<Option<bool>>,
        }

        impl Columns {
            /// Of consecutive rows.
            pub fn of(rows: &[RowMetrics]) -> Self {
                Self {
                    first_position: rows.first().map_or(0, |row| row.position),
                    $($name: rows.iter().map(|row| row.$name).collect(),)*
                    nll_reference: rows.iter().map(|r| r.nll.map(|n| n.reference)).collect(),
                    nll_test: rows.iter().map(|r| r.nll.map(|n| n.test)).collect(),
                    nll_text: rows.iter().map(|r| r.nll.map(|n| n.text)).collect(),
                }
            }

            /// The rows again.
            ///
            /// # Errors
            /// The name of a list that is not as long as the others.
            pub fn rows(&self) -> Result<Vec<RowMetrics>, &'static str> {
                let count = self.bit_equal.len();
                $(if self.$name.len() != count {
                    return Err(stringify!($name));
                })*
                for (name, length) in [
                    ("nll_reference", self.nll_reference.len()),
                    ("nll_test", self.nll_test.len()),
                    ("nll_text", self.nll_text.len()),
                ] {
                    if length != count {
                        return Err(name);
                    }
                }
                let nll = |row: usize| {
                    let (reference, test) = (self.nll_reference[row], self.nll_test[row]);
                    match (reference, test, self.nll_text[row]) {
                        (None, None, None) => Ok(None),
                        (Some(reference), Some(test), Some(text)) => {
                            Ok(Some(NllPair { reference, test, text }))
                        }
                        _ => Err("nll_reference"),
                    }
                };
                let row = |row| Ok(RowMetrics {
                    position: self.first_position.saturating_add(row),
                    $($name: self.$name[row],)*
                    nll: nll(row)?,
                });
                (0..count).map(row).collect()
            }
        }
    };
}

columns! {
    /// Whether every logit has the same bits.
    bit_equal: bool,
    /// `r·t / (‖r‖‖t‖)`.
    raw_cosine: f64,
    /// Raw cosine after the mean difference is taken off.
    unshifted_cosine: f64,
    /// `t̄ − r̄`.
    mean_shift: f64,
    /// Cosine of `r − r̄` and `t − t̄`.
    centred_cosine: f64,
    /// `Σ((t−t̄) − (r−r̄))² / Σ(r−r̄)²`.
    nmse: f64,
    /// Slope of `t = a + b·r` over the reference's best 1,024 tokens.
    slope: f64,
    /// Standard error of that slope.
    slope_error: f64,
    /// `KL(p‖q)` in nats.
    kl: f64,
    /// `½ Σ|p − q|`.
    total_variation: f64,
    /// Largest `|ln q − ln p|` over the best 64 tokens of either side.
    max_ln_p_gap: f64,
    /// The reference's best token.
    reference_top: u32,
    /// The test's best token.
    test_top: u32,
    /// The reference's logit of its best token.
    reference_logit: f64,
    /// How far it lies above the second best, nats.
    reference_margin: f64,
    /// Jaccard index of the two sets of best 10 tokens.
    top10_overlap: f64,
}
