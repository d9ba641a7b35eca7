//! The safe face of the bridge: a loaded model of the reference. Judges no output.

use std::path::Path;

use cxx::UniquePtr;

use crate::ffi::bridge;
use crate::stack::on_large_stack;
use crate::{Error, Settings};

/// What the linked reference was built from: the identity of a measurement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildInfo {
    /// Short stable name: `bitnet-cpp`.
    pub name: String,
    /// What the build is for: `checking`, `fastest`, or `linked` where somebody else built it.
    pub profile: String,
    /// Version of the sources: a crate's, or a fingerprint of what was linked.
    pub version: String,
    /// Where the sources or the library came from.
    pub source: String,
    /// Compiler flags, or a sentence saying that they are not known.
    pub flags: String,
    /// Compiler and its version, or a sentence saying that they are not known.
    pub compiler: String,
    /// Instruction sets that the reference says it was compiled for.
    pub system_info: String,
}

/// What the reference itself counts since its context was made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Timings {
    /// Milliseconds from the start of loading to the end of the first batch.
    pub load_ms: f64,
    /// Milliseconds in batches of more than one id.
    pub prefill_ms: f64,
    /// Milliseconds in batches of one id.
    pub decode_ms: f64,
    /// Ids in batches of more than one id.
    pub prefill_tokens: u32,
    /// Ids in batches of one id. The reference never reports less than 1.
    pub decode_tokens: u32,
}

/// A greedy continuation.
#[derive(Debug, Clone, PartialEq)]
pub struct Generation {
    /// The chosen ids, one a step; ties go to the lowest id.
    pub ids: Vec<u32>,
    /// `steps × vocab_size` values: row `i` is the distribution that `ids[i]` was chosen from.
    pub logits: Vec<f32>,
    /// Nanoseconds of each step on a monotonic clock: computing one row and choosing from it. Step
    /// 0 is the prefill of the whole prompt; copying the row out is not counted.
    pub nanos: Vec<u64>,
}

/// Times of equal or successive calls, and what each gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timed {
    /// The id of the highest logit behind each timed call; ties go to the lowest id.
    pub ids: Vec<u32>,
    /// Nanoseconds of each call on a monotonic clock, without the search for the highest logit.
    pub nanos: Vec<u64>,
}

/// One tensor of a graph, copied out while it was computed.
#[derive(Debug, Clone, PartialEq)]
pub struct CapturedTensor {
    /// Name in the graph: `attn_norm-0`.
    pub name: String,
    /// The operation that made it: `MUL_MAT`, `ROPE`.
    pub op: String,
    /// How many tensors of the same name came before it.
    pub occurrence: usize,
    /// Extents, innermost first.
    pub shape: [usize; 4],
    /// Values in that order, without the gaps that a view may have.
    pub values: Vec<f32>,
}

/// A model that the reference has loaded, and its KV cache.
///
/// Every computing call starts from an empty cache. Each call runs on a thread of its own with a
/// large stack while the caller waits.
pub struct Reference {
    engine: UniquePtr<bridge::Engine>,
    vocab_size: usize,
}

impl Reference {
    /// Loads a GGUF file.
    ///
    /// # Errors
    /// [`Error::Load`] with the reference's reason if it refuses the file or the settings.
    pub fn load(path: &Path, settings: &Settings) -> Result<Self, Error> {
        let bytes = path.as_os_str().as_encoded_bytes();
        let raw = settings.to_raw();
        let engine =
            on_large_stack("load", || bridge::load(bytes, &raw)).map_err(|error| match error {
                Error::Call { reason, .. } => Error::Load { path: path.to_owned(), reason },
                other => other,
            })?;
        let vocab_size = engine.vocab_size() as usize;
        Ok(Self { engine, vocab_size })
    }

    /// Logits at one position.
    #[must_use]
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// Positions that the model was made for.
    #[must_use]
    pub fn context_length(&self) -> usize {
        self.engine.trained_context() as usize
    }

    /// Id that begins a text, if the model has one.
    #[must_use]
    pub fn bos(&self) -> Option<u32> {
        u32::try_from(self.engine.bos()).ok()
    }

    /// Id that ends a text, if the model has one.
    #[must_use]
    pub fn eos(&self) -> Option<u32> {
        u32::try_from(self.engine.eos()).ok()
    }

    /// Whether [`tokenize`](Self::tokenize) with `add_special` puts [`bos`](Self::bos) first.
    #[must_use]
    pub fn adds_bos(&self) -> bool {
        self.engine.adds_bos()
    }

    /// Architecture, size and type of the model in the reference's words.
    #[must_use]
    pub fn description(&self) -> String {
        self.engine.description()
    }

    /// Text to ids. The text may hold NUL bytes.
    ///
    /// # Errors
    /// [`Error::Call`] if the model has no tokenizer or the text has more than 2³¹ − 1 bytes.
    pub fn tokenize(
        &self,
        text: &str,
        add_special: bool,
        parse_special: bool,
    ) -> Result<Vec<u32>, Error> {
        let engine = Shared(&self.engine);
        on_large_stack("tokenize", move || engine.get().tokenize(text, add_special, parse_special))
    }

    /// The bytes of each id, one after the other; special ids give their text. The space that a
    /// SentencePiece tokenizer puts before a text is part of its first piece and stays.
    ///
    /// # Errors
    /// [`Error::Call`] for an id outside the vocabulary or a model without a tokenizer.
    pub fn detokenize(&self, ids: &[u32]) -> Result<Vec<u8>, Error> {
        let engine = Shared(&self.engine);
        on_large_stack("detokenize", move || engine.get().detokenize(ids))
    }

    /// Logits at every position of `ids` by the prefill path: `ids.len() × vocab_size` values.
    ///
    /// # Errors
    /// [`Error::Call`] for no ids, an id outside the vocabulary, more ids than the context holds,
    /// or a failure of the reference.
    pub fn logits(&mut self, ids: &[u32]) -> Result<Vec<f32>, Error> {
        let mut rows = self.rows("logits", ids.len())?;
        let engine = self.engine.pin_mut();
        on_large_stack("logits", || engine.logits(ids, &mut rows))?;
        Ok(rows)
    }

    /// Logits at every position of `ids` by the decode path, one id a call.
    ///
    /// # Errors
    /// As [`logits`](Self::logits).
    pub fn logits_by_step(&mut self, ids: &[u32]) -> Result<Vec<f32>, Error> {
        let mut rows = self.rows("logits_by_step", ids.len())?;
        let engine = self.engine.pin_mut();
        on_large_stack("logits_by_step", || engine.logits_by_step(ids, &mut rows))?;
        Ok(rows)
    }

    /// Greedy continuation of `prompt` by exactly `steps` ids; an end-of-text id does not end it.
    ///
    /// # Errors
    /// As [`logits`](Self::logits); `prompt.len() + steps - 1` positions are needed.
    pub fn generate(&mut self, prompt: &[u32], steps: usize) -> Result<Generation, Error> {
        let mut logits = self.rows("generate", steps)?;
        let (mut ids, mut nanos) = (vec![0; steps], vec![0; steps]);
        let engine = self.engine.pin_mut();
        on_large_stack("generate", || engine.generate(prompt, &mut ids, &mut logits, &mut nanos))?;
        Ok(Generation { ids, logits, nanos })
    }

    /// Times `repeats` prefills of `ids`, each into an empty cache, with the logits of the last id.
    ///
    /// # Errors
    /// As [`logits`](Self::logits).
    pub fn time_prefill(&mut self, ids: &[u32], repeats: usize) -> Result<Timed, Error> {
        let mut timed = Timed { ids: vec![0; repeats], nanos: vec![0; repeats] };
        let engine = self.engine.pin_mut();
        on_large_stack("time_prefill", || {
            engine.time_prefill(ids, &mut timed.ids, &mut timed.nanos)
        })?;
        Ok(timed)
    }

    /// Times each of `ids` behind the first `depth`, one id a call, with its logits. The first ones
    /// are prefilled and not timed; the ids are fed as they stand, whatever is chosen.
    ///
    /// # Errors
    /// As [`logits`](Self::logits), and for a `depth` that leaves no id.
    pub fn time_decode(&mut self, ids: &[u32], depth: usize) -> Result<Timed, Error> {
        let steps = ids.len().saturating_sub(depth);
        let mut timed = Timed { ids: vec![0; steps], nanos: vec![0; steps] };
        let engine = self.engine.pin_mut();
        on_large_stack("time_decode", || {
            engine.time_decode(ids, depth, &mut timed.ids, &mut timed.nanos)
        })?;
        Ok(timed)
    }

    /// The named tensors of one prefill of `ids`, in the order of evaluation. Uses a context of its
    /// own, so that no other call pays for the observation.
    ///
    /// # Errors
    /// [`Error::Call`] as for [`logits`](Self::logits), for more ids than
    /// [`Settings::micro_batch`], and for a name that no tensor had.
    pub fn capture(&mut self, ids: &[u32], names: &[String]) -> Result<Vec<CapturedTensor>, Error> {
        let names = names.to_vec();
        let engine = self.engine.pin_mut();
        on_large_stack("capture", || {
            let raw = engine.capture(ids, &names)?;
            Ok(raw.into_iter().map(captured).collect())
        })
    }

    /// What the reference has counted since this model was loaded.
    #[must_use]
    pub fn timings(&self) -> Timings {
        let raw = self.engine.timings();
        Timings {
            load_ms: raw.load_ms,
            prefill_ms: raw.prefill_ms,
            decode_ms: raw.decode_ms,
            prefill_tokens: raw.prefill_tokens,
            decode_tokens: raw.decode_tokens,
        }
    }

    fn rows(&self, call: &'static str, rows: usize) -> Result<Vec<f32>, Error> {
        let too_large = || Error::TooLarge { call, rows, vocab_size: self.vocab_size };
        let values = rows.checked_mul(self.vocab_size).ok_or_else(too_large)?;
        let mut buffer = Vec::new();
        buffer.try_reserve_exact(values).map_err(|_| too_large())?;
        buffer.resize(values, 0.0);
        Ok(buffer)
    }
}

impl std::fmt::Debug for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reference").field("description", &self.description()).finish()
    }
}

/// What the linked reference was built from.
#[must_use]
pub fn build_info() -> BuildInfo {
    let raw = bridge::build_info();
    BuildInfo {
        name: raw.name,
        profile: raw.profile,
        version: raw.version,
        source: raw.source,
        flags: raw.flags,
        compiler: raw.compiler,
        system_info: raw.system_info,
    }
}

/// The last lines that any reference of this process has logged, oldest first, as `level: text`.
/// Empty before the first load.
#[must_use]
pub fn log_tail() -> String {
    bridge::log_tail()
}

fn captured(raw: bridge::RawTensor) -> CapturedTensor {
    let values = raw.values.as_ref().map_or_else(Vec::new, |values| values.as_slice().to_vec());
    CapturedTensor {
        name: raw.name,
        op: raw.op,
        occurrence: raw.occurrence,
        shape: raw.shape,
        values,
    }
}

/// A shared borrow that the helper thread may use while the owner waits for it.
struct Shared<'a>(&'a UniquePtr<bridge::Engine>);

impl<'a> Shared<'a> {
    fn get(&self) -> &'a bridge::Engine {
        self.0
    }
}

// SAFETY: `Reference` is not `Sync`, so the only thread that can use the engine is the one that made
// this value, and `on_large_stack` blocks it until the helper thread has ended.
unsafe impl Send for Shared<'_> {}
