//! Attention of a chunk's queries over the KV cache: scores, softmax, weighted values. It projects, turns and stores
//! nothing.

use std::ops::Range;

use half::f16;

use super::cache::KvCache;
use super::forward::Forward;
use super::scores::ScoreKernels;
use super::workspace::TILE_TOKENS;
use crate::threads::{Chunks, Tiles};

/// Positions from which on one token's attention is spread over the threads in three steps: before, what they
/// wait for each other is more than what is read twice.
const SPREAD: usize = 256;
/// Parts that a KV head's keys are cut into at least, and all keys for each thread.
const KEY_PARTS: usize = 8;
/// Values of a head, at all positions, in a part.
const VALUES_A_PART: usize = 16;

impl Forward<'_> {
    /// Causal attention of every query head over its KV head's positions, for `tokens` of the chunk that begins at
    /// position `first`; `finite` says whether all values of the chunk are.
    pub(super) fn attend(
        &mut self,
        layer: usize,
        tokens: Range<usize>,
        first: usize,
        finite: bool,
    ) {
        let position = first + tokens.start;
        if tokens.len() == 1 && self.pool.threads() > 1 && position >= SPREAD {
            self.attend_spread(layer, tokens.start, position);
        } else {
            self.attend_together(layer, tokens, first, finite);
        }
    }

    /// One token's attention: first all scores, by KV heads and positions; then the softmax of each head; then
    /// the weighted values, by KV heads and values. No key and no value is read twice, and a thread that is late
    /// leaves its parts to others.
    fn attend_spread(&mut self, layer: usize, token: usize, position: usize) {
        let config = self.model.config();
        let cache = &*self.cache;
        let (heads, length) = (config.head_count, config.head_length);
        let group = heads / config.head_count_kv;
        let scale = 1.0 / (length as f32).sqrt();
        let padded = KvCache::padded(position + 1);
        let work = &mut *self.work;
        let (scratch, dispatch) = (&mut work.attention, &mut work.dispatch);
        let keys = ScoreKernels::of(cache.key_cache(), dispatch);
        let (softmax, narrow, dots_f16) =
            (dispatch.softmax(), dispatch.narrow_to_f16(), dispatch.dots_f16());

        let queries = &work.q[token * heads * length..][..heads * length];
        let scores = &mut work.scores[..heads * padded];
        let parts = KEY_PARTS.max((KEY_PARTS * self.pool.threads()).div_ceil(config.head_count_kv));
        let tiles = Tiles::new(scores, padded, (group, KvCache::padded(padded.div_ceil(parts))));
        self.pool.for_each_with(scratch, tiles, |scratch, _, (head, mut share)| {
            let columns = share.columns();
            let (x, count) = (&queries[head * length..][..group * length], columns.len());
            let out = &mut scratch.scores[..group * count];
            let stored = cache.keys(layer, head / group, columns);
            keys.multiply(stored, length, x, &mut scratch.rounded_queries, out);
            for (i, out) in out.chunks_exact(count).enumerate() {
                share.row(i).copy_from_slice(out);
            }
        });

        let weights = &mut work.weights[..heads * padded];
        let parts = (Chunks::new(scores, padded), Chunks::new(weights, padded));
        self.pool.for_each(parts, |_, _, (scores, weights)| {
            scores[position + 1..].fill(f32::NEG_INFINITY);
            softmax(scores, scale);
            narrow(scores, weights);
        });

        let out = &mut work.attended[..heads * length];
        let tiles = Tiles::new(out, length, (group, VALUES_A_PART));
        self.pool.for_each_with(scratch, tiles, |scratch, _, (head, mut share)| {
            let columns = share.columns();
            let (rows, stride) = cache.value_rows(layer, head / group);
            let rows = &rows[columns.start * stride..columns.end * stride];
            let out = &mut scratch.attended[..group * columns.len()];
            dots_f16(rows, stride, padded, &weights[head * padded..][..group * padded], out);
            for (i, out) in out.chunks_exact(columns.len()).enumerate() {
                share.row(i).copy_from_slice(out);
            }
        });
    }

    /// Causal attention of every query head over its KV head's positions, for `tokens` of the chunk
    /// that begins at position `first`. The heads that share a KV head, of some tokens, are computed
    /// together: each key and value is read once for all of them.
    ///
    /// Rows of scores reach behind a token's own position, where the weights are 0 and the values those of
    /// later tokens of the chunk. A finite value times 0 adds nothing; if one is not (`finite` is false),
    /// the later ones are hidden, so that a prompt in chunks gives the bits of one id after the other.
    fn attend_together(&mut self, layer: usize, tokens: Range<usize>, first: usize, finite: bool) {
        let config = self.model.config();
        let cache = &*self.cache;
        let (heads, length) = (config.head_count, config.head_length);
        let group = heads / config.head_count_kv;
        let scale = 1.0 / (length as f32).sqrt();
        let work = &mut *self.work;
        let (q, scratch, dispatch) = (&work.q, &mut work.attention, &mut work.dispatch);
        let keys = ScoreKernels::of(cache.key_cache(), dispatch);
        let (softmax, narrow, dots_f16) =
            (dispatch.softmax(), dispatch.narrow_to_f16(), dispatch.dots_f16());
        let out = &mut work.attended[..tokens.len() * heads * length];
        // A prompt is cut by tokens and KV heads. One token's heads are dealt out in a row, so that hardly
        // any keys and values are read by two threads.
        let wide = if tokens.len() == 1 { heads.div_ceil(self.pool.threads()) } else { group };
        let tile = (TILE_TOKENS, wide * length);
        let tiles = Tiles::new(out, heads * length, tile);
        self.pool.for_each_with(scratch, tiles, |scratch, _, (row, mut share)| {
            let (count, token) = (share.row_count(), tokens.start + row);
            let padded = KvCache::padded(first + token + count);
            let range = share.columns().start / length..share.columns().end / length;
            let mut head = range.start;
            while head < range.end {
                let kv_head = head / group;
                let together = range.end.min((kv_head + 1) * group) - head;
                let (queries, values) = (count * together, &mut scratch.values[..padded]);
                let rows = scratch.queries.chunks_exact_mut(together * length);
                for (t, x) in rows.take(count).enumerate() {
                    let from = ((token + t) * heads + head) * length;
                    x.copy_from_slice(&q[from..][..together * length]);
                }
                let x = &scratch.queries[..queries * length];
                let scores = &mut scratch.scores[..queries * padded];
                let weights = &mut scratch.weights[..queries * padded];
                let attended = &mut scratch.attended[..queries * length];
                let (stored, rounded) =
                    (cache.keys(layer, kv_head, 0..padded), &mut scratch.rounded_queries);
                keys.multiply(stored, length, x, rounded, scores);
                for (i, scores) in scores.chunks_exact_mut(padded).enumerate() {
                    let positions = first + token + i / together + 1;
                    let (seen, unseen) = scores.split_at_mut(KvCache::padded(positions));
                    seen[positions..].fill(f32::NEG_INFINITY);
                    softmax(seen, scale);
                    unseen.fill(0.0);
                }
                // The reference multiplies f16 values with f16 weights.
                narrow(scores, weights);
                let (rows, stride) = cache.value_rows(layer, kv_head);
                if finite {
                    dots_f16(rows, stride, padded, weights, attended);
                } else {
                    for (i, o) in attended.iter_mut().enumerate() {
                        let (query, row) = (i / length, i % length);
                        let positions = first + token + query / together + 1;
                        values.fill(f16::ZERO);
                        values[..positions].copy_from_slice(&rows[row * stride..][..positions]);
                        let weights = &weights[query * padded..][..padded];
                        dots_f16(values, padded, padded, weights, std::slice::from_mut(o));
                    }
                }
                for (t, attended) in attended.chunks_exact(together * length).enumerate() {
                    let place = (head - range.start) * length;
                    share.row(t)[place..][..together * length].copy_from_slice(attended);
                }
                head += together;
            }
        });
    }
}
