//! A file that appears whole or not at all: written beside its place, then renamed into it.
//!
//! Replaces regular files only. What was begun and not finished is removed.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use bitnet_engine::escape;
use bitnet_engine::exit::Exit;
use tempfile::NamedTempFile;

use super::terminal::Terminal;

/// A file being written.
#[derive(Debug)]
pub(crate) struct AtomicFile {
    path: PathBuf,
    temporary: NamedTempFile,
}

impl AtomicFile {
    /// Begins a file for `path`: to be called before any work is done, since it finds out whether
    /// the place can be written.
    ///
    /// # Errors
    /// [`Exit::Usage`] if the folder does not exist or the place is taken by something other than a
    /// file, else [`Exit::ReportNotWritten`]; the reason is printed.
    pub(crate) fn create(path: &Path, terminal: &Terminal) -> Result<Self, Exit> {
        begin(path).map_err(|error| {
            terminal.error(format_args!("cannot write '{}': {error}", shown(path)));
            match error.kind() {
                ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::InvalidInput => {
                    Exit::Usage
                }
                _ => Exit::ReportNotWritten,
            }
        })
    }

    /// Makes the file durable and puts it in its place.
    ///
    /// # Errors
    /// [`Exit::ReportNotWritten`], with the reason printed.
    pub(crate) fn finish(self, terminal: &Terminal) -> Result<(), Exit> {
        let path = self.path.clone();
        self.publish().map_err(|error| failed(&path, &error, terminal))
    }

    /// Prints why the file could not be written.
    pub(crate) fn failed(&self, error: &io::Error, terminal: &Terminal) -> Exit {
        failed(&self.path, error, terminal)
    }

    fn publish(self) -> io::Result<()> {
        self.temporary.as_file().sync_all()?;
        self.temporary.persist(&self.path)?;
        #[cfg(unix)]
        File::open(folder(&self.path))?.sync_all()?;
        Ok(())
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.temporary.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.temporary.flush()
    }
}

fn begin(path: &Path) -> io::Result<AtomicFile> {
    let no_file = "is no regular file; name a file";
    match path.symlink_metadata() {
        // A rename would put a file in the place of the device or the link.
        Ok(facts) if !facts.is_file() => {
            return Err(io::Error::new(ErrorKind::InvalidInput, no_file));
        }
        _ if path.file_name().is_none() => {
            return Err(io::Error::new(ErrorKind::InvalidInput, no_file));
        }
        _ => {}
    }
    let mut builder = tempfile::Builder::new();
    builder.prefix(".bitnet-").suffix(".tmp");
    // As any new file: the caller's umask takes away what it wants.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let temporary = builder.tempfile_in(folder(path)).map_err(|error| {
        // tempfile names its own path, which nobody asked for.
        match error.kind() {
            ErrorKind::NotFound => {
                io::Error::new(ErrorKind::NotFound, "its folder does not exist; make it first")
            }
            kind => kind.into(),
        }
    })?;
    Ok(AtomicFile { path: path.to_owned(), temporary })
}

fn failed(path: &Path, error: &io::Error, terminal: &Terminal) -> Exit {
    terminal.error(format_args!("cannot write '{}': {error}", shown(path)));
    Exit::ReportNotWritten
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn shown(path: &Path) -> String {
    escape::text(&path.display().to_string())
}
