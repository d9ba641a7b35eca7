//! An engine behind a process boundary: a [`Backend`] that asks a worker program. A crash, a hang
//! or garbage costs the request it happened in; the next one gets a fresh process with the same
//! model. Nothing is computed here, and no request is sent twice.

use std::ffi::OsString;
use std::mem::take;
use std::path::PathBuf;

use super::protocol::{Answer, Array, PAYLOAD_CAP, Request, TensorHead};
use super::{
    Backend, BackendError, Feed, Generation, Identity, Logits, ModelFacts, NamedTensor,
    OpenRequest, Output, Timed, TokenizeOptions,
};

mod client;
mod locate;
mod log;
mod process;

pub use locate::{WORKER_DIR, locate};

use client::Client;
use process::Process;

/// How to start a worker, and what it must be.
#[derive(Debug, Clone)]
pub struct WorkerSpec {
    /// The engine's name; the worker's identity must bear it.
    pub name: String,
    /// The program, see [`locate`].
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Environment variables added to ours.
    pub env: Vec<(OsString, OsString)>,
    /// The build id to insist on: [`build_id`](super::protocol::build_id) for workers of this
    /// workspace, none for another team's.
    pub build: Option<String>,
    /// How the user gets the program, for the error when it cannot be started.
    pub remedy: String,
    /// Seconds until the program must have said who it is.
    pub handshake_seconds: u64,
    /// Seconds until any other answer must be there; see [`WorkerBackend::set_request_seconds`].
    pub request_seconds: u64,
}

/// A worker program as a backend. Dropping it ends the process.
pub struct WorkerBackend {
    client: Client,
    identity: Identity,
    /// What a fresh process has to open first.
    open: Option<(OpenRequest, ModelFacts)>,
}

impl WorkerBackend {
    /// Starts the program and asks who it is: a [`Backend`] has an identity from its beginning.
    ///
    /// # Errors
    /// [`BackendError::Unavailable`] if the program cannot be started, was built from other sources
    /// or speaks another version of the protocol; the other variants if it does not introduce
    /// itself as the engine that `spec` names.
    pub fn start(spec: WorkerSpec) -> Result<WorkerBackend, BackendError> {
        let mut client = Client { spec, process: None };
        let identity = client.greet()?;
        Ok(WorkerBackend { client, identity, open: None })
    }

    /// Sets the time limit of the requests to come.
    pub fn set_request_seconds(&mut self, seconds: u64) {
        self.client.spec.request_seconds = seconds;
    }

    /// The running process; none after a failure, until the next request.
    pub fn process_id(&self) -> Option<u32> {
        self.client.process.as_ref().map(Process::id)
    }

    /// The last lines of the running process's standard error, oldest first.
    pub fn log_tail(&self) -> Vec<String> {
        self.client.process.as_ref().map(Process::log_tail).unwrap_or_default()
    }

    /// Says `bye` and waits for the end, which a drop only enforces.
    ///
    /// # Errors
    /// [`BackendError::Died`] if the process ends with anything but exit code 0, and what any
    /// request can give.
    pub fn close(self) -> Result<(), BackendError> {
        self.client.close()
    }

    fn ensure_process(&mut self) -> Result<(), BackendError> {
        if self.client.process.is_some() {
            return Ok(());
        }
        let identity = self.client.greet()?;
        if identity != self.identity {
            return Err(self.client.broken(&format!(
                "after a restart it is another engine: expected {:?}, got {identity:?}",
                self.identity
            )));
        }
        Ok(())
    }

    /// Sees to a process with the model open, and says what is known of the model.
    fn ensure_open(&mut self) -> Result<ModelFacts, BackendError> {
        let Some((request, facts)) = self.open.clone() else {
            let name = &self.identity.name;
            return Err(BackendError::Refused(format!("{name}: no model is open")));
        };
        if self.client.process.is_none() {
            self.ensure_process()?;
            // A process that holds no model must not be there for the next request.
            let found = self.ask_open(&request).inspect_err(|_| self.client.kill())?;
            if found != facts {
                return Err(self.client.broken(&format!(
                    "after a restart the model is another: expected {facts:?}, got {found:?}"
                )));
            }
        }
        Ok(facts)
    }

    fn ask_open(&mut self, open: &OpenRequest) -> Result<ModelFacts, BackendError> {
        let path = std::path::absolute(&open.model).unwrap_or_else(|_| open.model.clone());
        let Some(model) = path.to_str() else {
            return Err(BackendError::Refused(format!(
                "the model's path {path:?} is no UTF-8, which the worker protocol requires"
            )));
        };
        let request = Request::Open {
            model: model.to_owned(),
            context: open.context as u64,
            threads: open.threads as u64,
            isa: open.isa.clone(),
        };
        let (answer, arrays) = self.client.ask(&request, Vec::new(), 0)?;
        let (&Answer::Opened { vocab_size, context_length, bos, eos }, []) =
            (&answer, arrays.as_slice())
        else {
            return Err(self.client.unexpected(&request, &answer, &arrays));
        };
        match (usize::try_from(vocab_size), usize::try_from(context_length)) {
            (Ok(vocab_size @ 1..), Ok(context_length)) => {
                Ok(ModelFacts { vocab_size, context_length, bos, eos })
            }
            _ => Err(self.client.broken(&format!(
                "expected a vocabulary, got vocab_size {vocab_size}, \
                 context_length {context_length}"
            ))),
        }
    }

    /// Array bytes of an answer with `rows` rows of logits and `row_extra` bytes beside each.
    fn payload(&self, rows: usize, vocab_size: usize, row_extra: u64) -> Result<u64, BackendError> {
        (vocab_size as u64)
            .checked_mul(4)
            .and_then(|row| row.checked_add(row_extra)?.checked_mul(rows as u64))
            .filter(|&bytes| bytes <= PAYLOAD_CAP)
            .ok_or_else(|| {
                BackendError::Refused(format!(
                    "{}: {rows} rows of {vocab_size} logits are more than the {PAYLOAD_CAP} bytes \
                     of one answer: ask for fewer positions",
                    self.identity.name
                ))
            })
    }
}

impl WorkerBackend {
    /// Asks for the times of `calls` calls.
    fn timed(
        &mut self,
        request: &Request,
        ids: &[u32],
        calls: usize,
    ) -> Result<Timed, BackendError> {
        let ModelFacts { vocab_size, .. } = self.ensure_open()?;
        let ids = vec![Array::U32(ids.to_vec())];
        let (answer, mut arrays) = self.client.ask(request, ids, calls as u64 * (4 + 8))?;
        let (Answer::Timed { kernels }, [Array::U32(chosen), Array::U64(nanos)]) =
            (&answer, arrays.as_mut_slice())
        else {
            return Err(self.client.unexpected(request, &answer, &arrays));
        };
        if [chosen.len(), nanos.len()] != [calls; 2] {
            return Err(self.client.broken(&format!(
                "expected the times of {calls} calls, got {} ids and {} times",
                chosen.len(),
                nanos.len()
            )));
        }
        if let Some(id) = chosen.iter().find(|&&id| id as usize >= vocab_size) {
            return Err(self.client.broken(&format!("it chose id {id} out of {vocab_size} ids")));
        }
        if nanos.contains(&0) {
            return Err(self.client.broken("a call that took no time at all was not measured"));
        }
        Ok(Timed { ids: take(chosen), nanos: take(nanos), kernels: kernels.clone() })
    }
}

impl Backend for WorkerBackend {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn open(&mut self, request: &OpenRequest) -> Result<ModelFacts, BackendError> {
        self.open = None;
        self.ensure_process()?;
        let facts = self.ask_open(request)?;
        self.open = Some((request.clone(), facts.clone()));
        Ok(facts)
    }

    fn tokenize(&mut self, text: &str, options: TokenizeOptions) -> Result<Vec<u32>, BackendError> {
        self.ensure_open()?;
        let TokenizeOptions { add_special, parse_special } = options;
        let request = Request::Tokenize { add_special, parse_special };
        let text = vec![Array::U8(text.as_bytes().to_vec())];
        let (answer, mut arrays) = self.client.ask(&request, text, PAYLOAD_CAP)?;
        match (&answer, arrays.as_mut_slice()) {
            (Answer::Ids {}, [Array::U32(ids)]) => Ok(take(ids)),
            _ => Err(self.client.unexpected(&request, &answer, &arrays)),
        }
    }

    fn detokenize(&mut self, ids: &[u32]) -> Result<Vec<u8>, BackendError> {
        self.ensure_open()?;
        let request = Request::Detokenize {};
        let ids = vec![Array::U32(ids.to_vec())];
        let (answer, mut arrays) = self.client.ask(&request, ids, PAYLOAD_CAP)?;
        match (&answer, arrays.as_mut_slice()) {
            (Answer::Text {}, [Array::U8(text)]) => Ok(take(text)),
            _ => Err(self.client.unexpected(&request, &answer, &arrays)),
        }
    }

    fn logits(&mut self, ids: &[u32], feed: Feed) -> Result<Logits, BackendError> {
        let ModelFacts { vocab_size, .. } = self.ensure_open()?;
        let cap = self.payload(ids.len(), vocab_size, 0)?;
        let request = Request::Logits { feed };
        let (answer, mut arrays) =
            self.client.ask(&request, vec![Array::U32(ids.to_vec())], cap)?;
        let (&Answer::Logits { vocab_size: theirs }, [Array::F32(values)]) =
            (&answer, arrays.as_mut_slice())
        else {
            return Err(self.client.unexpected(&request, &answer, &arrays));
        };
        if theirs != vocab_size as u64 || values.len() != ids.len() * vocab_size {
            return Err(self.client.broken(&format!(
                "expected {} rows of {vocab_size} logits, got {} values in rows of {theirs}",
                ids.len(),
                values.len()
            )));
        }
        Ok(Logits { vocab_size, values: take(values) })
    }

    fn generate(&mut self, prompt: &[u32], steps: usize) -> Result<Generation, BackendError> {
        let ModelFacts { vocab_size, .. } = self.ensure_open()?;
        let cap = self.payload(steps, vocab_size, 4 + 8)?;
        let request = Request::Generate { steps: steps as u64 };
        let (answer, mut arrays) =
            self.client.ask(&request, vec![Array::U32(prompt.to_vec())], cap)?;
        let (
            &Answer::Generation { vocab_size: theirs },
            [Array::U32(ids), Array::F32(values), Array::U64(nanos)],
        ) = (&answer, arrays.as_mut_slice())
        else {
            return Err(self.client.unexpected(&request, &answer, &arrays));
        };
        if theirs != vocab_size as u64
            || [ids.len(), nanos.len()] != [steps; 2]
            || values.len() != steps * vocab_size
        {
            return Err(self.client.broken(&format!(
                "expected {steps} steps over {vocab_size} logits, got {} ids, {} logits in rows \
                 of {theirs}, {} times",
                ids.len(),
                values.len(),
                nanos.len()
            )));
        }
        if let Some(id) = ids.iter().find(|&&id| id as usize >= vocab_size) {
            return Err(self.client.broken(&format!("it chose id {id} out of {vocab_size} ids")));
        }
        let logits = Logits { vocab_size, values: take(values) };
        Ok(Generation { ids: take(ids), logits, nanos: take(nanos) })
    }

    fn tap(&mut self, ids: &[u32], names: &[String]) -> Result<Vec<NamedTensor>, BackendError> {
        self.ensure_open()?;
        let request = Request::Tap { names: names.to_vec() };
        let ids = vec![Array::U32(ids.to_vec())];
        let (answer, arrays) = self.client.ask(&request, ids, PAYLOAD_CAP)?;
        let Answer::Tensors { tensors: heads } = &answer else {
            return Err(self.client.unexpected(&request, &answer, &arrays));
        };
        if heads.len() != arrays.len() {
            return Err(self.client.unexpected(&request, &answer, &arrays));
        }
        let tensors = heads.iter().zip(arrays).map(|(head, values)| tensor(head, values, names));
        tensors.collect::<Result<_, String>>().map_err(|what| self.client.broken(&what))
    }

    fn time_prefill(&mut self, ids: &[u32], repeats: usize) -> Result<Timed, BackendError> {
        let request = Request::Prefill { repeats: repeats as u64 };
        self.timed(&request, ids, repeats)
    }

    fn time_decode(
        &mut self,
        ids: &[u32],
        depth: usize,
        output: Output,
    ) -> Result<Timed, BackendError> {
        let request = Request::Decode { depth: depth as u64, output };
        self.timed(&request, ids, ids.len().saturating_sub(depth))
    }
}

fn tensor(head: &TensorHead, values: Array, wanted: &[String]) -> Result<NamedTensor, String> {
    let TensorHead { name, occurrence, shape } = head;
    if !wanted.contains(name) {
        return Err(format!("tensor {name:?} was not asked for"));
    }
    let Array::F32(values) = values else {
        return Err(format!("tensor {name:?} must be F32, got {:?}", values.element()));
    };
    let count = shape.iter().try_fold(1_u64, |count, &extent| count.checked_mul(extent));
    if count != Some(values.len() as u64) {
        return Err(format!("tensor {name:?} of shape {shape:?} has {} values", values.len()));
    }
    let size = |value: u64| usize::try_from(value).map_err(|_| format!("{name:?}: {value}"));
    let [a, b, c, d] = *shape;
    Ok(NamedTensor {
        name: name.clone(),
        occurrence: size(*occurrence)?,
        shape: [size(a)?, size(b)?, size(c)?, size(d)?],
        values,
    })
}
