//! The buffers of a forward pass, allocated once a session. They hold; they compute nothing.

use half::f16;

use super::cache::KvCache;
use super::linear::Activations;
use super::loading::Model;
use crate::kernels::Dispatch;
use crate::memory::{OutOfMemory, zeros};

/// Buffers for chunks of up to [`Workspace::chunk`] positions; allocated once a session.
pub(crate) struct Workspace {
    pub(super) x: Vec<f32>,
    pub(super) normed: Vec<f32>,
    pub(super) q: Vec<f32>,
    pub(super) k: Vec<f32>,
    pub(super) v: Vec<f32>,
    pub(super) attended: Vec<f32>,
    pub(super) projected: Vec<f32>,
    pub(super) gate: Vec<f32>,
    pub(super) up: Vec<f32>,
    pub(super) activations: Activations,
    pub(super) attention: Vec<AttentionScratch>,
    /// The model's kernels, and how often each was used.
    pub(crate) dispatch: Dispatch,
    /// Positions of one chunk.
    pub(crate) chunk: usize,
}

/// One thread's scores of one query against all positions.
pub(super) struct AttentionScratch {
    pub(super) scores: Vec<f32>,
    pub(super) weights: Vec<f16>,
    /// One value of a head at all positions, without what later positions of the chunk have.
    pub(super) seen: Vec<f16>,
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
        let config = model.config();
        let (width, ff) = (config.embedding_length, config.feed_forward_length);
        let (query, kv) = (config.query_length(), config.kv_length());
        let widest = width.max(ff).max(query);
        let padded = KvCache::padded(context);
        let rows = |width: usize| zeros(chunk.saturating_mul(width));
        let scratch = |_| {
            let (scores, weights, seen) = (zeros(padded)?, zeros(padded)?, zeros(padded)?);
            Ok(AttentionScratch { scores, weights, seen })
        };
        Ok(Self {
            x: rows(width)?,
            normed: rows(widest)?,
            q: rows(query)?,
            k: rows(kv)?,
            v: rows(kv)?,
            attended: rows(query)?,
            projected: rows(width)?,
            gate: rows(ff)?,
            up: rows(ff)?,
            activations: Activations::new(chunk, widest)?,
            dispatch: Dispatch::new(model.kernels),
            attention: (0..threads).map(scratch).collect::<Result<_, _>>()?,
            chunk,
        })
    }
}
