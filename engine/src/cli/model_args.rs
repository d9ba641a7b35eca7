//! The flags that name a model, say how it is packed and how it is computed; they open no model.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;

use bitnet_engine::escape;
use bitnet_engine::kernels::{Isa, Kernels};
use bitnet_engine::model::{Config, KeyCache, LoadOptions};
use bitnet_engine::quant::i2_s::FileLayout;
use bitnet_engine::quant::tiles::Tiles;
use bitnet_engine::session::SessionOptions;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};

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

/// What the file does not say of its ternary matrices.
#[derive(Debug, Clone, Args)]
pub(crate) struct PackingArgs {
    /// How the program that quantised the file packs I2_S
    #[arg(long, value_name = "LAYOUT", value_parser = layout_parser(), default_value = "x86")]
    i2s_layout: FileLayout,
    /// kernel_config.ini of the kernels that a TL1 or TL2 file was made for; without it those that
    /// bitnet.cpp publishes
    #[arg(long, value_name = "FILE")]
    tl_config: Option<PathBuf>,
}

impl PackingArgs {
    /// What they state.
    ///
    /// # Errors
    /// In words, if the configuration cannot be read.
    pub(crate) fn options(&self) -> Result<LoadOptions, String> {
        let tiles = self.tl_config.as_deref().map(tiles).transpose()?.unwrap_or_default();
        Ok(LoadOptions { i2_s: self.i2s_layout, tiles })
    }
}

/// The tiles in a `kernel_config.ini`.
///
/// # Errors
/// In words, safe to show, if it cannot be read or is something else.
pub(crate) fn tiles(path: &Path) -> Result<Tiles, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string());
    let tiles = text.and_then(|text| Tiles::parse(&text).map_err(|error| error.to_string()));
    tiles.map_err(|error| {
        let path = escape::text(&path.display().to_string());
        format!("cannot use the kernel configuration '{path}': {error}")
    })
}

/// The file, and how it is computed.
#[derive(Debug, Clone, Args)]
pub(crate) struct ModelArgs {
    #[command(flatten)]
    pub(crate) file: ModelFile,
    #[command(flatten)]
    pub(crate) packing: PackingArgs,
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
    #[command(flatten)]
    cache: CacheArgs,
}

/// What the KV cache is made of.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct CacheArgs {
    /// Type of the keys in the KV cache; f16 takes half the memory and rounds them, q8_0 little more than a
    /// quarter and rounds them to 8 bits
    #[arg(long, value_name = "TYPE", value_enum, default_value_t = KeyType::F32)]
    cache_type_k: KeyType,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum KeyType {
    F32,
    F16,
    #[value(name = "q8_0")]
    Q8_0,
}

impl CacheArgs {
    /// The type of the keys.
    pub(crate) fn keys(self) -> KeyCache {
        match self.cache_type_k {
            KeyType::F32 => KeyCache::F32,
            KeyType::F16 => KeyCache::F16,
            KeyType::Q8_0 => KeyCache::Q8_0,
        }
    }

    /// How a session with such a cache computes.
    pub(crate) fn session_options(self) -> SessionOptions {
        SessionOptions { key_cache: self.keys(), ..SessionOptions::default() }
    }
}

fn layout_parser() -> impl TypedValueParser<Value = FileLayout> {
    PossibleValuesParser::new(FileLayout::NAMES.map(|(name, _)| name))
        .try_map(|name| name.parse::<FileLayout>())
}

pub(super) fn isa_parser() -> impl TypedValueParser<Value = Isa> {
    PossibleValuesParser::new(Isa::ALL.map(Isa::name)).try_map(|name| name.parse::<Isa>())
}

/// Threads that compute where so many are asked for, or none are.
pub(crate) fn threads(asked: Option<NonZeroUsize>) -> NonZeroUsize {
    asked.or_else(|| available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN)
}

/// Positions of the context for a model of this shape where so many are asked for, or none are; may be
/// more than the model has.
pub(crate) fn context(asked: Option<usize>, config: &Config) -> usize {
    match asked {
        Some(0) => config.context_length,
        Some(size) => size,
        None => config.context_length.min(DEFAULT_CONTEXT),
    }
}

impl ModelArgs {
    /// Threads that compute.
    pub(crate) fn threads(&self) -> NonZeroUsize {
        threads(self.threads)
    }

    /// How a session computes.
    pub(crate) fn session_options(&self) -> SessionOptions {
        self.cache.session_options()
    }

    /// Positions of the context for a model of this shape; may be more than the model has.
    pub(crate) fn context(&self, config: &Config) -> usize {
        context(self.ctx_size, config)
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
        kernels_of(self.isa)
    }
}

/// The kernels of an instruction set, or the fastest ones where none is asked for.
///
/// # Errors
/// In words, if this processor lacks it.
pub(crate) fn kernels_of(isa: Option<Isa>) -> Result<&'static Kernels, String> {
    let Some(isa) = isa else { return Ok(Kernels::best()) };
    Kernels::for_isa(isa).ok_or_else(|| {
        let best = Isa::best();
        format!("this processor has no {isa}; --isa {best} is its fastest instruction set")
    })
}
