//! A reference behind the bridge as a backend. Included by each worker program, which says which
//! provider `crate::reference` is; it judges nothing.

use bitnet_runner::backend::{
    Backend, BackendError, Feed, Generation, Identity, KEYS_IN_Q8_0, Logits, ModelFacts,
    NamedTensor, OpenRequest, Output, ReferenceBuild, SPEED_SETTINGS, Timed, TokenizeOptions,
};

use crate::reference::{self, CacheType, Error, Reference, Settings, build_info};

/// The linked reference. With the bridge's default settings, where all generations follow the same
/// rules, down to the types of the KV cache; or with those for speed, or with keys in Q8_0.
pub struct ReferenceBackend {
    identity: Identity,
    for_speed: bool,
    keys_in_q8_0: bool,
    open: Option<Reference>,
}

impl ReferenceBackend {
    /// No model is open yet. The program's arguments [`SPEED_SETTINGS`] and [`KEYS_IN_Q8_0`] choose the
    /// settings.
    pub fn new() -> Self {
        let info = build_info();
        let given = |name| std::env::args_os().skip(1).any(|argument| argument == name);
        let (for_speed, keys_in_q8_0) = (given(SPEED_SETTINGS), given(KEYS_IN_Q8_0));
        let settings = if for_speed { "settings for speed" } else { "reproducible settings" };
        let keys = if keys_in_q8_0 { ", keys in Q8_0" } else { "" };
        let identity = Identity {
            name: info.name,
            version: info.version,
            source: info.source,
            build: format!(
                "{}; {settings}{keys}; {}; {}",
                ReferenceBuild::marked(&info.profile),
                info.compiler,
                info.flags
            ),
        };
        Self { identity, for_speed, keys_in_q8_0, open: None }
    }

    fn reference(&mut self) -> Result<&mut Reference, BackendError> {
        let Self { identity, open, .. } = self;
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
        let context = u32::try_from(request.context).map_err(|_| too_large("context"))?;
        let threads = u32::try_from(request.threads).map_err(|_| too_large("number of threads"))?;
        let mut settings = match self.for_speed {
            true => Settings::fastest(context, threads),
            false => Settings { context, threads, ..Settings::default() },
        };
        if self.keys_in_q8_0 {
            settings.key_cache = CacheType::Q8_0;
        }
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

    fn time_prefill(&mut self, ids: &[u32], repeats: usize) -> Result<Timed, BackendError> {
        timed(self.reference()?.time_prefill(ids, repeats))
    }

    fn time_decode(
        &mut self,
        ids: &[u32],
        depth: usize,
        output: Output,
    ) -> Result<Timed, BackendError> {
        if output == Output::Greedy {
            let why = format!("{} computes all logits of a step", self.identity.name);
            return Err(BackendError::Refused(why));
        }
        timed(self.reference()?.time_decode(ids, depth))
    }
}

fn timed(result: Result<reference::Timed, Error>) -> Result<Timed, BackendError> {
    let reference::Timed { ids, nanos } = result.map_err(refused)?;
    Ok(Timed { ids, nanos, kernels: Vec::new() })
}

fn refused(error: Error) -> BackendError {
    BackendError::Refused(error.to_string())
}
