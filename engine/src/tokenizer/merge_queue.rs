//! Merging neighbours best first, in O(n log n); what may be merged is the caller's rule.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// End of the chain of symbols.
const NONE: u32 = u32::MAX;

/// A stretch of the text, on its way to becoming a token.
#[derive(Debug, Clone, Copy)]
pub(super) struct Symbol {
    /// First byte in the text.
    pub(super) start: u32,
    /// Bytes in the text; 0 once it has been merged into its left neighbour.
    pub(super) len: u32,
    /// What the caller's rule calls it.
    pub(super) id: u32,
    prev: u32,
    next: u32,
}

/// The rule that says which neighbours merge.
pub(super) trait MergeRule {
    /// The priority (lower merges first) and the id of the merged symbol, if these two merge.
    fn merge(&self, left: &Symbol, right: &Symbol) -> Option<(u32, u32)>;
}

/// Two neighbours that could merge, as they were when this was queued.
///
/// Ordered by priority, then from left to right, as llama.cpp's comparators do. `len` tells a stale
/// entry: if either neighbour has grown or gone since, their lengths no longer add up to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    priority: u32,
    left: u32,
    len: u32,
    id: u32,
}

/// Working memory of one text; kept from word to word.
#[derive(Debug, Default)]
pub(super) struct MergeQueue {
    symbols: Vec<Symbol>,
    queue: BinaryHeap<Reverse<Candidate>>,
}

impl MergeQueue {
    /// Starts a new word.
    pub(super) fn clear(&mut self) {
        self.symbols.clear();
        self.queue.clear();
    }

    /// Appends a symbol of `len` bytes, at least one, that follows the last one directly.
    pub(super) fn push(&mut self, len: u32, id: u32) {
        let at = self.symbols.len() as u32;
        let start = self.symbols.last().map_or(0, |last| last.start + last.len);
        if let Some(last) = self.symbols.last_mut() {
            last.next = at;
        }
        self.symbols.push(Symbol { start, len, id, prev: at.wrapping_sub(1), next: NONE });
    }

    /// Merges until nothing merges, and gives what is left from left to right.
    pub(super) fn merge(&mut self, rule: &impl MergeRule) -> impl Iterator<Item = &Symbol> {
        let mut candidates = std::mem::take(&mut self.queue).into_vec();
        candidates.extend((0..self.symbols.len() as u32).filter_map(|i| self.candidate(i, rule)));
        self.queue = candidates.into();
        while let Some(Reverse(best)) = self.queue.pop() {
            let left = self.symbols[best.left as usize];
            if left.len == 0 || left.next == NONE {
                continue;
            }
            let right = self.symbols[left.next as usize];
            if left.len + right.len != best.len {
                continue;
            }
            self.symbols[left.next as usize].len = 0;
            if right.next != NONE {
                self.symbols[right.next as usize].prev = best.left;
            }
            self.symbols[best.left as usize] =
                Symbol { len: best.len, id: best.id, next: right.next, ..left };
            let around = [self.candidate(left.prev, rule), self.candidate(best.left, rule)];
            self.queue.extend(around.into_iter().flatten());
        }
        self.symbols.iter().filter(|symbol| symbol.len > 0)
    }

    fn candidate(&self, left: u32, rule: &impl MergeRule) -> Option<Reverse<Candidate>> {
        let symbol = self.symbols.get(left as usize)?;
        let right = self.symbols.get(symbol.next as usize)?;
        let (priority, id) = rule.merge(symbol, right)?;
        Some(Reverse(Candidate { priority, left, len: symbol.len + right.len, id }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Symbols are numbers; two merge into their sum when the list names them, in that order.
    struct Pairs(Vec<(u32, u32)>);

    impl MergeRule for Pairs {
        fn merge(&self, left: &Symbol, right: &Symbol) -> Option<(u32, u32)> {
            let rank = self.0.iter().position(|&pair| pair == (left.id, right.id))?;
            Some((rank as u32, left.id + right.id))
        }
    }

    fn merged(ids: &[u32], pairs: &[(u32, u32)]) -> Vec<u32> {
        let mut queue = MergeQueue::default();
        for &id in ids {
            queue.push(1, id);
        }
        queue.merge(&Pairs(pairs.to_vec())).map(|symbol| symbol.id).collect()
    }

    #[test]
    fn equal_priorities_go_from_left_to_right() {
        assert_eq!(merged(&[1, 1, 1], &[(1, 1)]), [2, 1]);
        assert_eq!(merged(&[1, 1, 1, 1, 1], &[(1, 1), (2, 2)]), [4, 1]);
    }

    #[test]
    fn the_better_pair_goes_first_even_if_later_in_the_text() {
        assert_eq!(merged(&[1, 2, 3], &[(2, 3), (1, 2)]), [1, 5]);
        assert_eq!(merged(&[1, 2, 3], &[(1, 2), (2, 3)]), [3, 3]);
    }

    #[test]
    fn stale_candidates_do_nothing() {
        // (10, 1) is queued for the first two; then the `1` grows to `3`, which does not merge.
        assert_eq!(merged(&[10, 1, 2], &[(1, 2), (10, 1)]), [10, 3]);
        assert_eq!(merged(&[], &[(1, 1)]), [] as [u32; 0]);
        assert_eq!(merged(&[7], &[(7, 7)]), [7]);
    }
}
