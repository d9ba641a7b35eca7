//! Ways of cutting a text that several rules share; which characters count is the caller's.
//!
//! Each function appends the pieces of the whole text, what lies between the matches included.
//! No piece is empty, together they are the text, and one pass finds them.

/// Bytes of the longest prefix whose characters all satisfy `is`.
pub(super) fn prefix(text: &str, is: impl Fn(char) -> bool) -> usize {
    text.find(|c| !is(c)).unwrap_or(text.len())
}

/// Cuts off words of the length that `next` tells, which must be at least one character.
pub(super) fn tile<'t>(mut text: &'t str, next: impl Fn(&str) -> usize, out: &mut Vec<&'t str>) {
    while !text.is_empty() {
        let (word, rest) = text.split_at(next(text));
        out.push(word);
        text = rest;
    }
}

/// `[class]+` and what lies between.
pub(super) fn runs<'t>(text: &'t str, is: impl Fn(char) -> bool, out: &mut Vec<&'t str>) {
    let next = |rest: &str| match prefix(rest, &is) {
        0 => prefix(rest, |c| !is(c)),
        matching => matching,
    };
    tile(text, next, out);
}

/// `[class]` and what lies between.
pub(super) fn singles<'t>(text: &'t str, is: impl Fn(char) -> bool, out: &mut Vec<&'t str>) {
    let next = |rest: &str| match rest.chars().next() {
        Some(c) if is(c) => c.len_utf8(),
        _ => prefix(rest, |c| !is(c)),
    };
    tile(text, next, out);
}

/// `[space]?[class]+` and what lies between, for classes that share no character.
pub(super) fn spaced_runs<'t>(
    text: &'t str,
    is_space: impl Fn(char) -> bool,
    is: impl Fn(char) -> bool,
    out: &mut Vec<&'t str>,
) {
    let mut gap = 0;
    let mut at = 0;
    let mut space = None;
    while let Some(c) = text[at..].chars().next() {
        if is(c) {
            let start = space.unwrap_or(at);
            let end = at + prefix(&text[at..], &is);
            if gap < start {
                out.push(&text[gap..start]);
            }
            out.push(&text[start..end]);
            (gap, at, space) = (end, end, None);
        } else {
            space = is_space(c).then_some(at);
            at += c.len_utf8();
        }
    }
    if gap < text.len() {
        out.push(&text[gap..]);
    }
}

/// What `length` matches, tried at every place from the left, and what lies between. It gives the
/// bytes of the match with which the rest of the text begins, or 0; a match begins with an ASCII
/// character.
pub(super) fn matches<'t>(text: &'t str, length: impl Fn(&[u8]) -> usize, out: &mut Vec<&'t str>) {
    let mut gap = 0;
    let mut at = 0;
    while at < text.len() {
        match length(&text.as_bytes()[at..]) {
            0 => at += 1,
            matching => {
                if gap < at {
                    out.push(&text[gap..at]);
                }
                out.push(&text[at..at + matching]);
                at += matching;
                gap = at;
            }
        }
    }
    if gap < text.len() {
        out.push(&text[gap..]);
    }
}

/// The characters at the end that satisfy `is`, and what comes before.
pub(super) fn tail<'t>(text: &'t str, is: impl Fn(char) -> bool, out: &mut Vec<&'t str>) {
    let (before, tail) = text.split_at(text.trim_end_matches(is).len());
    out.extend([before, tail].into_iter().filter(|piece| !piece.is_empty()));
}
