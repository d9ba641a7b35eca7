//! What a case of kind `quantization` says, after every rule was checked: a matrix to make, a type to
//! quantise it to, and the limits that the case makes tighter. Makes no matrix and knows no figure.

use super::case::Bound;

/// A matrix that is quantised, given back and multiplied.
#[derive(Debug, Clone, PartialEq)]
pub struct Quantization {
    /// The tensor type, as ggml names it.
    pub tensor_type: String,
    /// Rows of the matrix: outputs of the product, a multiple of what the type asks for.
    pub rows: usize,
    /// Columns of the matrix, a multiple of the type's block.
    pub columns: usize,
    /// Rows of activations that it is multiplied with.
    pub tokens: usize,
    /// Seed of weights and activations.
    pub seed: u64,
    /// How the weights are distributed.
    pub weights: Distribution,
    /// Limits that are tighter than those of the type.
    pub tightened: QuantizationLimits,
}

/// How the weights of a matrix are distributed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Distribution {
    /// −1, 0 and 1 in equal shares, times one scale that an f16 holds.
    Ternary,
    /// Normal with deviation 0.02.
    Normal,
    /// Uniform between −0.05 and 0.05.
    Uniform,
    /// Normal, and one weight in 256 eight times as large.
    Outliers,
}

impl Distribution {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Ternary, Self::Normal, Self::Uniform, Self::Outliers];

    /// The word of the file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ternary => "ternary",
            Self::Normal => "normal",
            Self::Uniform => "uniform",
            Self::Outliers => "outliers",
        }
    }
}

/// Limits by metric; none leaves the metric to the type's own limit.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct QuantizationLimits {
    /// Ceiling of the round trip's NMSE.
    pub nmse: Option<f64>,
    /// Ceiling of the round trip's largest error, in RMS of the source.
    pub max_error: Option<f64>,
    /// Floor of the cosine between source and round trip.
    pub min_cosine: Option<f64>,
    /// Floor of the share of ternary weights that come back within half a step.
    pub min_accuracy: Option<f64>,
    /// Ceiling of the product's NMSE.
    pub product_nmse: Option<f64>,
    /// Ceiling of the product's largest error, in RMS of the product.
    pub product_max_error: Option<f64>,
    /// Floor of the cosine between the product and the exact one.
    pub min_product_cosine: Option<f64>,
    /// Ceiling of the NMSE that the kernel's arithmetic adds.
    pub arithmetic_nmse: Option<f64>,
}

impl QuantizationLimits {
    /// Every limit with its key in the file and its direction.
    pub fn entries(&self) -> [(&'static str, Bound, Option<f64>); 8] {
        use Bound::{Ceiling, Floor};
        [
            ("nmse", Ceiling, self.nmse),
            ("max-error", Ceiling, self.max_error),
            ("min-cosine", Floor, self.min_cosine),
            ("min-accuracy", Floor, self.min_accuracy),
            ("product-nmse", Ceiling, self.product_nmse),
            ("product-max-error", Ceiling, self.product_max_error),
            ("min-product-cosine", Floor, self.min_product_cosine),
            ("arithmetic-nmse", Ceiling, self.arithmetic_nmse),
        ]
    }
}

/// A type that a matrix can be quantised to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownType {
    /// ggml's name in upper case.
    pub name: &'static str,
    /// Rows come in multiples of this.
    pub row_step: usize,
    /// Columns come in multiples of this.
    pub column_step: usize,
}

/// What the suite format asks of those who know types and figures.
#[derive(Debug, Clone, Copy)]
pub struct KnownTypes {
    /// All types that can be quantised to.
    pub types: fn() -> Vec<KnownType>,
    /// The limits of a type for weights of a distribution; none where the type does not hold them.
    pub limits: fn(&str, Distribution) -> Option<QuantizationLimits>,
}
