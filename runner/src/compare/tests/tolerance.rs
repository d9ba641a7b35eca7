//! The table of contracts, its overrides and its copy in the documentation.

use super::*;

#[test]
fn every_metric_has_one_line_with_a_reason() {
    let metrics = [
        Metric::MeanKl,
        Metric::P99Kl,
        Metric::MaxKl,
        Metric::P99Nmse,
        Metric::MaxNmse,
        Metric::CentredCosine,
        Metric::RawCosine,
        Metric::Slope,
        Metric::LnPplRatio,
        Metric::StableAgreement,
        Metric::FlipProbability,
        Metric::TauMax,
        Metric::Top10Overlap,
    ];
    assert_eq!(table().len(), metrics.len());
    for metric in metrics {
        assert_eq!(table().iter().filter(|l| l.metric == metric).count(), 1, "{metric:?}");
        let line = metric.line();
        assert_eq!(line.metric, metric);
        assert!(line.reason.len() > 40, "{}: a reason is a sentence", line.name);
        let json = serde_json::to_value(metric).unwrap();
        assert_eq!(json, line.name, "the name in suites is the name in receipts");
    }
}

#[test]
fn a_later_contract_is_never_stricter() {
    for line in table() {
        for pair in Contract::ALL.windows(2) {
            if let (Some(strict), Some(loose)) = (line.limit(pair[0]), line.limit(pair[1])) {
                assert!(line.keeps(strict, loose), "{}: {strict} then {loose}", line.name);
            }
        }
        assert!(!line.keeps(f64::NAN, 1.0), "{}: NaN keeps no limit", line.name);
    }
}

#[test]
fn overrides_only_tighten() {
    let start = Tolerance::from(Contract::SameNumerics);
    let tight = start.tightened("mean-kl", 5e-4).unwrap();
    assert_eq!(tight.limit(Metric::MeanKl), Some(5e-4));
    assert_eq!(tight.limit(Metric::MaxKl), start.limit(Metric::MaxKl));
    let refused = |t: &Tolerance, name, value| t.tightened(name, value).unwrap_err().to_string();
    assert!(
        refused(&start, "mean-kl", 2e-3).contains("would loosen the contract, which says 0.001")
    );
    assert!(refused(&tight, "mean-kl", 8e-4).contains("which says 0.0005"), "not back either");
    assert!(start.tightened("centred-cosine", 0.9999).is_ok());
    assert!(refused(&start, "centred-cosine", 0.99).contains("may only tighten"));
    assert!(
        refused(&start, "mean-kI", 1e-4)
            .contains("no tolerance is called `mean-kI`; there are mean-kl, p99-kl")
    );
    for bad in [f64::NAN, f64::INFINITY, -1e-9] {
        assert!(refused(&start, "mean-kl", bad).contains("is not a limit"), "{bad}");
    }
    assert!(refused(&start, "raw-cosine", 1.5).contains("from 0 to 1"));
    // A limit that the contract leaves open may be set.
    let cross = Tolerance::from(Contract::CrossNumerics);
    assert_eq!(cross.limit(Metric::FlipProbability), None);
    let set = cross.tightened("flip-probability", 0.05).unwrap();
    assert_eq!(set.limit(Metric::FlipProbability), Some(0.05));
}

#[test]
fn policies_only_tighten() {
    let same = Tolerance::from(Contract::SameNumerics);
    assert_eq!(same.policy(), Policy::Margin);
    assert_eq!(same.with_policy(Policy::Exact).unwrap().policy(), Policy::Exact);
    let own = Tolerance::from(Contract::Itself);
    assert_eq!(own.policy(), Policy::Exact);
    let error = own.with_policy(Policy::Margin).unwrap_err().to_string();
    assert!(error.contains("contract `self` forbids flips"), "{error}");
}

#[test]
fn a_tolerance_survives_a_receipt_and_a_loosened_one_does_not() {
    let tight = Tolerance::from(Contract::CrossNumerics).tightened("p99-kl", 0.03).unwrap();
    let tight = tight.with_policy(Policy::Exact).unwrap();
    let mut json = serde_json::to_value(&tight).unwrap();
    assert_eq!(json["contract"], "cross-numerics");
    assert_eq!(json["limits"]["p99-kl"], 0.03);
    assert_eq!(serde_json::from_value::<Tolerance>(json.clone()).unwrap(), tight);
    json["limits"]["p99-kl"] = 0.2.into();
    let error = serde_json::from_value::<Tolerance>(json).unwrap_err().to_string();
    assert!(error.contains("would loosen the contract"), "{error}");
}

#[test]
fn the_documentation_holds_this_table() {
    let doc = include_str!("../../../../docs/parity.md");
    let between = doc
        .split_once("<!-- contracts: begin -->\n")
        .and_then(|(_, rest)| rest.split_once("<!-- contracts: end -->"))
        .map(|(table, _)| table);
    let wanted = contracts_markdown();
    assert_eq!(between, Some(wanted.as_str()), "docs/parity.md should hold:\n{wanted}");
}
