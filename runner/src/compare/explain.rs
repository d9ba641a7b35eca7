//! Says in text what a verdict rests on. Model text enters only escaped; nothing is printed here.

use std::fmt::Write as _;

use crate::escape;

use super::{Finding, Path, Sense, Severity, TokenDifference, Verdict, Word};

/// Ids shown on either side of a position.
const CONTEXT: usize = 5;

/// Mean KL of llama.cpp's quantisations of Llama 3 8B against f16, wikitext, from the scoreboard in
/// its perplexity tool's README. A scale for the reader, not a limit.
const SCOREBOARD: [(f64, &str); 3] = [(1.36e-3, "q8_0"), (1.08e-2, "q5_K_M"), (2.22e-2, "q5_0")];

/// A mean KL on llama.cpp's scale of quantisation damage.
pub fn damage_in_words(mean_kl: f64) -> String {
    if mean_kl <= 0.0 {
        return "no damage".to_owned();
    }
    let [(least, mildest), .., (most, harshest)] = SCOREBOARD;
    if mean_kl < least / 10.0 {
        return format!("below a tenth of {mildest}-level damage");
    }
    for (anchor, name) in SCOREBOARD {
        // Within a tenth of an anchor the anchor is the whole answer.
        if (mean_kl / anchor - 1.0).abs() <= 0.1 {
            return format!("{name}-level damage");
        }
    }
    if mean_kl < least {
        return format!("less than {mildest}-level damage");
    }
    if mean_kl > most {
        let times = mean_kl / most;
        return format!("{times:.1} times {harshest}-level damage");
    }
    let between = SCOREBOARD.windows(2).find(|pair| mean_kl < pair[1].0);
    between.map_or_else(
        || format!("{harshest}-level damage"),
        |pair| format!("between {}- and {}-level damage", pair[0].1, pair[1].1),
    )
}

/// A figure with three digits, rounded towards its bad side, so that the printed limit really passes
/// and a printed cosine is never better than the real one.
pub(super) fn figure(value: f64, sense: Sense) -> String {
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    if sense == Sense::AtLeast {
        // Cosines and rates: as many nines as there are, then two digits more.
        let digits = (-(1.0 - value).abs().max(1e-15).log10()).ceil().clamp(1.0, 15.0) as usize + 1;
        let scale = 10f64.powi(digits as i32);
        return format!("{:.digits$}", (value * scale).floor() / scale);
    }
    let unit = 10f64.powi(value.abs().log10().floor() as i32 - 2);
    let rounded = |steps: f64| format!("{:.2e}", steps * unit);
    let steps = (value / unit).ceil();
    let text = rounded(steps);
    let passes = text.parse::<f64>().is_ok_and(|shown| shown >= value);
    if passes { text } else { rounded(steps + 1.0) }
}

/// One line for a list of results. It never holds model text.
pub fn one_line(verdict: &Verdict) -> String {
    let word = verdict.word.name();
    let rows: usize = verdict.paths.iter().map(|p| p.summary.rows).sum();
    let bit_equal: usize = verdict.paths.iter().map(|p| p.summary.bit_equal_rows).sum();
    let warning = || verdict.findings.iter().find(|f| f.severity == Severity::Drift);
    match verdict.word {
        Word::Error => {
            format!(
                "{word} {}",
                escape::text(verdict.error.as_deref().unwrap_or("no reason was given"))
            )
        }
        Word::Diverged => match verdict.headline() {
            Some(finding) => format!("{word} at {}: {}", finding.rung.name(), one_finding(finding)),
            None => word.to_owned(),
        },
        Word::Exact => format!("{word} {bit_equal}/{rows} rows bit-equal"),
        Word::Match => format!("{word} {}", figures(verdict)),
        Word::TieFlip => format!("{word} {}, {}", figures(verdict), flips(verdict)),
        Word::Drift => {
            let why = warning().map(|f| format!("; {}", one_finding(f))).unwrap_or_default();
            format!("{word} {}{why}", figures(verdict))
        }
    }
}

fn figures(verdict: &Verdict) -> String {
    let summaries = || verdict.paths.iter().map(|p| &p.summary);
    let kl = summaries().map(|s| s.mean_kl).fold(0.0, f64::max);
    let cosine = summaries().map(|s| s.min_centred_cosine.value).fold(1.0, f64::min);
    // The first path covers every position.
    let top1 = summaries().map(|s| s.top1).next();
    let mut out = format!(
        "mean KL {}, min cosine {}",
        figure(kl, Sense::AtMost),
        figure(cosine, Sense::AtLeast)
    );
    if let Some(rate) = top1 {
        let low = (rate.interval.low * 1e3).floor() / 1e3;
        let _ = write!(out, ", top-1 {}/{} (Wilson ≥ {low:.3})", rate.hits, rate.of);
    }
    out
}

fn flips(verdict: &Verdict) -> String {
    let all = || verdict.paths.iter().flat_map(|p| &p.greedy.flips);
    let judged: usize = verdict.paths.iter().map(|p| p.greedy.judged).sum();
    let worst = all().max_by(|a, b| a.margin.total_cmp(&b.margin));
    let count = all().count();
    match worst {
        Some(flip) => format!(
            "{count} tie flip{} in {judged} choices (largest margin {} nat, τ {} nat)",
            if count == 1 { "" } else { "s" },
            figure(flip.margin, Sense::AtMost),
            figure(flip.tau, Sense::AtMost)
        ),
        None => "the free run parts from the reference's at a tie".to_owned(),
    }
}

fn one_finding(finding: &Finding) -> String {
    let path = finding.path.map(|p| format!("{}: ", p.name())).unwrap_or_default();
    let measured = figure(finding.measured, finding.sense);
    format!("{path}{}; measured {measured}", finding.rule)
}

/// The whole story of a verdict, in lines.
///
/// `ids` are the ids that were fed and `piece` gives the text of an id, escaped (see
/// [`escape::piece`]); whatever control characters it still holds are escaped here.
pub fn explain(verdict: &Verdict, ids: &[u32], piece: &dyn Fn(u32) -> String) -> String {
    let mut out = one_line(verdict);
    out.push('\n');
    let tolerance = &verdict.tolerance;
    let policy = match tolerance.policy() {
        super::Policy::Exact => "exact",
        super::Policy::Margin => "margin",
    };
    let rung = verdict.rung.map(|r| format!(", rung {}", r.name())).unwrap_or_default();
    let contract = tolerance.contract().name();
    let _ = writeln!(out, "  contract {contract}, policy {policy}{rung}");
    let mut shown_positions = Vec::new();
    for finding in &verdict.findings {
        write_finding(&mut out, verdict, finding);
        let place = (finding.path, finding.position);
        if finding.rung != super::Rung::Tokens
            && let Some(position) = finding.position
            && !shown_positions.contains(&place)
        {
            shown_positions.push(place);
            write_context(&mut out, ids, position, piece);
        }
    }
    if let Some(difference) = verdict.tokens.as_ref().and_then(|t| t.difference.as_ref()) {
        write_tokens(&mut out, difference, piece);
    }
    write_flips(&mut out, verdict, piece);
    for sentence in &verdict.untested {
        let _ = writeln!(out, "  not tested: {sentence}");
    }
    out
}

fn write_finding(out: &mut String, verdict: &Verdict, finding: &Finding) {
    let kind = match finding.severity {
        Severity::Fail => "rule",
        Severity::Drift => "warning",
        Severity::Advisory => "advice",
    };
    let _ = writeln!(out, "  {kind}: {}", one_finding(finding));
    if let Some(note) = &finding.note {
        let _ = writeln!(out, "    {note}");
    }
    if let Some(limit) = finding.minimum_to_pass {
        let limit = figure(limit, finding.sense);
        let _ = writeln!(out, "    would have passed with {} = {limit}", finding.name);
    }
    let rows = verdict.paths.iter().find(|p| Some(p.path) == finding.path).map(|p| p.summary.rows);
    if let (Some(position), Some(rows)) = (finding.position, rows) {
        let worst = match finding.worst_position {
            Some(worst) if worst != position => format!(", the worst is {worst}"),
            _ => String::new(),
        };
        let _ = writeln!(out, "    first bad position {position} of {rows} compared{worst}");
    } else if let Some(position) = finding.position {
        let _ = writeln!(out, "    at position {position}");
    }
}

/// The ids around `position` and their text; the one in brackets is the last that was fed before the
/// distribution in question.
fn write_context(out: &mut String, ids: &[u32], position: usize, piece: &dyn Fn(u32) -> String) {
    let from = position.saturating_sub(CONTEXT);
    let Some(around) = ids.get(from..ids.len().min(position + CONTEXT + 1)) else { return };
    write_ids(out, "ids ", around, position - from, &|id| id.to_string());
    write_ids(out, "text", around, position - from, &|id| {
        format!("\"{}\"", escape::text(&piece(id)))
    });
}

fn write_ids(
    out: &mut String,
    name: &str,
    ids: &[u32],
    marked: usize,
    show: &dyn Fn(u32) -> String,
) {
    let _ = write!(out, "    {name}");
    for (i, id) in ids.iter().enumerate() {
        let text = show(*id);
        let _ = if i == marked { write!(out, " [{text}]") } else { write!(out, " {text}") };
    }
    out.push('\n');
}

fn write_tokens(out: &mut String, d: &TokenDifference, piece: &dyn Fn(u32) -> String) {
    let marked = d.index - d.from;
    let text = |id| format!("\"{}\"", escape::text(&piece(id)));
    for (side, ids) in [("reference", &d.reference), ("test     ", &d.test)] {
        write_ids(out, &format!("{side} ids "), ids, marked, &|id| id.to_string());
        write_ids(out, &format!("{side} text"), ids, marked, &text);
    }
}

/// At most this many flips are listed; the report says how many there are.
const LISTED_FLIPS: usize = 8;

fn write_flips(out: &mut String, verdict: &Verdict, piece: &dyn Fn(u32) -> String) {
    for path in &verdict.paths {
        let report = &path.greedy;
        let mut flips: Vec<_> = report.flips.iter().collect();
        flips.sort_by_key(|f| !f.hard);
        for flip in flips.iter().take(LISTED_FLIPS) {
            let kind = if flip.hard { "hard flip" } else { "tie flip" };
            let text = |id| escape::text(&piece(id));
            let _ = writeln!(
                out,
                "  {kind} at {} position {}: reference {} \"{}\" (rank {} in the test), test {} \
                 \"{}\" (rank {} in the reference), margin {} nat, τ {} nat",
                path.path.name(),
                flip.position,
                flip.reference_id,
                text(flip.reference_id),
                flip.test_rank,
                flip.test_id,
                text(flip.test_id),
                flip.reference_rank,
                figure(flip.margin, Sense::AtMost),
                figure(flip.tau, Sense::AtMost)
            );
        }
        if flips.len() > LISTED_FLIPS {
            let rest = flips.len() - LISTED_FLIPS;
            let _ = writeln!(out, "  and {rest} more flips at {}", path.path.name());
        }
        if path.path != Path::Prefill || !flips.is_empty() {
            let _ = writeln!(out, "  {}", strata(path));
        }
    }
}

fn strata(path: &super::PathResult) -> String {
    let report = &path.greedy;
    let rate = |r: Option<super::Rate>| {
        r.map_or("not tested".to_owned(), |r| format!("{}/{}", r.hits, r.of))
    };
    let resolved = report
        .smallest_resolved_margin
        .map_or("none".to_owned(), |m| format!("{} nat", figure(m, Sense::AtMost)));
    format!(
        "{} choices: beyond τ {}, near ties {}, smallest margin resolved {resolved}",
        path.path.name(),
        rate(report.stable),
        rate(report.near_ties)
    )
}
