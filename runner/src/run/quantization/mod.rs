//! A quantization case: a seeded matrix through a type of the engine and back, and its product. No model
//! is opened and no reference is asked; judging is `compare`'s.

mod source;

use super::outcome::{Cause, Obstacle, Outcome, Result};
use crate::backend::matrix::{MatrixEngine, MatrixType, best_isa, rounded};
use crate::compare::quantization::{
    Integers, Limits, QuantizationInput, QuantizationVerdict, QuantizationWord, judge, limits_of,
};
use crate::suite::Variant;
use crate::suite::quantization::{
    Distribution, KnownType, KnownTypes, Quantization, QuantizationLimits,
};

/// The engine's types and `compare`'s limits, for the suite format.
pub const TYPES: KnownTypes = KnownTypes { types, limits };

fn types() -> Vec<KnownType> {
    let known = |matrix_type: MatrixType| {
        let (row_step, column_step) = matrix_type.steps();
        KnownType { name: matrix_type.name(), row_step, column_step }
    };
    MatrixType::all().into_iter().map(known).collect()
}

/// The limits of a type in the suite format's terms.
fn limits(matrix_type: &str, weights: Distribution) -> Option<QuantizationLimits> {
    use crate::compare::quantization::Metric;
    let limits = limits_of(matrix_type, weights.name())?;
    Some(QuantizationLimits {
        nmse: limits.get(Metric::Nmse),
        max_error: limits.get(Metric::MaxError),
        min_cosine: limits.get(Metric::Cosine),
        min_accuracy: limits.get(Metric::Accuracy),
        product_nmse: limits.get(Metric::ProductNmse),
        product_max_error: limits.get(Metric::ProductMaxError),
        min_product_cosine: limits.get(Metric::ProductCosine),
        arithmetic_nmse: limits.get(Metric::ArithmeticNmse),
    })
}

/// Runs one variant of a quantization case.
pub(super) fn run(
    engine: &dyn MatrixEngine,
    check: &Quantization,
    variant: &Variant,
) -> Result<Outcome> {
    let name = check.tensor_type.as_str();
    let limits = limits_of(name, check.weights.name())
        .map(|limits| tightened(limits, &check.tightened))
        .ok_or_else(|| Obstacle::Error(format!("{name} has no limits for these weights")))?;
    let isa = variant.isa.as_deref();
    let verdict = measure(engine, check, isa, &limits)?;
    let what = format!(
        "{name}, {} rows of {} columns, {} weights, seed {}, {}",
        check.rows,
        check.columns,
        check.weights.name(),
        check.seed,
        isa.map_or_else(best_isa, str::to_owned)
    );
    Ok(match verdict.word() {
        QuantizationWord::Pass => Outcome::passed(verdict.one_line(&what)),
        QuantizationWord::Fail => Outcome::differs(verdict.explain(&what)),
        QuantizationWord::Error => Outcome::failed(Cause::Engine, verdict.explain(&what)),
    })
}

/// Makes the matrix of `check`, has it quantised, given back and multiplied, and judges all three.
///
/// # Errors
/// If the type or the instruction set is not here.
pub fn measure(
    engine: &dyn MatrixEngine,
    check: &Quantization,
    isa: Option<&str>,
    limits: &Limits,
) -> Result<QuantizationVerdict> {
    let matrix_type = MatrixType::named(&check.tensor_type).ok_or_else(|| {
        Obstacle::Error(format!("the engine has no type {} any more", check.tensor_type))
    })?;
    let Quantization { rows, columns, tokens, seed, weights, .. } = *check;
    let (source, step) = source::weights(weights, seed, rows * columns);
    let x = source::activations(seed, tokens * columns);
    let bytes = engine.quantize(matrix_type, columns, &source);
    let back = engine.dequantize(matrix_type, columns, &bytes);
    let product = engine.multiply(matrix_type, columns, &bytes, &x, isa)?;
    let scalar = match isa {
        Some("scalar") => None,
        _ => Some(engine.multiply(matrix_type, columns, &bytes, &x, Some("scalar"))?.values),
    };
    let (rounded, codes) = rounded(matrix_type, columns, &x);
    // The truth of the sums: what the source says, not what came back.
    let ternary: Vec<i8> = source.iter().map(|w| i8::from(*w > 0.0) - i8::from(*w < 0.0)).collect();
    let integers = product.sums.as_ref().zip(codes.as_ref());
    let input = QuantizationInput {
        columns,
        source: &source,
        back: &back,
        step,
        x: &x,
        rounded: &rounded,
        product: &product.values,
        scalar: scalar.as_deref(),
        integers: integers.map(|(sums, codes)| Integers { weights: &ternary, codes, sums }),
    };
    Ok(judge(&input, limits))
}

/// The type's limits with those that the case makes tighter.
fn tightened(limits: Limits, tighter: &QuantizationLimits) -> Limits {
    use crate::compare::quantization::Metric;
    let entries = tighter.entries().into_iter().zip(Metric::ALL);
    entries.fold(limits, |limits, ((_, _, value), metric)| match value {
        Some(value) => limits.with(metric, value),
        None => limits,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::quantization::Metric;

    #[test]
    fn keys_and_metrics_stand_in_one_order() {
        let keys = QuantizationLimits::default().entries().map(|(key, _, _)| key);
        assert_eq!(keys, Metric::ALL.map(Metric::name));
        for (name, weights) in [("I2_S", Distribution::Ternary), ("Q4_0", Distribution::Normal)] {
            let truth = limits_of(name, weights.name()).expect("limits");
            let shown = limits(name, weights).expect("limits").entries();
            for ((key, _, value), metric) in shown.into_iter().zip(Metric::ALL) {
                assert_eq!(value, truth.get(metric), "{key}");
            }
        }
    }

    /// A type that the engine gets has to be measured before a case can name it.
    #[test]
    fn every_type_of_the_engine_has_limits_and_no_other() {
        let names: Vec<&str> = types().into_iter().map(|known| known.name).collect();
        for name in &names {
            assert!(limits(name, Distribution::Ternary).is_some(), "no limits of {name}");
        }
        for row in crate::compare::quantization::TABLE {
            assert!(
                names.contains(&row.tensor_type),
                "{} is no type of the engine",
                row.tensor_type
            );
            assert!(Distribution::ALL.iter().any(|d| d.name() == row.weights), "{}", row.weights);
        }
    }
}
