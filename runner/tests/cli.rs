//! The `parity` program from outside: exit codes, what is printed where, and that refused input
//! makes and runs nothing. Messages of single rules are in `formats`, of engines in `faults`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bitnet_engine::command_docs;
use bitnet_runner::exit::Exit;
use bitnet_runner::models::{LockedModel, ModelLock};
use tempfile::TempDir;

const MODEL: &str = "ci-light";
/// A trial that needs the model and no reference.
const ALONE: &str = "ci-light::metamorphic::invariance::causal-prefix";

/// Lines 1 to 6 of a suite; a case's own lines begin at line 7.
const HEAD: &str = "kind = \"parity\"\nanalysis = \"x\"\n[defaults]\nmodel = \"ci-light\"\ntier = \"ci-light\"\n[[case]]\n";
/// With `HEAD` it fills lines 7 to 10.
const GOOD: &str = "name = \"a\"\nprompt = \"x\"\nsteps = 4\ntolerance = \"same-numerics\"\n";

fn shipped() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package has a parent")
}

fn locked() -> LockedModel {
    let lock = ModelLock::read(&shipped().join("models.toml")).unwrap_or_else(|e| panic!("{e}"));
    lock.get(MODEL).expect("the small model").clone()
}

/// How a call ended.
struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Ended {
    fn of(output: std::process::Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    #[track_caller]
    fn with(self, exit: Exit) -> Self {
        let (out, err) = (&self.out, &self.err);
        assert_eq!(self.code, Some(exit.code().into()), "stdout:\n{out}\nstderr:\n{err}");
        self
    }
}

/// `parity` in the project `root`, with nothing of the caller's settings.
fn command(root: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_parity"));
    for variable in ["BITNET_TIER", "BITNET_ALLOW_SKIP", "CARGO_TERM_COLOR", "NO_COLOR"] {
        command.env_remove(variable);
    }
    command.current_dir(root);
    command
}

fn call(root: &Path, args: &[&str]) -> Ended {
    Ended::of(command(root).args(args).output().expect("the program runs"))
}

/// An empty model cache of the test's own.
struct Cache(TempDir);

impl Cache {
    fn empty() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    fn command(&self, root: &Path, args: &[&str]) -> Command {
        let mut command = command(root);
        command.env("BITNET_CACHE_DIR", self.0.path()).args(args);
        command
    }

    fn call(&self, root: &Path, args: &[&str]) -> Ended {
        Ended::of(self.command(root, args).output().expect("the program runs"))
    }

    /// Where the small model is or belongs.
    fn model(&self) -> PathBuf {
        self.0.path().join("models").join(locked().sha256).join("model.gguf")
    }

    #[track_caller]
    fn is_empty(&self) {
        let inside: Vec<PathBuf> = fs::read_dir(self.0.path())
            .expect("the cache")
            .map(|entry| entry.expect("an entry").path())
            .collect();
        assert!(inside.is_empty(), "something was made: {inside:?}");
    }
}

/// A project with the shipped lock and these suites.
fn project(suites: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::copy(shipped().join("models.toml"), folder.path().join("models.toml")).expect("the lock");
    fs::create_dir(folder.path().join("suites")).expect("the suites folder");
    for (name, text) in suites {
        fs::write(folder.path().join("suites").join(name), text).expect("a suite");
    }
    folder
}

#[track_caller]
fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
}

/// A suite that breaks one rule, and what must be said of it: the rule, the place, the caret's line.
struct Broken {
    suite: String,
    rule: &'static str,
    place: &'static str,
    source: &'static str,
    caret: &'static str,
}

fn broken() -> Vec<Broken> {
    let nan = "tolerance = { class = \"same-numerics\", mean-kl = nan }";
    vec![
        Broken {
            suite: format!("{HEAD}{GOOD}stepz = 3\n"),
            rule: "error: unknown key `stepz` in a case",
            place: "suites/x.toml:11:1",
            source: "11 | stepz = 3",
            caret: "   | ^^^^^ did you mean `steps`?",
        },
        Broken {
            suite: format!("{HEAD}{GOOD}[[case]]\n{GOOD}"),
            rule: "error: two cases are named `a`",
            place: "suites/x.toml:12:8",
            source: "12 | name = \"a\"",
            caret: "^^^ the second",
        },
        Broken {
            suite: format!("{HEAD}{GOOD}prompt-tokens = [1]\n"),
            rule: "error: a case has exactly one of `prompt`, `prompt-file`, `prompt-tokens`",
            place: "suites/x.toml:11:17",
            source: "11 | prompt-tokens = [1]",
            caret: "^^^ `prompt-tokens` as well",
        },
        Broken {
            suite: format!("{HEAD}{}", GOOD.replace("tolerance = \"same-numerics\"", nan)),
            rule: "error: `mean-kl` is a finite number and not negative",
            place: "suites/x.toml:10:50",
            source: "10 | tolerance = { class = \"same-numerics\", mean-kl = nan }",
            caret: "^^^ this is NaN",
        },
        Broken {
            suite: "kind = \"parity\"\nanalysis = \"x\"\n".to_owned(),
            rule: "error: a suite has at least one case",
            place: "suites/x.toml:1:1",
            source: "1 | kind = \"parity\"",
            caret: "  | ^",
        },
    ]
}

#[test]
fn a_manifest_that_breaks_a_rule_is_shown_and_nothing_is_run() {
    let cache = Cache::empty();
    for Broken { suite, rule, place, source, caret } in broken() {
        let project = project(&[("good.toml", &format!("{HEAD}{GOOD}")), ("x.toml", &suite)]);
        for args in [&["run"][..], &["run", "good"], &["run", "--list"]] {
            let ended = cache.call(project.path(), args).with(Exit::Usage);
            says(&ended.err, &[rule, place, source, caret, "\n1 error; nothing was run\n"]);
            assert_eq!(ended.out, "", "{args:?}");
        }
        // The same place, from elsewhere.
        let root = project.path().to_str().expect("a UTF-8 path");
        let ended = cache.call(&std::env::temp_dir(), &["run", "--root", root]).with(Exit::Usage);
        says(&ended.err, &[rule, place]);
    }
    cache.is_empty();
}

#[test]
fn all_errors_of_a_project_are_shown_at_once() {
    let suites = broken();
    let named: Vec<(String, &str)> = suites
        .iter()
        .enumerate()
        .map(|(index, broken)| (format!("x{index}.toml"), &*broken.suite))
        .collect();
    let named: Vec<(&str, &str)> = named.iter().map(|(name, text)| (&**name, *text)).collect();
    let (project, cache) = (project(&named), Cache::empty());
    let ended = cache.call(project.path(), &["run"]).with(Exit::Usage);
    for (Broken { rule, place, .. }, (name, _)) in suites.iter().zip(&named) {
        says(&ended.err, &[rule, &place.replace("x.toml", name)]);
    }
    says(&ended.err, &[&format!("\n{} errors; nothing was run\n", suites.len())]);
    cache.is_empty();
}

#[test]
fn colour_is_used_where_it_is_asked_for() {
    let project = project(&[("x.toml", &broken()[0].suite)]);
    let coloured = |colour| call(project.path(), &["run", "--color", colour]).err.contains('\x1b');
    assert_eq!(["auto", "always", "never"].map(coloured), [false, true, false]);
}

#[test]
fn wrong_usage_runs_nothing() {
    let cache = Cache::empty();
    for (args, complaint) in [
        (&["run", "--frobnicate"][..], "unexpected argument '--frobnicate'"),
        (&["run", "--format", "yaml"], "[possible values: human, json, github]"),
        (&["walk"], "unrecognized subcommand 'walk'"),
        (&[], "Usage: parity [OPTIONS] <COMMAND>"),
        (&["models", "synth", "--id", "ci-lite"], "models.toml has no 'ci-lite'"),
        (&["models", "synth", "--id", "bitnet-2b-4t"], "'bitnet-2b-4t' is not synthetic"),
    ] {
        let ended = cache.call(shipped(), args).with(Exit::Usage);
        says(&ended.err, &[complaint]);
        assert_eq!(ended.out, "", "{args:?}");
    }
    for tier in ["fast", "", "CI-LIGHT"] {
        let mut command = cache.command(shipped(), &["run", ALONE]);
        let output = command.env("BITNET_TIER", tier).output().expect("the program runs");
        let ended = Ended::of(output).with(Exit::Usage);
        let complaint =
            format!("error: BITNET_TIER is {tier:?}, allowed are ci-light and integration\n");
        assert_eq!((ended.err, ended.out), (complaint, String::new()));
    }
    let nowhere = tempfile::tempdir().expect("a temporary folder");
    let ended = cache.call(nowhere.path(), &["run"]).with(Exit::Usage);
    says(&ended.err, &["error: no models.toml in ", "or give its folder with --root"]);
    cache.is_empty();
}

#[test]
fn a_run_of_nothing_is_no_success() {
    let cache = Cache::empty();
    let ended = cache.call(shipped(), &["run", "no-such-trial"]).with(Exit::NothingSelected);
    says(&ended.err, &["error: no trial matches [\"no-such-trial\"]", "`parity run --list` shows"]);
    // Part of an id, where whole ones are asked for.
    cache.call(shipped(), &["run", "--exact", "causal-prefix"]).with(Exit::NothingSelected);
    cache.call(shipped(), &["run", ALONE, "--skip", "causal"]).with(Exit::NothingSelected);
    // Selected, but of a higher tier: nothing has run either.
    let ended = cache.call(shipped(), &["run", "parity::full-size"]).with(Exit::NothingSelected);
    says(
        &ended.out,
        &["0 trials run in ", "tier integration is above ci-light; set BITNET_TIER=integration\n"],
    );
    cache.is_empty();
}

#[test]
fn listing_opens_nothing() {
    let cache = Cache::empty();
    let ended = cache.call(shipped(), &["run", "--list"]).with(Exit::Ok);
    assert_eq!(ended.err, "");
    let ids: Vec<&str> = ended.out.lines().collect();
    let unique: BTreeSet<&str> = ids.iter().copied().collect();
    assert_eq!(unique.len(), ids.len(), "ids are unique");
    assert!(ids.contains(&ALONE), "{ids:?}");
    for kind in ["parity", "tokenizer", "metamorphic", "reject"] {
        let start = format!("ci-light::{kind}::");
        assert!(ids.iter().any(|id| id.starts_with(&start)), "{kind} is not in {ids:?}");
    }
    let invariance: Vec<&str> =
        ids.iter().copied().filter(|id| id.contains("metamorphic::invariance")).collect();
    let filtered = cache.call(shipped(), &["run", "--list", "metamorphic::invariance"]);
    assert_eq!(filtered.with(Exit::Ok).out.lines().collect::<Vec<_>>(), invariance);
    cache.is_empty();
}

#[test]
fn help_holds_the_exit_codes() {
    let ended = call(shipped(), &["--help"]).with(Exit::Ok);
    assert!(ended.out.ends_with(&format!("\n{}\n", Exit::table())), "{}", ended.out);
    for exit in Exit::ALL {
        says(&ended.out, &[&format!("\n  {:>3}  {}\n", exit.code(), exit.meaning())]);
    }
    says(&ended.out, &["\n  101  a bug in this program\n"]);
}

#[test]
fn a_model_that_cannot_be_loaded_is_e10_with_the_command_that_helps() {
    let text = "version https://git-lfs.example/spec/v1\n";
    let suite = "kind = \"metamorphic\"\nanalysis = \"x\"\n[[case]]\nname = \"a\"\nmodel = \"pointer\"\n\
                 tier = \"ci-light\"\nprompt = \"x\"\nrelation = \"causal-prefix\"\n";
    let folder = project(&[("broken.toml", suite)]);
    let root = folder.path();
    fs::write(root.join("pointer.gguf"), text).expect("the file");
    let (sha256, bytes) = (sha256(text.as_bytes()), text.len());
    let lock = format!(
        "schema_version = 1\n[[model]]\nid = \"pointer\"\ntier = \"ci-light\"\nsha256 = \"{sha256}\"\n\
         bytes = {bytes}\nlicense = \"MIT\"\nreferences = []\nsource = {{ path = \"pointer.gguf\" }}\n"
    );
    fs::write(root.join("models.toml"), lock).expect("the lock");
    let cache = Cache::empty();
    let ended = cache.call(root, &["run"]).with(Exit::ModelLoad);
    let place = root.join("pointer.gguf");
    says(
        &ended.out,
        &[
            &format!("error[E10]: cannot load the model '{}'\n", place.display()),
            "pointer.gguf: byte 0: ",
            "likely: 1. a web page or a Git LFS pointer was saved in place of the model\n",
            "next: parity fetch --verify --id pointer\n",
            "doc: docs/models.md\n",
            ": 0 passed, 1 failed; 0 ignored\n",
        ],
    );
}

#[test]
fn the_document_of_the_command_line_is_current() {
    let path = shipped().join("docs/cli.md");
    let document = fs::read_to_string(&path).expect("the document");
    let text = call(shipped(), &["docs"]).with(Exit::Ok).out;
    let truth = command_docs::replace_region(&document, "parity", &format!("\n{text}\n"));
    assert!(
        truth.expect("its regions") == document,
        "docs/cli.md is out of date; bring it up to date with `cargo parity docs docs/cli.md`"
    );
    let copy = tempfile::tempdir().expect("a temporary folder");
    let stale = copy.path().join("cli.md");
    fs::write(&stale, document.replace("### `parity fetch`", "")).expect("written");
    call(shipped(), &["docs", &stale.display().to_string()]).with(Exit::Ok);
    assert_eq!(fs::read_to_string(&stale).expect("the copy"), document);
}

#[test]
fn completions_and_man_pages_name_the_verbs() {
    for shell in ["bash", "zsh", "fish"] {
        let script = call(shipped(), &["completions", shell]).with(Exit::Ok).out;
        says(&script, &["parity", "fetch", "accept-terms"]);
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let shown = folder.path().display().to_string();
    let ended = call(shipped(), &["man", &shown]).with(Exit::Ok);
    says(&ended.out, &["parity.1\n", "parity-fetch.1\n", "parity-models-lock.1\n"]);
    let page = fs::read_to_string(folder.path().join("parity-fetch.1")).expect("a page");
    says(&page, &["accept\\-terms"]);
}

#[test]
fn a_model_is_made_when_it_is_needed_and_found_the_next_time() {
    let cache = Cache::empty();
    let ended = cache.call(shipped(), &["run", "--exact", ALONE]).with(Exit::Ok);
    says(&ended.err, &["Making ci-light"]);
    says(&ended.out, &["1 trials run in ", ": 1 passed, 0 failed; 0 ignored\n"]);
    says(&ended.out, &[&format!("  model: {MODEL}, sha256 {}\n", locked().sha256)]);
    let ended = cache.call(shipped(), &["run", "--exact", ALONE]).with(Exit::Ok);
    assert_eq!(ended.err, "", "neither made nor hashed again");
}

#[test]
fn two_processes_that_make_a_model_at_once_both_get_it() {
    let cache = Cache::empty();
    let start = || {
        let mut command = cache.command(shipped(), &["models", "synth", "--id", MODEL]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program runs")
    };
    let both = [start(), start()];
    for process in both {
        let ended = Ended::of(process.wait_with_output().expect("its end")).with(Exit::Ok);
        assert_eq!(ended.out, format!("{}\n", cache.model().display()));
    }
    assert_eq!(fs::metadata(cache.model()).expect("the model").len(), locked().bytes);
    let folder = cache.model().parent().expect("its folder").to_owned();
    let mut left: Vec<_> =
        fs::read_dir(folder).expect("it").map(|e| e.expect("an entry").file_name()).collect();
    left.sort();
    assert_eq!(left, [".verified", "model.gguf"], "no temporary file is left");
    cache.call(shipped(), &["run", "--exact", ALONE]).with(Exit::Ok);
}

#[test]
fn a_model_with_one_wrong_byte_is_never_opened() {
    let cache = Cache::empty();
    cache.call(shipped(), &["models", "synth", "--id", MODEL]).with(Exit::Ok);
    let (model, stamp) = (cache.model(), cache.model().with_file_name(".verified"));
    let mut bytes = fs::read(&model).expect("the model");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    let found = sha256(&bytes);
    let wanted = locked().sha256;
    assert_ne!(found, wanted);
    // The file is read-only; another one takes its place.
    fs::remove_file(&model).expect("removed");
    fs::write(&model, &bytes).expect("written");

    for step in ["with the stamp of the right bytes", "without a stamp"] {
        let ended = cache.call(shipped(), &["run", "--exact", ALONE]).with(Exit::Ok);
        let size = bytes.len();
        says(
            &ended.err,
            &[
                &format!("Quarantined {MODEL}: {} has sha256 {found} and ", model.display()),
                &format!("but models.toml pins {wanted} and {size} bytes; moved out of the way"),
                "/.corrupt-",
                "Making ci-light",
            ],
        );
        assert_eq!(sha256(&fs::read(&model).expect("the model")), wanted, "{step}: made anew");
        fs::remove_file(&model).expect("removed");
        fs::write(&model, &bytes).expect("written");
        if step == "with the stamp of the right bytes" {
            fs::remove_file(&stamp).expect("removed");
        }
    }
    let folder = model.parent().expect("its folder");
    let kept = fs::read_dir(folder).expect("it").filter(|entry| {
        let name = entry.as_ref().expect("an entry").file_name();
        name.to_string_lossy().starts_with(".corrupt-")
    });
    assert_eq!(kept.count(), 2, "wrong files are kept for a look");
}

#[test]
fn a_path_models_file_is_used_in_place_and_hashed_every_time() {
    let (project, cache) = (project(&[]), Cache::empty());
    let lock = |sha256: &str| {
        let text = format!(
            "schema_version = 1\n[[model]]\nid = \"mine\"\ntier = \"ci-light\"\nsha256 = \
             \"{sha256}\"\nbytes = 3\nlicense = \"MIT\"\nreferences = []\nsource = {{ path = \
             \"mine.gguf\" }}\n"
        );
        fs::write(project.path().join("models.toml"), text).expect("the lock");
    };
    lock(&sha256(b"abc"));
    let path = project.path().join("mine.gguf");
    let ended = cache.call(project.path(), &["models", "path", "mine"]).with(Exit::Environment);
    says(&ended.err, &["error: model 'mine': ", "mine.gguf does not exist; put the file there"]);
    fs::write(&path, "abc").expect("the model");
    for args in [&["models", "path", "mine"][..], &["fetch", "mine"]] {
        let ended = cache.call(project.path(), args).with(Exit::Ok);
        assert!(ended.out.ends_with("mine.gguf\n"), "{}", ended.out);
    }
    fs::write(&path, "abd").expect("the model");
    let ended = cache.call(project.path(), &["models", "path", "mine"]).with(Exit::Environment);
    says(&ended.err, &[&sha256(b"abd"), &sha256(b"abc"), "correct the file, or the entry in"]);
    assert_eq!(fs::read(&path).expect("the model"), b"abd", "left alone");
    cache.is_empty();
}

#[test]
fn a_run_downloads_nothing_and_names_the_command_that_does() {
    let cache = Cache::empty();
    let command = "`parity fetch --id bitnet-2b-4t`";
    let args = ["models", "path", "bitnet-2b-4t"];
    let ended = cache.call(shipped(), &args).with(Exit::Environment);
    says(&ended.err, &["error: model 'bitnet-2b-4t': not on this machine; get it with ", command]);
    let ended = cache.call(shipped(), &["models", "list"]).with(Exit::Ok);
    says(&ended.out, &["bitnet-2b-4t (integration, 1187801280 bytes, MIT)", "    absent: "]);
    cache.is_empty();
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(feature = "bitnet-cpp")]
mod with_the_reference {
    use bitnet_runner::compare::{Verdict, Word};
    use serde_json::Value;

    use super::*;

    #[test]
    fn json_lines_hold_the_verdict_that_they_can_be_checked_by() {
        const PARITY: &str = "ci-light::parity::smoke::two-plus-two";

        let args = ["run", "--exact", PARITY, ALONE, "--format", "json"];
        let ended = call(shipped(), &args).with(Exit::Ok);
        let lines: Vec<Value> = ended
            .out
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
            .collect();
        let [alone, parity, summary] = &lines[..] else { panic!("{} lines", lines.len()) };

        assert_eq!((&alone["reason"], &alone["id"]), (&"trial".into(), &ALONE.into()));
        assert_eq!((&parity["reason"], &parity["id"]), (&"trial".into(), &PARITY.into()));
        for trial in [alone, parity] {
            assert_eq!(trial["outcome"], "passed");
            assert!(trial["seconds"].as_f64().is_some_and(|seconds| seconds > 0.0), "{trial}");
        }

        let verdict: Verdict =
            serde_json::from_value(parity["verdict"].clone()).expect("a verdict");
        let noise = verdict.noise.as_ref().expect("both engines' self-noise");
        assert_eq!((noise.reference.rows, noise.test.rows), (16, 16));
        for engine in ["reference", "test"] {
            for figure in ["mad_sigma", "pair_p999", "p99_kl", "p99_nmse"] {
                let value = &parity["verdict"]["noise"][engine][figure];
                assert!(value.as_f64().is_some_and(|value| value >= 0.0), "{engine} {figure}");
            }
        }
        let [prefill, decode] = &verdict.paths[..] else { panic!("{verdict:?}") };
        assert_eq!(prefill.rows.len(), verdict.prompt_len + 15);
        assert_eq!(decode.rows.len(), 16);

        assert_eq!(summary["reason"], "summary");
        assert_eq!(
            (&summary["summary"]["passed"], &summary["summary"]["failed"]),
            (&2.into(), &0.into())
        );
        let rows = prefill.rows.len() + decode.rows.len();
        assert_eq!(summary["summary"]["rows"], rows, "rows of the parity trial alone");
        assert_eq!(summary["basis"]["models"][MODEL], *locked().sha256);
        assert_eq!(summary["basis"]["subject"]["name"], "bitnet-engine");
        assert_eq!(summary["basis"]["references"][0]["name"], "bitnet-cpp");
        let bits: usize = verdict.paths.iter().map(|path| path.summary.bit_equal_rows).sum();
        assert_eq!(summary["summary"]["bit_equal_rows"], bits);
        assert_eq!(verdict.word == Word::Exact, bits == rows);
    }
}
