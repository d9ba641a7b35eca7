//! Opens what the flags name: the file, its vocabulary, the model, a session. What cannot be loaded
//! ends the command with `error[E10]`; nothing is loaded in its place.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use bitnet_engine::exit::Exit;
use bitnet_engine::gguf::GgufFile;
use bitnet_engine::kernels::Kernels;
use bitnet_engine::model::{Config, Model, ModelError};
use bitnet_engine::session::{Session, SessionError};
use bitnet_engine::{escape, load_error};
use indicatif::{ProgressBar, ProgressStyle};

use super::model_args::{ModelArgs, PackingArgs};
use super::terminal::Terminal;

/// Loading that takes longer is announced.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often the announcement is brought up to date.
const TICK: Duration = Duration::from_millis(120);

/// A model, and how long it took.
pub(crate) struct Loaded {
    /// The model.
    pub(crate) model: Arc<Model>,
    /// How long opening and loading took.
    pub(crate) time: Duration,
}

/// Loads the model that the flags name, and prints its warnings.
///
/// # Errors
/// [`Exit::ModelLoad`], with `error[E10]` printed, [`Exit::Environment`] if the processor lacks the
/// instruction set asked for, or [`Exit::Usage`] if the kernel configuration cannot be read.
pub(crate) fn model(args: &ModelArgs, terminal: &Terminal) -> Result<Loaded, Exit> {
    let kernels = args.kernels().map_err(|why| {
        terminal.error(why);
        Exit::Environment
    })?;
    model_at(&args.file.path, kernels, &args.packing, terminal)
}

/// Loads the model at `path` for `kernels`, and prints its warnings.
///
/// # Errors
/// [`Exit::ModelLoad`], with `error[E10]` printed, or [`Exit::Usage`] if the kernel configuration cannot
/// be read.
pub(crate) fn model_at(
    path: &Path,
    kernels: &'static Kernels,
    packing: &PackingArgs,
    terminal: &Terminal,
) -> Result<Loaded, Exit> {
    let options = packing.options().map_err(|why| {
        terminal.error(why);
        Exit::Usage
    })?;
    let start = Instant::now();
    let load = |progress: &Progress| -> Result<Loaded, ModelError> {
        let file = Arc::new(GgufFile::open(path)?);
        let all = file.tensors().iter().map(|tensor| tensor.size as u64).sum();
        progress.all.store(all, Ordering::Relaxed);
        let ready = |bytes| {
            progress.ready.fetch_add(bytes as u64, Ordering::Relaxed);
        };
        let config = Config::from_file(&file)?;
        let model = Model::load_observed(&file, config, kernels, options, &ready)?;
        let model = Arc::new(model);
        Ok(Loaded { model, time: start.elapsed() })
    };
    let loaded = announced(path, terminal, load).map_err(|e| refused(path, &e, terminal))?;
    for warning in loaded.model.warnings() {
        terminal.warning(escape::text(warning));
    }
    Ok(loaded)
}

/// Opens the file without loading a model from it, and prints its warnings.
///
/// # Errors
/// [`Exit::ModelLoad`], with `error[E10]` printed.
pub(crate) fn file(path: &Path, terminal: &Terminal) -> Result<GgufFile, Exit> {
    let file = GgufFile::open(path).map_err(|e| refused(path, &e.into(), terminal))?;
    for warning in file.warnings() {
        terminal.warning(escape::text(warning));
    }
    Ok(file)
}

/// A session of the context and threads that the flags ask for.
///
/// # Errors
/// As for [`not_computed`].
pub(crate) fn session(
    model: &Arc<Model>,
    args: &ModelArgs,
    terminal: &Terminal,
) -> Result<Session, Exit> {
    session_of(model, args.context(model.config()), args, terminal)
}

/// A session of `context` positions with the threads that the flags ask for.
///
/// # Errors
/// As for [`not_computed`].
pub(crate) fn session_of(
    model: &Arc<Model>,
    context: usize,
    args: &ModelArgs,
    terminal: &Terminal,
) -> Result<Session, Exit> {
    Session::with_options(model, context, args.threads(), args.session_options())
        .map_err(|e| not_computed(&e, terminal))
}

/// Prints why a session computes nothing: [`Exit::Environment`] if the system refused memory or a
/// thread, else [`Exit::Usage`], since something else was asked for than the model has.
pub(crate) fn not_computed(error: &SessionError, terminal: &Terminal) -> Exit {
    match error {
        SessionError::ContextFull { .. } => {
            terminal.error(format_args!("{error} (--ctx-size, up to what the model was made for)"));
        }
        SessionError::KeyBlocks { .. } => {
            terminal.error(format_args!("{error} (--cache-type-k)"));
        }
        _ => terminal.error(error),
    }
    match error {
        SessionError::Memory { .. } | SessionError::Threads(_) => Exit::Environment,
        _ => Exit::Usage,
    }
}

/// Prints `error[E10]`.
pub(crate) fn refused(path: &Path, error: &ModelError, terminal: &Terminal) -> Exit {
    let next = remedy(error).unwrap_or_else(|| load_error::next_step(path));
    terminal.report(&load_error::text(path, error, &next));
    Exit::ModelLoad
}

/// The flag that helps, where one states what the file does not say.
fn remedy(error: &ModelError) -> Option<String> {
    match error {
        ModelError::I2sLayout { likelier, .. } => {
            Some(format!("the same command with --i2s-layout {likelier}"))
        }
        ModelError::RowsTogether { .. } => {
            Some("the same command with --i2s-layout x86, or arm".into())
        }
        ModelError::Tiles { .. } => Some(
            "the same command with --tl-config and the kernel_config.ini of the file's kernels"
                .into(),
        ),
        _ => None,
    }
}

/// Bytes of a file's tensors, and how many are ready.
#[derive(Debug, Default)]
struct Progress {
    all: AtomicU64,
    ready: AtomicU64,
}

/// Runs `load`, telling on standard error how far it is if it takes long.
fn announced<T>(path: &Path, terminal: &Terminal, load: impl FnOnce(&Progress) -> T) -> T {
    let (done, is_done) = channel::<()>();
    let progress = &Progress::default();
    thread::scope(|scope| {
        scope.spawn(move || {
            if is_done.recv_timeout(PATIENCE) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            let text = format!("loading '{}'", escape::text(&path.display().to_string()));
            if !terminal.animates() {
                terminal.note(text);
                return;
            }
            let style = ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes} {wide_msg}");
            let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
            let bar = ProgressBar::new(0).with_style(style).with_message(text);
            loop {
                bar.set_length(progress.all.load(Ordering::Relaxed));
                bar.set_position(progress.ready.load(Ordering::Relaxed));
                // Ends when the sender is gone, also after a panic.
                if is_done.recv_timeout(TICK) != Err(RecvTimeoutError::Timeout) {
                    break;
                }
            }
            bar.finish_and_clear();
        });
        let _done = done;
        load(progress)
    })
}
