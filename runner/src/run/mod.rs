//! Running a trial: from a case to an outcome. Judging is `compare`'s, printing `report`'s.

pub mod coverage;
mod engines;
mod metamorphic;
mod outcome;
mod parity;
mod project;
pub mod quantization;
mod references;
mod reject;
mod runner;
mod tokenizer;
mod tolerance;

pub use engines::Engines;
pub use outcome::{Cause, Outcome, Result};
pub use project::{Project, ProjectError};
pub use references::{REFERENCES, ReferenceProgram};
pub use runner::{Runner, Settings};
pub use tolerance::{KNOWN, ceilings, contract};
