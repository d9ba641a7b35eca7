//! A reference behind the bridge as a backend. Included by each worker program, which says which
//! provider `crate::reference` is; it judges nothing.

use bitnet_runner::backend::{
    Backend, BackendError, Feed, Generation, Identity, Logits, ModelFacts, NamedTensor,
    OpenRequest, TokenizeOptions,
};

use crate::reference::{Error, Reference, Settings, build_info};

/// The linked reference, with the bridge's default settings: both generations then follow the same
/// rules, down to the types of the KV cache.
pub struct ReferenceBackend {
    identity: Identity,
    open: Option<Reference>,
}

impl ReferenceBackend {
    /// No model is open yet.
    pub fn new() -> Self {
        let info = build_info();
        let identity = Identity {
            name: info.name,
            version: info.version,
            source: info.source,
            build: format!("{}; {}", info.compiler, info.flags),
        };
        Self { identity, open: None }
    }

    fn reference(&mut self) -> Result<&mut Reference, BackendError> {
        let Self { identity, open } = self;
        open.as_mut()
            .ok_or_else(|| BackendError::Refused(format!("{}: no model is open", identity.name)))
    }
}

impl Backend for ReferenceBackend {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn open(&mut self, request: &OpenRequest) -> Result<ModelFacts, BackendError> {
        self.open = None;
        if let Some(isa) = &request.isa {
            let why =
                format!("{} is compiled for one instruction set, not {isa}", self.identity.name);
            return Err(BackendError::Refused(why));
        }
        let too_large = |what| BackendError::Refused(format!("the {what} does not fit an i32"));
        let settings = Settings {
            context: u32::try_from(request.context).map_err(|_| too_large("context"))?,
            threads: u32::try_from(request.threads).map_err(|_| too_large("number of threads"))?,
            ..Settings::default()
        };
        let reference = Reference::load(&request.model, &settings).map_err(refused)?;
        let facts = ModelFacts {
            vocab_size: reference.vocab_size(),
            context_length: reference.context_length(),
            bos: reference.bos(),
            eos: reference.eos(),
        };
        self.open = Some(reference);
        Ok(facts)
    }

    fn tokenize(&mut self, text: &str, options: TokenizeOptions) -> Result<Vec<u32>, BackendError> {
        let TokenizeOptions { add_special, parse_special } = options;
        self.reference()?.tokenize(text, add_special, parse_special).map_err(refused)
    }

    fn detokenize(&mut self, ids: &[u32]) -> Result<Vec<u8>, BackendError> {
        self.reference()?.detokenize(ids).map_err(refused)
    }

    fn logits(&mut self, ids: &[u32], feed: Feed) -> Result<Logits, BackendError> {
        let reference = self.reference()?;
        let values = match feed {
            Feed::Prefill => reference.logits(ids),
            Feed::Steps => reference.logits_by_step(ids),
        };
        Ok(Logits { vocab_size: reference.vocab_size(), values: values.map_err(refused)? })
    }

    fn generate(&mut self, prompt: &[u32], steps: usize) -> Result<Generation, BackendError> {
        let reference = self.reference()?;
        let generated = reference.generate(prompt, steps).map_err(refused)?;
        let logits = Logits { vocab_size: reference.vocab_size(), values: generated.logits };
        Ok(Generation { ids: generated.ids, logits, nanos: generated.nanos })
    }

    fn tap(&mut self, ids: &[u32], names: &[String]) -> Result<Vec<NamedTensor>, BackendError> {
        let captured = self.reference()?.capture(ids, names).map_err(refused)?;
        Ok(captured
            .into_iter()
            .map(|t| NamedTensor {
                name: t.name,
                occurrence: t.occurrence,
                shape: t.shape,
                values: t.values,
            })
            .collect())
    }
}

fn refused(error: Error) -> BackendError {
    BackendError::Refused(error.to_string())
}
