//! What each reference calls the tensors of our graph. A name that a version does not use is said to be
//! unnamed, never guessed; whether the reference has the others is checked where they are asked for.

use super::graph::{Key, Node, Operation};
use crate::backend::operations::Operations;

/// The references whose graphs were read, with the versions that their names hold for.
pub const KNOWN: [(&str, &str); 2] = [
    ("bitnet-cpp", "bitnet.cpp's llama.cpp of February 2025 (crate bitnet-llm-sys 1.0)"),
    ("llama-cpp", "llama.cpp of 2026 (crate llama-cpp-sys-2 0.1.161)"),
];

/// Names of one reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// Those of bitnet.cpp, which our engine has taken over but for what a bias or a factor adds.
    BitnetCpp,
    /// Those of mainline llama.cpp.
    LlamaCpp,
}

impl Names {
    /// The names of the reference called `name`.
    ///
    /// # Errors
    /// In words, for one whose graph nobody has read.
    pub fn of(name: &str) -> Result<Self, String> {
        match name {
            "bitnet-cpp" => Ok(Names::BitnetCpp),
            "llama-cpp" => Ok(Names::LlamaCpp),
            other => Err(format!(
                "nobody has written down what {} calls the tensors of its graph; known are {}\n  \
                 to add it: runner/src/localize/names.rs",
                crate::escape::text(other),
                KNOWN.map(|(name, _)| name).join(" and ")
            )),
        }
    }

    /// The versions that the names hold for.
    pub fn versions(self) -> &'static str {
        KNOWN[self as usize].1
    }

    /// What the reference calls the result of `node`; none where it gives it no name.
    pub fn key(self, operations: &Operations, node: &Node) -> Option<Key> {
        let own = &node.key;
        let (stem, layer) = match own.name.rsplit_once('-') {
            Some((stem, layer)) => (stem, Some(layer)),
            None => (own.name.as_str(), None),
        };
        let (name, occurrence) = match self {
            Names::BitnetCpp => (with_additions(operations, node, stem), own.occurrence),
            Names::LlamaCpp => self.mainline(operations, node, stem)?,
        };
        let name = layer.map_or_else(|| name.to_owned(), |layer| format!("{name}-{layer}"));
        Some(Key { name, occurrence })
    }

    fn mainline<'a>(
        self,
        operations: &Operations,
        node: &'a Node,
        stem: &'a str,
    ) -> Option<(&'a str, usize)> {
        let config = operations.config();
        let (names, occurrence) = (config.graph.names, node.key.occurrence);
        let name = match &node.operation {
            Operation::Embedding => "embd",
            // A reshape of the same name stands in front of RoPE.
            Operation::Rope => return Some((stem, occurrence + 1)),
            Operation::Attention => "kqv_out",
            Operation::Gate if config.graph.sub_norms => "ffn_sub_out",
            Operation::Gate => "ffn_swiglu",
            Operation::Linear { .. } if stem == names.attention => {
                match config.architecture.starts_with("qwen") {
                    true => return None,
                    false => "attn_out",
                }
            }
            _ => with_additions(operations, node, stem),
        };
        Some((name, occurrence))
    }
}

/// The up and gate projections are named after the last thing that is done to them.
fn with_additions<'a>(operations: &Operations, node: &Node, stem: &'a str) -> &'a str {
    let Operation::Linear { part, biased: true } = &node.operation else { return stem };
    let config = operations.config();
    let scaled = config.graph.scales && operations.has(&format!("{part}.scale"));
    let biased = operations.has(&format!("{part}.bias"));
    match (stem, scaled, biased) {
        ("ffn_up", true, _) => "ffn_up_s",
        ("ffn_gate", true, _) => "ffn_gate_s",
        ("ffn_up", false, true) => "ffn_up_b",
        ("ffn_gate", false, true) => "ffn_gate_b",
        _ => stem,
    }
}
