//! Where the bytes of a model may come from, in the order in which it is tried. Opens files, not
//! connections.

use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use bitnet_engine::escape;
use reqwest::Url;

use super::address;
use super::disk::open_foreign;
use super::error::Cause;
use super::hub;
use super::options::FetchOptions;
use super::{LockedModel, ModelSource};

/// One place that may have the file.
pub(super) struct Source {
    pub kind: Kind,
    /// The place in words; holds no secret.
    pub shown: String,
    /// What a partial file remembers of it; holds no secret.
    pub origin: String,
}

/// What is asked for the bytes.
pub(super) enum Kind {
    /// A file of this machine.
    File(PathBuf),
    /// A server.
    Http(Url),
    /// The hub, with the page of the repository.
    Hub {
        /// The file.
        url: Url,
        /// Where a person reads about it.
        page: String,
    },
}

impl Source {
    /// Whether it can be read without a network.
    pub(super) fn is_local(&self) -> bool {
        matches!(self.kind, Kind::File(_))
    }

    fn file(path: PathBuf) -> Self {
        let shown = escape::text(&path.display().to_string());
        Self { kind: Kind::File(path), shown, origin: "file".into() }
    }
}

/// Why a source gave no bytes, or no more.
pub(super) enum Failure {
    /// It may pass: the reason, and how long the server asks to wait.
    Transient(String, Option<std::time::Duration>),
    /// This source does not give the file: the reason, with the next step.
    Final(String),
    /// This machine is in the way, whatever the source.
    Local(Cause),
}

impl From<Cause> for Failure {
    fn from(cause: Cause) -> Self {
        Self::Local(cause)
    }
}

/// A source that is about to give bytes.
pub(super) struct Opened {
    /// Offset of the first byte: what was asked for, or 0.
    pub start: u64,
    /// What the source calls this version of its file.
    pub etag: Option<String>,
    /// The content type, where it says that this is no model.
    pub text: Option<String>,
    /// Where the bytes really come from, if from a server.
    pub url: Option<Url>,
    pub body: Box<dyn Read>,
}

/// All sources of `model`: the hub's cache, what the lock names, the mirrors.
pub(super) fn of(model: &LockedModel, options: &FetchOptions) -> Result<Vec<Source>, Cause> {
    match &model.source {
        ModelSource::HuggingFace { repository, revision, file } => {
            let cached = options.hub_cache.as_deref();
            let cached = cached.and_then(|cache| hub::cached(cache, repository, &model.sha256));
            let (url, page) = hub::addresses(&options.hub_endpoint, repository, revision, file)?;
            let (shown, origin) = (address::shown(&url), address::origin(&url));
            let hub = Source { kind: Kind::Hub { url, page }, shown, origin };
            Ok(cached.map(Source::file).into_iter().chain([hub]).collect())
        }
        ModelSource::Url { url, mirrors } => Ok(std::iter::once(url)
            .chain(mirrors)
            .filter_map(|text| Url::parse(text).ok())
            .map(|url| match url.scheme() {
                "file" => Source::file(file_path(&url)),
                _ => {
                    let (shown, origin) = (address::shown(&url), address::origin(&url));
                    Source { kind: Kind::Http(url), shown, origin }
                }
            })
            .collect()),
        ModelSource::Path(_) | ModelSource::Synth(_) => Ok(Vec::new()),
    }
}

/// The path that a `file` URL names.
pub(super) fn file_path(url: &Url) -> PathBuf {
    url.to_file_path().unwrap_or_else(|()| PathBuf::from(url.path()))
}

/// Where the file of `model` comes from, in words that hold no secret.
pub(super) fn describe(model: &LockedModel) -> String {
    match &model.source {
        ModelSource::HuggingFace { repository, revision, file } => {
            escape::text(&format!("{repository}, revision {revision}, {file}"))
        }
        ModelSource::Url { url, .. } => address::shown_text(url),
        ModelSource::Path(path) => escape::text(path),
        ModelSource::Synth(_) => "the generator".into(),
    }
}

/// Opens a file of this machine at `offset`, if it has the right size.
pub(super) fn open_file(path: &Path, offset: u64, bytes: u64) -> Result<Opened, Failure> {
    let refused = |error: io::Error| Failure::Final(format!("cannot be read: {error}"));
    let (mut file, found) = open_foreign(path).map_err(refused)?;
    if found != bytes {
        return Err(Failure::Final(format!(
            "has {found} bytes, but models.toml pins {bytes}; nothing was written"
        )));
    }
    file.seek(SeekFrom::Start(offset)).map_err(refused)?;
    Ok(Opened { start: offset, etag: None, text: None, url: None, body: Box::new(file) })
}
