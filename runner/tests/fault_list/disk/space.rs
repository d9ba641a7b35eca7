//! D01: a disk without room, known before or met on the way.

use std::path::Path;

use bitnet_runner::exit::Exit;

use crate::program::Running;
use crate::reply::Reply;
use crate::sandbox::{MIB, Model, Sandbox};
use crate::server::Server;
use crate::tools;

pub fn d01_no_space() {
    too_little_from_the_start();
    tools::note("D01", "a file that may not grow: RLIMIT_FSIZE");
    a_file_may_not_grow();
    if tools::may_mount("D01") {
        tools::note("D01", "a full disk: tmpfs in a name space of its own");
        the_disk_fills_up();
    }
}

/// No disk has room for this, so nothing is asked for.
fn too_little_from_the_start() {
    let server = Server::start(|_, _| {
        Reply::status("200 OK").header("Content-Length", i64::MAX).step(crate::reply::Step::Endless)
    });
    let model = Model::at(&server.url("/"));
    let sandbox = Sandbox::with(&[]);
    let entry = model.entry().replace("bytes = 3145728", &format!("bytes = {}", i64::MAX));
    sandbox.write("project/models.toml", format!("schema_version = 1\n{entry}").as_bytes());
    sandbox.run(&["fetch"]).with(Exit::Environment).says(&[
        "error: model 'model'",
        "needs",
        "free",
        "bytes",
    ]);
    assert_eq!(server.gets().len(), 0, "checked before bytes are asked for");
    sandbox.lacks(&model);
    sandbox.has_no_partial(&model);
}

/// EFBIG in the middle: what arrived is kept, and the next run goes on from there.
fn a_file_may_not_grow() {
    let body = Model::at("").bytes;
    let server = Server::start(move |request, _| Reply::honest(request, &body, Some("\"v1\"")));
    let model = Model::at(&server.url("/"));
    let sandbox = Sandbox::with(&[&model]);
    // Blocks of 512 bytes or of 1024, as the shell likes: 1 MiB or 2 MiB.
    let script = "trap '' XFSZ; ulimit -f 2048 && exec \"$0\" fetch";
    let command = sandbox.wrapped("sh", &["-c", script, env!("CARGO_BIN_EXE_parity")]);
    let ended = Running::start(command).end().with(Exit::Environment);
    sandbox.lacks(&model);
    let kept = sandbox.partial(&model).expect("the partial is kept");
    let missing = format!("{} bytes are missing", model.bytes.len() as u64 - kept);
    ended.says(&["error: model 'model'", &missing, ".partial", "parity fetch --id model"]);
    assert!(kept > 0 && kept <= 2 * MIB as u64, "{kept} bytes kept");
    let gets = server.gets().len();
    sandbox.run(&["fetch"]).with(Exit::Ok).says(&["Resuming"]);
    sandbox.has(&model);
    let start = server.gets()[gets].range().expect("resumed");
    assert!(start > 0 && start as u64 <= kept, "from {start} of {kept}");
}

/// ENOSPC in the middle: somebody else takes the room after it was checked.
fn the_disk_fills_up() {
    let body = Model::at("").bytes;
    let sandbox = Sandbox::with(&[]);
    let (begun, full) = (sandbox.path("begun"), sandbox.path("full"));
    let (says_begun, is_full) = (begun.clone(), full.clone());
    let server = Server::start(move |request, n| match n {
        0 => {
            let (says_begun, is_full) = (says_begun.clone(), is_full.clone());
            Reply::honest(request, &body, Some("\"v1\"")).hold(MIB, move || {
                let _ = std::fs::write(&says_begun, "");
                is_full.exists()
            })
        }
        _ => Reply::honest(request, &body, Some("\"v1\"")),
    });
    let model = Model::at(&server.url("/"));
    sandbox.lock(&[&model]);
    std::fs::create_dir(sandbox.cache()).expect("a mount point");
    // The room for the model and the 16 MiB that are left free, and little more.
    let script = r#"
        mount -t tmpfs -o size=22m tmpfs "$1" || exit 99
        (until [ -e "$2" ]; do sleep 0.01; done; cat /dev/zero >"$1/filler"; : >"$3") 2>/dev/null &
        "$0" fetch
        echo "first $?"
        wait
        echo "partial $(wc -c <"$1/models/$4/.partial")"
        rm "$1/filler"
        "$0" fetch >/dev/null
        echo "second $?"
        sha256sum <"$1/models/$4/model.gguf""#;
    let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let mut command = sandbox.wrapped("unshare", &["-rm", "sh", "-c", script]);
    command.arg(env!("CARGO_BIN_EXE_parity")).args([
        text(&sandbox.cache()),
        text(&begun),
        text(&full),
        model.sha256(),
    ]);
    let ended = Running::start(command).end();
    assert!(ended.out.contains("first 3\n"), "{}\n{}", ended.out, ended.err);
    let partial = ended.out.lines().find_map(|line| line.strip_prefix("partial "));
    let partial: usize = partial.and_then(|n| n.parse().ok()).expect("the partial is kept");
    assert!(partial > 0 && partial < model.bytes.len(), "{partial} bytes kept");
    let missing = format!("{} bytes are missing", model.bytes.len() - partial);
    let ended = ended.says(&["error: model 'model'", &missing, "Resuming"]);
    assert!(ended.out.contains("second 0\n"), "{}\n{}", ended.out, ended.err);
    assert!(ended.out.contains(&model.sha256()), "{}", ended.out);
    let start = server.gets()[1].range().expect("resumed");
    assert!(start > 0 && start <= partial, "from {start} of {partial}");
}
