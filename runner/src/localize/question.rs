//! What both engines are asked for, tensor by tensor, and why there may be no answer. It judges nothing.

use super::evaluate::Captured;
use super::graph::{Key, Node};
use crate::backend::operations::Operations;
use crate::backend::{Backend, BackendError};

/// Both engines with the model open, and its operations.
pub struct Pair<'a> {
    /// The engine under test.
    pub subject: &'a mut dyn Backend,
    /// The engine that it is held against.
    pub reference: &'a mut dyn Backend,
    /// The model's operations, as the file describes them.
    pub operations: &'a Operations,
}

/// What both engines are fed.
pub struct Question<'a> {
    /// The ids, by the reference's tokenizer where they come from a text.
    pub ids: &'a [u32],
    /// The subject's and the reference's ids of the text, where there is one.
    pub tokens: Option<(&'a [u32], &'a [u32])>,
}

/// Why nothing was localised.
#[derive(Debug, thiserror::Error)]
pub enum LocalizeError {
    /// An engine gave no tensors.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// A reference's graph has not the nodes that its names say.
    #[error("{0}")]
    Names(String),
    /// There is nothing to feed.
    #[error("no ids to feed: the prompt is empty")]
    Empty,
    /// An engine's answer has another shape than it must.
    #[error("{engine} gave {found} values for {tensor}, expected {expected}")]
    Shape {
        /// Who answered.
        engine: String,
        /// The tensor.
        tensor: String,
        /// Values that came.
        found: usize,
        /// Values that a row for each position makes.
        expected: usize,
    },
}

pub(super) type Result<T> = std::result::Result<T, LocalizeError>;

/// The tensors of `wanted` by our names, and those that did not come.
pub(super) fn ask(
    engine: &mut dyn Backend,
    ids: &[u32],
    wanted: &[(Key, &Node)],
) -> Result<(Captured, Vec<Key>)> {
    let mut names: Vec<String> = wanted.iter().map(|(key, _)| key.name.clone()).collect();
    names.dedup();
    let mut answer = engine.tap(ids, &names)?;
    let (mut captured, mut missing) = (Captured::default(), Vec::new());
    for (key, node) in wanted {
        let place =
            answer.iter().position(|t| t.name == key.name && t.occurrence == key.occurrence);
        let Some(place) = place else {
            missing.push(key.clone());
            continue;
        };
        let tensor = answer.swap_remove(place);
        let expected = node.columns * ids.len();
        if tensor.values.len() != expected {
            let (engine, tensor_name) = (engine.identity().name.clone(), key.to_string());
            let found = tensor.values.len();
            return Err(LocalizeError::Shape { engine, tensor: tensor_name, found, expected });
        }
        captured.insert(node.key.clone(), tensor.values);
    }
    Ok((captured, missing))
}
