//! From a GGUF file to a computation: hyper-parameters, typed weights, the forward pass.

mod activations;
mod arena;
mod attention;
mod cache;
mod config;
mod error;
mod forward;
mod graph;
mod layers;
mod layout;
mod linear;
mod loading;
mod rope;
mod scores;
mod screen;
mod ternary;
mod unsupported;
mod weights;
mod workspace;

pub use cache::KeyCache;
pub(crate) use cache::KvCache;
pub use config::Config;
pub use error::ModelError;
pub(crate) use forward::{Forward, Top};
pub use forward::{LogitsOf, Tap, Tensor};
pub use graph::{Activation, Biases, Graph, Names, RopeStyle};
pub(crate) use loading::screen_bytes;
pub use loading::{LoadOptions, Model, read_tokenizer};
pub(crate) use rope::RopeTable;
pub use rope::{RopeScaling, rotate_rows};
pub(crate) use screen::{MOST, Screening};
pub(crate) use weights::arranged_bytes;
pub(crate) use workspace::Workspace;
