//! One row a value under a common axis, as SVG elements drawn by hand: intervals of ratios, bars. They know
//! no receipt; colours are the page's classes.

use maud::{Markup, html};

use super::chart::{RIGHT, WIDTH};
use super::scale::{Scale, number, short};

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
