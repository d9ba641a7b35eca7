//! From suites to trials: ids, variants, and which trials the tier leaves out.
//!
//! Opens no model and hashes nothing: listing is free.

use std::ffi::OsStr;
use std::iter;

use super::case::{Suite, Tier, Variant};

/// Name of the environment variable that sets the highest tier to run.
pub const TIER_VARIABLE: &str = "BITNET_TIER";

/// One run of one case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trial {
    /// `<tier>::<kind>::<suite>::<case>[::<variant>]`.
    pub id: String,
    /// Index of the suite.
    pub suite: usize,
    /// Index of the case in its suite.
    pub case: usize,
    /// How the case computes in this trial.
    pub variant: Variant,
    /// Name of the reference that it is compared with, if its kind asks one.
    pub reference: Option<String>,
    /// Why the trial is listed but not run, if it is not.
    pub ignored: Option<String>,
}

/// The value of `BITNET_TIER` is not a tier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{TIER_VARIABLE} is {found:?}, allowed are {}", allowed())]
pub struct BadTier {
    /// What the variable holds.
    pub found: String,
}

fn allowed() -> String {
    Tier::ALL.map(Tier::name).join(" and ")
}

/// The highest tier to run, from the value of `BITNET_TIER`; `ci-light` if it is unset.
///
/// # Errors
/// If the value is not the name of a tier; an empty value is not one.
pub fn highest_tier(value: Option<&OsStr>) -> Result<Tier, BadTier> {
    let Some(value) = value else { return Ok(Tier::CiLight) };
    Tier::ALL
        .into_iter()
        .find(|tier| OsStr::new(tier.name()) == value)
        .ok_or_else(|| BadTier { found: value.to_string_lossy().into_owned() })
}

/// Every trial of `suites` in the order of files and cases; those above `highest` are ignored.
///
/// A case has a trial with each reference that its model lists. The first one's id does not name it,
/// so that ids stay as they are when a model gets a further reference.
pub fn trials(suites: &[Suite], highest: Tier) -> Vec<Trial> {
    let mut trials = Vec::new();
    for (suite_index, suite) in suites.iter().enumerate() {
        for (case_index, case) in suite.cases.iter().enumerate() {
            let ignored = (case.tier > highest).then(|| {
                format!("tier {} is above {highest}; set {TIER_VARIABLE}={}", case.tier, case.tier)
            });
            let first = case.references.first();
            let further = case.references.iter().skip(1).map(Some);
            for reference in iter::once(first).chain(further) {
                for variant in &case.variants {
                    let named = reference.filter(|_| reference != first);
                    let named = named.map(|name| format!("reference-{name}"));
                    let parts: Vec<String> = variant.suffix().into_iter().chain(named).collect();
                    let mut id =
                        format!("{}::{}::{}::{}", case.tier, suite.kind, suite.name, case.name);
                    if !parts.is_empty() {
                        id.push_str("::");
                        id.push_str(&parts.join("-"));
                    }
                    trials.push(Trial {
                        id,
                        suite: suite_index,
                        case: case_index,
                        variant: variant.clone(),
                        reference: reference.cloned(),
                        ignored: ignored.clone(),
                    });
                }
            }
        }
    }
    trials
}

/// Which ids are wanted, in the manner of libtest: parts of ids, or whole ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// An id must match one of these; all match if there are none.
    pub wanted: Vec<String>,
    /// An id that matches one of these is left out.
    pub skipped: Vec<String>,
    /// Compare whole ids instead of looking for a part.
    pub exact: bool,
}

impl Filter {
    /// Whether a trial with this id is selected.
    pub fn selects(&self, id: &str) -> bool {
        let matches = |pattern: &String| {
            if self.exact { id == pattern.as_str() } else { id.contains(pattern.as_str()) }
        };
        (self.wanted.is_empty() || self.wanted.iter().any(matches))
            && !self.skipped.iter().any(matches)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tier_is_named_exactly() {
        assert_eq!(highest_tier(None), Ok(Tier::CiLight));
        assert_eq!(highest_tier(Some(OsStr::new("integration"))), Ok(Tier::Integration));
        for bad in ["", "all", "CI-LIGHT", "ci-light "] {
            assert_eq!(
                highest_tier(Some(OsStr::new(bad))).unwrap_err().to_string(),
                format!("BITNET_TIER is {bad:?}, allowed are ci-light and integration")
            );
        }
    }

    #[test]
    fn filters_work_as_in_libtest() {
        let filter = |wanted: &[&str], skipped: &[&str], exact| Filter {
            wanted: wanted.iter().map(ToString::to_string).collect(),
            skipped: skipped.iter().map(ToString::to_string).collect(),
            exact,
        };
        let id = "ci-light::parity::prose::fox";
        assert!(filter(&[], &[], false).selects(id));
        assert!(filter(&["parity::prose"], &[], false).selects(id));
        assert!(filter(&["nothing", "fox"], &[], false).selects(id));
        assert!(!filter(&["fox"], &["prose"], false).selects(id));
        assert!(!filter(&["fox"], &[], true).selects(id));
        assert!(filter(&[id], &[], true).selects(id));
        assert!(filter(&[], &["fox"], true).selects(id));
        assert!(!filter(&["parity::*"], &[], false).selects(id));
    }
}
