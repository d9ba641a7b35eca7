//! Whether a file's bytes are the pinned ones. Changes nothing, and decides nothing about a wrong file.

use std::fs::File;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::LockedModel;
use super::error::{IoCause, Mismatch, io_cause};
use super::hashing::{feed, hex};
use super::progress::{Progress, Voice};

/// SHA-256 of an open file of `bytes` bytes, in lower-case hex.
pub(super) fn hash(
    file: &File,
    path: &Path,
    bytes: u64,
    voice: Voice<'_>,
) -> Result<String, IoCause> {
    let mut hasher = Sha256::new();
    let hear = |done| (voice.hear)(Progress::Hashing(voice.id, done, bytes));
    let fed = feed(file, &mut hasher, hear);
    (voice.hear)(Progress::Done(voice.id));
    fed.map_err(io_cause(path, "hash"))?;
    Ok(hex(&hasher.finalize()))
}

/// How a file of `bytes` bytes differs from the pinned one, if it does.
pub(super) fn mismatch(
    model: &LockedModel,
    path: &Path,
    (found, bytes): (String, u64),
    next: &'static str,
) -> Option<Box<Mismatch>> {
    if found == model.sha256 && bytes == model.bytes {
        return None;
    }
    Some(Box::new(Mismatch {
        path: path.to_owned(),
        found,
        found_bytes: bytes,
        wanted: model.sha256.clone(),
        wanted_bytes: model.bytes,
        next,
    }))
}
