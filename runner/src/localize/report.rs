//! A localisation in words, for a terminal. It decides nothing.

use super::{Alone, Finding, Hypothesis, Ladder, Local, Localization, Origin};
use crate::escape;

/// Operations of a table that agree are not listed beyond these.
const PROFILE_LINES: usize = 12;

/// The whole story.
pub fn text(found: &Localization) -> String {
    let mut lines = vec![headline(found)];
    lines.push(format!(
        "  compared: {} against {}, prefill of {} positions{}",
        escape::text(&found.subject),
        escape::text(&found.reference),
        found.positions,
        match found.positions_of_case > found.positions {
            true => format!(" (the first of {})", found.positions_of_case),
            false => String::new(),
        }
    ));
    let capture = found.capture;
    let same = |unchanged: bool| if unchanged { "the same bits" } else { "OTHER BITS" };
    lines.push(format!(
        "  logits with and without capture: subject {}, reference {}",
        same(capture.subject_unchanged),
        same(capture.reference_unchanged)
    ));
    tokens(found, &mut lines);
    if let Some(origin) = &found.origin {
        self::origin(origin, &mut lines);
    }
    found.ladders.iter().for_each(|ladder| self::ladder(ladder, &mut lines));
    if let Some(decode) = &found.decode {
        lines.push(format!(
            "  decode: logits differ from position {} on, by {:.3e}; own prefill and steps agree: subject \
             {}, reference {}",
            decode.position,
            decode.distance.size(),
            yes(decode.subject_consistent),
            yes(decode.reference_consistent)
        ));
        hypotheses(&decode.hypotheses, &mut lines);
    }
    if found.finding != Finding::Nothing {
        profile(found, &mut lines);
        operations(found, &mut lines);
    }
    lines.join("\n")
}

fn yes(it: bool) -> &'static str {
    if it { "yes" } else { "no" }
}

/// The finding and its causes in a few lines.
pub fn short(found: &Localization) -> String {
    let mut lines = vec![headline(found)];
    if let Some(origin) = &found.origin {
        lines.push(format!("  why: {}", origin.words));
        hypotheses(&origin.hypotheses, &mut lines);
    }
    lines.join("\n")
}

/// The finding in one line.
pub fn headline(found: &Localization) -> String {
    let cause = |hypotheses: &[Hypothesis]| {
        hypotheses.first().map_or(String::new(), |h| format!(": {}", h.words))
    };
    match (found.finding, &found.origin) {
        (Finding::Nothing, _) => "nothing diverges: every tensor compared has the same bits".into(),
        (Finding::Rounding, _) => {
            "nothing diverges beyond rounding: bits differ, and no operation that was looked at adds more \
             than another order of its sums"
                .into()
        }
        (Finding::Tokens, _) => {
            let tokens = found.tokens.as_ref();
            let hypotheses = tokens.map_or(&[][..], |t| &t.hypotheses);
            let index = tokens.map_or(0, |t| t.index);
            format!("diverges at the ids, from id {index} on{}", cause(hypotheses))
        }
        (Finding::Operation, Some(origin)) => format!(
            "diverges at {}, {} ({}){}",
            origin.tensor,
            origin.operation,
            origin.stage,
            cause(&origin.hypotheses)
        ),
        (Finding::Decode, _) => {
            let hypotheses = found.decode.as_ref().map_or(&[][..], |d| &d.hypotheses);
            format!("diverges while decoding alone: the KV cache or the steps{}", cause(hypotheses))
        }
        (Finding::Operation | Finding::Unexplained, _) => {
            "diverges, and no operation that was computed anew stands out".into()
        }
    }
}

fn tokens(found: &Localization, lines: &mut Vec<String>) {
    let Some(tokens) = &found.tokens else { return };
    let ids = |ids: &[u32]| ids.iter().map(u32::to_string).collect::<Vec<_>>().join(" ");
    lines.push(format!(
        "  ids from {} on: reference {}; subject {}",
        tokens.index,
        ids(&tokens.reference),
        ids(&tokens.subject)
    ));
    hypotheses(&tokens.hypotheses, lines);
    if found.origin.is_some() {
        lines.push("  beyond the ids, on the reference's own:".into());
    }
}

fn origin(origin: &Origin, lines: &mut Vec<String>) {
    lines.push(format!(
        "  first: {} ({}), {}; worst at position {}, column {}",
        origin.tensor, origin.operation, origin.stage, origin.worst.0, origin.worst.1
    ));
    lines.push(format!("  why: {}", origin.words));
    lines.push(format!(
        "  vote of three: {}",
        match origin.alone {
            Alone::Subject => "the subject stands alone; the reference and our scalar code agree",
            Alone::Reference => "the reference stands alone; the subject and our scalar code agree",
            Alone::Undecided => "undecided",
        }
    ));
    hypotheses(&origin.hypotheses, lines);
}

fn hypotheses(all: &[Hypothesis], lines: &mut Vec<String>) {
    if all.is_empty() {
        lines.push("  no known mistake explains half of it".into());
    }
    for hypothesis in all {
        let bits = if hypothesis.exact { ", every bit" } else { "" };
        lines.push(format!(
            "  explains {:.2} %{bits}: {} [{}]",
            100.0 * hypothesis.explained,
            hypothesis.words,
            hypothesis.name
        ));
    }
}

fn ladder(ladder: &Ladder, lines: &mut Vec<String>) {
    lines.push(format!("  exactness ladder of {} ({}):", ladder.node, ladder.tensor));
    for rung in &ladder.rungs {
        let mark = if rung.holds { "holds" } else { "BREAKS" };
        lines.push(format!("    {:<7} {mark}: {}", rung.name, rung.words));
    }
}

/// The stages from the last equal one on.
fn profile(found: &Localization, lines: &mut Vec<String>) {
    let equal = |level: &super::Level| level.distance.is_some_and(|d| d.is_none());
    let first = found.profile.iter().position(|level| !equal(level));
    let Some(first) = first else { return };
    lines.push("  stages (relative distance, reference's own noise, growth):".into());
    if first > 0 {
        lines.push(format!("    {} before have the same bits", first));
    }
    for level in found.profile[first..].iter().take(PROFILE_LINES) {
        let size = level.distance.map_or("missing".into(), |d| format!("{:.3e}", d.size()));
        let jump = level.jump.map_or(String::new(), |jump| format!("  ×{:.3}", jump.exp()));
        let flag = if level.flagged { "  beyond its noise" } else { "" };
        lines.push(format!(
            "    {:<10} {:<16} {size:<10} {:.1e}{jump}{flag}",
            level.stage, level.tensor, level.noise
        ));
    }
    let more = found.profile.len() - first;
    if more > PROFILE_LINES {
        lines.push(format!("    and {} more", more - PROFILE_LINES));
    }
}

fn operations(found: &Localization, lines: &mut Vec<String>) {
    if found.nodes.is_empty() {
        return;
    }
    let local = |local: &Local| match local {
        Local::Computed(distance) if distance.is_none() => "exact".to_owned(),
        Local::Computed(distance) => format!("{:.3e}", distance.size()),
        Local::NotComputed(_) => "not computed".to_owned(),
    };
    let until = found
        .origin
        .as_ref()
        .and_then(|origin| found.nodes.iter().position(|look| look.tensor == origin.tensor));
    let shown = until.map_or(found.nodes.len(), |index| (index + 3).min(found.nodes.len()));
    lines.push("  operations (distance; added by the subject, by the reference):".into());
    for look in &found.nodes[..shown] {
        let distance = look.distance.map_or("missing".into(), |d| match d.is_none() {
            true => "same bits".to_owned(),
            false => format!("{:.3e}", d.size()),
        });
        lines.push(format!(
            "    {:<18} {distance:<12} {:<12} {}",
            look.tensor,
            local(&look.subject),
            local(&look.reference)
        ));
    }
    let reasons: Vec<String> = found.nodes[..shown]
        .iter()
        .flat_map(|look| {
            [("subject", &look.subject), ("reference", &look.reference)]
                .map(|(who, l)| (look, who, l))
        })
        .filter_map(|(look, who, local)| match local {
            Local::NotComputed(why) => Some(format!(
                "    {} of the {who} was not computed anew: {}",
                look.tensor,
                escape::text(why)
            )),
            Local::Computed(_) => None,
        })
        .collect();
    lines.extend(reasons);
}
