//! P04–P07: keys, values and bytes that break the formats, the schema, and files that change behind
//! their reader.

use std::fs;
use std::path::Path;

use bitnet_runner::exit::Exit;
use bitnet_runner::models::ModelLock;
use bitnet_runner::run::KNOWN;
use bitnet_runner::suite;

use super::{lock_refused, project, refused, suite as good_suite, suite_refused};
use crate::reply::Reply;
use crate::sandbox::{Model, Sandbox, bytes};
use crate::server::Server;

pub fn p04_keys_and_types() {
    let cases = [
        ("stepz = 3\n", "unknown key `stepz`"),
        ("prompt-tokens = [1]\n", "exactly one of `prompt`, `prompt-file`, `prompt-tokens`"),
        ("context = \"x\"\n", "unknown key `context`"),
    ];
    for (line, rule) in cases {
        suite_refused(&format!("{}{line}", good_suite()), &[rule, "bad.toml:11:", "^", "1 error"]);
    }
    let replaced = [
        ("steps = 4", "steps = -1", "`steps`", "bad.toml:9:9"),
        ("steps = 4", "steps = \"4\"", "`steps`", "bad.toml:9:9"),
        ("steps = 4\n", "", "needs the key `steps`", "bad.toml:6:1"),
        (
            "tolerance = \"same-numerics\"",
            "tolerance = { class = \"self\", mean-kl = nan }",
            "a finite number and not negative",
            "bad.toml:10:",
        ),
        ("model = \"model\"", "model = \"modle\"", "modle", "bad.toml:4:9"),
    ];
    for (from, to, rule, place) in replaced {
        suite_refused(&good_suite().replace(from, to), &[rule, place, "^", "1 error"]);
    }
    let locks = [
        ("bytes = 3145728", "bytes = -1", "`bytes` is at least 1"),
        ("bytes = 3145728", "bytes = \"3\"", "`bytes`"),
        ("bytes = 3145728", "bytes = 9223372036854775808", "models.toml:6:9"),
        ("license = \"MIT\"\n", "", "needs the key `license`"),
        ("license", "licence", "unknown key `licence`"),
        ("references = []", "references = [1]", "`references`"),
        ("{ url = ", "{ path = \"x\", url = ", "`source` is exactly one of"),
        ("{ url = \"https://models.test/model.gguf\" }", "{}", "`source` is exactly one of"),
        ("schema_version = 1", "schema_version = 2", "this program reads `schema_version` 1"),
    ];
    for (from, to, rule) in locks {
        lock_refused(from, to, &[rule, "models.toml:", "1 error"]);
    }

    // All errors of all files, in order, and not even the good suite runs.
    let (sandbox, _) = project();
    sandbox
        .write("project/suites/a.toml", good_suite().replace("steps = 4", "steps = -1").as_bytes());
    sandbox.write("project/suites/b.toml", format!("{}x = 1\ny = 2\n", good_suite()).as_bytes());
    let ended = refused(&sandbox, &["run"], &["3 errors; nothing was run"]);
    let places: Vec<usize> = ["a.toml:9:9", "b.toml:11:1", "b.toml:12:1"]
        .iter()
        .map(|place| ended.err.find(place).unwrap_or_else(|| panic!("{place}: {}", ended.err)))
        .collect();
    assert!(places.is_sorted(), "{}", ended.err);
}

pub fn p05_no_toml() {
    let deep = format!("x = {}{}\n", "[".repeat(100_000), "]".repeat(100_000));
    let broken: [(&str, Vec<u8>, &str); 7] = [
        ("no text", b"schema_version = \"\xff\"\n".to_vec(), "not UTF-8: byte 18"),
        ("ten megabytes", vec![b'#'; 10_000_000], "larger than the limit of"),
        ("deep nesting", deep.into_bytes(), "not valid TOML"),
        ("nothing", Vec::new(), "needs the key"),
        ("a trailing comma", b"x = { a = 1, }\n".to_vec(), "TOML 1.1"),
        ("an escape of 1.1", b"x = \"\\e[31m\"\n".to_vec(), "TOML 1.1"),
        ("binary", bytes(3, 3000), "not UTF-8"),
    ];
    for (what, text, rule) in broken {
        for file in ["models.toml", "suites/bad.toml"] {
            let (sandbox, _) = project();
            sandbox.write(&format!("project/{file}"), &text);
            let ended = sandbox.run(&["run", "--list"]);
            assert_eq!(ended.status.code(), Some(2), "{what} in {file}: {}", ended.err);
            ended.says(&["error:", rule, file]).conceals(&["\u{1b}"]);
        }
        let (sandbox, _) = project();
        sandbox.write("project/models.toml", &text);
        refused(&sandbox, &["fetch"], &["error:", rule, "models.toml"]);
    }
    // A mark at the beginning and Windows' line ends are harmless, and columns are still right.
    let windows = |text: &str| format!("\u{feff}{}", text.replace('\n', "\r\n"));
    let (sandbox, model) = project();
    let lock = format!("schema_version = 1\n{}", model.entry());
    sandbox.write("project/models.toml", windows(&lock).as_bytes());
    sandbox.write("project/suites/good.toml", windows(&good_suite()).as_bytes());
    sandbox.run(&["run", "--list"]).with(Exit::Ok);
    let broken = good_suite().replace("steps = 4", "steps = -1");
    sandbox.write("project/suites/good.toml", windows(&broken).as_bytes());
    refused(&sandbox, &["run", "--list"], &["good.toml:9:9"]);
}

pub fn p06_the_schema() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let sandbox = Sandbox::with(&[]);
    let schema = sandbox.run(&["schema"]).with(Exit::Ok).out;
    let file = fs::read_to_string(shipped.join("docs/suite.schema.json")).expect("the schema");
    assert_eq!(schema.trim_end(), file.trim_end(), "docs/suite.schema.json is not current");
    // Every shipped case loads; what the schema calls required, each of their files has.
    let root = shipped.to_str().expect("UTF-8");
    let listed = sandbox.run(&["run", "--list", "--root", root]).with(Exit::Ok).out;
    let schema: serde_json::Value = serde_json::from_str(&schema).expect("JSON");
    let required = schema["required"].as_array().expect("required keys");
    assert!(!required.is_empty());
    let known = schema["properties"].as_object().expect("properties");
    let mut suites = 0;
    for entry in fs::read_dir(shipped.join("suites")).expect("the suites") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a suite");
        let table: toml::Table = toml::from_str(&text).expect("TOML");
        for key in required {
            let key = key.as_str().expect("a key");
            assert!(table.contains_key(key), "{} has no `{key}`", path.display());
        }
        for key in table.keys() {
            assert!(known.contains_key(key), "{}: the schema knows no `{key}`", path.display());
        }
        let stem = path.file_stem().expect("a stem").to_string_lossy().into_owned();
        assert!(listed.contains(&format!("::{stem}::")), "{stem} has no trial");
        suites += 1;
    }
    assert!(suites > 0);
}

pub fn p07_changed_behind_the_reader() {
    // What is named in results is the hash of the bytes that were read, whatever lies there later.
    let (sandbox, _) = project();
    let (lock, suites) = (sandbox.path("project/models.toml"), sandbox.path("project/suites"));
    let hash = |text: &str| Model::new("x", text.as_bytes().to_vec(), "").sha256();
    let lock = ModelLock::read(&lock).unwrap_or_else(|error| panic!("{error}"));
    let first = suite::load(&suites, &lock, &KNOWN).unwrap_or_else(|error| panic!("{error}"));
    let changed = good_suite().replace("prompt = \"x\"", "prompt = \"y\"");
    sandbox.write("project/suites/good.toml", changed.as_bytes());
    assert_eq!(first[0].sha256, hash(&good_suite()));
    let second = suite::load(&suites, &lock, &KNOWN).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(second[0].sha256, hash(&changed));
    // Byte for byte: a mark and line ends that mean nothing to TOML are other bytes.
    let windows = format!("\u{feff}{}", good_suite().replace('\n', "\r\n"));
    sandbox.write("project/suites/good.toml", windows.as_bytes());
    let third = suite::load(&suites, &lock, &KNOWN).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(third[0].sha256, hash(&windows));

    // A lock that changes during a fetch: what was read decides.
    let body = Model::at("").bytes;
    let at = sandbox.path("project/models.toml");
    let server = Server::start(move |request, _| {
        let _ = fs::write(&at, "broken");
        Reply::honest(request, &body, None)
    });
    let model = Model::at(&server.url("/"));
    sandbox.lock(&[&model]);
    sandbox.run(&["fetch"]).with(Exit::Ok);
    sandbox.has(&model);
}
