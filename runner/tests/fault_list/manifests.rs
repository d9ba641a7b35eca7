//! P01–P08: locks and suites that lie about names, places, types and addresses. Nothing is run,
//! fetched or made; single rules and their carets are the business of `formats`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use bitnet_runner::exit::Exit;
use bitnet_runner::models::ModelLock;
use bitnet_runner::run::ceilings;
use bitnet_runner::suite;

use crate::program::Ended;
use crate::reply::Reply;
use crate::sandbox::{Model, Sandbox, bytes};
use crate::server::Server;

/// Lines 1 to 6 of a suite; a case's own lines begin at line 7.
const HEAD: &str = "kind = \"parity\"\nanalysis = \"x\"\n[defaults]\nmodel = \"model\"\ntier = \"ci-light\"\n[[case]]\n";
const GOOD: &str = "name = \"a\"\nprompt = \"x\"\nsteps = 4\ntolerance = \"same-numerics\"\n";

fn suite() -> String {
    format!("{HEAD}{GOOD}")
}

/// A project with a good lock and one good suite.
fn project() -> (Sandbox, Model) {
    let model = Model::at("https://models.test/model.gguf");
    let sandbox = Sandbox::with(&[&model]);
    sandbox.write("project/suites/good.toml", suite().as_bytes());
    (sandbox, model)
}

/// Asserts that `args` are refused as wrong manifests, with these parts, and that nothing was made.
#[track_caller]
fn refused(sandbox: &Sandbox, args: &[&str], parts: &[&str]) -> Ended {
    let ended = sandbox.run(args).with(Exit::Usage).says(parts);
    assert_eq!(ended.out, "", "nothing is listed or fetched");
    assert!(!sandbox.cache().exists(), "something was made: {:?}", sandbox.files());
    ended
}

/// A good project whose lock has `to` for `from` is refused.
#[track_caller]
fn lock_refused(from: &str, to: &str, parts: &[&str]) -> Ended {
    let (sandbox, model) = project();
    let lock = format!("schema_version = 1\n{}", model.entry());
    let from = from.replace("{sha256}", &model.sha256());
    assert!(lock.contains(&from), "{from}");
    sandbox.write("project/models.toml", lock.replacen(&from, to, 1).as_bytes());
    refused(&sandbox, &["fetch"], parts);
    refused(&sandbox, &["run", "--list"], parts)
}

#[track_caller]
fn suite_refused(text: &str, parts: &[&str]) {
    let (sandbox, _) = project();
    sandbox.write("project/suites/bad.toml", text.as_bytes());
    refused(&sandbox, &["run", "--list"], parts);
    refused(&sandbox, &["run"], parts);
}

pub fn p01_names() {
    let upper = Model::at("").sha256().to_uppercase();
    for sha in [&*upper, &upper.to_lowercase()[1..], "../../../etc", "%2e%2e%2f", ""] {
        let parts = ["`sha256` is 64 lower-case hex digits", "models.toml:5:10", "^"];
        lock_refused("{sha256}", sha, &parts);
    }
    let (long, longer) = ("a".repeat(65), "a".repeat(300));
    let names = [
        "a/b",
        "..",
        "../x",
        "a\\\\b",
        "a\\u0000b",
        "-a",
        "a-",
        "nul",
        "com1",
        "A",
        "é",
        "%2e",
        "a b",
        "",
        &long,
        &longer,
    ];
    for name in names {
        lock_refused(
            "id = \"model\"",
            &format!("id = \"{name}\""),
            &["a name matches", "models.toml:3:6", "^"],
        );
        suite_refused(
            &suite().replace("name = \"a\"", &format!("name = \"{name}\"")),
            &["a name matches", "bad.toml:7:8", "^"],
        );
    }
    // Files: of a suite, of a prompt, of a model, of a repository.
    let (sandbox, _) = project();
    sandbox.write("project/suites/NUL.toml", suite().as_bytes());
    refused(&sandbox, &["run", "--list"], &["the file's stem is the suite's name", "NUL.toml"]);
    for path in ["../x", "/etc/passwd", "a/../../x", "C:/x", "a\\\\b", "a\\u0000b", ""] {
        suite_refused(
            &suite().replace("prompt = \"x\"", &format!("prompt-file = \"{path}\"")),
            &["`prompt-file` is a relative path inside", "bad.toml:8:15", "^"],
        );
        let source = "{ url = \"https://models.test/model.gguf\" }";
        lock_refused(
            source,
            &format!("{{ path = \"{path}\" }}"),
            &["`path` is a relative path of names joined by `/`", "models.toml:9:19", "^"],
        );
        let commit = "0123456789".repeat(4);
        let hub = format!("{{ hf = \"a/b\", revision = \"{commit}\", file = \"{path}\" }}");
        lock_refused(source, &hub, &["`file` is a relative path of names joined by `/`"]);
    }

    // On the command line.
    let (sandbox, _) = project();
    for id in ["../../etc/passwd", "mode", "MODEL", "a\u{1b}[31m"] {
        let ended = refused(&sandbox, &["fetch", "--", id], &["error:", "models.toml"]);
        ended.conceals(&["\u{1b}"]);
        refused(&sandbox, &["models", "path", "--", id], &["error:"]);
    }
    refused(&sandbox, &["fetch", "modle"], &["'model'"]);
    refused(&sandbox, &["fetch", "--id", "modle"], &["'model'"]);
}

pub fn p02_folders_that_lead_out() {
    let (sandbox, _) = project();
    sandbox.write("elsewhere/out.toml", suite().as_bytes());
    symlink(sandbox.path("elsewhere/out.toml"), sandbox.path("project/suites/out.toml"))
        .expect("a link");
    refused(
        &sandbox,
        &["run", "--list"],
        &["this link leads out of the suites folder", "suites/out.toml"],
    );

    let (sandbox, _) = project();
    sandbox.write("elsewhere/secret.txt", b"secret");
    symlink(sandbox.path("elsewhere"), sandbox.path("project/suites/prompts")).expect("a link");
    let asks = suite().replace("prompt = \"x\"", "prompt-file = \"prompts/secret.txt\"");
    sandbox.write("project/suites/good.toml", asks.as_bytes());
    refused(&sandbox, &["run", "--list"], &["a link leads out of it", "good.toml:8:15"]);

    // Folders that contain themselves twice over: the search ends, and finds each file once.
    let (sandbox, _) = project();
    fs::create_dir(sandbox.path("project/suites/down")).expect("a folder");
    for name in ["up", "up-as-well"] {
        symlink("..", sandbox.path(&format!("project/suites/down/{name}"))).expect("a link");
    }
    let ended = sandbox.run(&["run", "--list"]).with(Exit::Ok);
    assert_eq!(ended.out, "ci-light::parity::good::a\n");
    // Links that lead nowhere.
    for (name, target) in [("a", "b"), ("b", "a"), ("self", "self")] {
        symlink(target, sandbox.path(&format!("project/suites/{name}"))).expect("a link");
    }
    let ended = sandbox.run(&["run", "--list"]).with(Exit::Ok);
    assert_eq!(ended.out, "ci-light::parity::good::a\n");
    symlink("nowhere.toml", sandbox.path("project/suites/c.toml")).expect("a link");
    refused(&sandbox, &["run", "--list"], &["error:", "suites/c.toml"]);

    // A model that is used in place may not lie behind a link to elsewhere either.
    let (sandbox, _) = project();
    let model = Model::new("model", bytes(1, 100), "{ path = \"models/x.gguf\" }");
    sandbox.write("elsewhere/x.gguf", b"something else");
    symlink(sandbox.path("elsewhere"), sandbox.path("project/models")).expect("a link");
    sandbox.lock(&[&model]);
    let ended = sandbox.run(&["fetch"]).with(Exit::Environment).says(&["error: model 'model'"]);
    assert_eq!(ended.out, "");
}

pub fn p03_duplicates() {
    let (sandbox, model) = project();
    sandbox.lock(&[&model, &model.clone().with_bytes(b"x".to_vec())]);
    let parts = ["two models have the id `model`", "models.toml:13:6", "the first", "the second"];
    refused(&sandbox, &["fetch"], &parts);
    refused(&sandbox, &["run", "--list"], &parts);

    suite_refused(
        &format!("{}[[case]]\n{GOOD}", suite()),
        &["two cases are named `a`", "bad.toml:12:8", "the first", "the second"],
    );
    // The suite's name is part of a trial's id; a second file of that name has no place.
    let (sandbox, _) = project();
    sandbox.write("project/suites/more/good.toml", suite().as_bytes());
    refused(
        &sandbox,
        &["run", "--list"],
        &["a suite lies directly in", "move this file there", "suites/more/good.toml"],
    );
    // The same case in two suites is two trials.
    let (sandbox, _) = project();
    sandbox.write("project/suites/more.toml", suite().as_bytes());
    let ended = sandbox.run(&["run", "--list"]).with(Exit::Ok);
    assert_eq!(ended.out, "ci-light::parity::good::a\nci-light::parity::more::a\n");
}

pub fn p04_keys_and_types() {
    let cases = [
        ("stepz = 3\n", "unknown key `stepz`"),
        ("prompt-tokens = [1]\n", "exactly one of `prompt`, `prompt-file`, `prompt-tokens`"),
        ("context = \"x\"\n", "unknown key `context`"),
    ];
    for (line, rule) in cases {
        suite_refused(&format!("{}{line}", suite()), &[rule, "bad.toml:11:", "^", "1 error"]);
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
        suite_refused(&suite().replace(from, to), &[rule, place, "^", "1 error"]);
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
    sandbox.write("project/suites/a.toml", suite().replace("steps = 4", "steps = -1").as_bytes());
    sandbox.write("project/suites/b.toml", format!("{}x = 1\ny = 2\n", suite()).as_bytes());
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
    sandbox.write("project/suites/good.toml", windows(&suite()).as_bytes());
    sandbox.run(&["run", "--list"]).with(Exit::Ok);
    let broken = suite().replace("steps = 4", "steps = -1");
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
    let first = suite::load(&suites, &lock, &ceilings).unwrap_or_else(|error| panic!("{error}"));
    let changed = suite().replace("prompt = \"x\"", "prompt = \"y\"");
    sandbox.write("project/suites/good.toml", changed.as_bytes());
    assert_eq!(first[0].sha256, hash(&suite()));
    let second = suite::load(&suites, &lock, &ceilings).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(second[0].sha256, hash(&changed));
    // Byte for byte: a mark and line ends that mean nothing to TOML are other bytes.
    let windows = format!("\u{feff}{}", suite().replace('\n', "\r\n"));
    sandbox.write("project/suites/good.toml", windows.as_bytes());
    let third = suite::load(&suites, &lock, &ceilings).unwrap_or_else(|error| panic!("{error}"));
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

pub fn p08_addresses() {
    let url = "https://models.test/model.gguf";
    for scheme in ["ftp", "ssh", "data", "javascript", "s3", "httpx"] {
        let other = url.replacen("https", scheme, 1);
        lock_refused(url, &other, &["a URL is", "models.toml:9:18", "^"]);
        let source = format!("{{ url = \"{url}\", mirrors = [\"{other}\"] }}");
        lock_refused(
            &format!("{{ url = \"{url}\" }}"),
            &source,
            &["a URL is", "models.toml:9:", "^"],
        );
    }
    for bad in ["https://", "https:///x", "model.gguf", "//models.test/x", "https://a b/c", ""] {
        lock_refused(url, bad, &["a URL is", "models.toml:9:18"]);
    }
    // A password in a lock is everybody's; it is refused, and not repeated.
    for bad in ["https://user:Passw0rd@models.test/x", "http://Passw0rd@127.0.0.1/x"] {
        lock_refused(url, bad, &["models.toml:9:18", "user name"]).conceals(&["Passw0rd"]);
    }

    // Plain http is for this machine, unless it is asked for.
    let body = Model::at("").bytes;
    let server = Server::start(move |request, _| Reply::honest(request, &body, None));
    let proxy = server.url("");
    let model = Model::at("http://models.test/model.gguf");
    let sandbox = Sandbox::with(&[&model]);
    sandbox
        .run_with(&["fetch"], &[("HTTP_PROXY", &proxy)])
        .with(Exit::Environment)
        .says(&["error: model 'model'", "--allow-http"]);
    assert_eq!(server.connections(), 0);
    let endpoint = [("HF_ENDPOINT", "http://models.test"), ("HTTP_PROXY", &*proxy)];
    let hub = Sandbox::with(&[&Model::of_the_hub()]);
    hub.run_with(&["fetch"], &endpoint).with(Exit::Environment).says(&["--allow-http"]);
    assert_eq!(server.connections(), 0);
    for endpoint in ["ftp://models.test", "https://user:Passw0rd@models.test", "models.test"] {
        hub.run_with(&["fetch"], &[("HF_ENDPOINT", endpoint)])
            .with(Exit::Environment)
            .says(&["HF_ENDPOINT"])
            .conceals(&["Passw0rd"]);
    }
    for loopback in ["127.0.0.1", "localhost"] {
        let near = Model::at(&format!("http://{loopback}:{}/x", server.address().port()));
        let sandbox = Sandbox::with(&[&near]);
        sandbox.run(&["fetch"]).with(Exit::Ok);
        sandbox.has(&near);
    }
    // What only looks like this machine.
    for stranger in ["localhost.models.test", "127.0.0.1.models.test", "localhosts", "10.0.0.1"] {
        let far = Model::at(&format!("http://{stranger}/x"));
        let sandbox = Sandbox::with(&[&far]);
        sandbox
            .run_with(&["fetch"], &[("HTTP_PROXY", &proxy)])
            .with(Exit::Environment)
            .says(&["--allow-http"]);
        sandbox.lacks(&far);
    }

    // A file is read like a download: hashed, and never used where it lies.
    let sandbox = Sandbox::with(&[]);
    let path = sandbox.path("source.gguf");
    let model = Model::at(&format!("file://{}", path.display()));
    sandbox.lock(&[&model]);
    let missing = sandbox.run(&["fetch"]).with(Exit::Environment);
    missing.says(&["error: model 'model'", path.to_str().expect("UTF-8")]);
    fs::write(&path, &model.bytes).expect("the source");
    sandbox.run(&["fetch"]).with(Exit::Ok);
    sandbox.has(&model);
    fs::write(&path, bytes(2, model.bytes.len())).expect("other bytes");
    fs::remove_dir_all(sandbox.cache()).expect("the cache");
    sandbox.run(&["fetch"]).with(Exit::Environment).says(&["error: model 'model'", "sha256"]);
    sandbox.lacks(&model);
}
