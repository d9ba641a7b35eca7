//! Reads `models.toml`, the lock: which file a model id means, to the byte.
//!
//! Nothing is opened, fetched or hashed here, and no id reaches a path before it was checked.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;
use toml::de::DeValue;

use crate::manifest::Tier;
use crate::manifest::diagnostic::{Diagnostic, LoadErrors, Source};
use crate::manifest::document::{self, Table};
use crate::manifest::{name, path};

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
    /// Names of the engines that can serve as its reference.
    pub references: Vec<String>,
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
    /// A file behind HTTPS.
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

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WireModel {
    id: Option<Spanned<String>>,
    tier: Option<Spanned<Tier>>,
    sha256: Option<Spanned<String>>,
    bytes: Option<Spanned<i64>>,
    license: Option<Spanned<String>>,
    references: Option<Spanned<Vec<Spanned<String>>>>,
    source: Option<Spanned<WireSource>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireSource {
    synth: Option<WireSynth>,
    path: Option<Spanned<String>>,
    hf: Option<Spanned<String>>,
    revision: Option<Spanned<String>>,
    file: Option<Spanned<String>>,
    url: Option<Spanned<String>>,
    mirrors: Option<Vec<Spanned<String>>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct WireSynth {
    arch: Spanned<String>,
    preset: Spanned<String>,
    #[serde(rename = "type")]
    tensor_type: Spanned<String>,
    embedding_type: Spanned<String>,
    seed: Spanned<i64>,
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

/// One `[[model]]` and what is wrong with it.
struct Entry<'a> {
    source: &'a Arc<Source>,
    header: Range<usize>,
    problems: &'a mut Vec<Diagnostic>,
}

impl Entry<'_> {
    fn problem(&mut self, span: Range<usize>, rule: impl Into<String>, label: impl Into<String>) {
        self.problems.push(Diagnostic::new(self.source, span, rule, label));
    }

    fn read(
        mut self,
        table: &Table<'_>,
        ids: &mut BTreeMap<String, Range<usize>>,
    ) -> Option<LockedModel> {
        let before = self.problems.len();
        let (wire, _) = document::wire::<WireModel>(self.source, table, "a model", self.problems);
        if self.problems.len() == before {
            let given = [
                ("id", wire.id.is_some()),
                ("tier", wire.tier.is_some()),
                ("sha256", wire.sha256.is_some()),
                ("bytes", wire.bytes.is_some()),
                ("license", wire.license.is_some()),
                ("references", wire.references.is_some()),
                ("source", wire.source.is_some()),
            ];
            for (key, _) in given.into_iter().filter(|(_, given)| !given) {
                let label = format!("`{key}` is missing in this model");
                self.problem(self.header.clone(), format!("a model needs the key `{key}`"), label);
            }
        }
        let id = wire.id.and_then(|id| self.id(id, ids));
        let sha256 = wire.sha256.and_then(|sha256| self.hex(sha256, "sha256", 64));
        let bytes = wire.bytes.and_then(|bytes| {
            let size = u64::try_from(*bytes.get_ref()).ok().filter(|size| *size > 0);
            if size.is_none() {
                self.problem(bytes.span(), "`bytes` is at least 1", "no file has this size");
            }
            size
        });
        let license = wire.license.and_then(|text| self.word("license", text));
        let references = wire.references.map(|list| self.references(list.into_inner()));
        let source = wire.source.and_then(|source| self.model_source(source));
        if self.problems.len() > before {
            return None;
        }
        Some(LockedModel {
            id: id?,
            tier: wire.tier?.into_inner(),
            sha256: sha256?,
            bytes: bytes?,
            license: license?,
            references: references?,
            source: source?,
            line: self.source.position(self.header.start).0,
        })
    }

    fn id(
        &mut self,
        id: Spanned<String>,
        ids: &mut BTreeMap<String, Range<usize>>,
    ) -> Option<String> {
        if let Err(why) = name::check(id.get_ref()) {
            self.problem(id.span(), name::NAME_RULE, why);
            return None;
        }
        if let Some(first) = ids.get(id.get_ref()) {
            let rule = format!("two models have the id `{}`", id.get_ref());
            let problem = Diagnostic::new(self.source, id.span(), rule, "the second");
            self.problems.push(problem.with_context(first.clone(), "the first"));
            return None;
        }
        ids.insert(id.get_ref().clone(), id.span());
        Some(id.into_inner())
    }

    fn hex(&mut self, text: Spanned<String>, key: &str, digits: usize) -> Option<String> {
        let value = text.get_ref();
        if value.len() != digits || !value.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            let rule = format!("`{key}` is {digits} lower-case hex digits");
            self.problem(text.span(), rule, format!("{} characters here", value.chars().count()));
            return None;
        }
        Some(text.into_inner())
    }

    fn word(&mut self, key: &str, text: Spanned<String>) -> Option<String> {
        if text.get_ref().trim().is_empty() {
            self.problem(text.span(), format!("`{key}` says nothing"), "empty");
            return None;
        }
        Some(text.into_inner())
    }

    fn references(&mut self, list: Vec<Spanned<String>>) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for reference in list {
            if let Err(why) = name::check(reference.get_ref()) {
                self.problem(reference.span(), name::NAME_RULE, why);
            } else if names.contains(reference.get_ref()) {
                self.problem(reference.span(), "`references` names each engine once", "repeated");
            } else {
                names.push(reference.into_inner());
            }
        }
        names
    }

    fn model_source(&mut self, wire: Spanned<WireSource>) -> Option<ModelSource> {
        let span = wire.span();
        match wire.into_inner() {
            WireSource {
                synth: Some(synth),
                path: None,
                hf: None,
                revision: None,
                file: None,
                url: None,
                mirrors: None,
            } => self.synth(synth),
            WireSource {
                synth: None,
                path: Some(path),
                hf: None,
                revision: None,
                file: None,
                url: None,
                mirrors: None,
            } => self.relative("path", path).map(ModelSource::Path),
            WireSource {
                synth: None,
                path: None,
                hf: Some(hf),
                revision: Some(revision),
                file: Some(file),
                url: None,
                mirrors: None,
            } => {
                let repository = self.repository(hf);
                let revision = self.hex(revision, "revision", 40);
                let file = self.relative("file", file);
                Some(ModelSource::HuggingFace {
                    repository: repository?,
                    revision: revision?,
                    file: file?,
                })
            }
            WireSource {
                synth: None,
                path: None,
                hf: None,
                revision: None,
                file: None,
                url: Some(url),
                mirrors,
            } => {
                let url = self.url(url);
                let mirrors: Vec<Option<String>> = mirrors
                    .unwrap_or_default()
                    .into_iter()
                    .map(|mirror| self.url(mirror))
                    .collect();
                Some(ModelSource::Url {
                    url: url?,
                    mirrors: mirrors.into_iter().collect::<Option<_>>()?,
                })
            }
            _ => {
                self.problem(
                    span,
                    "`source` is exactly one of { synth }, { path }, { hf, revision, file }, { url, mirrors }",
                    "this is none or several of them",
                );
                None
            }
        }
    }

    fn synth(&mut self, wire: WireSynth) -> Option<ModelSource> {
        let arch = self.word("arch", wire.arch);
        let preset = self.word("preset", wire.preset);
        let tensor_type = self.word("type", wire.tensor_type);
        let embedding_type = self.word("embedding-type", wire.embedding_type);
        let seed = u64::try_from(*wire.seed.get_ref()).ok();
        if seed.is_none() {
            self.problem(wire.seed.span(), "`seed` is not negative", "negative");
        }
        Some(ModelSource::Synth(SynthSource {
            arch: arch?,
            preset: preset?,
            tensor_type: tensor_type?,
            embedding_type: embedding_type?,
            seed: seed?,
        }))
    }

    /// A path that stays where it is joined, on every system.
    fn relative(&mut self, key: &str, text: Spanned<String>) -> Option<String> {
        if !path::is_plain(text.get_ref()) {
            let rule = format!("`{key}` is a relative path of names joined by `/`");
            self.problem(text.span(), rule, "no `..`, no absolute path");
            return None;
        }
        Some(text.into_inner())
    }

    fn repository(&mut self, text: Spanned<String>) -> Option<String> {
        let part = |part: &str| {
            !part.is_empty()
                && part.starts_with(|c: char| c.is_ascii_alphanumeric())
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        };
        let good =
            text.get_ref().split_once('/').is_some_and(|(owner, name)| part(owner) && part(name));
        if !good {
            self.problem(text.span(), "`hf` is a repository, `owner/name`", "not of this form");
            return None;
        }
        Some(text.into_inner())
    }

    fn url(&mut self, text: Spanned<String>) -> Option<String> {
        let url = text.get_ref();
        let host = url
            .strip_prefix("https://")
            .map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
        let label = match host {
            None => "another scheme",
            Some("") => "no host",
            Some(host) if host.contains('@') => "a user name or password",
            Some(_) if !url.bytes().all(|b| b.is_ascii_graphic()) => {
                "a space or a control character"
            }
            Some(_) => return Some(text.into_inner()),
        };
        self.problem(text.span(), "a URL is https:// without user name", label);
        None
    }
}
