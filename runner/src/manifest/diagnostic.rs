//! Messages about a place in a file: the rule in words, the line and a caret.
//!
//! Nothing here decides what is wrong, and nothing is printed: rendering gives a string in which
//! control characters of the file are escaped.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use crate::escape::text as escape;

/// The text of a file together with the path that messages show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Path as the caller gave it.
    pub path: String,
    /// Whole text.
    pub text: String,
}

impl Source {
    /// Line (from 1) and column (in characters, from 1) of a byte offset.
    pub fn position(&self, offset: usize) -> (usize, usize) {
        let mut end = offset.min(self.text.len());
        while !self.text.is_char_boundary(end) {
            end -= 1;
        }
        let before = &self.text[..end];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}

/// One broken rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    source: Arc<Source>,
    rule: String,
    mark: Option<(Range<usize>, String)>,
    context: Option<(Range<usize>, String)>,
    help: Option<String>,
}

impl Diagnostic {
    /// The rule in words and the place that breaks it; `label` stands behind the caret.
    pub fn new(
        source: &Arc<Source>,
        span: Range<usize>,
        rule: impl Into<String>,
        label: impl Into<String>,
    ) -> Self {
        Self {
            source: Arc::clone(source),
            rule: rule.into(),
            mark: Some((span, label.into())),
            context: None,
            help: None,
        }
    }

    /// A rule broken by a file as a whole: it cannot be read, or it should not be there.
    pub fn of_file(path: impl Into<String>, rule: impl Into<String>) -> Self {
        let source = Arc::new(Source { path: path.into(), text: String::new() });
        Self { source, rule: rule.into(), mark: None, context: None, help: None }
    }

    /// Adds a second place of the same file, for example the first of two equal names.
    pub fn with_context(mut self, span: Range<usize>, label: impl Into<String>) -> Self {
        self.context = Some((span, label.into()));
        self
    }

    /// Adds the next step.
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The rule in words.
    pub fn rule(&self) -> &str {
        &self.rule
    }

    /// Path of the file, as messages show it.
    pub fn path(&self) -> &str {
        &self.source.path
    }

    /// Line and column (both from 1), where the rule is about a place.
    pub fn position(&self) -> Option<(usize, usize)> {
        self.mark.as_ref().map(|(span, _)| self.source.position(span.start))
    }

    /// The whole message with its source lines; `colour` adds ANSI styles.
    pub fn render(&self, colour: bool) -> String {
        let (path, text) = (escape(&self.source.path), concealed(&self.source.text));
        let title = Level::ERROR.primary_title(escape(&self.rule));
        let mut group: Group<'_> = match &self.mark {
            None => title.element(Origin::path(path)),
            Some((span, label)) => {
                let mut snippet = Snippet::source(text).path(path).annotation(
                    AnnotationKind::Primary.span(self.clamp(span)).label(escape(label)),
                );
                if let Some((span, label)) = &self.context {
                    snippet = snippet.annotation(
                        AnnotationKind::Context.span(self.clamp(span)).label(escape(label)),
                    );
                }
                title.element(snippet)
            }
        };
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(escape(help)));
        }
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        renderer.render(&[group])
    }

    /// A span of serde may lie outside the text or cut a character; the renderer accepts neither.
    fn clamp(&self, span: &Range<usize>) -> Range<usize> {
        let text = &self.source.text;
        let mut start = span.start.min(text.len());
        while !text.is_char_boundary(start) {
            start -= 1;
        }
        let mut end = span.end.clamp(start, text.len());
        while !text.is_char_boundary(end) {
            end += 1;
        }
        start..end
    }
}

/// `text` with stars for the user name and password of each URL, byte for byte: a file may hold one
/// before it is refused for it, and messages end up in logs.
fn concealed(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        out.push_str(before);
        let ends = |c: char| matches!(c, '/' | '?' | '#' | '"' | '\'') || c.is_whitespace();
        let authority = &after[..after.find(ends).unwrap_or(after.len())];
        let secret = authority.rfind('@').unwrap_or(0);
        out.push_str(&"*".repeat(secret));
        rest = &after[secret..];
    }
    out.push_str(rest);
    out
}

/// Everything that is wrong in all files that were read together; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadErrors {
    diagnostics: Vec<Diagnostic>,
}

impl LoadErrors {
    /// Sorts the messages by path and place, and drops repetitions: a bad default breaks the same
    /// rule at the same place for every case.
    pub fn new(mut diagnostics: Vec<Diagnostic>) -> Self {
        diagnostics.sort_by(|a, b| {
            (a.path(), a.position(), &a.rule).cmp(&(b.path(), b.position(), &b.rule))
        });
        diagnostics.dedup();
        Self { diagnostics }
    }

    /// The messages, sorted by path and place.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    /// All messages and their number; `colour` adds ANSI styles.
    pub fn render(&self, colour: bool) -> String {
        let mut text = String::new();
        for diagnostic in &self.diagnostics {
            text.push_str(&diagnostic.render(colour));
            text.push_str("\n\n");
        }
        let count = self.diagnostics.len();
        let noun = if count == 1 { "error" } else { "errors" };
        text.push_str(&format!("{count} {noun}; nothing was run"));
        text
    }
}

impl fmt::Display for LoadErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for LoadErrors {}

/// The candidate nearest to a misspelt word, if one is near enough to be meant.
pub fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let limit = word.chars().count().div_ceil(3);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Arc<Source> {
        Arc::new(Source { path: "suites/x.toml".to_owned(), text: text.to_owned() })
    }

    #[test]
    fn a_message_names_file_line_column_rule_and_next_step() {
        let source = source("kind = \"parity\"\nstepz = 3\n");
        let message =
            Diagnostic::new(&source, 16..21, "unknown key `stepz`", "did you mean `steps`?")
                .with_help("keys: `steps`");
        assert_eq!(message.position(), Some((2, 1)));
        assert_eq!(
            message.render(false),
            "error: unknown key `stepz`\n --> suites/x.toml:2:1\n  |\n2 | stepz = 3\n  | ^^^^^ did you mean `steps`?\n  |\n  = help: keys: `steps`"
        );
    }

    #[test]
    fn columns_count_characters_and_spans_may_be_odd() {
        let source = source("é = 1\nz");
        assert_eq!(source.position(3), (1, 3));
        let outside = Diagnostic::new(&source, 1..900, "r", "l").render(false);
        assert!(outside.contains("suites/x.toml:1:1"), "{outside}");
    }

    #[test]
    fn control_characters_never_reach_the_terminal() {
        let source = source("prompt = '\u{1b}[31m\u{202e}'\n");
        let shown = Diagnostic::new(&source, 9..14, "a \u{1b}[2J rule", "label\u{7}")
            .with_help("help\u{9b}1m")
            .render(false);
        assert!(!shown.contains(['\u{1b}', '\u{7}', '\u{9b}', '\u{202e}']), "{shown:?}");
        assert!(shown.contains("error: a \\u{1b}[2J rule"), "{shown}");
    }

    #[test]
    fn passwords_are_not_repeated() {
        let source = source("url = 'https://me:secr\u{e9}t@example.org/a@b'\nx = \"ftp://t@h\"\n");
        let shown = Diagnostic::new(&source, 6..43, "no user name", "here").render(false);
        assert!(shown.contains("url = 'https://**********@example.org/a@b'"), "{shown}");
        assert!(shown.contains("--> suites/x.toml:1:7"), "{shown}");
        assert_eq!(
            concealed("x = \"ftp://t@h\" # https://a b@c"),
            "x = \"ftp://*@h\" # https://a b@c"
        );
        assert_eq!(concealed(&source.text).len(), source.text.len());
    }

    #[test]
    fn colour_is_the_callers_choice() {
        let message = Diagnostic::of_file("suites/x.toml", "cannot be read");
        assert_eq!(message.render(false), "error: cannot be read\n--> suites/x.toml");
        assert!(message.render(true).contains("\u{1b}["));
    }

    #[test]
    fn suggestions_are_near_or_absent() {
        let keys = ["steps", "tier", "tolerance"];
        assert_eq!(nearest("stepz", keys), Some("steps"));
        assert_eq!(nearest("tolerence", keys), Some("tolerance"));
        assert_eq!(nearest("tire", keys), Some("tier"));
        assert_eq!(nearest("volume", keys), None);
    }

    #[test]
    fn errors_are_sorted_and_counted() {
        let source = source("a = 1\nb = 2\n");
        let errors = LoadErrors::new(vec![
            Diagnostic::new(&source, 6..7, "second", ""),
            Diagnostic::new(&source, 0..1, "first", ""),
        ]);
        let text = errors.to_string();
        assert!(text.find("first") < text.find("second"), "{text}");
        assert!(text.ends_with("2 errors; nothing was run"), "{text}");
    }
}
