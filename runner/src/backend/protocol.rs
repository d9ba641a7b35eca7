//! What is said in the frames of the worker protocol: requests and answers one to one with the
//! calls of [`Backend`](super::Backend); computes nothing and starts no process.
//!
//! The protocol for other languages is in `docs/worker-protocol.md`.

use serde::{Deserialize, Serialize};

use super::{Feed, Identity, KernelCalls, Output};

#[cfg(test)]
mod example;
mod frame;

pub use frame::{
    Array, Element, FrameError, FrameReader, HEADER_CAP, Header, MAGIC, Message, PAYLOAD_CAP,
    VERSION, encode_head, write_frame,
};

/// What the runner asks. Arrays that follow a request are named after it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "call", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Who are you? No arrays.
    Hello {},
    /// [`Backend::open`](super::Backend::open). No arrays.
    Open {
        /// Absolute path of a GGUF file.
        model: String,
        /// Positions that the KV cache must hold.
        context: u64,
        /// Compute threads, at least 1.
        threads: u64,
        /// Instruction set to force; null means the best one.
        isa: Option<String>,
    },
    /// [`Backend::tokenize`](super::Backend::tokenize). One u8 array: the text in UTF-8.
    Tokenize {
        /// Add BOS, and EOS where the model asks for it.
        add_special: bool,
        /// Read special pieces in the text as their ids.
        parse_special: bool,
    },
    /// [`Backend::detokenize`](super::Backend::detokenize). One u32 array: the ids.
    Detokenize {},
    /// [`Backend::logits`](super::Backend::logits). One u32 array: the ids.
    Logits {
        /// How the ids are fed.
        feed: Feed,
    },
    /// [`Backend::generate`](super::Backend::generate). One u32 array: the prompt's ids.
    Generate {
        /// Ids to choose.
        steps: u64,
    },
    /// [`Backend::tap`](super::Backend::tap). One u32 array: the ids.
    Tap {
        /// Names of the wanted tensors.
        names: Vec<String>,
    },
    /// [`Backend::time_prefill`](super::Backend::time_prefill). One u32 array: the ids.
    Prefill {
        /// How often.
        repeats: u64,
    },
    /// [`Backend::time_decode`](super::Backend::time_decode). One u32 array: the ids.
    Decode {
        /// Ids that are prefilled and not timed.
        depth: u64,
        /// What is handed out behind each id.
        output: Output,
    },
    /// Answer, then end. No arrays.
    Bye {},
}

impl Request {
    /// The request's name, as its header spells it.
    pub fn name(&self) -> &'static str {
        match self {
            Request::Hello {} => "hello",
            Request::Open { .. } => "open",
            Request::Tokenize { .. } => "tokenize",
            Request::Detokenize {} => "detokenize",
            Request::Logits { .. } => "logits",
            Request::Generate { .. } => "generate",
            Request::Tap { .. } => "tap",
            Request::Prefill { .. } => "prefill",
            Request::Decode { .. } => "decode",
            Request::Bye {} => "bye",
        }
    }
}

/// What a worker answers. Arrays that follow an answer are named after it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Answer {
    /// To `hello`. No arrays.
    Hello {
        /// Who computes.
        #[serde(with = "StrictIdentity")]
        identity: Identity,
        /// What the program was built from, see [`build_id`]; another team's engine may send
        /// anything.
        build: String,
    },
    /// To `open`. No arrays.
    Opened {
        /// Logits at one position.
        vocab_size: u64,
        /// Positions that the model was made for.
        context_length: u64,
        /// Id put before a text, if the model asks for one.
        bos: Option<u32>,
        /// Id that ends a text, if the model has one.
        eos: Option<u32>,
    },
    /// To `tokenize`. One u32 array: the ids.
    Ids {},
    /// To `detokenize`. One u8 array: the bytes.
    Text {},
    /// To `logits`. One f32 array: a row of `vocab_size` per id.
    Logits {
        /// Values of one row.
        vocab_size: u64,
    },
    /// To `generate`. Three arrays: u32 ids, f32 logits (a row per step), u64 nanoseconds.
    Generation {
        /// Values of one row.
        vocab_size: u64,
    },
    /// To `tap`. One f32 array for each tensor.
    Tensors {
        /// What the arrays are, in their order.
        tensors: Vec<TensorHead>,
    },
    /// To `prefill` and `decode`. Two arrays: u32 chosen ids, u64 nanoseconds, one of each a timed call.
    Timed {
        /// What computed, where the engine counts it.
        kernels: Vec<KernelCalls>,
    },
    /// To `bye`. No arrays.
    Bye {},
    /// To any request: the engine cannot do this. No arrays.
    Refused {
        /// Why, in a sentence.
        message: String,
    },
    /// To any request: something is missing that the user can provide. No arrays.
    Unavailable {
        /// What is missing.
        what: String,
        /// The command or setting that provides it.
        remedy: String,
    },
}

impl Answer {
    /// The answer's name, as its header spells it.
    pub fn name(&self) -> &'static str {
        match self {
            Answer::Hello { .. } => "hello",
            Answer::Opened { .. } => "opened",
            Answer::Ids {} => "ids",
            Answer::Text {} => "text",
            Answer::Logits { .. } => "logits",
            Answer::Generation { .. } => "generation",
            Answer::Tensors { .. } => "tensors",
            Answer::Timed { .. } => "timed",
            Answer::Bye {} => "bye",
            Answer::Refused { .. } => "refused",
            Answer::Unavailable { .. } => "unavailable",
        }
    }
}

/// [`Identity`] on the wire, where an unknown field is a worker's mistake.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Identity", deny_unknown_fields)]
struct StrictIdentity {
    name: String,
    version: String,
    source: String,
    build: String,
}

/// A tensor without its values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorHead {
    /// Name in the reference's graph.
    pub name: String,
    /// How many tensors of the same name came before it.
    pub occurrence: u64,
    /// Extents, innermost first.
    pub shape: [u64; 4],
}

/// What the workers of this workspace were built from: the version and a fingerprint of the sources
/// of the bridge, the worker programs and this protocol (`build.rs`). A worker with the same id
/// understands this runner and computes what its sources say.
pub fn build_id() -> String {
    concat!(env!("CARGO_PKG_VERSION"), "-", env!("BITNET_BUILD_ID")).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_build_id_is_the_version_and_a_hash() {
        let id = build_id();
        let (version, hash) = id.rsplit_once('-').unwrap();
        assert_eq!(version, env!("CARGO_PKG_VERSION"));
        assert_eq!(hash.len(), 16);
    }

    #[test]
    fn names_are_spelled_as_in_the_headers() {
        let identity = Identity {
            name: String::new(),
            version: String::new(),
            source: String::new(),
            build: String::new(),
        };
        for request in [
            Request::Hello {},
            Request::Open { model: String::new(), context: 0, threads: 0, isa: None },
            Request::Tokenize { add_special: true, parse_special: false },
            Request::Detokenize {},
            Request::Logits { feed: Feed::Prefill },
            Request::Generate { steps: 0 },
            Request::Tap { names: Vec::new() },
            Request::Prefill { repeats: 0 },
            Request::Decode { depth: 0, output: Output::Greedy },
            Request::Bye {},
        ] {
            assert_eq!(serde_json::to_value(&request).unwrap()["call"], request.name());
        }
        for answer in [
            Answer::Hello { identity, build: String::new() },
            Answer::Opened { vocab_size: 0, context_length: 0, bos: None, eos: None },
            Answer::Ids {},
            Answer::Text {},
            Answer::Logits { vocab_size: 0 },
            Answer::Generation { vocab_size: 0 },
            Answer::Tensors { tensors: Vec::new() },
            Answer::Timed { kernels: Vec::new() },
            Answer::Bye {},
            Answer::Refused { message: String::new() },
            Answer::Unavailable { what: String::new(), remedy: String::new() },
        ] {
            assert_eq!(serde_json::to_value(&answer).unwrap()["answer"], answer.name());
        }
    }
}
