//! Rules about tolerances and variants, broken: the place, the words, the next step.

use bitnet_runner::suite::case::{Check, ToleranceOverrides};

use crate::project::{GOOD, HEAD, one, refused, says_only};

#[test]
fn tolerances_are_finite_and_only_tighter() {
    let with =
        |table: &str| refused(&format!("{HEAD}{}", GOOD.replace("\"same-numerics\"", table)));
    for bad in ["nan", "inf", "-1e-6"] {
        let shown = if bad == "nan" {
            "NaN"
        } else if bad == "inf" {
            "inf"
        } else {
            "-0.000001"
        };
        says_only(
            &with(&format!("{{ class = \"self\", mean-kl = {bad} }}")),
            &[
                "error: `mean-kl` is a finite number and not negative",
                "--> suites/x.toml:10:41",
                &format!("^ this is {shown}"),
            ],
        );
    }
    says_only(
        &with("{ class = \"same-numerics\", mean-kl = 2e-3 }"),
        &[
            "error: a tolerance may only be tighter than its class `same-numerics`",
            "--> suites/x.toml:10:50",
            "^^^^ the class has mean-kl = 0.001",
        ],
    );
    says_only(
        &with("{ class = \"same-numerics\", min-raw-cosine = 0.9 }"),
        &["a tolerance may only be tighter", "the class has min-raw-cosine = 0.99"],
    );
    for (key, column) in [("min-raw-cosine", 57), ("min-centred-cosine", 61)] {
        says_only(
            &with(&format!("{{ class = \"same-numerics\", {key} = 1.5 }}")),
            &[
                &format!("error: `{key}` is at most 1: no cosine is larger"),
                &format!("--> suites/x.toml:10:{column}"),
                "^^^ this is 1.5",
            ],
        );
    }
    for (key, _, _) in ToleranceOverrides::default().entries() {
        says_only(
            &with(&format!("{{ class = \"self\", {key} = -1.0 }}")),
            &[
                &format!("error: `{key}` is a finite number and not negative"),
                &format!("--> suites/x.toml:10:{}", 34 + key.len()),
            ],
        );
    }
    says_only(
        &with("{ mean-kl = 1e-9 }"),
        &["error: `tolerance` needs the key `class`", "--> suites/x.toml:10:13"],
    );
    says_only(
        &with("\"same-numeric\""),
        &[
            "error: `same-numeric` is not a value of `tolerance`",
            "--> suites/x.toml:10:13",
            "did you mean `same-numerics`?",
        ],
    );
    says_only(
        &with("3"),
        &[
            "error: `tolerance` has the wrong type",
            "expected the name of a class or a table with `class`",
        ],
    );
    let tight = GOOD
        .replace("\"same-numerics\"", "{ class = \"same-numerics\", mean-kl = 1e-3, p99-kl = 0 }");
    let suites = one(&format!("{HEAD}{tight}")).load().unwrap_or_else(|errors| panic!("{errors}"));
    let Check::Parity(check) = &suites[0].cases[0].check else { panic!("not parity") };
    assert_eq!(check.tolerance.tightened.mean_kl, Some(1e-3));
    assert_eq!(check.tolerance.tightened.p99_kl, Some(0.0));
}

#[test]
fn variants_are_a_product_of_distinct_values() {
    let with = |axes: &str| refused(&format!("{HEAD}{GOOD}variants = {axes}\n"));
    says_only(
        &with("{}"),
        &["error: `variants` names at least one axis", "--> suites/x.toml:11:12"],
    );
    says_only(
        &with("{ threads = [] }"),
        &["error: `threads` has at least one value", "--> suites/x.toml:11:24"],
    );
    says_only(
        &with("{ threads = [2, 2] }"),
        &["error: `threads` names each value once", "--> suites/x.toml:11:28", "^ repeated"],
    );
    says_only(
        &with("{ threads = [0] }"),
        &["error: `threads` is between 1 and 1024", "^ 0 is outside"],
    );
    says_only(
        &with("{ isa = [\"avx1024\"] }"),
        &["error: `avx1024` is not a value of `variants`", "--> suites/x.toml:11:21"],
    );
}
