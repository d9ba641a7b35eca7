//! Between the suite format's tolerance keys and the contracts of `compare`: names only, no figure.

use super::quantization;
use crate::compare::{Contract, Metric, Policy, Tolerance, ToleranceError};
use crate::suite::case::{self, GreedyPolicy, Known, ToleranceClass, ToleranceOverrides};

/// What the suite format asks: the limits here, and the engine's tensor types.
pub const KNOWN: Known = Known { ceilings, types: quantization::TYPES };

/// The contract that a class of the suite format names.
pub fn contract(class: ToleranceClass) -> Contract {
    match class {
        ToleranceClass::Self_ => Contract::Itself,
        ToleranceClass::SameNumerics => Contract::SameNumerics,
        ToleranceClass::CrossNumerics => Contract::CrossNumerics,
    }
}

/// The metrics in the order of [`ToleranceOverrides::entries`].
const METRICS: [Metric; 9] = [
    Metric::MeanKl,
    Metric::P99Kl,
    Metric::MaxKl,
    Metric::P99Nmse,
    Metric::MaxNmse,
    Metric::RawCosine,
    Metric::CentredCosine,
    Metric::Slope,
    Metric::LnPplRatio,
];

/// The limits of a class in the suite format's terms: what a case may only tighten.
pub fn ceilings(class: ToleranceClass) -> ToleranceOverrides {
    let limit = |metric: Metric| metric.line().limit(contract(class));
    ToleranceOverrides {
        mean_kl: limit(Metric::MeanKl),
        p99_kl: limit(Metric::P99Kl),
        max_kl: limit(Metric::MaxKl),
        p99_nmse: limit(Metric::P99Nmse),
        max_nmse: limit(Metric::MaxNmse),
        min_raw_cosine: limit(Metric::RawCosine),
        min_centred_cosine: limit(Metric::CentredCosine),
        max_slope_deviation: limit(Metric::Slope),
        max_ln_perplexity_ratio: limit(Metric::LnPplRatio),
    }
}

/// The tolerance that a case is judged by.
pub(super) fn tolerance(
    asked: &case::Tolerance,
    greedy: GreedyPolicy,
) -> Result<Tolerance, ToleranceError> {
    let mut tolerance = Tolerance::from(contract(asked.class));
    for ((_, _, value), metric) in asked.tightened.entries().into_iter().zip(METRICS) {
        if let Some(value) = value {
            tolerance = tolerance.tightened(metric.line().name, value)?;
        }
    }
    match greedy {
        // The contract's own policy, which is never looser than the format's default.
        GreedyPolicy::Margin => Ok(tolerance),
        GreedyPolicy::Exact => tolerance.with_policy(Policy::Exact),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_metrics_stand_in_the_order_of_the_keys() {
        for class in ToleranceClass::ALL {
            for ((key, _, limit), metric) in ceilings(class).entries().into_iter().zip(METRICS) {
                assert_eq!(limit, metric.line().limit(contract(class)), "{key}");
            }
        }
    }

    #[test]
    fn a_tightened_limit_reaches_its_metric() {
        let tightened = ToleranceOverrides {
            min_raw_cosine: Some(0.9999),
            max_slope_deviation: Some(1e-4),
            ..ToleranceOverrides::default()
        };
        let asked = case::Tolerance { class: ToleranceClass::SameNumerics, tightened };
        let tolerance = tolerance(&asked, GreedyPolicy::Exact).unwrap();
        assert_eq!(tolerance.limit(Metric::RawCosine), Some(0.9999));
        assert_eq!(tolerance.limit(Metric::Slope), Some(1e-4));
        assert_eq!(
            tolerance.limit(Metric::MeanKl),
            Metric::MeanKl.line().limit(Contract::SameNumerics)
        );
        assert_eq!(tolerance.policy(), Policy::Exact);
    }
}
