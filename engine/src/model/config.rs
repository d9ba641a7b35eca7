//! Hyper-parameters from metadata, with every bound checked. There is no guess: what contradicts
//! itself or asks for another computation is refused.

use super::error::ModelError;
use super::graph::{self, ARCHITECTURES, Activation, Graph};
use super::rope::RopeScaling;
use super::unsupported;
use crate::gguf::{FromValue, GgufFile};

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
    /// What stretches them to a longer context.
    pub rope_scaling: RopeScaling,
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
        let Some((architecture, mut graph)) = graph::find(found) else {
            return Err(ModelError::Architecture {
                found: found.escape_default().to_string(),
                supported: ARCHITECTURES.map(|(name, _)| name).join(", "),
            });
        };
        let keys = Keys { file, architecture };
        unsupported::refuse(metadata, architecture)?;
        if architecture == "bitnet" {
            graph.activation = keys.activation(graph.activation)?;
        }
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
        let head_length = keys.head_length(embedding_length, head_count)?;
        keys.divides("attention.head_count_kv", head_count_kv, head_count, "attention.head_count")?;
        let context_length = keys.size("context_length", MAX_CONTEXT)?;
        keys.no_window(context_length)?;
        Ok(Self {
            architecture,
            vocab_size,
            context_length,
            embedding_length,
            block_count: keys.size("block_count", MAX_BLOCKS)?,
            feed_forward_length: keys.size("feed_forward_length", MAX_WIDTH)?,
            head_count,
            head_count_kv,
            head_length,
            rms_epsilon: keys.positive("attention.layer_norm_rms_epsilon", None)?,
            rope_base: keys.positive("rope.freq_base", Some(10_000.0))?,
            rope_scaling: keys.rope_scaling(context_length)?,
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
            && self.head_count > 0
            && self.head_count.checked_mul(self.head_length).is_some()
            && self.head_count.is_multiple_of(self.head_count_kv)
    }

    /// Values of all query heads together.
    pub fn query_length(&self) -> usize {
        self.head_count * self.head_length
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

    /// Length of a head: declared, or the embedding's divided by the number of heads.
    fn head_length(&self, embedding_length: usize, heads: usize) -> Result<usize, ModelError> {
        let head_length = match self.optional("attention.key_length")? {
            Some(declared) => {
                self.check("attention.key_length", declared, 1, MAX_WIDTH / heads)?;
                if !declared.is_multiple_of(2) {
                    let rule = "RoPE needs an even number".into();
                    return self.refuse("attention.key_length", declared, rule);
                }
                declared
            }
            None => {
                let key = "attention.head_count";
                self.divides(key, heads, embedding_length, "embedding_length")?;
                let length = embedding_length / heads;
                if !length.is_multiple_of(2) {
                    let rule = format!(
                        "embedding_length / head_count is then {length}, and RoPE needs an even number"
                    );
                    return self.refuse(key, heads, rule);
                }
                length
            }
        };
        let what = "the length of a head";
        for key in ["attention.value_length", "rope.dimension_count"] {
            if let Some(declared) = self.optional::<usize>(key)? {
                self.equal(key, declared, head_length, what)?;
            }
        }
        Ok(head_length)
    }

    /// The gate's function of a `bitnet` file: the key of those that are not its first kind.
    fn activation(&self, default: Activation) -> Result<Activation, ModelError> {
        match self.optional::<&str>("hidden_activation")? {
            None => Ok(default),
            Some("silu") => Ok(Activation::Silu),
            Some("relu2") => Ok(Activation::ReluSquared),
            Some(other) => self.unsupported("hidden_activation", quoted(other), "silu or relu2"),
        }
    }

    /// Refuses attention that does not see the whole context.
    fn no_window(&self, context_length: usize) -> Result<(), ModelError> {
        let key = "attention.sliding_window";
        match self.optional::<usize>(key)? {
            Some(window) if (1..context_length).contains(&window) => {
                let supported = format!("0, or the context of {context_length}");
                self.unsupported(key, window, &supported)
            }
            _ => Ok(()),
        }
    }

    fn rope_scaling(&self, context_length: usize) -> Result<RopeScaling, ModelError> {
        let (factor, old) = ("rope.scaling.factor", "rope.scale_linear");
        let key = if self.has(factor) { factor } else { old };
        let frequency = 1.0 / self.positive(key, Some(1.0))?;
        let magnitude = self.positive("rope.scaling.attn_factor", Some(1.0))?;
        let plain = RopeScaling { frequency, magnitude, yarn_context: None };
        match self.optional::<&str>("rope.scaling.type")? {
            Some("none") => Ok(RopeScaling { frequency: 1.0, ..plain }),
            // The reference, too, takes a factor without a type as linear.
            None | Some("linear") => Ok(plain),
            Some("yarn") => {
                let key = "rope.scaling.original_context_length";
                let trained = self.optional(key)?.unwrap_or(context_length);
                self.check(key, trained, 1, MAX_CONTEXT)?;
                Ok(RopeScaling { yarn_context: Some(trained), ..plain })
            }
            Some(other) => {
                self.unsupported("rope.scaling.type", quoted(other), "none, linear or yarn")
            }
        }
    }

    fn has(&self, key: &str) -> bool {
        self.file.metadata().get(&self.name(key)).is_some()
    }

    fn unsupported<T>(
        &self,
        key: &str,
        found: impl ToString,
        supported: &str,
    ) -> Result<T, ModelError> {
        let (key, found) = (self.name(key), found.to_string());
        Err(ModelError::Unsupported { key, found, supported: supported.into() })
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

/// Text of the file, safe to show.
fn quoted(text: &str) -> String {
    format!("'{}'", text.escape_default())
}
