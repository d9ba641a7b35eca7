//! N06–N08, N17: servers that answer a `Range` with something else than the range.

use bitnet_runner::exit::Exit;

use crate::reply::Reply;
use crate::sandbox::{MIB, Model, Sandbox, bytes};
use crate::server::{Request, Server};

const CUT: usize = MIB + 12_345;

/// The model's bytes.
fn body() -> Vec<u8> {
    Model::at("").bytes
}

/// Fetches from a server that cuts the first body at [`CUT`] and gives `answer` to the `n`th request
/// behind it; asserts that the file is right in the end, and gives the `Range`s asked for.
#[track_caller]
fn after_a_cut(
    answer: impl Fn(&Request, usize, &[u8]) -> Reply + Send + Sync + 'static,
) -> Vec<Option<usize>> {
    let body = body();
    let server = Server::start(move |request, n| match n {
        0 => Reply::whole(&body).header("ETag", "\"v1\"").cut(CUT),
        n => answer(request, n, &body),
    });
    let model = Model::at(&server.url("/model.gguf"));
    let sandbox = Sandbox::with(&[&model]);
    sandbox.run(&["fetch"]).with(Exit::Ok).says(&["Retrying"]);
    sandbox.has(&model);
    server.gets().iter().map(Request::range).collect()
}

pub fn n06_whole_file_for_a_range() {
    let ranges = after_a_cut(|_, _, body| Reply::whole(body));
    assert_eq!(ranges, [None, Some(CUT)], "the 200 is used, from its first byte on");
}

pub fn n07_another_range() {
    let honest = |request: &Request, body: &[u8]| Reply::honest(request, body, Some("\"v1\""));
    let all = 3 * MIB;
    let wrong: [(&str, String); 6] = [
        ("start too low", format!("bytes {}-{}/{all}", CUT - 1, all - 1)),
        ("start at 0", format!("bytes 0-{}/{all}", all - 1)),
        ("start too high", format!("bytes {}-{}/{all}", CUT + 1, all - 1)),
        ("another total", format!("bytes {CUT}-{}/{}", all - 1, all + 1)),
        ("no number", "bytes x-y/z".to_owned()),
        ("another unit", format!("pages {CUT}-{}/{all}", all - 1)),
    ];
    for (what, range) in wrong {
        let ranges = after_a_cut(move |request, n, body| match n {
            1 => Reply::part_called(&range, &body[CUT..]),
            _ => honest(request, body),
        });
        assert_eq!(ranges, [None, Some(CUT), None], "{what}: begun anew");
    }
    let ranges = after_a_cut(move |request, n, body| match n {
        1 => Reply::part(body, CUT).without("Content-Range"),
        _ => honest(request, body),
    });
    assert_eq!(ranges, [None, Some(CUT), None], "no Content-Range: begun anew");

    // 206 to a request for everything: no part of nothing is taken for the file.
    let body = body();
    let server = Server::start(move |_, _| Reply::part(&body, 1000));
    let model = Model::at(&server.url("/"));
    let sandbox = Sandbox::with(&[&model]);
    sandbox.run(&["fetch"]).with(Exit::Environment).says(&["error: model 'model'"]);
    sandbox.lacks(&model);
}

pub fn n08_range_not_satisfiable() {
    let refused = |total: usize| {
        Reply::status("416 Range Not Satisfiable")
            .header("Content-Range", format!("bytes */{total}"))
            .header("Content-Length", 0)
    };
    let ranges = after_a_cut(move |request, n, body| match n {
        1 => refused(CUT - 1),
        _ => Reply::honest(request, body, Some("\"v1\"")),
    });
    assert_eq!(ranges, [None, Some(CUT), None], "begun anew");

    // All bytes are there and only the end is missing: they are verified, not fetched again.
    let body = body();
    let served = body.clone();
    let server = Server::start(move |_, n| match n {
        // A chunk with everything, and no chunk that says that this was all.
        0 => Reply::status("200 OK")
            .header("Transfer-Encoding", "chunked")
            .send(format!("{:x}\r\n", served.len()).as_bytes())
            .send(&served),
        _ => refused(served.len()),
    });
    let model = Model::at(&server.url("/"));
    let sandbox = Sandbox::with(&[&model]);
    sandbox.run(&["fetch"]).with(Exit::Ok);
    sandbox.has(&model);
    assert!(server.gets().len() <= 2, "{:?}", server.gets());

    // The same, left by an earlier run.
    let server = Server::start(move |request, _| match request.range() {
        Some(_) => refused(3 * MIB),
        None => Reply::status("500 Internal Server Error"),
    });
    let model = Model::at(&server.url("/"));
    let sandbox = Sandbox::with(&[&model]);
    let partial = format!("cache/models/{}/.partial", model.sha256());
    sandbox.write(&partial, &body);
    sandbox.run(&["fetch"]).with(Exit::Ok);
    sandbox.has(&model);

    // 416 to everything is no loop.
    let server = Server::start(move |_, _| refused(1));
    let model = Model::at(&server.url("/"));
    let sandbox = Sandbox::with(&[&model]);
    sandbox.write(&format!("cache/models/{}/.partial", model.sha256()), &body[..CUT]);
    sandbox.run(&["fetch"]).with(Exit::Environment).says(&["error: model 'model'", "416"]);
    sandbox.lacks(&model);
    assert!(server.gets().len() <= 5, "{} requests", server.gets().len());
}

pub fn n17_etag_changed() {
    // The beginning of another version: appended to, it would give a file that nobody published.
    let other = bytes(2, 3 * MIB);
    for obedient in [true, false] {
        let (body, other) = (body(), other.clone());
        let server = Server::start(move |request, n| match (n, request.range()) {
            (0, _) => Reply::whole(&other).header("ETag", "\"v1\"").cut(CUT),
            (_, Some(start)) if !obedient => Reply::part(&body, start).header("ETag", "\"v2\""),
            _ => Reply::honest(request, &body, Some("\"v2\"")),
        });
        let model = Model::at(&server.url("/"));
        let sandbox = Sandbox::with(&[&model]);
        sandbox.run(&["fetch"]).with(Exit::Ok);
        sandbox.has(&model);
        let gets = server.gets();
        assert_eq!(gets[1].range(), Some(CUT));
        assert_eq!(gets[1].header("if-range"), Some("\"v1\""), "only the same version may go on");
        if !obedient {
            assert_eq!(gets[2].range(), None, "the partial of the other version is dropped");
        }
    }

    // A weak tag promises no equal bytes, so nothing is resumed on its word.
    let body = body();
    let server = Server::start(move |request, n| match n {
        0 => Reply::whole(&body).header("ETag", "W/\"v1\"").cut(CUT),
        _ => Reply::honest(request, &body, Some("W/\"v1\"")),
    });
    let model = Model::at(&server.url("/"));
    let sandbox = Sandbox::with(&[&model]);
    sandbox.run(&["fetch"]).with(Exit::Ok);
    sandbox.has(&model);
    assert!(server.gets().iter().all(|get| get.header("if-range").is_none()));
}
