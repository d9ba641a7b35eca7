//! Charts as SVG elements, drawn by hand: scales, ticks, lines, dots, histograms. They know no receipt;
//! colours are the page's classes, so that they follow its light and dark.

use std::fmt::Write as _;

use maud::{Markup, html};

/// Size of a chart in its own units.
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 200.0;
/// Where the area of values begins and ends.
const LEFT: f64 = 62.0;
const RIGHT: f64 = 628.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 168.0;
/// More points than that are thinned out: a pixel shows no more.
const MOST_POINTS: usize = 240;

/// From values to places along an axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    low: f64,
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
    fn ticks(&self) -> Vec<f64> {
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

/// A line of points.
pub struct Line<'a> {
    /// What it shows.
    pub name: &'a str,
    /// The page's class for its colour.
    pub class: &'a str,
    /// In the order of x.
    pub points: Vec<(f64, f64)>,
}

/// A point that stands out.
pub struct Dot {
    /// Its place.
    pub at: (f64, f64),
    /// The page's class for its colour.
    pub class: &'static str,
    /// What is shown when one points at it.
    pub title: String,
}

/// A straight line across the chart.
pub enum Rule {
    /// At this height.
    Across(f64, &'static str, String),
    /// At this x.
    Upright(f64, &'static str, String),
}

/// Lines, dots and rules over two axes.
pub struct Chart<'a> {
    /// What it shows, for everybody who does not see it.
    pub title: &'a str,
    /// What runs to the right.
    pub x_name: &'a str,
    /// Along the bottom.
    pub x: Scale,
    /// Along the left.
    pub y: Scale,
    /// The lines.
    pub lines: Vec<Line<'a>>,
    /// The dots, above the lines.
    pub dots: Vec<Dot>,
    /// The rules, below both.
    pub rules: Vec<Rule>,
}

impl Chart<'_> {
    fn place(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let right = LEFT + self.x.part(x) * (RIGHT - LEFT);
        (right, BOTTOM - self.y.part(y) * (BOTTOM - TOP))
    }

    /// The chart as a figure with a legend.
    pub fn figure(&self) -> Markup {
        html! {
            figure {
                figcaption { (self.title)
                    @for line in &self.lines { span.key { span class={ "swatch " (line.class) } {} (line.name) } }
                }
                svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label=(self.title) {
                    (self.axes())
                    @for rule in &self.rules { (self.rule(rule)) }
                    @for line in &self.lines { path class={ "line " (line.class) } d=(self.path(&line.points)) {} }
                    @for dot in &self.dots {
                        @let (x, y) = self.place(dot.at);
                        circle class={ "dot " (dot.class) } cx=(short(x)) cy=(short(y)) r="3.5" { title { (dot.title) } }
                    }
                }
            }
        }
    }

    fn axes(&self) -> Markup {
        html! {
            @for tick in self.y.ticks() {
                @let y = self.place((self.x.low, tick)).1;
                line.grid x1=(LEFT) x2=(RIGHT) y1=(short(y)) y2=(short(y)) {}
                text.tick x=(LEFT - 6.0) y=(short(y + 4.0)) text-anchor="end" { (number(tick)) }
            }
            @for tick in self.x.ticks() {
                @let x = self.place((tick, self.y.low)).0;
                line.grid x1=(short(x)) x2=(short(x)) y1=(TOP) y2=(BOTTOM) {}
                text.tick x=(short(x)) y=(BOTTOM + 14.0) text-anchor="middle" { (number(tick)) }
            }
            text.tick x=(RIGHT) y=(HEIGHT - 4.0) text-anchor="end" { (self.x_name) }
        }
    }

    fn rule(&self, rule: &Rule) -> Markup {
        let (class, name, from, to) = match rule {
            Rule::Across(y, class, name) => {
                let y = self.place((self.x.low, *y)).1;
                (class, name, (LEFT, y), (RIGHT, y))
            }
            Rule::Upright(x, class, name) => {
                let x = self.place((*x, self.y.low)).0;
                (class, name, (x, TOP), (x, BOTTOM))
            }
        };
        html! {
            line class={ "rule " (class) } x1=(short(from.0)) y1=(short(from.1)) x2=(short(to.0)) y2=(short(to.1)) { title { (name) } }
        }
    }

    fn path(&self, points: &[(f64, f64)]) -> String {
        let mut out = String::new();
        for (index, point) in thinned(points).into_iter().enumerate() {
            let (x, y) = self.place(point);
            let _ = write!(out, "{}{} {}", if index == 0 { 'M' } else { 'L' }, short(x), short(y));
        }
        out
    }
}

/// At most [`MOST_POINTS`] of `points`: of each stretch the largest, so that no peak is lost.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    if points.len() <= MOST_POINTS {
        return points.to_vec();
    }
    points
        .chunks(points.len().div_ceil(MOST_POINTS))
        .filter_map(|chunk| chunk.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1)))
        .collect()
}

/// Two distributions of times, one above the line and one below, over a common logarithmic axis.
pub fn distributions(title: &str, above: (&str, &[f64]), below: (&str, &[f64])) -> Markup {
    const BINS: usize = 64;
    let all = || above.1.iter().chain(below.1).copied().filter(|v| *v > 0.0 && v.is_finite());
    let low = all().fold(f64::INFINITY, f64::min);
    let high = all().fold(0.0, f64::max);
    if !low.is_finite() {
        return html! {};
    }
    let scale = Scale::ratio(low * 0.98, high * 1.02);
    let count = |values: &[f64]| {
        let mut bins = [0usize; BINS];
        for value in values {
            let bin = (scale.part(*value) * BINS as f64) as usize;
            bins[bin.min(BINS - 1)] += 1;
        }
        let most = bins.iter().copied().max().unwrap_or_default().max(1);
        bins.map(|n| n as f64 / most as f64)
    };
    let middle = (TOP + BOTTOM) / 2.0;
    let half = (BOTTOM - TOP) / 2.0 - 4.0;
    let width = (RIGHT - LEFT) / BINS as f64;
    let bars = |bins: [f64; BINS], up: bool| {
        let mut path = String::new();
        for (index, share) in bins.into_iter().enumerate().filter(|(_, share)| *share > 0.0) {
            let x = LEFT + index as f64 * width;
            let tall = (share * half).max(1.0);
            let end = if up { middle - 1.0 - tall } else { middle + 1.0 + tall };
            let start = if up { middle - 1.0 } else { middle + 1.0 };
            let (x2, x) = (short(x + width * 0.9), short(x));
            let (start, end) = (short(start), short(end));
            let _ = write!(path, "M{x} {start}V{end}H{x2}V{start}Z");
        }
        path
    };
    html! {
        figure {
            figcaption { (title)
                span.key { span.swatch.subject {} (above.0) }
                span.key { span.swatch.reference {} (below.0) }
            }
            svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label=(title) {
                @for tick in scale.ticks() {
                    @let x = LEFT + scale.part(tick) * (RIGHT - LEFT);
                    line.grid x1=(short(x)) x2=(short(x)) y1=(TOP) y2=(BOTTOM) {}
                    text.tick x=(short(x)) y=(BOTTOM + 14.0) text-anchor="middle" { (number(tick)) }
                }
                text.tick x=(RIGHT) y=(HEIGHT - 4.0) text-anchor="end" { "ms, logarithmic" }
                path.area.subject d=(bars(count(above.1), true)) {}
                path.area.reference d=(bars(count(below.1), false)) {}
            }
        }
    }
}

/// One row of [`intervals`].
pub struct Interval<'a> {
    /// What was measured.
    pub name: &'a str,
    /// The value.
    pub value: f64,
    /// Its interval.
    pub ends: Option<(f64, f64)>,
    /// What it must not fall below.
    pub limit: f64,
    /// The page's class for its colour.
    pub class: &'static str,
}

/// Ratios with their intervals on one logarithmic axis, with lines at 1 and a tenth below, and each
/// row's own limit.
pub fn intervals(title: &str, rows: &[Interval<'_>]) -> Markup {
    const ROW: f64 = 26.0;
    let values = || {
        let of = |row: &Interval<'_>| {
            let (low, high) = row.ends.unwrap_or((row.value, row.value));
            [low, high, row.limit, 0.85, 1.1]
        };
        rows.iter().flat_map(of).filter(|value| *value > 0.0 && value.is_finite())
    };
    let low = values().fold(f64::INFINITY, f64::min);
    let high = values().fold(0.0, f64::max);
    let scale = Scale::ratio(low * 0.97, high * 1.03);
    let left = 150.0;
    let x = |value: f64| short(left + scale.part(value) * (RIGHT - left));
    let bottom = 8.0 + ROW * rows.len() as f64;
    html! {
        figure {
            figcaption { (title)
                span.key { span.swatch.parity-line {} "1.0" }
                span.key { span.swatch.tenth-line {} "a tenth slower" }
                span.key { span.swatch.limit-line {} "the case's limit" }
            }
            svg viewBox={ "0 0 " (WIDTH) " " (bottom + 24.0) } role="img" aria-label=(title) {
                @for tick in scale.ticks() {
                    line.grid x1=(x(tick)) x2=(x(tick)) y1="4" y2=(bottom) {}
                    text.tick x=(x(tick)) y=(bottom + 16.0) text-anchor="middle" { (number(tick)) }
                }
                line.rule.parity-line x1=(x(1.0)) x2=(x(1.0)) y1="4" y2=(bottom) {}
                line.rule.tenth-line x1=(x(0.9)) x2=(x(0.9)) y1="4" y2=(bottom) {}
                @for (index, row) in rows.iter().enumerate() {
                    @let y = 8.0 + ROW * (index as f64 + 0.5);
                    text.name x="0" y=(y + 4.0) { (row.name) }
                    line.rule.limit-line x1=(x(row.limit)) x2=(x(row.limit)) y1=(y - 9.0) y2=(y + 9.0) {}
                    @if let Some((low, high)) = row.ends {
                        line class={ "range " (row.class) } x1=(x(low)) x2=(x(high)) y1=(y) y2=(y) {}
                    }
                    circle class={ "dot " (row.class) } cx=(x(row.value)) cy=(y) r="4.5" {
                        title { (row.name) ": " (format!("{:.3}", row.value)) }
                    }
                }
            }
        }
    }
}

/// One row of [`bars`].
pub struct Bar {
    /// What it stands for.
    pub name: String,
    /// Its length.
    pub value: f64,
    /// What is written behind it.
    pub label: String,
    /// The page's class for its colour.
    pub class: &'static str,
}

/// Bars from the left over `scale`, with rules.
pub fn bars(title: &str, scale: Scale, rows: &[Bar], rules: &[(f64, String)]) -> Markup {
    const ROW: f64 = 22.0;
    let (left, right) = (190.0, 540.0);
    let x = |value: f64| left + scale.part(value) * (right - left);
    let bottom = 6.0 + ROW * rows.len() as f64;
    html! {
        figure {
            figcaption { (title) }
            svg viewBox={ "0 0 " (WIDTH) " " (bottom + 22.0) } role="img" aria-label=(title) {
                @for tick in scale.ticks() {
                    line.grid x1=(short(x(tick))) x2=(short(x(tick))) y1="2" y2=(bottom) {}
                    text.tick x=(short(x(tick))) y=(bottom + 14.0) text-anchor="middle" { (number(tick)) }
                }
                @for (index, row) in rows.iter().enumerate() {
                    @let y = 4.0 + ROW * index as f64;
                    text.name x="0" y=(y + 14.0) { (row.name) title { (row.name) } }
                    rect class={ "area " (row.class) } x=(left) y=(y + 3.0) height=(ROW - 7.0) width=(short((x(row.value) - left).max(1.0))) {}
                    text.tick x=(short(x(row.value) + 6.0)) y=(y + 14.0) { (row.label) }
                }
                @for (value, name) in rules {
                    line.rule.limit-line x1=(short(x(*value))) x2=(short(x(*value))) y1="2" y2=(bottom) { title { (name) } }
                }
            }
        }
    }
}

/// A place with a tenth of a unit.
fn short(value: f64) -> String {
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
    fn a_long_line_keeps_its_peak() {
        let mut points: Vec<(f64, f64)> = (0..10_000).map(|i| (f64::from(i), 0.1)).collect();
        points[7777].1 = 9.0;
        let thin = thinned(&points);
        assert!(thin.len() <= MOST_POINTS, "{}", thin.len());
        assert!(thin.contains(&(7777.0, 9.0)));
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
