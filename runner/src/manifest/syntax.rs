//! Refuses what TOML 1.1 added to 1.0, because editors and other tools still read 1.0.
//!
//! Runs on a text that already parsed; it reports places and understands no values.

use std::ops::Range;

use toml_parser::Source;
use toml_parser::lexer::TokenKind;

/// Places that only TOML 1.1 accepts, each with its reason.
///
/// Times without seconds are the one addition not looked for: no key here is a time, so that they
/// are refused as a wrong type.
pub(super) fn toml_1_1_only(text: &str) -> Vec<(Range<usize>, &'static str)> {
    let mut found = Vec::new();
    let mut open = Vec::new();
    let mut after_comma = None;
    for token in Source::new(text).lex() {
        let span = token.span().start()..token.span().end();
        let in_inline_table = open.last() == Some(&TokenKind::LeftCurlyBracket);
        match token.kind() {
            TokenKind::Whitespace | TokenKind::Comment => continue,
            TokenKind::Newline => {
                if in_inline_table {
                    found.push((span, "a line break inside an inline table"));
                    // One report a table is enough.
                    open.pop();
                    open.push(TokenKind::Newline);
                }
                continue;
            }
            kind @ (TokenKind::LeftCurlyBracket | TokenKind::LeftSquareBracket) => open.push(kind),
            TokenKind::RightCurlyBracket => {
                if let (true, Some(comma)) = (in_inline_table, after_comma.take()) {
                    found.push((comma, "a comma behind the last key of an inline table"));
                }
                open.pop();
            }
            TokenKind::RightSquareBracket => {
                open.pop();
            }
            TokenKind::BasicString | TokenKind::MlBasicString => {
                if let Some(at) = new_escape(&text[span.clone()]) {
                    found.push((span.start + at..span.start + at + 2, "the escape `\\e` or `\\x`"));
                }
            }
            _ => {}
        }
        after_comma = (token.kind() == TokenKind::Comma).then_some(span);
    }
    found
}

/// Offset of the first `\e` or `\x` in a basic string.
fn new_escape(raw: &str) -> Option<usize> {
    let bytes = raw.as_bytes();
    let mut at = 0;
    while at + 1 < bytes.len() {
        if bytes[at] != b'\\' {
            at += 1;
        } else if matches!(bytes[at + 1], b'e' | b'x') {
            return Some(at);
        } else {
            at += 2;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::toml_1_1_only;

    fn places(text: &str) -> Vec<(&str, &'static str)> {
        toml_1_1_only(text).into_iter().map(|(span, why)| (&text[span], why)).collect()
    }

    #[test]
    fn toml_1_0_passes() {
        let text = "a = { b = [\n 1,\n 2,\n], c = 'x\\e' }\n[t]\n# {,\nd = \"\\\\e, \\n\"\n[[u]]\ne = '''\n{\n,}'''\n";
        assert_eq!(places(text), []);
    }

    #[test]
    fn each_addition_is_found() {
        assert_eq!(places("a = {\n b = 1\n}\n"), [("\n", "a line break inside an inline table")]);
        assert_eq!(
            places("a = { b = 1, }\n"),
            [(",", "a comma behind the last key of an inline table")]
        );
        assert_eq!(places("a = \"x\\e[0m\"\n"), [("\\e", "the escape `\\e` or `\\x`")]);
        assert_eq!(places("a = \"\"\"\\x41\"\"\"\n"), [("\\x", "the escape `\\e` or `\\x`")]);
    }
}
