//! Which references this version knows, and which of them a trial is compared with. Compares nothing.
//!
//! A model names its references in the lock. Each has a trial of its own, whatever this build holds:
//! ids do not depend on how a program was compiled.

use std::env;
use std::path::Path;

use super::outcome::{Obstacle, Result};
use crate::backend::BackendError;
use crate::backend::protocol::build_id;
use crate::backend::worker::{WORKER_DIR, WorkerBackend, WorkerSpec, locate};
use crate::escape;
use crate::suite::{Case, Trial};

/// Seconds for a worker to introduce itself.
const HANDSHAKE_SECONDS: u64 = 30;

/// A reference and the worker program that holds it.
#[derive(Debug)]
pub struct ReferenceProgram {
    /// Name, as `references` in `models.toml` spells it.
    pub name: &'static str,
    /// File name of the worker program, without extension.
    pub program: &'static str,
    /// The cargo feature that builds it.
    pub feature: &'static str,
    /// Whether this program was built with the feature.
    built: bool,
}

/// Every reference that this version knows.
pub static REFERENCES: [ReferenceProgram; 2] = [
    ReferenceProgram {
        name: "bitnet-cpp",
        program: "bitnet-cpp-worker",
        feature: "bitnet-cpp",
        built: cfg!(feature = "bitnet-cpp"),
    },
    ReferenceProgram {
        name: "llama-cpp",
        program: "llama-cpp-worker",
        feature: "llama-cpp",
        built: cfg!(feature = "llama-cpp"),
    },
];

impl ReferenceProgram {
    /// Whether this build has it, or the folder of workers that the user named.
    fn is_here(&self) -> bool {
        let file = format!("{}{}", self.program, env::consts::EXE_SUFFIX);
        let named = env::var_os(WORKER_DIR).filter(|folder| !folder.is_empty());
        self.built || named.is_some_and(|folder| Path::new(&folder).join(file).is_file())
    }

    /// How a user gets it.
    fn remedy(&self) -> String {
        format!(
            "run `cargo build` with the default features, which compiles the references \
             (cpp-bridge/README.md), or set {WORKER_DIR} to the folder that holds `{}{}`",
            self.program,
            env::consts::EXE_SUFFIX
        )
    }

    /// Whether it can be started here.
    ///
    /// # Errors
    /// With what provides it.
    pub(super) fn present(&self) -> Result<()> {
        if self.is_here() { Ok(()) } else { Err(self.missing()) }
    }

    /// What to say of a program that was built without it.
    fn missing(&self) -> Obstacle {
        Obstacle::Missing(format!(
            "no reference {}: this program was built without the feature `{}`\n  to get it: {}",
            self.name,
            self.feature,
            self.remedy()
        ))
    }

    /// Starts its worker with `args`; it has `answer_seconds` for an answer until a case says
    /// otherwise.
    pub(crate) fn start(
        &self,
        answer_seconds: u64,
        args: &[&str],
    ) -> std::result::Result<WorkerBackend, BackendError> {
        let program = locate(self.program).map_err(|error| match error {
            BackendError::Unavailable { what, .. } => {
                BackendError::Unavailable { what, remedy: self.remedy() }
            }
            other => other,
        })?;
        WorkerBackend::start(WorkerSpec {
            name: self.name.into(),
            program,
            args: args.iter().map(Into::into).collect(),
            env: Vec::new(),
            build: Some(build_id()),
            remedy: self.remedy(),
            handshake_seconds: HANDSHAKE_SECONDS,
            request_seconds: answer_seconds,
        })
    }
}

/// The reference that `trial` of `case` is compared with.
///
/// One that is not here is missing, and the words name the feature that builds it; but where the
/// model's other references are here, the trial is left out with that reason: its siblings compare.
pub(crate) fn reference_of(case: &Case, trial: &Trial) -> Result<&'static ReferenceProgram> {
    choose(
        case.model.as_deref().unwrap_or_default(),
        &case.references,
        trial.reference.as_deref(),
        ReferenceProgram::is_here,
    )
}

fn choose(
    model: &str,
    listed: &[String],
    wanted: Option<&str>,
    is_here: impl Fn(&ReferenceProgram) -> bool,
) -> Result<&'static ReferenceProgram> {
    let known = |name: &str| REFERENCES.iter().find(|reference| reference.name == name);
    let Some(wanted) = wanted else {
        return Err(Obstacle::Error(format!(
            "model '{model}' names no reference in models.toml (known: {})",
            REFERENCES.iter().map(|reference| reference.name).collect::<Vec<_>>().join(", ")
        )));
    };
    let found = known(wanted);
    if let Some(reference) = found
        && is_here(reference)
    {
        return Ok(reference);
    }
    let obstacle = found.map_or_else(
        || {
            Obstacle::Error(format!(
                "model '{model}' names the reference '{}', which this version does not have \
                 (known: {})",
                escape::text(wanted),
                REFERENCES.iter().map(|reference| reference.name).collect::<Vec<_>>().join(", ")
            ))
        },
        ReferenceProgram::missing,
    );
    let others: Vec<&str> = listed
        .iter()
        .filter_map(|name| known(name))
        .filter(|r| is_here(r))
        .map(|r| r.name)
        .collect();
    match obstacle {
        Obstacle::Missing(what) if !others.is_empty() => Err(Obstacle::NotBuilt(format!(
            "{what}\n  its other trials compare with {}",
            others.join(", ")
        ))),
        other => Err(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(listed: &[&str], wanted: Option<&str>, here: &[&str]) -> Result<&'static str> {
        let listed: Vec<String> = listed.iter().map(ToString::to_string).collect();
        choose("small", &listed, wanted, |r| here.contains(&r.name)).map(|found| found.name)
    }

    #[test]
    fn a_reference_of_this_build_is_taken() {
        for name in ["bitnet-cpp", "llama-cpp"] {
            let found = chosen(&["bitnet-cpp", "llama-cpp"], Some(name), &[name]).unwrap();
            assert_eq!(found, name);
        }
    }

    #[test]
    fn the_only_reference_is_missing_with_its_feature() {
        for listed in [&["llama-cpp"][..], &["bitnet-cpp", "llama-cpp"]] {
            let Err(Obstacle::Missing(text)) = chosen(listed, Some("llama-cpp"), &[]) else {
                panic!("nothing to compare with is a failure")
            };
            for part in [
                "no reference llama-cpp: this program was built without the feature `llama-cpp`",
                "to get it: run `cargo build` with the default features",
                "BITNET_WORKER_DIR to the folder that holds `llama-cpp-worker",
            ] {
                assert!(text.contains(part), "{part:?} is not in {text:?}");
            }
        }
        // Another reference that is here, but not the model's, changes nothing.
        let other = chosen(&["llama-cpp"], Some("llama-cpp"), &["bitnet-cpp"]);
        assert!(matches!(other, Err(Obstacle::Missing(_))), "{other:?}");
    }

    #[test]
    fn one_of_several_is_left_out_with_the_reason() {
        let all = ["bitnet-cpp", "llama-cpp"];
        for (wanted, here) in [(all[0], all[1]), (all[1], all[0])] {
            let Err(Obstacle::NotBuilt(text)) = chosen(&all, Some(wanted), &[here]) else {
                panic!("{wanted} is left out while {here} compares")
            };
            assert!(text.contains(&format!("without the feature `{wanted}`")), "{text}");
            assert!(text.ends_with(&format!("its other trials compare with {here}")), "{text}");
        }
    }

    #[test]
    fn a_name_that_nobody_knows_is_an_error_whatever_else_is_here() {
        for here in [&[][..], &["bitnet-cpp"]] {
            let Err(Obstacle::Error(text)) =
                chosen(&["bitnet-cpp", "x\u{1b}"], Some("x\u{1b}"), here)
            else {
                panic!("a typing error is not skipped")
            };
            let expected = "model 'small' names the reference 'x\\u{1b}', which this version does not \
                            have (known: bitnet-cpp, llama-cpp)";
            assert_eq!(text, expected);
        }
        let Err(Obstacle::Error(text)) = chosen(&[], None, &["bitnet-cpp"]) else {
            panic!("nothing to compare with")
        };
        assert!(text.starts_with("model 'small' names no reference in models.toml"), "{text}");
    }
}
