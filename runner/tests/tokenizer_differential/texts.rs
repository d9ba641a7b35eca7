//! Texts that are hard on tokenizers, from a seed; nothing is known here of how they are split.

use crate::random::Random;

/// Ranges of code points that pre-tokenizers class differently, or that are easily classed wrong.
const SCRIPTS: &[(u32, u32)] = &[
    (0x00, 0x7F),
    (0x80, 0xFF),
    (0x100, 0x24F),
    (0x250, 0x2FF),
    (0x370, 0x3FF),
    (0x400, 0x52F),
    (0x531, 0x58F),
    (0x590, 0x5FF),
    (0x600, 0x6FF),
    (0x900, 0x97F),
    (0xE00, 0xE7F),
    (0x10A0, 0x10FF),
    (0x1100, 0x11FF),
    (0x13A0, 0x13FF),
    (0x1C80, 0x1CBF),
    (0x1E00, 0x1FFF),
    (0x2000, 0x206F),
    (0x2070, 0x218F),
    (0x2190, 0x23FF),
    (0x2460, 0x24FF),
    (0x2C00, 0x2DFF),
    (0x3000, 0x303F),
    (0x3040, 0x30FF),
    (0x3130, 0x318F),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xA640, 0xA7FF),
    (0xAB30, 0xABBF),
    (0xAC00, 0xD7FF),
    (0xE000, 0xF8FF),
    (0xF900, 0xFB1F),
    (0xFE00, 0xFEFF),
    (0xFF00, 0xFFEF),
    (0x10400, 0x104FF),
    (0x105C0, 0x105F3),
    (0x118A0, 0x118FF),
    (0x1D400, 0x1D7FF),
    (0x1E900, 0x1E95F),
    (0x1F300, 0x1F9FF),
    (0x20000, 0x2A6DF),
    (0x2EBF0, 0x2EE5D),
    (0xE0000, 0xE01EF),
];

const SPACES: &[char] = &[
    ' ', ' ', ' ', '\t', '\n', '\r', '\u{B}', '\u{C}', '\u{1C}', '\u{85}', '\u{A0}', '\u{1680}',
    '\u{180E}', '\u{2000}', '\u{2003}', '\u{2009}', '\u{200A}', '\u{200B}', '\u{2028}', '\u{2029}',
    '\u{202F}', '\u{205F}', '\u{2060}', '\u{3000}', '\u{FEFF}',
];

const LINES: &[&str] = &["\n", "\r", "\r\n", "\n\n", " \n", "\n ", "\t", " ", "  ", "\u{2028}"];

const DIGITS: &[char] = &[
    '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '²', '½', '٣', '۷', '߁', '५', '๓', 'Ⅷ', '①',
    '〇', '㆒', '𝟘', '𞥐', '.', ',',
];

const CONTRACTIONS: &[&str] = &[
    "'s", "'S", "'t", "'T", "'m", "'M", "'d", "'D", "'re", "'RE", "'rE", "'ve", "'Ve", "'ll",
    "'LL", "'lL", "'", "''", "'l", "'r", "'v", "'x", "’s", "'\u{17F}", "' s", "n't", "I'",
];

const SIGNS: &[char] = &[
    '!', '"', '#', '$', '%', '&', '\'', '(', ')', '*', '+', ',', '-', '.', '/', ':', ';', '<', '=',
    '>', '?', '@', '[', '\\', ']', '^', '_', '`', '{', '|', '}', '~', '¡', '§', '«', '±', '·', '¿',
    '÷', '–', '—', '‘', '’', '“', '”', '…', '€', '→', '、', '。', '「', '，', '！', '：', '～',
    '।', '۔', '،', '؟',
];

const CASED: &[char] = &[
    'a', 'b', 'z', 'A', 'B', 'Z', 'é', 'É', 'ß', 'ǅ', 'ʰ', 'ª', 'א', 'ж', 'Ж', 'ა', 'Ა', '中', 'ｱ',
];

const MARKS: &[(u32, u32)] = &[
    (0x300, 0x36F),
    (0x591, 0x5BD),
    (0x64B, 0x652),
    (0x93A, 0x94F),
    (0x20D0, 0x20F0),
    (0xFE00, 0xFE0F),
];

const EMOJI: &[&str] =
    &["👩‍🚀", "👨‍👩‍👧‍👦", "👍🏽", "🇨🇭", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "1️⃣", "❤️", "☺", "\u{200D}", "\u{FE0F}", "🧑🏿‍🤝‍🧑🏻"];

const RIGHT_TO_LEFT: &[&str] =
    &["שלום", "مرحبا", "السَّلَامُ", "\u{202B}", "\u{202C}", "\u{200F}", "؟", "،", "٣٤", "ﷺ", "ـ"];

const NAMED: &[&str] = &[
    "<sentinel:1>",
    "<sentinel:907>",
    "<sentinel:>",
    "IMGIMGAZ",
    "IMGIMGABCDZ",
    "IMGIMGABCDEZ",
    "IMGIMGIMGIMGIZ",
    "    ",
    "  ",
    "<|",
    "|>",
    "http://",
    "x_1",
    "//",
    "\0",
    "\u{1B}[31m",
];

const WORDS: &[&str] = &[
    "the",
    " the",
    " lamp",
    "keeper",
    " and",
    "Straße",
    " naïve",
    "don",
    " we",
    "HELLO",
    " iPhone",
    "camelCase",
    " log",
    "ing",
    "tion",
    "Приве́т",
    "日本語",
    " 한국어",
    "สวัสดี",
];

/// What a vocabulary contributes to texts.
pub struct Pieces {
    /// The bytes of every token.
    pub tokens: Vec<Vec<u8>>,
    /// Texts of the special tokens.
    pub special: Vec<String>,
}

/// One text: mostly a few fragments, seldom none or many.
pub fn text(random: &mut Random, pieces: &Pieces) -> String {
    let fragments = match random.below(64) {
        0 => 60,
        n => 1 + n % 9,
    };
    let mut bytes = Vec::new();
    for _ in 0..fragments {
        fragment(random, pieces, &mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn fragment(random: &mut Random, pieces: &Pieces, out: &mut Vec<u8>) {
    let length = 1 + random.below(6);
    match random.below(17) {
        0 => repeat(length, out, || random.within((0x20, 0x7E))),
        1 => out.extend_from_slice(random.of(CONTRACTIONS).as_bytes()),
        2 => repeat(length, out, || random.within((0, 0x10_FFFF))),
        3 => {
            let script = *random.of(SCRIPTS);
            repeat(length, out, || random.within(script));
        }
        4 => {
            let script = *random.of(SCRIPTS);
            repeat(1, out, || random.within(script));
            let marks = *random.of(MARKS);
            repeat(random.below(4), out, || random.within(marks));
        }
        5 => out.extend_from_slice(random.of(EMOJI).as_bytes()),
        6 => out.extend_from_slice(random.of(RIGHT_TO_LEFT).as_bytes()),
        7 => repeat(length, out, || *random.of(SPACES)),
        8 => (0..length).for_each(|_| out.extend_from_slice(random.of(LINES).as_bytes())),
        9 => repeat(length, out, || *random.of(DIGITS)),
        // Most of these are no UTF-8: they become U+FFFD, or a character with what is beside them.
        10 => (0..length).for_each(|_| out.push(random.next() as u8)),
        11 => (0..length).for_each(|_| out.extend_from_slice(random.of::<Vec<u8>>(&pieces.tokens))),
        12 => special(random, pieces, out),
        13 => repeat(length, out, || *random.of(SIGNS)),
        14 => out.extend_from_slice(random.of(WORDS).as_bytes()),
        15 => out.extend_from_slice(random.of(NAMED).as_bytes()),
        _ => repeat(length, out, || *random.of(CASED)),
    }
}

/// A special text, whole or cut short.
fn special(random: &mut Random, pieces: &Pieces, out: &mut Vec<u8>) {
    if let Some(last) = pieces.special.len().checked_sub(1) {
        let text = pieces.special[random.below(last + 1)].as_bytes();
        let kept = if random.coin() { text.len() } else { random.below(text.len() + 1) };
        out.extend_from_slice(&text[..kept]);
    }
}

fn repeat(times: usize, out: &mut Vec<u8>, mut next: impl FnMut() -> char) {
    for _ in 0..times {
        out.extend_from_slice(next().encode_utf8(&mut [0; 4]).as_bytes());
    }
}

/// Code points between characters of known classes, 16 to a text: one class that is wrong moves a
/// boundary.
pub fn code_points() -> Vec<String> {
    let all: Vec<char> = ('\0'..=char::MAX).collect();
    let around = |chunk: &[char]| chunk.iter().map(|c| format!("a{c}{c}1{c} {c}.\n")).collect();
    all.chunks(16).map(around).collect()
}
