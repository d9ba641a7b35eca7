//! Lines, dots and rules over two axes, and two distributions over one, as SVG elements drawn by hand. They
//! know no receipt; colours are the page's classes, so that they follow its light and dark.

use std::fmt::Write as _;

use maud::{Markup, html};

use super::scale::{Scale, number, short};

/// Width of a drawing in its own units.
pub const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 200.0;
/// Where the area of values begins and ends.
const LEFT: f64 = 62.0;
/// Its end on the right.
pub const RIGHT: f64 = 628.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 168.0;
/// More points than that are thinned out: a pixel shows no more.
const MOST_POINTS: usize = 240;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_keeps_its_peak() {
        let mut points: Vec<(f64, f64)> = (0..10_000).map(|i| (f64::from(i), 0.1)).collect();
        points[7777].1 = 9.0;
        let thin = thinned(&points);
        assert!(thin.len() <= MOST_POINTS, "{}", thin.len());
        assert!(thin.contains(&(7777.0, 9.0)));
    }
}
