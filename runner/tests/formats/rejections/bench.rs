//! Rules of kind `bench`, broken: sizes, rounds, the ratio, and keys that belong to decodes.

use crate::project::{refused, says_only};

/// Lines 1 to 9; a replaced line keeps its place.
const GOOD: &str = "kind = \"bench\"\nanalysis = \"x\"\n[[case]]\nname = \"a\"\ntier = \"ci-light\"\n\
                    model = \"small\"\nprefill = [128, 512]\ndecode = [64]\nmin-ratio = 1.5\n";

fn with(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    refused(&GOOD.replacen(from, to, 1))
}

#[test]
fn a_case_times_something_and_demands_a_ratio() {
    says_only(
        &with("min-ratio = 1.5\n", ""),
        &[
            "error: a case of kind `bench` needs the key `min-ratio`",
            "--> suites/x.toml:3:1",
            "^^^^^^^^ `min-ratio` is missing in this case",
        ],
    );
    says_only(
        &with("prefill = [128, 512]\ndecode = [64]\n", ""),
        &[
            "error: a case of kind `bench` times something",
            "--> suites/x.toml:3:1",
            "no `load = true`, no `prefill`, no `decode`",
        ],
    );
    says_only(
        &with("decode = [64]", "known-failure = { why = \"slow\", issue = 1 }"),
        &["error: `known-failure` is not a key of kind `bench`", "--> suites/x.toml:8:1"],
    );
}

#[test]
fn sizes_are_in_their_ranges_and_named_once() {
    says_only(
        &with("decode = [64]", "decode = [15]"),
        &["error: `decode` is between 16 and 131072", "--> suites/x.toml:8:11", "^^ 15 is outside"],
    );
    says_only(
        &with("[128, 512]", "[0]"),
        &["error: `prefill` is between 1 and 131072", "--> suites/x.toml:7:12", "^ 0 is outside"],
    );
    says_only(
        &with("[128, 512]", "[128, 128]"),
        &["error: `prefill` names no size twice", "--> suites/x.toml:7:17", "^^^ the second"],
    );
    says_only(
        &with("[128, 512]", "[]"),
        &["error: `prefill` names at least one size", "--> suites/x.toml:7:11", "^^ empty"],
    );
    for (line, rule, label) in [
        ("rounds = 7", "`rounds` is between 8 and 40", "^ 7 is outside"),
        ("rounds = 41", "`rounds` is between 8 and 40", "^^ 41 is outside"),
        ("depth = -1", "`depth` is between 0 and 131072", "^^ -1 is outside"),
    ] {
        let text = with("min-ratio = 1.5\n", &format!("min-ratio = 1.5\n{line}\n"));
        says_only(&text, &[&format!("error: {rule}"), "--> suites/x.toml:10:", label]);
    }
    says_only(
        &with("1.5", "0.0"),
        &["error: `min-ratio` is between 0.01 and 100", "--> suites/x.toml:9:13", "0 is outside"],
    );
}

#[test]
fn what_only_decodes_have_needs_one() {
    for (line, key) in [("depth = 64", "depth"), ("output = \"logits\"", "output")] {
        says_only(
            &with("decode = [64]", line),
            &[
                &format!("error: `{key}` is a key of decodes"),
                "--> suites/x.toml:8:",
                "this case has no `decode`",
            ],
        );
    }
    says_only(
        &with("min-ratio = 1.5\n", "min-ratio = 1.5\noutput = \"greedi\"\n"),
        &["error: `greedi` is not a value of `output`", "did you mean `greedy`?"],
    );
}
