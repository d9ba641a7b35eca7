//! The double: a tiny deterministic engine whose `logits` can be told to misbehave. It computes no
//! model.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{Command, exit};
use std::time::Duration;

use bitnet_runner::backend::protocol::{Answer, Array, MAGIC, VERSION, encode_head};
use bitnet_runner::backend::{
    Backend, BackendError, Feed, Generation, Identity, Logits, ModelFacts, NamedTensor,
    OpenRequest, TokenizeOptions,
};

/// The double's engine name.
pub const NAME: &str = "double";

/// Environment variable naming a file that the double makes once it hangs.
pub const MARK: &str = "WORKER_TEST_MARK";

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
    pub(super) identity: Identity,
    vocab_size: Option<usize>,
    pub(super) eos: Option<u32>,
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
        Double { identity, vocab_size: None, eos: None, frames }
    }

    fn vocab_size(&self) -> Result<usize, BackendError> {
        self.vocab_size.ok_or_else(|| BackendError::Refused("double: nothing is open".to_owned()))
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
                if let Ok(mark) = std::env::var(MARK) {
                    File::create(mark).expect("a file that the test waits for");
                }
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

/// The double's model with a vocabulary of `size`.
pub fn model(size: usize) -> OpenRequest {
    let model = PathBuf::from(format!("{size}.gguf"));
    OpenRequest { threads: 2, ..OpenRequest::new(model, 4096) }
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
        // A double's model is the size of its vocabulary, written as a file name. A model that does
        // not open leaves the earlier one: that it is not used is up to the runner's side.
        let size = request.model.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
        let vocab_size =
            size.ok_or_else(|| BackendError::Refused("double: no such model".to_owned()))?;
        self.vocab_size = Some(vocab_size);
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

pub(super) fn log(line: &str) {
    writeln!(io::stderr(), "{line}").expect("the runner drains standard error");
}

pub(super) fn hang() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(1000));
    }
}
