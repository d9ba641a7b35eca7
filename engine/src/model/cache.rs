//! The KV cache: keys as rows, values as f16 columns, for one sequence.
//!
//! Layout is the reference's, whose bits the engine reproduces: K as it comes, rounded to f16 or in blocks
//! of Q8_0 (`[layer][kv head][position][value]`), V rounded to f16 and transposed
//! (`[layer][kv head][value][position]`), so that both dot products of attention run over
//! contiguous memory. It stores and rounds; it multiplies nothing.

use std::fmt;
use std::ops::Range;

use half::f16;
use half::slice::HalfFloatSliceExt;

use super::config::Config;
use crate::kernels::{Kernels, prefetch};
use crate::memory::{Aligned, OutOfMemory, aligned_zeros, zeros};
use crate::quant::activation::{Q8_0_BLOCK, Q80Block};
use crate::threads::{Chunks, ColumnShare, Parts};

/// Positions are allocated in steps of this, the lanes of a dot product.
const STEP: usize = 32;

/// Type of the keys in a KV cache. The values are always f16: the references take values of 8 bits with
/// flash attention alone, which rounds otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeyCache {
    /// 32-bit floats: what was computed is what is read back. What a comparison rests on.
    #[default]
    F32,
    /// 16-bit floats, rounded to nearest even when stored; queries are rounded too when they meet them,
    /// as llama.cpp does by default. Half the bytes.
    F16,
    /// Blocks of 32 values as 8-bit codes with one scale, which heads must divide into; queries become such
    /// blocks when they meet them, as in bitnet.cpp. 36 bytes a block here.
    Q8_0,
}

impl KeyCache {
    /// Bytes of so many values.
    fn bytes(self, values: usize) -> usize {
        match self {
            Self::F32 => values.saturating_mul(size_of::<f32>()),
            Self::F16 => values.saturating_mul(size_of::<f16>()),
            Self::Q8_0 => (values / Q8_0_BLOCK).saturating_mul(size_of::<Q80Block>()),
        }
    }

    /// Whether heads of `length` values can be stored so.
    pub(crate) fn takes_heads_of(self, length: usize) -> bool {
        self != Self::Q8_0 || length.is_multiple_of(Q8_0_BLOCK)
    }
}

impl fmt::Display for KeyCache {
    /// ggml's name of the type.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Q8_0 => "Q8_0",
        })
    }
}

/// Keys of some positions of a head, one row of its length each.
#[derive(Debug, Clone, Copy)]
pub(super) enum Keys<'a> {
    F32(&'a [f32]),
    F16(&'a [f16]),
    Q8_0(&'a [Q80Block]),
}

#[derive(Debug)]
enum StoredKeys {
    F32(Aligned<f32>),
    F16(Aligned<f16>),
    Q8_0 { blocks: Vec<Q80Block>, quantize: fn(&[f32], &mut [Q80Block]) },
}

/// A layer's keys and values; a part is those of one KV head.
pub(super) struct LayerRoom<'a> {
    keys: KeyRoom<Chunks<'a, f32>, Chunks<'a, f16>, Chunks<'a, Q80Block>>,
    values: Chunks<'a, f16>,
    head_length: usize,
    capacity: usize,
}

/// Keys of one of the types.
enum KeyRoom<F32, F16, Blocks> {
    F32(F32),
    F16(F16),
    Q8_0(Blocks, fn(&[f32], &mut [Q80Block])),
}

impl<'a> Parts for LayerRoom<'a> {
    type Part = HeadRoom<'a>;

    fn count(&self) -> usize {
        self.values.count()
    }

    unsafe fn part(&self, index: usize) -> HeadRoom<'a> {
        // SAFETY: both have one part a head, and what is asked of these is asked of those.
        unsafe {
            HeadRoom {
                keys: match &self.keys {
                    KeyRoom::F32(keys) => KeyRoom::F32(keys.part(index)),
                    KeyRoom::F16(keys) => KeyRoom::F16(keys.part(index)),
                    KeyRoom::Q8_0(blocks, quantize) => KeyRoom::Q8_0(blocks.part(index), *quantize),
                },
                values: self.values.part(index),
                head_length: self.head_length,
                capacity: self.capacity,
            }
        }
    }
}

/// The keys and values of one KV head in one layer.
pub(super) struct HeadRoom<'a> {
    keys: KeyRoom<&'a mut [f32], &'a mut [f16], &'a mut [Q80Block]>,
    values: &'a mut [f16],
    head_length: usize,
    capacity: usize,
}

impl HeadRoom<'_> {
    /// Asks for the lines that the values of a position go to, one in each row.
    pub(super) fn expect_values(&self, position: usize) {
        for row in self.values.chunks_exact(self.capacity) {
            prefetch(row[position..].as_ptr().cast());
        }
    }

    /// Stores the key of a position.
    pub(super) fn store_key(&mut self, position: usize, key: &[f32]) {
        let (row, length) = (position * self.head_length, self.head_length);
        match &mut self.keys {
            KeyRoom::F32(keys) => keys[row..][..length].copy_from_slice(key),
            KeyRoom::F16(keys) => keys[row..][..length].convert_from_f32_slice(key),
            KeyRoom::Q8_0(blocks, quantize) => {
                quantize(key, &mut blocks[row / Q8_0_BLOCK..][..length / Q8_0_BLOCK]);
            }
        }
    }

    /// Stores the values of the rows of `values`, a position each, from `first` on. Positions come in order; the
    /// first of a step clears what an earlier sequence left in the values of the step, because attention
    /// multiplies them by 0 and that must give 0. Says whether every value is still a finite number in f16.
    pub(super) fn store_values(&mut self, first: usize, values: &mut ColumnShare<'_, f32>) -> bool {
        let (mut finite, end) = (true, first + values.row_count());
        let mut position = first;
        while position < end {
            // What lies in one step is one cache line of each row.
            let step = position / STEP * STEP;
            let stop = end.min(step + STEP);
            let mut columns = [[0f32; STEP]; VALUES_TOGETHER];
            for part in (0..self.head_length).step_by(VALUES_TOGETHER) {
                let count = VALUES_TOGETHER.min(self.head_length - part);
                for p in position..stop {
                    let row = &values.row(p - first)[part..part + count];
                    for (column, value) in columns.iter_mut().zip(row) {
                        column[p - step] = *value;
                    }
                }
                for (i, column) in columns[..count].iter().enumerate() {
                    let row = &mut self.values[(part + i) * self.capacity + step..][..STEP];
                    if position == step {
                        row.fill(f16::ZERO);
                    }
                    let column = &column[position - step..stop - step];
                    let stored = &mut row[position - step..stop - step];
                    match (&mut *stored, column) {
                        ([stored], [value]) => *stored = f16::from_f32(*value),
                        _ => stored.convert_from_f32_slice(column),
                    }
                    finite &= stored.iter().all(|value| value.is_finite());
                }
            }
            position = stop;
        }
        finite
    }
}

/// Values of a head whose positions are turned into rows together: a cache line of each position.
const VALUES_TOGETHER: usize = 16;

/// Keys and values of the positions seen so far.
#[derive(Debug)]
pub(crate) struct KvCache {
    keys: StoredKeys,
    values: Aligned<f16>,
    head_length: usize,
    kv_heads: usize,
    /// Positions that fit, a multiple of [`STEP`].
    capacity: usize,
}

impl KvCache {
    /// An empty cache for `context` positions of a model that `kernels` compute.
    ///
    /// # Errors
    /// If the system has no memory for it.
    ///
    /// # Panics
    /// If the keys' type does not take the model's heads.
    pub(crate) fn new(
        config: &Config,
        context: usize,
        key_cache: KeyCache,
        kernels: &Kernels,
    ) -> Result<Self, OutOfMemory> {
        assert!(key_cache.takes_heads_of(config.head_length), "whole blocks of keys");
        let (size, capacity) = (Self::size(config, context), Self::padded(context));
        Ok(Self {
            keys: match key_cache {
                KeyCache::F32 => StoredKeys::F32(aligned_zeros(size)?),
                KeyCache::F16 => StoredKeys::F16(aligned_zeros(size)?),
                KeyCache::Q8_0 => StoredKeys::Q8_0 {
                    blocks: zeros(size / Q8_0_BLOCK)?,
                    quantize: kernels.quantize_q8_0,
                },
            },
            values: aligned_zeros(size)?,
            head_length: config.head_length,
            kv_heads: config.head_count_kv,
            capacity,
        })
    }

    /// Keys for `context` positions; there are as many values.
    fn size(config: &Config, context: usize) -> usize {
        let rows = config.block_count.saturating_mul(config.kv_length());
        rows.saturating_mul(Self::padded(context))
    }

    /// Bytes of a cache for `context` positions.
    pub(crate) fn bytes(config: &Config, context: usize, key_cache: KeyCache) -> usize {
        let size = Self::size(config, context);
        key_cache.bytes(size).saturating_add(size.saturating_mul(size_of::<f16>()))
    }

    /// Type of the keys.
    pub(super) fn key_cache(&self) -> KeyCache {
        match self.keys {
            StoredKeys::F32(_) => KeyCache::F32,
            StoredKeys::F16(_) => KeyCache::F16,
            StoredKeys::Q8_0 { .. } => KeyCache::Q8_0,
        }
    }

    fn head_start(&self, layer: usize, kv_head: usize) -> usize {
        (layer * self.kv_heads + kv_head) * self.capacity * self.head_length
    }

    /// A layer's room, cut by KV heads, to store keys and values in.
    pub(super) fn heads(&mut self, layer: usize) -> LayerRoom<'_> {
        let (head, start) = (self.capacity * self.head_length, self.head_start(layer, 0));
        let range = start..start + self.kv_heads * head;
        LayerRoom {
            keys: match &mut self.keys {
                StoredKeys::F32(keys) => KeyRoom::F32(Chunks::new(&mut keys[range.clone()], head)),
                StoredKeys::F16(keys) => KeyRoom::F16(Chunks::new(&mut keys[range.clone()], head)),
                StoredKeys::Q8_0 { blocks, quantize } => {
                    let range = range.start / Q8_0_BLOCK..range.end / Q8_0_BLOCK;
                    KeyRoom::Q8_0(Chunks::new(&mut blocks[range], head / Q8_0_BLOCK), *quantize)
                }
            },
            values: Chunks::new(&mut self.values[range], head),
            head_length: self.head_length,
            capacity: self.capacity,
        }
    }

    /// Forgets the values at `position` and behind in its step: attention multiplies them by 0, and
    /// [`HeadRoom::store_values`] clears none before the next step begins. Of other steps and of keys nothing
    /// is read before it is stored again.
    pub(crate) fn truncate(&mut self, position: usize) {
        let end = Self::padded(position);
        for row in self.values.chunks_exact_mut(self.capacity) {
            row[position..end].fill(f16::ZERO);
        }
    }

    /// Keys of some positions, one row of a head's length each. Behind the last stored one, up to the
    /// allocation's step, they mean nothing.
    pub(super) fn keys(&self, layer: usize, kv_head: usize, positions: Range<usize>) -> Keys<'_> {
        let start = self.head_start(layer, kv_head) + positions.start * self.head_length;
        let size = positions.len() * self.head_length;
        match &self.keys {
            StoredKeys::F32(keys) => Keys::F32(&keys[start..][..size]),
            StoredKeys::F16(keys) => Keys::F16(&keys[start..][..size]),
            StoredKeys::Q8_0 { blocks, .. } => {
                Keys::Q8_0(&blocks[start / Q8_0_BLOCK..][..size / Q8_0_BLOCK])
            }
        }
    }

    /// All values of a head, and how far one value's positions are behind those of the one before. Behind
    /// the last stored position, up to the allocation's step, are zeros; behind an earlier position of the
    /// same chunk are the values of the later ones.
    pub(super) fn value_rows(&self, layer: usize, kv_head: usize) -> (&[f16], usize) {
        let rows = &self.values[self.head_start(layer, kv_head)..];
        (&rows[..self.head_length * self.capacity], self.capacity)
    }

    /// `positions` rounded up to whole lanes.
    pub(crate) fn padded(positions: usize) -> usize {
        positions.next_multiple_of(STEP)
    }
}
