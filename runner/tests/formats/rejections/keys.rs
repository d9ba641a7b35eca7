//! Rules about keys and words, broken: what a case must have, may have, and is suggested.

use crate::project::{GOOD, HEAD, refused, says, says_only};

#[test]
fn misspelt_keys_are_suggested_everywhere() {
    says_only(
        &refused(&format!("{HEAD}{GOOD}stepz = 3\n")),
        &[
            "error: unknown key `stepz` in a case",
            "--> suites/x.toml:11:1",
            "^^^^^ did you mean `steps`?",
            "keys: `name`",
        ],
    );
    says_only(
        &refused(&format!("{}{GOOD}", HEAD.replace("tier =", "teir = \"x\"\ntier ="))),
        &[
            "error: unknown key `teir` in [defaults]",
            "--> suites/x.toml:5:1",
            "^^^^ did you mean `tier`?",
        ],
    );
    says_only(
        &refused(&format!("kinds = 1\n{HEAD}{GOOD}")),
        &[
            "error: unknown key `kinds` in a suite file",
            "--> suites/x.toml:1:1",
            "^^^^^ did you mean `kind`?",
        ],
    );
    says_only(
        &refused(&format!(
            "{HEAD}{}",
            GOOD.replace("\"same-numerics\"", "{ class = \"self\", mean-lk = 0.0 }")
        )),
        &[
            "error: unknown key `mean-lk` in `tolerance`",
            "--> suites/x.toml:10:31",
            "^^^^^^^ did you mean `mean-kl`?",
        ],
    );
    says_only(
        &refused(&format!("{HEAD}{GOOD}known-failure = {{ whi = \"x\", issue = 1 }}\n")),
        &[
            "error: unknown key `whi` in `known-failure`",
            "--> suites/x.toml:11:19",
            "^^^ did you mean `why`?",
        ],
    );
}

#[test]
fn a_misspelt_case_header_is_not_an_empty_suite() {
    let message = refused(&HEAD.replace("[[case]]", "[[cases]]").to_string());
    says(
        &message,
        &[
            "error: unknown key `cases` in a suite file",
            "--> suites/x.toml:6:3",
            "^^^^^ did you mean `case`?",
            "each case begins with the line `[[case]]`",
            "error: a suite has at least one case",
        ],
    );
}

#[test]
fn exactly_one_prompt() {
    says_only(
        &refused(&format!("{HEAD}{GOOD}prompt-tokens = [1]\n")),
        &[
            "error: a case has exactly one of `prompt`, `prompt-file`, `prompt-tokens`",
            "--> suites/x.toml:11:17",
            "`prompt` is here",
            "^^^ `prompt-tokens` as well",
        ],
    );
    says_only(
        &refused(&format!("{HEAD}{}", GOOD.replace("prompt = \"x\"\n", ""))),
        &[
            "a case has exactly one of",
            "--> suites/x.toml:6:1",
            "^^^^^^^^ none of them in this case",
        ],
    );
    says_only(
        &refused(&format!("{HEAD}{}", GOOD.replace("\"x\"", "\"\""))),
        &[
            "error: a prompt is not empty",
            "--> suites/x.toml:8:10",
            "^^ there is nothing to compute",
        ],
    );
    says_only(
        &refused(&format!("{HEAD}{}", GOOD.replace("prompt = \"x\"", "prompt-tokens = [1, -1]"))),
        &[
            "error: an id is between 0 and 2147483647",
            "--> suites/x.toml:8:17",
            "^^^^^^^ one of these is outside",
        ],
    );
    says_only(
        &refused(&format!(
            "{HEAD}{}add-special = false\n",
            GOOD.replace("prompt = \"x\"", "prompt-tokens = [1]")
        )),
        &["error: `prompt-tokens` are used as they stand", "--> suites/x.toml:11:1", "the ids"],
    );
}

#[test]
fn what_is_missing_is_named_at_the_case() {
    for key in ["name", "steps", "tolerance"] {
        let case: String = GOOD
            .lines()
            .filter(|line| !line.starts_with(key))
            .map(|line| format!("{line}\n"))
            .collect();
        says_only(
            &refused(&format!("{HEAD}{case}")),
            &[
                &format!("error: a case of kind `parity` needs the key `{key}`"),
                "--> suites/x.toml:6:1",
                &format!("^^^^^^^^ `{key}` is missing in this case"),
            ],
        );
    }
    for key in ["model", "tier"] {
        let head: String = HEAD
            .lines()
            .filter(|line| !line.starts_with(key))
            .map(|line| format!("{line}\n"))
            .collect();
        says_only(
            &refused(&format!("{head}{GOOD}")),
            &[
                &format!("error: a case of kind `parity` needs the key `{key}`"),
                "--> suites/x.toml:5:1",
            ],
        );
    }
    says_only(
        &refused(&format!("{HEAD}{GOOD}known-failure = {{ why = \"x\" }}\n")),
        &[
            "error: `known-failure` needs the key `issue`",
            "--> suites/x.toml:11:17",
            "`issue` is missing here",
        ],
    );
    says_only(
        &refused(&format!("{}{GOOD}", HEAD.replace("\"x\"", "\" \""))),
        &["error: `analysis` says nothing", "--> suites/x.toml:2:12", "^^^ empty"],
    );
}

#[test]
fn words_and_types_are_checked() {
    says_only(
        &refused(&format!("{}{GOOD}", HEAD.replace("ci-light", "ci-lite"))),
        &[
            "error: `ci-lite` is not a value of `tier`",
            "--> suites/x.toml:5:8",
            "^^^^^^^^^ did you mean `ci-light`?",
            "values: `ci-light`, `integration`",
        ],
    );
    says_only(
        &refused(&format!("{}{GOOD}", HEAD.replace("\"small\"", "\"smal\""))),
        &[
            "error: `smal` is not a model of models.toml",
            "--> suites/x.toml:4:9",
            "^^^^^^ did you mean `small`?",
            "models: `small`, `large`",
        ],
    );
    says_only(
        &refused(&format!("{}{GOOD}", HEAD.replace("\"small\"", "\"large\""))),
        &[
            "error: a case of tier ci-light cannot use a model of tier integration",
            "--> suites/x.toml:5:8",
            "the model",
        ],
    );
    says_only(
        &refused(&format!("{HEAD}{}", GOOD.replace("\"a\"", "7"))),
        &[
            "error: `name` has the wrong type",
            "--> suites/x.toml:7:8",
            "^ integer `7`, expected a string",
        ],
    );
    for steps in ["-1", "4097"] {
        says_only(
            &refused(&format!("{HEAD}{}", GOOD.replace("4", steps))),
            &[
                "error: `steps` is between 0 and 4096",
                "--> suites/x.toml:9:9",
                &format!("^ {steps} is outside"),
            ],
        );
    }
    says_only(
        &refused(&format!("{HEAD}{GOOD}text = \"x\"\n")),
        &[
            "error: `text` is not a key of kind `parity`",
            "--> suites/x.toml:11:1",
            "^^^^ belongs to kind `tokenizer`",
        ],
    );
    says_only(
        &refused(&format!("{}{GOOD}", HEAD.replace("parity", "parties"))),
        &[
            "error: `parties` is not a value of `kind`",
            "--> suites/x.toml:1:8",
            "did you mean `parity`?",
        ],
    );
    says_only(
        &refused("kind = \"parity\"\nanalysis = \"x\"\n[case]\nname = \"a\"\n"),
        &[
            "error: `case` has the wrong type",
            "--> suites/x.toml:3:1",
            "each case begins with the line `[[case]]`",
        ],
    );
}
