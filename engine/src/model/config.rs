//! Hyper-parameters from metadata, with every bound checked, and what one architecture does
//! differently from another, as data.

use super::error::ModelError;
use crate::gguf::{FromValue, GgufFile};

/// Order in which RoPE pairs the values of a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RopeStyle {
    /// Value i with value i + dim/2 ("rotate half").
    Neox,
    /// Value 2i with value 2i + 1.
    Norm,
}

/// The gate's function in the feed-forward block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// max(x, 0)², as in BitNet b1.58 2B-4T.
    ReluSquared,
    /// x / (1 + e^−x).
    Silu,
}

/// Where architectures differ in the forward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Graph {
    /// Pairs of RoPE.
    pub rope: RopeStyle,
    /// The gate's function.
    pub activation: Activation,
    /// RMS norms in front of the attention output and of the down projection.
    pub sub_norms: bool,
}

const BITNET_158: Graph =
    Graph { rope: RopeStyle::Neox, activation: Activation::ReluSquared, sub_norms: true };

/// `bitnet-25` is the name that the first uploads of BitNet b1.58 2B-4T carried.
const ARCHITECTURES: [(&str, Graph); 2] = [("bitnet-b1.58", BITNET_158), ("bitnet-25", BITNET_158)];

// Bounds far above any published model, so that a damaged file is refused before it is believed.
const MAX_BLOCKS: usize = 512;
const MAX_WIDTH: usize = 1 << 20;
const MAX_CONTEXT: usize = 1 << 24;
const MAX_VOCABULARY: usize = 1 << 24;

/// Shape and constants of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `general.architecture`.
    pub architecture: &'static str,
    /// Ids, that is rows of the embedding.
    pub vocab_size: usize,
    /// Positions that the model was trained for.
    pub context_length: usize,
    /// Width of the residual stream.
    pub embedding_length: usize,
    /// Layers.
    pub block_count: usize,
    /// Width inside the feed-forward block.
    pub feed_forward_length: usize,
    /// Query heads.
    pub head_count: usize,
    /// Key and value heads; divides `head_count`.
    pub head_count_kv: usize,
    /// Values of one head.
    pub head_length: usize,
    /// ε of the RMS norms.
    pub rms_epsilon: f32,
    /// Base of the RoPE frequencies.
    pub rope_base: f32,
    /// What the architecture does its own way.
    pub graph: Graph,
}

impl Config {
    /// Reads and checks a file's hyper-parameters.
    ///
    /// # Errors
    /// If the architecture is unknown, or a key is missing, mistyped or out of bounds.
    pub fn from_file(file: &GgufFile) -> Result<Self, ModelError> {
        let metadata = file.metadata();
        let found = metadata.str("general.architecture")?;
        let Some(&(architecture, graph)) = ARCHITECTURES.iter().find(|(name, _)| *name == found)
        else {
            return Err(ModelError::Architecture {
                found: found.escape_default().to_string(),
                supported: ARCHITECTURES.map(|(name, _)| name).join(", "),
            });
        };
        let keys = Keys { file, architecture };
        let vocab_size = metadata.strings("tokenizer.ggml.tokens")?.len();
        if !(1..=MAX_VOCABULARY).contains(&vocab_size) {
            let found = format!("an array of {vocab_size}");
            let rule = format!("it must hold 1 to {MAX_VOCABULARY} tokens");
            return keys.refuse("tokenizer.ggml.tokens", found, rule);
        }
        if let Some(declared) = keys.optional::<usize>("vocab_size")? {
            keys.equal("vocab_size", declared, vocab_size, "the number of tokenizer.ggml.tokens")?;
        }
        let embedding_length = keys.size("embedding_length", MAX_WIDTH)?;
        let head_count = keys.size("attention.head_count", embedding_length)?;
        let head_count_kv =
            keys.optional("attention.head_count_kv")?.map_or(Ok(head_count), |count: usize| {
                keys.check("attention.head_count_kv", count, 1, head_count).map(|()| count)
            })?;
        keys.divides("attention.head_count", head_count, embedding_length, "embedding_length")?;
        keys.divides("attention.head_count_kv", head_count_kv, head_count, "attention.head_count")?;
        let head_length = embedding_length / head_count;
        if !head_length.is_multiple_of(2) {
            let rule = format!(
                "embedding_length / head_count is then {head_length}, and RoPE needs an even number"
            );
            return keys.refuse("attention.head_count", head_count, rule);
        }
        if let Some(rope) = keys.optional::<usize>("rope.dimension_count")? {
            keys.equal("rope.dimension_count", rope, head_length, "the length of a head")?;
        }
        Ok(Self {
            architecture,
            vocab_size,
            context_length: keys.size("context_length", MAX_CONTEXT)?,
            embedding_length,
            block_count: keys.size("block_count", MAX_BLOCKS)?,
            feed_forward_length: keys.size("feed_forward_length", MAX_WIDTH)?,
            head_count,
            head_count_kv,
            head_length,
            rms_epsilon: keys.positive("attention.layer_norm_rms_epsilon", None)?,
            rope_base: keys.positive("rope.freq_base", Some(10_000.0))?,
            graph,
        })
    }

    /// Whether the lengths fit together, as those of [`Config::from_file`] do.
    pub(super) fn is_consistent(&self) -> bool {
        let lengths = [self.vocab_size, self.context_length, self.embedding_length];
        let counts = [self.block_count, self.feed_forward_length, self.head_count_kv];
        lengths.into_iter().chain(counts).all(|n| n > 0)
            && self.head_length > 0
            && self.head_length.is_multiple_of(2)
            && self.head_count.checked_mul(self.head_length) == Some(self.embedding_length)
            && self.head_count.is_multiple_of(self.head_count_kv)
    }

    /// Values of all key (or value) heads together.
    pub fn kv_length(&self) -> usize {
        self.head_count_kv * self.head_length
    }
}

/// The keys under one architecture's prefix.
struct Keys<'a> {
    file: &'a GgufFile,
    architecture: &'static str,
}

impl<'a> Keys<'a> {
    fn name(&self, key: &str) -> String {
        if key.starts_with("tokenizer.") {
            key.into()
        } else {
            format!("{}.{key}", self.architecture)
        }
    }

    fn optional<T: FromValue<'a>>(&self, key: &str) -> Result<Option<T>, ModelError> {
        Ok(self.file.metadata().optional(&self.name(key))?)
    }

    fn refuse<T>(&self, key: &str, found: impl ToString, rule: String) -> Result<T, ModelError> {
        Err(ModelError::HyperParameter { key: self.name(key), found: found.to_string(), rule })
    }

    fn check(&self, key: &str, found: usize, min: usize, max: usize) -> Result<(), ModelError> {
        if (min..=max).contains(&found) {
            return Ok(());
        }
        self.refuse(key, found, format!("it must be from {min} to {max}"))
    }

    fn size(&self, key: &str, max: usize) -> Result<usize, ModelError> {
        let found = self.file.metadata().require(&self.name(key))?;
        self.check(key, found, 1, max).map(|()| found)
    }

    fn equal(&self, key: &str, found: usize, wanted: usize, what: &str) -> Result<(), ModelError> {
        if found == wanted {
            return Ok(());
        }
        self.refuse(key, found, format!("{what} is {wanted}"))
    }

    fn divides(&self, key: &str, n: usize, whole: usize, what: &str) -> Result<(), ModelError> {
        if whole.is_multiple_of(n) {
            return Ok(());
        }
        self.refuse(key, n, format!("it must divide {what}, {whole}"))
    }

    fn positive(&self, key: &str, default: Option<f32>) -> Result<f32, ModelError> {
        let found = match default {
            Some(default) => self.optional(key)?.unwrap_or(default),
            None => self.file.metadata().require(&self.name(key))?,
        };
        if found.is_finite() && found > 0.0 {
            return Ok(found);
        }
        self.refuse(key, found, "it must be a finite number above 0".into())
    }
}
