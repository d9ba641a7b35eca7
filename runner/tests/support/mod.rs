//! The shipped project and its trials by a part of their ids. Judges nothing.

use std::path::Path;
use std::sync::Arc;

use bitnet_runner::run::Project;
use bitnet_runner::suite::{Filter, Trial};

/// The project that this package belongs to.
pub fn project() -> Arc<Project> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    Arc::new(Project::load(&root).unwrap_or_else(|error| panic!("{error}")))
}

/// The one trial whose id contains `part`.
#[track_caller]
pub fn trial<'a>(project: &'a Project, part: &str) -> &'a Trial {
    let filter = Filter { wanted: vec![part.to_owned()], ..Filter::default() };
    let found: Vec<&Trial> =
        project.trials.iter().filter(|trial| filter.selects(&trial.id)).collect();
    let [trial] = found[..] else { panic!("`{part}` names {} trials", found.len()) };
    trial
}
