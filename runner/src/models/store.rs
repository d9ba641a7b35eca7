//! From a model's id to a file whose bytes are the ones that `models.toml` pins.
//!
//! Synthetic models are made on this machine, path models are used where they lie; both are hashed
//! before anybody sees them. There is no fallback and nothing is downloaded. Layout of the cache:
//! `models/<sha256>/model.gguf`, its stamp beside it, locks under `models/.locks`.

use std::env;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bitnet_engine::synth::{SynthError, SynthSpec, write_model};
use sha2::{Digest, Sha256};

use super::stamp;
use super::{LockedModel, ModelSource, SynthSource};

/// Environment variable that names the cache folder.
pub const CACHE_VARIABLE: &str = "BITNET_CACHE_DIR";

/// Beginning of the name of a model that is being made.
const MAKING: &str = ".making-";

/// What a slow step reports while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress<'a> {
    /// Another process works on the same model.
    Waiting(&'a str),
    /// Tensors of a synthetic model written, of how many.
    Making(&'a str, usize, usize),
    /// Bytes hashed, of how many.
    Hashing(&'a str, u64, u64),
    /// The step is over.
    Done(&'a str),
}

/// Why there is no verified file.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The home folder is unknown, so there is no place for a cache.
    #[error("no folder for the model cache: {0}; set {CACHE_VARIABLE} to one")]
    NoCache(String),
    /// The operating system refused.
    #[error("{}: cannot {action}: {source}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// The synthetic model cannot be made.
    #[error("model '{id}' cannot be made: {why}")]
    Synth {
        /// The model.
        id: String,
        /// The generator's reason.
        why: String,
    },
    /// The bytes are not the pinned ones.
    #[error(transparent)]
    Mismatch(Box<Mismatch>),
    /// The file has to be put in place by the user.
    #[error(
        "model '{id}' is not on this machine; this version downloads nothing: put the file of {source_name} \
         at {}",
        .place.display()
    )]
    NotHere {
        /// The model.
        id: String,
        /// Where the file comes from, in words.
        source_name: String,
        /// Where it belongs.
        place: PathBuf,
    },
}

/// A file whose bytes are not the pinned ones.
#[derive(Debug, thiserror::Error)]
#[error(
    "model '{id}' ({}) has sha256 {found} and {found_bytes} bytes, but models.toml pins {wanted} \
     and {wanted_bytes} bytes; {next}",
    .path.display()
)]
pub struct Mismatch {
    /// The model.
    pub id: String,
    /// The file.
    pub path: PathBuf,
    /// Its hash.
    pub found: String,
    /// Its length.
    pub found_bytes: u64,
    /// The pinned hash.
    pub wanted: String,
    /// The pinned length.
    pub wanted_bytes: u64,
    /// What to do.
    pub next: &'static str,
}

/// The model cache of this user, and the project whose models it holds.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
    project: PathBuf,
}

impl Store {
    /// The cache in `$BITNET_CACHE_DIR`, else in the user's cache folder (`~/.cache/bitnet`).
    /// Relative paths of path models start at `project`.
    ///
    /// # Errors
    /// If neither is known.
    pub fn from_environment(project: &Path) -> Result<Self, StoreError> {
        let project = project.to_owned();
        if let Some(root) = env::var_os(CACHE_VARIABLE).filter(|dir| !dir.is_empty()) {
            let root = PathBuf::from(root);
            let root = std::path::absolute(&root).map_err(|source| StoreError::Io {
                path: root,
                action: "use",
                source,
            })?;
            return Ok(Self { root, project });
        }
        use etcetera::BaseStrategy;
        let base = etcetera::choose_base_strategy()
            .map_err(|error| StoreError::NoCache(error.to_string()))?;
        Ok(Self { root: base.cache_dir().join("bitnet"), project })
    }

    /// Where the file of `model` is or belongs.
    pub fn place(&self, model: &LockedModel) -> PathBuf {
        match &model.source {
            ModelSource::Path(path) => self.project.join(path),
            // The lock accepts nothing but 64 hex digits here, so this cannot leave the cache.
            _ => self.root.join("models").join(&model.sha256).join("model.gguf"),
        }
    }

    /// The verified file of `model`, made first where it can be.
    ///
    /// # Errors
    /// If the file is not there and cannot be made, or its bytes are not the pinned ones.
    pub fn resolve(
        &self,
        model: &LockedModel,
        progress: &(dyn Fn(Progress<'_>) + Sync),
    ) -> Result<PathBuf, StoreError> {
        let place = self.place(model);
        match &model.source {
            ModelSource::Path(_) if !place.exists() => Err(missing(model, &place)),
            ModelSource::Path(_) => {
                // Not ours to write a stamp beside: a file of the user's is hashed every time.
                self.verify(model, &place, progress)?;
                Ok(place)
            }
            _ => {
                let stamp = place.with_file_name(".verified");
                if stamp::holds(&place, &stamp) {
                    return Ok(place);
                }
                match self.lock(model, progress) {
                    Ok(_lock) => self.fill(model, &place, &stamp, progress)?,
                    // A cache that others keep for us: what is there is used, after a look.
                    Err(_) if place.exists() => self.verify(model, &place, progress)?,
                    Err(error) => return Err(error),
                }
                Ok(place)
            }
        }
    }

    /// Provides or verifies the file of `model` while its lock is held.
    fn fill(
        &self,
        model: &LockedModel,
        place: &Path,
        stamp: &Path,
        progress: &(dyn Fn(Progress<'_>) + Sync),
    ) -> Result<(), StoreError> {
        if stamp::holds(place, stamp) {
            return Ok(());
        }
        if place.exists() {
            self.verify(model, place, progress)?;
        } else {
            self.provide(model, place, progress)?;
        }
        // Without a stamp the file is hashed again next time, which is all that is lost.
        let _ = stamp::write(place, stamp);
        Ok(())
    }

    fn provide(
        &self,
        model: &LockedModel,
        place: &Path,
        progress: &(dyn Fn(Progress<'_>) + Sync),
    ) -> Result<(), StoreError> {
        match &model.source {
            ModelSource::Synth(source) => make(model, source, place, progress),
            _ => Err(missing(model, place)),
        }
    }

    fn verify(
        &self,
        model: &LockedModel,
        place: &Path,
        progress: &(dyn Fn(Progress<'_>) + Sync),
    ) -> Result<(), StoreError> {
        let metadata = fs::metadata(place).map_err(io_error(place, "read"))?;
        let found = stamp::sha256(place, |done| {
            progress(Progress::Hashing(&model.id, done, metadata.len()));
        })
        .map_err(io_error(place, "hash"));
        progress(Progress::Done(&model.id));
        let found = found?;
        let next = match &model.source {
            ModelSource::Synth(_) => "delete the file, so that it is made anew",
            ModelSource::Path(_) => "correct the file, or the entry in models.toml",
            _ => "put the right file in its place",
        };
        check(model, place, found, metadata.len(), next)
    }

    /// One process at a time provides a model; the others wait for its file.
    fn lock(
        &self,
        model: &LockedModel,
        progress: &(dyn Fn(Progress<'_>) + Sync),
    ) -> Result<File, StoreError> {
        let folder = self.root.join("models").join(".locks");
        fs::create_dir_all(&folder).map_err(io_error(&folder, "create"))?;
        let path = folder.join(format!("{}.lock", model.sha256));
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(io_error(&path, "open"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                progress(Progress::Waiting(&model.id));
                file.lock().map_err(io_error(&path, "lock"))?;
            }
            // Some network file systems have no locks: the rename at the end is atomic anyway.
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
            Err(TryLockError::Error(source)) => return Err(io_error(&path, "lock")(source)),
        }
        Ok(file)
    }
}

/// What to say of a model that nobody but the user can provide.
fn missing(model: &LockedModel, place: &Path) -> StoreError {
    let source_name = match &model.source {
        ModelSource::HuggingFace { repository, revision, file } => {
            format!("{repository}, revision {revision}, {file}")
        }
        ModelSource::Url { url, .. } => url.clone(),
        ModelSource::Path(path) => path.clone(),
        ModelSource::Synth(_) => "the generator".into(),
    };
    StoreError::NotHere { id: model.id.clone(), source_name, place: place.to_owned() }
}

/// Writes a synthetic model into a temporary file beside its place, and moves it there if its bytes
/// are the pinned ones.
fn make(
    model: &LockedModel,
    source: &SynthSource,
    place: &Path,
    progress: &(dyn Fn(Progress<'_>) + Sync),
) -> Result<(), StoreError> {
    let folder = place.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(io_error(folder, "create"))?;
    // The lock is ours, so what an interrupted making left behind is nobody's.
    for entry in fs::read_dir(folder).map_err(io_error(folder, "read"))?.flatten() {
        if entry.file_name().to_string_lossy().starts_with(MAKING) {
            let _ = fs::remove_file(entry.path());
        }
    }
    let temporary = tempfile::Builder::new()
        .prefix(MAKING)
        .tempfile_in(folder)
        .map_err(io_error(folder, "write in"))?;
    let made = synthesise(&model.id, source, temporary.as_file(), progress);
    progress(Progress::Done(&model.id));
    let (bytes, found) = made?;
    let next = "the generator changed: if that was intended, write the new values into models.toml";
    check(model, place, found, bytes, next)?;
    let file = temporary.as_file();
    file.sync_all().map_err(io_error(place, "write"))?;
    let mut permissions = file.metadata().map_err(io_error(place, "read"))?.permissions();
    // A mapped file must not change under its readers; it is only ever replaced.
    #[cfg(unix)]
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o444);
    #[cfg(not(unix))]
    permissions.set_readonly(true);
    file.set_permissions(permissions).map_err(io_error(place, "protect"))?;
    temporary.persist(place).map_err(|error| io_error(place, "create")(error.error))?;
    #[cfg(unix)]
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io_error(folder, "sync"))?;
    Ok(())
}

/// Writes the model of `source` to `out`; gives its length and SHA-256.
///
/// # Errors
/// If the spec names no model, or `out` cannot be written.
pub fn synthesise(
    id: &str,
    source: &SynthSource,
    out: impl Write,
    progress: &(dyn Fn(Progress<'_>) + Sync),
) -> Result<(u64, String), StoreError> {
    let failed = |why: String| StoreError::Synth { id: id.to_owned(), why };
    let SynthSource { arch, preset, tensor_type, embedding_type, seed } = source;
    let spec = SynthSpec::from_names(arch, preset, tensor_type, embedding_type, *seed)
        .map_err(|error| failed(error.to_string()))?;
    let mut hashed = Hashed { out, hasher: Sha256::new() };
    let bytes = write_model(&spec, &mut hashed, |done, all| {
        progress(Progress::Making(id, done, all));
    })
    .map_err(|error: SynthError| failed(error.to_string()))?;
    Ok((bytes, stamp::hex(&hashed.hasher.finalize())))
}

/// Hashes what it passes on.
struct Hashed<W> {
    out: W,
    hasher: Sha256,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn check(
    model: &LockedModel,
    path: &Path,
    found: String,
    found_bytes: u64,
    next: &'static str,
) -> Result<(), StoreError> {
    if found == model.sha256 && found_bytes == model.bytes {
        return Ok(());
    }
    Err(StoreError::Mismatch(Box::new(Mismatch {
        id: model.id.clone(),
        path: path.to_owned(),
        found,
        found_bytes,
        wanted: model.sha256.clone(),
        wanted_bytes: model.bytes,
        next,
    })))
}

fn io_error(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io { path, action, source }
}
