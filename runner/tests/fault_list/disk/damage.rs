//! D05–D07, D14: a cache that other hands have changed: files, stamps, links, clocks.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::time::{Duration, SystemTime};

use bitnet_runner::exit::Exit;

use super::{fetched, honest, overwrite};
use crate::sandbox::{MIB, Model, Sandbox, bytes};

pub fn d05_damaged_files() {
    let (server, sandbox, model) = fetched();
    let place = sandbox.place(&model);
    let mut flipped = model.bytes.clone();
    flipped[MIB] ^= 0x10;
    let outside = sandbox.path("outside.gguf");
    let damage: [(&str, &dyn Fn()); 6] = [
        ("a bit", &|| overwrite(&place, &flipped)),
        ("the end", &|| overwrite(&place, &model.bytes[..MIB])),
        ("everything", &|| overwrite(&place, b"")),
        ("more bytes", &|| overwrite(&place, &[&model.bytes[..], b"x"].concat())),
        ("a folder", &|| {
            fs::remove_file(&place).expect("ours");
            fs::create_dir(&place).expect("a folder");
            fs::write(place.join("inside"), "x").expect("a file");
        }),
        ("a link to nothing", &|| {
            fs::remove_file(&place).expect("ours");
            symlink(&outside, &place).expect("a link");
        }),
    ];
    for (index, (what, damage)) in damage.iter().enumerate() {
        damage();
        let before = server.gets().len();
        let ended = sandbox.run(&["fetch"]);
        assert_eq!(ended.status.code(), Some(0), "{what}: {}", ended.err);
        ended.says(&["Quarantined"]);
        sandbox.has(&model);
        assert_eq!(server.gets().len(), before + 1, "{what}: fetched again");
        assert_eq!(sandbox.quarantined().len(), index + 1, "{what}: kept to look at");
    }
    assert!(!outside.exists(), "the link was not followed");

    // With a stamp that holds, only --verify looks. The next run has a right stamp again.
    fs::remove_file(sandbox.folder(&model).join(".verified")).expect("the stamp");
    let before = server.gets().len();
    sandbox.run(&["fetch", "--verify"]).with(Exit::Ok).says(&["Verifying"]);
    assert_eq!(server.gets().len(), before, "the right bytes are kept");
    let ended = sandbox.run(&["fetch"]).with(Exit::Ok);
    assert_eq!(ended.count("Verifying"), 0, "{}", ended.err);
    // Offline nothing can be had in its place: said, and the wrong bytes are not used.
    overwrite(&place, &flipped);
    sandbox.run(&["models", "path", "model"]).with(Exit::Environment);
    sandbox.run(&["fetch", "--offline"]).with(Exit::Environment).says(&["error: model 'model'"]);
    sandbox.run(&["fetch"]).with(Exit::Ok);
    sandbox.has(&model);
}

pub fn d06_forged_stamps() {
    let (server, sandbox, model) = fetched();
    let stamp = sandbox.folder(&model).join(".verified");
    let right = fs::read(&stamp).expect("the stamp");
    let before = server.connections();
    let size = model.bytes.len();
    let forged: [Vec<u8>; 5] = [
        b"".to_vec(),
        format!("verified-1 {size} 0 0\n").into_bytes(),
        b"verified-999 x\n".to_vec(),
        b"\xff\xfe\0".to_vec(),
        [&right[..], &vec![b' '; 5 * MIB]].concat(),
    ];
    for forged in forged {
        overwrite(&stamp, &forged);
        sandbox.run(&["fetch"]).with(Exit::Ok).says(&["Verifying"]);
        sandbox.has(&model);
        // And then it holds again.
        assert_eq!(sandbox.run(&["fetch"]).with(Exit::Ok).count("Verifying"), 0);
    }
    assert_eq!(server.connections(), before, "the right bytes were not fetched again");

    // The stamp of other bytes of the same length proves nothing about these.
    let (place, right) = (sandbox.place(&model), fs::read(&stamp).expect("the stamp"));
    let modified = fs::metadata(&place).and_then(|file| file.modified()).expect("a time");
    overwrite(&place, &bytes(2, size));
    File::open(&place).and_then(|file| file.set_modified(modified)).expect("the owner may");
    overwrite(&stamp, &right);
    sandbox.run(&["fetch"]).with(Exit::Ok).says(&["Quarantined"]);
    sandbox.has(&model);
}

pub fn d07_links() {
    // The cache itself may be a link.
    let (_server, sandbox, model) = honest();
    fs::create_dir(sandbox.path("elsewhere")).expect("a folder");
    symlink(sandbox.path("elsewhere"), sandbox.cache()).expect("a link");
    sandbox.run(&["fetch"]).with(Exit::Ok);
    sandbox.has(&model);
    assert!(sandbox.path("elsewhere/models").is_dir());

    // What is inside may not: not even to the right bytes, which somebody else could change.
    for right in [true, false] {
        let (_server, sandbox, model) = honest();
        let outside = sandbox.path("outside.gguf");
        let content = if right { model.bytes.clone() } else { b"precious".to_vec() };
        fs::write(&outside, &content).expect("a file");
        fs::create_dir_all(sandbox.folder(&model)).expect("a folder");
        symlink(&outside, sandbox.place(&model)).expect("a link");
        sandbox.run(&["fetch"]).with(Exit::Ok).says(&["Quarantined"]);
        sandbox.has(&model);
        assert!(fs::read(&outside).expect("the file") == content, "nothing outside is touched");
    }

    partial_and_stamp();
    folder_of_the_model();
}

/// `.partial` and `.verified` that lead out are neither written through nor believed.
fn partial_and_stamp() {
    for name in [".partial", ".partial.json", ".verified"] {
        let (_server, sandbox, model) = honest();
        let outside = sandbox.path("outside");
        fs::write(&outside, "precious").expect("a file");
        fs::create_dir_all(sandbox.folder(&model)).expect("a folder");
        symlink(&outside, sandbox.folder(&model).join(name)).expect("a link");
        let ended = sandbox.run(&["fetch"]);
        assert_eq!(fs::read(&outside).expect("the file"), b"precious", "{name} was followed");
        match ended.status.code() {
            Some(0) => sandbox.has(&model),
            _ => {
                ended.with(Exit::Environment).says(&["error: model 'model'", name]);
                sandbox.lacks(&model);
            }
        }
    }

    // A stamp behind a link to a right one.
    let (_server, sandbox, model) = fetched();
    let stamp = sandbox.folder(&model).join(".verified");
    let moved = sandbox.path("stamp");
    fs::rename(&stamp, &moved).expect("moved");
    symlink(&moved, &stamp).expect("a link");
    let ended = sandbox.run(&["fetch"]).with(Exit::Ok);
    ended.says(&["Verifying"]);
}

/// `<sha256>/` that leads out: refused, or put aside; nothing is written behind it.
fn folder_of_the_model() {
    let (_server, sandbox, model) = honest();
    let outside = sandbox.path("outside");
    fs::create_dir_all(&outside).expect("a folder");
    fs::create_dir_all(sandbox.cache().join("models")).expect("a folder");
    symlink(&outside, sandbox.folder(&model)).expect("a link");
    check_folder(&sandbox, &model);
    assert_eq!(fs::read_dir(&outside).expect("the folder").count(), 0, "written behind a link");

    // With a right file and a right stamp behind it.
    let (_server, sandbox, model) = fetched();
    let outside = sandbox.path("outside");
    fs::rename(sandbox.folder(&model), &outside).expect("moved");
    symlink(&outside, sandbox.folder(&model)).expect("a link");
    check_folder(&sandbox, &model);
}

#[track_caller]
fn check_folder(sandbox: &Sandbox, model: &Model) {
    let ended = sandbox.run(&["fetch"]);
    match ended.status.code() {
        Some(0) => {
            ended.says(&["Quarantined"]);
            let folder = fs::symlink_metadata(sandbox.folder(model)).expect("the folder");
            assert!(folder.is_dir(), "the link is no longer in the way");
            sandbox.has(model);
        }
        _ => {
            ended.with(Exit::Environment).says(&["error: model 'model'", "link"]);
        }
    }
}

pub fn d14_clocks() {
    let (server, sandbox, model) = fetched();
    let before = server.connections();
    let day = Duration::from_secs(86_400);
    let times = [
        ("the future", SystemTime::now() + 3650 * day),
        ("the past", SystemTime::UNIX_EPOCH + day),
        ("before 1970", SystemTime::UNIX_EPOCH - day),
    ];
    for (what, time) in times {
        let file = File::open(sandbox.place(&model)).expect("the model");
        file.set_modified(time).expect("the owner may");
        let ended = sandbox.run(&["fetch"]);
        assert_eq!(ended.status.code(), Some(0), "{what}: {}", ended.err);
        ended.says(&["Verifying"]);
        sandbox.has(&model);
        assert!(sandbox.quarantined().is_empty(), "{what}: nothing is wrong with the bytes");
    }
    let stamp = File::open(sandbox.folder(&model).join(".verified")).expect("the stamp");
    stamp.set_modified(SystemTime::now() + 3650 * day).expect("the owner may");
    sandbox.run(&["fetch"]).with(Exit::Ok);
    sandbox.has(&model);
    assert_eq!(server.connections(), before, "hashing is all that a clock may cost");

    // A partial from the future is resumed like any other: its bytes are hashed again.
    let (_server, sandbox, model) = honest();
    let partial = format!("cache/models/{}/.partial", model.sha256());
    sandbox.write(&partial, &model.bytes[..MIB]);
    let file = File::options().write(true).open(sandbox.path(&partial)).expect("the partial");
    file.set_modified(SystemTime::now() + 3650 * day).expect("the owner may");
    sandbox.run(&["fetch"]).with(Exit::Ok);
    sandbox.has(&model);
}
