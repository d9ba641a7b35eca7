//! Reads `models.toml`, the lock: which file a model id means, to the byte.
//!
//! Nothing is opened, fetched or hashed here, and no id reaches a path before it was checked.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bitnet_engine::quant::i2_s::FileLayout;
use serde::Deserialize;
use toml::Spanned;
use toml::de::DeValue;

use super::entry::Entry;
use crate::manifest::Tier;
use crate::manifest::diagnostic::{Diagnostic, LoadErrors, Source};
use crate::manifest::document;

/// The version of the format that this program reads.
const SCHEMA_VERSION: i64 = 1;

/// Every model that a case may name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelLock {
    path: String,
    models: Vec<LockedModel>,
}

/// One model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedModel {
    /// The name that cases use; safe as a file name.
    pub id: String,
    /// The lowest tier that may use it.
    pub tier: Tier,
    /// SHA-256 of the file: 64 lower-case hex digits.
    pub sha256: String,
    /// Size of the file; at least 1.
    pub bytes: u64,
    /// Licence of the weights, as an SPDX expression where there is one.
    pub license: String,
    /// Where the terms stand that a user accepts once before the file is fetched.
    pub terms: Option<String>,
    /// Names of the engines that can serve as its reference.
    pub references: Vec<String>,
    /// How the program that made the file packs I2_S; as x86 builds do unless the lock says otherwise.
    pub i2s_layout: FileLayout,
    /// Where the file comes from.
    pub source: ModelSource,
    /// Line of the lock (from 1) where the entry begins.
    pub line: usize,
}

/// Where a model's file comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelSource {
    /// Built on this machine, byte-identical everywhere.
    Synth(SynthSource),
    /// A file relative to the folder of `models.toml`, inside it.
    Path(String),
    /// A file of a Hugging Face repository.
    HuggingFace {
        /// `owner/name`.
        repository: String,
        /// Commit: 40 lower-case hex digits.
        revision: String,
        /// Path in the repository.
        file: String,
    },
    /// A file behind a URL: https, http, or file with an absolute path.
    Url {
        /// Where it is asked for first.
        url: String,
        /// Where it is asked for next, in order.
        mirrors: Vec<String>,
    },
}

/// What to build; the words are resolved by the builder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SynthSource {
    /// Architecture as GGUF spells it.
    pub arch: String,
    /// Name of a shape.
    pub preset: String,
    /// Tensor type of the linear layers.
    pub tensor_type: String,
    /// Tensor type of the embedding.
    pub embedding_type: String,
    /// Seed of the weights.
    pub seed: u64,
}

impl ModelLock {
    /// Reads and checks the lock at `path`.
    ///
    /// # Errors
    /// Everything that is wrong in the file. A lock without models is an error.
    pub fn read(path: &Path) -> Result<Self, LoadErrors> {
        let source = document::read(path).map_err(LoadErrors::new)?;
        let mut table = document::parse(&source).map_err(LoadErrors::new)?;
        let mut problems = Vec::new();
        let entries = table.remove("model");
        let head_problems = problems.len();
        let (head, _) = document::wire::<WireHead>(&source, &table, "the lock", &mut problems);
        if problems.len() == head_problems {
            check_version(&source, head.schema_version, &mut problems);
        }
        let models = models(&source, entries, &mut problems);
        if problems.is_empty() {
            Ok(Self { path: source.path.clone(), models })
        } else {
            Err(LoadErrors::new(problems))
        }
    }

    /// Path of the file, as it was given.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The models, in the order of the file.
    pub fn models(&self) -> &[LockedModel] {
        &self.models
    }

    /// The model with this id.
    pub fn get(&self, id: &str) -> Option<&LockedModel> {
        self.models.iter().find(|model| model.id == id)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WireHead {
    schema_version: Option<Spanned<i64>>,
    // `[[model]]` is read on its own; named here so that messages list it.
    #[serde(rename = "model")]
    _model: Option<()>,
}

fn check_version(
    source: &Arc<Source>,
    version: Option<Spanned<i64>>,
    problems: &mut Vec<Diagnostic>,
) {
    match version {
        Some(version) if *version.get_ref() == SCHEMA_VERSION => {}
        Some(version) => problems.push(Diagnostic::new(
            source,
            version.span(),
            format!("this program reads `schema_version` {SCHEMA_VERSION}"),
            "another version",
        )),
        None => problems.push(Diagnostic::new(
            source,
            0..0,
            "the lock needs the key `schema_version`",
            format!("begin with `schema_version = {SCHEMA_VERSION}`"),
        )),
    }
}

fn models(
    source: &Arc<Source>,
    entries: Option<Spanned<DeValue<'_>>>,
    problems: &mut Vec<Diagnostic>,
) -> Vec<LockedModel> {
    let span = entries.as_ref().map_or(0..0, Spanned::span);
    let entries: Vec<_> = match entries.map(Spanned::into_inner) {
        Some(DeValue::Array(entries)) => entries.into_iter().collect(),
        Some(_) => {
            let label = "each model begins with the line `[[model]]`";
            problems.push(Diagnostic::new(source, span, "`model` has the wrong type", label));
            return Vec::new();
        }
        None => Vec::new(),
    };
    if entries.is_empty() {
        problems.push(Diagnostic::new(
            source,
            span,
            "the lock has at least one model",
            "no `[[model]]` here",
        ));
    }
    let mut ids = BTreeMap::new();
    let mut models = Vec::new();
    for entry in entries {
        let header = entry.span();
        let DeValue::Table(table) = entry.into_inner() else {
            problems.push(Diagnostic::new(source, header, "a model is a table", "not a table"));
            continue;
        };
        let entry = Entry { source, header, problems };
        models.extend(entry.read(&table, &mut ids));
    }
    models
}
