//! The exactness ladder of a ternary product: absmax, int8 codes, int32 sums, scales, output. Integers have no
//! tolerance: with equal codes the sums are equal, whatever the instruction set. Asks no engine.

use serde::{Deserialize, Serialize};

use super::evaluate::Site;
use super::fit;
use super::graph::Operation;
use super::measure::rows;
use crate::backend::operations::{Codes, FileMatrix, Operations, Rounding};

/// How far outputs may be from a common multiple of the sums to count as one: eight roundings of f32.
const MULTIPLE: f64 = 8.0 * f32::EPSILON as f64;

/// One rung.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Rung {
    /// `absmax`, `codes`, `sums`, `scales` or `output`.
    pub name: String,
    /// Whether it holds.
    pub holds: bool,
    /// What was found, with the tensor and the row where it does not hold.
    pub words: String,
}

/// The rungs of one product, in order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Ladder {
    /// The product, by the name of its result.
    pub node: String,
    /// The matrix's tensor.
    pub tensor: String,
    /// absmax, codes, sums, scales, output.
    pub rungs: Vec<Rung>,
}

impl Ladder {
    /// The first rung that does not hold.
    pub fn broken(&self) -> Option<&Rung> {
        self.rungs.iter().find(|rung| !rung.holds)
    }
}

/// One engine's side of a product: the codes that the rule gives for its input, and the sums behind its output.
struct Side<'a> {
    name: &'a str,
    codes: Vec<Codes>,
    /// Exact sums for these codes.
    sums: Vec<i32>,
    /// What multiplies sum / scale to give the engine's output: the matrix's scale if it is right.
    multiple: f64,
    output: Vec<f32>,
}

/// Climbs the ladder of a ternary product from both engines' captured inputs and outputs.
///
/// # Errors
/// In words, why there is no ladder here.
pub fn climb(subject: Site<'_>, reference: Site<'_>) -> Result<Ladder, String> {
    let (operations, node) = (subject.operations, subject.node);
    let Operation::Linear { part, biased } = &node.operation else {
        return Err("no product".into());
    };
    let matrix = operations.matrix(&format!("{part}.weight"))?;
    let with_bias = *biased && operations.has(&format!("{part}.bias"));
    if with_bias || subject.factor(part).is_some() {
        return Err(format!("{node} holds more than sums", node = node.key));
    }
    let mut scale = 0.0;
    let sides = [("subject", subject), ("reference", reference)].map(|(name, site)| {
        let output = site.captured.input(&node.key)?;
        let output = rows(output, node.columns, site.positions);
        let codes = operations.codes(Rounding::NearestEven, matrix.columns, &site.x(0)?);
        let (sums, of_file) = ternary(operations, &matrix, &codes)?;
        scale = of_file;
        let multiple = multiple(&codes, &sums, &output, of_file);
        Ok::<_, String>(Side { name, codes, sums, multiple, output })
    });
    let [subject_side, reference_side] = sides;
    let (ours, theirs) = (subject_side?, reference_side?);
    let positions = subject.positions;
    let rungs = vec![
        absmax(&ours, &theirs, positions),
        codes(&ours, &theirs, positions),
        sums([&ours, &theirs], &matrix, positions),
        scales([&ours, &theirs], scale, &matrix),
        output(&ours, &theirs, &matrix, positions),
    ];
    Ok(Ladder { node: node.key.to_string(), tensor: matrix.name, rungs })
}

fn ternary(
    operations: &Operations,
    matrix: &FileMatrix,
    codes: &[Codes],
) -> Result<(Vec<i32>, f32), String> {
    let none = || format!("{} is not I2_S", matrix.name);
    operations.ternary_sums(matrix, codes).ok_or_else(none)
}

/// The common factor of outputs over sum / scale, where there is one; otherwise the file's.
fn multiple(codes: &[Codes], sums: &[i32], output: &[f32], scale: f32) -> f64 {
    let rows = sums.len() / codes.len().max(1);
    let units = |i: usize| f64::from(sums[i]) / f64::from(codes[i / rows].scale);
    let whole: Vec<f32> = (0..sums.len()).map(|i| units(i) as f32).collect();
    let Some(found) = fit::scale(output, &whole) else { return scale.into() };
    let apart = |i: usize| (f64::from(output[i]) - units(i) * found).abs();
    let agrees = (0..sums.len()).all(|i| apart(i) <= MULTIPLE * (units(i) * found).abs());
    if agrees { found } else { scale.into() }
}

fn rung(name: &str, found: Option<String>, holds: &str) -> Rung {
    let holds_here = found.is_none();
    Rung { name: name.into(), holds: holds_here, words: found.unwrap_or_else(|| holds.into()) }
}

fn absmax(ours: &Side<'_>, theirs: &Side<'_>, positions: &[usize]) -> Rung {
    let pairs = ours.codes.iter().zip(&theirs.codes);
    let differ = |(a, b): (&Codes, &Codes)| a.scale.to_bits() != b.scale.to_bits();
    let places: Vec<usize> =
        pairs.enumerate().filter(|(_, pair)| differ(*pair)).map(|(i, _)| positions[i]).collect();
    let found = places.first().map(|first| {
        format!("{} of {} positions differ, first {first}", places.len(), positions.len())
    });
    rung("absmax", found, "the largest magnitude of every row has the same bits")
}

fn codes(ours: &Side<'_>, theirs: &Side<'_>, positions: &[usize]) -> Rung {
    let (mut differ, mut far, mut first) = (0usize, 0usize, None);
    for (index, (a, b)) in ours.codes.iter().zip(&theirs.codes).enumerate() {
        for (column, (a, b)) in a.codes.iter().zip(&b.codes).enumerate() {
            let gap = i32::from(*a).abs_diff(i32::from(*b));
            differ += usize::from(gap > 0);
            far += usize::from(gap > 1);
            if gap > 0 && first.is_none() {
                first = Some((positions[index], column));
            }
        }
    }
    let found = first.map(|(position, column)| {
        format!(
            "{differ} codes differ, {far} of them by more than 1; first at position {position}, \
             column {column}"
        )
    });
    rung("codes", found, "every int8 code is the same")
}

/// The sums behind an engine's outputs, against the exact ones for its own codes.
fn sums(sides: [&Side<'_>; 2], matrix: &FileMatrix, positions: &[usize]) -> Rung {
    let mut found = Vec::new();
    for side in sides {
        let (mut differ, mut first) = (0usize, None);
        for (i, (sum, output)) in side.sums.iter().zip(&side.output).enumerate() {
            let (token, row) = (i / matrix.rows, i % matrix.rows);
            let behind = f64::from(*output) * f64::from(side.codes[token].scale) / side.multiple;
            if (behind - f64::from(*sum)).abs() > 0.25 {
                differ += 1;
                first = first.or(Some((row, positions[token], *sum, behind)));
            }
        }
        if let Some((row, position, sum, behind)) = first {
            found.push(format!(
                "{differ} of {} sums of the {} are not the exact ones for the codes of its input, first row {row} of \
                 {} at position {position}: {behind:.2} in place of {sum}",
                side.sums.len(),
                side.name,
                matrix.name
            ));
        }
    }
    let found = (!found.is_empty()).then(|| found.join("; "));
    rung("sums", found, "every int32 sum is the exact one for the codes, in both engines")
}

fn scales(sides: [&Side<'_>; 2], scale: f32, matrix: &FileMatrix) -> Rung {
    let right = f64::from(scale);
    let found: Vec<String> = (sides.iter())
        .filter(|side| (side.multiple / right - 1.0).abs() > MULTIPLE)
        .map(|side| {
            format!(
                "the {} multiplies by {:.6e} in place of the {scale:.6e} of {}: {:.4} times as much",
                side.name,
                side.multiple,
                matrix.name,
                side.multiple / right
            )
        })
        .collect();
    let found = (!found.is_empty()).then(|| found.join("; "));
    rung("scales", found, "both engines multiply by the matrix's scale")
}

fn output(ours: &Side<'_>, theirs: &Side<'_>, matrix: &FileMatrix, positions: &[usize]) -> Rung {
    let pairs = ours.output.iter().zip(&theirs.output).enumerate();
    let differ: Vec<usize> =
        pairs.filter(|(_, (a, b))| a.to_bits() != b.to_bits()).map(|(i, _)| i).collect();
    let found = differ.first().map(|first| {
        format!(
            "{} of {} outputs differ, first row {} of {} at position {}",
            differ.len(),
            ours.output.len(),
            first % matrix.rows,
            matrix.name,
            positions[first / matrix.rows]
        )
    });
    rung("output", found, "every output has the same bits")
}
