//! The Hugging Face hub: addresses of files, what it says of a file before it gives it, and the cache
//! of its own tools, which is only ever read.

use std::path::{Path, PathBuf};

use reqwest::{StatusCode, Url};

use super::LockedModel;
use super::address;
use super::error::Cause;
use super::sources::Failure;
use super::transport::{Ask, Transport};

/// What the hub says of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RemoteFile {
    /// SHA-256 of the file, where the hub keeps it as one large object.
    pub sha256: Option<String>,
    /// Its size, where it says so.
    pub bytes: Option<u64>,
    /// The commit that the revision means, where it says so.
    pub commit: Option<String>,
}

/// The URL of a file and of its repository's page.
pub(super) fn addresses(
    endpoint: &str,
    repository: &str,
    revision: &str,
    file: &str,
) -> Result<(Url, String), Cause> {
    let setting = |why: &str| Cause::Setting { name: "HF_ENDPOINT", why: why.to_owned() };
    let base = Url::parse(endpoint).map_err(|_| setting("is no URL"))?;
    let page = format!("{}/{repository}", address::shown(&base).trim_end_matches('/'));
    let mut url = base;
    url.path_segments_mut()
        .map_err(|()| setting("is no URL that a path can be added to"))?
        .pop_if_empty()
        .extend(repository.split('/'))
        .extend(["resolve", revision])
        .extend(file.split('/'));
    Ok((url, page))
}

/// The URL of what the hub says of a repository, as JSON.
pub(super) fn description(endpoint: &str, repository: &str) -> Option<Url> {
    let mut url = Url::parse(endpoint).ok()?;
    url.path_segments_mut()
        .ok()?
        .pop_if_empty()
        .extend(["api", "models"])
        .extend(repository.split('/'));
    Some(url)
}

/// The blob of a file in the cache of the hub's own tools, if it is there.
pub(super) fn cached(cache: &Path, repository: &str, sha256: &str) -> Option<PathBuf> {
    let folder = format!("models--{}", repository.replace('/', "--"));
    let blob = cache.join(folder).join("blobs").join(sha256);
    blob.is_file().then_some(blob)
}

/// Asks for the head of the file at `url`; `None` where the server answers no such question.
pub(super) fn ask(
    transport: &Transport<'_>,
    url: &Url,
    page: &str,
) -> Result<Option<RemoteFile>, Failure> {
    let (response, at) = transport.send(&Ask::head(url))?;
    let status = response.status();
    if matches!(status, StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED) {
        return Ok(None);
    }
    if !status.is_success() && !status.is_redirection() {
        return Err(transport.refusal(&response, &at, Some(page)));
    }
    let header = |name: &str| {
        let value = response.headers().get(name)?.to_str().ok()?;
        Some(value.trim().trim_start_matches("W/").trim_matches('"').to_ascii_lowercase())
    };
    // Small files have the name of a git object there, which is no hash of their bytes.
    let is_hex =
        |text: &str, digits| text.len() == digits && text.bytes().all(|b| b.is_ascii_hexdigit());
    Ok(Some(RemoteFile {
        sha256: header("x-linked-etag").filter(|text| is_hex(text, 64)),
        commit: header("x-repo-commit").filter(|text| is_hex(text, 40)),
        bytes: header("x-linked-size").and_then(|text| text.parse().ok()),
    }))
}

/// Fails if the hub has another file than the lock pins, before any of it is downloaded.
pub(super) fn check(
    transport: &Transport<'_>,
    model: &LockedModel,
    url: &Url,
    page: &str,
) -> Result<(), Failure> {
    let Some(found) = ask(transport, url, page)? else { return Ok(()) };
    let sha256 = found.sha256.as_ref().filter(|found| **found != model.sha256);
    let bytes = found.bytes.filter(|found| *found != model.bytes);
    let differs = match (sha256, bytes) {
        (None, None) => return Ok(()),
        (Some(found), _) => format!("its sha256 is {found}, models.toml pins {}", model.sha256),
        (None, Some(found)) => format!("it has {found} bytes, models.toml pins {}", model.bytes),
    };
    Err(Failure::Final(format!(
        "the file at {} changed: {differs}; nothing was downloaded. If the new file is meant, update \
         models.toml with its revision, sha256 and bytes",
        address::shown(url)
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_follow_the_endpoint() {
        for (endpoint, start) in [
            ("https://hub.example", "https://hub.example/"),
            ("http://127.0.0.1:8080/mirror/", "http://127.0.0.1:8080/mirror/"),
        ] {
            let (url, page) = addresses(endpoint, "own/er.name", "abc", "a b/c#.gguf").unwrap();
            assert_eq!(url.as_str(), format!("{start}own/er.name/resolve/abc/a%20b/c%23.gguf"));
            assert_eq!(page, format!("{start}own/er.name"));
        }
        let cause = addresses("nowhere", "a/b", "c", "d").unwrap_err();
        assert_eq!(cause.to_string(), "HF_ENDPOINT is no URL");
    }

    #[test]
    fn a_blob_is_found_by_its_hash() {
        let cache = tempfile::tempdir().unwrap();
        let blobs = cache.path().join("models--own--name").join("blobs");
        std::fs::create_dir_all(&blobs).unwrap();
        assert_eq!(cached(cache.path(), "own/name", "abc"), None);
        std::fs::write(blobs.join("abc"), "x").unwrap();
        assert_eq!(cached(cache.path(), "own/name", "abc"), Some(blobs.join("abc")));
    }
}
