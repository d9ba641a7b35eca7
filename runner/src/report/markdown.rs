//! A run as Markdown: a table of suites, the failures, what was ignored, and on what it all rests.
//! Whatever an engine or a model chose to say stands between fences that it cannot close.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::Ended;
use crate::run::Outcome;

/// Ignored trials that are listed by name.
const LISTED: usize = 20;

/// The document, at most `most_bytes` long: what has no room is counted in a sentence. `closing` is the
/// text that ends a run.
pub fn document(trials: &[Ended], closing: &str, most_bytes: usize) -> String {
    let count = |word| trials.iter().filter(|trial| trial.word() == word).count();
    let (passed, failed, ignored) = (count("passed"), count("failed"), count("ignored"));
    let sign = if failed > 0 { "❌" } else { "✅" };
    let mut head =
        format!("## {sign} Parity: {passed} passed, {failed} failed, {ignored} ignored\n\n");
    head += &table(trials);
    let tail = format!("\n{}", fenced(closing));
    let mut room = most_bytes.saturating_sub(head.len() + tail.len() + ROOM_FOR_A_SENTENCE);
    let mut blocks = Vec::new();
    for trial in trials {
        if let Outcome::Failed { text, .. } = &trial.outcome {
            let block = format!("{text}\n{}", trial.footer);
            blocks.push(format!("\n### `{}`\n\n{}", trial.id, fenced(&block)));
        }
    }
    let failures = blocks.len();
    let mut out = head;
    let mut shown = 0;
    for block in &blocks {
        if block.len() > room {
            break;
        }
        room -= block.len();
        shown += 1;
        out += block;
    }
    if shown < failures {
        let _ = writeln!(
            out,
            "\n{} more failures have no room here; they are in the log.",
            failures - shown
        );
    }
    let list = ignored_list(trials);
    if list.len() <= room {
        out += &list;
    }
    out += &tail;
    out
}

/// More than the sentence about what has no room.
const ROOM_FOR_A_SENTENCE: usize = 128;

fn table(trials: &[Ended]) -> String {
    let mut rows: BTreeMap<&str, (usize, usize, usize, f64)> = BTreeMap::new();
    for trial in trials {
        let row = rows.entry(trial.group_and_name().0).or_default();
        match &trial.outcome {
            Outcome::Passed { .. } => row.0 += 1,
            Outcome::Failed { .. } => row.1 += 1,
            Outcome::Ignored { .. } => row.2 += 1,
        }
        row.3 += trial.seconds;
    }
    let mut out =
        "| suite | passed | failed | ignored | seconds |\n|:--|--:|--:|--:|--:|\n".to_owned();
    for (group, (passed, failed, ignored, seconds)) in rows {
        let failed = if failed > 0 { format!("**{failed}**") } else { failed.to_string() };
        let _ = writeln!(out, "| `{group}` | {passed} | {failed} | {ignored} | {seconds:.1} |");
    }
    let mut slow: Vec<&Ended> = trials.iter().filter(|trial| trial.is_slow()).collect();
    slow.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    for trial in slow.iter().take(LISTED) {
        let _ = write!(out, "\nSlow: `{}`, {:.1} s\n", trial.id, trial.seconds);
    }
    out
}

fn ignored_list(trials: &[Ended]) -> String {
    let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for trial in trials {
        if let Outcome::Ignored { reason } = &trial.outcome {
            reasons.entry(reason).or_default().push(&trial.id);
        }
    }
    let mut out = String::new();
    for (reason, ids) in reasons {
        let mut text = format!("ignored {}: {reason}", ids.len());
        for id in ids.iter().take(LISTED) {
            let _ = write!(text, "\n  {id}");
        }
        if ids.len() > LISTED {
            let _ = write!(text, "\n  and {} more", ids.len() - LISTED);
        }
        let _ = write!(out, "\n{}", fenced(&text));
    }
    out
}

/// `text` between fences that are longer than any run of backticks in it.
fn fenced(text: &str) -> String {
    let mut longest = 0;
    let mut run = 0;
    for c in text.chars() {
        run = if c == '`' { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}text\n{}\n{fence}\n", text.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(id: &str, text: &str) -> Ended {
        Ended {
            id: id.into(),
            outcome: Outcome::differs(text),
            seconds: 0.5,
            footer: "  rerun: x".into(),
            file: "suites/a.toml".into(),
            line: 3,
        }
    }

    #[test]
    fn a_text_cannot_close_its_fence() {
        assert_eq!(fenced("a ```` b"), "`````text\na ```` b\n`````\n");
        assert_eq!(fenced("a\n"), "```text\na\n```\n");
    }

    #[test]
    fn what_has_no_room_is_counted() {
        let trials: Vec<Ended> =
            (0..50).map(|i| failed(&format!("t::k::s::c{i}"), &"x".repeat(200))).collect();
        let text = document(&trials, "50 trials", 4000);
        assert!(text.len() <= 4000, "{} bytes", text.len());
        let shown = text.matches("### `t::k::s::c").count();
        assert!(shown > 0 && shown < 50, "{shown}");
        assert!(
            text.contains(&format!("\n{} more failures have no room here", 50 - shown)),
            "{text}"
        );
        assert!(text.starts_with("## ❌ Parity: 0 passed, 50 failed, 0 ignored\n"), "{text}");
        assert!(text.contains("| `t::k::s` | 0 | **50** | 0 | 25.0 |\n"), "{text}");
        assert!(text.ends_with("```text\n50 trials\n```\n"), "{text}");
    }
}
