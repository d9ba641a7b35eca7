//! The buffers of a forward pass, allocated once a session. They hold; they compute nothing.

use half::f16;

use super::activations::Activations;
use super::cache::KvCache;
use super::config::Config;
use super::loading::Model;
use super::scores::RoundedQueries;
use crate::kernels::Dispatch;
use crate::memory::{Aligned, OutOfMemory, aligned_zeros, zeros};

/// Buffers for chunks of up to [`Workspace::chunk`] positions; allocated once a session.
pub(crate) struct Workspace {
    pub(super) x: Aligned<f32>,
    pub(super) normed: Aligned<f32>,
    pub(super) q: Aligned<f32>,
    pub(super) k: Aligned<f32>,
    pub(super) v: Aligned<f32>,
    pub(super) attended: Aligned<f32>,
    pub(super) projected: Aligned<f32>,
    pub(super) gate: Aligned<f32>,
    pub(super) up: Aligned<f32>,
    pub(super) activations: Activations,
    /// Integer sums of each thread.
    pub(super) sums: Vec<Aligned<i32>>,
    pub(super) attention: Vec<AttentionScratch>,
    /// Scores of one token, all positions of each head.
    pub(super) scores: Aligned<f32>,
    /// The same behind the softmax.
    pub(super) weights: Aligned<f16>,
    /// The model's kernels, and how often each was used.
    pub(crate) dispatch: Dispatch,
    /// Positions of one chunk.
    pub(crate) chunk: usize,
}

/// Integer sums that a thread has room for, 64 KiB: those of 64 rows and 256 tokens.
const SUMS: usize = 64 * 256;

/// Tokens whose queries are multiplied with the keys together.
pub(super) const TILE_TOKENS: usize = 8;

/// One thread's queries, up to [`TILE_TOKENS`] of each head of a KV head, against all positions.
pub(super) struct AttentionScratch {
    pub(super) queries: Aligned<f32>,
    /// The same as the keys' type wants them.
    pub(super) rounded_queries: RoundedQueries,
    pub(super) scores: Aligned<f32>,
    pub(super) weights: Aligned<f16>,
    /// One value of a head at all positions, without what later positions of the chunk have.
    pub(super) values: Vec<f16>,
    pub(super) attended: Aligned<f32>,
}

impl Workspace {
    /// # Errors
    /// If the system has no memory for it.
    pub(crate) fn new(
        model: &Model,
        context: usize,
        chunk: usize,
        threads: usize,
    ) -> Result<Self, OutOfMemory> {
        let [x, normed, q, k, v, attended, projected, gate, up] = widths(model.config());
        let padded = KvCache::padded(context);
        let rows = |width: usize| aligned_zeros(chunk.saturating_mul(width));
        let queries = queries(model.config(), chunk);
        let (length, pairs) = (model.config().head_length, queries.saturating_mul(padded));
        let spread = spread(model.config(), padded, threads);
        let scratch = |_| {
            Ok(AttentionScratch {
                queries: aligned_zeros(queries.saturating_mul(length))?,
                rounded_queries: RoundedQueries::new(queries, length)?,
                scores: aligned_zeros(pairs)?,
                weights: aligned_zeros(pairs)?,
                values: zeros(padded)?,
                attended: aligned_zeros(queries.saturating_mul(length))?,
            })
        };
        Ok(Self {
            x: rows(x)?,
            normed: rows(normed)?,
            q: rows(q)?,
            k: rows(k)?,
            v: rows(v)?,
            attended: rows(attended)?,
            projected: rows(projected)?,
            gate: rows(gate)?,
            up: rows(up)?,
            activations: Activations::new(chunk, normed)?,
            sums: (0..threads).map(|_| aligned_zeros(SUMS)).collect::<Result<_, _>>()?,
            dispatch: Dispatch::new(model.kernels),
            attention: (0..threads).map(scratch).collect::<Result<_, _>>()?,
            scores: aligned_zeros(spread)?,
            weights: aligned_zeros(spread)?,
            chunk,
        })
    }

    /// Bytes of the buffers that [`Workspace::new`] allocates.
    pub(crate) fn bytes(config: &Config, context: usize, chunk: usize, threads: usize) -> usize {
        let widths = widths(config);
        let rows = widths.iter().fold(0usize, |sum, width| sum.saturating_add(*width));
        let rows = rows.saturating_mul(chunk).saturating_mul(size_of::<f32>());
        let (queries, padded) = (queries(config, chunk), KvCache::padded(context));
        let pairs = queries.saturating_mul(padded);
        let attention = pairs
            .saturating_mul(size_of::<f32>() + size_of::<f16>())
            .saturating_add(padded.saturating_mul(size_of::<f16>()))
            .saturating_add(queries * config.head_length * 2 * size_of::<f32>())
            .saturating_add(RoundedQueries::bytes(queries, config.head_length))
            .saturating_add(SUMS * size_of::<i32>())
            .saturating_mul(threads);
        let spread = spread(config, padded, threads);
        let spread = spread.saturating_mul(size_of::<f32>() + size_of::<f16>());
        let attention = attention.saturating_add(spread);
        rows.saturating_add(attention).saturating_add(Activations::bytes(chunk, widths[1]))
    }
}

/// Scores of one token that several threads compute; one alone needs none of them.
fn spread(config: &Config, padded: usize, threads: usize) -> usize {
    if threads == 1 { 0 } else { config.head_count.saturating_mul(padded) }
}

/// Queries that one thread computes together.
fn queries(config: &Config, chunk: usize) -> usize {
    config.head_count / config.head_count_kv * TILE_TOKENS.min(chunk)
}

/// Values of a position in each of the f32 buffers, in the order of their fields. The second is the
/// widest input of a matrix.
fn widths(config: &Config) -> [usize; 9] {
    let (width, ff) = (config.embedding_length, config.feed_forward_length);
    let (query, kv) = (config.query_length(), config.kv_length());
    [width, width.max(ff).max(query), query, kv, kv, query, width, ff, ff]
}
