//! Header and tensor directory: where each tensor's bytes are.
//!
//! Parses and checks a whole GGUF file held in memory; reads no file itself, and copies no tensor.

use std::ops::Range;

use super::cursor::Cursor;
use super::error::{Fault, GgufError, Name};
use super::key_value::{read_metadata, read_name};
use super::limits::{
    DEFAULT_ALIGNMENT, MAGIC, MAX_ALIGNMENT, MAX_DIMS, MAX_KEYS, MAX_TENSOR_NAME_BYTES,
    MAX_TENSORS, MIN_KEY_VALUE_BYTES, MIN_TENSOR_INFO_BYTES,
};
use super::metadata::Metadata;
use super::tensor_type::{ShapeFault, TensorType, mxfp4_bytes};
use super::value::Value;

/// A tensor's entry in the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TensorInfo {
    /// Name, unique in the file.
    pub name: Box<str>,
    /// How its elements are stored.
    pub tensor_type: TensorType,
    /// Shape of 1 to 4 positive extents, innermost first.
    pub dims: Box<[usize]>,
    /// Its first byte, counted from the start of the file; a multiple of the alignment from the
    /// start of the data section.
    pub offset: usize,
    /// Its bytes, without padding.
    pub size: usize,
}

impl TensorInfo {
    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.dims.iter().product()
    }

    /// Its bytes in the file.
    pub fn range(&self) -> Range<usize> {
        self.offset..self.offset + self.size
    }
}

/// All that a GGUF file says of itself, checked: every tensor lies inside the bytes parsed.
#[derive(Debug)]
pub struct Directory {
    version: u32,
    alignment: u32,
    metadata: Metadata,
    /// In file order.
    tensors: Box<[TensorInfo]>,
    /// Indices into `tensors`, by name.
    by_name: Box<[u32]>,
    trailing: usize,
}

impl Directory {
    /// Parses `file`, which must be a whole GGUF file.
    ///
    /// # Errors
    /// If the bytes break the format or a bound of [`limits`](super::limits); with the offset, and
    /// without a path.
    pub fn parse(file: &[u8]) -> Result<Directory, GgufError> {
        let mut cursor = Cursor::new(file);
        let version = read_version(&mut cursor)?;
        let tensor_count =
            cursor.count("number of tensors", MAX_TENSORS, MIN_TENSOR_INFO_BYTES, 8)?;
        let key_count = cursor.count("number of keys", MAX_KEYS, MIN_KEY_VALUE_BYTES, 0)?;
        let metadata = read_metadata(&mut cursor, file, key_count)?;
        let alignment = alignment(&metadata)?;
        refuse_shards(&metadata)?;
        let directory_start = cursor.pos();
        let mut tensors = read_tensors(&mut cursor, tensor_count, alignment)?;
        let end = place(&mut tensors, cursor.pos(), file.len(), alignment)?;
        let by_name = sort_by_name(&tensors, directory_start)?;
        Ok(Directory {
            version,
            alignment,
            metadata,
            tensors: tensors.into(),
            by_name,
            trailing: file.len().saturating_sub(end),
        })
    }

    /// Version of the format: 2 or 3.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Alignment of every tensor's data, relative to the start of the data section.
    pub fn alignment(&self) -> u32 {
        self.alignment
    }

    /// Keys and values.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Tensors in file order, which is also the order of their data.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    /// The tensor of this name, if there is one.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.tensor_index(name).map(|index| &self.tensors[index])
    }

    /// Where the tensor of this name is in [`Directory::tensors`], if there is one.
    pub fn tensor_index(&self, name: &str) -> Option<usize> {
        let name_of = |i: u32| &*self.tensors[i as usize].name;
        let found = self.by_name.binary_search_by(|&i| name_of(i).cmp(name)).ok()?;
        Some(self.by_name[found] as usize)
    }

    /// Bytes behind the last tensor and its padding, which belong to nothing.
    pub fn trailing_bytes(&self) -> usize {
        self.trailing
    }

    pub(super) fn metadata_mut(&mut self) -> &mut Metadata {
        &mut self.metadata
    }
}

/// Reads magic and version.
fn read_version(cursor: &mut Cursor<'_>) -> Result<u32, GgufError> {
    if cursor.left() == 0 {
        return Err(GgufError::at(0, Fault::Empty));
    }
    let found = cursor.array("the magic number")?;
    if found != MAGIC {
        return Err(GgufError::at(0, Fault::NotGguf { found }));
    }
    let start = cursor.pos();
    let fault = match cursor.u32("the version")? {
        version @ (2 | 3) => return Ok(version),
        1 => Fault::VersionOne,
        // llama.cpp's rule: a small number looks like this when its bytes are swapped.
        version if version != 0 && version & 0xffff == 0 => Fault::BigEndian { version },
        found => Fault::Version { found },
    };
    Err(GgufError::at(start, fault))
}

/// The file's alignment, by the rules of llama.cpp: a u32 that is a power of two.
fn alignment(metadata: &Metadata) -> Result<u32, GgufError> {
    let Some(value) = metadata.get(ALIGNMENT_KEY) else { return Ok(DEFAULT_ALIGNMENT) };
    check_alignment(value)
        .map_err(|fault| GgufError::at(metadata.offset(ALIGNMENT_KEY).unwrap_or(0) as usize, fault))
}

/// The key that sets the alignment.
pub(super) const ALIGNMENT_KEY: &str = "general.alignment";

/// The alignment that a value of [`ALIGNMENT_KEY`] stands for.
pub(super) fn check_alignment(value: Value<'_>) -> Result<u32, Fault> {
    let Value::U32(found) = value else {
        let found = value.value_type();
        return Err(Fault::ReservedKeyType { key: ALIGNMENT_KEY, found, wanted: "u32" });
    };
    if !found.is_power_of_two() || found > MAX_ALIGNMENT {
        return Err(Fault::Alignment { found });
    }
    Ok(found)
}

/// A shard holds some of a model's tensors; the first also holds its metadata.
fn refuse_shards(metadata: &Metadata) -> Result<(), GgufError> {
    const KEY: &str = "split.count";
    let Some(value) = metadata.get(KEY) else { return Ok(()) };
    let fault = match value.as_integer() {
        Some(0 | 1) => return Ok(()),
        Some(count) => Fault::Shard { count },
        None => {
            Fault::ReservedKeyType { key: KEY, found: value.value_type(), wanted: "an integer" }
        }
    };
    Err(GgufError::at(metadata.offset(KEY).unwrap_or(0) as usize, fault))
}

/// Reads `count` directory entries; `offset` of each is still relative to the data section.
///
/// `count` must be bounded by what the file can hold: that much is allocated.
fn read_tensors(
    cursor: &mut Cursor<'_>,
    count: u64,
    alignment: u32,
) -> Result<Vec<TensorInfo>, GgufError> {
    // The count was held against all bytes behind it; the keys have taken some of them since.
    let possible = cursor.left() / MIN_TENSOR_INFO_BYTES as usize;
    let mut tensors = Vec::with_capacity(possible.min(count as usize));
    let mut expected = 0usize;
    for _ in 0..count {
        let tensor = read_tensor(cursor, tensors.last(), expected, alignment)?;
        expected = padded_end(&tensor, alignment).ok_or_else(|| {
            let name = Name::new(tensor.name.as_bytes());
            GgufError::at(cursor.pos() - 8, Fault::DataOverflow { name })
        })?;
        tensors.push(tensor);
    }
    Ok(tensors)
}

fn padded_end(tensor: &TensorInfo, alignment: u32) -> Option<usize> {
    tensor.offset.checked_add(tensor.size)?.checked_next_multiple_of(alignment as usize)
}

fn read_tensor(
    cursor: &mut Cursor<'_>,
    previous: Option<&TensorInfo>,
    expected: usize,
    alignment: u32,
) -> Result<TensorInfo, GgufError> {
    let name = read_name(cursor, "tensor name", MAX_TENSOR_NAME_BYTES)?;
    let shown = || Name::new(name.as_bytes());
    let shape_fault = |offset, fault| GgufError::at(offset, Fault::Shape { name: shown(), fault });

    let shape_offset = cursor.pos();
    let dim_count = cursor.u32("a tensor's number of dimensions")?;
    if dim_count == 0 || dim_count as usize > MAX_DIMS {
        let fault = ShapeFault::DimensionCount { found: dim_count.into() };
        return Err(shape_fault(shape_offset, fault));
    }
    let mut dims = [0usize; MAX_DIMS];
    let dims = &mut dims[..dim_count as usize];
    for dim in &mut *dims {
        let offset = cursor.pos();
        let extent = cursor.u64("a tensor's dimension")?;
        *dim = usize::try_from(extent).map_err(|_| shape_fault(offset, ShapeFault::Overflow))?;
    }

    let type_offset = cursor.pos();
    let id = cursor.u32("a tensor's type")?;
    let tensor_type = TensorType::from_id(id).ok_or_else(|| {
        GgufError::at(type_offset, Fault::UnknownTensorType { name: shown(), id })
    })?;
    let size = tensor_type.tensor_bytes(dims).map_err(|fault| shape_fault(shape_offset, fault))?;

    let offset = cursor.pos();
    let found = cursor.u64("a tensor's data offset")?;
    check_offset(found, expected as u64, alignment, shown).map_err(|fault| {
        let fault = previous.and_then(|tensor| mxfp4(tensor, found, alignment)).unwrap_or(fault);
        GgufError::at(offset, fault)
    })?;
    Ok(TensorInfo { name: name.into(), tensor_type, dims: (*dims).into(), offset: expected, size })
}

/// The fault of a tensor of type 39 that ends where llama.cpp's type of this id does, its successor being
/// at `next`: bitnet.cpp and llama.cpp gave the id to two types.
fn mxfp4(tensor: &TensorInfo, next: u64, alignment: u32) -> Option<Fault> {
    let bytes = mxfp4_bytes(tensor.elements()).filter(|_| tensor.tensor_type == TensorType::Tl2)?;
    let end = tensor.offset.checked_add(bytes)?.checked_next_multiple_of(alignment as usize)?;
    let name = Name::new(tensor.name.as_bytes());
    (end as u64 == next).then_some(Fault::Shape { name, fault: ShapeFault::Mxfp4 })
}

/// Tensors must follow each other in the order of the directory, as llama.cpp requires.
fn check_offset(
    found: u64,
    expected: u64,
    alignment: u32,
    name: impl Fn() -> Name,
) -> Result<(), Fault> {
    if found == expected {
        Ok(())
    } else if !found.is_multiple_of(u64::from(alignment)) {
        Err(Fault::OffsetUnaligned { name: name(), found, alignment })
    } else if found < expected {
        Err(Fault::OffsetOverlap { name: name(), found, expected })
    } else {
        Err(Fault::OffsetGap { name: name(), found, expected })
    }
}

/// Makes offsets absolute and returns where the data section ends.
///
/// The padding of the last tensor counts: every writer emits it, and llama.cpp's own reader of whole
/// files asks for it.
fn place(
    tensors: &mut [TensorInfo],
    directory_end: usize,
    length: usize,
    alignment: u32,
) -> Result<usize, GgufError> {
    let too_long = |tensor: &TensorInfo, end: u64| {
        let name = Name::new(tensor.name.as_bytes());
        GgufError::at(length, Fault::DataEnds { name, end, length: length as u64 })
    };
    // Cannot overflow: no slice is longer than isize::MAX.
    let start = directory_end.next_multiple_of(alignment as usize);
    let mut end = start;
    for tensor in tensors {
        tensor.offset = match tensor.offset.checked_add(start) {
            Some(offset) => offset,
            None => return Err(too_long(tensor, u64::MAX)),
        };
        end = match tensor.offset.checked_add(tensor.size.next_multiple_of(alignment as usize)) {
            Some(end) if end <= length => end,
            end => return Err(too_long(tensor, end.map_or(u64::MAX, |end| end as u64))),
        };
    }
    Ok(end)
}

/// Indices of the tensors by name; refuses a name that comes twice.
fn sort_by_name(tensors: &[TensorInfo], directory_start: usize) -> Result<Box<[u32]>, GgufError> {
    let name = |i: u32| &*tensors[i as usize].name;
    let mut by_name: Box<[u32]> = (0..tensors.len() as u32).collect();
    by_name.sort_unstable_by_key(|&i| (name(i), i));
    let twice = by_name.windows(2).filter(|pair| name(pair[0]) == name(pair[1]));
    let Some(second) = twice.map(|pair| pair[1]).min() else { return Ok(by_name) };
    let before = tensors[..second as usize].iter();
    let offset = before.map(|t| 8 + t.name.len() + 4 + 8 * t.dims.len() + 4 + 8).sum::<usize>();
    let name = Name::new(name(second).as_bytes());
    Err(GgufError::at(directory_start + offset, Fault::Duplicate { what: "tensor name", name }))
}
