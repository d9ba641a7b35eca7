//! Model text on its way to standard output: line breaks and tabs pass, other control characters are
//! made visible, and no line becomes a command of a CI system. What it prints is not the exact text
//! where that would do harm; `--format json` is.

use bitnet_engine::escape;

/// Escapes a text that comes in pieces: how it is cut changes nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Screen {
    line: Line,
    /// Number signs directly before, up to two.
    signs: u8,
}

/// What the current line has had.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Line {
    /// Spaces at most.
    #[default]
    Blank,
    /// Spaces and one colon: a second one would begin a command.
    Colon,
    /// Something else.
    Text,
}

impl Screen {
    /// The next piece, safe to print.
    pub(crate) fn safe(&mut self, piece: &str) -> String {
        let mut out = String::with_capacity(piece.len());
        for c in piece.chars() {
            let command = (c == ':' && self.line == Line::Colon) || (c == '[' && self.signs == 2);
            match c {
                _ if command => out.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
                '\n' | '\t' | ' '..='~' => out.push(c),
                _ => out.push_str(&escape::text(c.encode_utf8(&mut [0; 4]))),
            }
            self.signs = if c == '#' { 2.min(self.signs + 1) } else { 0 };
            self.line = match (self.line, c) {
                (_, '\n') => Line::Blank,
                (Line::Blank, c) if c.is_whitespace() => Line::Blank,
                (Line::Blank, ':') => Line::Colon,
                _ => Line::Text,
            };
        }
        out
    }

    /// Whether the text so far ends with a line break, or is empty.
    pub(crate) fn ends_line(&self) -> bool {
        self.line == Line::Blank
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn safe(text: &str) -> String {
        let whole = Screen::default().safe(text);
        // Cut after every character: the same.
        let mut screen = Screen::default();
        let cut: String = text.chars().map(|c| screen.safe(c.encode_utf8(&mut [0; 4]))).collect();
        assert_eq!(cut, whole);
        whole
    }

    #[test]
    fn text_passes_and_control_characters_become_visible() {
        assert_eq!(safe("a\n\tb: é 🦀 :: x"), "a\n\tb: é 🦀 :: x");
        assert_eq!(safe("\u{1b}[2J\r\u{202e}\u{0}"), "\\u{1b}[2J\\r\\u{202e}\\u{0}");
    }

    #[test]
    fn no_line_is_a_workflow_command() {
        assert_eq!(safe("::error::x"), ":\\u{3a}error::x");
        assert_eq!(safe("a\n \t ::set-output"), "a\n \t :\\u{3a}set-output");
        assert_eq!(safe(": :"), ": :");
        assert_eq!(safe("a ##[group]b"), "a ##\\u{5b}group]b");
        assert_eq!(safe("###[x"), "###\\u{5b}x");
        assert_eq!(safe("# #[x"), "# #[x");
    }

    #[test]
    fn the_end_of_a_line_is_known() {
        let mut screen = Screen::default();
        assert!(screen.ends_line());
        screen.safe("a");
        assert!(!screen.ends_line());
        screen.safe("\n");
        assert!(screen.ends_line());
    }
}
