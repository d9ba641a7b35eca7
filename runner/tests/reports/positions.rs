//! How far a trial is, as a listener hears it from the engine within a run.

use std::path::Path;
use std::sync::{Arc, Mutex};

use bitnet_runner::backend::{Feed, Position};
use bitnet_runner::run::{Engines, GoldenUse, Outcome, Project, Runner, Settings};
use bitnet_runner::suite::Check;

#[test]
fn every_step_of_a_trial_is_heard_with_the_end_in_sight() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let project = Arc::new(Project::load(&root).unwrap_or_else(|error| panic!("{error}")));
    let id = "ci-light::parity::smoke::two-plus-two";
    let trial = project.trials.iter().find(|trial| trial.id == id).expect("the trial");
    let Check::Parity(check) = &project.case(trial).check else { panic!("a comparison") };
    let settings = Settings { allow_skip: false, progress: Box::new(|_| ()) };
    let mut runner = Runner::new(Arc::clone(&project), Engines::default(), settings)
        .with_goldens(GoldenUse::Always);
    let heard = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&heard);
    runner.engines.subject.listen(Arc::new(move |position| keep.lock().unwrap().push(position)));
    let outcome = runner.run(trial);
    assert!(matches!(outcome, Outcome::Passed { .. }), "{outcome:?}");
    let heard = heard.lock().unwrap();
    let [begun, prefilled, rest @ ..] = &heard[..] else { panic!("{heard:?}") };
    let prompt = begun.of;
    let prefill = |done, of| Position { feed: Feed::Prefill, done, of };
    assert_eq!((*begun, *prefilled), (prefill(0, prompt), prefill(prompt, prompt)));
    let of = check.steps;
    let mut expected: Vec<Position> =
        (1..=of).map(|done| Position { feed: Feed::Steps, done, of }).collect();
    // Then all positions once more, in one batch.
    let all = prompt + of - 1;
    expected.extend([prefill(0, all), prefill(all, all)]);
    assert_eq!(rest, expected);
}
