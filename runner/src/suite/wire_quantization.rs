//! The keys of kind `quantization` that are tables or words, as serde sees them: plain, unvalidated.

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::quantization::Distribution;

/// How the weights of a matrix are distributed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum WireWeights {
    /// −1, 0 and 1 in equal shares, times one scale that an f16 holds. The only one for types that hold nothing else.
    Ternary,
    /// Normal with deviation 0.02.
    Normal,
    /// Uniform between −0.05 and 0.05.
    Uniform,
    /// Normal, and one weight in 256 eight times as large.
    Outliers,
}

impl WireWeights {
    pub fn distribution(self) -> Distribution {
        match self {
            Self::Ternary => Distribution::Ternary,
            Self::Normal => Distribution::Normal,
            Self::Uniform => Distribution::Uniform,
            Self::Outliers => Distribution::Outliers,
        }
    }
}

/// Limits that may only be tighter than those of the type.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct WireLimits {
    /// Ceiling of the round trip's squared error, as a share of the source's squares.
    #[schemars(with = "Option<f64>")]
    pub nmse: Option<Spanned<f64>>,
    /// Ceiling of the round trip's largest error, in RMS of the source.
    #[schemars(with = "Option<f64>")]
    pub max_error: Option<Spanned<f64>>,
    /// Floor of the cosine between source and round trip.
    #[schemars(with = "Option<f64>")]
    pub min_cosine: Option<Spanned<f64>>,
    /// Floor of the share of ternary weights that come back within half a step.
    #[schemars(with = "Option<f64>")]
    pub min_accuracy: Option<Spanned<f64>>,
    /// Ceiling of the product's squared error against exact activations, as a share of the product's squares.
    #[schemars(with = "Option<f64>")]
    pub product_nmse: Option<Spanned<f64>>,
    /// Ceiling of the product's largest error against exact activations, in RMS of the product.
    #[schemars(with = "Option<f64>")]
    pub product_max_error: Option<Spanned<f64>>,
    /// Floor of the cosine between the product and the one with exact activations.
    #[schemars(with = "Option<f64>")]
    pub min_product_cosine: Option<Spanned<f64>>,
    /// Ceiling of the product's squared error against the same rounded activations: the kernel's arithmetic alone.
    #[schemars(with = "Option<f64>")]
    pub arithmetic_nmse: Option<Spanned<f64>>,
}
