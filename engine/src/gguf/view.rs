//! Views of the numbers, strings and arrays in a file's metadata.
//!
//! Made from bytes that were checked before; they copy nothing and check nothing again.

use std::fmt;
use std::marker::PhantomData;
use std::str::Utf8Error;

use super::value::ValueType;

/// A number or bool as GGUF stores it: little-endian, at any alignment.
pub trait Scalar: Copy + PartialEq + fmt::Debug + sealed::Sealed + 'static {
    /// Its type in metadata.
    const TYPE: ValueType;
    /// Bytes of one.
    const BYTES: usize;
    /// Reads one from exactly [`Scalar::BYTES`] bytes.
    fn from_le(bytes: &[u8]) -> Self;
    /// Appends its bytes.
    fn append_le(self, out: &mut Vec<u8>);
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! scalars {
    ($($rust:ty => $name:ident),*) => {$(
        impl sealed::Sealed for $rust {}
        impl Scalar for $rust {
            const TYPE: ValueType = ValueType::$name;
            const BYTES: usize = size_of::<$rust>();

            fn from_le(bytes: &[u8]) -> Self {
                let mut raw = [0; size_of::<$rust>()];
                raw.copy_from_slice(bytes);
                <$rust>::from_le_bytes(raw)
            }

            fn append_le(self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
        }
    )*};
}

scalars!(u8 => U8, i8 => I8, u16 => U16, i16 => I16, u32 => U32, i32 => I32, f32 => F32,
    u64 => U64, i64 => I64, f64 => F64);

impl sealed::Sealed for bool {}
impl Scalar for bool {
    const TYPE: ValueType = ValueType::Bool;
    const BYTES: usize = 1;

    fn from_le(bytes: &[u8]) -> Self {
        bytes == [1]
    }

    fn append_le(self, out: &mut Vec<u8>) {
        out.push(self.into());
    }
}

/// A string as it is in the file: any bytes.
///
/// Some vocabularies hold tokens that are not UTF-8, so only [`Text::as_str`] insists on it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text<'a>(pub &'a [u8]);

impl<'a> Text<'a> {
    /// The bytes, without any terminator.
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// The text.
    ///
    /// # Errors
    /// If the bytes are not UTF-8.
    pub fn as_str(self) -> Result<&'a str, Utf8Error> {
        std::str::from_utf8(self.0)
    }
}

/// Escaped, so that it is safe to print.
impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for chunk in self.0.utf8_chunks() {
            write!(f, "{}{}", chunk.valid().escape_debug(), chunk.invalid().escape_ascii())?;
        }
        f.write_str("\"")
    }
}

/// An array of numbers or bools, decoded item by item.
#[derive(Clone, Copy)]
pub struct Items<'a, S> {
    bytes: &'a [u8],
    scalar: PhantomData<S>,
}

impl<'a, S: Scalar> Items<'a, S> {
    /// Over bytes whose length is a multiple of the item's.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        debug_assert_eq!(bytes.len() % S::BYTES, 0);
        Items { bytes, scalar: PhantomData }
    }

    /// Number of items.
    pub fn len(&self) -> usize {
        self.bytes.len() / S::BYTES
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Item `index`, if there are so many.
    pub fn get(&self, index: usize) -> Option<S> {
        let start = index.checked_mul(S::BYTES)?;
        self.bytes.get(start..start.checked_add(S::BYTES)?).map(S::from_le)
    }

    /// All items in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = S> + 'a {
        self.bytes.chunks_exact(S::BYTES).map(S::from_le)
    }

    /// All items, copied out.
    pub fn to_vec(&self) -> Vec<S> {
        self.iter().collect()
    }

    pub(super) fn raw(&self) -> &'a [u8] {
        self.bytes
    }
}

impl<S: Scalar> PartialEq for Items<'_, S> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<S: Scalar> fmt::Debug for Items<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// An array of strings with random access.
///
/// In the file each string is a 64-bit length and its bytes, so an index of their ends is kept.
#[derive(Clone, Copy)]
pub struct Strings<'a> {
    /// From the first string's length on.
    bytes: &'a [u8],
    /// Where `bytes` begins, in the coordinates of `ends`.
    start: u32,
    /// Where each string ends.
    ends: &'a [u32],
}

impl<'a> Strings<'a> {
    /// `ends` must ascend, each at least 8 beyond its predecessor (`start` for the first).
    pub(super) fn new(bytes: &'a [u8], start: u32, ends: &'a [u32]) -> Self {
        Strings { bytes, start, ends }
    }

    /// Number of strings.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// String `index`, if there are so many.
    pub fn get(&self, index: usize) -> Option<Text<'a>> {
        let end = *self.ends.get(index)?;
        let before = match index.checked_sub(1) {
            Some(previous) => *self.ends.get(previous)?,
            None => self.start,
        };
        let from = (before - self.start) as usize + 8;
        self.bytes.get(from..(end - self.start) as usize).map(Text)
    }

    /// All strings in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Text<'a>> + use<'a> {
        let strings = *self;
        (0..self.len()).map(move |i| strings.get(i).unwrap_or(Text(&[])))
    }

    /// Lengths and bytes of all strings, as the file has them.
    pub(super) fn raw(&self) -> &'a [u8] {
        let end = self.ends.last().map_or(0, |&end| (end - self.start) as usize);
        &self.bytes[..end]
    }
}

impl PartialEq for Strings<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl fmt::Debug for Strings<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
