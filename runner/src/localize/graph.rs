//! The operations of a model in the order of evaluation: what each reads, and what it computes. It holds no
//! values and asks no engine.

use std::fmt;

use crate::backend::operations::Operations;

/// A tensor by our engine's name, which is bitnet.cpp's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Name with its layer: `attn_norm-0`.
    pub name: String,
    /// How many tensors of the name came before.
    pub occurrence: usize,
}

impl Key {
    fn new(name: &str, layer: Option<usize>, occurrence: usize) -> Self {
        let name = layer.map_or_else(|| name.to_owned(), |layer| format!("{name}-{layer}"));
        Self { name, occurrence }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.occurrence {
            0 => f.write_str(&self.name),
            again => write!(f, "{}#{again}", self.name),
        }
    }
}

/// What an operation computes. Names are those of the file's tensors, without `.weight`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Rows of the embedding.
    Embedding,
    /// RMS norm, of each head where the weights are a head's.
    Norm(String),
    /// A matrix with its factor, and with its bias where `biased`.
    Linear {
        /// `blk.0.attn_q`.
        part: String,
        /// Whether the bias is in it.
        biased: bool,
    },
    /// A bias alone.
    Bias(String),
    /// RoPE.
    Rope,
    /// Scores, softmax and weighted values of all heads.
    Attention,
    /// The gate's function times the up projection.
    Gate,
    /// The residual addition: stream, then branch.
    Residual,
}

impl Operation {
    /// In words.
    pub fn words(&self) -> String {
        match self {
            Operation::Embedding => "embedding".into(),
            Operation::Norm(weight) => format!("RMS norm with {weight}.weight"),
            Operation::Linear { part, .. } => format!("product with {part}.weight"),
            Operation::Bias(part) => format!("addition of {part}.bias"),
            Operation::Rope => "RoPE".into(),
            Operation::Attention => "attention".into(),
            Operation::Gate => "gate".into(),
            Operation::Residual => "residual addition".into(),
        }
    }
}

/// An operation and its result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The result.
    pub key: Key,
    /// Values of one position.
    pub columns: usize,
    /// What is computed.
    pub operation: Operation,
    /// What it reads, in the operation's order.
    pub inputs: Vec<Key>,
}

/// A part of the model whose operations are looked at together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// The embedding.
    Embedding,
    /// One layer.
    Layer(usize),
    /// The output norm and the head.
    Head,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stage::Embedding => f.write_str("embedding"),
            Stage::Layer(layer) => write!(f, "layer {layer}"),
            Stage::Head => f.write_str("head"),
        }
    }
}

/// Every stage of a model, in order.
pub fn stages(operations: &Operations) -> Vec<Stage> {
    let layers = (0..operations.config().block_count).map(Stage::Layer);
    std::iter::once(Stage::Embedding).chain(layers).chain([Stage::Head]).collect()
}

/// What a stage hands on.
pub fn output(stage: Stage) -> Key {
    match stage {
        Stage::Embedding => Key::new("inp_embd", None, 0),
        Stage::Layer(layer) => Key::new("l_out", Some(layer), 0),
        Stage::Head => Key::new("result_output", None, 0),
    }
}

/// What a layer reads.
fn input(layer: usize) -> Key {
    output(layer.checked_sub(1).map_or(Stage::Embedding, Stage::Layer))
}

/// The operations of a stage, in the order of evaluation.
pub fn nodes(operations: &Operations, stage: Stage) -> Vec<Node> {
    let config = operations.config();
    match stage {
        Stage::Embedding => vec![Node {
            key: output(stage),
            columns: config.embedding_length,
            operation: Operation::Embedding,
            inputs: Vec::new(),
        }],
        Stage::Layer(layer) => Layer { operations, layer, nodes: Vec::new() }.nodes(),
        Stage::Head => {
            let norm = Key::new("result_norm", None, 0);
            let tied = !operations.has("output.weight");
            let part = if tied { "token_embd" } else { "output" };
            let last = input(config.block_count);
            vec![
                Node {
                    key: norm.clone(),
                    columns: config.embedding_length,
                    operation: Operation::Norm("output_norm".into()),
                    inputs: vec![last],
                },
                Node {
                    key: output(stage),
                    columns: config.vocab_size,
                    operation: Operation::Linear { part: part.into(), biased: false },
                    inputs: vec![norm],
                },
            ]
        }
    }
}

struct Layer<'a> {
    operations: &'a Operations,
    layer: usize,
    nodes: Vec<Node>,
}

impl Layer<'_> {
    fn key(&self, name: &str, occurrence: usize) -> Key {
        Key::new(name, Some(self.layer), occurrence)
    }

    fn part(&self, name: &str) -> String {
        format!("blk.{}.{name}", self.layer)
    }

    /// Adds an operation and gives its result's key.
    fn add(&mut self, key: Key, columns: usize, operation: Operation, inputs: &[&Key]) -> Key {
        let inputs = inputs.iter().map(|key| (*key).clone()).collect();
        self.nodes.push(Node { key: key.clone(), columns, operation, inputs });
        key
    }

    fn norm(&mut self, name: &str, weight: &str, columns: usize, input: &Key) -> Key {
        let operation = Operation::Norm(self.part(weight));
        self.add(self.key(name, 0), columns, operation, &[input])
    }

    fn linear(&mut self, name: &str, part: &str, columns: usize, input: &Key) -> Key {
        let operation = Operation::Linear { part: self.part(part), biased: true };
        self.add(self.key(name, 0), columns, operation, &[input])
    }

    fn nodes(mut self) -> Vec<Node> {
        let config = self.operations.config();
        let (width, query, kv) =
            (config.embedding_length, config.query_length(), config.kv_length());
        let (ff, graph) = (config.feed_forward_length, config.graph);
        let stream = input(self.layer);
        let normed = self.norm("attn_norm", "attn_norm", width, &stream);
        let projections =
            [("Qcur", "attn_q", query), ("Kcur", "attn_k", kv), ("Vcur", "attn_v", kv)];
        let mut projected = projections.map(|(name, part, columns)| {
            let operation = Operation::Linear { part: self.part(part), biased: false };
            self.add(self.key(name, 0), columns, operation, &[&normed])
        });
        for ((name, part, columns), key) in projections.into_iter().zip(&mut projected) {
            if self.operations.has(&format!("{}.bias", self.part(part))) {
                let operation = Operation::Bias(self.part(part));
                *key = self.add(self.key(name, 1), columns, operation, &[&*key]);
            }
        }
        let [mut queries, mut keys, values] = projected;
        let (before_queries, before_keys) = (queries.occurrence, keys.occurrence);
        if graph.qk_norms {
            queries = self.norm("Qcur_normed", "attn_q_norm", query, &queries);
            keys = self.norm("Kcur_normed", "attn_k_norm", kv, &keys);
        }
        let key = self.key("Qcur", before_queries + 1);
        queries = self.add(key, query, Operation::Rope, &[&queries]);
        let key = self.key("Kcur", before_keys + 1);
        keys = self.add(key, kv, Operation::Rope, &[&keys]);
        let key = self.key(graph.names.attended, 0);
        let mut h = self.add(key, query, Operation::Attention, &[&queries, &keys, &values]);
        if graph.sub_norms {
            h = self.norm("attn_sub_norm", "attn_sub_norm", query, &h);
        }
        let h = self.linear(graph.names.attention, "attn_output", width, &h);
        let key = self.key("ffn_inp", 0);
        let stream = self.add(key, width, Operation::Residual, &[&stream, &h]);
        let normed = self.norm("ffn_norm", "ffn_norm", width, &stream);
        let up = self.linear("ffn_up", "ffn_up", ff, &normed);
        let gate = self.linear("ffn_gate", "ffn_gate", ff, &normed);
        let key = self.key(graph.names.gated, 0);
        let mut h = self.add(key, ff, Operation::Gate, &[&gate, &up]);
        if graph.sub_norms {
            h = self.norm("ffn_sub_norm", "ffn_sub_norm", ff, &h);
        }
        let h = self.linear(graph.names.feed_forward, "ffn_down", width, &h);
        let key = self.key("l_out", 0);
        self.add(key, width, Operation::Residual, &[&stream, &h]);
        self.nodes
    }
}
