//! The flags that name a model and say how it is computed; they open nothing.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::thread::available_parallelism;

use bitnet_engine::kernels::{Isa, Kernels};
use bitnet_engine::model::Config;
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};

/// Positions of a session where none are asked for.
const DEFAULT_CONTEXT: usize = 4096;

/// The file.
#[derive(Debug, Clone, Args)]
pub(crate) struct ModelFile {
    /// GGUF file of the model
    #[arg(
        id = "model",
        short = 'm',
        long = "model",
        value_name = "PATH",
        env = "BITNET_MODEL",
        hide_env_values = true
    )]
    pub(crate) path: PathBuf,
}

/// The file, and how it is computed.
#[derive(Debug, Clone, Args)]
pub(crate) struct ModelArgs {
    #[command(flatten)]
    pub(crate) file: ModelFile,
    /// Threads that compute; as many as this process may use if not given
    #[arg(short, long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// Instruction set of the kernels; the fastest of this processor if not given
    #[arg(long, value_name = "ISA", value_parser = isa_parser())]
    isa: Option<Isa>,
    /// Positions of the context, 0 for all that the model was made for; 4096, or those of the model
    /// if it has fewer, if not given
    #[arg(short, long, value_name = "N")]
    ctx_size: Option<usize>,
}

fn isa_parser() -> impl TypedValueParser<Value = Isa> {
    PossibleValuesParser::new(["scalar", "avx2", "avx512"]).try_map(|name| name.parse::<Isa>())
}

impl ModelArgs {
    /// Threads that compute.
    pub(crate) fn threads(&self) -> NonZeroUsize {
        self.threads.or_else(|| available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN)
    }

    /// Positions of the context for a model of this shape; may be more than the model has.
    pub(crate) fn context(&self, config: &Config) -> usize {
        match self.ctx_size {
            Some(0) => config.context_length,
            Some(size) => size,
            None => config.context_length.min(DEFAULT_CONTEXT),
        }
    }

    /// Positions of the context, where exactly `needed` serve unless others are asked for.
    pub(crate) fn context_for(&self, needed: usize, config: &Config) -> usize {
        self.ctx_size.map_or(needed, |_| self.context(config))
    }

    /// The kernels.
    ///
    /// # Errors
    /// In words, if this processor lacks the instruction set asked for.
    pub(crate) fn kernels(&self) -> Result<&'static Kernels, String> {
        let Some(isa) = self.isa else { return Ok(Kernels::best()) };
        Kernels::for_isa(isa).ok_or_else(|| {
            let best = Isa::best();
            format!("this processor has no {isa}; --isa {best} is its fastest instruction set")
        })
    }
}
