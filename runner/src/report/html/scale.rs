//! From values to places along an axis of a chart, and how both are written. It draws nothing.

/// From values to places along an axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// The value at the beginning of the axis.
    pub low: f64,
    high: f64,
    log: bool,
}

impl Scale {
    /// From `low` to `high`, which is moved up where the two are equal.
    pub fn linear(low: f64, high: f64) -> Self {
        let high = if high > low { high } else { low + 1.0 };
        Self { low, high, log: false }
    }

    /// Whole powers of ten around the positive ones of `values`; 0 lies at the lower end.
    pub fn powers(values: impl Iterator<Item = f64>) -> Self {
        let positive = values.filter(|value| *value > 0.0 && value.is_finite());
        let bounds = positive.fold(None, |bounds: Option<(f64, f64)>, value| {
            let (low, high) = bounds.unwrap_or((value, value));
            Some((low.min(value), high.max(value)))
        });
        let (low, high) = bounds.unwrap_or((1e-12, 1.0));
        let (low, high) = (low.log10().floor(), high.log10().ceil());
        let high = if high > low { high } else { low + 1.0 };
        Self { low: 10f64.powf(low), high: 10f64.powf(high), log: true }
    }

    /// The ratio scale from `low` to `high`, both positive.
    pub fn ratio(low: f64, high: f64) -> Self {
        let high = if high > low { high } else { low * 2.0 };
        Self { low, high, log: true }
    }

    /// Where `value` lies, from 0 to 1; what is outside lies at the edge.
    pub fn part(&self, value: f64) -> f64 {
        let part = match self.log {
            true if value <= self.low => 0.0,
            true => (value / self.low).ln() / (self.high / self.low).ln(),
            false => (value - self.low) / (self.high - self.low),
        };
        if part.is_finite() { part.clamp(0.0, 1.0) } else { 1.0 }
    }

    /// At most seven values to write along the axis.
    pub fn ticks(&self) -> Vec<f64> {
        if self.log && self.high / self.low >= 100.0 {
            let (low, high) = (self.low.log10().round() as i32, self.high.log10().round() as i32);
            let step = usize::try_from((high - low) / 6 + 1).unwrap_or(1);
            return (low..=high).step_by(step).map(|power| 10f64.powi(power)).collect();
        }
        let span = self.high - self.low;
        let rough = span / 5.0;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|step| *step >= rough);
        let step = step.unwrap_or(span);
        let first = (self.low / step).ceil() as i64;
        (first..first + 7)
            .map(|i| i as f64 * step)
            .filter(|v| *v <= self.high * (1.0 + 1e-9))
            .collect()
    }
}

/// A place with a tenth of a unit.
pub fn short(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// A figure along an axis.
pub fn number(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-3..1e5).contains(&size) {
        return format!("{value:.0e}");
    }
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_hold_all_values_and_put_zero_at_the_end() {
        let scale = Scale::powers([3e-9, 0.0, 2e-3].into_iter());
        assert_eq!((scale.part(0.0), scale.part(1e-9), scale.part(1e-2)), (0.0, 0.0, 1.0));
        assert!((scale.part(10f64.powf(-5.5)) - 0.5).abs() < 1e-9);
        let none = Scale::powers(std::iter::empty());
        assert_eq!((none.part(0.0), none.part(f64::INFINITY)), (0.0, 1.0));
    }

    #[test]
    fn ticks_are_few_and_inside() {
        for scale in [
            Scale::linear(0.0, 1.0),
            Scale::linear(0.0, 1865.0),
            Scale::ratio(0.83, 1.4),
            Scale::powers([1e-16, 1.0].into_iter()),
        ] {
            let ticks = scale.ticks();
            assert!((2..=8).contains(&ticks.len()), "{scale:?}: {ticks:?}");
            assert!(ticks.iter().all(|t| *t >= scale.low * 0.999 && *t <= scale.high * 1.001));
        }
    }

    #[test]
    fn figures_are_short() {
        let shown = [0.0, 1.0, 0.25, 1e-7, 123_456.0].map(number);
        assert_eq!(shown, ["0", "1", "0.25", "1e-7", "1e5"]);
    }
}
