//! Sums over a file's tensors, and whether the engine computes what it holds. Prints nothing.

use std::collections::BTreeMap;

use bitnet_engine::escape;
use bitnet_engine::gguf::{GgufFile, TensorType};
use bitnet_engine::model::Config;

/// What follows from a file without its weights.
pub(super) struct Facts {
    /// `general.architecture`, if it is text.
    pub(super) architecture: Option<String>,
    /// Why the engine computes nothing from it, escaped; none if its hyper-parameters are accepted.
    pub(super) refusal: Option<String>,
    /// Its hyper-parameters, if they are accepted.
    pub(super) config: Option<Config>,
    /// Elements of all tensors.
    pub(super) parameters: u64,
    /// Bytes of all tensors, without padding.
    pub(super) tensor_bytes: u64,
    /// By type.
    pub(super) types: BTreeMap<TensorType, Sum>,
}

/// Tensors of one type.
#[derive(Default)]
pub(super) struct Sum {
    pub(super) tensors: usize,
    pub(super) elements: u64,
    pub(super) bytes: u64,
}

impl Sum {
    /// Bits of the data for each element.
    pub(super) fn bits_per_weight(&self) -> f64 {
        self.bytes as f64 * 8.0 / self.elements as f64
    }
}

impl Facts {
    /// Adds up.
    pub(super) fn of(file: &GgufFile) -> Self {
        let mut types: BTreeMap<TensorType, Sum> = BTreeMap::new();
        for tensor in file.tensors() {
            let sum = types.entry(tensor.tensor_type).or_default();
            sum.tensors += 1;
            sum.elements += tensor.elements() as u64;
            sum.bytes += tensor.size as u64;
        }
        let (config, refusal) = match Config::from_file(file) {
            Ok(config) => (Some(config), None),
            Err(error) => (None, Some(error)),
        };
        Self {
            architecture: file.metadata().str("general.architecture").ok().map(str::to_owned),
            refusal: refusal.map(|error| escape::text(&error.to_string())),
            config,
            parameters: types.values().map(|sum| sum.elements).sum(),
            tensor_bytes: types.values().map(|sum| sum.bytes).sum(),
            types,
        }
    }

    /// Bits of the tensors' data for each of their elements; none where there are no tensors.
    pub(super) fn bits_per_weight(&self) -> Option<f64> {
        (self.parameters > 0).then(|| self.tensor_bytes as f64 * 8.0 / self.parameters as f64)
    }
}
