//! Makes text of files, models and processes safe to show: what would steer a terminal, break a line
//! or hide in it becomes visible; says nothing about what the text means and never drops a character.

use std::fmt::Write as _;

/// Makes control characters (line breaks as well), bidirectional and invisible marks visible: `\n`,
/// `\u{1b}`, `\u{202e}` and so on. Text that is escaped already stays as it is.
pub fn text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    text.chars().for_each(|c| push_visible(&mut out, c));
    out
}

/// Makes bytes that should be text safe to show between quotes: as [`text`], with quotes and
/// backslashes escaped, and bytes that are not UTF-8 as `\xff`.
pub fn piece(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() + 2);
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if matches!(c, '\\' | '"') {
                out.push('\\');
            }
            push_visible(&mut out, c);
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out
}

/// The marks are Unicode's bidirectional controls, line and paragraph separators, and the format
/// characters that show nothing, tags included.
fn push_visible(out: &mut String, c: char) {
    let invisible = matches!(
        c,
        '\u{00ad}' | '\u{061c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    );
    match c {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        c if c.is_control() || invisible => {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        }
        c => out.push(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_or_hides_becomes_visible() {
        assert_eq!(text("a\u{1b}[2J\r\n\tb\u{7}\u{9b}"), "a\\u{1b}[2J\\r\\n\\tb\\u{7}\\u{9b}");
        assert_eq!(text("\u{202e}\u{2066}\u{200e}"), "\\u{202e}\\u{2066}\\u{200e}");
        assert_eq!(text("\u{200b}\u{ad}\u{feff}\u{2028}"), "\\u{200b}\\u{ad}\\u{feff}\\u{2028}");
        assert_eq!(text("\u{e0041}"), "\\u{e0041}", "a tag character");
    }

    #[test]
    fn ordinary_text_and_escaped_text_stay_as_they_are() {
        assert_eq!(text("é \"中文\" C:\\x 🦀"), "é \"中文\" C:\\x 🦀");
        assert_eq!(text(&text("a\n\u{202e}")), text("a\n\u{202e}"));
    }

    #[test]
    fn a_piece_may_stand_between_quotes_and_need_not_be_utf8() {
        assert_eq!(piece(b"\"\\n\n"), "\\\"\\\\n\\n");
        assert_eq!(piece(b"\xc3\xa9\xff\xe2\x82"), "é\\xff\\xe2\\x82");
    }
}
