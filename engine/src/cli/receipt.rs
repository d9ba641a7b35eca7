//! The receipt of a run: one JSON document with what was asked for, what was computed and what was
//! measured. It holds no figure that was not measured, no machine fact that was not read, and no
//! path but the model file's name.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::thread::available_parallelism;
use std::time::SystemTime;

use bitnet_engine::chat::strftime;
use bitnet_engine::escape;
use bitnet_engine::exit::Exit;
use bitnet_engine::generate::{End, Generation};
use bitnet_engine::model::Model;
use bitnet_engine::session::Session;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::atomic::AtomicFile;
use super::sampling_args::Settings;
use super::terminal::Terminal;
use super::timings::{Rates, Timings};

/// Readers refuse a major version that they do not know.
const SCHEMA_VERSION: &str = "1.0.0";
/// From `build.rs`.
const COMMIT: Option<&str> = option_env!("BITNET_COMMIT");
/// Bytes hashed at a time.
const BLOCK: usize = 1 << 20;

/// How the run went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    /// To its end.
    Complete,
    /// A signal, or a reader that went away, came first.
    Interrupted,
    /// An error came first.
    Failed,
}

/// The document.
#[derive(Debug, Serialize)]
pub(crate) struct Receipt {
    schema_version: &'static str,
    kind: &'static str,
    status: Status,
    /// Why it failed or was interrupted.
    error: Option<String>,
    tool: Tool,
    /// When the run began: RFC 3339, UTC.
    time: String,
    model: ModelFacts,
    compute: Compute,
    options: Settings,
    prompt: Prompt,
    generated: Option<Generated>,
    timings: Option<Timings>,
    rates: Option<Rates>,
    machine: Machine,
}

#[derive(Debug, Serialize)]
struct Tool {
    name: &'static str,
    version: &'static str,
    /// None outside a git checkout.
    commit: Option<&'static str>,
    /// Whether the engine's files were not those of the commit.
    dirty: Option<bool>,
}

#[derive(Debug, Serialize)]
struct ModelFacts {
    /// Its name without its folders, which are nobody's business.
    file: String,
    /// Of the bytes that were computed with.
    sha256: Option<String>,
    bytes: u64,
    architecture: String,
    /// How many tensors have each type.
    tensor_types: BTreeMap<String, usize>,
}

#[derive(Debug, Serialize)]
struct Compute {
    threads: usize,
    isa: String,
    context: Option<usize>,
    /// As they were dispatched; none where nothing was computed.
    kernels: Vec<KernelFacts>,
}

#[derive(Debug, Serialize)]
struct KernelFacts {
    /// Instruction set and kernel, as `avx2/rms_norm`.
    name: String,
    /// Operations that were computed with it.
    count: u64,
}

#[derive(Debug, Serialize)]
struct Prompt {
    /// Of the text's UTF-8 bytes; none where ids were given.
    sha256: Option<String>,
    ids: Vec<u32>,
}

#[derive(Debug, Serialize)]
struct Generated {
    ids: Vec<u32>,
    /// What was given out, exactly.
    text: String,
    /// None where an error came first.
    end: Option<EndFacts>,
}

/// Why a text ended, in JSON.
#[derive(Debug, Serialize)]
pub(crate) struct EndFacts {
    reason: &'static str,
    /// The id that ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u32>,
    /// The stop string that ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    string: Option<String>,
}

impl From<&End> for EndFacts {
    fn from(end: &End) -> Self {
        let id = match end {
            End::EndOfGeneration(id) | End::StopId(id) => Some(*id),
            _ => None,
        };
        let string = match end {
            End::StopString(string) => Some(string.clone()),
            _ => None,
        };
        Self { reason: end.name(), id, string }
    }
}

#[derive(Debug, Serialize)]
struct Machine {
    /// Where the system tells.
    cpu: Option<String>,
    /// Processors that this process may use.
    cores: Option<usize>,
    os: &'static str,
    arch: &'static str,
}

impl Receipt {
    /// A receipt of a run with `model` that has computed nothing yet.
    pub(crate) fn begin(
        model: &Model,
        threads: usize,
        options: &Settings,
        started: SystemTime,
    ) -> Self {
        let file = model.file();
        let mut tensor_types = BTreeMap::new();
        for tensor in file.tensors() {
            *tensor_types.entry(tensor.tensor_type.name().to_string()).or_insert(0) += 1;
        }
        let name = file.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self {
            schema_version: SCHEMA_VERSION,
            kind: "run",
            status: Status::Failed,
            error: None,
            tool: Tool {
                name: "bitnet",
                version: env!("CARGO_PKG_VERSION"),
                commit: COMMIT,
                dirty: COMMIT.map(|_| option_env!("BITNET_DIRTY").is_some()),
            },
            time: strftime("%FT%TZ", started).unwrap_or_default(),
            model: ModelFacts {
                file: name,
                sha256: None,
                bytes: file.len(),
                architecture: model.config().architecture.to_string(),
                tensor_types,
            },
            compute: Compute {
                threads,
                isa: model.kernels().isa.to_string(),
                context: None,
                kernels: Vec::new(),
            },
            options: options.clone(),
            prompt: Prompt { sha256: None, ids: Vec::new() },
            generated: None,
            timings: None,
            rates: None,
            machine: Machine {
                cpu: cpu_model(),
                cores: available_parallelism().ok().map(usize::from),
                os: std::env::consts::OS,
                arch: std::env::consts::ARCH,
            },
        }
    }

    /// The text that was asked about, and its ids.
    pub(crate) fn prompt(&mut self, text: Option<&str>, ids: &[u32]) {
        let sha256 = text.map(|text| sha256(text.as_bytes()));
        self.prompt = Prompt { sha256, ids: ids.to_vec() };
    }

    /// What computes.
    pub(crate) fn session(&mut self, session: &Session) {
        self.compute.context = Some(session.context());
    }

    /// What came of it, and what computed it.
    pub(crate) fn generated(
        &mut self,
        session: &Session,
        generation: &Generation<'_>,
        end: Option<&End>,
        timings: &Timings,
    ) {
        self.generated = Some(Generated {
            ids: generation.ids().to_vec(),
            text: generation.text().to_owned(),
            end: end.map(EndFacts::from),
        });
        self.compute.kernels = session
            .dispatched()
            .map(|d| KernelFacts { name: format!("{}/{}", d.isa, d.kernel), count: d.count })
            .collect();
        self.rates = Some(timings.rates());
        self.timings = Some(timings.clone());
    }

    /// Reads the whole model file for its digest: behind the work, whose times it must not disturb.
    pub(crate) fn digest(&mut self, model: &Model) {
        self.model.sha256 = Some(sha256(model.file().bytes()));
    }

    /// Writes it, with how the run went.
    ///
    /// # Errors
    /// [`Exit::ReportNotWritten`], with the reason printed.
    pub(crate) fn write(
        mut self,
        status: Status,
        error: Option<String>,
        mut file: AtomicFile,
        terminal: &Terminal,
    ) -> Result<(), Exit> {
        self.status = status;
        self.error = error;
        let json = serde_json::to_vec_pretty(&self).map_err(std::io::Error::from);
        let written = json.and_then(|mut json| {
            json.push(b'\n');
            file.write_all(&json)
        });
        written.map_err(|error| file.failed(&error, terminal))?;
        file.finish(terminal)
    }
}

/// Begins the receipt's file, before anything is loaded.
///
/// # Errors
/// As for [`AtomicFile::create`], and [`Exit::Usage`] if the path is the model's own.
pub(crate) fn create(path: &Path, model: &Path, terminal: &Terminal) -> Result<AtomicFile, Exit> {
    if let (Ok(receipt), Ok(model)) = (path.canonicalize(), model.canonicalize())
        && receipt == model
    {
        let shown = escape::text(&path.display().to_string());
        terminal.error(format_args!(
            "--receipt '{shown}' is the model itself, which it would replace; name another file"
        ));
        return Err(Exit::Usage);
    }
    AtomicFile::create(path, terminal)
}

fn sha256(bytes: &[u8]) -> String {
    let mut hasher = Sha256::new();
    bytes.chunks(BLOCK).for_each(|block| hasher.update(block));
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What Linux calls the processor.
fn cpu_model() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_the_standard() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(b"abc"), abc);
        let long = vec![7; BLOCK + 1];
        let whole: String = Sha256::digest(&long).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(sha256(&long), whole);
    }
}
