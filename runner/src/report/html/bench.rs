//! A benchmark on the page: ratios with their intervals, distributions of times, history, bytes a second.
//! Every figure is the receipt's.

use maud::{Markup, html};

use super::chart::{self, Chart, Dot, Line, Rule};
use super::page::{Entry, Mood};
use super::rows::{self, Bar, Interval};
use super::scale::Scale;
use super::{identity, sha256};
use crate::escape;
use crate::receipt::{BenchReceipt, Measure, Measured, Side, Visit, Word};

/// What a verdict's word means for a page.
pub fn mood(word: Word) -> Mood {
    match word {
        Word::Pass => Mood::Good,
        Word::Inconclusive | Word::NotComparable => Mood::Warn,
        Word::Fail => Mood::Bad,
    }
}

/// The newest of `receipts`, all of one case against one reference on one machine and in the order of
/// time, with the others as its history. `bandwidth` is the machine's, in bytes a second, where it was
/// measured. Only where `detailed` are times drawn.
pub fn entry(receipts: &[&BenchReceipt], detailed: bool, bandwidth: Option<f64>) -> Option<Entry> {
    let newest = *receipts.last()?;
    let ratios: Vec<String> = newest
        .measured
        .iter()
        .map(|m| format!("{} {:.2}×", escape::text(&m.name), m.metrics.speed_ratio))
        .collect();
    Some(Entry {
        id: escape::text(&newest.case.id),
        tier: newest.case.tier,
        against: format!("against {}", escape::text(&newest.reference.name)),
        word: newest.verdict.word.to_string(),
        mood: mood(newest.verdict.word),
        say: ratios.join(", "),
        body: body(newest, receipts, detailed, bandwidth),
    })
}

fn body(
    newest: &BenchReceipt,
    all: &[&BenchReceipt],
    detailed: bool,
    bandwidth: Option<f64>,
) -> Markup {
    let rows: Vec<(String, &Measured)> =
        newest.measured.iter().map(|m| (escape::text(&m.name), m)).collect();
    let intervals: Vec<Interval<'_>> = rows
        .iter()
        .map(|(name, m)| Interval {
            name,
            value: m.metrics.speed_ratio,
            ends: m.metrics.speed_ratio_interval.as_ref().map(|i| (i.low, i.high)),
            limit: m.limit,
            class: mood(m.verdict.word).mark(),
        })
        .collect();
    html! {
        @for (name, m) in &rows {
            @if m.verdict.word != Word::Pass {
                div class={ "why " (mood(m.verdict.word).class()) } {
                    @for reason in &m.verdict.reasons { p { b { (name) " " (m.verdict.word) } " " (escape::text(reason)) } }
                }
            }
        }
        (rows::intervals("Speed as a part of the reference's, with the 95 % interval", &intervals))
        (table(newest, &rows))
        div.pair {
            @for (name, m) in &rows {
                @if detailed && m.measure == Measure::Decode { (latencies(name, m, newest)) }
                @if all.len() > 1 { (history(name, &m.name, all)) }
            }
        }
        @if !detailed { (super::undetailed()) }
        (streamed(newest, bandwidth))
        (foot(newest))
    }
}

fn table(receipt: &BenchReceipt, rows: &[(String, &Measured)]) -> Markup {
    let speed = |m: &Measured, side: &Side| match m.measure {
        Measure::Load => format!("{:.3} s", side.p50_ns / 1e9),
        Measure::Prefill | Measure::Decode => match side.per_second_sd {
            Some(sd) => format!("{:.2} ± {sd:.2} t/s", side.per_second),
            None => format!("{:.2} t/s", side.per_second),
        },
    };
    let millis = |side: &Side| {
        let ms = |nanos: f64| format!("{:.2}", nanos / 1e6);
        format!("{} / {} / {}", ms(side.p50_ns), ms(side.p95_ns), ms(side.max_ns as f64))
    };
    html! {
        div.wide { table {
            thead { tr {
                th { "test" } th { (escape::text(&receipt.subject.name)) } th { (escape::text(&receipt.reference.name)) }
                th { "ratio" } th { "95 % interval" } th { "limit" } th { "p50 / p95 / max ms" } th { "theirs" }
                th { "rounds" } th { "verdict" }
            } }
            tbody { @for (name, m) in rows { tr {
                td { (name) }
                td { (speed(m, &m.metrics.subject)) }
                td { (speed(m, &m.metrics.reference)) }
                td { (format!("{:.3}", m.metrics.speed_ratio)) }
                td { @if let Some(i) = &m.metrics.speed_ratio_interval { (format!("{:.3} to {:.3}", i.low, i.high)) } @else { "–" } }
                td { (format!("{:.2}", m.limit)) }
                td { (millis(&m.metrics.subject)) }
                td { (millis(&m.metrics.reference)) }
                td { (m.rounds.len()) }
                td { span class={ "badge " (mood(m.verdict.word).class()) } { (m.verdict.word) } }
            } } }
        } }
    }
}

fn latencies(name: &str, measured: &Measured, receipt: &BenchReceipt) -> Markup {
    let times = |visit: fn(&crate::receipt::Round) -> &Visit| -> Vec<f64> {
        let nanos = measured.rounds.iter().flat_map(|round| &visit(round).nanos);
        nanos.map(|&nanos| nanos as f64 / 1e6).collect()
    };
    let (ours, theirs) = (times(|round| &round.subject), times(|round| &round.reference));
    let (subject, reference) =
        (escape::text(&receipt.subject.name), escape::text(&receipt.reference.name));
    chart::distributions(
        &format!("{name}: time of a token"),
        (&subject, &ours),
        (&reference, &theirs),
    )
}

fn history(shown: &str, name: &str, all: &[&BenchReceipt]) -> Markup {
    let runs: Vec<(f64, &BenchReceipt, &Measured)> = all
        .iter()
        .enumerate()
        .filter_map(|(index, receipt)| {
            let measured = receipt.measured.iter().find(|m| m.name == name)?;
            Some((index as f64 + 1.0, *receipt, measured))
        })
        .collect();
    let ends = |m: &Measured| {
        let interval = m.metrics.speed_ratio_interval.as_ref();
        interval.map_or((m.metrics.speed_ratio, m.metrics.speed_ratio), |i| (i.low, i.high))
    };
    let low = runs.iter().map(|run| ends(run.2).0.min(run.2.limit)).fold(0.9, f64::min);
    let high = runs.iter().map(|run| ends(run.2).1).fold(1.0, f64::max);
    let line = |class, name, value: fn((f64, f64), f64) -> f64| Line {
        name,
        class,
        points: runs.iter().map(|(x, _, m)| (*x, value(ends(m), m.metrics.speed_ratio))).collect(),
    };
    let title = format!("{shown}: ratio over {} receipts", runs.len());
    Chart {
        title: &title,
        x_name: "receipt, oldest first",
        x: Scale::linear(1.0, runs.len() as f64),
        y: Scale::ratio(low * 0.97, high * 1.03),
        lines: vec![
            line("subject", "ratio", |_, value| value),
            line("quiet", "95 % interval", |ends, _| ends.0),
            line("quiet", "", |ends, _| ends.1),
        ],
        dots: runs
            .iter()
            .map(|(x, receipt, m)| Dot {
                at: (*x, m.metrics.speed_ratio),
                class: mood(m.verdict.word).mark(),
                title: format!(
                    "{} {}: {:.3}",
                    escape::text(&receipt.time),
                    escape::text(receipt.tool.commit.as_deref().unwrap_or("no commit")),
                    m.metrics.speed_ratio
                ),
            })
            .collect(),
        rules: vec![
            Rule::Across(1.0, "parity-line", "as fast as the reference".into()),
            Rule::Across(0.9, "tenth-line", "a tenth slower".into()),
        ],
    }
    .figure()
}

/// What decoding would stream if every byte of the file were read once a token: where the machine's
/// bandwidth is known, the bar's end is what memory allows.
fn streamed(receipt: &BenchReceipt, bandwidth: Option<f64>) -> Markup {
    let decodes = receipt.measured.iter().filter(|m| m.measure == Measure::Decode);
    let rows: Vec<Bar> = decodes
        .flat_map(|m| {
            let sides = [
                (&receipt.subject, &m.metrics.subject, "subject"),
                (&receipt.reference, &m.metrics.reference, "reference"),
            ];
            sides.map(|(identity, side, class)| {
                let rate = receipt.model.bytes as f64 * side.per_second;
                let share = bandwidth.map(|b| format!(", {:.0} % of the roof", rate / b * 100.0));
                Bar {
                    name: format!("{} {}", escape::text(&m.name), escape::text(&identity.name)),
                    value: rate / 1e9,
                    label: format!("{:.2} GB/s{}", rate / 1e9, share.unwrap_or_default()),
                    class,
                }
            })
        })
        .collect();
    if rows.is_empty() {
        return html! {};
    }
    let most =
        rows.iter().map(|row| row.value).chain(bandwidth.map(|b| b / 1e9)).fold(0.0, f64::max);
    let rules: Vec<(f64, String)> =
        bandwidth.map(|b| (b / 1e9, format!("memory: {:.1} GB/s", b / 1e9))).into_iter().collect();
    html! {
        (rows::bars("Roofline: file size × tokens a second", Scale::linear(0.0, most * 1.05), &rows, &rules))
        p.faint {
            "Not every byte of a file is read for a token (one row of the embedding is, and a greedy choice reads a part "
            "of the head), so the bar is no measurement of memory. "
            @if bandwidth.is_none() { "The machine's bandwidth is not in receipts: `--bandwidth` draws the roof." }
        }
    }
}

fn foot(receipt: &BenchReceipt) -> Markup {
    html! {
        p.faint {
            "model " (escape::text(&receipt.model.id)) ", " (escape::text(&receipt.model.architecture)) ", "
            (format!("{:.2} GB", receipt.model.bytes as f64 / 1e9)) ", sha256 " (sha256(&receipt.model.sha256))
            br; (receipt.threads) " threads each, " (escape::text(receipt.machine.hard.cpu.as_deref().unwrap_or("unknown processor"))) ", "
            (escape::text(&receipt.time)) ", commit " (escape::text(receipt.tool.commit.as_deref().unwrap_or("unknown")))
            @if receipt.tool.dirty == Some(true) { " with changes" }
            br; "subject: " (identity(&receipt.subject))
            br; "reference: " (identity(&receipt.reference))
            br; "kernels: "
            @for kernel in &receipt.kernels { code { (escape::text(&kernel.name)) } " × " (kernel.count) " " }
        }
    }
}
