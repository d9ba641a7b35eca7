//! What the cases of a suite say together of one reference: the worst case, a pooled estimate with an
//! interval over cases, and the agreement that all positions certify. It judges nothing.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::compare::Verdict;
use crate::stats::{FEWEST, bootstrap_mean, wilson, z_one_sided};

/// Where the draws begin: the same run gives the same interval.
const SEED: u64 = 1;

/// The figures of one suite's cases against one reference. Variants of a case share its prompt and count
/// once, with the worst of them.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Pooled {
    cases: BTreeMap<String, Figures>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Figures {
    mean_kl: f64,
    positions: usize,
    agreeing: usize,
}

/// The group of a trial's id and its case: `<suite>` or `<suite> against <reference>`.
pub(super) fn group(id: &str) -> Option<(String, String)> {
    let mut parts = id.split("::").skip(2);
    let (suite, case) = (parts.next()?, parts.next()?);
    let reference = parts.next().and_then(|variant| variant.split_once("reference-"));
    let group = match reference {
        Some((_, name)) => format!("{suite} against {name}"),
        None => suite.to_owned(),
    };
    Some((group, case.to_owned()))
}

impl Pooled {
    /// Adds what was compared in a trial of `case`.
    pub(super) fn add(&mut self, case: String, verdict: &Verdict) {
        // The first path covers every position.
        let Some(first) = verdict.paths.first() else { return };
        let mean_kl = verdict.paths.iter().map(|p| p.summary.mean_kl).fold(0.0, f64::max);
        let top1 = first.summary.top1;
        let found = Figures { mean_kl, positions: top1.of, agreeing: top1.hits };
        let worse = |known: &Figures| {
            known.agreeing * found.positions < found.agreeing * known.positions
                || known.mean_kl > found.mean_kl
        };
        match self.cases.get(&case) {
            Some(known) if worse(known) => {}
            _ => drop(self.cases.insert(case, found)),
        }
    }
}

impl fmt::Display for Pooled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kl: Vec<f64> = self.cases.values().map(|figures| figures.mean_kl).collect();
        let worst = self.cases.iter().max_by(|a, b| a.1.mean_kl.total_cmp(&b.1.mean_kl));
        let (Some((name, worst)), Some(interval)) = (worst, bootstrap_mean(&kl, SEED)) else {
            return f.write_str("nothing was compared");
        };
        let mean = kl.iter().sum::<f64>() / kl.len() as f64;
        write!(f, "{} cases, mean KL {mean:.2e} nat", kl.len())?;
        write!(f, " in [{:.2e}, {:.2e}]", interval.low, interval.high)?;
        if kl.len() < FEWEST {
            f.write_str(" (interval unreliable: few prompts)")?;
        }
        write!(f, ", worst {:.2e} ({name})", worst.mean_kl)?;
        let positions: usize = self.cases.values().map(|figures| figures.positions).sum();
        let agreeing: usize = self.cases.values().map(|figures| figures.agreeing).sum();
        let flipped = match positions - agreeing {
            0 => "none flipped".to_owned(),
            count => format!("{count} flipped"),
        };
        write!(f, "; {positions} positions, {flipped}")?;
        match wilson(agreeing, positions, z_one_sided(0.95)) {
            // Rounded down: what is printed is certified.
            Some(bound) => write!(f, ": ≥ {:.1} %", (bound.low * 1e3).floor() / 10.0),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pooled(count: usize, positions: usize, agreeing: usize) -> Pooled {
        let figures = |case| Figures { mean_kl: 1e-6 * f64::from(case), positions, agreeing };
        let cases = (1..=count as i32).map(|case| (format!("case-{case}"), figures(case)));
        Pooled { cases: cases.collect() }
    }

    #[test]
    fn the_published_sample_certifies_what_it_does() {
        let text = pooled(4, 67, 67).to_string();
        assert!(text.ends_with("; 268 positions, none flipped: ≥ 99.0 %"), "{text}");
        assert!(
            text.contains("(interval unreliable: few prompts), worst 4.00e-6 (case-4)"),
            "{text}"
        );
        assert!(text.starts_with("4 cases, mean KL 2.50e-6 nat in ["), "{text}");
        let text = pooled(8, 10, 9).to_string();
        assert!(text.contains("; 80 positions, 8 flipped: ≥ 83."), "{text}");
        assert!(!text.contains("unreliable"), "{text}");
    }

    #[test]
    fn a_trial_belongs_to_its_suite_and_reference() {
        let of = |id| group(id).unwrap();
        assert_eq!(of("ci-light::parity::smoke::a"), ("smoke".into(), "a".into()));
        let further = "ci-light::parity::types::b::isa-avx2-reference-llama-cpp";
        assert_eq!(of(further), ("types against llama-cpp".into(), "b".into()));
        assert_eq!(group("nothing"), None);
    }
}
