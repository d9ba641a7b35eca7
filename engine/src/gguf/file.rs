//! A GGUF file mapped into memory, checked once when it is opened.
//!
//! Opens regular files only; writes nothing and never copies tensor data.

use std::fs::{File, FileType};
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use super::directory::{Directory, TensorInfo};
use super::error::{Fault, GgufError};
use super::metadata::Metadata;

/// An open GGUF file. Immutable; share it in an [`Arc`](std::sync::Arc).
///
/// The file must not be changed while it is open: tensor data is read from it when it is used.
/// Truncating it then ends the process with SIGBUS, as for every mapped file.
#[derive(Debug)]
pub struct GgufFile {
    path: PathBuf,
    map: Mmap,
    directory: Directory,
    warnings: Vec<String>,
}

impl GgufFile {
    /// Maps the file and checks all of it except the tensors' contents.
    ///
    /// # Errors
    /// If `path` is no regular file, cannot be opened or mapped, or its bytes break the format.
    pub fn open(path: &Path) -> Result<GgufFile, GgufError> {
        let io = |action| move |source| GgufError::Io { path: path.to_owned(), action, source };
        // Asked before opening as well: opening a FIFO waits for a writer.
        require_regular(path, std::fs::metadata(path).map_err(io("open"))?.file_type())?;
        let file = File::open(path).map_err(io("open"))?;
        let facts = file.metadata().map_err(io("inspect"))?;
        require_regular(path, facts.file_type())?;
        if facts.len() == 0 {
            return Err(GgufError::at(0, Fault::Empty).in_file(path));
        }
        // SAFETY: the mapping is private to this value, read-only, and lives as long as it. Another
        // process may still write to the file; the type's documentation forbids it, the model cache
        // makes its files read-only, and all that was checked here was copied out of the mapping.
        let map = unsafe { Mmap::map(&file) }.map_err(io("map into memory"))?;
        let mut directory = Directory::parse(&map).map_err(|error| error.in_file(path))?;
        directory.metadata_mut().set_path(path);
        let warnings = warnings(&directory, map.len());
        Ok(GgufFile { path: path.to_owned(), map, directory, warnings })
    }

    /// The path that was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes of the file.
    #[expect(clippy::len_without_is_empty, reason = "an empty file does not open")]
    pub fn len(&self) -> u64 {
        self.map.len() as u64
    }

    /// All bytes, as they are mapped.
    pub fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// Version, alignment and all else that the file says of itself.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Keys and values.
    pub fn metadata(&self) -> &Metadata {
        self.directory.metadata()
    }

    /// Tensors in file order.
    pub fn tensors(&self) -> &[TensorInfo] {
        self.directory.tensors()
    }

    /// The tensor of this name, if there is one.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.directory.tensor(name)
    }

    /// Where the tensor of this name is in [`GgufFile::tensors`], if there is one.
    pub fn tensor_index(&self, name: &str) -> Option<usize> {
        self.directory.tensor_index(name)
    }

    /// The bytes of a tensor of this file, without padding.
    ///
    /// They begin at a multiple of the file's alignment, which may be as small as 1.
    ///
    /// # Panics
    /// If `tensor` is another file's and lies outside this one.
    pub fn data(&self, tensor: &TensorInfo) -> &[u8] {
        &self.map[tensor.range()]
    }

    /// Lets go of the memory that the pages of a tensor take; they come back from the file when they are
    /// read. For tensors that were copied and are not used where they lie.
    pub fn release(&self, tensor: &TensorInfo) {
        #[cfg(unix)]
        {
            let range = tensor.range();
            // SAFETY: the mapping is read-only and of a file, so a page that is dropped reads the same
            // when it is mapped again.
            let advised = unsafe {
                let advice = memmap2::UncheckedAdvice::DontNeed;
                self.map.unchecked_advise_range(advice, range.start, range.len())
            };
            // Without it the same bytes stay in memory.
            let _ = advised;
        }
        #[cfg(not(unix))]
        let _ = tensor;
    }

    /// What is odd about the file without being wrong, in words; empty for most files.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

fn warnings(directory: &Directory, length: usize) -> Vec<String> {
    let trailing = directory.trailing_bytes();
    if trailing == 0 {
        return Vec::new();
    }
    let end = length - trailing;
    vec![format!("byte {end}: {trailing} bytes follow the last tensor and belong to nothing")]
}

fn require_regular(path: &Path, file_type: FileType) -> Result<(), GgufError> {
    if file_type.is_file() {
        return Ok(());
    }
    let found = if file_type.is_dir() { "a directory" } else { special(file_type) };
    Err(GgufError::NotAFile { path: path.to_owned(), found })
}

#[cfg(unix)]
fn special(file_type: FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    match () {
        () if file_type.is_fifo() => "a FIFO",
        () if file_type.is_char_device() => "a character device",
        () if file_type.is_block_device() => "a block device",
        () if file_type.is_socket() => "a socket",
        () => "a special file",
    }
}

#[cfg(not(unix))]
fn special(_: FileType) -> &'static str {
    "a special file"
}
