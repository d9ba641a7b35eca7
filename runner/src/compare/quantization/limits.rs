//! The limits of each type, measured and then fixed with a margin: docs/quantization.md says how.

use std::fmt::Write as _;

use crate::compare::Sense;

/// What is measured of a quantised matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// Squared error of the round trip, as a share of the source's squares.
    Nmse,
    /// Largest error of the round trip, in RMS of the source.
    MaxError,
    /// Cosine between source and round trip.
    Cosine,
    /// Share of ternary weights that come back within half a step.
    Accuracy,
    /// Squared error of the product against exact activations, as a share of the product's squares.
    ProductNmse,
    /// Largest error of the product against exact activations, in RMS of the product.
    ProductMaxError,
    /// Cosine between the product and the one with exact activations.
    ProductCosine,
    /// Squared error of the product against the same rounded activations.
    ArithmeticNmse,
}

impl Metric {
    /// All of them, in the order of the suite format's keys.
    pub const ALL: [Self; 8] = [
        Self::Nmse,
        Self::MaxError,
        Self::Cosine,
        Self::Accuracy,
        Self::ProductNmse,
        Self::ProductMaxError,
        Self::ProductCosine,
        Self::ArithmeticNmse,
    ];

    /// Its key in a suite file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nmse => "nmse",
            Self::MaxError => "max-error",
            Self::Cosine => "min-cosine",
            Self::Accuracy => "min-accuracy",
            Self::ProductNmse => "product-nmse",
            Self::ProductMaxError => "product-max-error",
            Self::ProductCosine => "min-product-cosine",
            Self::ArithmeticNmse => "arithmetic-nmse",
        }
    }

    /// Which side of the limit is good.
    pub fn sense(self) -> Sense {
        match self {
            Self::Cosine | Self::Accuracy | Self::ProductCosine => Sense::AtLeast,
            _ => Sense::AtMost,
        }
    }

    /// The rule in words.
    pub fn rule(self) -> &'static str {
        match self {
            Self::Nmse => "round trip: Σ(back − source)² / Σ source²",
            Self::MaxError => "round trip: largest |back − source|, in RMS of the source",
            Self::Cosine => "round trip: cosine between source and what came back",
            Self::Accuracy => "round trip: share of weights that come back within half a step",
            Self::ProductNmse => {
                "product: Σ(ours − exact)² / Σ exact², exact = f64 product of the weights that came \
                 back with the activations before rounding"
            }
            Self::ProductMaxError => "product: largest |ours − exact|, in RMS of the exact product",
            Self::ProductCosine => "product: cosine between ours and the exact one",
            Self::ArithmeticNmse => {
                "product: Σ(ours − same)² / Σ same², same = f64 product with the same rounded \
                 activations"
            }
        }
    }
}

/// A limit for each metric that is judged, in the order of [`Metric::ALL`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits([Option<f64>; 8]);

impl Limits {
    /// Limits in the order of [`Metric::ALL`]; none is not judged.
    pub const fn new(limits: [Option<f64>; 8]) -> Self {
        Self(limits)
    }

    /// The limit of a metric.
    pub fn get(&self, metric: Metric) -> Option<f64> {
        self.0[metric as usize]
    }

    /// The same, with another limit for one metric.
    pub fn with(mut self, metric: Metric, limit: f64) -> Self {
        self.0[metric as usize] = Some(limit);
        self
    }
}

/// Limits of one type for weights of one distribution.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row {
    /// ggml's name in upper case.
    pub tensor_type: &'static str,
    /// The distribution's word in suite files.
    pub weights: &'static str,
    /// The limits.
    pub limits: Limits,
}

/// nmse, max-error, 1 − min-cosine; then the same of the product; then arithmetic-nmse.
const fn row(
    tensor_type: &'static str,
    weights: &'static str,
    trip: [f64; 3],
    product: [f64; 3],
    arithmetic: f64,
) -> Row {
    // Weights of three values either come back or do not.
    let accuracy = if weights.len() == "ternary".len() && weights.as_bytes()[0] == b't' {
        Some(1.0)
    } else {
        None
    };
    let limits = Limits::new([
        Some(trip[0]),
        Some(trip[1]),
        Some(1.0 - trip[2]),
        accuracy,
        Some(product[0]),
        Some(product[1]),
        Some(1.0 - product[2]),
        Some(arithmetic),
    ]);
    Row { tensor_type, weights, limits }
}

/// Every type with every distribution that it holds.
#[rustfmt::skip]
pub static TABLE: &[Row] = &[
    row("I2_S", "ternary", [0.0, 0.0, 1.0e-12], [1.5e-4, 4.5e-2, 7.3e-5], 1.7e-14),
    row("TL1", "ternary", [0.0, 0.0, 1.0e-12], [1.3e-4, 4.8e-2, 6.4e-5], 1.7e-14),
    row("TL2", "ternary", [0.0, 0.0, 1.0e-12], [1.3e-4, 4.8e-2, 6.4e-5], 1.7e-14),
    row("F32", "ternary", [0.0, 0.0, 1.0e-12], [4.6e-14, 7.2e-7, 1.0e-12], 3.1e-13),
    row("F32", "normal", [0.0, 0.0, 1.0e-12], [6.3e-14, 8.6e-7, 1.0e-12], 4.2e-13),
    row("F32", "uniform", [0.0, 0.0, 1.0e-12], [6.8e-14, 1.3e-6, 1.0e-12], 4.6e-13),
    row("F32", "outliers", [0.0, 0.0, 1.0e-12], [6.6e-14, 9.7e-7, 1.0e-12], 4.4e-13),
    row("F16", "ternary", [0.0, 0.0, 1.0e-12], [1.1e-7, 1.1e-3, 5.1e-8], 4.2e-13),
    row("F16", "normal", [6.6e-8, 2.3e-3, 3.3e-8], [1.2e-7, 1.2e-3, 5.5e-8], 4.2e-13),
    row("F16", "uniform", [6.6e-8, 8.0e-4, 3.3e-8], [9.8e-8, 1.3e-3, 4.9e-8], 3.2e-13),
    row("F16", "outliers", [7.0e-8, 8.3e-3, 3.5e-8], [1.1e-7, 2.0e-3, 5.5e-8], 3.0e-13),
    row("BF16", "ternary", [9.3e-6, 4.6e-3, 1.0e-12], [5.9e-6, 1.1e-2, 2.9e-6], 6.2e-14),
    row("BF16", "normal", [4.2e-6, 1.9e-2, 2.1e-6], [6.1e-6, 9.2e-3, 2.9e-6], 8.4e-14),
    row("BF16", "uniform", [4.3e-6, 6.4e-3, 2.2e-6], [5.2e-6, 1.1e-2, 2.6e-6], 7.6e-14),
    row("BF16", "outliers", [4.2e-6, 6.4e-2, 2.1e-6], [5.0e-6, 1.1e-2, 2.5e-6], 8.1e-14),
    row("Q4_0", "ternary", [1.2e-2, 2.4e-1, 3.4e-3], [5.2e-5, 2.7e-2, 2.6e-5], 5.3e-13),
    row("Q4_0", "normal", [1.2e-2, 5.4e-1, 5.6e-3], [5.7e-5, 2.7e-2, 2.8e-5], 4.0e-13),
    row("Q4_0", "uniform", [6.5e-3, 3.3e-1, 3.2e-3], [7.0e-5, 3.7e-2, 3.5e-5], 5.4e-13),
    row("Q4_0", "outliers", [2.1e-2, 2.0e0, 1.1e-2], [6.7e-5, 3.1e-2, 3.4e-5], 3.9e-13),
    row("Q8_0", "ternary", [2.2e-7, 7.1e-4, 1.0e-12], [5.3e-5, 2.8e-2, 2.6e-5], 3.9e-13),
    row("Q8_0", "normal", [4.3e-5, 2.6e-2, 2.2e-5], [5.8e-5, 2.8e-2, 2.8e-5], 4.0e-13),
    row("Q8_0", "uniform", [2.2e-5, 1.1e-2, 1.1e-5], [6.8e-5, 3.8e-2, 3.4e-5], 3.0e-13),
    row("Q8_0", "outliers", [8.3e-5, 1.3e-1, 4.2e-5], [6.8e-5, 3.3e-2, 3.4e-5], 3.8e-13),
    row("Q4_K", "ternary", [6.8e-7, 1.4e-3, 3.2e-7], [8.4e-5, 3.4e-2, 4.2e-5], 3.1e-13),
    row("Q4_K", "normal", [7.6e-3, 3.8e-1, 3.8e-3], [1.0e-4, 3.7e-2, 5.0e-5], 7.9e-13),
    row("Q4_K", "uniform", [4.6e-3, 2.9e-1, 2.3e-3], [8.8e-5, 3.6e-2, 4.4e-5], 7.8e-13),
    row("Q4_K", "outliers", [1.1e-2, 1.3e0, 5.2e-3], [9.2e-5, 3.8e-2, 4.6e-5], 1.3e-12),
    row("Q5_K", "ternary", [5.5e-4, 7.8e-2, 2.8e-4], [8.4e-5, 3.4e-2, 4.2e-5], 3.7e-13),
    row("Q5_K", "normal", [2.0e-3, 2.1e-1, 9.7e-4], [1.1e-4, 3.8e-2, 5.2e-5], 1.1e-12),
    row("Q5_K", "uniform", [1.2e-3, 1.6e-1, 5.8e-4], [9.1e-5, 3.7e-2, 4.6e-5], 8.2e-13),
    row("Q5_K", "outliers", [2.6e-3, 6.3e-1, 1.3e-3], [9.0e-5, 3.9e-2, 4.5e-5], 1.6e-12),
    row("Q6_K", "ternary", [4.8e-5, 1.6e-2, 1.2e-5], [8.4e-5, 3.4e-2, 4.2e-5], 9.8e-14),
    row("Q6_K", "normal", [4.8e-4, 1.1e-1, 2.4e-4], [1.1e-4, 3.7e-2, 5.2e-5], 8.1e-14),
    row("Q6_K", "uniform", [2.7e-4, 5.9e-2, 1.4e-4], [8.9e-5, 3.8e-2, 4.5e-5], 9.4e-14),
    row("Q6_K", "outliers", [7.7e-4, 5.0e-1, 3.9e-4], [9.0e-5, 3.8e-2, 4.5e-5], 9.1e-14),
    row("TQ1_0", "ternary", [0.0, 0.0, 1.0e-12], [8.3e-5, 3.4e-2, 4.2e-5], 3.1e-13),
    row("TQ2_0", "ternary", [0.0, 0.0, 1.0e-12], [8.3e-5, 3.4e-2, 4.2e-5], 3.1e-13),
];

/// The limits of `tensor_type` for weights of a distribution, if it holds them.
pub fn limits_of(tensor_type: &str, weights: &str) -> Option<Limits> {
    let found = TABLE.iter().find(|row| row.tensor_type == tensor_type && row.weights == weights);
    found.map(|row| row.limits)
}

/// The table as Markdown, for its documentation.
pub fn limits_markdown() -> String {
    let mut text = String::from("| type | weights |");
    for metric in Metric::ALL {
        let _ = write!(text, " `{}` |", metric.name());
    }
    text.push_str("\n|---|---|---|---|---|---|---|---|---|---|\n");
    for row in TABLE {
        let _ = write!(text, "| {} | {} |", row.tensor_type, row.weights);
        for metric in Metric::ALL {
            let _ = match (row.limits.get(metric), metric.sense()) {
                (None, _) => write!(text, " – |"),
                (Some(limit), Sense::AtMost) => write!(text, " ≤ {limit:e} |"),
                (Some(1.0), Sense::AtLeast) => write!(text, " = 1 |"),
                (Some(limit), Sense::AtLeast) => write!(text, " ≥ 1 − {:.1e} |", 1.0 - limit),
            };
        }
        text.push('\n');
    }
    text
}
