//! Worker programs for the tests: a tiny deterministic engine, and ways to misbehave. They compute
//! no model; the test executable runs itself again with [`ROLE`] set to become one of them.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::{Command, exit};
use std::time::Duration;

use bitnet_runner::backend::protocol::{
    Answer, Array, FrameReader, MAGIC, Request, VERSION, build_id, encode_head, write_frame,
};
use bitnet_runner::backend::serve::{claim_stdout, serve, serve_stdio};
use bitnet_runner::backend::worker::{WorkerBackend, WorkerSpec};
use bitnet_runner::backend::{
    Backend, BackendError, Feed, Generation, Identity, Logits, ModelFacts, NamedTensor,
    OpenRequest, TokenizeOptions,
};

#[cfg(target_os = "linux")]
mod memory;

/// Environment variable that makes the test executable a double; its value is the role.
pub const ROLE: &str = "WORKER_TEST_ROLE";

/// The double's engine name.
pub const NAME: &str = "double";

/// Ids that make `logits` misbehave instead of answering, where they come first.
pub mod fault {
    pub const ABORT: u32 = 1_000_000;
    pub const EXIT_3: u32 = 1_000_001;
    pub const EXIT_0: u32 = 1_000_002;
    pub const HANG: u32 = 1_000_003;
    pub const PANIC: u32 = 1_000_004;
    pub const GARBAGE: u32 = 1_000_005;
    pub const TRUNCATED: u32 = 1_000_006;
    pub const OVERSIZED: u32 = 1_000_007;
    pub const OTHER_VERSION: u32 = 1_000_008;
    pub const TOO_FEW: u32 = 1_000_009;
    pub const OTHER_VOCABULARY: u32 = 1_000_010;
    pub const OTHER_NUMBER: u32 = 1_000_011;
    pub const OTHER_ANSWER: u32 = 1_000_012;
    pub const REFUSE: u32 = 1_000_013;
    pub const UNAVAILABLE: u32 = 1_000_014;
    pub const PRINT: u32 = 1_000_015;
    pub const CHATTER: u32 = 1_000_016;
    pub const HANG_WITH_CHILD: u32 = 1_000_017;
    pub const SEND_TWICE: u32 = 1_000_018;
}

/// A backend whose outputs depend on its inputs alone.
pub struct Double {
    identity: Identity,
    model: Option<OpenRequest>,
    eos: Option<u32>,
    /// Where frames go, for the faults that write there; none in the test's own process.
    frames: Option<File>,
}

impl Double {
    pub fn new(frames: Option<File>) -> Double {
        let identity = Identity {
            name: NAME.to_owned(),
            version: "1.2.3".to_owned(),
            source: "runner/tests/doubles".to_owned(),
            build: "test".to_owned(),
        };
        Double { identity, model: None, eos: None, frames }
    }

    fn vocab_size(&self) -> Result<usize, BackendError> {
        // A double's model is the size of its vocabulary, written as a file name.
        let model = self.model.as_ref().and_then(|open| open.model.file_stem()?.to_str());
        model
            .and_then(|stem| stem.parse().ok())
            .ok_or_else(|| BackendError::Refused("double: no model is open".to_owned()))
    }

    fn send_raw(&mut self, bytes: &[u8]) {
        let frames = self.frames.as_mut().expect("a fault happens in a process of its own");
        frames.write_all(bytes).expect("the runner reads");
    }

    fn misbehave(&mut self, fault: u32, logits: &mut Logits) -> Result<(), BackendError> {
        let head = |id| {
            let answer = Answer::Logits { vocab_size: logits.vocab_size as u64 };
            encode_head(id, &answer, &[Array::F32(vec![])]).expect("a small head")
        };
        match fault {
            fault::ABORT => {
                log("ggml.c:1: GGML_ASSERT(false) failed");
                log("worker(+0x1234)[0x55d0c0ffee00]");
                std::process::abort();
            }
            fault::EXIT_3 => {
                log("leaving with 3");
                exit(3);
            }
            fault::EXIT_0 => exit(0),
            fault::HANG => {
                log("entering an endless loop");
                hang();
            }
            fault::HANG_WITH_CHILD => {
                let mut child = Command::new("sleep").arg("1000").spawn().expect("sleep");
                log(&format!("child {}", child.id()));
                let _ = child.wait();
                hang();
            }
            fault::PANIC => panic!("the double panics"),
            fault::GARBAGE => self.send_raw(b"llm_load_print_meta: \x1b[1mn_vocab\n"),
            fault::TRUNCATED => {
                let mut bytes = head(0);
                bytes.extend(32_u64.to_le_bytes());
                bytes.extend([1; 10]);
                self.send_raw(&bytes);
                exit(0);
            }
            fault::OVERSIZED => {
                let mut bytes = head(0);
                bytes.extend(u64::MAX.to_le_bytes());
                self.send_raw(&bytes);
                hang();
            }
            fault::OTHER_VERSION => {
                let mut bytes = head(0);
                bytes[MAGIC.len()..][..4].copy_from_slice(&(VERSION + 1).to_le_bytes());
                self.send_raw(&bytes);
                hang();
            }
            fault::TOO_FEW => drop(logits.values.pop()),
            fault::OTHER_VOCABULARY => logits.vocab_size += 1,
            fault::OTHER_NUMBER => {
                let mut bytes = head(999);
                bytes.extend(0_u64.to_le_bytes());
                self.send_raw(&bytes);
            }
            fault::OTHER_ANSWER => {
                // `logits` is the third request in the tests that use this: hello, open, logits.
                let bytes = encode_head(3, &Answer::Ids {}, &[Array::U32(vec![])]);
                self.send_raw(&[bytes.expect("a small head"), vec![0; 8]].concat());
            }
            fault::SEND_TWICE => {
                let bytes = encode_head(3, &Answer::Refused { message: "first".to_owned() }, &[]);
                self.send_raw(&bytes.expect("a small head"));
            }
            fault::REFUSE => return Err(BackendError::Refused("double: not this".to_owned())),
            fault::UNAVAILABLE => {
                return Err(BackendError::Unavailable {
                    what: "double: no such thing".to_owned(),
                    remedy: "make one".to_owned(),
                });
            }
            fault::PRINT => {
                let mut stdout = io::stdout();
                writeln!(stdout, "printed to standard output").expect("it is standard error");
            }
            fault::CHATTER => {
                for line in 0..2000 {
                    log(&format!("chatter {line} {}", "x".repeat(1000)));
                }
                log(&"y".repeat(100_000));
            }
            _ => {}
        }
        Ok(())
    }
}

/// Any bit pattern, among them NaNs with payloads: one in 256 has an exponent of all ones.
pub fn logit(ids: &[u32], row: usize, column: usize) -> f32 {
    let mut bits = 0x9E37_79B9_u32;
    for part in [ids[row], row as u32, column as u32] {
        bits = (bits ^ part).wrapping_mul(0x85EB_CA6B).rotate_left(13);
    }
    f32::from_bits(if column == 0 { bits | 0x7F80_0001 } else { bits })
}

impl Backend for Double {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn open(&mut self, request: &OpenRequest) -> Result<ModelFacts, BackendError> {
        if !request.model.is_absolute() {
            return Err(BackendError::Refused("double: wants an absolute path".to_owned()));
        }
        self.model = Some(request.clone());
        let vocab_size = self.vocab_size().inspect_err(|_| self.model = None)?;
        Ok(ModelFacts {
            vocab_size,
            context_length: request.context,
            bos: Some(request.threads as u32),
            eos: self.eos,
        })
    }

    fn tokenize(&mut self, text: &str, options: TokenizeOptions) -> Result<Vec<u32>, BackendError> {
        let bos = [u32::MAX];
        let bytes = text.bytes().map(u32::from);
        Ok(bos.into_iter().filter(|_| options.add_special).chain(bytes).collect())
    }

    fn detokenize(&mut self, ids: &[u32]) -> Result<Vec<u8>, BackendError> {
        Ok(ids.iter().map(|&id| id as u8).collect())
    }

    fn logits(&mut self, ids: &[u32], _feed: Feed) -> Result<Logits, BackendError> {
        let vocab_size = self.vocab_size()?;
        let cells = (0..ids.len()).flat_map(|row| (0..vocab_size).map(move |column| (row, column)));
        let values = cells.map(|(row, column)| logit(ids, row, column)).collect();
        let mut logits = Logits { vocab_size, values };
        if let Some(&fault) = ids.first() {
            self.misbehave(fault, &mut logits)?;
        }
        Ok(logits)
    }

    fn generate(&mut self, prompt: &[u32], steps: usize) -> Result<Generation, BackendError> {
        let vocab_size = self.vocab_size()?;
        let values = (0..steps * vocab_size).map(|at| at as f32).collect();
        let mut ids = vec![vocab_size as u32 - 1; steps];
        if prompt == [fault::OTHER_VOCABULARY] {
            ids[0] += 1;
        }
        let mut nanos: Vec<u64> = (0..steps as u64).map(|step| u64::MAX - step).collect();
        if prompt == [fault::TOO_FEW] {
            nanos.pop();
        }
        Ok(Generation { ids, logits: Logits { vocab_size, values }, nanos })
    }

    fn tap(&mut self, ids: &[u32], names: &[String]) -> Result<Vec<NamedTensor>, BackendError> {
        let tensor = |(occurrence, name): (usize, &String)| {
            let shape = [ids.len(), 2, 1, 1];
            let values = (0..2 * ids.len()).map(|at| at as f32 + occurrence as f32).collect();
            NamedTensor { name: name.clone(), occurrence, shape, values }
        };
        let mut tensors: Vec<NamedTensor> = names.iter().enumerate().map(tensor).collect();
        match ids.first() {
            Some(&fault::TOO_FEW) => tensors[0].shape[0] += 1,
            Some(&fault::OTHER_ANSWER) => tensors[0].name = "another".to_owned(),
            _ => {}
        }
        Ok(tensors)
    }
}

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

/// The double's model with a vocabulary of `size`.
pub fn model(size: usize) -> OpenRequest {
    let model = PathBuf::from(format!("{size}.gguf"));
    OpenRequest { model, context: 4096, threads: 2, isa: None }
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
            let hello = Answer::Hello { identity: double.identity, build: build_id() };
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
    let identity = Identity { name: name.to_owned(), ..Double::new(None).identity };
    let answer = Answer::Hello { identity, build: build.to_owned() };
    let head = encode_head(1, &answer, &[]).map_err(io::Error::other)?;
    write_frame(&mut output, &head, &[])?;
    hang()
}

fn greet(change: impl FnOnce(&mut [u8])) -> io::Result<()> {
    let mut output = claim_stdout()?;
    let request = FrameReader::new(io::stdin().lock()).read::<Request>(0);
    assert!(matches!(request, Ok(Some(message)) if message.body == Request::Hello {}));
    let identity = Double::new(None).identity;
    let answer = Answer::Hello { identity, build: build_id() };
    let mut head = encode_head(1, &answer, &[]).map_err(io::Error::other)?;
    change(&mut head);
    write_frame(&mut output, &head, &[])?;
    hang()
}

fn log(line: &str) {
    writeln!(io::stderr(), "{line}").expect("the runner drains standard error");
}

fn hang() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(1000));
    }
}
