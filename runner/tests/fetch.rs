//! `parity fetch` and `parity models` from outside, with files of this machine as sources: what is
//! selected, asked and printed. Networks, disks and neighbours that misbehave are in `fault_list`.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use bitnet_runner::exit::Exit;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

const REVISION: &str = "a1f2f1c765812aa8af3f6eda4a313707064bba15";

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A project whose models are these entries, and an empty cache.
struct Bench(TempDir);

struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Bench {
    fn new(entries: &[String]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let bench = Self(folder);
        let text = format!("schema_version = 1\n{}", entries.concat());
        fs::write(bench.path("models.toml"), text).expect("the lock");
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Adds a source file, and gives the entry of the model that pins it.
    fn entry(&self, id: &str, tier: &str, bytes: &[u8], more: &str) -> String {
        let source = self.path(&format!("{id}.source"));
        fs::write(&source, bytes).expect("a source");
        let url = format!("{{ url = \"file://{}\" }}", source.display());
        entry(id, tier, bytes, &url, more)
    }

    fn lock(&self, entries: &[String]) {
        let text = format!("schema_version = 1\n{}", entries.concat());
        fs::write(self.path("models.toml"), text).expect("the lock");
    }

    fn place(&self, bytes: &[u8]) -> PathBuf {
        self.path("cache/models").join(sha256(bytes)).join("model.gguf")
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_parity"));
        let hub = ["HF_TOKEN", "HF_TOKEN_PATH", "HF_ENDPOINT", "HF_HUB_CACHE", "HF_HUB_OFFLINE"];
        for name in hub.iter().chain(&["BITNET_OFFLINE", "CARGO_TERM_COLOR"]) {
            command.env_remove(name);
        }
        command.env("BITNET_CACHE_DIR", self.path("cache")).env("HF_HOME", self.path("hub"));
        command.current_dir(self.0.path()).args(args).stdin(Stdio::null());
        command
    }

    #[track_caller]
    fn call(&self, args: &[&str], exit: Exit) -> Ended {
        let output = self.command(args).output().expect("the program runs");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        let (out, err) = (text(output.stdout), text(output.stderr));
        let ended = Ended { code: output.status.code(), out, err };
        let (out, err) = (&ended.out, &ended.err);
        assert_eq!(ended.code, Some(exit.code().into()), "stdout:\n{out}\nstderr:\n{err}");
        ended
    }
}

fn entry(id: &str, tier: &str, bytes: &[u8], source: &str, more: &str) -> String {
    format!(
        "[[model]]\nid = \"{id}\"\ntier = \"{tier}\"\nsha256 = \"{}\"\nbytes = {}\nlicense = \
         \"Custom\"\nreferences = []\nsource = {source}\n{more}",
        sha256(bytes),
        bytes.len()
    )
}

#[track_caller]
fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
}

fn json_lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

/// One small model and one of the higher tier.
fn two() -> Bench {
    let bench = Bench::new(&[]);
    let small = bench.entry("small", "ci-light", b"small", "");
    let large = bench.entry("large", "integration", b"large model", "");
    bench.lock(&[small, large]);
    bench
}

#[test]
fn ids_and_tiers_select_models() {
    let bench = two();
    let ended = bench.call(&["fetch", "smal"], Exit::Usage);
    says(&ended.err, &["error: models.toml has no model 'smal'; did you mean 'small'?"]);
    let ended = bench.call(&["fetch", "--accept-terms", "zzz"], Exit::Usage);
    says(&ended.err, &["error: models.toml has no model 'zzz'; `parity models list` shows all"]);
    let ended = bench.call(&["fetch", "large", "--tier", "ci-light"], Exit::NothingSelected);
    says(&ended.err, &["error: no such model is of tier ci-light or below"]);
    let ended = bench.call(&["fetch", "--tier", "fast"], Exit::Usage);
    says(&ended.err, &["allowed are ci-light and integration"]);
    assert!(!bench.path("cache").exists(), "nothing was fetched");

    let paths = |bytes: &[&[u8]]| -> String {
        bytes.iter().map(|bytes| format!("{}\n", bench.place(bytes).display())).collect()
    };
    let ended = bench.call(&["fetch", "--tier", "ci-light"], Exit::Ok);
    assert_eq!(ended.out, paths(&[b"small"]));
    says(&ended.err, &["    Fetching small (5 bytes) from ", "     Fetched small (5 bytes in "]);
    let ended = bench.call(&["fetch-models", "--id", "small", "small", "-q"], Exit::Ok);
    assert_eq!((ended.out, ended.err), (paths(&[b"small"]), String::new()), "once, and quietly");
    let ended = bench.call(&["fetch", "-j", "1"], Exit::Ok);
    assert_eq!(ended.out, paths(&[b"small", b"large model"]));
    assert_eq!(fs::read(bench.place(b"large model")).expect("the model"), b"large model");
}

#[test]
fn json_lines_say_what_became_of_each_model() {
    let bench = two();
    let states = |args: &[&str], exit| -> Vec<(String, String)> {
        let lines = json_lines(&bench.call(args, exit).out);
        let (summary, models) = lines.split_last().expect("a summary");
        assert_eq!((&summary["reason"], &summary["models"]), (&"summary".into(), &2.into()));
        let mut states: Vec<_> = models
            .iter()
            .map(|line| {
                assert_eq!(line["reason"], "model");
                let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
                (text("id"), text("state"))
            })
            .collect();
        states.sort();
        states
    };
    let both = |large: &str, small: &str| {
        vec![("large".to_owned(), large.to_owned()), ("small".to_owned(), small.to_owned())]
    };
    let json = ["fetch", "--format", "json"];
    let with = |flag| [&json[..], &[flag]].concat();
    assert_eq!(states(&with("--dry-run"), Exit::Ok), both("would-fetch", "would-fetch"));
    assert!(!bench.path("cache").exists(), "a dry run makes nothing");
    fs::remove_file(bench.path("large.source")).expect("removed");
    assert_eq!(states(&json, Exit::Environment), both("failed", "fetched"));
    fs::write(bench.path("large.source"), "large model").expect("a source");
    assert_eq!(states(&json, Exit::Ok), both("fetched", "present"));
    assert_eq!(states(&with("--verify"), Exit::Ok), both("verified", "verified"));

    let large = bench.call(&with("large"), Exit::Ok).out;
    let line = &json_lines(&large)[0];
    assert_eq!(line["path"], *bench.place(b"large model").display().to_string());
    assert_eq!((&line["bytes"], &line["source"]), (&11.into(), &Value::Null));
    assert!(line["seconds"].is_f64() && line["error"].is_null(), "{line}");
}

#[test]
fn each_failure_is_told_and_the_others_are_fetched() {
    let bench = two();
    fs::write(bench.path("small.source"), "smalL").expect("another source");
    let ended = bench.call(&["fetch"], Exit::Environment);
    let (wanted, found) = (sha256(b"small"), sha256(b"smalL"));
    says(
        &ended.err,
        &[
            "error: model 'small': ",
            &format!("the bytes have sha256 {found}, but models.toml pins {wanted}"),
            "error: 1 of 2 models could not be had\n",
        ],
    );
    assert_eq!(ended.out, format!("{}\n", bench.place(b"large model").display()));
    assert!(!bench.place(b"small").exists());
}

#[test]
fn terms_are_accepted_once() {
    let bench = Bench::new(&[]);
    let terms = "terms = \"https://example.org/terms\"\n";
    let entry = |terms: &str| bench.entry("mine", "ci-light", b"mine", terms);
    bench.lock(&[entry(terms)]);
    let ended = bench.call(&["fetch"], Exit::Environment);
    says(
        &ended.err,
        &[
            "error: model 'mine': its terms (Custom, https://example.org/terms) have not been accepted",
            "run `parity fetch --id mine --accept-terms mine`",
        ],
    );
    assert!(!bench.place(b"mine").exists());
    bench.call(&["fetch", "--accept-terms", "mine"], Exit::Ok);
    fs::remove_dir_all(bench.path("cache/models")).expect("removed");
    bench.call(&["fetch"], Exit::Ok);
    // What is here already needs no terms; other terms are others.
    bench.lock(&[entry("terms = \"https://example.org/terms/2\"\n")]);
    bench.call(&["fetch"], Exit::Ok);
    fs::remove_dir_all(bench.path("cache/models")).expect("removed");
    says(&bench.call(&["fetch"], Exit::Environment).err, &["https://example.org/terms/2"]);
}

#[test]
fn the_hubs_cache_is_read_and_never_written() {
    let hub = format!("{{ hf = \"own/name\", revision = \"{REVISION}\", file = \"x.gguf\" }}");
    let bench = Bench::new(&[entry("mine", "ci-light", b"mine", &hub, "")]);
    let blobs = bench.path("hub/hub/models--own--name/blobs");
    fs::create_dir_all(&blobs).expect("the hub's cache");
    let blob = blobs.join(sha256(b"mine"));
    fs::write(&blob, "mime").expect("a wrong blob");
    let ended = bench.call(&["fetch", "--offline"], Exit::Environment);
    let place = bench.place(b"mine").display().to_string();
    says(
        &ended.err,
        &[
            "warning: model 'mine': ",
            &format!("the bytes have sha256 {}", sha256(b"mime")),
            "error: model 'mine': not on this machine, and offline nothing is downloaded",
            &format!("own/name, revision {REVISION}, x.gguf at {place}"),
        ],
    );
    assert_eq!(fs::read(&blob).expect("the blob"), b"mime", "left alone");
    fs::write(&blob, "mine").expect("the right blob");
    let ended = bench.call(&["fetch", "--offline"], Exit::Ok);
    assert_eq!(ended.out, format!("{place}\n"));
    assert_eq!(fs::read_dir(&blobs).expect("the hub's cache").count(), 1);
}

#[test]
fn models_tells_what_is_there() {
    let bench = two();
    let ended = bench.call(&["models", "path", "small"], Exit::Environment);
    says(&ended.err, &["error: model 'small': ", "get it with `parity fetch --id small`"]);
    let partial = bench.place(b"large model").with_file_name(".partial");
    fs::create_dir_all(partial.parent().expect("a folder")).expect("a folder");
    fs::write(&partial, "large").expect("a partial file");
    bench.call(&["fetch", "small"], Exit::Ok);
    let listed = |states: &[&str]| says(&bench.call(&["models", "list"], Exit::Ok).out, states);
    listed(&["    verified: ", "    partial 5 of 11 bytes: "]);
    let stamp = bench.place(b"small").with_file_name(".verified");
    fs::remove_file(&stamp).expect("removed");
    listed(&["    present, not verified: "]);
    let ended = bench.call(&["models", "path", "small"], Exit::Ok);
    assert_eq!(ended.out, format!("{}\n", bench.place(b"small").display()));
    assert!(stamp.exists(), "hashed once, and remembered");
    let ended = bench.call(&["fetch", "large"], Exit::Ok);
    says(&ended.err, &["    Resuming large at 5 of 11 bytes from "]);
}

#[test]
fn garbage_is_listed_with_its_size_and_removed() {
    let bench = two();
    bench.call(&["fetch"], Exit::Ok);
    let small = bench.entry("small", "ci-light", b"small", "");
    bench.lock(&[small]);
    let folder = bench.place(b"large model").parent().expect("a folder").to_owned();
    let args = ["fetch", "--gc", "--format", "json"];
    for (dry_run, args) in [(true, [&args[..], &["--dry-run"]].concat()), (false, args.to_vec())] {
        let lines = json_lines(&bench.call(&args, Exit::Ok).out);
        let [removed, summary] = &lines[..] else { panic!("{lines:?}") };
        assert_eq!(removed["reason"], "removed");
        assert_eq!(removed["path"], *folder.display().to_string());
        assert!(removed["bytes"].as_u64().is_some_and(|bytes| bytes > 11), "{removed}");
        assert_eq!((&summary["removed"], &summary["busy"]), (&1.into(), &0.into()));
        assert_eq!((&removed["dry_run"], &summary["dry_run"]), (&dry_run.into(), &dry_run.into()));
        assert_eq!(folder.exists(), dry_run);
    }
    assert!(bench.place(b"small").exists());
}
