//! N12, N13: answers that are no file: error pages, refusals, and servers that ask for patience.

use std::time::{Duration, SystemTime};

use bitnet_runner::exit::Exit;

use crate::reply::Reply;
use crate::sandbox::{Model, Sandbox};
use crate::server::Server;

pub fn n12_no_file() {
    let page = "<html><body>Please sign in</body></html>";
    let cases: [(&str, Reply, &[&str]); 6] = [
        ("a 302 without a place", Reply::status("302 Found").header("Content-Length", 0), &["302"]),
        ("304", Reply::status("304 Not Modified"), &["304"]),
        ("204", Reply::status("204 No Content"), &["204"]),
        ("202", Reply::page("202 Accepted", "text/plain", "later"), &["202"]),
        ("a page", Reply::page("200 OK", "text/html; charset=utf-8", page), &["text/html"]),
        (
            "a page without a length",
            Reply::page("200 OK", "text/html", page).without("Content-Length"),
            &["text/html"],
        ),
    ];
    for (what, reply, parts) in cases {
        let server = Server::start(move |_, _| reply.clone());
        let model = Model::at(&server.url("/"));
        let sandbox = Sandbox::with(&[&model]);
        let ended = sandbox.run(&["fetch"]);
        assert_eq!(ended.status.code(), Some(3), "{what}: {}", ended.err);
        ended.says(&["error: model 'model'"]).says(parts);
        sandbox.lacks(&model);
        sandbox.has_no_partial(&model);
    }
    // The page's text could steer a terminal; a content type as well.
    let reply = Reply::page("200 OK", "text/\u{1b}[31mhtml", "\u{1b}[2J");
    let server = Server::start(move |_, _| reply.clone());
    let sandbox = Sandbox::with(&[&Model::at(&server.url("/"))]);
    sandbox.run(&["fetch"]).with(Exit::Environment).conceals(&["\u{1b}"]);
}

/// The answer is final: said at once, with what to do.
#[track_caller]
fn final_answer(status: &'static str, parts: &[&str]) {
    let server = Server::start(move |_, _| Reply::page(status, "text/html", "<h1>no</h1>"));
    for model in [Model::of_the_hub(), Model::at(&server.url("/x"))] {
        let sandbox = Sandbox::with(&[&model]);
        let endpoint = server.url("");
        let before = server.gets().len();
        let hub = model.entry().contains("hf =");
        let ended = sandbox
            .run_with(&["fetch"], &[("HF_ENDPOINT", &endpoint)])
            .with(Exit::Environment)
            .says(&["error: model 'model'", &status[..3]]);
        assert_eq!(ended.count("Retrying"), 0, "{}", ended.err);
        if hub {
            ended.says(parts);
        }
        assert!(server.gets().len() - before <= 1, "{status}: asked again");
        sandbox.lacks(&model);
    }
}

/// The second answer is right, and asked for by itself.
#[track_caller]
fn transient(status: &'static str, retry_after: Option<String>) -> Server {
    let body = Model::at("").bytes;
    let server = Server::start(move |request, n| match (n, &retry_after) {
        (0, None) => Reply::page(status, "text/plain", "busy"),
        (0, Some(when)) => Reply::page(status, "text/plain", "busy").header("Retry-After", when),
        _ => Reply::honest(request, &body, None),
    });
    let model = Model::at(&server.url("/"));
    let sandbox = Sandbox::with(&[&model]);
    sandbox.run(&["fetch"]).with(Exit::Ok).says(&["Retrying", &status[..3], "of 5"]);
    sandbox.has(&model);
    assert_eq!(server.gets().len(), 2);
    server
}

pub fn n13_refusals() {
    final_answer("401 Unauthorized", &["licence", "/owner/name", "HF_TOKEN"]);
    final_answer("403 Forbidden", &["licence", "/owner/name", "HF_TOKEN"]);
    final_answer("404 Not Found", &["no such file", "private repository", "HF_TOKEN"]);
    final_answer("410 Gone", &[]);
    for status in [
        "408 Request Timeout",
        "429 Too Many Requests",
        "500 Internal Server Error",
        "502 Bad Gateway",
        "503 Service Unavailable",
        "504 Gateway Timeout",
    ] {
        transient(status, None);
    }

    // The server's own pace is kept: a lower bound, whatever the machine does.
    let server = transient("429 Too Many Requests", Some("1".to_owned()));
    let gets = server.gets();
    let pause = gets[1].came - gets[0].came;
    assert!(pause >= Duration::from_secs(1), "asked again after {pause:?}");
    let date = SystemTime::now() + Duration::from_secs(2);
    let shown = httpdate::fmt_http_date(date);
    let server = transient("503 Service Unavailable", Some(shown.clone()));
    let wanted = httpdate::parse_http_date(&shown).expect("the date");
    assert!(server.gets()[1].at >= wanted, "asked again before {shown}");
    // A date that is over asks for nothing.
    transient("503 Service Unavailable", Some("Sun, 06 Nov 1994 08:49:37 GMT".to_owned()));

    // Too long to wait for: said, not slept.
    let later = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(7200));
    for when in ["3600".to_owned(), later] {
        let server = Server::start(move |_, _| {
            Reply::page("429 Too Many Requests", "text/plain", "busy").header("Retry-After", &when)
        });
        let sandbox = Sandbox::with(&[&Model::at(&server.url("/"))]);
        sandbox.run(&["fetch"]).with(Exit::Environment).says(&[
            "error: model 'model'",
            "429",
            "asks to wait",
        ]);
        assert!(server.gets().len() <= 1);
    }

    // A server that stays busy is given up after five attempts.
    let server = Server::start(|_, _| Reply::page("503 Service Unavailable", "text/plain", "busy"));
    let sandbox = Sandbox::with(&[&Model::at(&server.url("/"))]);
    sandbox.run(&["fetch"]).with(Exit::Environment).says(&[
        "error: model 'model'",
        "503",
        "5 attempts",
    ]);
    assert!(server.gets().len() <= 5, "{} requests", server.gets().len());
}
