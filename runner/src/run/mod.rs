//! Running a trial: from a case to an outcome. Judging is `compare`'s, printing `report`'s.

pub mod coverage;
mod engines;
mod evidence;
mod golden;
mod localize;
mod metamorphic;
mod outcome;
mod parity;
mod perplexity;
mod project;
pub mod quantization;
mod record;
mod references;
mod reject;
mod runner;
mod tokenizer;
mod tolerance;

pub use engines::Engines;
pub(crate) use engines::{ModelFile, readable_by_references};
pub use golden::{BadReference, GoldenUse, REFERENCE_VARIABLE, question as golden_question};
pub use localize::Localized;
pub use outcome::{Cause, Obstacle, Outcome, Result};
pub use perplexity::{ScoredText, TextQuestion};
pub use project::{Project, ProjectError};
pub(crate) use references::reference_of;
pub use references::{REFERENCES, ReferenceProgram};
pub use runner::{Runner, Settings};
pub use tolerance::{KNOWN, ceilings, contract};
