//! The formats as their authors meet them: the shipped files load, and each broken rule is reported
//! with its place, its words and the next step. Runs no case.

use std::fs;
use std::path::{Path, PathBuf};

use bitnet_runner::models::{ModelLock, ModelSource};
use bitnet_runner::suite::case::{
    Check, Prompt, Relation, Suite, Tier, ToleranceClass, ToleranceOverrides,
};
use bitnet_runner::suite::{self, schema, trials};

/// The contract table of the project in the form that `load` asks for.
fn ceilings(class: ToleranceClass) -> ToleranceOverrides {
    let table = |mean_kl, p99_kl, max_kl, p99_nmse, min_centred_cosine| ToleranceOverrides {
        mean_kl: Some(mean_kl),
        p99_kl: Some(p99_kl),
        max_kl: Some(max_kl),
        p99_nmse: Some(p99_nmse),
        min_centred_cosine: Some(min_centred_cosine),
        min_raw_cosine: Some(0.99),
        ..Default::default()
    };
    match class {
        ToleranceClass::Self_ => table(1e-6, 1e-5, 1e-4, 1e-6, 0.999_999),
        ToleranceClass::SameNumerics => table(1e-3, 1e-2, 0.1, 1e-3, 0.999),
        ToleranceClass::CrossNumerics => table(1e-2, 0.1, 0.5, 2e-2, 0.99),
    }
}

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package has a parent").to_owned()
}

fn shipped() -> Vec<Suite> {
    let lock = ModelLock::read(&project().join("models.toml")).unwrap_or_else(|e| panic!("{e}"));
    suite::load(&project().join("suites"), &lock, &ceilings).unwrap_or_else(|e| panic!("{e}"))
}

const LOCK: &str = r#"schema_version = 1

[[model]]
id = "small"
tier = "ci-light"
sha256 = "4221b252fdd5fd25e15847adfeb5ee88886506ba50b8a34548374492884c2162"
bytes = 5
license = "MIT"
references = ["bitnet-cpp"]
source = { path = "models/small.gguf" }

[[model]]
id = "large"
tier = "integration"
sha256 = "4221b252fdd5fd25e15847adfeb5ee88886506ba50b8a34548374492884c2162"
bytes = 5
license = "MIT"
references = []
source = { url = "https://example.org/large.gguf", mirrors = ["https://example.com/l.gguf"] }
"#;

/// A folder with `models.toml` and `suites/`, removed at the end.
struct Project(tempfile::TempDir);

impl Project {
    fn new(files: &[(&str, &[u8])]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(folder.path().join("suites")).expect("the suites folder");
        let project = Self(folder);
        project.write("models.toml", LOCK.as_bytes());
        for (path, bytes) in files {
            project.write(path, bytes);
        }
        project
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.0.path().join(relative)
    }

    fn write(&self, relative: &str, bytes: &[u8]) {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().expect("a parent")).expect("its folder");
        fs::write(path, bytes).expect("the file");
    }

    /// The rendered errors, with paths relative to the project.
    fn load(&self) -> Result<Vec<Suite>, String> {
        let prefix = format!("{}/", self.0.path().display());
        let lock = ModelLock::read(&self.path("models.toml"))
            .map_err(|errors| errors.to_string().replace(&prefix, ""))?;
        suite::load(&self.path("suites"), &lock, &ceilings)
            .map_err(|errors| errors.to_string().replace(&prefix, ""))
    }

    fn errors(&self) -> String {
        self.load().expect_err("the files must be refused")
    }
}

/// Lines 1 to 6 of every suite below; a case's own lines begin at line 7.
const HEAD: &str = "kind = \"parity\"\nanalysis = \"x\"\n[defaults]\nmodel = \"small\"\ntier = \"ci-light\"\n[[case]]\n";

/// A good case; with `HEAD` it fills lines 7 to 10.
const GOOD: &str = "name = \"a\"\nprompt = \"x\"\nsteps = 4\ntolerance = \"same-numerics\"\n";

fn one(text: &str) -> Project {
    Project::new(&[("suites/x.toml", text.as_bytes())])
}

/// The errors of one suite file.
fn refused(text: &str) -> String {
    one(text).errors()
}

/// Each part must stand in the message; a part with `-->` is the place, one with `^` the caret.
#[track_caller]
fn says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "`{part}` is not in:\n{message}");
    }
}

/// Exactly one error with these parts.
#[track_caller]
fn says_only(message: &str, parts: &[&str]) {
    says(message, parts);
    assert!(message.ends_with("\n1 error; nothing was run"), "{message}");
}

#[test]
fn every_shipped_suite_loads_and_the_index_lists_exactly_them() {
    let suites = shipped();
    let index = fs::read_to_string(project().join("suites/README.md")).expect("the index");
    let linked = |extension: &str| -> Vec<String> {
        let mut names: Vec<String> = index
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split_once(')'))
            .map(|(target, _)| target.to_owned())
            .filter(|target| target.ends_with(extension) && !target.starts_with(".."))
            .collect();
        names.sort();
        names
    };
    let mut files: Vec<String> =
        suites.iter().map(|suite| format!("{}.toml", suite.name)).collect();
    files.sort();
    assert_eq!(linked(".toml"), files);
    let mut prompts: Vec<String> = fs::read_dir(project().join("suites/prompts"))
        .expect("the prompts")
        .map(|entry| format!("prompts/{}", entry.expect("an entry").file_name().display()))
        .collect();
    prompts.sort();
    assert_eq!(linked(".txt"), prompts);
}

#[test]
fn the_shipped_suites_hold_what_the_tier_promises() {
    let suites = shipped();
    let listed = trials(&suites, Tier::CiLight);
    let run: Vec<_> = listed.iter().filter(|trial| trial.ignored.is_none()).collect();
    assert!(run.len() >= 44, "{} trials in tier ci-light", run.len());
    assert!(run.iter().all(|trial| trial.id.starts_with("ci-light::")));
    let ignored: Vec<_> = listed.iter().filter(|trial| trial.ignored.is_some()).collect();
    assert!(ignored.iter().all(|trial| trial.id.starts_with("integration::")));
    assert_eq!(
        ignored[0].ignored.as_deref(),
        Some("tier integration is above ci-light; set BITNET_TIER=integration")
    );
    let steps_64 = |wanted| {
        suites.iter().flat_map(|suite| &suite.cases).any(|case| {
            case.tier == wanted && matches!(&case.check, Check::Parity(check) if check.steps == 64)
        })
    };
    assert!(steps_64(Tier::CiLight) && steps_64(Tier::Integration));
    for suite in &suites {
        for case in &suite.cases {
            assert!(case.analysis.is_some(), "{}: {} has no analysis", suite.name, case.name);
        }
    }
}

/// The first tier stays short: at most 12 000 tokens through each engine, counting three bytes of
/// text a token and two passes (greedy and teacher-forced) where there are steps.
#[test]
fn the_first_tier_stays_small() {
    let suites = shipped();
    let tokens = |prompt: &Prompt| match prompt {
        Prompt::Text(text) => text.len().div_ceil(3) + 1,
        Prompt::Tokens(ids) => ids.len(),
    };
    let mut total = 0;
    for trial in trials(&suites, Tier::CiLight).iter().filter(|trial| trial.ignored.is_none()) {
        total += match &suites[trial.suite].cases[trial.case].check {
            Check::Parity(check) if check.steps == 0 => tokens(&check.prompt),
            Check::Parity(check) => 2 * (tokens(&check.prompt) + check.steps),
            Check::Metamorphic(check) => {
                let runs = match &check.relation {
                    Relation::Threads(values) => values.len(),
                    Relation::Isa(values) => values.len(),
                    _ => 3,
                };
                runs * tokens(&check.prompt)
            }
            Check::Tokenizer(_) | Check::Reject(_) => 0,
        };
    }
    assert!(total <= 12_000, "{total} tokens");
}

#[test]
fn ids_name_tier_kind_suite_case_and_variant() {
    let project = one(&format!(
        "{HEAD}{GOOD}variants = {{ threads = [1, 2], isa = [\"avx2\"] }}\n\
         [[case]]\nname = \"b\"\nmodel = \"large\"\ntier = \"integration\"\nprompt = \"y\"\nsteps = 0\ntolerance = \"self\"\n\
         variants = {{ threads = [3] }}\n"
    ));
    let suites = project.load().unwrap_or_else(|errors| panic!("{errors}"));
    let ids = |highest| -> Vec<(String, bool)> {
        trials(&suites, highest).into_iter().map(|t| (t.id, t.ignored.is_some())).collect()
    };
    assert_eq!(
        ids(Tier::CiLight),
        [
            ("ci-light::parity::x::a::threads-1-isa-avx2".to_owned(), false),
            ("ci-light::parity::x::a::threads-2-isa-avx2".to_owned(), false),
            ("integration::parity::x::b::threads-3".to_owned(), true),
        ]
    );
    assert!(ids(Tier::Integration).iter().all(|(_, ignored)| !ignored));
    assert_eq!(suites[0].cases[0].line, 6);
    assert_eq!(suites[0].cases[1].line, 12);
    assert_eq!(suites[0].sha256.len(), 64);
}

#[test]
fn a_case_overrides_the_defaults_and_one_prompt_replaces_another() {
    let text = "kind = \"parity\"\nanalysis = \"x\"\n[defaults]\nmodel = \"small\"\ntier = \"ci-light\"\n\
        prompt = \"from the defaults\"\nsteps = 4\ntolerance = \"self\"\n\
        [[case]]\nname = \"a\"\n[[case]]\nname = \"b\"\nprompt-tokens = [1, 2]\nsteps = 5\n\
        [[case]]\nname = \"c\"\nprompt-file = \"prompts/c.txt\"\n";
    let project = one(text);
    project.write("suites/prompts/c.txt", b"from the file\n");
    let suites = project.load().unwrap_or_else(|errors| panic!("{errors}"));
    let found: Vec<_> = suites[0]
        .cases
        .iter()
        .map(|case| match &case.check {
            Check::Parity(check) => (check.prompt.clone(), check.steps),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        found,
        [
            (Prompt::Text("from the defaults".into()), 4),
            (Prompt::Tokens(vec![1, 2]), 5),
            (Prompt::Text("from the file\n".into()), 4),
        ]
    );
}

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

#[test]
fn the_shipped_lock_pins_three_models() {
    let lock = ModelLock::read(&project().join("models.toml")).unwrap_or_else(|e| panic!("{e}"));
    let ids: Vec<&str> = lock.models().iter().map(|model| model.id.as_str()).collect();
    assert_eq!(ids, ["ci-light", "synth-2b-4t-i2s", "bitnet-2b-4t"]);
    let official = lock.get("bitnet-2b-4t").expect("the entry");
    assert_eq!(official.bytes, 1_187_801_280);
    assert!(
        matches!(&official.source, ModelSource::HuggingFace { file, .. } if file == "ggml-model-i2_s.gguf")
    );
    assert!(
        matches!(&lock.get("ci-light").expect("the entry").source, ModelSource::Synth(synth) if synth.preset == "ci-light")
    );
}

#[test]
fn the_lock_has_the_same_messages() {
    let lock = |from: &str, to: &str| {
        assert!(LOCK.contains(from), "{from}");
        let project = one(&format!("{HEAD}{GOOD}"));
        project.write("models.toml", LOCK.replacen(from, to, 1).as_bytes());
        project.errors()
    };
    says_only(
        &lock("schema_version = 1", "schema_version = 2"),
        &["error: this program reads `schema_version` 1", "--> models.toml:1:18"],
    );
    says_only(&lock("schema_version = 1", ""), &["error: the lock needs the key `schema_version`"]);
    says_only(
        &lock("sha256", "sha265"),
        &[
            "error: unknown key `sha265` in a model",
            "--> models.toml:6:1",
            "^^^^^^ did you mean `sha256`?",
        ],
    );
    says_only(
        &lock("license = \"MIT\"\n", ""),
        &[
            "error: a model needs the key `license`",
            "--> models.toml:3:1",
            "^^^^^^^^^ `license` is missing in this model",
        ],
    );
    for bad in ["4221B252", "../..", "%2e%2e", ""] {
        says_only(
            &lock("4221b252fdd5fd25e15847adfeb5ee88886506ba50b8a34548374492884c2162", bad),
            &["error: `sha256` is 64 lower-case hex digits", "--> models.toml:6:10"],
        );
    }
    says_only(
        &lock("\"small\"", "\"../small\""),
        &["error: a name matches", "--> models.toml:4:6", "`.` is not allowed"],
    );
    says_only(
        &lock("\"large\"", "\"small\""),
        &["error: two models have the id `small`", "--> models.toml:13:6", "the first"],
    );
    says_only(
        &lock("bytes = 5", "bytes = 0"),
        &["error: `bytes` is at least 1", "--> models.toml:7:9"],
    );
    says_only(
        &lock("\"ci-light\"", "\"quick\""),
        &["error: `quick` is not a value of `tier`", "--> models.toml:5:8"],
    );
    says_only(
        &lock("models/small.gguf", "/models/small.gguf"),
        &["error: `path` is a relative path of names joined by `/`", "--> models.toml:10:19"],
    );
    says_only(
        &lock("{ path = \"models/small.gguf\" }", "{ path = \"x\", url = \"https://a/b\" }"),
        &["error: `source` is exactly one of", "--> models.toml:10:10"],
    );
    for (url, why) in [
        ("http://example.org/x", "another scheme"),
        ("file:///x", "another scheme"),
        ("https://", "no host"),
        ("https://me:secret@example.org/x", "a user name or password"),
        ("https://example.org/a b", "a space or a control character"),
    ] {
        says_only(
            &lock("https://example.org/large.gguf", url),
            &["error: a URL is https:// without user name", "--> models.toml:19:18", why],
        );
    }
    let hf = |repository: &str, revision: &str, file: &str| {
        lock(
            "{ path = \"models/small.gguf\" }",
            &format!("{{ hf = \"{repository}\", revision = \"{revision}\", file = \"{file}\" }}"),
        )
    };
    let commit = "a1f2f1c765812aa8af3f6eda4a313707064bba15";
    says_only(&hf("a", commit, "f"), &["error: `hf` is a repository, `owner/name`"]);
    says_only(&hf("a/../b", commit, "f"), &["error: `hf` is a repository, `owner/name`"]);
    says_only(&hf("a/b", "main", "f"), &["error: `revision` is 40 lower-case hex digits"]);
    says_only(&hf("a/b", commit, "../f"), &["error: `file` is a relative path"]);
    let synth = "{ synth = { arch = \"a\", preset = \"p\", type = \"I2_S\", embedding-type = \"F16\", seed = -1 } }";
    says_only(&lock("{ path = \"models/small.gguf\" }", synth), &["error: `seed` is not negative"]);
}

/// Compares a generated text with its place in the project; `BITNET_UPDATE=1` writes it there.
fn generated(path: &Path, current: &str, wanted: &str) {
    if current == wanted {
        return;
    }
    if std::env::var_os("BITNET_UPDATE").is_some_and(|value| value == "1") {
        fs::write(path, wanted).expect("the generated text is written");
        return;
    }
    panic!(
        "{} is not current; run: BITNET_UPDATE=1 cargo test -p bitnet-runner --test formats",
        path.display()
    );
}

#[test]
fn the_schema_is_current() {
    let path = project().join("docs/suite.schema.json");
    let current = fs::read_to_string(&path).unwrap_or_default();
    generated(&path, &current, &schema::json());
}

#[test]
fn the_reference_is_current() {
    const BEGIN: &str = "<!-- generated from the schema: begin -->\n";
    const END: &str = "<!-- generated from the schema: end -->\n";
    let path = project().join("docs/suite-format.md");
    let current = fs::read_to_string(&path).expect("the reference");
    let (before, rest) = current.split_once(BEGIN).expect("the marker where the tables begin");
    let (_, after) = rest.split_once(END).expect("the marker where the tables end");
    let wanted = format!("{before}{BEGIN}\n{}\n{END}{after}", schema::key_tables());
    generated(&path, &current, &wanted);
}

/// Every example of the reference that is marked `toml suite` must load.
#[test]
fn the_examples_of_the_reference_load() {
    let text = fs::read_to_string(project().join("docs/suite-format.md")).expect("the reference");
    let examples: Vec<&str> = text
        .split("```toml suite\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap_or_default())
        .collect();
    assert!(examples.len() >= 4, "{} examples", examples.len());
    let lock = ModelLock::read(&project().join("models.toml")).unwrap_or_else(|e| panic!("{e}"));
    for example in examples {
        let project = one(example);
        project.write("suites/prompts/four-pages.txt", b"pages\n");
        suite::load(&project.path("suites"), &lock, &ceilings)
            .unwrap_or_else(|errors| panic!("{errors}"));
    }
}
