//! One operation of the graph computed anew from an engine's own captured inputs: what it should have given.
//! Asks no engine and judges nothing.

use std::collections::BTreeMap;

use super::graph::{Key, Node, Operation};
use super::measure::rows;
use crate::backend::operations::{AttentionRule, FileMatrix, GateRule, Grouping, Operations};

/// Tensors of one engine by our names, each with a row for every position.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Captured {
    tensors: BTreeMap<Key, Vec<f32>>,
}

impl Captured {
    /// Keeps a tensor.
    pub fn insert(&mut self, key: Key, values: Vec<f32>) {
        self.tensors.insert(key, values);
    }

    /// A tensor, where it was captured.
    pub fn get(&self, key: &Key) -> Option<&[f32]> {
        self.tensors.get(key).map(Vec::as_slice)
    }

    /// A tensor that an operation reads.
    ///
    /// # Errors
    /// In words, where it was not captured.
    pub fn input(&self, key: &Key) -> Result<&[f32], String> {
        self.get(key).ok_or_else(|| format!("its input {key} has no name in this engine"))
    }
}

/// An operation, what it read, and at which positions it is looked at.
#[derive(Clone, Copy)]
pub struct Site<'a> {
    /// The arithmetic and the weights.
    pub operations: &'a Operations,
    /// The operation.
    pub node: &'a Node,
    /// Tensors of the engine that is looked at.
    pub captured: &'a Captured,
    /// Positions that are computed.
    pub positions: &'a [usize],
    /// The ids that were fed.
    pub ids: &'a [u32],
}

impl Site<'_> {
    /// The rows of the operation's input number `index` at the positions.
    pub(super) fn x(&self, index: usize) -> Result<Vec<f32>, String> {
        let values = self.captured.input(&self.node.inputs[index])?;
        Ok(rows(values, values.len() / self.ids.len(), self.positions))
    }

    /// What the operation should give for these inputs.
    ///
    /// # Errors
    /// In words, why it is not computed here.
    pub fn expected(&self) -> Result<Vec<f32>, String> {
        let (operations, config) = (self.operations, self.operations.config());
        match &self.node.operation {
            Operation::Embedding => {
                let ids: Vec<u32> = self.positions.iter().map(|p| self.ids[*p]).collect();
                operations.table_rows("token_embd.weight", &ids)
            }
            Operation::Norm(weight) => {
                let weight = self.weight(weight)?;
                Ok(operations.norm(&weight, config.rms_epsilon, &self.x(0)?))
            }
            Operation::Linear { part, .. } => {
                let matrix = operations.matrix(&format!("{part}.weight"))?;
                let product = operations.product(&matrix, &self.x(0)?)?;
                Ok(self.finished(product))
            }
            Operation::Bias(part) => {
                let bias = self.vector(&format!("{part}.bias"))?;
                Ok(added(self.x(0)?, &bias))
            }
            Operation::Rope => {
                operations.rope(config, self.node.columns, self.positions, &self.x(0)?)
            }
            Operation::Attention => self.attention(self.attention_rule()),
            Operation::Gate => {
                let rule = GateRule::Known(config.graph.activation);
                Ok(operations.gate(rule, self.node.columns, &self.x(0)?, &self.x(1)?))
            }
            Operation::Residual => Ok(added(self.x(0)?, &self.x(1)?)),
        }
    }

    /// A product with what the file puts on it: its factor, then its bias where the operation has it.
    pub(super) fn finished(&self, mut product: Vec<f32>) -> Vec<f32> {
        let Operation::Linear { part, biased } = &self.node.operation else { return product };
        if let Some(scale) = self.factor(part) {
            product.iter_mut().for_each(|value| *value *= scale);
        }
        match self.operations.vector(&format!("{part}.bias")).filter(|_| *biased) {
            Some(bias) => added(product, &bias),
            None => product,
        }
    }

    /// The factor that the file keeps beside a matrix.
    pub(super) fn factor(&self, part: &str) -> Option<f32> {
        let scales = self.operations.config().graph.scales;
        let factor = scales.then(|| self.operations.vector(&format!("{part}.scale"))).flatten()?;
        factor.first().copied()
    }

    /// The rule of every architecture here.
    pub(super) fn attention_rule(&self) -> AttentionRule {
        AttentionRule {
            scale: 1.0 / (self.operations.config().head_length as f32).sqrt(),
            ahead: 0,
            grouping: Grouping::Neighbours,
            stale: None,
            narrow: true,
        }
    }

    pub(super) fn attention(&self, rule: AttentionRule) -> Result<Vec<f32>, String> {
        let [q, k, v] = [0, 1, 2].map(|index| self.captured.input(&self.node.inputs[index]));
        Ok(self.operations.attention(rule, self.positions, q?, k?, v?))
    }

    pub(super) fn weight(&self, part: &str) -> Result<Vec<f32>, String> {
        self.vector(&format!("{part}.weight"))
    }

    pub(super) fn vector(&self, name: &str) -> Result<Vec<f32>, String> {
        self.operations.vector(name).ok_or_else(|| format!("the file has no {name} in F32"))
    }

    /// The matrix of a product, with its name.
    pub(super) fn matrix(&self) -> Option<FileMatrix> {
        let Operation::Linear { part, .. } = &self.node.operation else { return None };
        self.operations.matrix(&format!("{part}.weight")).ok()
    }
}

/// `x`, row by row, plus `y`, which is one row for all of them or as many.
pub(super) fn added(mut x: Vec<f32>, y: &[f32]) -> Vec<f32> {
    for (a, b) in x.iter_mut().zip(y.iter().cycle()) {
        *a += b;
    }
    x
}
