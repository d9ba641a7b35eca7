//! Finds out what a source has now: the hash, the size and the commit that a lock entry pins. It keeps
//! no bytes and writes no file; what it finds is for a person to believe, not for a run.

use std::io::{self, Read};
use std::path::Path;

use reqwest::Url;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::disk::open_foreign;
use super::error::{Cause, StoreError, io_cause};
use super::hashing::{feed, hex};
use super::hub;
use super::make::synthesise;
use super::options::FetchOptions;
use super::progress::{Hear, Progress};
use super::sources::Failure;
use super::transport::{Ask, Transport};
use super::{ModelSource, address};

/// Most bytes of the hub's description of a repository that are read.
const MAX_DESCRIPTION: u64 = 1 << 20;

/// What a source has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The source; a branch of a hub has become the commit that it means now.
    pub source: ModelSource,
    /// SHA-256 of the file, in lower-case hex.
    pub sha256: String,
    /// Its size.
    pub bytes: u64,
    /// The licence that the hub states.
    pub license: Option<String>,
}

/// Asks `source` what it has. The hub says so in a header; what does not is read and hashed. The
/// revision of a hub may be a branch here. Relative paths start at `project`.
///
/// # Errors
/// If the source gives no file, or does not say which.
pub fn look_up(
    id: &str,
    source: &ModelSource,
    project: &Path,
    options: &FetchOptions,
    hear: Hear<'_>,
) -> Result<Found, StoreError> {
    let found = match source {
        ModelSource::Synth(spec) => {
            let made = synthesise(id, spec, io::sink(), hear);
            hear(Progress::Done(id));
            return made.map(|(bytes, sha256)| found(source.clone(), sha256, bytes));
        }
        ModelSource::Path(path) => {
            let path = project.join(path);
            open_foreign(&path)
                .map_err(io_cause(&path, "read"))
                .and_then(|(file, bytes)| {
                    hash(file, |done| hear(Progress::Hashing(id, done, bytes)))
                        .map_err(io_cause(&path, "hash"))
                })
                .map(|(sha256, bytes)| found(source.clone(), sha256, bytes))
                .map_err(Cause::from)
        }
        _ if options.offline => Err(Cause::Source {
            source_name: "offline".into(),
            why: "nobody is asked; run the command again with a network".into(),
        }),
        ModelSource::Url { url, .. } => of_url(id, url, options, hear)
            .map(|(sha256, bytes)| found(source.clone(), sha256, bytes)),
        ModelSource::HuggingFace { repository, revision, file } => {
            of_hub(id, (repository, revision, file), options, hear)
        }
    };
    hear(Progress::Done(id));
    found.map_err(|cause| StoreError::Model { id: id.to_owned(), cause: Box::new(cause) })
}

fn found(source: ModelSource, sha256: String, bytes: u64) -> Found {
    Found { source, sha256, bytes, license: None }
}

fn hash(from: impl Read, progress: impl FnMut(u64)) -> io::Result<(String, u64)> {
    let mut hasher = Sha256::new();
    let bytes = feed(from, &mut hasher, progress)?;
    Ok((hex(&hasher.finalize()), bytes))
}

fn of_url(
    id: &str,
    url: &str,
    options: &FetchOptions,
    hear: Hear<'_>,
) -> Result<(String, u64), Cause> {
    let url = Url::parse(url).map_err(|_| refused(&address::shown_text(url), "is no URL"))?;
    if url.scheme() == "file" {
        let path = super::sources::file_path(&url);
        let (file, bytes) = open_foreign(&path).map_err(io_cause(&path, "read"))?;
        let heard = |done| hear(Progress::Hashing(id, done, bytes));
        return Ok(hash(file, heard).map_err(io_cause(&path, "hash"))?);
    }
    read_all(id, &Transport::new(options), &url, None, hear)
}

/// Reads a file whose size nobody knows yet, and hashes it.
fn read_all(
    id: &str,
    transport: &Transport<'_>,
    url: &Url,
    page: Option<&str>,
    hear: Hear<'_>,
) -> Result<(String, u64), Cause> {
    let shown = address::shown(url);
    let failed = |failure| in_words(failure, &shown);
    let (response, at) = transport.send(&Ask::whole(url, page.is_some())).map_err(failed)?;
    if response.status() != reqwest::StatusCode::OK {
        return Err(failed(transport.refusal(&response, &at, page)));
    }
    let announced = response.content_length();
    let heard = |done| hear(Progress::Received(id, done, announced.unwrap_or(done)));
    let (sha256, bytes) = hash(response, heard)
        .map_err(|error| refused(&shown, &transport.cut(&error, Some(&at))))?;
    match announced {
        Some(announced) if announced != bytes => {
            let why = format!("announced {announced} bytes and gave {bytes}; try again");
            Err(refused(&shown, &why))
        }
        _ => Ok((sha256, bytes)),
    }
}

fn of_hub(
    id: &str,
    (repository, revision, file): (&str, &str, &str),
    options: &FetchOptions,
    hear: Hear<'_>,
) -> Result<Found, Cause> {
    let transport = Transport::new(options);
    let (url, page) = hub::addresses(&options.hub_endpoint, repository, revision, file)?;
    let shown = address::shown(&url);
    let told = hub::ask(&transport, &url, &page).map_err(|failure| in_words(failure, &shown))?;
    let told = told.ok_or_else(|| refused(&shown, "does not say which commit this is"))?;
    let commit = match told.commit {
        Some(commit) => commit,
        None if is_commit(revision) => revision.to_owned(),
        None => {
            let why =
                format!("does not say which commit '{revision}' is; give one with --revision");
            return Err(refused(&shown, &why));
        }
    };
    let (sha256, bytes) = match (told.sha256, told.bytes) {
        (Some(sha256), Some(bytes)) => (sha256, bytes),
        _ => {
            let (pinned, _) = hub::addresses(&options.hub_endpoint, repository, &commit, file)?;
            read_all(id, &transport, &pinned, Some(&page), hear)?
        }
    };
    let source = ModelSource::HuggingFace {
        repository: repository.to_owned(),
        revision: commit,
        file: file.to_owned(),
    };
    let license = license(&transport, &options.hub_endpoint, repository);
    Ok(Found { license, ..found(source, sha256, bytes) })
}

fn is_commit(revision: &str) -> bool {
    revision.len() == 40 && revision.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// What the hub says of a repository, as far as it is wanted here.
#[derive(Debug, Default, Deserialize)]
struct Description {
    #[serde(default)]
    tags: Vec<String>,
}

/// The licence that the repository's page states, if it states one: for the person who writes the
/// entry, so that not being told is no failure.
fn license(transport: &Transport<'_>, endpoint: &str, repository: &str) -> Option<String> {
    let url = hub::description(endpoint, repository)?;
    let (response, _) = transport.send(&Ask::whole(&url, true)).ok()?;
    if !response.status().is_success() {
        return None;
    }
    let description: Description =
        serde_json::from_reader(response.take(MAX_DESCRIPTION)).unwrap_or_default();
    let license = description.tags.iter().find_map(|tag| tag.strip_prefix("license:"))?;
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b"-.+".contains(&b);
    (license != "other" && license.bytes().all(is_word)).then(|| spelled(license))
}

/// The hub writes SPDX identifiers in small letters.
fn spelled(license: &str) -> String {
    const KNOWN: [&str; 6] =
        ["MIT", "Apache-2.0", "BSD-3-Clause", "CC-BY-4.0", "CC-BY-NC-4.0", "CC0-1.0"];
    let known = KNOWN.iter().find(|known| known.eq_ignore_ascii_case(license));
    known.map_or(license, |known| known).to_owned()
}

fn in_words(failure: Failure, shown: &str) -> Cause {
    match failure {
        Failure::Local(cause) => cause,
        Failure::Transient(why, _) => refused(shown, &format!("{why}; try again later")),
        Failure::Final(why) => refused(shown, &why),
    }
}

fn refused(source_name: &str, why: &str) -> Cause {
    Cause::Source { source_name: source_name.to_owned(), why: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_pinned_by_its_bytes() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("abc"), "abc").unwrap();
        // FIPS 180-2, appendix B.1
        let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let options = FetchOptions { offline: true, ..FetchOptions::default() };
        let ask = |source: &ModelSource| look_up("a", source, folder.path(), &options, &|_| ());
        let source = ModelSource::Path("abc".into());
        assert_eq!(ask(&source).unwrap(), found(source, sha256.into(), 3));
        let error = ask(&ModelSource::Path("nowhere".into())).unwrap_err().to_string();
        assert!(
            error.starts_with("model 'a': ") && error.contains("nowhere: cannot read"),
            "{error}"
        );
        let url = ModelSource::Url { url: "https://origin.example/m".into(), mirrors: Vec::new() };
        let error = ask(&url).unwrap_err().to_string();
        let truth = "model 'a': offline: nobody is asked; run the command again with a network";
        assert_eq!(error, truth);
    }

    #[test]
    fn licences_get_their_usual_spelling() {
        assert_eq!(spelled("mit"), "MIT");
        assert_eq!(spelled("apache-2.0"), "Apache-2.0");
        assert_eq!(spelled("gemma"), "gemma");
    }
}
