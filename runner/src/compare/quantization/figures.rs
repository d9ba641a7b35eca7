//! How far two matrices are apart, in f64. Measures; has no opinion on what is near.

/// A place in a matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Row, from 0.
    pub row: usize,
    /// Column, from 0.
    pub column: usize,
}

/// The distance of a matrix from the one that it should be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gap {
    /// Σ(found − expected)² / Σ expected².
    pub nmse: f64,
    /// Largest |found − expected| in RMS of the expected values.
    pub max_error: f64,
    /// Cosine of the angle between the two, as vectors.
    pub cosine: f64,
    /// Where the largest error is.
    pub worst: Place,
    /// What should be there.
    pub expected: f64,
    /// What is there.
    pub found: f64,
}

/// The gap between two matrices with rows of `columns` values.
///
/// # Errors
/// In a sentence: other lengths, no value, a value that is not finite, or nothing but zeros expected.
pub fn gap(expected: &[f64], found: &[f64], columns: usize) -> Result<Gap, String> {
    if expected.len() != found.len() || columns == 0 || !expected.len().is_multiple_of(columns) {
        let (wanted, here) = (expected.len(), found.len());
        return Err(format!("{here} values where {wanted} in rows of {columns} are expected"));
    }
    let place = |index: usize| Place { row: index / columns, column: index % columns };
    let bad = |values: &[f64]| values.iter().position(|value| !value.is_finite());
    if let Some(index) = bad(found).or_else(|| bad(expected)) {
        let Place { row, column } = place(index);
        let value = found[index];
        return Err(format!("row {row}, column {column} is {value}: not a finite number"));
    }
    let (mut wrong, mut wanted, mut here, mut both) = (0.0, 0.0, 0.0, 0.0);
    let (mut largest, mut worst) = (-1.0, 0);
    for (index, (e, f)) in expected.iter().zip(found).enumerate() {
        let error = (f - e).abs();
        wrong += error * error;
        wanted += e * e;
        here += f * f;
        both += e * f;
        if error > largest {
            (largest, worst) = (error, index);
        }
    }
    if wanted == 0.0 {
        return Err("every expected value is 0: there is nothing to compare with".into());
    }
    let rms = (wanted / expected.len() as f64).sqrt();
    // Nothing but zeros where something is expected points nowhere: the worst cosine that is not a lie.
    let cosine = if here == 0.0 { 0.0 } else { both / (wanted.sqrt() * here.sqrt()) };
    Ok(Gap {
        nmse: wrong / wanted,
        max_error: largest / rms,
        cosine: cosine.min(1.0),
        worst: place(worst),
        expected: expected[worst],
        found: found[worst],
    })
}

/// The share of values that lie within `distance` of the expected ones.
pub fn share_within(expected: &[f64], found: &[f64], distance: f64) -> f64 {
    let near = expected.iter().zip(found).filter(|(e, f)| (*f - *e).abs() < distance).count();
    near as f64 / expected.len().max(1) as f64
}

/// `out[token][row]` = Σ weights[row][column] · x[token][column], each sum in f64.
///
/// # Panics
/// If `columns` is 0.
pub fn product(weights: &[f64], x: &[f64], columns: usize) -> Vec<f64> {
    let dot = |row: &[f64], x: &[f64]| row.iter().zip(x).map(|(w, x)| w * x).sum::<f64>();
    x.chunks_exact(columns)
        .flat_map(|x| weights.chunks_exact(columns).map(move |row| dot(row, x)))
        .collect()
}
