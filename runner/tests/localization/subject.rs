//! Our engine with one fault: other hyper-parameters, other kernels, a damaged copy of the file, or a wrapper
//! that feeds it wrongly.

use bitnet_engine::kernels::Kernels;
use bitnet_engine::model::Config;
use bitnet_runner::backend::engine::EngineBackend;
use bitnet_runner::backend::{
    Backend, BackendError, Feed, Generation, Identity, Logits, ModelFacts, NamedTensor,
    OpenRequest, TokenizeOptions,
};
use tempfile::NamedTempFile;

use crate::damage::{self, Copy};
use crate::kernels::PREFILL;

/// What is wrong.
#[derive(Clone, Copy)]
pub enum Fault {
    /// Nothing.
    None,
    /// Hyper-parameters that are not the file's.
    Config(fn(&mut Config)),
    /// Kernels of which one is broken.
    Kernels(fn() -> &'static Kernels),
    /// A copy of the file that is not the file.
    File(fn(&mut Copy)),
    /// BOS is never added.
    NoBos,
    /// The cache still holds one id of the sequence before: every position is one too late.
    CacheNotCleared,
    /// Every logit is this many times too large.
    Logits(f32),
    /// While decoding, this slot holds the id of the one before it.
    StaleStep(usize),
}

/// What the cache holds that should be empty.
const LEFT_OVER: u32 = 3;

/// The engine.
pub struct Faulty {
    engine: EngineBackend,
    fault: Fault,
    copy: Option<NamedTempFile>,
}

impl Faulty {
    pub fn new(fault: Fault) -> Self {
        Self { engine: EngineBackend::new(), fault, copy: None }
    }

    /// The ids that are really fed, in a prefill or one by one, and how many of them nobody asked for.
    fn fed(&self, ids: &[u32], feed: Feed) -> (Vec<u32>, usize) {
        PREFILL.set(if feed == Feed::Prefill { ids.len() } else { 0 });
        match self.fault {
            Fault::CacheNotCleared => ([&[LEFT_OVER], ids].concat(), 1),
            _ => (ids.to_vec(), 0),
        }
    }

    fn scaled(&self, values: &mut [f32]) {
        if let Fault::Logits(factor) = self.fault {
            values.iter_mut().for_each(|value| *value *= factor);
        }
    }
}

impl Backend for Faulty {
    fn identity(&self) -> &Identity {
        self.engine.identity()
    }

    fn open(&mut self, request: &OpenRequest) -> Result<ModelFacts, BackendError> {
        match self.fault {
            Fault::Config(change) => self.engine.open_changed(request, change),
            Fault::Kernels(kernels) => self.engine.open_with(request, kernels(), |_| ()),
            Fault::File(change) => {
                let copy = self.copy.get_or_insert_with(|| damage::copy(&request.model, change));
                let model = copy.path().to_owned();
                self.engine.open(&OpenRequest { model, ..request.clone() })
            }
            _ => self.engine.open(request),
        }
    }

    fn tokenize(&mut self, text: &str, options: TokenizeOptions) -> Result<Vec<u32>, BackendError> {
        let add_special = options.add_special && !matches!(self.fault, Fault::NoBos);
        self.engine.tokenize(text, TokenizeOptions { add_special, ..options })
    }

    fn detokenize(&mut self, ids: &[u32]) -> Result<Vec<u8>, BackendError> {
        self.engine.detokenize(ids)
    }

    fn logits(&mut self, ids: &[u32], feed: Feed) -> Result<Logits, BackendError> {
        let (mut fed, extra) = self.fed(ids, feed);
        let mut logits = self.engine.logits(&fed, feed)?;
        logits.values.drain(..extra * logits.vocab_size);
        if let (Fault::StaleStep(slot), Feed::Steps) = (self.fault, feed)
            && slot < fed.len()
        {
            fed[slot] = fed[slot - 1];
            let behind = self.engine.logits(&fed, feed)?;
            let from = (slot + 1) * logits.vocab_size;
            logits.values[from..].copy_from_slice(&behind.values[from..]);
        }
        self.scaled(&mut logits.values);
        Ok(logits)
    }

    fn generate(&mut self, prompt: &[u32], steps: usize) -> Result<Generation, BackendError> {
        let (mut ids, _) = self.fed(prompt, Feed::Prefill);
        if let Fault::StaleStep(slot) = self.fault {
            ids[slot] = ids[slot - 1];
        }
        let mut run = self.engine.generate(&ids, steps)?;
        self.scaled(&mut run.logits.values);
        Ok(run)
    }

    fn tap(&mut self, ids: &[u32], names: &[String]) -> Result<Vec<NamedTensor>, BackendError> {
        let (fed, extra) = self.fed(ids, Feed::Prefill);
        let mut tensors = self.engine.tap(&fed, names)?;
        for tensor in &mut tensors {
            tensor.values.drain(..extra * tensor.shape[0]);
            tensor.shape[1] -= extra;
            if tensor.name == "result_output" {
                self.scaled(&mut tensor.values);
            }
        }
        Ok(tensors)
    }
}
