//! From a matrix, what became of it and its product to a verdict with the reason in words.

use std::fmt::Write as _;

use super::figures::{Gap, Place, gap, product, share_within};
use super::limits::{Limits, Metric};
use crate::compare::Sense;

/// The result in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuantizationWord {
    /// Within every limit.
    Pass,
    /// A limit is broken, or what must be equal is not.
    Fail,
    /// Nothing could be judged.
    Error,
}

impl QuantizationWord {
    /// As reports print it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::Error => "ERROR",
        }
    }
}

/// The integers inside a product of ternary weights.
#[derive(Debug, Clone, Copy)]
pub struct Integers<'a> {
    /// The weights: −1, 0 or 1.
    pub weights: &'a [i8],
    /// What the activations became, by the definition of the rounding.
    pub codes: &'a [i8],
    /// `sums[token][row]` of the kernel: Σ weight · code.
    pub sums: &'a [i32],
}

/// A matrix and everything that was made of it.
#[derive(Debug, Clone, Copy)]
pub struct QuantizationInput<'a> {
    /// Columns of the matrix.
    pub columns: usize,
    /// The weights before they were quantised.
    pub source: &'a [f32],
    /// The weights that came back.
    pub back: &'a [f32],
    /// Distance of neighbouring weights, where the source is ternary.
    pub step: Option<f32>,
    /// Activations: rows of `columns` values.
    pub x: &'a [f32],
    /// The same, rounded as the type's product rounds them, by the definition of the rounding.
    pub rounded: &'a [f64],
    /// `product[token][row]` of the kernel.
    pub product: &'a [f32],
    /// The same of the scalar kernels, where the kernel is another one.
    pub scalar: Option<&'a [f32]>,
    /// The kernel's integers, where the product has them.
    pub integers: Option<Integers<'a>>,
}

/// One figure against its limit.
#[derive(Debug, Clone, PartialEq)]
struct Figure {
    metric: Metric,
    measured: f64,
    limit: f64,
    place: String,
}

impl Figure {
    fn passes(&self) -> bool {
        match self.metric.sense() {
            Sense::AtMost => self.measured <= self.limit,
            Sense::AtLeast => self.measured >= self.limit,
        }
    }
}

/// What was measured, and what it amounts to.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantizationVerdict {
    figures: Vec<Figure>,
    /// Broken equalities, each a headline with its place.
    unequal: Vec<(String, String)>,
    /// What was found equal, in words.
    equal: Vec<&'static str>,
    error: Option<String>,
}

/// Judges a matrix by `limits`.
pub fn judge(input: &QuantizationInput<'_>, limits: &Limits) -> QuantizationVerdict {
    let mut verdict = QuantizationVerdict {
        figures: Vec::new(),
        unequal: Vec::new(),
        equal: Vec::new(),
        error: None,
    };
    if let Err(error) = verdict.measure(input, limits) {
        verdict.error = Some(error);
    }
    verdict
}

impl QuantizationVerdict {
    /// The word.
    pub fn word(&self) -> QuantizationWord {
        if self.error.is_some() {
            QuantizationWord::Error
        } else if self.unequal.is_empty() && self.figures.iter().all(Figure::passes) {
            QuantizationWord::Pass
        } else {
            QuantizationWord::Fail
        }
    }

    /// What was measured, if it was.
    pub fn measured(&self, metric: Metric) -> Option<f64> {
        self.figures.iter().find(|figure| figure.metric == metric).map(|figure| figure.measured)
    }

    fn measure(&mut self, input: &QuantizationInput<'_>, limits: &Limits) -> Result<(), String> {
        let columns = input.columns;
        let wide = |values: &[f32]| values.iter().map(|v| f64::from(*v)).collect::<Vec<f64>>();
        let (source, back, x) = (wide(input.source), wide(input.back), wide(input.x));
        let trip = gap(&source, &back, columns).map_err(|why| format!("round trip: {why}"))?;
        let place = |gap: &Gap, names: (&str, &str), what: &str| {
            let Place { row, column } = gap.worst;
            let Gap { expected, found, .. } = gap;
            format!(
                "worst: {} {row}, {} {column}: {what} {expected:.6e}, found {found:.6e}",
                names.0, names.1
            )
        };
        let at = place(&trip, ("row", "column"), "source");
        self.figure(limits, Metric::Nmse, trip.nmse, &at);
        self.figure(limits, Metric::MaxError, trip.max_error, &at);
        self.figure(limits, Metric::Cosine, trip.cosine, &at);
        if let Some(step) = input.step {
            let share = share_within(&source, &back, f64::from(step) / 2.0);
            self.figure(limits, Metric::Accuracy, share, &at);
        }

        let rows = source.len() / columns;
        let found = wide(input.product);
        let against = |x: &[f64]| {
            gap(&product(&back, x, columns), &found, rows).map_err(|why| format!("product: {why}"))
        };
        let exact = against(&x)?;
        let at = place(&exact, ("token", "row"), "exact");
        self.figure(limits, Metric::ProductNmse, exact.nmse, &at);
        self.figure(limits, Metric::ProductMaxError, exact.max_error, &at);
        self.figure(limits, Metric::ProductCosine, exact.cosine, &at);
        let rounded = against(input.rounded)?;
        let at = place(&rounded, ("token", "row"), "of the same rounded activations");
        self.figure(limits, Metric::ArithmeticNmse, rounded.nmse, &at);

        if let Some(integers) = &input.integers {
            self.integers(integers, columns, rows);
        }
        if let Some(scalar) = input.scalar {
            let unlike =
                scalar.iter().zip(input.product).position(|(s, p)| s.to_bits() != p.to_bits());
            match unlike.or((scalar.len() != input.product.len()).then_some(0)) {
                None => self.equal.push("bits of the scalar product"),
                Some(index) => {
                    let (token, row) = (index / rows, index % rows);
                    let (scalar, found) = (scalar[index], input.product[index]);
                    let head = "the product has other bits than the scalar one".to_owned();
                    let at =
                        format!("first: token {token}, row {row}: {scalar:e}, found {found:e}");
                    self.unequal.push((head, at));
                }
            }
        }
        Ok(())
    }

    fn figure(&mut self, limits: &Limits, metric: Metric, measured: f64, place: &str) {
        if let Some(limit) = limits.get(metric) {
            self.figures.push(Figure { metric, measured, limit, place: place.to_owned() });
        }
    }

    /// Integers have one right value.
    fn integers(&mut self, integers: &Integers<'_>, columns: usize, rows: usize) {
        let expected = integers.codes.chunks_exact(columns).flat_map(|codes| {
            let dot = move |row: &[i8]| -> i64 {
                row.iter().zip(codes).map(|(w, c)| i64::from(*w) * i64::from(*c)).sum()
            };
            integers.weights.chunks_exact(columns).map(dot)
        });
        let expected: Vec<i64> = expected.collect();
        let unlike = expected.iter().zip(integers.sums).position(|(e, s)| *e != i64::from(*s));
        match unlike.or((expected.len() != integers.sums.len()).then_some(0)) {
            None => self.equal.push("every integer sum"),
            Some(index) => {
                let (token, row) = (index / rows, index % rows);
                let words = |sum: Option<i64>| sum.map_or("none".to_owned(), |sum| sum.to_string());
                let exact = words(expected.get(index).copied());
                let found = words(integers.sums.get(index).copied().map(i64::from));
                let head = "an integer sum is wrong".to_owned();
                let at = format!("first: token {token}, row {row}: exact {exact}, found {found}");
                self.unequal.push((head, at));
            }
        }
    }

    /// One line for a pass.
    pub fn one_line(&self, what: &str) -> String {
        let figures: Vec<String> = self.figures.iter().map(shown).collect();
        let mut line = format!("{} {what}: {}", self.word().name(), figures.join(", "));
        for equal in &self.equal {
            let _ = write!(line, "; equal: {equal}");
        }
        line
    }

    /// The whole story of a failure, several lines without the last break.
    pub fn explain(&self, what: &str) -> String {
        if let Some(error) = &self.error {
            return format!("ERROR: {what}: {error}");
        }
        let mut text = String::new();
        for (headline, at) in &self.unequal {
            let _ = write!(text, "{}{headline} ({what})\n    {at}", mark(&text));
        }
        for figure in self.figures.iter().filter(|figure| !figure.passes()) {
            let Figure { metric, measured, limit, place } = figure;
            let (name, side) = match metric.sense() {
                Sense::AtMost => (metric.name(), "above"),
                Sense::AtLeast => (metric.name(), "below"),
            };
            let (measured, limit) = (value(metric, *measured), value(metric, *limit));
            let _ = write!(
                text,
                "{}{name} is {measured}, {side} its limit {limit} ({what})\n    {}\n    {place}\n    \
                 would have passed with {name} = {}",
                mark(&text),
                metric.rule(),
                passing(figure.measured, metric.sense())
            );
        }
        let figures: Vec<String> = self.figures.iter().map(shown).collect();
        let _ = write!(text, "\n  all figures: {}", figures.join(", "));
        text
    }
}

/// How a broken rule begins: the first one is the headline.
fn mark(text: &str) -> &'static str {
    if text.is_empty() { "FAIL: " } else { "\n  also: " }
}

fn shown(figure: &Figure) -> String {
    let (name, sign) = match figure.metric.sense() {
        Sense::AtMost => (figure.metric.name(), "≤"),
        Sense::AtLeast => (figure.metric.name(), "≥"),
    };
    let (measured, limit) =
        (value(&figure.metric, figure.measured), value(&figure.metric, figure.limit));
    format!("{name} {measured} ({sign} {limit})")
}

/// A figure in a few digits; of a cosine or a share, what it lacks to 1.
fn value(metric: &Metric, value: f64) -> String {
    match metric.sense() {
        Sense::AtMost => format!("{value:.3e}"),
        Sense::AtLeast if value == 1.0 => "1".into(),
        Sense::AtLeast => format!("1 − {:.3e}", 1.0 - value),
    }
}

/// A limit of three digits that `measured` keeps.
fn passing(measured: f64, sense: Sense) -> String {
    let near = |digits: i32| {
        let unit = 10f64.powi(digits);
        match sense {
            Sense::AtMost => (measured / unit).ceil() * unit,
            Sense::AtLeast => (measured / unit).floor() * unit,
        }
    };
    if measured == 0.0 {
        return "0".into();
    }
    // A floor is a share or a cosine, whose distance from 1 is what counts.
    let size = if sense == Sense::AtLeast { 1.0 - measured } else { measured };
    let digits = size.abs().max(1e-15).log10().floor() as i32 - 2;
    match sense {
        Sense::AtMost => format!("{:.2e}", near(digits)),
        Sense::AtLeast => format!("{:.*}", usize::try_from(-digits).unwrap_or(0), near(digits)),
    }
}
