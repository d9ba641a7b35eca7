//! Rules of kind `quantization`, broken: types, shapes, distributions and limits.

use crate::project::{refused, says_only};

/// Lines 1 to 9; a replaced line keeps its place.
const GOOD: &str = "kind = \"quantization\"\nanalysis = \"x\"\n[[case]]\nname = \"a\"\ntier = \"ci-light\"\n\
                    type = \"Q4_0\"\nrows = 8\ncolumns = 64\nseed = 1\nweights = \"normal\"\n";

fn with(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    refused(&GOOD.replacen(from, to, 1))
}

#[test]
fn a_case_names_a_type_a_shape_a_seed_and_a_distribution() {
    for key in [
        "type = \"Q4_0\"\n",
        "rows = 8\n",
        "columns = 64\n",
        "seed = 1\n",
        "weights = \"normal\"\n",
    ] {
        let name = key.split(' ').next().expect("a key");
        says_only(
            &with(key, ""),
            &[
                &format!("error: a case of kind `quantization` needs the key `{name}`"),
                "--> suites/x.toml:3:1",
                &format!("^^^^^^^^ `{name}` is missing in this case"),
            ],
        );
    }
    says_only(
        &with("seed = 1\n", "seed = 1\nmodel = \"small\"\n"),
        &["error: `model` is not a key of kind `quantization`", "--> suites/x.toml:10:1"],
    );
    says_only(
        &with("seed = 1\n", "seed = 1\nvariants = { threads = [1] }\n"),
        &[
            "error: a case of kind `quantization` varies `isa` alone",
            "--> suites/x.toml:10:24",
            "one kernel runs on one thread",
        ],
    );
}

#[test]
fn types_and_shapes_fit() {
    says_only(
        &with("Q4_0", "Q4_O"),
        &[
            "error: `Q4_O` is not a type that the engine quantises to",
            "--> suites/x.toml:6:8",
            "^^^^^^ did you mean `Q4_0`?",
        ],
    );
    says_only(
        &with("columns = 64", "columns = 48"),
        &[
            "error: `columns` of Q4_0 is a multiple of 32",
            "--> suites/x.toml:8:11",
            "^^ 48 leaves 16",
        ],
    );
    for (key, bad, most) in
        [("rows = 8", "rows = 0", 4096), ("columns = 64", "columns = 4128", 4096)]
    {
        let name = key.split(' ').next().expect("a key");
        says_only(&with(key, bad), &[&format!("error: `{name}` is between 1 and {most}")]);
    }
    says_only(
        &with("weights = \"normal\"", "weights = \"gaussian\""),
        &["error: `gaussian` is not a value of `weights`", "--> suites/x.toml:10:11"],
    );
}

#[test]
fn ternary_types_hold_nothing_else() {
    says_only(
        &with("\"Q4_0\"\nrows = 8\ncolumns = 64", "\"I2_S\"\nrows = 8\ncolumns = 128"),
        &[
            "error: I2_S does not hold weights that are normal",
            "--> suites/x.toml:10:11",
            "^^^^^^^^ it holds `ternary` ones",
        ],
    );
}

#[test]
fn limits_are_finite_and_only_tighter() {
    let limits = |table: &str| refused(&format!("{GOOD}limits = {table}\n"));
    for (bad, shown) in [("nan", "NaN"), ("inf", "inf"), ("-1.0", "-1")] {
        says_only(
            &limits(&format!("{{ nmse = {bad} }}")),
            &[
                "error: `nmse` is a finite number and not negative",
                "--> suites/x.toml:11:19",
                &format!("^ this is {shown}"),
            ],
        );
    }
    says_only(
        &limits("{ nmse = 0.9 }"),
        &[
            "error: a limit may only be tighter than that of Q4_0",
            "--> suites/x.toml:11:19",
            "^^^ for normal weights it has nmse = ",
        ],
    );
    says_only(
        &limits("{ min-cosine = 0.5 }"),
        &["error: a limit may only be tighter than that of Q4_0", "it has min-cosine = "],
    );
    says_only(
        &limits("{ min-product-cosine = 1.5 }"),
        &["error: `min-product-cosine` is at most 1", "^^^ this is 1.5"],
    );
    says_only(
        &limits("{ min-accuracy = 1.0 }"),
        &[
            "error: `min-accuracy` is not measured for weights that are normal",
            "it would be ignored",
        ],
    );
    says_only(
        &limits("{ nmsee = 0.1 }"),
        &["error: unknown key `nmsee` in `limits`", "^^^^^ did you mean `nmse`?"],
    );
}
