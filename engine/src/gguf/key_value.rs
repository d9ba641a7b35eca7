//! Reading keys and values: each checked once in the file, then decoded from the checked copy.
//!
//! Allocates only for counts that the rest of the file can hold.

use super::cursor::Cursor;
use super::error::{Fault, GgufError, Name};
use super::limits::{MAX_ARRAY_ITEMS, MAX_KEY_BYTES, MAX_METADATA_BYTES, MAX_STRING_BYTES};
use super::metadata::{Entry, Metadata};
use super::value::{Array, Value, ValueType};
use super::view::{Items, Scalar, Strings, Text};

/// Reads and checks `count` keys and values; `cursor` stands behind the header of `file`.
///
/// `count` must be bounded by what the file can hold: that much is allocated.
pub(super) fn read_metadata(
    cursor: &mut Cursor<'_>,
    file: &[u8],
    count: u64,
) -> Result<Metadata, GgufError> {
    let base = cursor.pos();
    let mut entries = Vec::with_capacity(count as usize);
    let mut string_ends = Vec::new();
    for _ in 0..count {
        let start = cursor.pos();
        let key = read_name(cursor, "key", MAX_KEY_BYTES)?;
        let first_string = string_ends.len() as u32;
        let value = cursor.pos() + 4;
        check_value(cursor, key, base, &mut string_ends)?;
        entries.push(Entry {
            key: relative(start + 8, base)?,
            value: relative(value, base)?,
            first_string,
        });
        relative(cursor.pos(), base)?;
    }
    string_ends.shrink_to_fit();
    let mut metadata = Metadata {
        bytes: file[base..cursor.pos()].into(),
        base,
        entries: entries.into(),
        by_key: (0..count as u32).collect(),
        string_ends: string_ends.into(),
        path: None,
    };
    metadata.sort()?;
    Ok(metadata)
}

/// A non-empty UTF-8 name of at most `cap` bytes and without NUL.
pub(super) fn read_name<'a>(
    cursor: &mut Cursor<'a>,
    what: &'static str,
    cap: u64,
) -> Result<&'a str, GgufError> {
    let start = cursor.pos();
    let bytes = cursor.string(what, cap)?;
    check_name(bytes, what, cap).map_err(|fault| GgufError::at(start, fault))
}

/// The rules that keys and tensor names share.
pub(super) fn check_name<'a>(
    bytes: &'a [u8],
    what: &'static str,
    cap: u64,
) -> Result<&'a str, Fault> {
    if bytes.is_empty() {
        return Err(Fault::EmptyName { what });
    }
    if bytes.len() as u64 > cap {
        return Err(Fault::TooLong { what, found: bytes.len() as u64, cap });
    }
    if bytes.contains(&0) {
        return Err(Fault::Nul { what, name: Name::new(bytes) });
    }
    std::str::from_utf8(bytes).map_err(|_| Fault::NotUtf8 { what, name: Name::new(bytes) })
}

fn relative(pos: usize, base: usize) -> Result<u32, GgufError> {
    let position = pos - base;
    if position as u64 > MAX_METADATA_BYTES {
        return Err(GgufError::at(pos, Fault::MetadataTooLarge));
    }
    Ok(position as u32)
}

fn read_type(cursor: &mut Cursor<'_>, key: &str) -> Result<ValueType, GgufError> {
    let start = cursor.pos();
    let id = cursor.u32("a value type")?;
    ValueType::from_id(id).ok_or_else(|| {
        let key = Name::new(key.as_bytes());
        GgufError::at(start, Fault::UnknownValueType { key, id })
    })
}

/// Steps over a value type and its value; adds the ends of the strings of an array.
fn check_value(
    cursor: &mut Cursor<'_>,
    key: &str,
    base: usize,
    string_ends: &mut Vec<u32>,
) -> Result<(), GgufError> {
    let value_type = read_type(cursor, key)?;
    if value_type != ValueType::Array {
        return check_items(cursor, key, value_type, 1);
    }
    let start = cursor.pos();
    let item_type = read_type(cursor, key)?;
    if item_type == ValueType::Array {
        let key = Name::new(key.as_bytes());
        return Err(GgufError::at(start, Fault::NestedArray { key }));
    }
    let count = cursor.count("items of an array", MAX_ARRAY_ITEMS, item_type.min_bytes(), 0)?;
    if item_type != ValueType::String {
        return check_items(cursor, key, item_type, count);
    }
    string_ends.reserve(count as usize);
    for _ in 0..count {
        check_items(cursor, key, ValueType::String, 1)?;
        string_ends.push(relative(cursor.pos(), base)?);
    }
    Ok(())
}

/// Steps over `count` scalars, or one string.
fn check_items(
    cursor: &mut Cursor<'_>,
    key: &str,
    item_type: ValueType,
    count: u64,
) -> Result<(), GgufError> {
    if item_type == ValueType::String {
        return cursor.string("a string value", MAX_STRING_BYTES).map(drop);
    }
    let start = cursor.pos();
    let bytes = cursor.take(count * item_type.min_bytes(), "a value")?;
    if item_type == ValueType::Bool
        && let Some(bad) = bytes.iter().position(|&b| b > 1)
    {
        let fault = Fault::Bool { key: Name::new(key.as_bytes()), found: bytes[bad] };
        return Err(GgufError::at(start + bad, fault));
    }
    Ok(())
}

/// Decodes what [`check_value`] accepted.
pub(super) fn decode<'a>(
    cursor: &mut Cursor<'a>,
    ends: &'a [u32],
    entry: &Entry,
) -> Result<Value<'a>, GgufError> {
    fn scalar<S: Scalar>(cursor: &mut Cursor<'_>) -> Result<S, GgufError> {
        cursor.take(S::BYTES as u64, "a value").map(S::from_le)
    }
    Ok(match read_type(cursor, "")? {
        ValueType::U8 => Value::U8(scalar(cursor)?),
        ValueType::I8 => Value::I8(scalar(cursor)?),
        ValueType::U16 => Value::U16(scalar(cursor)?),
        ValueType::I16 => Value::I16(scalar(cursor)?),
        ValueType::U32 => Value::U32(scalar(cursor)?),
        ValueType::I32 => Value::I32(scalar(cursor)?),
        ValueType::F32 => Value::F32(scalar(cursor)?),
        ValueType::Bool => Value::Bool(scalar(cursor)?),
        ValueType::String => {
            Value::String(Text(cursor.string("a string value", MAX_STRING_BYTES)?))
        }
        ValueType::Array => Value::Array(decode_array(cursor, ends, entry)?),
        ValueType::U64 => Value::U64(scalar(cursor)?),
        ValueType::I64 => Value::I64(scalar(cursor)?),
        ValueType::F64 => Value::F64(scalar(cursor)?),
    })
}

fn decode_array<'a>(
    cursor: &mut Cursor<'a>,
    ends: &'a [u32],
    entry: &Entry,
) -> Result<Array<'a>, GgufError> {
    fn items<'a, S: Scalar>(cursor: &mut Cursor<'a>, n: u64) -> Result<Items<'a, S>, GgufError> {
        cursor.take(n * S::BYTES as u64, "a value").map(Items::new)
    }
    let start = cursor.pos();
    let item_type = read_type(cursor, "")?;
    let n = cursor.u64("items of an array")?;
    Ok(match item_type {
        ValueType::U8 => Array::U8(items(cursor, n)?),
        ValueType::I8 => Array::I8(items(cursor, n)?),
        ValueType::U16 => Array::U16(items(cursor, n)?),
        ValueType::I16 => Array::I16(items(cursor, n)?),
        ValueType::U32 => Array::U32(items(cursor, n)?),
        ValueType::I32 => Array::I32(items(cursor, n)?),
        ValueType::F32 => Array::F32(items(cursor, n)?),
        ValueType::Bool => Array::Bool(items(cursor, n)?),
        ValueType::String => {
            let ends = &ends[..n as usize];
            let first = entry.value + (cursor.pos() - start) as u32;
            let length = ends.last().map_or(0, |&end| u64::from(end - first));
            Array::String(Strings::new(cursor.take(length, "strings")?, first, ends))
        }
        ValueType::U64 => Array::U64(items(cursor, n)?),
        ValueType::I64 => Array::I64(items(cursor, n)?),
        ValueType::F64 => Array::F64(items(cursor, n)?),
        ValueType::Array => {
            let key = Name::new(b"");
            return Err(GgufError::at(start, Fault::NestedArray { key }));
        }
    })
}
