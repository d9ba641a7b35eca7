//! The store as a library, on a disk that records what is done or has no locks: what D04 and C04 can
//! assert on a machine without a tracer. `tests/store` goes deeper.

use std::sync::Arc;
use std::thread;

use bitnet_runner::models::disk::Disk;
use bitnet_runner::models::{FetchOptions, LockedModel, ModelLock, Store};

use crate::double::Double;
use crate::sandbox::{Model, Sandbox};

/// A sandbox whose model is a file of this machine.
fn sandbox() -> (Sandbox, Model, LockedModel) {
    let sandbox = Sandbox::with(&[]);
    let model = Model::at(&format!("file://{}", sandbox.path("source").display()));
    sandbox.write("source", &model.bytes);
    sandbox.lock(&[&model]);
    let lock = ModelLock::read(&sandbox.path("project/models.toml"));
    let locked = lock.unwrap_or_else(|error| panic!("{error}")).models()[0].clone();
    (sandbox, model, locked)
}

fn fetch(disk: Arc<dyn Disk>, sandbox: &Sandbox, locked: &LockedModel) {
    let store = Store::on(disk, sandbox.cache(), sandbox.path("project"));
    let fetched = store.fetch(locked, &FetchOptions::default(), &|_| ());
    fetched.unwrap_or_else(|error| panic!("{error}"));
}

/// Each name is given after its bytes are durable, and the stamp after the name is.
pub fn order() {
    let (sandbox, model, locked) = sandbox();
    let disk = Arc::new(Double::new());
    fetch(Arc::clone(&disk) as _, &sandbox, &locked);
    sandbox.has(&model);
    let done = disk.done.lock().expect("no panic");
    let mut from = 0;
    for step in [
        "sync .partial",
        "rename to model.gguf",
        "sync folder",
        "sync .verified.new",
        "rename to .verified",
        "sync folder",
    ] {
        let place = done[from..].iter().position(|other| other == step);
        from +=
            place.unwrap_or_else(|| panic!("no `{step}` behind {:?}: {done:?}", &done[..from])) + 1;
    }
}

/// Without locks several downloads at once still give the one right file.
pub fn no_locks() {
    let (sandbox, model, locked) = sandbox();
    let code = rustix::io::Errno::NOTSUP.raw_os_error();
    let disk = Arc::new(Double { lock_error: Some(code), ..Double::new() });
    thread::scope(|scope| {
        for _ in 0..4 {
            let disk = Arc::clone(&disk) as _;
            scope.spawn(|| fetch(disk, &sandbox, &locked));
        }
    });
    sandbox.has(&model);
}
