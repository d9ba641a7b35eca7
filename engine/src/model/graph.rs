//! What one architecture does differently from another in the forward pass, as data. It computes
//! nothing and reads no file.

/// Order in which RoPE pairs the values of a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RopeStyle {
    /// Value i with value i + dim/2 ("rotate half").
    Neox,
    /// Value 2i with value 2i + 1. The converters of such architectures permute the rows of the query
    /// and key matrices for it.
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

/// Which matrices of a layer have a bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Biases {
    /// None.
    None,
    /// Those of queries, keys and values.
    QueriesKeysValues,
    /// Those of attention for which the file has one.
    OfAttention,
    /// Those for which the file has one.
    OfAny,
}

/// Whether a matrix has a bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bias {
    Never,
    IfPresent,
    Always,
}

impl Biases {
    /// Whether the matrix `part` of a layer has one: `attn_q`, `ffn_down`.
    pub(super) fn of(self, part: &str) -> Bias {
        match (self, part) {
            (Biases::QueriesKeysValues, "attn_q" | "attn_k" | "attn_v") => Bias::Always,
            (Biases::OfAttention, part) if part.starts_with("attn_") => Bias::IfPresent,
            (Biases::OfAny, _) => Bias::IfPresent,
            _ => Bias::Never,
        }
    }
}

/// What the reference calls the tensors whose names differ between architectures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Names {
    /// The heads' weighted values, side by side.
    pub attended: &'static str,
    /// The output of attention, before it is added to the residual stream.
    pub attention: &'static str,
    /// The gated product.
    pub gated: &'static str,
    /// The output of the feed-forward block, before it is added to the residual stream.
    pub feed_forward: &'static str,
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
    /// RMS norms of every query and key head in front of RoPE.
    pub qk_norms: bool,
    /// Biases of a layer's matrices.
    pub biases: Biases,
    /// Whether the file may keep a factor beside each of a layer's matrices (`.scale`).
    pub scales: bool,
    /// Whether the file may divide RoPE's frequencies by factors of its own (`rope_freqs.weight`).
    pub rope_factors: bool,
    /// Names in the reference's graph.
    pub names: Names,
}

const BITNET_158: Graph = Graph {
    rope: RopeStyle::Neox,
    activation: Activation::ReluSquared,
    sub_norms: true,
    qk_norms: false,
    biases: Biases::OfAttention,
    scales: false,
    rope_factors: true,
    names: Names {
        attended: "kqv_out",
        attention: "attn_o_out",
        gated: "ffn_out",
        feed_forward: "ffn_down",
    },
};

const BITNET: Graph = Graph {
    activation: Activation::Silu,
    biases: Biases::None,
    scales: true,
    rope_factors: false,
    names: Names { gated: "ffn_sub_out", ..BITNET_158.names },
    ..BITNET_158
};

const LLAMA: Graph = Graph {
    rope: RopeStyle::Norm,
    activation: Activation::Silu,
    sub_norms: false,
    qk_norms: false,
    biases: Biases::OfAny,
    scales: false,
    rope_factors: true,
    names: Names {
        attended: "kqv_merged_cont",
        attention: "kqv_out",
        gated: "ffn_gate_par",
        feed_forward: "ffn_out",
    },
};

const QWEN2: Graph = Graph {
    rope: RopeStyle::Neox,
    biases: Biases::QueriesKeysValues,
    rope_factors: false,
    ..LLAMA
};

const QWEN3: Graph = Graph { qk_norms: true, biases: Biases::None, ..QWEN2 };

/// `bitnet-25` is the name that the first uploads of BitNet b1.58 2B-4T carried; `bitnet` is that of
/// the models before it, with SiLU.
pub(super) const ARCHITECTURES: [(&str, Graph); 6] = [
    ("bitnet-b1.58", BITNET_158),
    ("bitnet-25", BITNET_158),
    ("bitnet", BITNET),
    ("llama", LLAMA),
    ("qwen2", QWEN2),
    ("qwen3", QWEN3),
];

/// The name and the graph of the architecture called `name`.
pub(super) fn find(name: &str) -> Option<(&'static str, Graph)> {
    ARCHITECTURES.into_iter().find(|(known, _)| *known == name)
}
