//! N09–N11: redirects to strangers, to other schemes, and in circles.

use std::sync::{Arc, OnceLock};

use bitnet_runner::exit::Exit;

use crate::reply::Reply;
use crate::sandbox::{MIB, Model, Sandbox};
use crate::server::Server;
use crate::tls::Identity;

const TOKEN: &str = "hf_0123456789";
const CUT: usize = MIB + 12_345;

fn hub_settings(server: &Server) -> [(&'static str, String); 2] {
    [("HF_ENDPOINT", server.url("")), ("HF_TOKEN", TOKEN.to_owned())]
}

pub fn n09_the_token_stays_at_home() {
    let model = Model::of_the_hub();
    let body = model.bytes.clone();
    // Cuts once, so that a `Range` travels through the redirect as well.
    let store = Server::start(move |request, n| match n {
        0 => Reply::whole(&body).cut(CUT),
        _ => Reply::honest(request, &body, None),
    });
    // Another port and another name: each alone is another origin.
    for host in ["127.0.0.1", "localhost"] {
        let location = format!("http://{host}:{}/blob?sig=1", store.address().port());
        let hub = Server::start(move |_, _| Reply::redirect("302 Found", &location));
        let sandbox = Sandbox::with(&[&model]);
        let settings = hub_settings(&hub);
        let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, &**value)).collect();
        sandbox.run_with(&["fetch"], &settings).with(Exit::Ok).conceals(&[TOKEN]);
        sandbox.has(&model);
        let asked = hub.gets();
        assert!(!asked.is_empty());
        for request in hub.requests() {
            let wanted = format!("Bearer {TOKEN}");
            assert_eq!(request.header("authorization"), Some(&*wanted), "{}", request.method);
            let path = format!("/owner/name/resolve/{}/model.gguf", "1234567890".repeat(4));
            assert_eq!(request.target, path);
            let agent = request.header("user-agent").unwrap_or_default();
            assert!(agent.starts_with("bitnet-parity/"), "{agent}");
        }
    }
    let foreign = store.requests();
    assert!(!foreign.is_empty());
    for request in &foreign {
        assert_eq!(request.header("authorization"), None, "the token reached a stranger");
        let leak = request.target.contains(TOKEN) || request.header("cookie").is_some();
        assert!(!leak, "{}", request.target);
    }
    let ranges: Vec<_> = store.gets().iter().map(|get| get.range()).collect();
    assert_eq!(ranges, [None, Some(CUT), None], "the Range is kept");

    // A redirect to the same origin keeps the token.
    let body = model.bytes.clone();
    let hub = Server::start(move |request, _| match request.target.as_str() {
        "/moved" => Reply::honest(request, &body, None),
        _ => Reply::redirect("307 Temporary Redirect", "/moved"),
    });
    let sandbox = Sandbox::with(&[&model]);
    let settings = hub_settings(&hub);
    let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, &**value)).collect();
    sandbox.run_with(&["fetch"], &settings).with(Exit::Ok);
    sandbox.has(&model);
    assert!(hub.gets().iter().all(|get| get.header("authorization").is_some()));

    // A model behind a plain URL never sees the hub's token.
    let body = model.bytes.clone();
    let plain = Server::start(move |request, _| Reply::honest(request, &body, None));
    let sandbox = Sandbox::with(&[&Model::at(&plain.url("/"))]);
    sandbox.run_with(&["fetch"], &[("HF_TOKEN", TOKEN)]).with(Exit::Ok);
    assert!(plain.requests().iter().all(|request| request.header("authorization").is_none()));
}

pub fn n10_redirect_to_another_scheme() {
    for location in
        ["file:///etc/hostname", "ftp://127.0.0.1/model.gguf", "data:text/plain,x", "javascript:1"]
    {
        let server = Server::start(move |_, _| Reply::redirect("302 Found", location));
        let model = Model::at(&server.url("/"));
        let sandbox = Sandbox::with(&[&model]);
        let scheme = location.split(':').next().expect("a scheme");
        sandbox.run(&["fetch"]).with(Exit::Environment).says(&[
            "error: model 'model'",
            "redirect",
            scheme,
        ]);
        sandbox.lacks(&model);
        sandbox.has_no_partial(&model);
        assert!(server.requests().len() <= 2, "another attempt would give the same");
    }

    // From https down to http, to a server that would give the right bytes.
    let body = Model::at("").bytes;
    let plain = Server::start(move |request, _| Reply::honest(request, &body, None));
    let location = plain.url("/model.gguf");
    let secure =
        Server::start_tls(Identity::good(), move |_, _| Reply::redirect("302 Found", &location));
    let model = Model::at(&secure.url("/"));
    let sandbox = Sandbox::with(&[&model]);
    sandbox.run(&["fetch"]).with(Exit::Environment).says(&[
        "error: model 'model'",
        "redirect",
        "http:",
    ]);
    sandbox.lacks(&model);
    assert_eq!(plain.connections(), 0, "nothing is asked over plain http");
    assert!(!secure.requests().is_empty(), "the TLS server was reached");
}

pub fn n11_redirect_loop() {
    let server = Server::start(|_, _| Reply::redirect("302 Found", "/again"));
    let model = Model::at(&server.url("/"));
    let sandbox = Sandbox::with(&[&model]);
    sandbox.run(&["fetch"]).with(Exit::Environment).says(&["error: model 'model'", "redirect"]);
    sandbox.lacks(&model);
    let asked = server.requests().len();
    assert!(asked <= 2 * 11, "{asked} requests");

    // Two servers that send the client to each other, with another address every time.
    let second = Arc::new(OnceLock::<String>::new());
    let known = Arc::clone(&second);
    let first = Server::start(move |_, n| {
        let other = known.get().expect("the second is up");
        Reply::redirect("301 Moved Permanently", &format!("{other}/{n}"))
    });
    let back = first.url("/back");
    let other =
        Server::start(move |_, n| Reply::redirect("308 Permanent Redirect", &format!("{back}{n}")));
    second.set(other.url("")).expect("set once");
    let model = Model::at(&first.url("/"));
    let sandbox = Sandbox::with(&[&model]);
    sandbox.run(&["fetch"]).with(Exit::Environment).says(&["error: model 'model'", "redirect"]);
    let asked = first.requests().len() + other.requests().len();
    assert!((2..=2 * 11).contains(&asked), "{asked} requests");

    // Ten hops are allowed.
    let body = Model::at("").bytes;
    let server = Server::start(move |request, _| match request.target.as_str() {
        "/x/10" => Reply::honest(request, &body, None),
        "/" => Reply::redirect("302 Found", "/x/1"),
        path => {
            let hop: usize = path["/x/".len()..].parse().expect("a number");
            Reply::redirect("303 See Other", &format!("/x/{}", hop + 1))
        }
    });
    let model = Model::at(&server.url("/"));
    let sandbox = Sandbox::with(&[&model]);
    sandbox.run(&["fetch"]).with(Exit::Ok);
    sandbox.has(&model);
}
