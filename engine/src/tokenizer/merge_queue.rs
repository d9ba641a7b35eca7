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

/// A symbol that could merge with its right neighbour when this was queued: its priority above its
/// index, so that the order is by priority, then from left to right, as in llama.cpp's comparators.
///
/// What has happened since is not kept: the pair is looked up again when its turn comes. If it has
/// another priority by then, it has another entry; if it has this one, its turn is now. Entries of
/// eight bytes are moved more cheaply than entries with all of the pair.
type Candidate = Reverse<u64>;

/// Working memory of one text; kept from word to word.
#[derive(Debug, Default)]
pub(super) struct MergeQueue {
    symbols: Vec<Symbol>,
    queue: BinaryHeap<Candidate>,
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
            let (priority, index) = ((best >> 32) as u32, best as u32);
            let left = self.symbols[index as usize];
            // A symbol that was merged into its left neighbour leads no pair.
            let pair = if left.len == 0 { None } else { self.pair(index, rule) };
            let Some((_, id)) = pair.filter(|&(now, _)| now == priority) else { continue };
            let right = self.symbols[left.next as usize];
            self.symbols[left.next as usize].len = 0;
            if right.next != NONE {
                self.symbols[right.next as usize].prev = index;
            }
            self.symbols[index as usize] =
                Symbol { len: left.len + right.len, id, next: right.next, ..left };
            let around = [self.candidate(left.prev, rule), self.candidate(index, rule)];
            self.queue.extend(around.into_iter().flatten());
        }
        self.symbols.iter().filter(|symbol| symbol.len > 0)
    }

    /// What the rule says of a symbol and its right neighbour.
    fn pair(&self, left: u32, rule: &impl MergeRule) -> Option<(u32, u32)> {
        let symbol = self.symbols.get(left as usize)?;
        rule.merge(symbol, self.symbols.get(symbol.next as usize)?)
    }

    fn candidate(&self, left: u32, rule: &impl MergeRule) -> Option<Candidate> {
        let (priority, _) = self.pair(left, rule)?;
        Some(Reverse(u64::from(priority) << 32 | u64::from(left)))
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

    #[test]
    fn the_queue_does_what_a_search_through_everything_would() {
        let pairs = [(1, 1), (2, 1), (3, 3), (1, 2), (2, 2), (4, 1), (6, 4), (2, 6), (1, 3)];
        for number in 0..3_u32.pow(9) {
            let mut ids: Vec<u32> = (0..9).map(|place| number / 3_u32.pow(place) % 3 + 1).collect();
            let queued = merged(&ids, &pairs);
            let rank = |at: usize, ids: &[u32]| {
                pairs.iter().position(|&pair| pair == (ids[at], ids[at + 1]))
            };
            while let Some((_, at)) =
                (0..ids.len() - 1).filter_map(|at| Some((rank(at, &ids)?, at))).min()
            {
                ids[at] += ids.remove(at + 1);
            }
            assert_eq!(queued, ids, "{number}");
        }
    }
}
