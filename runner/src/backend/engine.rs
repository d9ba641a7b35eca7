//! Our own engine, in this process, as a backend. It adds no arithmetic of its own.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use bitnet_engine::gguf::GgufFile;
use bitnet_engine::kernels::{Isa, Kernels};
use bitnet_engine::model::{
    Config, KeyCache, LoadOptions, LogitsOf, Model, ModelError, Tap, Tensor,
};
use bitnet_engine::sample::greedy;
use bitnet_engine::session::{Session, SessionOptions};

use super::{
    Backend, BackendError, Feed, Generation, Identity, KernelCalls, Listener, Logits, ModelFacts,
    NamedTensor, OpenRequest, Output, Position, Timed, TokenizeOptions,
};

/// Name of our engine in identities and messages.
pub const NAME: &str = "bitnet-engine";

/// End of the build of an engine that computes another model than the file's.
pub const ALTERED: &str = "; ALTERED: hyper-parameters or kernels were changed on purpose";

/// Our engine with at most one open model.
pub struct EngineBackend {
    identity: Identity,
    options: SessionOptions,
    open: Option<Open>,
    listener: Option<Listener>,
}

struct Open {
    request: OpenRequest,
    model: Arc<Model>,
    session: Session,
}

impl Default for EngineBackend {
    fn default() -> Self {
        Self::new()
    }
}

impl EngineBackend {
    /// The engine without a model, with keys in F16 as llama.cpp's and bitnet.cpp's own benchmark programs
    /// have them: what a reference with [`SPEED_SETTINGS`](super::SPEED_SETTINGS) is measured against.
    pub fn for_speed() -> Self {
        Self::with_keys(KeyCache::F16)
    }

    /// The engine without a model, with keys of this type in its cache.
    pub fn with_keys(key_cache: KeyCache) -> Self {
        let mut backend = Self::new();
        backend.options.key_cache = key_cache;
        backend.identity.build += &format!("; keys in {key_cache}");
        backend
    }

    /// Feeds prompts in chunks of `ids` from the next [`Backend::open`] on: no result may depend on it.
    pub fn set_chunk(&mut self, ids: usize) {
        self.options.chunk = ids;
    }

    /// The engine without a model, computing what suites compare: keys in F32.
    pub fn new() -> Self {
        let identity = Identity {
            name: NAME.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            source: source(),
            build: format!(
                "{}; best instruction set here: {}",
                if cfg!(debug_assertions) { "development profile" } else { "release profile" },
                Isa::best()
            ),
        };
        Self { identity, options: SessionOptions::default(), open: None, listener: None }
    }

    /// Opens `request` with hyper-parameters changed by `change`: how tests put a known fault into
    /// the computation. From then on the engine's identity ends with [`ALTERED`].
    ///
    /// # Errors
    /// As for [`Backend::open`].
    pub fn open_changed(
        &mut self,
        request: &OpenRequest,
        change: impl FnOnce(&mut Config),
    ) -> Result<ModelFacts, BackendError> {
        self.open_with(request, kernels(request.isa.as_deref())?, change)
    }

    /// [`EngineBackend::open_changed`] on `kernels`, whatever instruction set the request names: how tests
    /// break one of them.
    ///
    /// # Errors
    /// As for [`Backend::open`].
    pub fn open_with(
        &mut self,
        request: &OpenRequest,
        kernels: &'static Kernels,
        change: impl FnOnce(&mut Config),
    ) -> Result<ModelFacts, BackendError> {
        if !self.identity.build.ends_with(ALTERED) {
            self.identity.build += ALTERED;
        }
        self.load(request, kernels, change)
    }

    fn load(
        &mut self,
        request: &OpenRequest,
        kernels: &'static Kernels,
        change: impl FnOnce(&mut Config),
    ) -> Result<ModelFacts, BackendError> {
        self.open = None;
        let load = || -> Result<Model, ModelError> {
            let file = Arc::new(GgufFile::open(&request.model)?);
            let mut config = Config::from_file(&file)?;
            change(&mut config);
            let options = LoadOptions { i2_s: request.i2s_layout, ..LoadOptions::default() };
            Model::load_with(&file, config, kernels, options)
        };
        let unloadable =
            |why| BackendError::Load { path: request.model.clone(), why: Box::new(why) };
        let model = Arc::new(load().map_err(unloadable)?);
        self.start(request, model)
    }

    fn start(
        &mut self,
        request: &OpenRequest,
        model: Arc<Model>,
    ) -> Result<ModelFacts, BackendError> {
        let threads = NonZeroUsize::new(request.threads)
            .ok_or_else(|| BackendError::Refused("0 threads compute nothing".into()))?;
        let session = Session::with_options(&model, request.context, threads, self.options)
            .map_err(refused)?;
        let (config, tokenizer) = (model.config(), model.tokenizer());
        let facts = ModelFacts {
            vocab_size: config.vocab_size,
            context_length: config.context_length,
            bos: tokenizer.bos(),
            eos: tokenizer.eos(),
        };
        self.open = Some(Open { request: request.clone(), model, session });
        Ok(facts)
    }

    fn model(&self) -> Result<&Model, BackendError> {
        Ok(&self.open.as_ref().ok_or_else(no_model)?.model)
    }

    fn fresh(&mut self) -> Result<&mut Session, BackendError> {
        let open = self.open.as_mut().ok_or_else(no_model)?;
        open.session.clear();
        Ok(&mut open.session)
    }
}

impl Backend for EngineBackend {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn open(&mut self, request: &OpenRequest) -> Result<ModelFacts, BackendError> {
        // The weights stay when only the session's settings change.
        let weights = |request: &OpenRequest| {
            (request.model.clone(), request.isa.clone(), request.i2s_layout)
        };
        let loaded = self.open.take().filter(|open| weights(&open.request) == weights(request));
        match loaded {
            Some(open) => self.start(request, open.model),
            None => self.load(request, kernels(request.isa.as_deref())?, |_| ()),
        }
    }

    fn tokenize(&mut self, text: &str, options: TokenizeOptions) -> Result<Vec<u32>, BackendError> {
        let tokenizer = self.model()?.tokenizer();
        tokenizer.encode(text, options.add_special, options.parse_special).map_err(refused)
    }

    fn detokenize(&mut self, ids: &[u32]) -> Result<Vec<u8>, BackendError> {
        self.model()?.tokenizer().decode(ids).map_err(refused)
    }

    fn logits(&mut self, ids: &[u32], feed: Feed) -> Result<Logits, BackendError> {
        let vocab_size = self.model()?.config().vocab_size;
        let (listener, chunk) = (self.listener.clone(), self.options.chunk);
        let session = self.fresh()?;
        let values = match feed {
            Feed::Prefill => prefill(session, ids, LogitsOf::All, chunk, &listener)?,
            Feed::Steps => {
                let mut values = Vec::with_capacity(ids.len() * vocab_size);
                for (index, id) in ids.iter().enumerate() {
                    values.extend_from_slice(session.step(*id).map_err(refused)?);
                    let (done, of) = (index + 1, ids.len());
                    tell(&listener, Position { feed, done, of });
                }
                values
            }
        };
        Ok(Logits { vocab_size, values })
    }

    fn generate(&mut self, prompt: &[u32], steps: usize) -> Result<Generation, BackendError> {
        let vocab_size = self.model()?.config().vocab_size;
        let (listener, chunk) = (self.listener.clone(), self.options.chunk);
        let session = self.fresh()?;
        let (mut ids, mut nanos) = (Vec::with_capacity(steps), Vec::with_capacity(steps));
        let mut values = Vec::with_capacity(steps * vocab_size);
        for step in 0..steps {
            let start = Instant::now();
            let row = match step {
                0 => prefill(session, prompt, LogitsOf::Last, chunk, &listener)?,
                _ => session.step(ids[step - 1]).map_err(refused)?.to_vec(),
            };
            ids.push(greedy(&row).map_err(refused)?);
            nanos.push(nanos_since(start));
            values.extend_from_slice(&row);
            tell(&listener, Position { feed: Feed::Steps, done: step + 1, of: steps });
        }
        Ok(Generation { ids, logits: Logits { vocab_size, values }, nanos })
    }

    fn tap(&mut self, ids: &[u32], names: &[String]) -> Result<Vec<NamedTensor>, BackendError> {
        let mut collector = Collector { names, tensors: Vec::new() };
        self.fresh()?.prefill_tapped(ids, LogitsOf::All, Some(&mut collector)).map_err(refused)?;
        Ok(collector.tensors)
    }

    fn kernels(&self) -> Vec<KernelCalls> {
        self.open.as_ref().map_or_else(Vec::new, |open| calls(&open.session))
    }

    fn listen(&mut self, listener: Listener) {
        self.listener = Some(listener);
    }

    fn time_prefill(&mut self, ids: &[u32], repeats: usize) -> Result<Timed, BackendError> {
        let (mut chosen, mut nanos) = (Vec::with_capacity(repeats), Vec::with_capacity(repeats));
        let session = self.fresh()?;
        let before = calls(session);
        for _ in 0..repeats {
            session.clear();
            let start = Instant::now();
            let row = session.prefill(ids, LogitsOf::Last).map_err(refused)?;
            nanos.push(nanos_since(start));
            chosen.push(greedy(&row).map_err(refused)?);
        }
        Ok(Timed { ids: chosen, nanos, kernels: calls_since(session, &before) })
    }

    fn time_decode(
        &mut self,
        ids: &[u32],
        depth: usize,
        output: Output,
    ) -> Result<Timed, BackendError> {
        let Some((prefix, timed)) =
            ids.split_at_checked(depth).filter(|(_, rest)| !rest.is_empty())
        else {
            let why = format!("no id is left to be timed behind the first {depth}");
            return Err(BackendError::Refused(why));
        };
        let session = self.fresh()?;
        if !prefix.is_empty() {
            session.prefill(prefix, LogitsOf::Last).map_err(refused)?;
        }
        let before = calls(session);
        let (mut chosen, mut nanos) =
            (Vec::with_capacity(timed.len()), Vec::with_capacity(timed.len()));
        for &id in timed {
            let start = Instant::now();
            match output {
                Output::Greedy => {
                    let row = session.step_top(id, 1).map_err(refused)?;
                    chosen.push(greedy(row).map_err(refused)?);
                    nanos.push(nanos_since(start));
                }
                Output::Logits => {
                    let row = session.step(id).map_err(refused)?;
                    nanos.push(nanos_since(start));
                    chosen.push(greedy(row).map_err(refused)?);
                }
            }
        }
        Ok(Timed { ids: chosen, nanos, kernels: calls_since(session, &before) })
    }
}

/// [`Session::prefill`], chunk by chunk as the session itself would do it, so that it can be followed.
fn prefill(
    session: &mut Session,
    ids: &[u32],
    wanted: LogitsOf,
    chunk: usize,
    listener: &Option<Listener>,
) -> Result<Vec<f32>, BackendError> {
    let (feed, of) = (Feed::Prefill, ids.len());
    tell(listener, Position { feed, done: 0, of });
    let (before, last) = ids.split_at(of.saturating_sub(1) / chunk * chunk);
    let mut logits = Vec::new();
    for (index, ids) in before.chunks(chunk).enumerate() {
        let wanted = if wanted == LogitsOf::Last { LogitsOf::Nothing } else { wanted };
        let rows = session.prefill(ids, wanted).map_err(refused)?;
        if index == 0 {
            logits.try_reserve_exact(rows.len() / chunk * of).map_err(refused)?;
        }
        logits.extend(rows);
        tell(listener, Position { feed, done: (index + 1) * chunk, of });
    }
    let rows = session.prefill(last, wanted).map_err(refused)?;
    tell(listener, Position { feed, done: of, of });
    if logits.is_empty() {
        return Ok(rows);
    }
    logits.extend(rows);
    Ok(logits)
}

fn tell(listener: &Option<Listener>, position: Position) {
    if let Some(listener) = listener {
        listener(position);
    }
}

/// Nanoseconds since `start`, at least 1.
fn nanos_since(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX).max(1)
}

/// How often each kernel was handed out since the session began.
fn calls(session: &Session) -> Vec<KernelCalls> {
    session
        .dispatched()
        .map(|d| KernelCalls { name: format!("{}/{}", d.isa, d.kernel), count: d.count })
        .collect()
}

/// The same since [`calls`] gave `before`, without those that were not.
fn calls_since(session: &Session, before: &[KernelCalls]) -> Vec<KernelCalls> {
    KernelCalls::since(calls(session), before)
}

/// Puts the chunks of wanted tensors together.
struct Collector<'a> {
    names: &'a [String],
    tensors: Vec<NamedTensor>,
}

impl Tap for Collector<'_> {
    fn tensor(&mut self, tensor: Tensor<'_>) {
        let name = match tensor.layer {
            Some(layer) => format!("{}-{layer}", tensor.name),
            None => tensor.name.to_owned(),
        };
        if !self.names.contains(&name) {
            return;
        }
        let same = |t: &&mut NamedTensor| t.name == name && t.occurrence == tensor.occurrence;
        match self.tensors.iter_mut().find(same) {
            Some(seen) => {
                seen.values.extend_from_slice(tensor.values);
                seen.shape[1] += tensor.values.len() / tensor.columns;
            }
            None => self.tensors.push(NamedTensor {
                name,
                occurrence: tensor.occurrence,
                shape: [tensor.columns, tensor.values.len() / tensor.columns, 1, 1],
                values: tensor.values.to_vec(),
            }),
        }
    }
}

/// Where this program's sources come from: a commit, with what differs from it.
fn source() -> String {
    match (option_env!("BITNET_COMMIT"), option_env!("BITNET_DIRTY")) {
        (Some(commit), None) => format!("this workspace, commit {commit}"),
        (Some(commit), Some(_)) => format!("this workspace, commit {commit} with changes"),
        (None, _) => "this workspace".to_owned(),
    }
}

/// What a model's file says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFacts {
    /// Bytes of the file.
    pub bytes: u64,
    /// `general.architecture`.
    pub architecture: String,
    /// How many tensors have each type.
    pub tensor_types: BTreeMap<String, usize>,
}

/// Reads what the file at `path` says of itself; no tensor is touched.
///
/// # Errors
/// [`BackendError::Load`] for a file that is no model.
pub fn file_facts(path: &Path) -> Result<FileFacts, BackendError> {
    let read = || -> Result<FileFacts, ModelError> {
        let file = Arc::new(GgufFile::open(path)?);
        let mut tensor_types = BTreeMap::new();
        for tensor in file.tensors() {
            *tensor_types.entry(tensor.tensor_type.name().to_string()).or_insert(0) += 1;
        }
        let architecture = Config::from_file(&file)?.architecture.to_string();
        Ok(FileFacts { bytes: file.len(), architecture, tensor_types })
    };
    read().map_err(|why| BackendError::Load { path: path.to_owned(), why: Box::new(why) })
}

pub(super) fn kernels(isa: Option<&str>) -> Result<&'static Kernels, BackendError> {
    let Some(name) = isa else { return Ok(Kernels::best()) };
    let isa = name.parse::<Isa>().map_err(BackendError::Refused)?;
    Kernels::for_isa(isa)
        .ok_or_else(|| BackendError::Hardware(format!("this processor has no {isa}")))
}

fn no_model() -> BackendError {
    BackendError::Refused(format!("{NAME}: no model is open"))
}

fn refused(error: impl std::error::Error) -> BackendError {
    BackendError::Refused(error.to_string())
}
