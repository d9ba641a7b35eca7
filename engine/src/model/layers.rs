//! The weights of a whole model: which tensors make up a layer, for the architecture at hand. What
//! is missing or does not fit ends the load with its reason.

use super::config::Config;
use super::error::ModelError;
use super::graph::{self, Bias};
use super::weights::{Matrix, TensorReader, Values};

/// A matrix and what its product goes through, in this order.
pub(crate) struct Linear {
    pub(crate) matrix: Matrix,
    /// Multiplies the product, where the file keeps a factor beside the matrix.
    pub(crate) scale: Option<f32>,
    /// Is added to each row of the product.
    pub(crate) bias: Option<Values<f32>>,
}

/// One layer.
pub(crate) struct Layer {
    pub(crate) attn_norm: Values<f32>,
    pub(crate) attn_q: Linear,
    pub(crate) attn_k: Linear,
    pub(crate) attn_v: Linear,
    /// Of one head, for all heads.
    pub(crate) attn_q_norm: Option<Values<f32>>,
    pub(crate) attn_k_norm: Option<Values<f32>>,
    pub(crate) attn_sub_norm: Option<Values<f32>>,
    pub(crate) attn_output: Linear,
    pub(crate) ffn_norm: Values<f32>,
    pub(crate) ffn_gate: Linear,
    pub(crate) ffn_up: Linear,
    pub(crate) ffn_sub_norm: Option<Values<f32>>,
    pub(crate) ffn_down: Linear,
}

/// All weights.
pub(crate) struct Weights {
    pub(crate) token_embd: Matrix,
    pub(crate) layers: Vec<Layer>,
    pub(crate) output_norm: Values<f32>,
    /// The head, where it is not the embedding.
    pub(crate) output: Option<Matrix>,
    /// What each of RoPE's frequencies is divided by.
    pub(crate) rope_factors: Option<Values<f32>>,
}

impl Weights {
    /// The tensors that `config` asks for.
    ///
    /// # Errors
    /// If one is missing, of another shape or of a type without arithmetic.
    pub(super) fn read(reader: &mut TensorReader<'_>, config: &Config) -> Result<Self, ModelError> {
        let (width, vocab_size) = (config.embedding_length, config.vocab_size);
        let token_embd = reader.table("token_embd.weight", vocab_size, width)?;
        let layers = (0..config.block_count)
            .map(|index| Part { reader: &mut *reader, config, index }.layer())
            .collect::<Result<_, _>>()?;
        let output_norm = reader.norm("output_norm.weight", width)?;
        // Absent means tied; present but wrong is an error, never a reason to fall back on the tie.
        let output = match reader.has("output.weight") {
            true => Some(reader.table("output.weight", vocab_size, width)?),
            false => None,
        };
        let factors = "rope_freqs.weight";
        let rope_factors = match config.graph.rope_factors && reader.has(factors) {
            true => Some(reader.positive(factors, config.head_length / 2)?),
            false => None,
        };
        Ok(Self { token_embd, layers, output_norm, output, rope_factors })
    }
}

/// One layer being read.
struct Part<'a, 'r> {
    reader: &'a mut TensorReader<'r>,
    config: &'a Config,
    index: usize,
}

impl Part<'_, '_> {
    fn layer(&mut self) -> Result<Layer, ModelError> {
        let config = self.config;
        let (width, ff) = (config.embedding_length, config.feed_forward_length);
        let (q, kv, head) = (config.query_length(), config.kv_length(), config.head_length);
        let (graph, own) = (config.graph, graph::find(config.architecture));
        // Where the graph is told to do without, the tensor still belongs to the file.
        let sub_norms = graph.sub_norms || own.is_some_and(|(_, own)| own.sub_norms);
        let attn_sub_norm = self.norm_if(sub_norms, "attn_sub_norm", q)?;
        let ffn_sub_norm = self.norm_if(sub_norms, "ffn_sub_norm", ff)?;
        Ok(Layer {
            attn_norm: self.norm("attn_norm", width)?,
            attn_q: self.linear("attn_q", q, width)?,
            attn_k: self.linear("attn_k", kv, width)?,
            attn_v: self.linear("attn_v", kv, width)?,
            attn_q_norm: self.norm_if(graph.qk_norms, "attn_q_norm", head)?,
            attn_k_norm: self.norm_if(graph.qk_norms, "attn_k_norm", head)?,
            attn_sub_norm: attn_sub_norm.filter(|_| graph.sub_norms),
            attn_output: self.linear("attn_output", width, q)?,
            ffn_norm: self.norm("ffn_norm", width)?,
            ffn_gate: self.linear("ffn_gate", ff, width)?,
            ffn_up: self.linear("ffn_up", ff, width)?,
            ffn_sub_norm: ffn_sub_norm.filter(|_| graph.sub_norms),
            ffn_down: self.linear("ffn_down", width, ff)?,
        })
    }

    fn name(&self, part: &str, what: &str) -> String {
        format!("blk.{}.{part}.{what}", self.index)
    }

    fn norm(&mut self, part: &str, length: usize) -> Result<Values<f32>, ModelError> {
        self.reader.norm(&self.name(part, "weight"), length)
    }

    fn norm_if(
        &mut self,
        wanted: bool,
        part: &str,
        length: usize,
    ) -> Result<Option<Values<f32>>, ModelError> {
        wanted.then(|| self.norm(part, length)).transpose()
    }

    fn linear(&mut self, part: &str, rows: usize, columns: usize) -> Result<Linear, ModelError> {
        let matrix = self.reader.matrix(&self.name(part, "weight"), rows, columns)?;
        let name = self.name(part, "scale");
        let scale = match self.config.graph.scales && self.reader.has(&name) {
            true => Some(self.reader.positive(&name, 1)?.get()[0]),
            false => None,
        };
        let name = self.name(part, "bias");
        let bias = match self.config.graph.biases.of(part) {
            Bias::Never => None,
            Bias::IfPresent if !self.reader.has(&name) => None,
            Bias::IfPresent | Bias::Always => Some(self.reader.bias(&name, rows)?),
        };
        Ok(Linear { matrix, scale, bias })
    }
}
