//! What a model needs to be computed, worked out from its file without loading it: memory, and the bytes
//! that a token reads. It measures nothing and predicts no time.

use std::num::NonZeroUsize;

use crate::gguf::{GgufFile, TensorInfo};
use crate::kernels::Kernels;
use crate::model::{
    Config, KeyCache, KvCache, LoadOptions, RopeTable, Workspace, arranged_bytes, screen_bytes,
};
use crate::session::CHUNK;

/// Needs of a model and one session. All figures are bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs {
    /// Tensors, in the mapped file. Where a matrix is arranged anew, its part is read once and need not
    /// stay.
    pub mapped: u64,
    /// Matrices that are kept in memory as the kernels want them.
    pub arranged: u64,
    /// Keys and values of all positions of the context.
    pub cache: u64,
    /// Buffers of the session, with its table of angles and one row of logits.
    pub workspace: u64,
    /// Weights that one token reads when it is computed alone.
    pub read_by_token: u64,
    /// The head in 6 bits that [`Session::step_top`](crate::session::Session::step_top) makes; 0 where it
    /// makes none.
    pub screen: u64,
    /// Weights that such a step reads, besides a few rows of the head.
    pub read_by_step_top: u64,
    /// Keys and values that it reads for each position, its own and those before it. The cache is read
    /// in steps of 32 positions.
    pub read_by_position: u64,
}

impl Needs {
    /// Needs of the model in `file`, as `config` describes it, with a session of `context` positions, so
    /// many threads and keys of this type.
    ///
    /// That the file has all tensors of its architecture is not checked; loading does.
    pub fn of(
        file: &GgufFile,
        config: &Config,
        kernels: &Kernels,
        options: &LoadOptions,
        context: usize,
        threads: NonZeroUsize,
        key_cache: KeyCache,
    ) -> Self {
        let arranged = |tensor: &TensorInfo| arranged_bytes(tensor, options.i2_s, kernels);
        let chunk = CHUNK.min(context);
        let workspace = Workspace::bytes(config, context, chunk, threads.get())
            .saturating_add(RopeTable::bytes(config, context))
            .saturating_add(config.vocab_size.saturating_mul(size_of::<f32>()));
        let tied = file.tensor("output.weight").is_none();
        let read = |tensor: &TensorInfo| match &*tensor.name {
            // One row; where it is the head as well, all of them.
            "token_embd.weight" if !tied => tensor.size / config.vocab_size,
            _ => arranged(tensor).unwrap_or(tensor.size),
        };
        let tensors = file.tensors();
        let head = file.tensor(if tied { "token_embd.weight" } else { "output.weight" });
        let screen = head.map_or(0, |tensor| screen_bytes(tensor, kernels) as u64);
        let read_by_head = head.filter(|_| screen > 0).map_or(0, |tensor| tensor.size as u64);
        let sum = |bytes: &dyn Fn(&TensorInfo) -> usize| {
            tensors.iter().map(|tensor| bytes(tensor) as u64).sum::<u64>()
        };
        let read_by_token = sum(&read);
        Self {
            mapped: sum(&|tensor| tensor.size),
            arranged: sum(&|tensor| arranged(tensor).unwrap_or(0)),
            cache: KvCache::bytes(config, context, key_cache) as u64,
            workspace: workspace as u64,
            read_by_token,
            screen,
            read_by_step_top: read_by_token - read_by_head + screen,
            read_by_position: KvCache::bytes(config, 1, key_cache) as u64
                / KvCache::padded(1) as u64,
        }
    }

    /// All memory, mapped or not.
    pub fn memory(&self) -> u64 {
        // A number of threads that nobody has makes a workspace that no sum holds.
        [self.arranged, self.cache, self.workspace]
            .into_iter()
            .fold(self.mapped, u64::saturating_add)
    }

    /// Bytes that the token at `position` reads.
    pub fn read_at(&self, position: usize) -> u64 {
        self.read_by_token + self.read_by_position * (position as u64 + 1)
    }
}
