//! A case to start from, as text with comments: what `parity new` writes. It knows keys and examples of
//! every kind, touches no file, and leaves it to the loader whether the result keeps the rules.

use std::fmt::Write as _;

use super::case::Kind;

/// Column of the comments.
const COMMENT: usize = 40;

/// A key of the template, its example, and what an author should know.
struct Line {
    key: &'static str,
    value: &'static str,
    comment: &'static str,
    /// Written as a comment: the case is complete without it.
    optional: bool,
}

const fn needed(key: &'static str, value: &'static str, comment: &'static str) -> Line {
    Line { key, value, comment, optional: false }
}

const fn optional(key: &'static str, value: &'static str, comment: &'static str) -> Line {
    Line { key, value, comment, optional: true }
}

const MODEL: Line =
    needed("model", "\"ci-light\"", "id in models.toml; `parity models list` shows all");
const TIER: Line =
    needed("tier", "\"ci-light\"", "ci-light: every run; integration: BITNET_TIER=integration");
const PROMPT: Line = needed(
    "prompt",
    "\"Q: 2+2? A:\"",
    "or prompt-file = \"prompts/x.txt\", or prompt-tokens = [1, 2]",
);
const KNOWN: Line =
    optional("known-failure", "{ why = \"…\", issue = 1 }", "passes only while it fails");
const VARIANTS: Line = optional(
    "variants",
    "{ threads = [1, 2], isa = [\"scalar\", \"avx2\"] }",
    "one trial for each combination",
);

fn lines(kind: Kind) -> Vec<Line> {
    match kind {
        Kind::Parity => vec![
            MODEL,
            TIER,
            PROMPT,
            needed(
                "steps",
                "16",
                "greedy steps after the prompt; 0 compares the prompt's logits only",
            ),
            needed(
                "tolerance",
                "\"same-numerics\"",
                "or cross-numerics, or { class = \"same-numerics\", mean-kl = 5e-4 }",
            ),
            optional("greedy", "\"exact\"", "no differing choice is excused as a tie"),
            VARIANTS,
            KNOWN,
        ],
        Kind::Tokenizer => vec![
            MODEL,
            TIER,
            needed(
                "texts",
                "[\"it's\", \"a  b\"]",
                "each is one comparison; or text, or text-file",
            ),
            optional("parse-special", "true", "read pieces such as <|eot_id|> as their ids"),
            KNOWN,
        ],
        Kind::Metamorphic => vec![
            MODEL,
            TIER,
            PROMPT,
            needed(
                "relation",
                "\"prefill-equals-steps\"",
                "or repeat-run, causal-prefix, { threads = [1, 2] }, { isa = [\"scalar\"] }, …",
            ),
            KNOWN,
        ],
        Kind::Reject => vec![
            MODEL,
            TIER,
            needed(
                "damage",
                "{ rename = { from = \"blk.0.attn_q.weight\", to = \"blk.0.attn_x.weight\" } }",
                "what happens to a copy of the model",
            ),
            needed("expect-error", "\"blk.0.attn_q.weight\"", "text that the refusal must contain"),
            KNOWN,
        ],
        Kind::Quantization => vec![
            TIER,
            needed("type", "\"Q4_0\"", "tensor type as ggml names it"),
            needed("rows", "64", "of the matrix"),
            needed("columns", "512", "a multiple of the type's block"),
            needed("seed", "1", "of weights and activations"),
            needed("weights", "\"normal\"", "how they are distributed: normal, outliers, …"),
            optional("limits", "{ nmse = 1e-2 }", "tighter than those of the type"),
            KNOWN,
        ],
        Kind::Bench => vec![
            MODEL,
            TIER,
            needed(
                "decode",
                "[64]",
                "ids of a timed decode (tg64); also prefill = [128], load = true",
            ),
            needed("min-ratio", "0.9", "smallest speed that passes, as a part of the reference's"),
            optional("variants", "{ threads = [1, 2] }", "one trial each"),
        ],
    }
}

/// Keys of which a case has exactly one.
const ALTERNATIVES: [&[&str]; 2] =
    [&["prompt", "prompt-file", "prompt-tokens"], &["text", "text-file", "texts"]];

/// The head of a new suite, with its schema and its kind.
pub fn head(kind: Kind) -> String {
    format!(
        "#:schema ../docs/suite.schema.json\n# Every key: docs/suite-format.md.\nkind = \"{kind}\"\n\
         analysis = '''\nWhat these cases have in common, and what to suspect when they fail.\n'''\n"
    )
}

/// A case of `kind` called `name`. Keys that the suite's `[defaults]` hold (`inherited`) are written as
/// comments: the case needs them only to differ.
pub fn case(kind: Kind, name: &str, inherited: &[String]) -> String {
    let has = |key: &str| {
        let same = ALTERNATIVES.iter().find(|keys| keys.contains(&key));
        let same = same.copied().unwrap_or_default();
        inherited.iter().any(|found| found == key || same.contains(&found.as_str()))
    };
    let mut out = format!("\n[[case]]\nname = \"{name}\"");
    let width = COMMENT.saturating_sub(name.len() + 9);
    let _ = writeln!(out, "{:width$}# never changes: baselines hang on it", "");
    let _ =
        writeln!(out, "analysis = \"What the case is for, and what to suspect when it fails.\"");
    for line in lines(kind) {
        let inherited = has(line.key);
        let mark = if line.optional || inherited { "# " } else { "" };
        let text = format!("{mark}{} = {}", line.key, line.value);
        let width = COMMENT.saturating_sub(text.chars().count()).max(1);
        let from = if inherited { "from [defaults]; " } else { "" };
        let _ = writeln!(out, "{text}{:width$}# {from}{}", "", line.comment);
    }
    out
}
