//! P01–P03: names that would lead somewhere else, links that do, and two of one name.

use std::fs;
use std::os::unix::fs::symlink;

use bitnet_runner::exit::Exit;

use super::{GOOD, lock_refused, project, refused, suite, suite_refused};
use crate::sandbox::{Model, bytes};

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
