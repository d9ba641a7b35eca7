//! `parity models lock` from outside: what it asks a hub or a server, what it writes, and that a lock
//! is left alone where nothing was found. The text of entries is tested in `models/edit.rs`.

#![cfg(unix)]

#[expect(dead_code, reason = "shared with the fault list, which uses all of it")]
#[path = "fault_list/program.rs"]
mod program;
#[expect(dead_code, reason = "shared with the fault list, which uses all of it")]
#[path = "fault_list/reply.rs"]
mod reply;
#[expect(dead_code, reason = "shared with the fault list, which uses all of it")]
#[path = "fault_list/sandbox.rs"]
mod sandbox;
#[expect(dead_code, reason = "shared with the fault list, which uses all of it")]
#[path = "fault_list/server.rs"]
mod server;
#[expect(dead_code, reason = "shared with the fault list, which uses all of it")]
#[path = "fault_list/tls.rs"]
mod tls;

use std::time::Duration;

use bitnet_runner::exit::Exit;
use bitnet_runner::models::{LockedModel, ModelLock, ModelSource};
use reply::Reply;
use sandbox::{Model, Sandbox};
use server::Server;

/// When a program counts as hanging.
const PATIENCE: Duration = Duration::from_secs(120);

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

fn entry(sandbox: &Sandbox, id: &str) -> LockedModel {
    let lock = ModelLock::read(&sandbox.path("project/models.toml"));
    lock.unwrap_or_else(|e| panic!("{e}")).get(id).expect("the entry").clone()
}

/// A hub with one file, which says of it what its real counterpart says.
fn hub(file: &'static Model) -> Server {
    Server::start(move |request, _| match (&*request.method, &*request.target) {
        ("HEAD", "/own/name/resolve/main/f.gguf") => {
            Reply::redirect("302 Found", "https://elsewhere.example/blob")
                .header("X-Repo-Commit", COMMIT)
                .header("X-Linked-Etag", format!("\"{}\"", file.sha256()))
                .header("X-Linked-Size", file.bytes.len())
        }
        ("GET", "/api/models/own/name") => {
            Reply::page("200 OK", "application/json", r#"{"tags":["gguf","license:mit"]}"#)
        }
        _ => Reply::status("404 Not Found"),
    })
}

fn shared_model() -> &'static Model {
    Box::leak(Box::new(Model::of_the_hub()))
}

#[test]
fn a_hub_says_commit_hash_and_size_and_the_entry_is_ready_to_fetch() {
    let file = shared_model();
    let server = hub(file);
    let sandbox = Sandbox::with(&[&Model::at("https://origin.example/x")]);
    let before = std::fs::read_to_string(sandbox.path("project/models.toml")).expect("the lock");
    let args = ["models", "lock", "--id", "new", "--hf", "own/name", "--file", "f.gguf"];
    let settings = [("HF_ENDPOINT", &*server.url(""))];
    let added =
        |text: &str| format!("{text} 'new'\n    tier: integration\n    sha256: {}", file.sha256());
    let dry = sandbox.run_with(&[&args[..], &["--dry-run"]].concat(), &settings).with(Exit::Ok);
    assert!(dry.out.starts_with(&added("would lock")), "{}", dry.out);
    assert_eq!(std::fs::read_to_string(sandbox.path("project/models.toml")).expect("it"), before);

    let ended = sandbox.run_with(&args, &settings).with(Exit::Ok);
    assert!(ended.out.starts_with(&added("added")), "{}", ended.out);
    let found = entry(&sandbox, "new");
    assert_eq!((&*found.sha256, found.bytes), (&*file.sha256(), file.bytes.len() as u64));
    assert_eq!((&*found.license, &*found.references), ("MIT", &["bitnet-cpp".to_owned()][..]));
    let source = ModelSource::HuggingFace {
        repository: "own/name".into(),
        revision: COMMIT.into(),
        file: "f.gguf".into(),
    };
    assert_eq!(found.source, source);
    assert!(server.gets().iter().all(|get| get.target.starts_with("/api/")), "nothing downloaded");

    let again = sandbox.run_with(&["models", "lock", "--id", "new"], &settings).with(Exit::Ok);
    assert_eq!(again.out, format!("'new' is up to date: sha256 {}\n", file.sha256()));
}

#[test]
fn a_url_is_read_and_hashed() {
    let file = Box::leak(Box::new(Model::at("x")));
    let bytes = &file.bytes;
    let server = Server::start(move |_, _| Reply::whole(bytes));
    let sandbox = Sandbox::with(&[&Model::at("https://origin.example/x")]);
    let url = server.url("/m.gguf");
    let args = ["models", "lock", "--id", "new", "--url", &url, "--tier", "ci-light"];
    sandbox
        .run(&args)
        .with(Exit::Usage)
        .says(&["states no licence; look it up and give it with --license"]);
    sandbox.run(&[&args[..], &["--license", "Apache-2.0"]].concat()).with(Exit::Ok);
    let found = entry(&sandbox, "new");
    assert_eq!((&*found.sha256, found.bytes), (&*file.sha256(), file.bytes.len() as u64));
    assert_eq!(found.source, ModelSource::Url { url: url.clone(), mirrors: Vec::new() });
}

#[test]
fn where_nothing_is_found_the_lock_stays_as_it_was() {
    let server = Server::start(|_, _| Reply::status("404 Not Found"));
    let sandbox = Sandbox::with(&[&Model::at("https://origin.example/x")]);
    let path = sandbox.path("project/models.toml");
    let before = std::fs::read_to_string(&path).expect("the lock");
    let settings = [("HF_ENDPOINT", &*server.url(""))];
    let hf = ["models", "lock", "--id", "new", "--hf", "own/name", "--file", "f.gguf"];
    sandbox.run_with(&hf, &settings).with(Exit::Environment).says(&[
        "error: model 'new': ",
        "404 Not Found",
        "no such file at this revision",
    ]);
    sandbox
        .run(&["models", "lock", "--id", "new"])
        .with(Exit::Usage)
        .says(&["models.toml has no 'new'; to add it, say where it is: --hf OWNER/NAME"]);
    sandbox
        .run(&["models", "lock", "--id", "N/../x", "--path", "a"])
        .with(Exit::Usage)
        .says(&["--id: `N` is not allowed in a name"]);
    sandbox
        .run_with(&hf, &[("HF_HUB_OFFLINE", "1")])
        .with(Exit::Environment)
        .says(&["offline: nobody is asked"]);
    assert_eq!(std::fs::read_to_string(&path).expect("the lock"), before);
}
