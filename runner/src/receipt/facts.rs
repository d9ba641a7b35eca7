//! What receipts of every kind say: the program, the case, the model. It computes nothing.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::manifest::Tier;

/// Readers refuse another major version. Since 1.1.0 a case has its tier, and digests are those of RFC 8785
/// for numbers that lie between two of the shortest texts as well.
pub const SCHEMA_VERSION: &str = "1.1.0";

/// What a receipt is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Two engines' speed at the same work.
    Bench,
    /// Two engines' outputs for the same ids.
    Parity,
}

/// The program that measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The commit that it was built from; none outside a git checkout.
    pub commit: Option<String>,
    /// Whether files that decide what it computes were not those of the commit.
    pub dirty: Option<bool>,
}

impl Tool {
    /// This program.
    pub fn here() -> Self {
        let commit = option_env!("BITNET_COMMIT");
        Self {
            name: "parity".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: commit.map(str::to_owned),
            dirty: commit.map(|_| option_env!("BITNET_DIRTY").is_some()),
        }
    }
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CaseFacts {
    /// The trial's id without its tier, `bench::<suite>::<case>[::<variant>]`: what a baseline hangs on.
    pub id: String,
    /// The tier that the case was in; none in receipts of schema 1.0.0, and for what stands in no suite.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<Tier>,
    /// SHA-256 of the suite file, lower-case hex.
    pub suite_sha256: String,
}

impl CaseFacts {
    /// The facts of the trial `id`, whose suite file has this sha256.
    pub fn new(id: &str, suite_sha256: &str) -> Self {
        let (tier, untiered) = id.split_once("::").unwrap_or(("", id));
        let tier = Tier::ALL.into_iter().find(|known| known.name() == tier);
        Self { id: untiered.to_owned(), tier, suite_sha256: suite_sha256.to_owned() }
    }
}

/// What was computed with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelFacts {
    /// Its id in `models.toml`.
    pub id: String,
    /// SHA-256 of the file, lower-case hex; it was verified before the run.
    pub sha256: String,
    /// Bytes of the file.
    pub bytes: u64,
    /// `general.architecture` of the file.
    pub architecture: String,
    /// How many tensors have each type.
    pub tensor_types: BTreeMap<String, usize>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_baseline_hangs_on_has_no_tier() {
        let facts = CaseFacts::new("ci-light::bench::bench::small", "");
        assert_eq!((&*facts.id, facts.tier), ("bench::bench::small", Some(Tier::CiLight)));
        assert_eq!(CaseFacts::new("one-off::parity::prompt", "").tier, None);
    }
}
