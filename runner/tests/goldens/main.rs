//! The shipped goldens: there is one for every case of tier ci-light, none is stale, and a fault in the
//! engine fails against them as against the reference. None of these tests needs C++.

mod faults;
#[cfg(all(feature = "bitnet-cpp", feature = "llama-cpp"))]
mod live;
mod refused;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;

use bitnet_runner::backend::golden::{GoldenStore, MOST_BYTES, MOST_BYTES_IN_ALL};
use bitnet_runner::run::{Project, golden_question};
use bitnet_runner::suite::Trial;
use bitnet_runner::suite::case::{Kind, Tier};

/// A trial of every case of tier ci-light with each reference: the one of its last variant, since the
/// first is often the slow scalar one.
fn recorded(project: &Project) -> BTreeMap<(&str, &str, &str), &Trial> {
    let wanted = |trial: &&Trial| {
        let kind = project.suite(trial).kind;
        let asked = matches!(kind, Kind::Parity | Kind::Tokenizer);
        asked && project.case(trial).tier == Tier::CiLight
    };
    let mut all = BTreeMap::new();
    for trial in project.trials.iter().filter(wanted) {
        let (suite, case) = (&*project.suite(trial).name, &*project.case(trial).name);
        let reference = trial.reference.as_deref().expect("a reference");
        all.insert((suite, case, reference), trial);
    }
    all
}

#[test]
fn every_case_has_a_golden_that_answers_it_and_no_golden_is_left_over() {
    let project = support::project();
    let store = GoldenStore::new(&project.root);
    let recorded = recorded(&project);
    for ((suite, case_name, reference), trial) in &recorded {
        let case = project.case(trial);
        let model = project.lock.get(case.model.as_deref().expect("a model")).expect("it");
        let question = golden_question(case, model).expect("the kinds that ask a reference");
        let golden = store
            .answering(suite, case_name, reference, &question)
            .unwrap_or_else(|error| panic!("{error}"))
            .unwrap_or_else(|| panic!("no golden of {suite}::{case_name} by {reference}"));
        let build = &golden.header.reference.build;
        assert!(build.starts_with("checking build; reproducible settings"), "{build}");
    }
    let files = store.all().expect("the folder");
    assert_eq!(files.len(), recorded.len(), "`parity record` removes what is left over");
    let sizes: Vec<u64> = files.iter().map(|f| f.metadata().expect("a file").len()).collect();
    assert!(sizes.iter().all(|size| *size <= MOST_BYTES as u64), "{sizes:?}");
    let sum: u64 = sizes.iter().sum();
    assert!(sum < MOST_BYTES_IN_ALL, "{sum} bytes");
    assert!(recorded.len() > 90, "{} goldens", recorded.len());
}
