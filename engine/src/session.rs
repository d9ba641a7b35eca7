//! One sequence of a model: prefill, step, logits, KV cache.
//!
//! A session owns its cache and threads; the model is shared. It chooses no token (see `sample`)
//! and knows no text.

use std::num::NonZeroUsize;
use std::sync::Arc;

use crate::kernels::Dispatched;
use crate::memory::{OutOfMemory, zeros};
use crate::model::{
    Forward, KeyCache, KvCache, LogitsOf, MOST, Model, RopeTable, Screening, Tap, Top, Workspace,
};
use crate::threads::ThreadPool;

/// Positions computed together while a prompt is read: enough to reuse each weight once it is unpacked,
/// few enough for their buffers to stay in the caches; a multiple of the 6 tokens of a tile.
pub(crate) const CHUNK: usize = 96;

/// How a session computes, where the usual way is not wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionOptions {
    /// Positions of a prompt that are computed together at most; at least one are. No bit of a result
    /// depends on it; memory and speed do.
    pub chunk: usize,
    /// Type of the keys in the KV cache.
    pub key_cache: KeyCache,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self { chunk: CHUNK, key_cache: KeyCache::default() }
    }
}

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
    /// The model's heads are no whole blocks of the keys' type.
    #[error(
        "keys in q8_0 come in blocks of 32 values, and this model's heads have {length}; take keys in f16 \
         or f32"
    )]
    KeyBlocks {
        /// Values of a head.
        length: usize,
    },
    /// The system refused memory.
    #[error(
        "the system has no {bytes} bytes of memory for this; open the session with a smaller context, \
         or ask for the logits of fewer positions at a time"
    )]
    Memory {
        /// Bytes asked for.
        bytes: usize,
    },
    /// The system refused a thread.
    #[error("cannot start a compute thread: {0}")]
    Threads(#[from] std::io::Error),
}

impl From<OutOfMemory> for SessionError {
    fn from(error: OutOfMemory) -> Self {
        SessionError::Memory { bytes: error.bytes }
    }
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
    /// What [`Session::step_top`] needs, once it was called.
    screening: Option<Box<Screening>>,
}

impl Session {
    /// A session with an empty cache for `context` positions, computing with `threads` threads.
    ///
    /// # Errors
    /// If the model has fewer positions than `context`, or the system refuses memory or a thread.
    pub fn new(
        model: &Arc<Model>,
        context: usize,
        threads: NonZeroUsize,
    ) -> Result<Self, SessionError> {
        Self::with_options(model, context, threads, SessionOptions::default())
    }

    /// [`Session::new`] that computes as `options` say.
    ///
    /// # Errors
    /// As for [`Session::new`], or if keys of the type asked for cannot hold the model's heads.
    pub fn with_options(
        model: &Arc<Model>,
        context: usize,
        threads: NonZeroUsize,
        options: SessionOptions,
    ) -> Result<Self, SessionError> {
        let config = model.config();
        if context == 0 || context > config.context_length {
            return Err(SessionError::Context { wanted: context, limit: config.context_length });
        }
        if !options.key_cache.takes_heads_of(config.head_length) {
            return Err(SessionError::KeyBlocks { length: config.head_length });
        }
        let pool = ThreadPool::new(threads)?;
        Ok(Self {
            cache: KvCache::new(config, context, options.key_cache, model.kernels())?,
            rope: RopeTable::new(config, model.rope_factors(), context)?,
            work: {
                let chunk = options.chunk.clamp(1, context);
                Workspace::new(model, context, chunk, pool.threads())?
            },
            pool,
            step_logits: zeros(config.vocab_size)?,
            screening: None,
            context,
            position: 0,
            model: Arc::clone(model),
        })
    }

    /// The model.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// The kernels that computed all since the session was opened, and how often each was dispatched.
    pub fn dispatched(&self) -> impl Iterator<Item = Dispatched> {
        self.work.dispatch.dispatched()
    }

    /// Positions in the cache.
    pub fn position(&self) -> usize {
        self.position
    }

    /// Positions that fit.
    pub fn context(&self) -> usize {
        self.context
    }

    /// Forgets all positions; the next id is at position 0.
    pub fn clear(&mut self) {
        self.truncate(0);
    }

    /// Forgets what is at `position` and behind; the next id is at `position`. What was computed
    /// before it stays, to the bit. Does nothing where there are no more positions than that.
    pub fn truncate(&mut self, position: usize) {
        if position < self.position {
            self.cache.truncate(position);
            self.position = position;
        }
    }

    /// Appends `ids` and returns the logits that `wanted` names, row by row: `vocab_size` values a
    /// position.
    ///
    /// # Errors
    /// If `ids` is empty, holds an unknown id or does not fit, or there is no memory for the logits.
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
        let mut logits = zeros(rows.saturating_mul(vocab_size))?;
        let mut done = 0;
        for chunk in ids.chunks(self.work.chunk) {
            let last = done + chunk.len() == ids.len();
            let (of, out) = match wanted {
                LogitsOf::All => (LogitsOf::All, &mut logits[done * vocab_size..]),
                LogitsOf::Last if last => (LogitsOf::Last, &mut logits[..]),
                _ => (LogitsOf::Nothing, &mut logits[..0]),
            };
            let position = self.position;
            let tap: Option<&mut dyn Tap> = match &mut tap {
                Some(tap) => Some(&mut **tap),
                None => None,
            };
            self.forward(tap).chunk(chunk, position, of, out);
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
        let position = self.position;
        let mut logits = std::mem::take(&mut self.step_logits);
        self.forward(None).chunk(&[id], position, LogitsOf::Last, &mut logits);
        self.step_logits = logits;
        self.position += 1;
        Ok(&self.step_logits)
    }

    /// Appends one id and returns the logits of what follows it, as far as they can be among the `count`
    /// largest: those are exact, to the bit those of [`Session::step`], and among equals as well. Others
    /// may be −∞ instead. `sample::greedy` chooses the same id from the largest one alone, a sampler with
    /// a top-k, and without penalty and bans, from as many as its top-k.
    ///
    /// Where the head is of floats and the kernels allow it, less than a half of it is read. Allocates when
    /// it is first called, and then nothing.
    ///
    /// # Errors
    /// As for [`Session::step`], or if there is no memory for what is made at first.
    pub fn step_top(&mut self, id: u32, count: usize) -> Result<&[f32], SessionError> {
        self.check(&[id])?;
        self.prepare_screening(count)?;
        let mut logits = std::mem::take(&mut self.step_logits);
        self.chunk_top(&[id], count, &mut logits);
        self.step_logits = logits;
        Ok(&self.step_logits)
    }

    /// [`Session::prefill`] with the logits of the last position, as [`Session::step_top`] gives them.
    ///
    /// # Errors
    /// As for [`Session::prefill`].
    pub fn prefill_top(&mut self, ids: &[u32], count: usize) -> Result<Vec<f32>, SessionError> {
        self.check(ids)?;
        self.prepare_screening(count)?;
        let mut logits = zeros(self.model.config().vocab_size)?;
        let chunk = self.work.chunk;
        let (before, last) = ids.split_at((ids.len() - 1) / chunk * chunk);
        if !before.is_empty() {
            self.prefill(before, LogitsOf::Nothing)?;
        }
        self.chunk_top(last, count, &mut logits);
        Ok(logits)
    }

    /// Makes what [`Session::chunk_top`] needs, where the model has a screen for so many.
    fn prepare_screening(&mut self, count: usize) -> Result<(), SessionError> {
        let screens = (1..=MOST).contains(&count) && self.model.head_screen().is_some();
        if screens && self.screening.is_none() {
            let config = self.model.config();
            let screening = Screening::new(config.vocab_size, config.embedding_length)?;
            self.screening = Some(Box::new(screening));
        }
        Ok(())
    }

    /// Appends at most a chunk of ids, which were checked; the largest logits of the last one.
    fn chunk_top(&mut self, ids: &[u32], count: usize, logits: &mut [f32]) {
        let model = Arc::clone(&self.model);
        let mut screening = self.screening.take_if(|_| (1..=MOST).contains(&count));
        let position = self.position;
        let mut forward = self.forward(None);
        forward.top = match (model.head_screen(), &mut screening) {
            (Some(screen), Some(work)) => Some(Top { count, screen, work }),
            _ => None,
        };
        forward.chunk(ids, position, LogitsOf::Last, logits);
        self.screening = screening.or(self.screening.take());
        self.position += ids.len();
    }

    fn forward<'a>(&'a mut self, tap: Option<&'a mut dyn Tap>) -> Forward<'a> {
        Forward {
            model: &self.model,
            rope: &mut self.rope,
            cache: &mut self.cache,
            work: &mut self.work,
            pool: &mut self.pool,
            tap,
            top: None,
        }
    }

    /// Whether `ids` can be computed next, apart from memory.
    ///
    /// # Errors
    /// If `ids` is empty, holds an unknown id or does not fit.
    pub fn check(&self, ids: &[u32]) -> Result<(), SessionError> {
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

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::gguf::Directory;
    use crate::synth::{Preset, SynthSpec, WeightType, write_model};

    const SPEC: SynthSpec = SynthSpec {
        architecture: "bitnet-b1.58",
        preset: Preset::Tiny,
        weights: WeightType::F32,
        embedding: WeightType::F32,
        tied: true,
        seed: 7,
    };

    /// A model of 32-bit floats, changed by `change` as bytes.
    fn model(change: impl FnOnce(&mut [u8])) -> Arc<Model> {
        let mut bytes = Vec::new();
        write_model(&SPEC, &mut bytes, |_, _| {}).expect("memory takes all bytes");
        change(&mut bytes);
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.write_all(&bytes).expect("room for a small file");
        Arc::new(Model::open(file.path()).expect("a whole model"))
    }

    /// Bits, with all NaNs taken as one: which NaN comes of two is the processor's affair.
    fn bits(logits: &[f32]) -> Vec<u32> {
        logits.iter().map(|l| if l.is_nan() { u32::MAX } else { l.to_bits() }).collect()
    }

    #[test]
    fn values_beyond_f16_spoil_no_position_before_them() {
        // Deviations of V are then about 17,000: beyond 65,504 in a few of the positions.
        let model = model(|bytes| {
            let directory = Directory::parse(bytes).expect("a good file");
            let range = directory.tensor("blk.0.attn_v.weight").expect("is there").range();
            for weight in bytes[range].as_chunks_mut::<4>().0 {
                *weight = (f32::from_le_bytes(*weight) * 17_000.0).to_le_bytes();
            }
        });
        let vocab_size = model.config().vocab_size;
        let ids: Vec<u32> = (0..75).map(|i| (i * 197 + 31) % vocab_size as u32).collect();
        let open = || Session::new(&model, 96, NonZeroUsize::MIN).expect("a session");
        let mut steps = open();
        let rows: Vec<Vec<u32>> =
            ids.iter().map(|id| bits(steps.step(*id).expect("a step"))).collect();
        let spoilt = rows.iter().position(|row| row.contains(&u32::MAX)).expect("one overflows");
        assert!(spoilt % 32 != 0, "position {spoilt} shares its group with good ones");
        let mut session = open();
        for round in 0..2 {
            let all = session.prefill(&ids, LogitsOf::All).expect("room");
            for (position, (row, truth)) in all.chunks(vocab_size).zip(&rows).enumerate() {
                assert!(bits(row) == *truth, "round {round}, position {position} of {spoilt} good");
            }
            session.clear();
        }
    }

    #[test]
    fn a_context_without_memory_is_refused() {
        // A file may claim many positions; opening a few of them costs a few.
        let context = 1u32 << 24;
        let model = model(|bytes| {
            let directory = Directory::parse(bytes).expect("a good file");
            let offset = directory.metadata().offset("bitnet-b1.58.context_length");
            let offset = offset.expect("is there") as usize;
            bytes[offset..offset + 4].copy_from_slice(&context.to_le_bytes());
        });
        assert_eq!(model.config().context_length, context as usize);
        let mut session = Session::new(&model, 40, NonZeroUsize::MIN).expect("a small session");
        assert_eq!(session.step(3).expect("a step").len(), model.config().vocab_size);
        let error = SessionError::from(OutOfMemory { bytes: 1 << 50 }).to_string();
        assert_eq!(
            error,
            "the system has no 1125899906842624 bytes of memory for this; open the session with a \
             smaller context, or ask for the logits of fewer positions at a time"
        );
    }
}
