//! The steps that make a file durable, behind a trait: tests record their order, fill the disk or take
//! the locks away. Nothing here knows what a model is.

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::Path;

/// What the store asks of a file system.
pub trait Disk: Debug + Send + Sync {
    /// Creates `folder` and those above it, with the rights that the umask leaves.
    ///
    /// # Errors
    /// The system's.
    fn create_folders(&self, folder: &Path) -> io::Result<()>;

    /// Creates the file `path`, which must not exist.
    ///
    /// # Errors
    /// The system's.
    fn create(&self, path: &Path) -> io::Result<File>;

    /// Opens the file `path` for reading from its beginning and writing at its end. Follows no link.
    ///
    /// # Errors
    /// The system's.
    fn append(&self, path: &Path) -> io::Result<File>;

    /// Writes all `bytes` at the end of `file`.
    ///
    /// # Errors
    /// The system's; some of the bytes may have been written.
    fn write(&self, file: &File, bytes: &[u8]) -> io::Result<()>;

    /// Waits until the bytes of `file` are on the disk; `path` is its name.
    ///
    /// # Errors
    /// The system's.
    fn sync(&self, file: &File, path: &Path) -> io::Result<()>;

    /// Gives the file `from` the name `to`, in the place of whatever has it.
    ///
    /// # Errors
    /// The system's.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Waits until the names in `folder` are on the disk.
    ///
    /// # Errors
    /// The system's.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;

    /// Takes the lock of the open `file` if nobody else has it.
    ///
    /// # Errors
    /// `WouldBlock` if somebody has it, and the system's.
    fn try_lock(&self, file: &File) -> Result<(), TryLockError>;

    /// Waits for the lock of the open `file`.
    ///
    /// # Errors
    /// The system's.
    fn lock(&self, file: &File) -> io::Result<()>;

    /// Bytes that may still be written in `folder`; `None` where the system cannot tell.
    ///
    /// # Errors
    /// The system's.
    fn free_space(&self, folder: &Path) -> io::Result<Option<u64>>;
}

/// The file systems of this machine.
#[derive(Debug, Clone, Copy)]
pub struct LocalDisk;

impl Disk for LocalDisk {
    fn create_folders(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)
    }

    fn create(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().read(true).append(true).create_new(true).open(path)
    }

    fn append(&self, path: &Path) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).append(true);
        own(&mut options);
        options.open(path)
    }

    fn write(&self, mut file: &File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    fn sync(&self, file: &File, _path: &Path) -> io::Result<()> {
        file.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    #[cfg(unix)]
    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }

    /// Folders cannot be opened here.
    #[cfg(not(unix))]
    fn sync_folder(&self, _folder: &Path) -> io::Result<()> {
        Ok(())
    }

    fn try_lock(&self, file: &File) -> Result<(), TryLockError> {
        if is_remote(file) {
            return Err(TryLockError::Error(io::ErrorKind::Unsupported.into()));
        }
        file.try_lock()
    }

    fn lock(&self, file: &File) -> io::Result<()> {
        file.lock()
    }

    #[cfg(unix)]
    fn free_space(&self, folder: &Path) -> io::Result<Option<u64>> {
        let state = rustix::fs::statvfs(folder)?;
        Ok(Some(state.f_bavail.saturating_mul(state.f_frsize)))
    }

    #[cfg(not(unix))]
    fn free_space(&self, _folder: &Path) -> io::Result<Option<u64>> {
        Ok(None)
    }
}

/// Follow no link to the file, and do not wait for the writer of a pipe.
#[cfg(unix)]
pub(super) fn own(options: &mut OpenOptions) {
    use rustix::fs::OFlags;
    use std::os::unix::fs::OpenOptionsExt;
    options.custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed());
}

#[cfg(not(unix))]
pub(super) fn own(_options: &mut OpenOptions) {}

/// Whether the file lies on NFS, where asking for a lock may wait for ever.
#[cfg(target_os = "linux")]
fn is_remote(file: &File) -> bool {
    const NFS: i128 = 0x6969;
    rustix::fs::fstatfs(file).is_ok_and(|state| i128::from(state.f_type) == NFS)
}

#[cfg(not(target_os = "linux"))]
fn is_remote(_file: &File) -> bool {
    false
}

/// Whether an error of a lock means that the file system has none.
pub(super) fn is_without_locks(error: &io::Error) -> bool {
    #[cfg(unix)]
    if error.raw_os_error() == Some(rustix::io::Errno::NOLCK.raw_os_error()) {
        return true;
    }
    error.kind() == io::ErrorKind::Unsupported
}

/// Opens a file of somebody else's for reading; gives its size. Links are followed, but what is at
/// their end must be a file.
pub(super) fn open_foreign(path: &Path) -> io::Result<(File, u64)> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    }
    regular(options.open(path)?)
}

/// Opens a file in the store for reading; gives its size. A link is an error.
pub(super) fn open_own(path: &Path) -> io::Result<(File, u64)> {
    let mut options = OpenOptions::new();
    options.read(true);
    own(&mut options);
    regular(options.open(path)?)
}

fn regular(file: File) -> io::Result<(File, u64)> {
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "this is not a regular file"));
    }
    Ok((file, metadata.len()))
}

/// A mapped file must not change under its readers; it is only ever replaced.
pub(super) fn protect(file: &File) -> io::Result<()> {
    let mut permissions = file.metadata()?.permissions();
    #[cfg(unix)]
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o444);
    #[cfg(not(unix))]
    permissions.set_readonly(true);
    file.set_permissions(permissions)
}
