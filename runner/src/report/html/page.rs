//! The page around the cases: its head with a policy that lets nothing in from elsewhere, counts,
//! search and filters, the table of suites. It knows words and texts, and no receipt.

use std::collections::BTreeMap;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use crate::manifest::Tier;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// Failures that are open from the start: a browser must not lay out thousands.
const MOST_OPEN: usize = 20;
/// Rows of the table of suites that are open from the start.
const MOST_ROWS: usize = 12;
/// Stands for the tier where a receipt does not say it.
const NO_TIER: &str = "unknown";

/// How a case ended, for its colour and its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mood {
    /// It failed.
    Bad,
    /// It passed, or was not decided, and deserves a look.
    Warn,
    /// It passed.
    Good,
}

impl Mood {
    /// The page's class.
    pub fn class(self) -> &'static str {
        match self {
            Self::Bad => "bad",
            Self::Warn => "warn",
            Self::Good => "good",
        }
    }

    /// The class of what is drawn.
    pub fn mark(self) -> &'static str {
        match self {
            Self::Bad => "bad-mark",
            Self::Warn => "warn-mark",
            Self::Good => "good-mark",
        }
    }
}

/// A case on the page. Every text is safe to show.
pub struct Entry {
    /// `<kind>::<suite>::<case>[::<variant>]`.
    pub id: String,
    /// Its tier, where the receipt says it.
    pub tier: Option<Tier>,
    /// What it was compared with.
    pub against: String,
    /// The verdict's word.
    pub word: String,
    /// What the word means.
    pub mood: Mood,
    /// Its figures in a line.
    pub say: String,
    /// All that is shown when it is opened.
    pub body: Markup,
}

impl Entry {
    /// `<kind>::<suite>`.
    pub fn suite(&self) -> &str {
        let second = self.id.match_indices("::").nth(1).map(|(at, _)| at);
        second.map_or(&*self.id, |at| &self.id[..at])
    }

    /// The word of its tier.
    fn tier(&self) -> &'static str {
        self.tier.map_or(NO_TIER, Tier::name)
    }

    fn anchor(&self) -> String {
        format!("{}@{}", self.id, self.against)
    }

    fn markup(&self, open: bool) -> Markup {
        let (tier, id) = (self.tier(), &self.id);
        let text = format!("{tier} {id} {} {}", self.against, self.word).to_lowercase();
        html! {
            details class={ "case " (self.mood.class()) } id=(self.anchor()) open[open]
                data-text=(text) data-word=(self.word) data-suite=(self.suite()) data-tier=(tier) {
                summary {
                    span class={ "badge " (self.mood.class()) } { (self.word) }
                    span.id { (self.id) }
                    span.faint { (self.against) }
                    span.say { (self.say) }
                }
                div.body { (self.body) }
            }
        }
    }
}

/// How many cases ended with each word.
type Words<'a> = BTreeMap<(Mood, &'a str), usize>;

/// What stands above the cases and below them.
pub struct Frame {
    /// Of the page.
    pub title: String,
    /// On what it rests, a line each.
    pub basis: Vec<String>,
}

/// The whole document. Failures come first, then what deserves a look; within a mood the order stays.
pub fn document(frame: &Frame, mut entries: Vec<Entry>) -> String {
    entries.sort_by_key(|entry| entry.mood);
    let mut words = Words::new();
    for entry in &entries {
        *words.entry((entry.mood, &entry.word)).or_default() += 1;
    }
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy());
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (frame.title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { (frame.title) }
                    @for ((mood, word), count) in &words {
                        span class={ "badge " (mood.class()) } { (count) " " (word) } " "
                    }
                }
                (filters(&entries, &words))
                (suites(&entries, &words))
                main { @for (index, entry) in entries.iter().enumerate() {
                    (entry.markup(entry.mood == Mood::Bad && index < MOST_OPEN))
                } }
                footer { @for line in &frame.basis { div { (line) } } }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string()
}

fn filters(entries: &[Entry], words: &Words<'_>) -> Markup {
    let mut names: Vec<&str> = entries.iter().map(Entry::suite).collect();
    names.sort_unstable();
    names.dedup();
    let tiers = tiers(entries);
    html! {
        div.bar role="search" {
            input #query type="search" placeholder="Part of an id, a reference, a verdict …" aria-label="Search";
            select #suite aria-label="Suite" {
                option value="" { "all suites" }
                @for name in names { option value=(name) { (name) } }
            }
            @if tiers.len() > 1 {
                select #tier aria-label="Tier" {
                    option value="" { "all tiers" }
                    @for tier in tiers { option value=(tier) { (tier) } }
                }
            }
            @for (_, word) in words.keys() {
                button type="button" data-word=(word) aria-pressed="false" { (word) }
            }
            span #shown .faint aria-live="polite" { (entries.len()) " cases" }
        }
    }
}

/// The words of the tiers that occur, lowest first.
fn tiers(entries: &[Entry]) -> Vec<&'static str> {
    let mut tiers: Vec<Option<Tier>> = entries.iter().map(|entry| entry.tier).collect();
    tiers.sort_unstable();
    tiers.dedup();
    tiers.into_iter().map(|tier| tier.map_or(NO_TIER, Tier::name)).collect()
}

/// How many cases of each tier and suite ended with each word.
fn suites(entries: &[Entry], words: &Words<'_>) -> Markup {
    let mut rows: BTreeMap<(Option<Tier>, &str), Words<'_>> = BTreeMap::new();
    for entry in entries {
        let row = rows.entry((entry.tier, entry.suite())).or_default();
        *row.entry((entry.mood, &entry.word)).or_default() += 1;
    }
    html! {
        details open[rows.len() <= MOST_ROWS] {
            summary { "By tier, suite and verdict" }
            div.wide { table {
                thead { tr {
                    th { "tier" } th.id { "suite" }
                    @for (mood, word) in words.keys() { th { span class={ "badge " (mood.class()) } { (word) } } }
                } }
                tbody { @for ((tier, name), counts) in rows { tr {
                    td { (tier.map_or(NO_TIER, Tier::name)) } td.id { (name) }
                    @for word in words.keys() {
                        td { @if let Some(count) = counts.get(word) { (count) } @else { span.faint { "0" } } }
                    }
                } } }
            } }
        }
    }
}

/// Nothing is loaded, and of scripts and styles only the two of this page.
fn policy() -> String {
    let (style, script) = (base64(&Sha256::digest(STYLE)), base64(&Sha256::digest(SCRIPT)));
    format!(
        "default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'; \
         base-uri 'none'; form-action 'none'"
    )
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let group = chunk
            .iter()
            .enumerate()
            .fold(0u32, |group, (i, byte)| group | u32::from(*byte) << (16 - 8 * i));
        for place in 0..4 {
            let letter = LETTERS[(group >> (18 - 6 * place) & 63) as usize];
            out.push(if place <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (plain, coded) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn failures_come_first_and_open_and_no_text_becomes_markup() {
        let entry = |id: &str, mood| Entry {
            id: id.into(),
            tier: (mood == Mood::Bad).then_some(Tier::CiLight),
            against: "<script>alert(1)</script>".into(),
            word: if mood == Mood::Bad { "DIVERGED" } else { "EXACT" }.into(),
            mood,
            say: "\" onload=x".into(),
            body: html! {},
        };
        let frame = Frame { title: "<b>".into(), basis: vec!["a & b".into()] };
        let entries =
            vec![entry("parity::a::good", Mood::Good), entry("parity::a::bad", Mood::Bad)];
        let page = document(&frame, entries);
        let (bad, good) = (page.find("id=\"parity::a::bad@"), page.find("id=\"parity::a::good@"));
        assert!(bad.is_some() && bad < good, "{page}");
        assert_eq!(page.matches(" open data-text=").count(), 1, "the failure alone is open");
        assert!(!page.contains("<script>alert") && !page.contains("<title><b>"), "{page}");
        assert_eq!(page.matches("<script>").count(), 1);
        assert!(!page.contains("http://") && !page.contains("https://"), "nothing from elsewhere");
        assert!(!page.contains("style=\""), "the policy forbids it");
        for row in [
            "<td>ci-light</td><td class=\"id\">parity::a</td><td>1</td><td><span class=\"faint\">0",
            "<td>unknown</td><td class=\"id\">parity::a</td><td><span class=\"faint\">0</span></td><td>1<",
            "<option value=\"ci-light\">ci-light</option></select>",
        ] {
            assert!(page.contains(row), "{row} is not in {page}");
        }
    }
}
