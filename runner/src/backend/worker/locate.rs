//! Where worker programs are looked for; starts none.

use std::env;
use std::path::{Path, PathBuf};

use super::super::BackendError;

/// The folder that holds the worker programs, where they are not beside this one.
pub const WORKER_DIR: &str = "BITNET_WORKER_DIR";

/// Finds a worker program by its file name without extension: in `$BITNET_WORKER_DIR`, beside the
/// running program, and in the folder above it (tests run from `target/<profile>/deps`).
///
/// # Errors
/// [`BackendError::Unavailable`], naming every place that was looked at.
pub fn locate(program: &str) -> Result<PathBuf, BackendError> {
    let chosen = env::var_os(WORKER_DIR).filter(|dir| !dir.is_empty()).map(PathBuf::from);
    let executable = env::current_exe().ok();
    let beside = executable.as_deref().and_then(Path::parent);
    let above = beside.and_then(Path::parent);
    let dirs: Vec<&Path> = chosen.as_deref().into_iter().chain(beside).chain(above).collect();
    locate_in(program, &dirs)
}

fn locate_in(program: &str, dirs: &[&Path]) -> Result<PathBuf, BackendError> {
    let file = format!("{program}{}", env::consts::EXE_SUFFIX);
    let places: Vec<PathBuf> = dirs.iter().map(|dir| dir.join(&file)).collect();
    if let Some(found) = places.iter().find(|place| place.is_file()) {
        return Ok(found.clone());
    }
    let looked: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
    Err(BackendError::Unavailable {
        what: format!("no worker program `{program}`: looked for {}", looked.join(", ")),
        remedy: format!(
            "run `cargo build` with the default features, which compile the reference \
             (cpp-bridge/README.md), or set {WORKER_DIR} to the folder that holds `{file}`"
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_folder_that_has_it_wins() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let dirs = [first.path(), second.path()];
        let file = format!("some-worker{}", env::consts::EXE_SUFFIX);

        std::fs::create_dir(first.path().join(&file)).unwrap();
        std::fs::write(second.path().join(&file), "").unwrap();
        let found = locate_in("some-worker", &dirs).unwrap();
        assert_eq!(found, second.path().join(&file), "a folder of that name is no program");

        std::fs::remove_dir(first.path().join(&file)).unwrap();
        std::fs::write(first.path().join(&file), "").unwrap();
        assert_eq!(locate_in("some-worker", &dirs).unwrap(), first.path().join(&file));
    }

    #[test]
    fn a_missing_program_names_every_place() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let error = locate_in("some-worker", &[first.path(), second.path()]).unwrap_err();
        let file = format!("some-worker{}", env::consts::EXE_SUFFIX);
        assert_eq!(
            error.to_string(),
            format!(
                "no worker program `some-worker`: looked for {}, {}\n  to get it: run `cargo \
                 build` with the default features, which compile the reference \
                 (cpp-bridge/README.md), or set BITNET_WORKER_DIR to the folder that holds `{file}`",
                first.path().join(&file).display(),
                second.path().join(&file).display()
            )
        );
    }

    #[test]
    fn the_running_program_and_the_folder_above_are_looked_at() {
        let executable = env::current_exe().unwrap();
        let own = executable.file_stem().unwrap().to_str().unwrap();
        assert_eq!(locate(own).unwrap(), executable);

        let missing = locate("no-such-worker").unwrap_err().to_string();
        let beside = executable.parent().unwrap();
        for dir in [beside, beside.parent().unwrap()] {
            let place = dir.join("no-such-worker").display().to_string();
            assert!(missing.contains(&place), "{missing:?} names {place}");
        }
    }
}
