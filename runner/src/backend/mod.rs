//! What an engine must offer to be compared, and the types that cross that boundary.
//!
//! Only the adapters in this folder (and the worker binaries) name an engine. Nothing here judges
//! an output: that is `compare`.

use std::path::PathBuf;

use bitnet_engine::model::ModelError;
use bitnet_engine::quant::i2_s::FileLayout;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod build;
pub mod engine;
pub mod golden;
pub mod matrix;
pub mod operations;
mod position;
pub mod protocol;
pub mod serve;
pub mod worker;

pub use build::{KEYS_IN_Q8_0, ReferenceBuild, SPEED_SETTINGS};
pub use position::{Listener, Position};

/// Who computed a result. No identity, no measurement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Identity {
    /// Short stable name, as `references` in `models.toml` spells it: `bitnet-engine`, `bitnet-cpp`.
    pub name: String,
    /// Version of the engine's sources.
    pub version: String,
    /// Where the sources come from: a crate with its version, a directory, a commit.
    pub source: String,
    /// Compiler and flags, or the features of the build.
    pub build: String,
}

/// How ids are fed to an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Feed {
    /// All ids in one batch: the prefill path.
    Prefill,
    /// One id at a time through the KV cache: the decode path.
    Steps,
}

/// What a backend is asked to load, and how to compute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenRequest {
    /// A GGUF file that our own reader accepted and whose SHA-256 matched.
    pub model: PathBuf,
    /// Positions that the KV cache must hold.
    pub context: usize,
    /// Compute threads, at least 1.
    pub threads: usize,
    /// Instruction set to force, by its name in a suite's `isa`; none means the best one here.
    pub isa: Option<String>,
    /// How the program that made the file packs I2_S: the file does not say. The worker protocol has
    /// no word for it: a reference reads its own packing alone.
    pub i2s_layout: FileLayout,
}

impl OpenRequest {
    /// `model` with `context` positions, on one thread and the best instruction set here.
    pub fn new(model: impl Into<PathBuf>, context: usize) -> Self {
        let (model, i2s_layout) = (model.into(), FileLayout::default());
        Self { model, context, threads: 1, isa: None, i2s_layout }
    }
}

/// What a backend found in the model it opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelFacts {
    /// Rows of the output head, that is logits at one position.
    pub vocab_size: usize,
    /// Positions that the model was made for.
    pub context_length: usize,
    /// Beginning of text, if the vocabulary has one: not whether the model puts it before a text.
    pub bos: Option<u32>,
    /// Id that ends a text, if the model has one.
    pub eos: Option<u32>,
}

/// Which special ids tokenising adds and recognises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenizeOptions {
    /// Add BOS (and EOS, where the model asks for it).
    pub add_special: bool,
    /// Read special pieces such as `<|eot_id|>` in the text as their ids.
    pub parse_special: bool,
}

/// Logits in row-major order: one row of `vocab_size` per position.
#[derive(Debug, Clone, PartialEq)]
pub struct Logits {
    /// Values of one row.
    pub vocab_size: usize,
    /// `rows × vocab_size` values.
    pub values: Vec<f32>,
}

impl Logits {
    /// Number of positions.
    pub fn rows(&self) -> usize {
        self.values.len().checked_div(self.vocab_size).unwrap_or(0)
    }

    /// The logits of position `row`.
    ///
    /// # Panics
    /// If `row` is not below [`Logits::rows`].
    pub fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.vocab_size..(row + 1) * self.vocab_size]
    }
}

/// A greedy continuation.
#[derive(Debug, Clone, PartialEq)]
pub struct Generation {
    /// The chosen ids, one a step. Ties go to the lowest id.
    pub ids: Vec<u32>,
    /// Row `i` is the distribution that `ids[i]` was chosen from.
    pub logits: Logits,
    /// Wall time of each step in nanoseconds; the first one includes the prompt.
    pub nanos: Vec<u64>,
}

/// What an engine hands out behind each id of a timed decode.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Output {
    /// The id of the highest logit and nothing else.
    Greedy,
    /// Every logit.
    Logits,
}

/// A kernel and how often it was handed out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KernelCalls {
    /// Instruction set and kernel, as `avx2/rms_norm`.
    pub name: String,
    /// Operations that were computed with it.
    pub count: u64,
}

impl KernelCalls {
    /// Of `now` what came since `before`, without kernels that were not handed out in between.
    pub fn since(now: Vec<Self>, before: &[Self]) -> Vec<Self> {
        let earlier = |name: &str| before.iter().find(|k| k.name == name).map_or(0, |k| k.count);
        let calls = now.into_iter().map(|k| {
            let count = k.count.saturating_sub(earlier(&k.name));
            Self { count, name: k.name }
        });
        calls.filter(|k| k.count > 0).collect()
    }
}

/// Times of equal or successive calls, with what each gave: no answer, no number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timed {
    /// The id of the highest logit behind each timed call. Ties go to the lowest id.
    pub ids: Vec<u32>,
    /// Wall time of each call in nanoseconds.
    pub nanos: Vec<u64>,
    /// The kernels that the calls were computed with, where the engine counts them.
    pub kernels: Vec<KernelCalls>,
}

/// One intermediate tensor by its reference name (`attn_norm-0`, `l_out-3`).
#[derive(Debug, Clone, PartialEq)]
pub struct NamedTensor {
    /// Name in the reference's graph.
    pub name: String,
    /// How many tensors of the same name came before it in this evaluation.
    pub occurrence: usize,
    /// Extents, innermost first, as GGML counts them.
    pub shape: [usize; 4],
    /// Values in that order.
    pub values: Vec<f32>,
}

/// Why a backend gave no result.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// Something is missing that the user can provide.
    #[error("{what}\n  to get it: {remedy}")]
    Unavailable {
        /// What is missing.
        what: String,
        /// The command or setting that provides it.
        remedy: String,
    },
    /// The engine answered that it cannot do this.
    #[error("{0}")]
    Refused(String),
    /// The engine in this process cannot load the model.
    #[error("{why}")]
    Load {
        /// The file.
        path: PathBuf,
        /// The engine's reason.
        why: Box<ModelError>,
    },
    /// The processor lacks what the request needs; no command can provide it.
    #[error("{0}")]
    Hardware(String),
    /// The engine's process ended in the middle of a request.
    #[error("{engine} died ({how}): {last_log}")]
    Died {
        /// Name of the engine.
        engine: String,
        /// `signal 6`, `exit code 3`.
        how: String,
        /// Its last log line, or a sentence saying that there was none.
        last_log: String,
    },
    /// No answer within the time limit; the process was killed.
    #[error("{engine} gave no answer to `{request}` within {seconds} s and was killed: {last_log}")]
    TimedOut {
        /// Name of the engine.
        engine: String,
        /// The request it was working on.
        request: String,
        /// The limit.
        seconds: u64,
        /// Its last log line, or a sentence saying that there was none.
        last_log: String,
    },
    /// The engine's process broke the worker protocol.
    #[error("{engine} broke the worker protocol: {what}")]
    Protocol {
        /// Name of the engine.
        engine: String,
        /// What was received and what was expected.
        what: String,
    },
}

/// An engine that can be compared.
///
/// A backend holds at most one open model; every computing call starts from an empty KV cache. All
/// calls but [`Backend::identity`] and [`Backend::open`] need an open model; a failed `open` leaves
/// none.
pub trait Backend: Send {
    /// Who computes.
    fn identity(&self) -> &Identity;

    /// Loads a model, replacing the open one.
    fn open(&mut self, request: &OpenRequest) -> Result<ModelFacts, BackendError>;

    /// Text to ids.
    fn tokenize(&mut self, text: &str, options: TokenizeOptions) -> Result<Vec<u32>, BackendError>;

    /// Ids to the bytes they stand for; special ids give their text.
    fn detokenize(&mut self, ids: &[u32]) -> Result<Vec<u8>, BackendError>;

    /// Logits at every position of `ids`: as many rows as ids.
    fn logits(&mut self, ids: &[u32], feed: Feed) -> Result<Logits, BackendError>;

    /// Greedy continuation of `prompt` by exactly `steps` ids; EOS does not end it.
    fn generate(&mut self, prompt: &[u32], steps: usize) -> Result<Generation, BackendError>;

    /// The named intermediate tensors of one prefill of `ids`, in the order of evaluation.
    fn tap(&mut self, ids: &[u32], names: &[String]) -> Result<Vec<NamedTensor>, BackendError>;

    /// The kernels that were handed out since the open session began, with how often; none from an
    /// engine that does not count them. Opening a model may begin a session.
    fn kernels(&self) -> Vec<KernelCalls> {
        Vec::new()
    }

    /// From now on tells `listener` how far [`Backend::logits`] and [`Backend::generate`] are. An engine
    /// whose requests cannot be looked into tells nothing.
    fn listen(&mut self, listener: Listener) {
        let _ = listener;
    }

    /// Times `repeats` prefills of `ids`, each into an empty KV cache, with the logits of the last id.
    ///
    /// An engine that does not time itself refuses.
    fn time_prefill(&mut self, ids: &[u32], repeats: usize) -> Result<Timed, BackendError> {
        let _ = (ids, repeats);
        Err(untimed(self.identity()))
    }

    /// Times each of `ids` behind the first `depth`, one id a call. The first ones are prefilled and
    /// not timed; ids are fed as they stand, whatever is chosen.
    ///
    /// An engine that does not time itself, or has no such `output`, refuses.
    fn time_decode(
        &mut self,
        ids: &[u32],
        depth: usize,
        output: Output,
    ) -> Result<Timed, BackendError> {
        let _ = (ids, depth, output);
        Err(untimed(self.identity()))
    }
}

fn untimed(identity: &Identity) -> BackendError {
    BackendError::Refused(format!("{} does not time itself", identity.name))
}
