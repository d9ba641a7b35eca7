//! Whether a receipt can be true: every derived figure is computed anew from the raw data, and the rules
//! of a run that really happened are checked. It reads no file, starts no engine, and does not say
//! whether what was measured is good.

mod bench;
mod common;
mod json;
mod parity;
mod raw;

use std::fmt;

use crate::escape;
use crate::receipt::{Document, Receipt, with_digest};

/// One reason why a receipt is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// Where in the document: `metrics.mean_kl`, `raw.paths[1].rows.kl`.
    pub path: String,
    /// What is wrong there, as the rest of a sentence.
    pub why: String,
}

/// `metrics.mean_kl: is 0.1, and 0.2 follows from the raw data`; safe to print.
impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", escape::text(&self.path), escape::text(&self.why))
    }
}

/// Reasons as they are found.
#[derive(Debug, Default)]
struct Reasons(Vec<Reason>);

impl Reasons {
    fn add(&mut self, path: impl Into<String>, why: impl Into<String>) {
        self.0.push(Reason { path: path.into(), why: why.into() });
    }

    /// Adds a reason unless `holds`.
    fn check(&mut self, holds: bool, path: impl Into<String>, why: impl Into<String>) {
        if !holds {
            self.add(path, why);
        }
    }
}

/// Every reason why `document` is refused; none if it is sound.
pub fn verify(document: &Document) -> Vec<Reason> {
    let mut reasons = Reasons::default();
    match &document.digest {
        None => reasons.add("digest", "is missing: an edit would leave no trace"),
        Some(found) => {
            let wanted = with_digest(document.json.clone());
            reasons.check(
                wanted["digest"] == *found.as_str(),
                "digest",
                "is not that of the rest: the receipt was changed after it was written",
            );
        }
    }
    match &document.receipt {
        Receipt::Parity(receipt) => parity::verify(receipt, &document.json, &mut reasons),
        Receipt::Bench(receipt) => bench::verify(receipt, &document.json, &mut reasons),
    }
    reasons.0
}
