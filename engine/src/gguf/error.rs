//! What can be wrong with a GGUF file, in words: file, byte, cause, what was found and what is allowed.
//!
//! Text from a file is shown escaped and cut short, never raw.

use std::fmt;
use std::path::{Path, PathBuf};

use super::limits::{MAX_ALIGNMENT, MAX_METADATA_BYTES};
use super::tensor_type::ShapeFault;
use super::value::ValueType;

/// Why a GGUF file was not read.
#[derive(Debug, thiserror::Error)]
pub enum GgufError {
    /// The operating system refused.
    #[error("{}: cannot {action}: {source}; check the path and its permissions", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried: `open`, `map into memory`.
        action: &'static str,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A directory, a FIFO, a device: nothing that has a size and stays as it is.
    #[error("{}: is {found}, not a regular file; give the path of a GGUF file", .path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// What it is, with its article.
        found: &'static str,
    },
    /// The bytes break the format.
    #[error("{}byte {offset}: {fault}; {}", Prefix(.path), .fault.next_step())]
    Malformed {
        /// The file, if the bytes came from one.
        path: Option<PathBuf>,
        /// Where, from the start of the file.
        offset: u64,
        /// What.
        fault: Fault,
    },
    /// A metadata key is not there or does not hold what was asked for.
    #[error("{}{}metadata key '{key}' {fault}", Prefix(.path), Byte(.offset))]
    Key {
        /// The file, if the bytes came from one.
        path: Option<PathBuf>,
        /// The key that was asked for.
        key: Name,
        /// Where its value begins; none if there is no such key.
        offset: Option<u64>,
        /// What is wrong with it.
        fault: KeyFault,
    },
}

impl GgufError {
    /// The byte of the file that the error is about, where there is one.
    pub fn offset(&self) -> Option<u64> {
        match self {
            GgufError::Malformed { offset, .. } => Some(*offset),
            GgufError::Key { offset, .. } => *offset,
            GgufError::Io { .. } | GgufError::NotAFile { .. } => None,
        }
    }

    pub(super) fn at(offset: usize, fault: Fault) -> Self {
        GgufError::Malformed { path: None, offset: offset as u64, fault }
    }

    /// The same error, naming `file`.
    pub(super) fn in_file(mut self, file: &Path) -> Self {
        if let GgufError::Malformed { path, .. } | GgufError::Key { path, .. } = &mut self {
            *path = Some(file.to_owned());
        }
        self
    }
}

/// How bytes break the GGUF format.
#[expect(missing_docs, reason = "the fields are what the message of their variant says they are")]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("the file is empty")]
    Empty,
    #[error(
        "not a GGUF file: it begins with \"{}\", a GGUF file with \"GGUF\"",
        .found.escape_ascii()
    )]
    NotGguf { found: [u8; 4] },
    #[error(
        "the file is big-endian: its version field reads {version:#010x}; only little-endian files \
         are read"
    )]
    BigEndian { version: u32 },
    #[error("GGUF version 1 is no longer read, versions 2 and 3 are")]
    VersionOne,
    #[error("GGUF version {found} is not known; versions 2 and 3 are read")]
    Version { found: u32 },
    #[error("the file ends inside {what}: {need} bytes needed, {left} left")]
    Ends { what: &'static str, need: u64, left: u64 },
    #[error("{what}: {found} claimed, but the {left} bytes that follow hold at most {possible}")]
    TooMany { what: &'static str, found: u64, left: u64, possible: u64 },
    #[error("{what}: {found} claimed, at most {cap} are read")]
    OverCap { what: &'static str, found: u64, cap: u64 },
    #[error("{what} of {found} bytes, at most {cap} are allowed")]
    TooLong { what: &'static str, found: u64, cap: u64 },
    #[error("keys and values take more than {MAX_METADATA_BYTES} bytes, which is all that is read")]
    MetadataTooLarge,
    #[error("{what} is empty, at least one byte is needed")]
    EmptyName { what: &'static str },
    #[error("{what} '{name}' is not UTF-8")]
    NotUtf8 { what: &'static str, name: Name },
    #[error(
        "{what} '{name}' contains a NUL byte, which readers written in C would take for its end"
    )]
    Nul { what: &'static str, name: Name },
    #[error("{what} '{name}' appears a second time; each may appear once")]
    Duplicate { what: &'static str, name: Name },
    #[error("key '{key}' has the unknown value type {id}, known are 0 to 12")]
    UnknownValueType { key: Name, id: u32 },
    #[error("key '{key}' is an array of arrays, which no reader of GGUF supports")]
    NestedArray { key: Name },
    #[error("key '{key}' has the bool {found}, allowed are 0 and 1")]
    Bool { key: Name, found: u8 },
    #[error("'{key}' is of type {found}, {wanted} is needed")]
    ReservedKeyType { key: &'static str, found: ValueType, wanted: &'static str },
    #[error("'general.alignment' is {found}, a power of two from 1 to {MAX_ALIGNMENT} is needed")]
    Alignment { found: u32 },
    #[error(
        "the file is one of the {count} shards of a split model ('split.count'), which are not read"
    )]
    Shard { count: i128 },
    #[error("tensor '{name}' {fault}")]
    Shape { name: Name, fault: ShapeFault },
    #[error("tensor '{name}' has the unknown ggml type {id}")]
    UnknownTensorType { name: Name, id: u32 },
    #[error("tensor '{name}' has data offset {found}, not a multiple of the alignment {alignment}")]
    OffsetUnaligned { name: Name, found: u64, alignment: u32 },
    #[error(
        "tensor '{name}' has data offset {found}, but the tensors before it reach to {expected}: \
         they overlap"
    )]
    OffsetOverlap { name: Name, found: u64, expected: u64 },
    #[error(
        "tensor '{name}' has data offset {found}, but the tensors before it end at {expected}: \
         there is a gap"
    )]
    OffsetGap { name: Name, found: u64, expected: u64 },
    #[error(
        "the data of tensor '{name}' with its padding ends at byte {end}, but the file has {length} \
         bytes"
    )]
    DataEnds { name: Name, end: u64, length: u64 },
    #[error("tensor '{name}' ends beyond what 64 bits can count")]
    DataOverflow { name: Name },
}

impl Fault {
    /// What to do about a file with this fault.
    pub fn next_step(&self) -> &'static str {
        match self {
            Fault::NotGguf { .. } => "check the path, or convert the model to GGUF",
            Fault::BigEndian { .. } => "export the model as little-endian",
            Fault::VersionOne | Fault::Version { .. } => {
                "export the model again with a tool that writes version 3"
            }
            Fault::Shard { .. } => "merge the shards first (llama-gguf-split --merge)",
            Fault::Shape { fault: ShapeFault::NoTl2 | ShapeFault::Mxfp4, .. }
            | Fault::UnknownTensorType { .. } => "convert the model to I2_S, TQ1_0 or TQ2_0",
            Fault::Empty => "fetch or export it again",
            Fault::Ends { .. } | Fault::TooMany { .. } | Fault::DataEnds { .. } => {
                "the file is damaged or incomplete, fetch or export it again"
            }
            _ => "the file is damaged or was written by a faulty tool, fetch or export it again",
        }
    }
}

/// Why a metadata key does not give what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// No such key.
    #[error("is missing, {wanted} is needed; `bitnet inspect` lists the keys that there are")]
    Missing {
        /// Type that was asked for.
        wanted: &'static str,
    },
    /// The value is of a type that does not convert.
    #[error("is of type {found}, {wanted} is needed")]
    WrongType {
        /// Type that was asked for.
        wanted: &'static str,
        /// Type in the file, `array of u8` for arrays.
        found: String,
    },
    /// An integer that the type asked for cannot hold.
    #[error("is {found}, which does not fit {wanted}")]
    OutOfRange {
        /// Type that was asked for.
        wanted: &'static str,
        /// The number.
        found: i128,
    },
    /// Text was asked for, and the bytes are none.
    #[error("is not UTF-8 from byte {valid_up_to} of the text on")]
    NotUtf8 {
        /// Bytes of the text before the first bad one.
        valid_up_to: usize,
    },
}

/// A key or name from a file, cut to [`Name::SHOWN`] bytes, shown escaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    start: Box<[u8]>,
    cut: bool,
}

impl Name {
    /// Bytes kept: any tensor name, and more than any key in use.
    pub const SHOWN: usize = 64;

    pub(crate) fn new(bytes: &[u8]) -> Self {
        let start = &bytes[..bytes.len().min(Self::SHOWN)];
        Name { start: start.into(), cut: start.len() < bytes.len() }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.start.utf8_chunks() {
            write!(f, "{}{}", chunk.valid().escape_debug(), chunk.invalid().escape_ascii())?;
        }
        f.write_str(if self.cut { "…" } else { "" })
    }
}

struct Prefix<'a>(&'a Option<PathBuf>);

impl fmt::Display for Prefix<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |path| write!(f, "{}: ", path.display()))
    }
}

struct Byte<'a>(&'a Option<u64>);

impl fmt::Display for Byte<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |offset| write!(f, "byte {offset}: "))
    }
}
