//! A golden and the reference itself give the same verdict, for every case of tier ci-light.

use std::sync::Arc;

use bitnet_runner::run::{Engines, GoldenUse, Outcome, Runner, Settings};

use crate::support::project;

#[test]
fn every_case_has_the_same_verdict_against_its_golden_and_its_reference() {
    let project = project();
    let runner = |golden_use| {
        let settings = Settings { allow_skip: false, progress: Box::new(|_| ()) };
        Runner::new(Arc::clone(&project), Engines::default(), settings).with_goldens(golden_use)
    };
    let (mut live, mut kept) = (runner(GoldenUse::Never), runner(GoldenUse::Always));
    let mut whole = 0;
    for trial in crate::recorded(&project).into_values() {
        let (a, b) = (live.run(trial), kept.run(trial));
        let (Outcome::Passed { verdict: a, .. }, Outcome::Passed { verdict: b, .. }) = (&a, &b)
        else {
            panic!("{}:\nlive: {a:?}\ngolden: {b:?}", trial.id)
        };
        match (a, b) {
            (Some(a), Some(b)) => {
                assert_eq!((a.word, a.rung), (b.word, b.rung), "{}", trial.id);
                // Where every bit is the reference's, so is every figure.
                if b.bounded.is_none() {
                    assert_eq!(a, b, "{}", trial.id);
                    whole += 1;
                }
            }
            (None, None) => {}
            _ => panic!("{}: only one of them has a verdict", trial.id),
        }
    }
    assert!(whole > 70, "{whole} verdicts are equal in every figure");
}
