//! A comparison on the page: what failed and where, in context; figures by position; margins and flips.
//! Every figure is the receipt's.

use maud::{Markup, html};

use super::chart::{Chart, Dot, Line, Rule};
use super::page::{Entry, Mood};
use super::scale::{Scale, number};
use super::{identity, sha256};
use crate::compare::{Finding, Severity, Word};
use crate::escape;
use crate::receipt::{ParityMetrics, ParityReceipt, Raw, RawPath};

/// Ids shown on either side of a position.
const CONTEXT: usize = 5;
/// Rules not kept that are shown beside the first.
const OTHERS: usize = 3;
/// The lower end of a logarithmic axis of figures that are 0 at best.
const FLOOR: f64 = 1e-16;

/// What a receipt means for a page.
pub fn mood(receipt: &ParityReceipt) -> Mood {
    match receipt.verdict.word {
        _ if !receipt.passed => Mood::Bad,
        Word::Exact | Word::Match => Mood::Good,
        Word::TieFlip | Word::Drift | Word::Diverged | Word::Error => Mood::Warn,
    }
}

/// The newest of `receipts`, all of one case against one reference and in the order of time. Only where
/// `detailed` are there charts. `localized` is what was found of its cause.
pub fn entry(
    receipts: &[&ParityReceipt],
    detailed: bool,
    localized: Option<Markup>,
) -> Option<Entry> {
    let newest = *receipts.last()?;
    let against = newest.against.as_deref().unwrap_or("no reference");
    Some(Entry {
        id: escape::text(&newest.case.id),
        tier: newest.case.tier,
        against: format!("against {}", escape::text(against)),
        word: newest.verdict.word.name().to_owned(),
        mood: mood(newest),
        say: newest.metrics.as_ref().map_or_else(String::new, say),
        body: html! {
            (why(newest))
            @if let Some(cause) = localized { (cause) }
            (other_findings(newest))
            @if let Some(raw) = &newest.raw {
                @if detailed { (paths(newest, raw)) }
            }
            @if let Some(metrics) = &newest.metrics { (figures(metrics)) }
            @if !detailed { (super::undetailed()) }
            (remarks(newest, receipts))
            (foot(newest))
        },
    })
}

fn say(metrics: &ParityMetrics) -> String {
    if metrics.bit_equal_rows == metrics.rows {
        return format!("{} rows equal to the bit", metrics.rows);
    }
    format!("mean KL {:.2e}, cosine {:.9}", metrics.mean_kl, metrics.cosine_similarity)
}

fn why(receipt: &ParityReceipt) -> Markup {
    let verdict = &receipt.verdict;
    html! {
        @if let Some(error) = &verdict.error {
            div.why { pre { (escape_lines(error)) } }
        }
        @if let Some(finding) = verdict.findings.first() { (one_finding(finding)) }
        @if let (Some(raw), Some(position)) =
            (&receipt.raw, verdict.findings.iter().find_map(|f| f.position)) {
            (context(raw, position))
        }
        @if let Some(raw) = &receipt.raw { (ids_that_differ(raw)) }
    }
}

/// What else was not kept: behind the cause, which belongs on the first screen.
fn other_findings(receipt: &ParityReceipt) -> Markup {
    let findings = &receipt.verdict.findings;
    html! {
        @for finding in findings.iter().skip(1).take(OTHERS) { (one_finding(finding)) }
        @if findings.len() > OTHERS + 1 {
            p.faint { "and " (findings.len() - OTHERS - 1) " more rules not kept" }
        }
    }
}

fn one_finding(finding: &Finding) -> Markup {
    let class = if finding.severity == Severity::Fail { "why" } else { "why warn" };
    let path = finding.path.map(|path| format!("{}: ", path.name())).unwrap_or_default();
    html! {
        div class=(class) {
            p { b { (path) (escape::text(&finding.rule)) } }
            p {
                "measured " b { (figure(finding.measured)) } ", limit " (figure(finding.limit))
                @if let Some(position) = finding.position { ", first bad position " b { (position) } }
                @if let Some(worst) = finding.worst_position { ", worst " (worst) }
                @if let Some(limit) = finding.minimum_to_pass {
                    "; would have passed with " code { (escape::text(&finding.name)) " = " (figure(limit)) }
                }
            }
            @if let Some(note) = &finding.note { p.faint { (escape::text(note)) } }
        }
    }
}

/// The ids around `position`, with their texts: the marked one is the last that was fed before the
/// distribution in question.
fn context(raw: &Raw, position: usize) -> Markup {
    let from = position.saturating_sub(CONTEXT);
    let around = from..raw.ids.len().min(position + CONTEXT + 1);
    html! {
        @if !around.is_empty() {
            div.context aria-label="ids around the first bad position" {
                @for index in around {
                    span.here[index == position] {
                        small { (index) " · " (raw.ids[index]) }
                        code { (raw.texts.get(index).map_or_else(String::new, |text| escape::text(text))) }
                    }
                }
            }
        }
    }
}

fn ids_that_differ(raw: &Raw) -> Markup {
    let difference = raw.tokens.as_ref().and_then(|tokens| tokens.difference.as_ref());
    let list = |ids: &[u32], marked: usize| {
        html! {
            div.context { @for (index, id) in ids.iter().enumerate() {
                span.here[index == marked] { (id) }
            } }
        }
    };
    html! {
        @if let Some(difference) = difference {
            @let marked = difference.index.saturating_sub(difference.from);
            p { "The ids of the text part at index " b { (difference.index) } ": the reference's, then the subject's" }
            (list(&difference.reference, marked))
            (list(&difference.test, marked))
        }
    }
}

fn paths(receipt: &ParityReceipt, raw: &Raw) -> Markup {
    html! {
        @for path in &raw.paths {
            @let equal = path.rows.bit_equal.iter().all(|equal| *equal);
            @if equal {
                p.faint { (path.path.name()) ": all " (path.rows.bit_equal.len()) " rows equal to the bit" }
            }
            div.pair {
                @if !equal { (distances(receipt, path)) }
                @if !equal || !path.flips.is_empty() { (margins(receipt, path)) }
            }
        }
    }
}

/// A column by position.
fn by_position(path: &RawPath, column: &[f64], value: fn(f64) -> f64) -> Vec<(f64, f64)> {
    let first = path.rows.first_position as f64;
    column.iter().enumerate().map(|(row, figure)| (first + row as f64, value(*figure))).collect()
}

fn positions(path: &RawPath) -> Scale {
    let first = path.rows.first_position as f64;
    Scale::linear(first, first + path.rows.kl.len().saturating_sub(1) as f64)
}

fn distances(receipt: &ParityReceipt, path: &RawPath) -> Markup {
    let kl = by_position(path, &path.rows.kl, |kl| kl);
    let cosine = by_position(path, &path.rows.centred_cosine, |cosine| (1.0 - cosine).max(0.0));
    let findings = || receipt.verdict.findings.iter().filter(|f| f.path == Some(path.path));
    let mut rules: Vec<Rule> = findings()
        .filter(|f| f.name.contains("kl"))
        .map(|f| {
            Rule::Across(
                f.limit,
                "limit-line",
                format!("{} at most {:.2e}", escape::text(&f.name), f.limit),
            )
        })
        .collect();
    if let Some(position) = findings().find_map(|f| f.position) {
        let name = format!("first bad position {position}");
        rules.push(Rule::Upright(position as f64, "bad-mark", name));
    }
    let limits = findings().filter(|f| f.name.contains("kl")).map(|f| f.limit);
    let values = kl.iter().chain(&cosine).map(|point| point.1).chain(limits);
    let values = values.map(|value| value.max(FLOOR));
    Chart {
        title: &format!("{}: distance by position", path.path.name()),
        x_name: "position",
        x: positions(path),
        y: Scale::powers(values),
        lines: vec![
            Line { name: "KL, nats", class: "subject", points: kl },
            Line { name: "1 − centred cosine", class: "reference", points: cosine },
        ],
        dots: Vec::new(),
        rules,
    }
    .figure()
}

fn margins(receipt: &ParityReceipt, path: &RawPath) -> Markup {
    let margins = by_position(path, &path.rows.reference_margin, |margin| margin);
    let greedy = receipt.metrics.as_ref().and_then(|metrics| {
        metrics.paths.iter().find(|of| of.path == path.path).map(|of| &of.greedy)
    });
    let flips = greedy.map(|greedy| &greedy.flips[..]).unwrap_or_default();
    let dots = flips.iter().map(|flip| Dot {
        at: (flip.position as f64, flip.margin),
        class: if flip.hard { "bad-mark" } else { "tie" },
        title: format!(
            "{} at position {}: reference {}, subject {}, margin {:.2e} nat, τ {:.2e} nat",
            if flip.hard { "flip" } else { "tie" },
            flip.position,
            flip.reference_id,
            flip.test_id,
            flip.margin,
            flip.tau
        ),
    });
    let dots: Vec<Dot> = dots.collect();
    let tau = flips.iter().map(|flip| flip.tau).fold(0.0, f64::max);
    let rules = if tau > 0.0 {
        vec![Rule::Across(tau, "tenth-line", format!("τ {tau:.2e}: up to here a flip is a tie"))]
    } else {
        Vec::new()
    };
    let values =
        margins.iter().map(|point| point.1).chain(flips.iter().flat_map(|f| [f.margin, f.tau]));
    let title = format!(
        "{}: margin of the reference's choice, {} flips beyond τ, {} ties",
        path.path.name(),
        flips.iter().filter(|flip| flip.hard).count(),
        flips.iter().filter(|flip| !flip.hard).count()
    );
    Chart {
        title: &title,
        x_name: "position",
        x: positions(path),
        y: Scale::powers(values.map(|value| value.max(FLOOR))),
        lines: vec![Line { name: "margin, nats", class: "quiet", points: margins }],
        dots,
        rules,
    }
    .figure()
}

fn figures(metrics: &ParityMetrics) -> Markup {
    html! {
        div.wide { table {
            thead { tr {
                th { "path" } th { "rows" } th { "equal bits" } th { "mean KL" } th { "p99" } th { "max" } th { "at" }
                th { "min cosine" } th { "raw" } th { "max NMSE" } th { "top-1" } th { "ties" } th { "flips" }
            } }
            tbody { @for path in &metrics.paths {
                @let s = &path.summary;
                tr {
                    td { (path.path.name()) }
                    td { (s.rows) }
                    td { (s.bit_equal_rows) }
                    td { (figure(s.mean_kl)) }
                    td { (figure(s.p99_kl)) }
                    td { (figure(s.max_kl.value)) }
                    td { (s.max_kl.position) }
                    td { (format!("{:.9}", s.min_centred_cosine.value)) }
                    td { (format!("{:.9}", s.min_raw_cosine.value)) }
                    td { (figure(s.max_nmse.value)) }
                    td { (s.top1.hits) "/" (s.top1.of) }
                    td { (path.greedy.tie_flips) }
                    td { (path.greedy.hard_flips) }
                }
            } }
        } }
        p.faint {
            "mean KL is " (escape::text(&metrics.damage)) "; agreement of at least "
            (format!("{:.3}", metrics.certified_agreement)) " is certified (one-sided 95 % Wilson bound)"
            @if let Some(run) = &metrics.free_run { "; free run equal for " (run.equal_steps) " of " (run.steps) " steps" }
        }
    }
}

fn remarks(newest: &ParityReceipt, all: &[&ParityReceipt]) -> Markup {
    html! {
        @if let Some(issue) = newest.known_failure { p { "Marked as a known failure, issue " (issue) "." } }
        @if let Some(qualification) = &newest.qualification {
            p { "Known-wrong outputs that were rejected: " (qualification) }
            @for (gate, control) in qualification.survivors() {
                div.why { p { b { "VACUOUS" } " at " (gate.name()) ": " (escape::text(&control.control)) " passed" } }
            }
        }
        @for sentence in &newest.verdict.untested { p.faint { "not tested: " (escape::text(sentence)) } }
        @if all.len() > 1 {
            p.faint { "earlier: "
                @for receipt in all.iter().rev().skip(1).take(20) {
                    span class={ "badge " (mood(receipt).class()) } { (receipt.verdict.word.name()) } " "
                    (escape::text(&receipt.time)) " "
                }
            }
        }
    }
}

fn foot(receipt: &ParityReceipt) -> Markup {
    html! {
        p.faint {
            @if let Some(model) = &receipt.model {
                "model " (escape::text(&model.id)) ", " (escape::text(&model.architecture)) ", "
                (format!("{:.2} GB", model.bytes as f64 / 1e9)) ", sha256 " (sha256(&model.sha256)) br;
            }
            (format!("{:.2} s", receipt.seconds)) ", " (receipt.threads) " threads"
            @if let Some(isa) = &receipt.isa { ", " (escape::text(isa)) }
            ", " (escape::text(&receipt.time)) ", commit " (escape::text(receipt.tool.commit.as_deref().unwrap_or("unknown")))
            @if receipt.tool.dirty == Some(true) { " with changes" }
            br; "subject: " (identity(&receipt.subject))
            @if let Some(reference) = &receipt.reference { br; "reference: " (identity(reference)) }
            br; "kernels: "
            @for kernel in &receipt.kernels { code { (escape::text(&kernel.name)) } " × " (kernel.count) " " }
        }
    }
}

fn figure(value: f64) -> String {
    if value != 0.0 && value.abs() < 1e-3 { format!("{value:.2e}") } else { number(value) }
}

fn escape_lines(text: &str) -> String {
    text.lines().map(escape::text).collect::<Vec<_>>().join("\n")
}
