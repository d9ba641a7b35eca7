//! One block of memory for all matrices that are arranged anew, on huge pages where the system has them.
//!
//! A token reads all of it, and with pages of 4 KiB the processor's table of pages holds a hundredth. It
//! gives out disjoint parts while a model is loaded and only reads afterwards; it knows no layout.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use memmap2::MmapMut;

use crate::memory::{OutOfMemory, huge_pages};

/// Parts begin at multiples of this: a cache line, and the widest register.
pub(crate) const ALIGNMENT: usize = 64;

/// A block that is being filled.
pub(crate) struct Arena {
    block: Option<MmapMut>,
    used: usize,
    finished: Arc<OnceLock<MmapMut>>,
}

/// A part of a block; there are bytes once [`Arena::finish`] was called.
pub(crate) struct Part {
    block: Arc<OnceLock<MmapMut>>,
    range: Range<usize>,
}

impl Arena {
    /// A block of zeros. Pages that are never touched cost nothing.
    ///
    /// # Errors
    /// If the system has no memory for it.
    pub(crate) fn new(bytes: usize) -> Result<Self, OutOfMemory> {
        let block = match bytes {
            0 => None,
            _ => Some(huge_pages(bytes).map_err(|_| OutOfMemory { bytes })?),
        };
        Ok(Self { block, used: 0, finished: Arc::default() })
    }

    /// The next `bytes` bytes, filled by `fill`.
    ///
    /// # Panics
    /// If the block has not as many left.
    pub(crate) fn part(&mut self, bytes: usize, fill: impl FnOnce(&mut [u8])) -> Part {
        let range = self.used..self.used + bytes;
        self.used = range.end.next_multiple_of(ALIGNMENT);
        fill(match &mut self.block {
            Some(block) => &mut block[range.clone()],
            None => &mut [][..bytes],
        });
        Part { block: Arc::clone(&self.finished), range }
    }

    /// Makes all parts readable.
    pub(crate) fn finish(self) {
        if let Some(block) = self.block {
            // This value alone sets it, and is gone behind this.
            let _ = self.finished.set(block);
        }
    }
}

impl Part {
    /// The bytes; none before the arena is finished.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.block.get().map_or(&[], |block| &block[self.range.clone()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_apart_and_readable_in_the_end() {
        let mut arena = Arena::new(300).expect("a page");
        let parts: Vec<Part> =
            [70, 1, 64].map(|n| arena.part(n, |bytes| bytes.fill(n as u8))).into();
        assert!(parts[0].bytes().is_empty());
        arena.finish();
        for (part, n) in parts.iter().zip([70, 1, 64]) {
            assert_eq!(part.bytes(), vec![n as u8; n]);
            assert!(part.bytes().as_ptr().addr().is_multiple_of(ALIGNMENT));
        }
        let mut empty = Arena::new(0).expect("nothing");
        let none = empty.part(0, |bytes| assert!(bytes.is_empty()));
        empty.finish();
        assert!(none.bytes().is_empty());
    }

    #[test]
    fn what_the_system_has_not_is_refused() {
        assert_eq!(Arena::new(1 << 62).err(), Some(OutOfMemory { bytes: 1 << 62 }));
    }
}
