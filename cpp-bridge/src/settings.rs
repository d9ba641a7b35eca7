//! How a reference is asked to compute. The default is the reproducible way.

use crate::ffi::bridge::{RawCacheType, RawSettings};
use crate::stack::STACK_BYTES;

/// Type of the values in one half of the KV cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CacheType {
    /// 32-bit floats: what was computed is what is read back.
    F32,
    /// 16-bit floats, rounded to nearest even when stored.
    F16,
    /// Blocks of 32 values as 8-bit codes with one scale. For keys only, whose heads must be whole blocks:
    /// the references take values of this type with flash attention alone.
    Q8_0,
}

/// Settings of a [`Reference`](crate::Reference).
///
/// Not adjustable, because a comparison rests on it: causal attention on, flash attention off (it
/// rounds K and V to F16), nothing on a GPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Positions that the KV cache holds, at least 1. More ids are refused.
    pub context: u32,
    /// Compute threads, 1 to 512. The result does not depend on it.
    pub threads: u32,
    /// Positions computed in one graph, at least 1; longer inputs are split. [`capture`] takes no
    /// more ids than this. bitnet.cpp keeps `rows / threads × micro_batch` floats on the stack of
    /// each thread; a model is refused with the largest value that fits if this is above it.
    ///
    /// [`capture`]: crate::Reference::capture
    pub micro_batch: u32,
    /// Type of the cached keys.
    pub key_cache: CacheType,
    /// Type of the cached values. bitnet.cpp works with F16 only.
    pub value_cache: CacheType,
    /// Rearrange weights when they are loaded, where the reference has a faster layout for this
    /// processor. It changes the order of sums, and so last bits. bitnet.cpp has no such layout.
    pub repacked_weights: bool,
    /// Keep the compute threads from call to call. They spin between the operations and steps of a
    /// call and are parked behind it; without this each graph makes threads of its own.
    pub kept_threads: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            context: 2048,
            threads: 1,
            micro_batch: 256,
            key_cache: CacheType::F32,
            value_cache: CacheType::F16,
            repacked_weights: false,
            kept_threads: false,
        }
    }
}

impl Settings {
    /// The fast way: what the references' own benchmark programs use by default, with threads that
    /// stay and weights that are repacked.
    #[must_use]
    pub fn fastest(context: u32, threads: u32) -> Self {
        Self {
            context,
            threads,
            micro_batch: 512,
            key_cache: CacheType::F16,
            value_cache: CacheType::F16,
            repacked_weights: true,
            kept_threads: true,
        }
    }

    pub(crate) fn to_raw(&self) -> RawSettings {
        let cache = |kind| match kind {
            CacheType::F32 => RawCacheType::F32,
            CacheType::F16 => RawCacheType::F16,
            CacheType::Q8_0 => RawCacheType::Q8_0,
        };
        RawSettings {
            context: self.context,
            threads: self.threads,
            micro_batch: self.micro_batch,
            caller_stack: STACK_BYTES,
            key_cache: cache(self.key_cache),
            value_cache: cache(self.value_cache),
            repacked_weights: self.repacked_weights,
            kept_threads: self.kept_threads,
        }
    }
}
