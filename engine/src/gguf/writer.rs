//! Writing GGUF 3: metadata in the order given, then tensors, each streamed from its source.
//!
//! The same calls give the same bytes. Writes nothing that [`Directory`](super::Directory) refuses,
//! shards of a split model aside; knows no model and quantises nothing.

use std::collections::HashSet;
use std::io::{self, Read, Write};

use super::directory::{ALIGNMENT_KEY, check_alignment};
use super::error::{Fault, Name};
use super::key_value::check_name;
use super::limits::{
    DEFAULT_ALIGNMENT, HEADER_BYTES, MAGIC, MAX_ARRAY_ITEMS, MAX_KEY_BYTES, MAX_KEYS,
    MAX_METADATA_BYTES, MAX_STRING_BYTES, MAX_TENSOR_NAME_BYTES, MAX_TENSORS, VERSION,
};
use super::tensor_type::TensorType;
use super::value::{Array, Value, ValueType};
use super::view::Scalar;

/// Why a GGUF file was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// A key, value or tensor that no reader would accept.
    #[error("not written: {0}")]
    Refused(Fault),
    /// A tensor's source gave another number of bytes than its type and shape need.
    #[error("tensor '{name}': its source gave {given} bytes, its type and shape need {needed}")]
    Length {
        /// The tensor.
        name: Name,
        /// Bytes that its type and shape need.
        needed: u64,
        /// Bytes given; if too many, those given until it was noticed.
        given: u64,
    },
    /// Reading a tensor's source or writing the output failed.
    #[error("writing {what}: {source}")]
    Io {
        /// What was being written.
        what: String,
        /// The cause.
        source: io::Error,
    },
}

impl From<Fault> for WriteError {
    fn from(fault: Fault) -> Self {
        WriteError::Refused(fault)
    }
}

type Source<'a> = Box<dyn FnOnce(&mut dyn Write) -> io::Result<()> + 'a>;

struct Pending<'a> {
    name: String,
    /// Its entry in the directory, up to the data offset.
    entry: Vec<u8>,
    size: usize,
    source: Source<'a>,
}

/// Collects metadata and tensors, then writes the file.
///
/// Sources of tensor data are run one after the other while the file is written, so no more than
/// one has to be in memory.
#[derive(Default)]
pub struct GgufWriter<'a> {
    keys: HashSet<String>,
    metadata: Vec<u8>,
    names: HashSet<String>,
    tensors: Vec<Pending<'a>>,
    alignment: Option<u32>,
}

impl<'a> GgufWriter<'a> {
    /// A writer of a file without keys and tensors.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a key with any value. `general.alignment` sets the alignment of the tensor data, which
    /// is 32 without it.
    ///
    /// # Errors
    /// If the key is empty, too long, holds NUL or is there already, or the value is too large.
    pub fn value(&mut self, key: &str, value: Value<'_>) -> Result<&mut Self, WriteError> {
        if key == ALIGNMENT_KEY {
            let alignment = check_alignment(value)?;
            self.scalar(key, alignment)?;
            self.alignment = Some(alignment);
            return Ok(self);
        }
        match value {
            Value::U8(x) => self.scalar(key, x),
            Value::I8(x) => self.scalar(key, x),
            Value::U16(x) => self.scalar(key, x),
            Value::I16(x) => self.scalar(key, x),
            Value::U32(x) => self.scalar(key, x),
            Value::I32(x) => self.scalar(key, x),
            Value::F32(x) => self.scalar(key, x),
            Value::Bool(x) => self.scalar(key, x),
            Value::String(x) => self.str(key, x.as_bytes()),
            Value::Array(x) => self.raw_array(key, x),
            Value::U64(x) => self.scalar(key, x),
            Value::I64(x) => self.scalar(key, x),
            Value::F64(x) => self.scalar(key, x),
        }
    }

    /// Adds a key with a u32.
    ///
    /// # Errors
    /// As for [`GgufWriter::value`].
    pub fn u32(&mut self, key: &str, value: u32) -> Result<&mut Self, WriteError> {
        self.value(key, Value::U32(value))
    }

    /// Adds a key with an f32.
    ///
    /// # Errors
    /// As for [`GgufWriter::value`].
    pub fn f32(&mut self, key: &str, value: f32) -> Result<&mut Self, WriteError> {
        self.value(key, Value::F32(value))
    }

    /// Adds a key with a bool.
    ///
    /// # Errors
    /// As for [`GgufWriter::value`].
    pub fn bool(&mut self, key: &str, value: bool) -> Result<&mut Self, WriteError> {
        self.value(key, Value::Bool(value))
    }

    /// Adds a key with a string, of any bytes.
    ///
    /// # Errors
    /// As for [`GgufWriter::value`].
    pub fn str(&mut self, key: &str, value: impl AsRef<[u8]>) -> Result<&mut Self, WriteError> {
        let value = value.as_ref();
        check_string(value)?;
        self.begin(key, ValueType::String)?;
        append_string(&mut self.metadata, value);
        Ok(self)
    }

    /// Adds a key with an array of numbers or bools.
    ///
    /// # Errors
    /// As for [`GgufWriter::value`].
    pub fn array<S: Scalar>(&mut self, key: &str, items: &[S]) -> Result<&mut Self, WriteError> {
        self.begin_array(key, S::TYPE, items.len() as u64)?;
        for item in items {
            item.append_le(&mut self.metadata);
        }
        Ok(self)
    }

    /// Adds a key with an array of strings, of any bytes.
    ///
    /// # Errors
    /// As for [`GgufWriter::value`].
    pub fn strings<T: AsRef<[u8]>>(
        &mut self,
        key: &str,
        strings: &[T],
    ) -> Result<&mut Self, WriteError> {
        strings.iter().try_for_each(|s| check_string(s.as_ref()))?;
        self.begin_array(key, ValueType::String, strings.len() as u64)?;
        for string in strings {
            append_string(&mut self.metadata, string.as_ref());
        }
        Ok(self)
    }

    /// Adds a tensor whose bytes `source` writes when the file is written.
    ///
    /// # Errors
    /// If the name is empty, longer than 63 bytes, holds NUL or is there already, or the type has no
    /// size for the shape `dims` (innermost first).
    pub fn tensor(
        &mut self,
        name: &str,
        tensor_type: TensorType,
        dims: &[usize],
        source: impl FnOnce(&mut dyn Write) -> io::Result<()> + 'a,
    ) -> Result<&mut Self, WriteError> {
        check_name(name.as_bytes(), "tensor name", MAX_TENSOR_NAME_BYTES)?;
        let shown = || Name::new(name.as_bytes());
        let size = tensor_type
            .tensor_bytes(dims)
            .map_err(|fault| Fault::Shape { name: shown(), fault })?;
        check_count("number of tensors", self.tensors.len() as u64 + 1, MAX_TENSORS)?;
        if !self.names.insert(name.to_owned()) {
            return Err(Fault::Duplicate { what: "tensor name", name: shown() }.into());
        }
        let mut entry = Vec::new();
        append_string(&mut entry, name.as_bytes());
        (dims.len() as u32).append_le(&mut entry);
        dims.iter().for_each(|&dim| (dim as u64).append_le(&mut entry));
        tensor_type.id().append_le(&mut entry);
        let name = name.to_owned();
        self.tensors.push(Pending { name, entry, size, source: Box::new(source) });
        Ok(self)
    }

    /// Adds a tensor from its bytes.
    ///
    /// # Errors
    /// As for [`GgufWriter::tensor`].
    pub fn tensor_bytes(
        &mut self,
        name: &str,
        tensor_type: TensorType,
        dims: &[usize],
        bytes: &'a [u8],
    ) -> Result<&mut Self, WriteError> {
        self.tensor(name, tensor_type, dims, move |out| out.write_all(bytes))
    }

    /// Adds a tensor from a reader, which must give exactly its bytes.
    ///
    /// # Errors
    /// As for [`GgufWriter::tensor`].
    pub fn tensor_reader(
        &mut self,
        name: &str,
        tensor_type: TensorType,
        dims: &[usize],
        mut reader: impl Read + 'a,
    ) -> Result<&mut Self, WriteError> {
        self.tensor(name, tensor_type, dims, move |out| io::copy(&mut reader, out).map(drop))
    }

    /// Writes the file and returns its length in bytes. Buffer `out` if sources write in small
    /// pieces; it is flushed at the end.
    ///
    /// # Errors
    /// If the metadata is too large, a source gives another number of bytes than its tensor has, or
    /// reading or writing fails. What was written until then is no GGUF file.
    pub fn write(self, mut out: impl Write) -> Result<u64, WriteError> {
        if self.metadata.len() as u64 > MAX_METADATA_BYTES {
            return Err(Fault::MetadataTooLarge.into());
        }
        let alignment = u64::from(self.alignment.unwrap_or(DEFAULT_ALIGNMENT));
        let mut header = Vec::with_capacity(HEADER_BYTES);
        header.extend_from_slice(&MAGIC);
        VERSION.append_le(&mut header);
        (self.tensors.len() as u64).append_le(&mut header);
        (self.keys.len() as u64).append_le(&mut header);
        header.extend_from_slice(&self.metadata);
        let mut offset = 0u64;
        for tensor in &self.tensors {
            header.extend_from_slice(&tensor.entry);
            offset.append_le(&mut header);
            let end = offset.checked_add(tensor.size as u64);
            offset = end
                .and_then(|end| end.checked_next_multiple_of(alignment))
                .ok_or_else(|| Fault::DataOverflow { name: Name::new(tensor.name.as_bytes()) })?;
        }
        header.resize(header.len().next_multiple_of(alignment as usize), 0);
        let io = |what: &str| {
            let what = what.to_owned();
            move |source| WriteError::Io { what, source }
        };
        out.write_all(&header).map_err(io("the header"))?;
        for tensor in self.tensors {
            write_tensor(tensor, alignment, &mut out)?;
        }
        out.flush().map_err(io("the last bytes"))?;
        Ok(header.len() as u64 + offset)
    }

    fn scalar<S: Scalar>(&mut self, key: &str, value: S) -> Result<&mut Self, WriteError> {
        self.begin(key, S::TYPE)?;
        value.append_le(&mut self.metadata);
        Ok(self)
    }

    fn raw_array(&mut self, key: &str, array: Array<'_>) -> Result<&mut Self, WriteError> {
        self.begin_array(key, array.item_type(), array.len() as u64)?;
        self.metadata.extend_from_slice(array.raw());
        Ok(self)
    }

    /// Appends a new key and the type of its value.
    fn begin(&mut self, key: &str, value_type: ValueType) -> Result<(), WriteError> {
        check_name(key.as_bytes(), "key", MAX_KEY_BYTES)?;
        check_count("number of keys", self.keys.len() as u64 + 1, MAX_KEYS)?;
        if key == ALIGNMENT_KEY && value_type != ValueType::U32 {
            let (key, found) = (ALIGNMENT_KEY, value_type);
            return Err(Fault::ReservedKeyType { key, found, wanted: "u32" }.into());
        }
        if !self.keys.insert(key.to_owned()) {
            let name = Name::new(key.as_bytes());
            return Err(Fault::Duplicate { what: "key", name }.into());
        }
        append_string(&mut self.metadata, key.as_bytes());
        value_type.id().append_le(&mut self.metadata);
        Ok(())
    }

    fn begin_array(
        &mut self,
        key: &str,
        item_type: ValueType,
        count: u64,
    ) -> Result<(), WriteError> {
        check_count("items of an array", count, MAX_ARRAY_ITEMS)?;
        self.begin(key, ValueType::Array)?;
        item_type.id().append_le(&mut self.metadata);
        count.append_le(&mut self.metadata);
        Ok(())
    }
}

fn check_count(what: &'static str, found: u64, cap: u64) -> Result<(), Fault> {
    if found > cap { Err(Fault::OverCap { what, found, cap }) } else { Ok(()) }
}

fn check_string(bytes: &[u8]) -> Result<(), Fault> {
    let (found, cap) = (bytes.len() as u64, MAX_STRING_BYTES);
    if found > cap { Err(Fault::TooLong { what: "a string value", found, cap }) } else { Ok(()) }
}

fn append_string(out: &mut Vec<u8>, bytes: &[u8]) {
    (bytes.len() as u64).append_le(out);
    out.extend_from_slice(bytes);
}

fn write_tensor(
    tensor: Pending<'_>,
    alignment: u64,
    out: &mut impl Write,
) -> Result<(), WriteError> {
    let needed = tensor.size as u64;
    let mut counted = Counted { out, needed, given: 0 };
    let result = (tensor.source)(&mut counted);
    let given = counted.given;
    // Before the result: a source that gives too much gets an error of our own making.
    if given > needed || (result.is_ok() && given < needed) {
        return Err(WriteError::Length { name: Name::new(tensor.name.as_bytes()), needed, given });
    }
    let padding = needed.next_multiple_of(alignment) - needed;
    result
        .and_then(|()| io::copy(&mut io::repeat(0).take(padding), out))
        .map(drop)
        .map_err(|source| WriteError::Io { what: format!("tensor '{}'", tensor.name), source })
}

/// Passes on at most `needed` bytes and counts all that it is given.
struct Counted<'a, W> {
    out: &'a mut W,
    needed: u64,
    given: u64,
}

impl<W: Write> Write for Counted<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() as u64 > self.needed.saturating_sub(self.given) {
            self.given = self.given.saturating_add(bytes.len() as u64);
            return Err(io::Error::other("the source gives more bytes than the tensor has"));
        }
        let written = self.out.write(bytes)?;
        self.given += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
