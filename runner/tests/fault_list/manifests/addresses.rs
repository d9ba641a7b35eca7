//! P08: addresses of other schemes, with passwords, in plain text, and of files.

use std::fs;

use bitnet_runner::exit::Exit;

use super::lock_refused;
use crate::reply::Reply;
use crate::sandbox::{Model, Sandbox, bytes};
use crate::server::Server;

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
    sandbox.remove_cache();
    sandbox.run(&["fetch"]).with(Exit::Environment).says(&["error: model 'model'", "sha256"]);
    sandbox.lacks(&model);
}
