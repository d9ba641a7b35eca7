//! How far a trial is, as a listener hears it from the engine within a run.

use std::path::Path;
use std::sync::{Arc, Mutex};

use bitnet_runner::backend::Position;
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
    let Some(Position::Prefill { ids: prompt }) = heard.first() else { panic!("{heard:?}") };
    let steps: Vec<Position> =
        (1..=check.steps).map(|done| Position::Steps { done, of: check.steps }).collect();
    let last = Position::Prefill { ids: prompt + check.steps - 1 };
    assert_eq!((&heard[1..=check.steps], heard.last()), (&steps[..], Some(&last)));
}
