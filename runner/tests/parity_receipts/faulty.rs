//! Our engine with a fault in its outputs.

use bitnet_runner::backend::engine::EngineBackend;
use bitnet_runner::backend::{
    Backend, BackendError, Feed, Generation, Identity, KernelCalls, Logits, ModelFacts,
    NamedTensor, OpenRequest, TokenizeOptions,
};

/// What is wrong.
#[derive(Clone, Copy)]
pub enum Fault {
    /// Every logit is this many times too large.
    Scaled(f32),
    /// Logits panic.
    Panics,
    /// The fourth logit is none.
    NotANumber,
}

/// Our engine with a [`Fault`].
pub struct Faulty {
    engine: EngineBackend,
    fault: Fault,
}

impl Faulty {
    /// The engine without a model.
    pub fn new(fault: Fault) -> Self {
        Self { engine: EngineBackend::new(), fault }
    }

    fn changed(&self, mut logits: Logits) -> Logits {
        match self.fault {
            Fault::Scaled(factor) => logits.values.iter_mut().for_each(|v| *v *= factor),
            Fault::Panics => panic!("no such row"),
            Fault::NotANumber => logits.values[3] = f32::NAN,
        }
        logits
    }
}

impl Backend for Faulty {
    fn identity(&self) -> &Identity {
        self.engine.identity()
    }

    fn open(&mut self, request: &OpenRequest) -> Result<ModelFacts, BackendError> {
        self.engine.open(request)
    }

    fn tokenize(&mut self, text: &str, options: TokenizeOptions) -> Result<Vec<u32>, BackendError> {
        self.engine.tokenize(text, options)
    }

    fn detokenize(&mut self, ids: &[u32]) -> Result<Vec<u8>, BackendError> {
        self.engine.detokenize(ids)
    }

    fn logits(&mut self, ids: &[u32], feed: Feed) -> Result<Logits, BackendError> {
        let logits = self.engine.logits(ids, feed)?;
        Ok(self.changed(logits))
    }

    fn generate(&mut self, prompt: &[u32], steps: usize) -> Result<Generation, BackendError> {
        let run = self.engine.generate(prompt, steps)?;
        Ok(Generation { logits: self.changed(run.logits), ..run })
    }

    fn tap(&mut self, ids: &[u32], names: &[String]) -> Result<Vec<NamedTensor>, BackendError> {
        self.engine.tap(ids, names)
    }

    fn kernels(&self) -> Vec<KernelCalls> {
        self.engine.kernels()
    }
}
