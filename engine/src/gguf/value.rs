//! Metadata values: the thirteen types of GGUF, borrowed from the bytes that hold them.
//!
//! Views only: they are made from bytes that were checked, and copy nothing.

use std::fmt;

use super::view::{Items, Strings, Text};

/// The type of a metadata value. The discriminant is the id in the file.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum ValueType {
    U8 = 0,
    I8 = 1,
    U16 = 2,
    I16 = 3,
    U32 = 4,
    I32 = 5,
    F32 = 6,
    Bool = 7,
    String = 8,
    Array = 9,
    U64 = 10,
    I64 = 11,
    F64 = 12,
}

use ValueType as T;

impl ValueType {
    const ALL: [ValueType; 13] = [
        T::U8,
        T::I8,
        T::U16,
        T::I16,
        T::U32,
        T::I32,
        T::F32,
        T::Bool,
        T::String,
        T::Array,
        T::U64,
        T::I64,
        T::F64,
    ];

    /// The type with this id, if there is one.
    pub fn from_id(id: u32) -> Option<ValueType> {
        Self::ALL.into_iter().find(|t| t.id() == id)
    }

    /// The id in the file.
    pub fn id(self) -> u32 {
        self as u32
    }

    /// `u8`, `f32`, `string`.
    pub fn name(self) -> &'static str {
        match self {
            T::U8 => "u8",
            T::I8 => "i8",
            T::U16 => "u16",
            T::I16 => "i16",
            T::U32 => "u32",
            T::I32 => "i32",
            T::F32 => "f32",
            T::Bool => "bool",
            T::String => "string",
            T::Array => "array",
            T::U64 => "u64",
            T::I64 => "i64",
            T::F64 => "f64",
        }
    }

    /// Bytes of one value; for strings and arrays, the bytes of the smallest: an empty one.
    pub(super) fn min_bytes(self) -> u64 {
        match self {
            T::U8 | T::I8 | T::Bool => 1,
            T::U16 | T::I16 => 2,
            T::U32 | T::I32 | T::F32 => 4,
            T::U64 | T::I64 | T::F64 | T::String => 8,
            T::Array => 12,
        }
    }
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An array value by the type of its items.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Array<'a> {
    U8(Items<'a, u8>),
    I8(Items<'a, i8>),
    U16(Items<'a, u16>),
    I16(Items<'a, i16>),
    U32(Items<'a, u32>),
    I32(Items<'a, i32>),
    F32(Items<'a, f32>),
    Bool(Items<'a, bool>),
    String(Strings<'a>),
    U64(Items<'a, u64>),
    I64(Items<'a, i64>),
    F64(Items<'a, f64>),
}

/// Runs `$body` with `$items` bound to whatever the array holds.
macro_rules! each_array {
    ($array:expr, $items:ident => $body:expr) => {
        match $array {
            Array::U8($items) => $body,
            Array::I8($items) => $body,
            Array::U16($items) => $body,
            Array::I16($items) => $body,
            Array::U32($items) => $body,
            Array::I32($items) => $body,
            Array::F32($items) => $body,
            Array::Bool($items) => $body,
            Array::String($items) => $body,
            Array::U64($items) => $body,
            Array::I64($items) => $body,
            Array::F64($items) => $body,
        }
    };
}

impl<'a> Array<'a> {
    /// Number of items.
    pub fn len(&self) -> usize {
        each_array!(self, items => items.len())
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Type of the items.
    pub fn item_type(&self) -> ValueType {
        match self {
            Array::U8(_) => T::U8,
            Array::I8(_) => T::I8,
            Array::U16(_) => T::U16,
            Array::I16(_) => T::I16,
            Array::U32(_) => T::U32,
            Array::I32(_) => T::I32,
            Array::F32(_) => T::F32,
            Array::Bool(_) => T::Bool,
            Array::String(_) => T::String,
            Array::U64(_) => T::U64,
            Array::I64(_) => T::I64,
            Array::F64(_) => T::F64,
        }
    }

    /// The items as the file has them.
    pub(super) fn raw(&self) -> &'a [u8] {
        each_array!(self, items => items.raw())
    }
}

/// A metadata value.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    F32(f32),
    Bool(bool),
    String(Text<'a>),
    Array(Array<'a>),
    U64(u64),
    I64(i64),
    F64(f64),
}

impl Value<'_> {
    /// Type of the value.
    pub fn value_type(&self) -> ValueType {
        match self {
            Value::U8(_) => T::U8,
            Value::I8(_) => T::I8,
            Value::U16(_) => T::U16,
            Value::I16(_) => T::I16,
            Value::U32(_) => T::U32,
            Value::I32(_) => T::I32,
            Value::F32(_) => T::F32,
            Value::Bool(_) => T::Bool,
            Value::String(_) => T::String,
            Value::Array(_) => T::Array,
            Value::U64(_) => T::U64,
            Value::I64(_) => T::I64,
            Value::F64(_) => T::F64,
        }
    }

    /// `u32`, `array of string`: the type in words.
    pub fn type_name(&self) -> String {
        match self {
            Value::Array(array) => format!("array of {}", array.item_type()),
            _ => self.value_type().to_string(),
        }
    }

    /// The integer, of whatever width.
    pub fn as_integer(&self) -> Option<i128> {
        match *self {
            Value::U8(n) => Some(n.into()),
            Value::I8(n) => Some(n.into()),
            Value::U16(n) => Some(n.into()),
            Value::I16(n) => Some(n.into()),
            Value::U32(n) => Some(n.into()),
            Value::I32(n) => Some(n.into()),
            Value::U64(n) => Some(n.into()),
            Value::I64(n) => Some(n.into()),
            Value::F32(_) | Value::F64(_) | Value::Bool(_) | Value::String(_) | Value::Array(_) => {
                None
            }
        }
    }
}
