//! N01–N05, N18: bodies that are cut, reset, too long, or of another length than they say.

use bitnet_runner::exit::Exit;

use crate::reply::Reply;
use crate::sandbox::{MIB, Model, Sandbox};
use crate::server::Server;

/// Where bodies are cut: inside a buffer of any even size.
const CUT: usize = MIB + 12_345;

fn model() -> Model {
    Model::at("http://placeholder.test/")
}

/// A sandbox with [`model`] at `server`.
fn sandbox(server: &Server) -> (Sandbox, Model) {
    let model = Model::at(&server.url("/model.gguf"));
    (Sandbox::with(&[&model]), model)
}

pub fn n01_truncated_with_length() {
    let body = model().bytes;
    let server = Server::start(move |request, n| match n {
        0 => Reply::whole(&body).header("ETag", "\"v1\"").cut(CUT),
        _ => Reply::honest(request, &body, Some("\"v1\"")),
    });
    let (sandbox, model) = sandbox(&server);
    sandbox.run(&["fetch"]).with(Exit::Ok).says(&["Retrying", "of 5", "Fetched"]);
    sandbox.has(&model);
    let gets = server.gets();
    let ranges: Vec<_> = gets.iter().map(|get| get.range()).collect();
    assert_eq!(ranges, [None, Some(CUT)], "the rest is asked for, and nothing twice");
    assert_eq!(gets[1].header("if-range"), Some("\"v1\""));
}

pub fn n02_truncated_without_length() {
    let body = model().bytes;
    let server = Server::start(move |request, n| match n {
        0 => Reply::whole(&body).without("Content-Length").cut(CUT),
        _ => Reply::honest(request, &body, None),
    });
    let (sandbox, model) = sandbox(&server);
    sandbox.run(&["fetch"]).with(Exit::Ok).says(&["Retrying"]);
    sandbox.has(&model);
    let ranges: Vec<_> = server.gets().iter().map(|get| get.range()).collect();
    assert_eq!(ranges, [None, Some(CUT)]);
}

pub fn n03_resets() {
    // Small enough to lie in the client's kernel before the reset comes.
    const STEP: usize = 40_000;
    let body = model().bytes;
    let served = body.clone();
    let server = Server::start(move |request, n| {
        let reply = Reply::honest(request, &served, None);
        if n < 3 { reply.cut(STEP).reset() } else { reply }
    });
    let (sandbox, model) = sandbox(&server);
    let ended = sandbox.run(&["fetch"]).with(Exit::Ok);
    assert_eq!(ended.count("Retrying"), 3, "{}", ended.err);
    sandbox.has(&model);
    let starts: Vec<_> = server.gets().iter().map(|get| get.range().unwrap_or(0)).collect();
    assert_eq!(starts.len(), 4, "{starts:?}");
    assert!(starts.is_sorted() && starts[3] <= 3 * STEP, "{starts:?}");
    assert!(starts[3] > 0, "what had arrived is kept: {starts:?}");

    // A server that only ever resets is given up, and what arrived stays for the next run.
    let served = body.clone();
    let broken =
        Server::start(move |request, _| Reply::honest(request, &served, None).cut(1000).reset());
    sandbox.lock(&[&Model::at(&broken.url("/model.gguf")).called("other")]);
    sandbox.remove_cache();
    let ended = sandbox.run(&["fetch"]).with(Exit::Environment);
    assert_eq!(broken.gets().len(), 5, "five attempts\n{}", ended.err);
    ended.says(&["error: model 'other'", "5 attempts"]);
    sandbox.lacks(&model);
    assert!(sandbox.partial(&model).is_some_and(|n| n > 0), "what arrived is kept");
}

pub fn n04_another_length() {
    for length in [3 * MIB - 1, 3 * MIB + 1] {
        let server = Server::start(move |_, _| {
            Reply::status("200 OK").header("Content-Length", length).send(&vec![b'x'; length])
        });
        let (sandbox, model) = sandbox(&server);
        sandbox.run(&["fetch"]).with(Exit::Environment).says(&[
            "error: model 'model'",
            &length.to_string(),
            &(3 * MIB).to_string(),
        ]);
        sandbox.lacks(&model);
        assert_eq!(sandbox.partial(&model).unwrap_or(0), 0, "refused before anything is written");
        assert!(server.gets().len() <= 1, "another attempt would give the same");
    }

    // Behind a resumed download as well: 206 whose length leads elsewhere than its total.
    let body = model().bytes;
    let server = Server::start(move |request, n| match (n, request.range()) {
        (0, _) => Reply::whole(&body).cut(CUT),
        (_, Some(start)) => Reply::part(&body, start)
            .without("Content-Length")
            .header("Content-Length", body.len() - start + 7)
            .send(b"7 bytes"),
        (_, None) => Reply::whole(&body),
    });
    let (sandbox, model) = sandbox(&server);
    let ended = sandbox.run(&["fetch"]);
    match ended.status.code() {
        Some(0) => sandbox.has(&model),
        _ => {
            ended.with(Exit::Environment).says(&["error: model 'model'"]);
            sandbox.lacks(&model);
        }
    }
}

pub fn n05_longer_than_the_lock_says() {
    // Right so far, and then it does not end.
    let body = model().bytes;
    let server = Server::start(move |_, _| {
        Reply::whole(&body).without("Content-Length").step(crate::reply::Step::Endless)
    });
    let (sandbox, model) = sandbox(&server);
    sandbox.run(&["fetch"]).with(Exit::Environment).says(&[
        "error: model 'model'",
        "more bytes than",
        &(3 * MIB).to_string(),
    ]);
    sandbox.lacks(&model);
    sandbox.has_no_partial(&model);
    // The connection was closed: what is under way in both kernels' buffers is all that leaves.
    assert!(server.sent() < 64 * MIB, "{} bytes were taken", server.sent());

    // One byte more, in a body that ends.
    let mut body = self::model().bytes;
    body.push(b'x');
    let server = Server::start(move |_, _| Reply::whole(&body).without("Content-Length"));
    let sandbox = Sandbox::with(&[&Model::at(&server.url("/"))]);
    sandbox.run(&["fetch"]).with(Exit::Environment).says(&["error: model 'model'"]);
    sandbox.lacks(&model);
    sandbox.has_no_partial(&model);
}

pub fn n18_encoded() {
    // What a client that unpacks silently would take for something else: a gzip header.
    let packed = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    let body = model().bytes;
    let server = Server::start(move |request, _| {
        let encoded = Reply::status("200 OK").header("Content-Encoding", "gzip");
        match request.target.as_str() {
            "/short" => encoded.header("Content-Length", packed.len()).send(&packed),
            "/chunkless" => encoded.send(&packed),
            // Says gzip, and sends the right bytes: no better.
            _ => encoded.header("Content-Length", body.len()).send(&body),
        }
    });
    for path in ["/short", "/chunkless", "/same"] {
        let model = Model::at(&server.url(path));
        let sandbox = Sandbox::with(&[&model]);
        sandbox.run(&["fetch"]).with(Exit::Environment).says(&["error: model 'model'", "gzip"]);
        sandbox.lacks(&model);
        sandbox.has_no_partial(&model);
    }
    for request in server.requests() {
        let asked = request.header("accept-encoding").unwrap_or("identity");
        assert_eq!(asked, "identity", "no encoding is asked for");
    }

    // `identity` is no encoding.
    let body = model().bytes;
    let server = Server::start(move |request, _| {
        Reply::honest(request, &body, None).header("Content-Encoding", "identity")
    });
    let (sandbox, model) = sandbox(&server);
    sandbox.run(&["fetch"]).with(Exit::Ok);
    sandbox.has(&model);
}
