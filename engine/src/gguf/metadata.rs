//! The keys and values of a GGUF file, in file order, looked up by name.
//!
//! A checked copy of their bytes and an index, 16 bytes a key and 4 a string in an array: a file of
//! a million tiny keys costs no more than twice its size, and a file changed while it is mapped
//! cannot change what was checked. What a key means is not known here.

use std::path::{Path, PathBuf};

use super::cursor::Cursor;
use super::error::{Fault, GgufError, KeyFault, Name};
use super::from_value::FromValue;
use super::key_value::decode;
use super::value::Value;
use super::view::{Items, Strings};

/// Keys and values. Positions are counted from `base`.
#[derive(Debug)]
pub struct Metadata {
    /// From the first key's length to the last value's end.
    pub(super) bytes: Box<[u8]>,
    /// Offset of `bytes` in the file.
    pub(super) base: usize,
    /// In file order.
    pub(super) entries: Box<[Entry]>,
    /// Indices into `entries`, by key.
    pub(super) by_key: Box<[u32]>,
    /// Ends of the strings of all string arrays.
    pub(super) string_ends: Box<[u32]>,
    /// The file, for messages.
    pub(super) path: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    /// First byte of the key, which ends four bytes before the value: its type stands between.
    pub(super) key: u32,
    /// First byte of the value; for arrays, of the item type.
    pub(super) value: u32,
    /// For arrays of strings, the index of the first in `string_ends`.
    pub(super) first_string: u32,
}

impl Metadata {
    /// Number of keys.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True if there is no key.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The value of `key`, if there is one.
    pub fn get(&self, key: &str) -> Option<Value<'_>> {
        self.find(key).map(|entry| self.value(entry))
    }

    /// Offset of the value of `key` in the file.
    pub fn offset(&self, key: &str) -> Option<u64> {
        self.find(key).map(|entry| self.value_offset(entry))
    }

    /// Keys and values in file order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, Value<'_>)> {
        self.entries.iter().map(|entry| (self.key(entry), self.value(entry)))
    }

    /// The value of `key` as `T`.
    ///
    /// # Errors
    /// If there is no such key, or its value is no `T` (see [`FromValue`]); the error names key,
    /// type wanted, type found and offset.
    pub fn require<'a, T: FromValue<'a>>(&'a self, key: &str) -> Result<T, GgufError> {
        self.optional(key)?
            .ok_or_else(|| self.key_error(key, None, KeyFault::Missing { wanted: T::NAME }))
    }

    /// The value of `key` as `T`, or none if there is no such key.
    ///
    /// # Errors
    /// If the value is no `T`, as for [`Metadata::require`].
    pub fn optional<'a, T: FromValue<'a>>(&'a self, key: &str) -> Result<Option<T>, GgufError> {
        let Some(entry) = self.find(key) else { return Ok(None) };
        T::from_value(self.value(entry))
            .map(Some)
            .map_err(|fault| self.key_error(key, Some(self.value_offset(entry)), fault))
    }

    /// [`Metadata::require`] of a non-negative integer of any width that fits.
    ///
    /// # Errors
    /// As for [`Metadata::require`].
    pub fn u32(&self, key: &str) -> Result<u32, GgufError> {
        self.require(key)
    }

    /// [`Metadata::require`] of a non-negative integer of any width.
    ///
    /// # Errors
    /// As for [`Metadata::require`].
    pub fn u64(&self, key: &str) -> Result<u64, GgufError> {
        self.require(key)
    }

    /// [`Metadata::require`] of an f32.
    ///
    /// # Errors
    /// As for [`Metadata::require`].
    pub fn f32(&self, key: &str) -> Result<f32, GgufError> {
        self.require(key)
    }

    /// [`Metadata::require`] of a bool.
    ///
    /// # Errors
    /// As for [`Metadata::require`].
    pub fn bool(&self, key: &str) -> Result<bool, GgufError> {
        self.require(key)
    }

    /// [`Metadata::require`] of UTF-8 text.
    ///
    /// # Errors
    /// As for [`Metadata::require`].
    pub fn str(&self, key: &str) -> Result<&str, GgufError> {
        self.require(key)
    }

    /// [`Metadata::require`] of an array of strings.
    ///
    /// # Errors
    /// As for [`Metadata::require`].
    pub fn strings(&self, key: &str) -> Result<Strings<'_>, GgufError> {
        self.require(key)
    }

    /// [`Metadata::require`] of an array of i32.
    ///
    /// # Errors
    /// As for [`Metadata::require`].
    pub fn i32s(&self, key: &str) -> Result<Items<'_, i32>, GgufError> {
        self.require(key)
    }

    /// [`Metadata::require`] of an array of f32.
    ///
    /// # Errors
    /// As for [`Metadata::require`].
    pub fn f32s(&self, key: &str) -> Result<Items<'_, f32>, GgufError> {
        self.require(key)
    }

    pub(super) fn set_path(&mut self, path: &Path) {
        self.path = Some(path.to_owned());
    }

    /// Makes `by_key`, and refuses a key that comes twice.
    pub(super) fn sort(&mut self) -> Result<(), GgufError> {
        let mut by_key = std::mem::take(&mut self.by_key);
        by_key.sort_unstable_by_key(|&i| (self.key(&self.entries[i as usize]), i));
        self.by_key = by_key;
        let key = |i: u32| self.key(&self.entries[i as usize]);
        let twice = self.by_key.windows(2).filter(|pair| key(pair[0]) == key(pair[1]));
        let Some(second) = twice.map(|pair| pair[1]).min() else { return Ok(()) };
        let name = Name::new(key(second).as_bytes());
        let offset = self.base + self.entries[second as usize].key as usize - 8;
        Err(GgufError::at(offset, Fault::Duplicate { what: "key", name }))
    }

    fn find(&self, key: &str) -> Option<&Entry> {
        let at = |&i: &u32| self.key(&self.entries[i as usize]);
        let found = self.by_key.binary_search_by(|i| at(i).cmp(key)).ok()?;
        Some(&self.entries[self.by_key[found] as usize])
    }

    fn key(&self, entry: &Entry) -> &str {
        let bytes = &self.bytes[entry.key as usize..entry.value as usize - 4];
        std::str::from_utf8(bytes).unwrap_or_default() // checked when it was read
    }

    fn value_offset(&self, entry: &Entry) -> u64 {
        (self.base + entry.value as usize) as u64
    }

    fn value(&self, entry: &Entry) -> Value<'_> {
        let mut cursor = Cursor::new(&self.bytes[entry.value as usize - 4..]);
        let decoded = decode(&mut cursor, &self.string_ends[entry.first_string as usize..], entry);
        decoded.expect("the same bytes were read without an error when the file was parsed")
    }

    fn key_error(&self, key: &str, offset: Option<u64>, fault: KeyFault) -> GgufError {
        let key = Name::new(key.as_bytes());
        GgufError::Key { path: self.path.clone(), key, offset, fault }
    }
}
