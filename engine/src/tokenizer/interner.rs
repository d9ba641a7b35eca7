//! Byte strings ↔ dense ids, in one block of memory; it never removes and never reorders.

use std::hash::{BuildHasher, RandomState};

/// Strings numbered in the order of their arrival.
///
/// The table of slots is keyed at random per process: a file cannot be made to fill one chain.
#[derive(Debug, Clone)]
pub(super) struct Interner {
    bytes: Vec<u8>,
    ends: Vec<u32>,
    slots: Vec<u32>,
    hasher: RandomState,
}

const EMPTY: u32 = u32::MAX;

/// More strings or bytes than 32-bit numbers can address.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

impl Interner {
    /// Room for `strings` without growing.
    pub(super) fn with_capacity(strings: usize) -> Self {
        let slots = strings.saturating_mul(2).clamp(16, 1 << 30).next_power_of_two();
        Self {
            bytes: Vec::new(),
            ends: Vec::with_capacity(strings),
            slots: vec![EMPTY; slots],
            hasher: RandomState::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The string of an id below [`Interner::len`].
    pub(super) fn text(&self, id: u32) -> &[u8] {
        let id = id as usize;
        let start = if id == 0 { 0 } else { self.ends[id - 1] as usize };
        &self.bytes[start..self.ends[id] as usize]
    }

    pub(super) fn get(&self, text: &[u8]) -> Option<u32> {
        let id = self.slots[self.slot(text)];
        (id != EMPTY).then_some(id)
    }

    /// The id of a string, which is new if it equals the former [`Interner::len`].
    pub(super) fn intern(&mut self, text: &[u8]) -> Result<u32, Full> {
        let slot = self.slot(text);
        if self.slots[slot] != EMPTY {
            return Ok(self.slots[slot]);
        }
        let id = u32::try_from(self.len()).ok().filter(|&id| id < 1 << 31).ok_or(Full)?;
        let end = u32::try_from(self.bytes.len() + text.len()).map_err(|_| Full)?;
        self.bytes.extend_from_slice(text);
        self.ends.push(end);
        self.slots[slot] = id;
        if self.len() * 2 > self.slots.len() {
            self.grow();
        }
        Ok(id)
    }

    fn grow(&mut self) {
        self.slots = vec![EMPTY; self.slots.len() * 2];
        for id in 0..self.ends.len() as u32 {
            let slot = self.slot(self.text(id));
            self.slots[slot] = id;
        }
    }

    /// Where the string is, or the empty slot where it would be. At most half of the slots are
    /// taken, so there is one.
    fn slot(&self, text: &[u8]) -> usize {
        let mask = self.slots.len() - 1;
        let mut slot = self.hasher.hash_one(text) as usize & mask;
        while self.slots[slot] != EMPTY && self.text(self.slots[slot]) != text {
            slot = (slot + 1) & mask;
        }
        slot
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_follow_arrival_and_survive_growth() {
        let mut interner = Interner::with_capacity(0);
        let texts: Vec<String> = (0..1000).map(|i| format!("{i}")).collect();
        for (i, text) in texts.iter().enumerate() {
            assert_eq!(interner.get(text.as_bytes()), None);
            assert_eq!(interner.intern(text.as_bytes()), Ok(i as u32));
        }
        for (i, text) in texts.iter().enumerate() {
            assert_eq!(interner.get(text.as_bytes()), Some(i as u32));
            assert_eq!(interner.intern(text.as_bytes()), Ok(i as u32));
            assert_eq!(interner.text(i as u32), text.as_bytes());
        }
        assert_eq!(interner.len(), 1000);
    }

    #[test]
    fn the_empty_string_is_a_string() {
        let mut interner = Interner::with_capacity(2);
        assert_eq!(interner.intern(b""), Ok(0));
        assert_eq!(interner.intern(b"a"), Ok(1));
        assert_eq!(interner.get(b""), Some(0));
        assert_eq!(interner.text(1), b"a");
    }
}
