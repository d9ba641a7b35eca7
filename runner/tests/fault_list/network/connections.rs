//! N14–N16: wires that stall, names that lead nowhere, certificates that prove nothing, proxies.

use std::net::TcpListener;
use std::time::Duration;

use bitnet_runner::exit::Exit;

use crate::reply::{Reply, Step};
use crate::sandbox::{MIB, Model, Sandbox, files};
use crate::server::Server;
use crate::tls::Identity;

const CUT: usize = MIB + 12_345;
const IMPATIENT: (&str, &str) = ("HF_HUB_DOWNLOAD_TIMEOUT", "1");

pub fn n14_stalls() {
    // Nothing more comes; or one byte now and then, for ever.
    for drip in [false, true] {
        let body = Model::at("").bytes;
        let server = Server::start(move |request, n| match (n, drip) {
            (0, false) => Reply::whole(&body).cut(CUT).stall(),
            (0, true) => Reply::whole(&body).drip(CUT, Duration::from_millis(50)),
            _ => Reply::honest(request, &body, None),
        });
        let model = Model::at(&server.url("/"));
        let sandbox = Sandbox::with(&[&model]);
        sandbox.run_with(&["fetch"], &[IMPATIENT]).with(Exit::Ok).says(&["Retrying", "of 5"]);
        sandbox.has(&model);
        let gets = server.gets();
        assert_eq!(gets.len(), 2);
        assert!(gets[1].range() >= Some(CUT), "resumed: {:?}", gets[1].range());
    }

    // A server that takes the request and says nothing.
    let body = Model::at("").bytes;
    let server = Server::start(move |request, n| match n {
        0 => Reply::silence(),
        _ => Reply::honest(request, &body, None),
    });
    let model = Model::at(&server.url("/"));
    let sandbox = Sandbox::with(&[&model]);
    let settings = [IMPATIENT, ("HF_HUB_ETAG_TIMEOUT", "1")];
    sandbox.run_with(&["fetch"], &settings).with(Exit::Ok).says(&["Retrying", "no answer from"]);
    sandbox.has(&model);
}

/// The complaint about a model at `url`, on one line.
#[track_caller]
fn failing(url: &str, settings: &[(&str, &str)], parts: &[&str]) {
    let model = Model::at(url);
    let sandbox = Sandbox::with(&[&model]);
    let ended = sandbox.run_with(&["fetch", "--allow-http"], settings).with(Exit::Environment);
    let error = ended.err.lines().find(|line| line.starts_with("error: model 'model'"));
    let error = error.unwrap_or_else(|| panic!("no error line in:\n{}", ended.err));
    for part in parts {
        assert!(error.contains(part), "`{part}` is not in the line:\n{error}\nof:\n{}", ended.err);
    }
    sandbox.lacks(&model);
}

pub fn n15_no_way_to_the_server() {
    // No label of a name has more than 63 characters, so that no resolver is asked.
    let name = format!("{}.test", "x".repeat(64));
    failing(&format!("http://{name}/model.gguf"), &[], &["dns error", "HTTPS_PROXY"]);

    let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port");
    failing(&format!("http://{port}/"), &[], &["refused"]);

    let body = Model::at("").bytes;
    let serving = move |identity| {
        let body = body.clone();
        Server::start_tls(identity, move |request, _| Reply::honest(request, &body, None))
    };
    let good = serving(Identity::good());
    let model = Model::at(&good.url("/"));
    let sandbox = Sandbox::with(&[&model]);
    sandbox.run(&["fetch"]).with(Exit::Ok);
    sandbox.has(&model);

    let expired = serving(Identity::expired());
    failing(&expired.url("/"), &[], &["certificate", "xpired"]);
    let stranger = serving(Identity::stranger());
    failing(&stranger.url("/"), &[], &["certificate", "SSL_CERT_FILE"]);
    // Good, but for another name.
    let address = good.address();
    let proxy = Server::start(move |_, _| Reply::status("200 OK").step(Step::Tunnel(address)));
    let settings = [("HTTPS_PROXY", &*proxy.url(""))];
    failing("https://other.test/model.gguf", &settings, &["certificate", "other.test"]);
    assert!(proxy.connections() > 0, "the proxy led to the server");
    for server in [expired, stranger] {
        assert!(server.connections() > 0 && server.requests().is_empty(), "nothing was asked");
    }

    // TLS spoken to a server that speaks none.
    let plain = Server::start(|_, _| Reply::whole(b"x"));
    failing(&plain.url("/").replace("http:", "https:"), &[], &[]);

    // A machine without authorities.
    let sandbox = Sandbox::with(&[]);
    sandbox.write("empty.pem", b"");
    std::fs::create_dir(sandbox.path("none")).expect("a folder");
    let (file, folder) = (sandbox.path("empty.pem"), sandbox.path("none"));
    let settings = [
        ("SSL_CERT_FILE", file.to_str().expect("UTF-8")),
        ("SSL_CERT_DIR", folder.to_str().expect("UTF-8")),
    ];
    failing(&good.url("/"), &settings, &["SSL_CERT_FILE", "ca-certificates"]);
}

const TOKEN: &str = "hf_SecretToken42";
const PASSWORD: &str = "Pr0xyPassw0rd";
/// `user:Pr0xyPassw0rd` in base 64.
const BASIC: &str = "dXNlcjpQcjB4eVBhc3N3MHJk";
const SIGNATURE: &str = "SignedQuery77";
const SECRETS: [&str; 4] = [TOKEN, PASSWORD, BASIC, SIGNATURE];

/// Asserts that no file of the sandbox holds a secret.
#[track_caller]
fn no_file_holds_a_secret(sandbox: &Sandbox) {
    for folder in [sandbox.cache(), sandbox.path("home"), sandbox.path("tmp")] {
        for path in files(&folder).into_iter().filter(|path| path.is_file()) {
            let bytes = std::fs::read(&path).expect("a file");
            for secret in SECRETS {
                let held = bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
                assert!(!held, "{} holds {secret}", path.display());
            }
        }
    }
}

pub fn n16_proxies_and_secrets() {
    // Through a proxy that wants a password, to a host that only it knows.
    let url = "http://models.test/model.gguf";
    let model = Model::at(url);
    let body = model.bytes.clone();
    let proxy = Server::start(move |request, _| {
        match request.header("proxy-authorization").is_some_and(|all| all.ends_with(BASIC)) {
            true => Reply::honest(request, &body, None),
            false => Reply::page("407 Proxy Authentication Required", "text/html", "no"),
        }
    });
    let knows = proxy.url("").replace("http://", &format!("http://user:{PASSWORD}@"));
    let sandbox = Sandbox::with(&[&model]);
    let settings = [("HTTP_PROXY", &*knows), ("HF_TOKEN", TOKEN)];
    let args = ["fetch", "--allow-http"];
    sandbox.run_with(&args, &settings).with(Exit::Ok).conceals(&SECRETS);
    sandbox.has(&model);
    no_file_holds_a_secret(&sandbox);
    assert!(proxy.gets().iter().all(|get| get.target == url), "asked in absolute form");

    // The wrong password.
    let wrong = proxy.url("").replace("http://", &format!("http://user:{PASSWORD}x@"));
    let sandbox = Sandbox::with(&[&model]);
    sandbox
        .run_with(&args, &[("HTTP_PROXY", &*wrong)])
        .with(Exit::Environment)
        .says(&["error: model 'model'", "407", "_PROXY"])
        .conceals(&SECRETS);
    no_file_holds_a_secret(&sandbox);

    // Without --allow-http no proxy is asked either.
    let before = proxy.connections();
    let sandbox = Sandbox::with(&[&model]);
    sandbox
        .run_with(&["fetch"], &settings)
        .with(Exit::Environment)
        .says(&["error: model 'model'", "--allow-http"]);
    assert_eq!(proxy.connections(), before, "refused before a socket is opened");

    // https goes through CONNECT; what the proxy passes on, it cannot read.
    let body = model.bytes.clone();
    let secure =
        Server::start_tls(Identity::good(), move |request, _| Reply::honest(request, &body, None));
    let target = secure.address();
    let connecting = Server::start(move |request, _| {
        match request.header("proxy-authorization").is_some_and(|all| all.ends_with(BASIC)) {
            true => Reply::status("200 OK").step(Step::Tunnel(target)),
            false => Reply::page("407 Proxy Authentication Required", "text/html", "no"),
        }
    });
    let model = Model::at("https://models.test/model.gguf");
    let sandbox = Sandbox::with(&[&model]);
    let knows = connecting.url("").replace("http://", &format!("http://user:{PASSWORD}@"));
    sandbox.run_with(&["fetch"], &[("HTTPS_PROXY", &knows)]).with(Exit::Ok).conceals(&SECRETS);
    sandbox.has(&model);
    assert!(connecting.requests().iter().all(|request| request.method == "CONNECT"));
    assert!(!connecting.requests().is_empty());
    let sandbox = Sandbox::with(&[&model]);
    sandbox
        .run_with(&["fetch"], &[("HTTPS_PROXY", &connecting.url(""))])
        .with(Exit::Environment)
        .says(&["error: model 'model'", "proxy", "credentials", "HTTPS_PROXY"]);

    // NO_PROXY names the host: the proxy is left alone.
    let body = model.bytes.clone();
    let direct = Server::start(move |request, _| Reply::honest(request, &body, None));
    let model = Model::at(&direct.url("/"));
    let sandbox = Sandbox::with(&[&model]);
    let before = proxy.connections();
    let settings = [("HTTP_PROXY", &*proxy.url("")), ("NO_PROXY", "127.0.0.1")];
    sandbox.run_with(&["fetch"], &settings).with(Exit::Ok);
    sandbox.has(&model);
    assert_eq!(proxy.connections(), before);

    signed_addresses_stay_secret();
}

/// A hub that redirects to signed addresses, which fail in every way.
fn signed_addresses_stay_secret() {
    let model = Model::of_the_hub();
    let (body, junk) = (model.bytes.clone(), vec![b'x'; model.bytes.len()]);
    let store = Server::start(move |request, n| {
        match request.target.split('?').next().unwrap_or_default() {
            "/forbidden" => Reply::page("403 Forbidden", "application/xml", SIGNATURE),
            "/broken" => Reply::page("500 Internal Server Error", "text/plain", "x"),
            "/junk" => Reply::whole(&junk),
            "/loop" => Reply::redirect("302 Found", &format!("/loop?X-Signature={SIGNATURE}{n}")),
            "/ftp" => {
                Reply::redirect("302 Found", &format!("ftp://user:{SIGNATURE}@h/{SIGNATURE}"))
            }
            "/short" => Reply::whole(&body[..10]),
            _ => Reply::honest(request, &body, Some("\"v1\"")).cut(CUT).reset(),
        }
    });
    for path in ["/forbidden", "/broken", "/junk", "/loop", "/ftp", "/short", "/cut"] {
        let location = format!("{}?X-Signature={SIGNATURE}&token={TOKEN}", store.url(path));
        let hub = Server::start(move |_, _| Reply::redirect("302 Found", &location));
        let sandbox = Sandbox::with(&[&model]);
        let settings = [("HF_ENDPOINT", &*hub.url("")), ("HF_TOKEN", TOKEN)];
        let ended = sandbox.run_with(&["fetch"], &settings).conceals(&SECRETS);
        assert!(ended.status.code() == Some(3) || path == "/cut", "{path}: {}", ended.err);
        no_file_holds_a_secret(&sandbox);
    }
    // A store that cannot be reached.
    let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port");
    let location = format!("http://{port}/x?X-Signature={SIGNATURE}");
    let hub = Server::start(move |_, _| Reply::redirect("302 Found", &location));
    let sandbox = Sandbox::with(&[&model]);
    let settings = [("HF_ENDPOINT", &*hub.url("")), ("HF_TOKEN", TOKEN)];
    sandbox.run_with(&["fetch"], &settings).with(Exit::Environment).conceals(&SECRETS);
    // A token that would break a header is refused, not shown.
    let broken = format!("{TOKEN}\u{1}");
    let settings = [("HF_ENDPOINT", &*hub.url("")), ("HF_TOKEN", &*broken)];
    sandbox
        .run_with(&["fetch"], &settings)
        .with(Exit::Environment)
        .says(&["HF_TOKEN"])
        .conceals(&SECRETS);
}
