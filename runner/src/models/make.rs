//! Makes synthetic models: writes the file beside its place and moves it there if its bytes are the
//! pinned ones.

use std::fs::File;
use std::io::{self, Write};

use bitnet_engine::synth::{SynthError, SynthSpec, write_model};
use sha2::{Digest, Sha256};

use super::disk::Disk;
use super::error::{Cause, Mismatch, StoreError, io_cause};
use super::hashing::{Hashed, hex};
use super::progress::{Hear, Progress, Step, Voice};
use super::room::{Room, remove};
use super::{LockedModel, SynthSource};

/// Makes `model` in `room`, whose lock is held.
pub(super) fn make(
    disk: &dyn Disk,
    room: &Room,
    model: &LockedModel,
    source: &SynthSource,
    voice: Voice<'_>,
) -> Result<(), Cause> {
    room.check_space(disk, model.bytes)?;
    room.create(disk)?;
    let path = room.making();
    // What an interrupted making left behind.
    remove(&path)?;
    let file = disk.create(&path).map_err(io_cause(&path, "create"))?;
    voice.step(Step::PartialOpened);
    let made = write(voice.id, source, Out { disk, file: &file }, voice.hear);
    (voice.hear)(Progress::Done(voice.id));
    let checked = made.and_then(|(found_bytes, found)| {
        if found == model.sha256 && found_bytes == model.bytes {
            return Ok(());
        }
        Err(Cause::Mismatch(Box::new(Mismatch {
            path: path.clone(),
            found,
            found_bytes,
            wanted: model.sha256.clone(),
            wanted_bytes: model.bytes,
            next: "the generator changed: if that was intended, write the new values into models.toml",
        })))
    });
    if let Err(cause) = checked {
        remove(&path)?;
        return Err(cause);
    }
    voice.step(Step::Hashed);
    Ok(room.settle(disk, &file, &path, voice)?)
}

/// Writes the model of `source` to `out`; gives its length and SHA-256.
///
/// # Errors
/// If the spec names no model, or `out` cannot be written.
pub fn synthesise(
    id: &str,
    source: &SynthSource,
    out: impl Write,
    progress: Hear<'_>,
) -> Result<(u64, String), StoreError> {
    write(id, source, out, progress)
        .map_err(|cause| StoreError::Model { id: id.to_owned(), cause: Box::new(cause) })
}

fn write(
    id: &str,
    source: &SynthSource,
    out: impl Write,
    progress: Hear<'_>,
) -> Result<(u64, String), Cause> {
    let SynthSource { arch, preset, tensor_type, embedding_type, seed } = source;
    let spec = SynthSpec::from_names(arch, preset, tensor_type, embedding_type, *seed)
        .map_err(|error| Cause::Synth(error.to_string()))?;
    let mut hashed = Hashed { out, hasher: Sha256::new() };
    let bytes = write_model(&spec, &mut hashed, |done, all| {
        progress(Progress::Making(id, done, all));
    })
    .map_err(|error: SynthError| Cause::Synth(error.to_string()))?;
    Ok((bytes, hex(&hashed.hasher.finalize())))
}

/// A file of the store.
struct Out<'a> {
    disk: &'a dyn Disk,
    file: &'a File,
}

impl Write for Out<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.disk.write(self.file, bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
