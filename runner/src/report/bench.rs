//! A benchmark's receipt as text for people: a table with llama-bench's names. It computes no figure.

use std::fmt::Write as _;

use crate::backend::Identity;
use crate::escape;
use crate::receipt::{BenchReceipt, Measure, Measured, Side, Word};

/// The block of one trial: who was measured on what, a row a measure, the verdicts and their reasons.
pub fn block(id: &str, receipt: &BenchReceipt) -> String {
    let BenchReceipt { model, subject, reference, threads, peak_memory, .. } = receipt;
    let mut text = String::new();
    let plural = if *threads == 1 { "" } else { "s" };
    let _ = writeln!(
        text,
        "{id}\n  model: {}, {}, {:.2} GB; {threads} thread{plural} each",
        model.id,
        escape::text(&model.architecture),
        model.bytes as f64 / 1e9
    );
    for (role, identity) in [("subject", subject), ("reference", reference)] {
        let Identity { name, version, source, build } = identity;
        let line = format!("{name} {version} ({source}), {build}");
        let _ = writeln!(text, "  {role}: {}", escape::text(&line));
    }
    if let (Some(subject), Some(reference)) = (peak_memory.subject, peak_memory.reference) {
        let _ = writeln!(
            text,
            "  peak memory: {:.2} GB, reference {:.2} GB",
            subject as f64 / 1e9,
            reference as f64 / 1e9
        );
    }
    text.push('\n');
    text.push_str(&table(receipt));
    for Measured { name, verdict, .. } in &receipt.measured {
        for reason in &verdict.reasons {
            let _ = writeln!(text, "  {name}: {} {reason}", verdict.word);
        }
    }
    text
}

fn table(receipt: &BenchReceipt) -> String {
    let head = [
        "test".to_owned(),
        format!("{} t/s", escape::text(&receipt.subject.name)),
        format!("{} t/s", escape::text(&receipt.reference.name)),
        "ratio".to_owned(),
        "95 % interval".to_owned(),
        "limit".to_owned(),
        "p50 / p95 / max ms".to_owned(),
        "rounds".to_owned(),
        "verdict".to_owned(),
    ];
    let rows: Vec<[String; 9]> = receipt.measured.iter().map(row).collect();
    let widths: Vec<usize> = (0..head.len())
        .map(|column| rows.iter().chain([&head]).map(|row| row[column].chars().count()).max())
        .map(Option::unwrap_or_default)
        .collect();
    let line = |row: &[String; 9]| {
        let cells = row.iter().zip(&widths).enumerate();
        let cells = cells.map(|(column, (cell, &width))| match column {
            0 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
    };
    let rules: Vec<String> = widths
        .iter()
        .enumerate()
        .map(|(column, width)| match column {
            0 => format!(":{}", "-".repeat(width + 1)),
            _ => format!("{}:", "-".repeat(width + 1)),
        })
        .collect();
    let body: String = rows.iter().map(line).collect();
    format!("{}|{}|\n{body}", line(&head), rules.join("|"))
}

fn row(measured: &Measured) -> [String; 9] {
    let metrics = &measured.metrics;
    let speed = |side: &Side| {
        let Side { per_second, per_second_sd, .. } = side;
        // A load is told by its time.
        let figure = match measured.measure {
            Measure::Load => format!("{:.3} s", side.p50_ns / 1e9),
            Measure::Prefill | Measure::Decode => format!("{per_second:.2}"),
        };
        match (measured.measure, per_second_sd) {
            (Measure::Prefill | Measure::Decode, Some(sd)) => format!("{figure} ± {sd:.2}"),
            _ => figure,
        }
    };
    let interval = metrics.speed_ratio_interval.as_ref();
    let millis = |nanos: f64| format!("{:.2}", nanos / 1e6);
    let Side { p50_ns, p95_ns, max_ns, .. } = metrics.subject;
    [
        measured.name.clone(),
        speed(&metrics.subject),
        speed(&metrics.reference),
        format!("{:.3}", metrics.speed_ratio),
        interval.map_or("-".to_owned(), |i| format!("{:.3} to {:.3}", i.low, i.high)),
        format!("{:.2}", measured.limit),
        format!("{} / {} / {}", millis(p50_ns), millis(p95_ns), millis(max_ns as f64)),
        measured.rounds.len().to_string(),
        measured.verdict.word.to_string(),
    ]
}

/// The line that ends a run: how many trials ended with which word.
pub fn tally(words: &[Word], errors: usize) -> String {
    let count = |word: Word| (words.iter().filter(|&&w| w == word).count(), word.to_string());
    let counted: Vec<String> = [Word::Pass, Word::Fail, Word::Inconclusive, Word::NotComparable]
        .map(count)
        .into_iter()
        .chain([(errors, "ERROR".to_owned())])
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    format!("{} trials measured: {}", words.len() + errors, counted.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tally_names_only_what_happened() {
        let words = [Word::Pass, Word::Pass, Word::Fail];
        assert_eq!(tally(&words, 1), "4 trials measured: 2 PASS, 1 FAIL, 1 ERROR");
        assert_eq!(tally(&[Word::Inconclusive], 0), "1 trials measured: 1 INCONCLUSIVE");
    }
}
