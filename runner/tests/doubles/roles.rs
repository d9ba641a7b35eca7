//! What the test executable does when it runs itself again as a worker; it asserts nothing about the
//! runner's side.

use std::io::{self, Read, Write};
use std::process::exit;

use bitnet_runner::backend::protocol::{
    Answer, FrameReader, MAGIC, Request, VERSION, build_id, encode_head, write_frame,
};
use bitnet_runner::backend::serve::{claim_stdout, serve, serve_stdio};
use bitnet_runner::backend::worker::{WorkerBackend, WorkerSpec};
use bitnet_runner::backend::{Backend, Feed, Identity};

use super::engine::{Double, NAME, fault, hang, log, model};
#[cfg(target_os = "linux")]
use super::memory;

/// Environment variable that makes the test executable a double; its value is the role.
pub const ROLE: &str = "WORKER_TEST_ROLE";

/// A specification of the double in `role`.
pub fn spec(role: &str) -> WorkerSpec {
    WorkerSpec {
        name: NAME.to_owned(),
        program: std::env::current_exe().expect("the test executable's path"),
        args: Vec::new(),
        env: vec![
            (ROLE.into(), role.into()),
            // Otherwise a panic's frames depend on who runs the tests.
            ("RUST_BACKTRACE".into(), "0".into()),
        ],
        build: Some(build_id()),
        remedy: "run the tests".to_owned(),
        handshake_seconds: 60,
        request_seconds: 60,
    }
}

/// What the test executable does as a double.
pub fn play(role: &str) -> io::Result<()> {
    match role {
        "engine" => {
            let output = claim_stdout()?;
            let mut double = Double::new(Some(output.try_clone()?));
            serve(&mut double, io::stdin().lock(), output)
        }
        "stdio" => serve_stdio(|| {
            let _ = writeln!(io::stdout(), "a library greets on standard output");
            Double::new(None)
        }),
        "mute" => hang(),
        "closed-output" => {
            drop(claim_stdout()?);
            log("closed it");
            hang()
        }
        "no-worker" => writeln!(io::stdout(), "usage: something else"),
        "crash-at-start" => {
            log("cannot find libsomething.so");
            exit(127)
        }
        "other-version" => greet(|head| {
            head[MAGIC.len()..][..4].copy_from_slice(&(VERSION + 1).to_le_bytes());
        }),
        "other-build" => introduce(NAME, "0.0.9-0123456789abcdef"),
        // A program that is another one, or finds another model, each time it is started.
        "other-engine" => {
            let mut double = Double::new(None);
            double.identity.version = std::process::id().to_string();
            serve(&mut double, io::stdin().lock(), claim_stdout()?)
        }
        "other-model" => {
            let mut double = Double::new(None);
            double.eos = Some(std::process::id());
            serve(&mut double, io::stdin().lock(), claim_stdout()?)
        }
        "deaf" => {
            let mut input = [0; 1 << 10];
            let mut output = claim_stdout()?;
            let double = Double::new(None);
            let hello = Answer::Hello { identity: double.identity().clone(), build: build_id() };
            let facts = Answer::Opened { vocab_size: 4, context_length: 8, bos: None, eos: None };
            for (id, answer) in [(1, hello), (2, facts)] {
                // One read is one small request: the runner sends the next after the answer.
                let _ = io::stdin().lock().read(&mut input)?;
                let head = encode_head(id, &answer, &[]).map_err(io::Error::other)?;
                write_frame(&mut output, &head, &[])?;
            }
            hang()
        }
        "other-name" => introduce("stranger", &build_id()),
        "lingers" => {
            let served = serve(&mut Double::new(None), io::stdin().lock(), claim_stdout()?);
            log("not leaving");
            served.and_then(|()| hang())
        }
        "leaves-with-5" => {
            serve(&mut Double::new(None), io::stdin().lock(), claim_stdout()?)?;
            log("could not say goodbye");
            exit(5)
        }
        // A runner that is about to be killed: it says which worker it waits for.
        "runner" => {
            let mut worker = WorkerBackend::start(spec("stdio")).map_err(io::Error::other)?;
            worker.open(&model(4)).map_err(io::Error::other)?;
            writeln!(io::stdout(), "{}", worker.process_id().unwrap_or(0))?;
            let lost = worker.logits(&[fault::HANG], Feed::Prefill).map(drop);
            lost.map_err(io::Error::other)
        }
        #[cfg(target_os = "linux")]
        "short-of-memory" => memory::decode_lies(),
        other => Err(io::Error::other(format!("no role {other:?}"))),
    }
}

fn introduce(name: &str, build: &str) -> io::Result<()> {
    let mut output = claim_stdout()?;
    let identity = Identity { name: name.to_owned(), ..Double::new(None).identity().clone() };
    let answer = Answer::Hello { identity, build: build.to_owned() };
    let head = encode_head(1, &answer, &[]).map_err(io::Error::other)?;
    write_frame(&mut output, &head, &[])?;
    hang()
}

fn greet(change: impl FnOnce(&mut [u8])) -> io::Result<()> {
    let mut output = claim_stdout()?;
    let request = FrameReader::new(io::stdin().lock()).read::<Request>(0);
    assert!(matches!(request, Ok(Some(message)) if message.body == Request::Hello {}));
    let identity = Double::new(None).identity().clone();
    let answer = Answer::Hello { identity, build: build_id() };
    let mut head = encode_head(1, &answer, &[]).map_err(io::Error::other)?;
    change(&mut head);
    write_frame(&mut output, &head, &[])?;
    hang()
}
