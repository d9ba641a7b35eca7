//! Every rule of suite files, broken: the place, the words, the next step.

use std::fs;

use bitnet_runner::suite::case::Check;

use crate::project::{GOOD, HEAD, Project, one, refused, says, says_only};

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
fn nothing_to_run_is_an_error() {
    says_only(
        &refused("kind = \"parity\"\nanalysis = \"x\"\n"),
        &[
            "error: a suite has at least one case",
            "--> suites/x.toml:1:1",
            "a suite of nothing would pass",
        ],
    );
    says_only(
        &refused("kind = \"parity\"\nanalysis = \"x\"\ncase = []\n"),
        &["error: a suite has at least one case", "--> suites/x.toml:3:8", "^^ no `[[case]]` here"],
    );
    says_only(
        &Project::new(&[]).errors(),
        &["error: the folder holds no suite; a run of nothing would pass\n--> suites"],
    );
    says(
        &refused(""),
        &["a suite file needs the key `kind`", "a suite file needs the key `analysis`"],
    );
    let project = Project::new(&[]);
    fs::remove_dir(project.path("suites")).expect("removed");
    says_only(&project.errors(), &["error: there is no such folder\n--> suites"]);
}

#[test]
fn names_are_checked_and_unique() {
    says_only(
        &refused(&format!("{HEAD}{GOOD}[[case]]\n{GOOD}")),
        &[
            "error: two cases are named `a`",
            "--> suites/x.toml:12:8",
            "the first",
            "^^^ the second",
            "baselines hang on them",
        ],
    );
    for (name, why) in [
        ("Two", "`T` is not allowed in a name"),
        ("../x", "`.` is not allowed in a name"),
        ("a--b", "a `-` stands only between letters or digits"),
        ("nul", "the name is a device on Windows"),
    ] {
        says_only(
            &refused(&format!("{HEAD}{}", GOOD.replace("\"a\"", &format!("\"{name}\"")))),
            &[
                "error: a name matches ^[a-z0-9]+(-[a-z0-9]+)*$",
                "--> suites/x.toml:7:8",
                &format!("^ {why}"),
            ],
        );
    }
    says_only(
        &refused(&format!("{}{GOOD}", HEAD.replace("model =", "name = \"a\"\nmodel ="))),
        &[
            "error: a name is a case's own and has no default",
            "--> suites/x.toml:4:1",
            "^^^^ move it",
        ],
    );
    let good = format!("{HEAD}{GOOD}");
    let project = Project::new(&[("suites/Big.toml", good.as_bytes())]);
    says_only(
        &project.errors(),
        &["the file's stem is the suite's name", "--> suites/Big.toml", "`B` is not allowed"],
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
    for kind in ["bench", "quantization"] {
        says_only(
            &refused(&format!("{}{GOOD}", HEAD.replace("parity", kind))),
            &[
                &format!("error: kind `{kind}` is not supported by this version"),
                "--> suites/x.toml:1:8",
                "kinds: `parity`, `tokenizer`, `metamorphic`, `reject`",
            ],
        );
    }
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
fn prompt_files_stay_inside_the_folder() {
    for path in ["../secret.txt", "/etc/passwd", "prompts/../../x", "C:/x", "a\\\\b", ""] {
        says_only(
            &refused(&format!(
                "{HEAD}{}",
                GOOD.replace("prompt = \"x\"", &format!("prompt-file = \"{path}\""))
            )),
            &[
                "error: `prompt-file` is a relative path inside the suites folder",
                "--> suites/x.toml:8:15",
                "^ only names joined by `/`, no `..`",
            ],
        );
    }
    let asks = format!("{HEAD}{}", GOOD.replace("prompt = \"x\"", "prompt-file = \"p.txt\""));
    let place = "--> suites/x.toml:8:15";
    let rule = "error: `prompt-file` names a file that can be read";
    says_only(&refused(&asks), &[rule, place, "^^^^^^^ the file cannot be opened"]);
    let with = |bytes: &[u8]| {
        let project = one(&asks);
        project.write("suites/p.txt", bytes);
        project.errors()
    };
    says_only(&with(b"ok\xff"), &[rule, place, "the file is not UTF-8: byte 2 is invalid"]);
    says_only(
        &with(&vec![b'x'; 256 * 1024 + 1]),
        &[rule, place, "larger than the limit of 262144 bytes"],
    );
    says_only(&with(b""), &["error: a prompt is not empty", place]);
    let project = one(&asks);
    fs::create_dir(project.path("suites/p.txt")).expect("a folder");
    says_only(&project.errors(), &[rule, place, "this is not a regular file"]);
}

#[cfg(unix)]
#[test]
fn links_do_not_lead_out() {
    use std::os::unix::fs::symlink;
    let project =
        one(&format!("{HEAD}{}", GOOD.replace("prompt = \"x\"", "prompt-file = \"p.txt\"")));
    project.write("secret.txt", b"secret");
    symlink(project.path("secret.txt"), project.path("suites/p.txt")).expect("a link");
    says_only(
        &project.errors(),
        &[
            "`prompt-file` is a relative path inside the suites folder",
            "--> suites/x.toml:8:15",
            "a link leads out of it",
        ],
    );

    let project = Project::new(&[("out.toml", format!("{HEAD}{GOOD}").as_bytes())]);
    symlink(project.path("out.toml"), project.path("suites/x.toml")).expect("a link");
    says_only(
        &project.errors(),
        &["error: this link leads out of the suites folder\n--> suites/x.toml"],
    );

    // A folder that contains itself: the search ends and every copy is reported or none is found.
    let project = one(&format!("{HEAD}{GOOD}"));
    fs::create_dir(project.path("suites/loop")).expect("a folder");
    symlink(project.path("suites/loop"), project.path("suites/loop/loop")).expect("a link");
    assert_eq!(project.load().unwrap_or_else(|errors| panic!("{errors}")).len(), 1);
}

#[test]
fn a_suite_in_the_wrong_place_is_not_passed_over() {
    let good = format!("{HEAD}{GOOD}");
    let project = Project::new(&[
        ("suites/x.toml", good.as_bytes()),
        ("suites/more/y.toml", good.as_bytes()),
    ]);
    says_only(
        &project.errors(),
        &["error: a suite lies directly in suites; move this file there\n--> suites/more/y.toml"],
    );
    // The table of engines is the one TOML file that is no suite.
    let project =
        Project::new(&[("suites/x.toml", good.as_bytes()), ("suites/engines.toml", b"[engine]\n")]);
    assert_eq!(project.load().unwrap_or_else(|errors| panic!("{errors}")).len(), 1);
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

#[test]
fn text_that_is_not_toml_1_0_is_refused() {
    says(&refused("kind = \n"), &["error: this is not valid TOML", "--> suites/x.toml:1:"]);
    says_only(
        &refused(&format!("{HEAD}{GOOD}steps = 5\n")),
        &["error: this is not valid TOML", "--> suites/x.toml:11:1", "duplicate key"],
    );
    says_only(
        &refused(&format!("{HEAD}{GOOD}variants = {{ threads = [1], }}\n")),
        &[
            "error: TOML 1.1 syntax is refused; write TOML 1.0",
            "--> suites/x.toml:11:27",
            "^ a comma behind the last key",
        ],
    );
    says_only(
        &refused(&format!("{HEAD}{}", GOOD.replace("\"x\"", "\"\\e[31m\""))),
        &["TOML 1.1 syntax is refused", "--> suites/x.toml:8:11", "the escape `\\e` or `\\x`"],
    );
    let deep = format!("kind = {}{}\n", "[".repeat(5000), "]".repeat(5000));
    says(&refused(&deep), &["error: this is not valid TOML"]);
    says_only(
        &Project::new(&[("suites/x.toml", b"kind = \"\xff\"\n")]).errors(),
        &["error: the file is not UTF-8: byte 8 is invalid\n--> suites/x.toml"],
    );
    says_only(
        &Project::new(&[("suites/x.toml", &vec![b'#'; 1024 * 1024 + 1])]).errors(),
        &["error: the file is larger than the limit of 1048576 bytes\n--> suites/x.toml"],
    );
    let windows = format!("\u{feff}{}", format!("{HEAD}{GOOD}").replace('\n', "\r\n"));
    assert_eq!(one(&windows).load().unwrap_or_else(|errors| panic!("{errors}")).len(), 1);
}

#[test]
fn all_errors_of_all_files_are_reported_once_and_in_order() {
    let project = Project::new(&[
        ("suites/b.toml", format!("{HEAD}{GOOD}stepz = 1\n").as_bytes()),
        (
            "suites/a.toml",
            format!(
                "{}nane = \"a\"\nprompt = 3\nsteps = -1\ntolerance = \"self\"\n[[case]]\n{GOOD}",
                HEAD.replace("\"small\"", "\"huge\"")
            )
            .as_bytes(),
        ),
    ]);
    let message = project.errors();
    let places: Vec<&str> =
        message.lines().filter_map(|line| line.trim().strip_prefix("--> suites/")).collect();
    assert_eq!(
        places,
        ["a.toml:4:9", "a.toml:7:1", "a.toml:8:10", "a.toml:9:9", "b.toml:11:1"],
        "{message}"
    );
    assert!(message.ends_with("5 errors; nothing was run"), "{message}");
}

#[test]
fn what_a_file_says_cannot_steer_the_terminal() {
    let message = refused(&format!(
        "{HEAD}{}",
        GOOD.replace("name = \"a\"", "name = \"\\u001b[31m\"\n\"\\u001b[2J\" = 1")
    ));
    assert!(!message.contains('\u{1b}'), "{message:?}");
    says(&message, &["unknown key `\\u{1b}[2J` in a case", "`\\u{1b}` is not allowed in a name"]);
}

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
