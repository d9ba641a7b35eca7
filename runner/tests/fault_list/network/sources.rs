//! N19–N21: no network at all, mirrors with other bytes, a hub whose file is not the locked one.

use bitnet_runner::exit::Exit;

use crate::program::Running;
use crate::reply::Reply;
use crate::sandbox::{Model, Sandbox, bytes};
use crate::server::Server;
use crate::tools;

pub fn n19_offline() {
    let body = Model::at("").bytes;
    let server = Server::start(move |request, _| Reply::honest(request, &body, None));
    let (near, hub) = (Model::at(&server.url("/model.gguf")), Model::of_the_hub().called("hub"));
    let hub = hub.with_bytes(bytes(9, 1000));
    let sandbox = Sandbox::with(&[&near, &hub]);
    let endpoint = server.url("");
    let ways: [(&[&str], (&str, &str)); 6] = [
        (&["fetch", "--offline"], ("UNUSED", "")),
        (&["fetch"], ("HF_HUB_OFFLINE", "1")),
        (&["fetch"], ("HF_HUB_OFFLINE", "ON")),
        (&["fetch"], ("BITNET_OFFLINE", "yes")),
        (&["fetch"], ("BITNET_OFFLINE", "True")),
        (&["fetch", "--verify"], ("BITNET_OFFLINE", "1")),
    ];
    let (place, hub_place) = (sandbox.place(&near), sandbox.place(&hub));
    let parts = [
        "error: model 'model'",
        &near_source(&server),
        "parity fetch --id model",
        place.to_str().expect("UTF-8"),
        "error: model 'hub'",
        "owner/name",
        "parity fetch --id hub",
        hub_place.to_str().expect("UTF-8"),
    ];
    for (args, setting) in ways {
        // A proxy would be a socket as well.
        let settings = [setting, ("HF_ENDPOINT", &*endpoint), ("HTTP_PROXY", &*endpoint)];
        sandbox.run_with(args, &settings).with(Exit::Environment).says(&parts);
        sandbox.lacks(&near);
    }
    // Runs of the suites and `models path` fetch nothing, ever.
    sandbox
        .run(&["models", "path", "model"])
        .with(Exit::Environment)
        .says(&["parity fetch --id model"]);
    assert_eq!(server.connections(), 0, "a socket was opened");

    if let Some(strace) = tools::strace("N19") {
        let sockets = |args: &[&str]| {
            let log = sandbox.path("network.log");
            let mut command = strace.command(&sandbox, &["-e", "trace=socket,connect"], &log);
            command.args(args);
            Running::start(command).end().with(Exit::Environment);
            let log = std::fs::read_to_string(log).expect("the log");
            log.lines().filter(|line| line.contains("AF_INET")).count()
        };
        assert_eq!(sockets(&["fetch", "--offline"]), 0);
        // The hub's port is closed: this run needs a network and says so.
        assert!(sockets(&["fetch", "hub"]) > 0, "the tracer sees sockets");
    }

    // What is cached is used.
    sandbox.lock(&[&near]);
    sandbox.run(&["fetch"]).with(Exit::Ok);
    let before = server.connections();
    assert!(before > 0);
    let ended = sandbox.run(&["fetch", "--offline"]).with(Exit::Ok);
    assert_eq!(ended.out.trim_end(), sandbox.place(&near).to_str().expect("UTF-8"));
    assert_eq!(server.connections(), before);
}

fn near_source(server: &Server) -> String {
    server.url("/model.gguf")
}

pub fn n20_mirrors() {
    let right = Model::at("").bytes;
    let (mut other, body) = (right.clone(), right.clone());
    other[12_345] ^= 1;
    let origin = {
        let other = other.clone();
        Server::start(move |request, _| Reply::honest(request, &other, None))
    };
    let gone = Server::start(|_, _| Reply::page("404 Not Found", "text/plain", "no"));
    let mirror = Server::start(move |request, _| Reply::honest(request, &body, None));
    let source = format!(
        "{{ url = \"{}\", mirrors = [\"{}\", \"{}\"] }}",
        origin.url("/origin"),
        gone.url("/gone"),
        mirror.url("/mirror")
    );
    let model = Model::new("model", right.clone(), &source);
    let sandbox = Sandbox::with(&[&model]);
    let found = Model::at("").with_bytes(other.clone()).sha256();
    sandbox.run(&["fetch"]).with(Exit::Ok).says(&[
        "warning:",
        &origin.url("/origin"),
        &found,
        &gone.url("/gone"),
        "404",
    ]);
    sandbox.has(&model);
    assert_eq!((origin.gets().len(), mirror.gets().len()), (1, 1));
    assert_eq!(mirror.gets()[0].range(), None, "the wrong bytes are not continued");

    // No source has them.
    let source =
        format!("{{ url = \"{}\", mirrors = [\"{}\"] }}", origin.url("/a"), origin.url("/b"));
    let model = Model::new("model", right, &source);
    let sandbox = Sandbox::with(&[&model]);
    let ended = sandbox.run(&["fetch"]).with(Exit::Environment);
    let error = ended.err.lines().find(|line| line.starts_with("error: model 'model'"));
    let error = error.unwrap_or_else(|| panic!("{}", ended.err)).to_owned();
    ended.says(&[&found, &model.sha256()]);
    assert!(error.contains(&found) || error.contains("sha256"), "{error}");
    sandbox.lacks(&model);
    sandbox.has_no_partial(&model);
}

pub fn n21_the_hub_has_another_file() {
    let model = Model::of_the_hub();
    let other = Model::of_the_hub().with_bytes(bytes(2, model.bytes.len())).sha256();
    let (size, right) = (model.bytes.len(), model.sha256());
    let changed = [
        ("another hash", format!("\"{other}\""), size),
        ("another hash, bare", other.clone(), size),
        ("another size", right.clone(), size + 1),
    ];
    for (what, etag, linked_size) in changed {
        let body = model.bytes.clone();
        let hub = Server::start(move |request, _| {
            Reply::honest(request, &body, None)
                .header("X-Linked-Etag", &etag)
                .header("X-Linked-Size", linked_size)
        });
        let sandbox = Sandbox::with(&[&model]);
        let endpoint = hub.url("");
        let ended = sandbox.run_with(&["fetch"], &[("HF_ENDPOINT", &endpoint)]);
        assert_eq!(ended.status.code(), Some(3), "{what}: {}", ended.err);
        ended.says(&["error: model 'model'", "changed", &endpoint]);
        let methods: Vec<_> = hub.requests().into_iter().map(|request| request.method).collect();
        assert_eq!(methods, ["HEAD"], "{what}: nothing is downloaded and nothing asked again");
        assert_eq!(sandbox.partial(&model), None);
    }

    // The right ones, quoted and behind a redirect that the client has no need to follow for them.
    let body = model.bytes.clone();
    let store = Server::start(move |request, _| Reply::honest(request, &body, None));
    let location = store.url("/blob");
    let hub = Server::start(move |_, _| {
        Reply::redirect("302 Found", &location)
            .header("X-Linked-Etag", format!("\"{right}\""))
            .header("X-Linked-Size", size)
    });
    let sandbox = Sandbox::with(&[&model]);
    sandbox.run_with(&["fetch"], &[("HF_ENDPOINT", &hub.url(""))]).with(Exit::Ok);
    sandbox.has(&model);
    assert!(store.requests().iter().all(|request| request.method == "GET"));
}
