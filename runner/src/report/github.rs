//! A run for GitHub Actions: annotations beside the cases, a step summary, and a log in which nothing
//! that an engine or a model says is taken for a command of the runner.
//!
//! Commands are those of "Workflow commands for GitHub Actions"; a step shows at most ten annotations of
//! a level, and a summary has at most 1 MiB.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use sha2::{Digest, Sha256};

use super::Ended;
use crate::compare::Word;
use crate::run::Outcome;

/// Annotations of one level that a step shows.
const MOST_ANNOTATIONS: usize = 10;
/// Bytes of a step's summary.
pub const MOST_SUMMARY_BYTES: usize = 1 << 20;
/// Bytes of one annotation's message; the log has the whole story.
const MOST_MESSAGE_BYTES: usize = 4096;

/// A stretch of the log in which the runner takes no line for a command.
pub struct Muted {
    token: String,
}

impl Muted {
    /// With a word that ends the stretch and that nothing in it can know.
    pub fn new() -> Self {
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos());
        let address = std::ptr::from_ref(&nanos) as usize;
        let digest = Sha256::digest(format!("{nanos} {} {address}", std::process::id()));
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Self { token: format!("parity-{hex}") }
    }

    /// The line that begins the stretch.
    pub fn begin(&self) -> String {
        format!("::stop-commands::{}", self.token)
    }

    /// The line that ends it.
    pub fn end(&self) -> String {
        format!("::{}::", self.token)
    }
}

impl Default for Muted {
    fn default() -> Self {
        Self::new()
    }
}

/// The annotations of a run, a line each: errors for failures, warnings for passes as DRIFT, notices for
/// what was ignored because it was missing. The last of too many counts those without one.
pub fn annotations(trials: &[Ended]) -> Vec<String> {
    let mut lines = Vec::new();
    for level in ["error", "warning", "notice"] {
        let of_level: Vec<&Ended> =
            trials.iter().filter(|trial| level_of(trial) == Some(level)).collect();
        let shown = match of_level.len() <= MOST_ANNOTATIONS {
            true => of_level.len(),
            false => MOST_ANNOTATIONS - 1,
        };
        lines.extend(of_level.iter().take(shown).map(|trial| annotation(level, trial)));
        if of_level.len() > shown {
            let rest = of_level.len() - shown;
            lines.push(format!("::{level} title=parity::and {rest} more; the log has them all"));
        }
    }
    lines
}

fn level_of(trial: &Ended) -> Option<&'static str> {
    match &trial.outcome {
        Outcome::Failed { .. } => Some("error"),
        Outcome::Passed { verdict: Some(verdict), .. } if verdict.word == Word::Drift => {
            Some("warning")
        }
        Outcome::Passed { .. } => None,
        // What a higher tier runs is no news.
        Outcome::Ignored { reason } if reason.starts_with("tier ") => None,
        Outcome::Ignored { .. } => Some("notice"),
    }
}

fn annotation(level: &str, trial: &Ended) -> String {
    let mut message = trial.text().to_owned();
    if message.len() > MOST_MESSAGE_BYTES {
        message.truncate(message.floor_char_boundary(MOST_MESSAGE_BYTES));
        message.push_str("\n… the log has the rest");
    }
    if level == "error" {
        message = format!("{message}\n{}", trial.footer);
    }
    format!(
        "::{level} file={},line={},title={}::{}",
        property(&trial.file),
        trial.line,
        property(&trial.id),
        data(&message)
    )
}

/// A message as the runner reads it back.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// A property as the runner reads it back.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

/// Adds a summary to the step's; `text` gives it for the bytes that are left.
///
/// # Errors
/// If the file cannot be read or written.
pub fn add_summary(path: &Path, text: impl FnOnce(usize) -> String) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    let there = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    let text = text(MOST_SUMMARY_BYTES.saturating_sub(there));
    if there.saturating_add(text.len()) <= MOST_SUMMARY_BYTES {
        file.write_all(text.as_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(index: usize, outcome: Outcome) -> Ended {
        Ended {
            id: format!("ci-light::parity::prose::case-{index}"),
            outcome,
            seconds: 0.1,
            footer: "  rerun: cargo parity run".into(),
            file: "suites/a,b:c.toml".into(),
            line: 7,
        }
    }

    #[test]
    fn an_annotation_is_one_line_whatever_was_said() {
        let said = "DIVERGED\n::error::mine\r\n##[error]x 100 %";
        let [line] = &annotations(&[ended(1, Outcome::differs(said))])[..] else { panic!("one") };
        assert_eq!(
            line,
            "::error file=suites/a%2Cb%3Ac.toml,line=7,\
             title=ci-light%3A%3Aparity%3A%3Aprose%3A%3Acase-1::DIVERGED%0A::error::mine%0D%0A\
             ##[error]x 100 %25%0A  rerun: cargo parity run"
        );
    }

    #[test]
    fn ten_annotations_of_a_level_are_the_most_and_the_last_counts_the_rest() {
        let mut trials: Vec<Ended> = (0..14).map(|i| ended(i, Outcome::differs("x"))).collect();
        trials.extend((0..10).map(|i| ended(i, Outcome::Ignored { reason: "no model".into() })));
        trials.push(ended(99, Outcome::Ignored { reason: "tier integration is above".into() }));
        let lines = annotations(&trials);
        let of = |level: &str| {
            lines.iter().filter(|line| line.starts_with(&format!("::{level} "))).count()
        };
        assert_eq!((of("error"), of("warning"), of("notice")), (10, 0, 10));
        assert_eq!(lines[9], "::error title=parity::and 5 more; the log has them all");
    }

    #[test]
    fn a_long_message_is_cut_where_a_character_ends() {
        let long = ended(0, Outcome::differs("é".repeat(5000)));
        let line = &annotations(&[long])[0];
        assert!(line.len() < 4600, "{}", line.len());
        assert!(line.contains("é%0A… the log has the rest%0A  rerun:"), "{line}");
    }

    #[test]
    fn a_summary_never_outgrows_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("summary.md");
        let mut asked = Vec::new();
        for _ in 0..3 {
            add_summary(&path, |room| {
                asked.push(room);
                "x".repeat(room.min(600_000))
            })
            .unwrap();
        }
        assert_eq!(asked, [1_048_576, 448_576, 0]);
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 1_048_576);
    }

    #[test]
    fn the_word_that_ends_silence_is_new_each_time() {
        let (one, other) = (Muted::new(), Muted::new());
        assert_ne!(one.begin(), other.begin());
        assert_eq!(
            one.begin().strip_prefix("::stop-commands::").unwrap(),
            one.end().trim_matches(':')
        );
    }
}
