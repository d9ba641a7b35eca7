//! `parity models`: what the lock pins, and making the synthetic ones.

#![expect(clippy::print_stderr, reason = "a command prints its complaints")]

use std::path::Path;

use clap::Subcommand;

use super::lock::LockArgs;
use super::{lock, manifest, matrix};
use crate::escape;
use crate::exit::Exit;
use crate::models::{LockedModel, ModelLock, ModelSource, State, Store};
use crate::report::{Colour, print_line, progress};

/// Verbs of `parity models`.
#[derive(Debug, Subcommand)]
pub enum ModelsCommand {
    /// List the models of models.toml and where their files are; or measure what the engine computes
    List(matrix::ListArgs),
    /// Print the path of a model's verified file; gets nothing
    Path {
        /// Id of the model
        id: String,
    },
    /// Add or update an entry of models.toml by asking its source
    Lock(Box<LockArgs>),
    /// Make synthetic models in the cache and verify them
    Synth {
        /// Id of the model; all synthetic ones if none is given
        #[arg(long, value_name = "ID")]
        id: Vec<String>,
    },
}

/// Executes a verb for the project in `root`.
pub fn execute(root: &Path, command: &ModelsCommand, colour: Colour) -> Exit {
    if let ModelsCommand::List(args) = command
        && args.matrix()
    {
        return matrix::execute(args);
    }
    let lock = match manifest::lock(root, colour) {
        Ok(lock) => lock,
        Err(exit) => return exit,
    };
    let store = match Store::from_environment(root) {
        Ok(store) => store,
        Err(error) => {
            eprintln!("error: {error}");
            return Exit::Environment;
        }
    };
    match command {
        ModelsCommand::List(_) => list(&lock, &store),
        ModelsCommand::Path { id } => path(&lock, &store, id),
        ModelsCommand::Lock(args) => lock::execute(root, &lock, args, colour),
        ModelsCommand::Synth { id } => synth(&lock, &store, id),
    }
}

fn list(lock: &ModelLock, store: &Store) -> Exit {
    for model in lock.models() {
        let place = store.place(model);
        let state = match store.state(model) {
            State::Verified => "verified".to_owned(),
            State::Unverified => "present, not verified".to_owned(),
            State::Partial(bytes) => format!("partial {bytes} of {} bytes", model.bytes),
            State::Absent => "absent".to_owned(),
        };
        print_line(&format!(
            "{} ({}, {} bytes, {})\n    sha256 {}\n    {state}: {}",
            model.id,
            model.tier,
            model.bytes,
            model.license,
            model.sha256,
            place.display()
        ));
    }
    Exit::Ok
}

fn path(lock: &ModelLock, store: &Store, id: &str) -> Exit {
    let Some(model) = lock.get(id) else {
        eprintln!(
            "error: models.toml has no '{}'; `parity models list` shows all",
            escape::text(id)
        );
        return Exit::Usage;
    };
    match store.find(model, &*progress()) {
        Ok(path) => {
            print_line(&path.display().to_string());
            Exit::Ok
        }
        Err(error) => {
            eprintln!("error: {}", escape::text(&error.to_string()));
            Exit::Environment
        }
    }
}

fn synth(lock: &ModelLock, store: &Store, ids: &[String]) -> Exit {
    let synthetic = |model: &&LockedModel| matches!(model.source, ModelSource::Synth(_));
    for id in ids {
        match lock.get(id) {
            None => {
                eprintln!("error: models.toml has no '{id}'; `parity models list` shows all");
                return Exit::Usage;
            }
            Some(model) if !synthetic(&model) => {
                eprintln!("error: '{id}' is not synthetic; it cannot be made here");
                return Exit::Usage;
            }
            Some(_) => {}
        }
    }
    let progress = progress();
    let wanted = |model: &&LockedModel| ids.is_empty() || ids.contains(&model.id);
    for model in lock.models().iter().filter(synthetic).filter(wanted) {
        match store.resolve(model, &*progress) {
            Ok(path) => print_line(&path.display().to_string()),
            Err(error) => {
                eprintln!("error: {}", escape::text(&error.to_string()));
                return Exit::Environment;
            }
        }
    }
    Exit::Ok
}
