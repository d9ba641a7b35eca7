//! One sequence of a model: prefill, step, logits, KV cache.
//!
//! A session owns its cache and threads; the model is shared. It chooses no token (see `sample`)
//! and knows no text.

use std::num::NonZeroUsize;
use std::sync::Arc;

use crate::model::{Forward, KvCache, LogitsOf, Model, RopeTable, Tap, Workspace};
use crate::threads::ThreadPool;

/// Positions computed together while a prompt is read: enough to reuse each weight, few enough to
/// keep the activations in the second-level cache.
const CHUNK: usize = 64;

/// Why a request was not computed. The session is unchanged.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// No id was given.
    #[error("no ids to compute: give at least one")]
    Empty,
    /// An id that the vocabulary does not have.
    #[error("id {id} at index {index} is not in the vocabulary of {vocab_size}")]
    UnknownId {
        /// The id.
        id: u32,
        /// Its place in the request.
        index: usize,
        /// Ids that exist are below this.
        vocab_size: usize,
    },
    /// More positions than the cache has.
    #[error(
        "{used} positions are taken and {wanted} more are asked for, but the context has {context}; \
         open the session with a larger context"
    )]
    ContextFull {
        /// Positions in use.
        used: usize,
        /// Positions asked for.
        wanted: usize,
        /// Positions that fit.
        context: usize,
    },
    /// The context asked for is empty or larger than the model was made for.
    #[error("a context of {wanted} was asked for; the model has 1 to {limit} positions")]
    Context {
        /// Positions asked for.
        wanted: usize,
        /// The model's context length.
        limit: usize,
    },
    /// The system refused a thread.
    #[error("cannot start a compute thread: {0}")]
    Threads(#[from] std::io::Error),
}

/// One sequence being computed.
pub struct Session {
    model: Arc<Model>,
    cache: KvCache,
    rope: RopeTable,
    work: Workspace,
    pool: ThreadPool,
    context: usize,
    position: usize,
    /// The last step's logits.
    step_logits: Vec<f32>,
}

impl Session {
    /// A session with an empty cache for `context` positions, computing with `threads` threads.
    ///
    /// # Errors
    /// If the model has fewer positions than `context`, or a thread cannot be started.
    pub fn new(
        model: &Arc<Model>,
        context: usize,
        threads: NonZeroUsize,
    ) -> Result<Self, SessionError> {
        let config = model.config();
        if context == 0 || context > config.context_length {
            return Err(SessionError::Context { wanted: context, limit: config.context_length });
        }
        Ok(Self {
            cache: KvCache::new(config, context),
            rope: RopeTable::new(context, config.head_length, config.rope_base),
            work: Workspace::new(model, context, CHUNK.min(context), threads.get()),
            pool: ThreadPool::new(threads)?,
            step_logits: vec![0.0; config.vocab_size],
            context,
            position: 0,
            model: Arc::clone(model),
        })
    }

    /// The model.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// Positions in the cache.
    pub fn position(&self) -> usize {
        self.position
    }

    /// Forgets all positions; the next id is at position 0.
    pub fn clear(&mut self) {
        self.position = 0;
    }

    /// Appends `ids` and returns the logits that `wanted` names, row by row: `vocab_size` values a
    /// position.
    ///
    /// # Errors
    /// If `ids` is empty, holds an unknown id or does not fit.
    pub fn prefill(&mut self, ids: &[u32], wanted: LogitsOf) -> Result<Vec<f32>, SessionError> {
        self.prefill_tapped(ids, wanted, None)
    }

    /// [`Session::prefill`] that shows every intermediate tensor to `tap`, in chunks of positions.
    ///
    /// # Errors
    /// As for [`Session::prefill`].
    pub fn prefill_tapped(
        &mut self,
        ids: &[u32],
        wanted: LogitsOf,
        mut tap: Option<&mut dyn Tap>,
    ) -> Result<Vec<f32>, SessionError> {
        self.check(ids)?;
        let vocab_size = self.model.config().vocab_size;
        let rows = match wanted {
            LogitsOf::All => ids.len(),
            LogitsOf::Last => 1,
            LogitsOf::Nothing => 0,
        };
        let mut logits = vec![0.0; rows * vocab_size];
        let mut done = 0;
        for chunk in ids.chunks(self.work.chunk) {
            let last = done + chunk.len() == ids.len();
            let (of, out) = match wanted {
                LogitsOf::All => (LogitsOf::All, &mut logits[done * vocab_size..]),
                LogitsOf::Last if last => (LogitsOf::Last, &mut logits[..]),
                _ => (LogitsOf::Nothing, &mut logits[..0]),
            };
            let tap: Option<&mut dyn Tap> = match &mut tap {
                Some(tap) => Some(&mut **tap),
                None => None,
            };
            let mut forward = Forward {
                model: &self.model,
                rope: &self.rope,
                cache: &mut self.cache,
                work: &mut self.work,
                pool: &mut self.pool,
                tap,
            };
            forward.chunk(chunk, self.position, of, out);
            self.position += chunk.len();
            done += chunk.len();
        }
        Ok(logits)
    }

    /// Appends one id and returns the logits of what follows it. Allocates nothing.
    ///
    /// # Errors
    /// If the id is unknown or the context is full.
    pub fn step(&mut self, id: u32) -> Result<&[f32], SessionError> {
        self.check(&[id])?;
        let mut forward = Forward {
            model: &self.model,
            rope: &self.rope,
            cache: &mut self.cache,
            work: &mut self.work,
            pool: &mut self.pool,
            tap: None,
        };
        forward.chunk(&[id], self.position, LogitsOf::Last, &mut self.step_logits);
        self.position += 1;
        Ok(&self.step_logits)
    }

    fn check(&self, ids: &[u32]) -> Result<(), SessionError> {
        let vocab_size = self.model.config().vocab_size;
        if ids.is_empty() {
            return Err(SessionError::Empty);
        }
        if let Some((index, &id)) =
            ids.iter().enumerate().find(|(_, id)| **id as usize >= vocab_size)
        {
            return Err(SessionError::UnknownId { id, index, vocab_size });
        }
        if ids.len() > self.context - self.position {
            let (used, wanted, context) = (self.position, ids.len(), self.context);
            return Err(SessionError::ContextFull { used, wanted, context });
        }
        Ok(())
    }
}
