//! One `[[model]]` of the lock: from wire types to a checked [`LockedModel`], with a caret under what
//! is wrong. Opens and asks nothing.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use bitnet_engine::quant::i2_s::FileLayout;
use serde::Deserialize;
use toml::Spanned;

use super::address;
use super::lock::{LockedModel, ModelSource, SynthSource};
use crate::manifest::Tier;
use crate::manifest::diagnostic::{Diagnostic, Source, nearest};
use crate::manifest::document::{self, Table};
use crate::manifest::{name, path};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WireModel {
    id: Option<Spanned<String>>,
    tier: Option<Spanned<Tier>>,
    sha256: Option<Spanned<String>>,
    bytes: Option<Spanned<i64>>,
    license: Option<Spanned<String>>,
    terms: Option<Spanned<String>>,
    references: Option<Spanned<Vec<Spanned<String>>>>,
    #[serde(rename = "i2s-layout")]
    i2s_layout: Option<Spanned<String>>,
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

/// One `[[model]]` and what is wrong with it.
pub(super) struct Entry<'a> {
    /// The file.
    pub(super) source: &'a Arc<Source>,
    /// Where the entry begins.
    pub(super) header: Range<usize>,
    /// What is wrong so far.
    pub(super) problems: &'a mut Vec<Diagnostic>,
}

impl Entry<'_> {
    fn problem(&mut self, span: Range<usize>, rule: impl Into<String>, label: impl Into<String>) {
        self.problems.push(Diagnostic::new(self.source, span, rule, label));
    }

    /// The model, if nothing is wrong with it. `ids` holds those of the entries before.
    pub(super) fn read(
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
        let i2s_layout = wire.i2s_layout.and_then(|layout| self.i2s_layout(&layout));
        let terms = wire.terms.and_then(|terms| self.terms(terms, wire.source.as_ref()));
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
            terms,
            references: references?,
            i2s_layout: i2s_layout.unwrap_or_default(),
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

    fn i2s_layout(&mut self, name: &Spanned<String>) -> Option<FileLayout> {
        let layout = name.get_ref().parse().ok();
        if layout.is_none() {
            let known = FileLayout::NAMES.map(|(known, _)| known);
            let label = match nearest(name.get_ref(), known) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "no such layout".to_owned(),
            };
            let rule = format!("`i2s-layout` is one of {}", document::list(&known));
            self.problem(name.span(), rule, label);
        }
        layout
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
        if let Err(why) = address::check(text.get_ref()) {
            self.problem(text.span(), address::URL_RULE, why);
            return None;
        }
        Some(text.into_inner())
    }

    fn terms(
        &mut self,
        terms: Spanned<String>,
        source: Option<&Spanned<WireSource>>,
    ) -> Option<String> {
        let good =
            terms.get_ref().starts_with("https://") && address::check(terms.get_ref()).is_ok();
        if !good {
            self.problem(terms.span(), "`terms` is an https:// URL without user name", "not one");
            return None;
        }
        let local = |source: &WireSource| source.synth.is_some() || source.path.is_some();
        if source.is_some_and(|source| local(source.get_ref())) {
            self.problem(
                terms.span(),
                "`terms` belongs to a model that is fetched",
                "not this one",
            );
            return None;
        }
        Some(terms.into_inner())
    }
}
