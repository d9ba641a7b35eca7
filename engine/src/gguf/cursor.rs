//! A position in untrusted bytes: little-endian reads that name what they could not read.
//!
//! The only place that takes bytes out of a file being parsed. Allocates nothing.

use super::error::{Fault, GgufError};

/// Reads forward through `bytes`; every read is checked against what is left.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    pos: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Cursor { bytes, pos: 0 }
    }

    /// Offset of the next byte.
    pub(super) fn pos(&self) -> usize {
        self.pos
    }

    /// Bytes after the position.
    pub(super) fn left(&self) -> usize {
        self.bytes.len() - self.pos
    }

    /// The next `n` bytes, which belong to `what`.
    pub(super) fn take(&mut self, n: u64, what: &'static str) -> Result<&'a [u8], GgufError> {
        let rest = &self.bytes[self.pos..];
        let taken = usize::try_from(n).ok().and_then(|n| rest.get(..n));
        let Some(taken) = taken else {
            let fault = Fault::Ends { what, need: n, left: rest.len() as u64 };
            return Err(GgufError::at(self.pos, fault));
        };
        self.pos += taken.len();
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(
        &mut self,
        what: &'static str,
    ) -> Result<[u8; N], GgufError> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N as u64, what)?);
        Ok(out)
    }

    pub(super) fn u32(&mut self, what: &'static str) -> Result<u32, GgufError> {
        self.array(what).map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self, what: &'static str) -> Result<u64, GgufError> {
        self.array(what).map(u64::from_le_bytes)
    }

    /// A 64-bit length of at most `cap`, then as many bytes.
    pub(super) fn string(&mut self, what: &'static str, cap: u64) -> Result<&'a [u8], GgufError> {
        let start = self.pos;
        let length = self.u64(what)?;
        if length > cap {
            return Err(GgufError::at(start, Fault::TooLong { what, found: length, cap }));
        }
        self.take(length, what)
    }

    /// A 64-bit number of things of at least `smallest` bytes each, at most `cap`.
    ///
    /// `header` bytes that are still to be read stand between the count and the things.
    pub(super) fn count(
        &mut self,
        what: &'static str,
        cap: u64,
        smallest: u64,
        header: u64,
    ) -> Result<u64, GgufError> {
        let start = self.pos;
        let found = self.u64(what)?;
        let left = (self.left() as u64).saturating_sub(header);
        let possible = left / smallest;
        if found > possible {
            return Err(GgufError::at(start, Fault::TooMany { what, found, left, possible }));
        }
        if found > cap {
            return Err(GgufError::at(start, Fault::OverCap { what, found, cap }));
        }
        Ok(found)
    }
}
