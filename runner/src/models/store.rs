//! From a model's id to a file whose bytes are the ones that `models.toml` pins.
//!
//! Synthetic models are made on this machine, path models are used where they lie, others are fetched
//! where that is asked for and at no other time; all are hashed before anybody sees them. There is no
//! fallback. Layout of the cache: `models/<sha256>/model.gguf`, its stamp beside it, locks under
//! `models/.locks`.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::access::Access;
use super::check::{hash, mismatch};
use super::disk::{Disk, LocalDisk, open_foreign, open_own, protect};
use super::download::Download;
use super::error::{CACHE_VARIABLE, Cause, StoreError, io_cause};
use super::gc::{self, Cleaned};
use super::make::make;
use super::options::{FetchOptions, user_cache};
use super::progress::{Hear, Step, Voice};
use super::room::Room;
use super::sources;
use super::stamp;
use super::terms::Terms;
use super::{LockedModel, ModelLock, ModelSource};

/// The model cache of this user, and the project whose models it holds.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
    project: PathBuf,
    disk: Arc<dyn Disk>,
}

/// What is known of a model's file without hashing it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It was verified, and has not changed since.
    Verified,
    /// It is there.
    Unverified,
    /// So many of its bytes are there.
    Partial(u64),
    /// Nothing is there.
    Absent,
}

/// How a verified file came to be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    /// Its stamp says so.
    Present,
    /// It was hashed.
    Verified,
    /// It was made here.
    Made,
    /// It was fetched from this place.
    Fetched(String),
}

/// A verified file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provided {
    /// The file.
    pub path: PathBuf,
    /// How it came to be there.
    pub how: How,
}

/// What may be done for a file that is not there.
#[derive(Clone, Copy)]
enum Allow<'a> {
    Nothing,
    Make,
    Fetch(&'a FetchOptions),
}

impl Store {
    /// The cache in `$BITNET_CACHE_DIR`, else in the user's cache folder (`~/.cache/bitnet`).
    /// Relative paths of path models start at `project`.
    ///
    /// # Errors
    /// If neither is known.
    pub fn from_environment(project: &Path) -> Result<Self, StoreError> {
        let root = match env::var_os(CACHE_VARIABLE).filter(|dir| !dir.is_empty()) {
            Some(root) => std::path::absolute(&root)
                .map_err(io_cause(Path::new(&root), "use"))
                .map_err(StoreError::Io)?,
            None => user_cache().map_err(StoreError::NoCache)?.join("bitnet"),
        };
        Ok(Self::on(Arc::new(LocalDisk), root, project.to_owned()))
    }

    /// The cache `root` on `disk`, for the project in `project`.
    pub fn on(disk: Arc<dyn Disk>, root: PathBuf, project: PathBuf) -> Self {
        Self { root, project, disk }
    }

    /// Where the file of `model` is or belongs.
    pub fn place(&self, model: &LockedModel) -> PathBuf {
        match &model.source {
            ModelSource::Path(path) => self.project.join(path),
            _ => self.room(model, true).file(),
        }
    }

    /// What is known of the file of `model`; hashes nothing.
    pub fn state(&self, model: &LockedModel) -> State {
        let place = self.place(model);
        let room = self.room(model, true);
        let in_cache = !matches!(model.source, ModelSource::Path(_));
        if in_cache && room.check().is_ok() && stamp::holds(&place, &room.stamp()) {
            return State::Verified;
        }
        if fs::symlink_metadata(&place).is_ok() {
            return State::Unverified;
        }
        match fs::symlink_metadata(room.partial()) {
            Ok(metadata) if in_cache && metadata.is_file() => State::Partial(metadata.len()),
            _ => State::Absent,
        }
    }

    /// Whether the right file of `model` is in its place; changes nothing.
    pub fn inspect(&self, model: &LockedModel, progress: Hear<'_>) -> bool {
        let (place, voice) = (self.place(model), Voice { id: &model.id, hear: progress });
        let opened = match &model.source {
            ModelSource::Path(_) => open_foreign(&place),
            _ => open_own(&place),
        };
        opened.is_ok_and(|(file, bytes)| {
            bytes == model.bytes
                && hash(&file, &place, bytes, voice).is_ok_and(|found| found == model.sha256)
        })
    }

    /// Whether the user has still to accept terms before `model` can be fetched.
    pub fn has_open_terms(&self, model: &LockedModel) -> bool {
        Terms::of(model, &self.root).is_some_and(|terms| !terms.are_accepted())
    }

    /// Where the file of `model` comes from, in words that hold no secret.
    pub fn origin(model: &LockedModel) -> String {
        sources::describe(model)
    }

    /// The verified file of `model`, if it is there.
    ///
    /// # Errors
    /// If it is not, or its bytes are not the pinned ones.
    pub fn find(&self, model: &LockedModel, progress: Hear<'_>) -> Result<PathBuf, StoreError> {
        self.provide(model, Allow::Nothing, progress).map(|provided| provided.path)
    }

    /// The verified file of `model`, made first where it can be. Downloads nothing.
    ///
    /// # Errors
    /// If the file is not there and cannot be made, or its bytes are not the pinned ones.
    pub fn resolve(&self, model: &LockedModel, progress: Hear<'_>) -> Result<PathBuf, StoreError> {
        self.provide(model, Allow::Make, progress).map(|provided| provided.path)
    }

    /// The verified file of `model`, made or fetched first where it is not there.
    ///
    /// # Errors
    /// If no source has the pinned bytes, or this machine has no place for them.
    pub fn fetch(
        &self,
        model: &LockedModel,
        options: &FetchOptions,
        progress: Hear<'_>,
    ) -> Result<Provided, StoreError> {
        self.provide(model, Allow::Fetch(options), progress)
    }

    /// Removes from the cache what the models of `lock` have no use for; only says so if `dry_run`.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn clean(&self, lock: &ModelLock, dry_run: bool) -> Result<Cleaned, StoreError> {
        let known: BTreeSet<&str> = lock.models().iter().map(|model| &*model.sha256).collect();
        gc::clean(&*self.disk, &self.root, &known, dry_run).map_err(StoreError::Io)
    }

    fn room(&self, model: &LockedModel, alone: bool) -> Room {
        // The lock accepts nothing but 64 hex digits here, so this cannot leave the cache.
        Room::new(self.root.join("models").join(&model.sha256), alone)
    }

    fn provide(
        &self,
        model: &LockedModel,
        allow: Allow<'_>,
        hear: Hear<'_>,
    ) -> Result<Provided, StoreError> {
        let voice = Voice { id: &model.id, hear };
        let provided = match &model.source {
            ModelSource::Path(_) => self.in_place(model, voice),
            _ => self.in_cache(model, allow, voice),
        };
        provided.map_err(|cause| StoreError::Model { id: model.id.clone(), cause: Box::new(cause) })
    }

    /// Not ours to write a stamp beside: a file of the user's is hashed every time.
    fn in_place(&self, model: &LockedModel, voice: Voice<'_>) -> Result<Provided, Cause> {
        let path = self.place(model);
        if !path.exists() {
            return Err(Cause::NoSuchPath(path));
        }
        let (file, bytes) = open_foreign(&path).map_err(io_cause(&path, "read"))?;
        let found = hash(&file, &path, bytes, voice)?;
        let next = "correct the file, or the entry in models.toml";
        match mismatch(model, &path, (found, bytes), next) {
            None => Ok(Provided { path, how: How::Verified }),
            Some(mismatch) => Err(Cause::Mismatch(mismatch)),
        }
    }

    fn in_cache(
        &self,
        model: &LockedModel,
        allow: Allow<'_>,
        voice: Voice<'_>,
    ) -> Result<Provided, Cause> {
        let room = self.room(model, true);
        let path = room.file();
        room.check()?;
        let again = matches!(allow, Allow::Fetch(options) if options.verify);
        if !again && stamp::holds(&path, &room.stamp()) {
            return Ok(Provided { path, how: How::Present });
        }
        // Nothing to do, so nothing to lock.
        let helpless = match allow {
            Allow::Nothing => true,
            Allow::Make => !matches!(model.source, ModelSource::Synth(_)),
            Allow::Fetch(_) => false,
        };
        if helpless && fs::symlink_metadata(&path).is_err() {
            return Err(self.missing(model));
        }
        let access = match Access::wait(&*self.disk, &self.root, &model.sha256, voice) {
            Ok(access) => access,
            // A cache that others keep for us: what is there is used, after a look.
            Err(_) if path.is_file() => return self.read_only(model, path, voice),
            Err(error) => return Err(error.into()),
        };
        let room = self.room(model, matches!(access, Access::Alone(_)));
        let how = self.fill(model, &room, allow, again, voice)?;
        Ok(Provided { path, how })
    }

    /// Uses a file that cannot be locked, stamped or moved away.
    fn read_only(
        &self,
        model: &LockedModel,
        path: PathBuf,
        voice: Voice<'_>,
    ) -> Result<Provided, Cause> {
        let (file, bytes) = open_own(&path).map_err(io_cause(&path, "read"))?;
        let found = hash(&file, &path, bytes, voice)?;
        let next = "this cache cannot be written: set BITNET_CACHE_DIR to another folder";
        match mismatch(model, &path, (found, bytes), next) {
            None => Ok(Provided { path, how: How::Verified }),
            Some(mismatch) => Err(Cause::Mismatch(mismatch)),
        }
    }

    /// Provides or verifies the file of `model`, whose lock is held.
    fn fill(
        &self,
        model: &LockedModel,
        room: &Room,
        allow: Allow<'_>,
        again: bool,
        voice: Voice<'_>,
    ) -> Result<How, Cause> {
        if !again && stamp::holds(&room.file(), &room.stamp()) {
            return Ok(How::Present);
        }
        let how = match self.verify(model, room, voice)? {
            true => How::Verified,
            false => self.obtain(model, room, allow, voice)?,
        };
        // Without a stamp the file is hashed again next time, which is all that is lost.
        let (file, stamp, new) = (room.file(), room.stamp(), room.new_stamp());
        if stamp::write(&*self.disk, &file, &stamp, &new).is_ok() {
            voice.step(Step::Stamped);
        }
        Ok(how)
    }

    fn obtain(
        &self,
        model: &LockedModel,
        room: &Room,
        allow: Allow<'_>,
        voice: Voice<'_>,
    ) -> Result<How, Cause> {
        match (&model.source, allow) {
            (ModelSource::Synth(source), Allow::Make | Allow::Fetch(_)) => {
                make(&*self.disk, room, model, source, voice)?;
                Ok(How::Made)
            }
            (_, Allow::Fetch(options)) => {
                if let Some(terms) = Terms::of(model, &self.root).filter(|t| !t.are_accepted()) {
                    if !options.accepted_terms.contains(&model.id) {
                        return Err(terms.refusal());
                    }
                    terms.accept(&*self.disk)?;
                }
                let disk = &*self.disk;
                Ok(How::Fetched(Download { disk, room, model, options, voice }.run()?))
            }
            _ => Err(self.missing(model)),
        }
    }

    fn missing(&self, model: &LockedModel) -> Cause {
        Cause::NotHere {
            id: model.id.clone(),
            origin: sources::describe(model),
            place: self.place(model),
        }
    }

    /// Whether the right file is in its place; a wrong one is moved out of it.
    fn verify(&self, model: &LockedModel, room: &Room, voice: Voice<'_>) -> Result<bool, Cause> {
        let path = room.file();
        let wrong = match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(io_cause(&path, "read")(error).into()),
            Ok(found) if !found.is_file() => {
                let what = if found.is_symlink() { "a symbolic link" } else { "no file" };
                format!("{} is {what}", path.display())
            }
            Ok(_) => {
                let (file, bytes) = open_own(&path).map_err(io_cause(&path, "read"))?;
                let found = hash(&file, &path, bytes, voice)?;
                match mismatch(model, &path, (found, bytes), "moved out of the way") {
                    None => {
                        // One that was put here by hand can still be changed under its readers.
                        let _ = protect(&file);
                        return Ok(true);
                    }
                    Some(mismatch) => mismatch.to_string(),
                }
            }
        };
        room.quarantine(&*self.disk, &path, &wrong, voice)?;
        Ok(false)
    }
}
