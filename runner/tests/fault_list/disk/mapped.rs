//! D08, D09: a cache that is removed or replaced while its files are in use.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bitnet_engine::gguf::GgufFile;
use bitnet_runner::exit::Exit;

use crate::program::Running;
use crate::reply::Reply;
use crate::sandbox::{MIB, Model, Sandbox};
use crate::server::Server;

/// The smallest synthetic model of the shipped lock, with its real bytes: it can be mapped.
fn mappable() -> (Sandbox, Model) {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models.toml");
    let shipped = fs::read_to_string(shipped).expect("the shipped lock");
    let entry = shipped.split("[[model]]").find(|entry| entry.contains("id = \"tiny-i2s-q6k\""));
    let entry = entry.expect("the tiny model").split("\n\n").next().expect("its lines");
    let sandbox = Sandbox::with(&[]);
    let lock = format!("schema_version = 1\n[[model]]{entry}\n");
    sandbox.write("project/models.toml", lock.as_bytes());
    let ended = sandbox.run(&["fetch"]).with(Exit::Ok).says(&["Making"]);
    let bytes = fs::read(ended.out.trim_end()).expect("the made model");
    let source = entry.lines().find_map(|line| line.strip_prefix("source = "));
    let model = Model::new("tiny-i2s-q6k", bytes, source.expect("its source"));
    sandbox.has(&model);
    (sandbox, model)
}

/// The bytes of all tensors, read through the mapping.
fn tensors(file: &GgufFile) -> Vec<u8> {
    file.tensors().iter().flat_map(|tensor| file.data(tensor)).copied().collect()
}

pub fn d08_removed_during_the_run() {
    let (sandbox, model) = mappable();
    let place = sandbox.place(&model);
    let mapped = GgufFile::open(&place).expect("the model is mapped");
    let before = tensors(&mapped);
    sandbox.remove_cache();
    assert!(tensors(&mapped) == before, "a mapping outlives the name");
    let error = GgufFile::open(&place).expect_err("it is gone").to_string();
    assert!(error.contains("model.gguf"), "{error}");
    sandbox
        .run(&["models", "path", "tiny-i2s-q6k"])
        .with(Exit::Environment)
        .says(&["parity fetch --id tiny-i2s-q6k"]);
    sandbox.run(&["fetch"]).with(Exit::Ok);
    sandbox.has(&model);

    // Removed under a download: it ends with an error or with the file, and the next run completes.
    let gate = Arc::new(AtomicBool::new(false));
    let (body, open) = (Model::at("").bytes, Arc::clone(&gate));
    let server = Server::start(move |request, _| {
        let open = Arc::clone(&open);
        Reply::honest(request, &body, None).hold(MIB, move || open.load(Ordering::SeqCst))
    });
    let model = Model::at(&server.url("/"));
    let sandbox = Sandbox::with(&[&model]);
    let running = Running::start(sandbox.command(&["fetch"]));
    server.wait_for_sent(MIB);
    sandbox.remove_cache();
    gate.store(true, Ordering::SeqCst);
    let ended = running.end();
    match ended.status.code() {
        Some(0) => sandbox.has(&model),
        _ => {
            ended.with(Exit::Environment).says(&["error: model 'model'"]);
        }
    }
    sandbox.run(&["fetch"]).with(Exit::Ok);
    sandbox.has(&model);
}

pub fn d09_replaced_while_mapped() {
    let (sandbox, model) = mappable();
    let place = sandbox.place(&model);
    let mode = fs::metadata(&place).expect("the model").permissions().mode() & 0o777;
    assert_eq!(mode, 0o444, "nobody cuts it under its readers by mistake");
    let mapped = GgufFile::open(&place).expect("the model is mapped");
    let before = tensors(&mapped);
    let other = sandbox.path("other");
    fs::write(&other, vec![0; model.bytes.len()]).expect("other bytes");
    fs::rename(&other, &place).expect("replaced");
    assert!(tensors(&mapped) == before, "the mapping is of the old file");
    // A new file in its place, and not the old one written over.
    sandbox.run(&["fetch"]).with(Exit::Ok).says(&["Quarantined", "Making"]);
    sandbox.has(&model);
    assert!(tensors(&mapped) == before, "the mapping is of the old file");
    let again = GgufFile::open(&place).expect("the new one is mapped");
    assert!(tensors(&again) == before, "the same bytes");
}
