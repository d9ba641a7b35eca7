//! D01–D14: what disks, file systems, other tools and power cuts do to the cache.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use bitnet_runner::exit::Exit;

use crate::reply::Reply;
use crate::sandbox::{Model, Sandbox};
use crate::server::Server;

pub mod access;
pub mod damage;
pub mod kills;
pub mod mapped;
pub mod places;
pub mod space;

/// An honest server with a model, and a sandbox that locks it.
fn honest() -> (Server, Sandbox, Model) {
    let body = Model::at("").bytes;
    let server = Server::start(move |request, _| Reply::honest(request, &body, Some("\"v1\"")));
    let model = Model::at(&server.url("/model.gguf"));
    (server, Sandbox::with(&[&model]), model)
}

/// The same, fetched.
fn fetched() -> (Server, Sandbox, Model) {
    let (server, sandbox, model) = honest();
    sandbox.run(&["fetch"]).with(Exit::Ok);
    sandbox.has(&model);
    (server, sandbox, model)
}

/// Writes over a protected file in place.
fn overwrite(path: &Path, bytes: &[u8]) {
    fs::set_permissions(path, Permissions::from_mode(0o644)).expect("the owner may");
    fs::write(path, bytes).expect("written over");
    fs::set_permissions(path, Permissions::from_mode(0o444)).expect("the owner may");
}
