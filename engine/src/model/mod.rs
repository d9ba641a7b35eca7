//! From a GGUF file to a computation: hyper-parameters, typed weights, the forward pass.

mod cache;
mod config;
mod error;
mod forward;
mod layout;
mod linear;
mod loading;
mod rope;
mod weights;

pub(crate) use cache::KvCache;
pub use config::{Activation, Config, Graph, RopeStyle};
pub use error::ModelError;
pub(crate) use forward::{Forward, Workspace};
pub use forward::{LogitsOf, Tap, Tensor};
pub use loading::{LoadOptions, Model, read_tokenizer};
pub(crate) use rope::RopeTable;
