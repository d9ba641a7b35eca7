//! Rules of single kinds of case, broken: tokenizer, metamorphic, reject.

use crate::project::{HEAD, refused, says, says_only};

#[test]
fn the_other_kinds_have_their_rules() {
    let of = |kind: &str, case: &str| {
        refused(&format!("{}name = \"a\"\n{case}", HEAD.replace("parity", kind)))
    };
    says_only(
        &of("tokenizer", ""),
        &["a case has exactly one of `text`, `text-file`, `texts`", "--> suites/x.toml:6:1"],
    );
    says_only(
        &of("tokenizer", "texts = []\n"),
        &["error: `texts` has at least one value", "--> suites/x.toml:8:9"],
    );
    says_only(
        &of("tokenizer", "text-file = \"../x\"\n"),
        &["`text-file` is a relative path inside", "--> suites/x.toml:8:13"],
    );
    says_only(
        &of("tokenizer", "text = \"x\"\nvariants = { threads = [1] }\n"),
        &["`variants` is not a key of kind `tokenizer`", "belongs to kind `parity`, `metamorphic`"],
    );

    for kind in ["metamorphic", "reject"] {
        let message = of(kind, "timeout-seconds = 30\n");
        let rule = format!("error: `timeout-seconds` is not a key of kind `{kind}`");
        let label = "^^^^^^^^^^^^^^^ belongs to kind `parity`, `tokenizer`";
        says(&message, &[&rule, "--> suites/x.toml:8:1", label]);
    }
    says_only(
        &of("metamorphic", "prompt = \"x\"\n"),
        &["a case of kind `metamorphic` needs the key `relation`"],
    );
    says_only(
        &of("metamorphic", "prompt = \"x\"\nrelation = \"threads\"\n"),
        &[
            "error: this value of `relation` needs arguments",
            "--> suites/x.toml:9:12",
            "write `relation = { threads = … }`",
        ],
    );
    says_only(
        &of("metamorphic", "prompt = \"x\"\nrelation = \"repeat\"\n"),
        &["error: `repeat` is not a value of `relation`", "values: `prefill-equals-steps`"],
    );
    says_only(
        &of("metamorphic", "prompt = \"x\"\nrelation = { threads = [1] }\n"),
        &["error: a relation compares at least two values", "--> suites/x.toml:9:12"],
    );
    says_only(
        &of(
            "metamorphic",
            "prompt = \"x\"\nrelation = { isa = [\"scalar\", \"avx2\"] }\nvariants = { isa = [\"avx2\"] }\n",
        ),
        &["error: a relation over `isa` sets it itself", "--> suites/x.toml:9:12"],
    );
    for relation in ["\"repeat-run\"", "{ fresh-cache = { after = \"y\" } }"] {
        let case = format!("prompt = \"x\"\ntolerance = \"self\"\nrelation = {relation}\n");
        says_only(
            &of("metamorphic", &case),
            &[
                "error: a relation that demands equal bits takes no `tolerance`",
                "--> suites/x.toml:9:1",
                "^^^^^^^^^ it would be ignored",
                "the relation",
            ],
        );
    }
    says_only(
        &of("metamorphic", "prompt = \"x\"\nrelation = { fresh-cache = { after = \"\" } }\n"),
        &["error: `after` says nothing", "--> suites/x.toml:9:38"],
    );

    let damage = |text: &str| of("reject", &format!("expect-error = \"x\"\ndamage = {text}\n"));
    says_only(
        &of("reject", "damage = { truncate-to-bytes = 1 }\n"),
        &["needs the key `expect-error`", "--> suites/x.toml:6:1"],
    );
    says_only(
        &of("reject", "expect-error = \"\"\ndamage = { truncate-to-bytes = 1 }\n"),
        &["error: `expect-error` says nothing", "--> suites/x.toml:8:16"],
    );
    says_only(
        &damage("{ truncate-to-bytes = -1 }"),
        &["error: `truncate-to-bytes` is between 0 and", "--> suites/x.toml:9:32"],
    );
    for part in ["1.0", "-0.1", "nan"] {
        says_only(
            &damage(&format!("{{ truncate-to-fraction = {part} }}")),
            &["error: `truncate-to-fraction` is at least 0 and below 1", "--> suites/x.toml:9:35"],
        );
    }
    for hex in ["", "0", "0g", "+1"] {
        says_only(
            &damage(&format!("{{ overwrite = {{ offset = 0, hex = \"{hex}\" }} }}")),
            &["error: `hex` is pairs of hex digits, at least one", "--> suites/x.toml:9:44"],
        );
    }
    says_only(
        &damage("{ rename = { from = \"abc\", to = \"ab\" } }"),
        &[
            "error: `from` and `to` are different names of the same number of bytes",
            "--> suites/x.toml:9:42",
            "2 bytes for 3",
        ],
    );
    says_only(
        &damage("{ truncate-to-bytes = 1, truncate-to-fraction = 0.5 }"),
        &["error: `damage` cannot be read", "--> suites/x.toml:9:10", "more than 1 element"],
    );
    says_only(
        &damage("{ set-u32 = { key = \"k\", value = 4294967296 } }"),
        &["error: `value` is between 0 and 4294967295", "--> suites/x.toml:9:43"],
    );
}
