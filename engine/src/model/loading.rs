//! A model from a file: hyper-parameters, vocabulary and weights put together.
//!
//! There is no fallback: what is missing or does not fit ends the load with its reason.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use super::arena::Arena;
use super::config::Config;
use super::error::ModelError;
use super::layers::Weights;
use super::layout;
use super::screen::HeadScreen;
use super::weights::{Matrix, TensorReader, Values, arena_bytes};
use crate::gguf::{GgufFile, Metadata, Name, TensorInfo, TensorType};
use crate::kernels::Kernels;
use crate::memory::OutOfMemory;
use crate::quant::i2_s::FileLayout;
use crate::quant::six_bit::GROUP_COLUMNS;
use crate::quant::tiles::Tiles;
use crate::tokenizer::{SpecialIds, Tokenizer, VocabularySource};

/// A loaded model: immutable, shared by any number of sessions.
pub struct Model {
    file: Arc<GgufFile>,
    config: Config,
    tokenizer: Tokenizer,
    pub(crate) weights: Weights,
    pub(crate) kernels: &'static Kernels,
    warnings: Vec<String>,
    /// The head in 6 bits, once it was asked for; none where it does not pay or there is no memory.
    screen: OnceLock<Option<HeadScreen>>,
}

/// What a file does not say about itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LoadOptions {
    /// How the program that made the file packs I2_S.
    pub i2_s: FileLayout,
    /// How the kernels that the file was made for cut TL1 and TL2, where that is not published.
    pub tiles: Tiles,
}

impl Model {
    /// Opens and loads a GGUF file for the fastest instruction set of this machine.
    ///
    /// # Errors
    /// If the file is no GGUF, or no model that the engine computes.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        let file = Arc::new(GgufFile::open(path)?);
        let config = Config::from_file(&file)?;
        Self::load(&file, config, Kernels::best())
    }

    /// Loads the weights of `file` as `config` describes them, laid out for `kernels`; what the file
    /// does not say is as in every published one.
    ///
    /// # Errors
    /// As for [`Model::load_with`].
    ///
    /// # Panics
    /// As for [`Model::load_with`].
    pub fn load(
        file: &Arc<GgufFile>,
        config: Config,
        kernels: &'static Kernels,
    ) -> Result<Self, ModelError> {
        Self::load_with(file, config, kernels, LoadOptions::default())
    }

    /// Loads the weights of `file` as `config` and `options` describe them, laid out for `kernels`.
    ///
    /// `config` is normally [`Config::from_file`] of the same file.
    ///
    /// # Errors
    /// If a tensor is missing, superfluous, of another shape or of a type without arithmetic, the
    /// vocabulary is unusable, or the weights contradict `options`.
    ///
    /// # Panics
    /// If `config` was changed so that its lengths do not fit together: `head_count_kv` must divide
    /// `head_count`, `head_length` must be even, and no length 0.
    pub fn load_with(
        file: &Arc<GgufFile>,
        config: Config,
        kernels: &'static Kernels,
        options: LoadOptions,
    ) -> Result<Self, ModelError> {
        Self::load_observed(file, config, kernels, options, &|_| ())
    }

    /// [`Model::load_with`] that tells `observe` how many bytes of the file each tensor had that is ready.
    ///
    /// # Errors
    /// As for [`Model::load_with`].
    ///
    /// # Panics
    /// As for [`Model::load_with`].
    pub fn load_observed(
        file: &Arc<GgufFile>,
        config: Config,
        kernels: &'static Kernels,
        options: LoadOptions,
        observe: &dyn Fn(usize),
    ) -> Result<Self, ModelError> {
        assert!(config.is_consistent(), "the lengths of {config:?} do not fit together");
        let tokenizer = read_tokenizer(file.metadata())?;
        let (options, used) = (&options, vec![false; file.tensors().len()]);
        let arena = Arena::new(arena_bytes(file.tensors(), options.i2_s, kernels))
            .map_err(|OutOfMemory { bytes }| ModelError::Memory { bytes })?;
        let mut reader = TensorReader { file, kernels, options, used, arena, observe };
        let weights = Weights::read(&mut reader, &config)?;
        if let Some(index) = reader.used.iter().position(|used| !used) {
            let name = Name::new(file.tensors()[index].name.as_bytes());
            return Err(ModelError::UnknownTensor(name));
        }
        reader.arena.finish();
        layout::check(file, config.block_count, options.i2_s)?;
        let warnings = file.warnings().iter().cloned();
        let warnings = warnings.chain(tokenizer.warnings().iter().map(ToString::to_string));
        let warnings = warnings.collect();
        let file = Arc::clone(file);
        let screen = OnceLock::new();
        Ok(Self { file, config, tokenizer, weights, kernels, warnings, screen })
    }

    /// The file that it was loaded from.
    pub fn file(&self) -> &Arc<GgufFile> {
        &self.file
    }

    /// Shape and constants.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Text to ids and back.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The kernels that compute it.
    pub fn kernels(&self) -> &'static Kernels {
        self.kernels
    }

    /// The matrix that makes logits.
    pub(crate) fn head(&self) -> &Matrix {
        self.weights.output.as_ref().unwrap_or(&self.weights.token_embd)
    }

    /// Makes now what [`Session::step_top`](crate::session::Session::step_top) otherwise makes when it is
    /// called first, and says whether it reads less than the whole head with it.
    pub fn prepare_step_top(&self) -> bool {
        self.head_screen().is_some()
    }

    /// The head in 6 bits, where it is of floats and the kernels are fast enough for it.
    pub(crate) fn head_screen(&self) -> Option<&HeadScreen> {
        let make = || {
            let head = self.head();
            let name =
                if self.weights.output.is_some() { "output.weight" } else { "token_embd.weight" };
            let tensor = self.file.tensor(name)?;
            if screen_bytes(tensor, self.kernels) == 0 {
                return None;
            }
            let row = |index: usize, out: &mut [f32]| head.row(index, out);
            HeadScreen::new(head.rows, head.columns, row, || self.file.release(tensor)).ok()
        };
        self.screen.get_or_init(make).as_ref()
    }

    /// What each of RoPE's frequencies is divided by, where the file says so.
    pub(crate) fn rope_factors(&self) -> Option<&[f32]> {
        self.weights.rope_factors.as_ref().map(Values::get)
    }

    /// What is unusual about the file without making it unusable.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

/// Bytes of the screen that is made of a head; 0 where none is.
pub(crate) fn screen_bytes(head: &TensorInfo, kernels: &Kernels) -> usize {
    let float = [TensorType::F32, TensorType::F16, TensorType::Bf16].contains(&head.tensor_type);
    match *head.dims {
        [columns, rows] if kernels.screens && float && columns.is_multiple_of(GROUP_COLUMNS) => {
            HeadScreen::bytes(rows, columns)
        }
        _ => 0,
    }
}

/// The vocabulary of a file, of whatever architecture, without its weights.
///
/// # Errors
/// If a key is missing or mistyped, or the vocabulary is unusable.
pub fn read_tokenizer(metadata: &Metadata) -> Result<Tokenizer, ModelError> {
    let key = |name: &str| format!("tokenizer.ggml.{name}");
    let id = |name: &str| metadata.optional::<u32>(&key(name));
    let either = |new: &str, old: &str| -> Result<Option<u32>, ModelError> {
        Ok(match id(new)? {
            Some(id) => Some(id),
            None => id(old)?,
        })
    };
    let scores = match metadata.get(&key("scores")) {
        Some(_) => Some(metadata.f32s(&key("scores"))?.to_vec()),
        None => None,
    };
    let token_types = match metadata.get(&key("token_type")) {
        Some(_) => Some(metadata.i32s(&key("token_type"))?.to_vec()),
        None => None,
    };
    let merges = match metadata.get(&key("merges")) {
        Some(_) => Some(metadata.strings(&key("merges"))?.iter().map(|t| t.as_bytes()).collect()),
        None => None,
    };
    let source = VocabularySource {
        model: metadata.str(&key("model"))?,
        pre: metadata.optional(&key("pre"))?,
        tokens: metadata.strings(&key("tokens"))?.iter().map(|t| t.as_bytes()).collect(),
        scores: scores.as_deref(),
        token_types: token_types.as_deref(),
        merges,
        ids: SpecialIds {
            bos: id("bos_token_id")?,
            eos: id("eos_token_id")?,
            eot: id("eot_token_id")?,
            eom: id("eom_token_id")?,
            unk: id("unknown_token_id")?,
            pad: id("padding_token_id")?,
            fim_pre: either("fim_pre_token_id", "prefix_token_id")?,
            fim_suf: either("fim_suf_token_id", "suffix_token_id")?,
            fim_mid: either("fim_mid_token_id", "middle_token_id")?,
            fim_pad: id("fim_pad_token_id")?,
            fim_rep: id("fim_rep_token_id")?,
            fim_sep: id("fim_sep_token_id")?,
        },
        add_bos: metadata.optional(&key("add_bos_token"))?,
        add_eos: metadata.optional(&key("add_eos_token"))?,
        add_space_prefix: metadata.optional(&key("add_space_prefix"))?,
    };
    Ok(Tokenizer::new(&source)?)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::gguf::{Directory, GgufWriter};
    use crate::synth::{SynthSpec, write_model};

    fn bytes() -> Vec<u8> {
        let spec = SynthSpec::from_names("bitnet-b1.58", "tiny", "I2_S", "F16", 7);
        let mut bytes = Vec::new();
        write_model(&spec.expect("a good spec"), &mut bytes, |_, _| {}).expect("memory");
        bytes
    }

    fn open(bytes: &[u8]) -> Arc<GgufFile> {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.write_all(bytes).expect("room for a small file");
        Arc::new(GgufFile::open(file.path()).expect("a GGUF file"))
    }

    fn refusal(bytes: &[u8]) -> String {
        let file = open(bytes);
        let config = Config::from_file(&file).expect("good hyper-parameters");
        Model::load(&file, config, Kernels::best()).err().expect("refused").to_string()
    }

    #[test]
    fn scales_that_no_writer_makes_are_refused() {
        let name = "blk.1.attn_q.weight";
        for scale in [0.0f32, -0.0, -1.0, f32::NAN, f32::INFINITY] {
            let mut bytes = bytes();
            let directory = Directory::parse(&bytes).expect("a good file");
            let end = directory.tensor(name).expect("is there").range().end;
            bytes[end - 32..end - 28].copy_from_slice(&scale.to_le_bytes());
            let truth = format!(
                "tensor '{name}' has the scale {scale}, which is not a finite number above 0; the \
                 file is damaged: fetch or convert it again"
            );
            assert_eq!(refusal(&bytes), truth);
        }
    }

    #[test]
    fn a_name_from_the_file_reaches_no_terminal_raw() {
        let bytes = bytes();
        let directory = Directory::parse(&bytes).expect("a good file");
        let mut writer = GgufWriter::new();
        for (key, value) in directory.metadata().iter() {
            writer.value(key, value).expect("as read");
        }
        for t in directory.tensors() {
            let data = &bytes[t.range()];
            writer.tensor_bytes(&t.name, t.tensor_type, &t.dims, data).expect("as read");
        }
        let name = "x\u{1b}[31m";
        writer.tensor_bytes(name, TensorType::F32, &[1], &[0; 4]).expect("any name");
        let mut out = Vec::new();
        writer.write(&mut out).expect("memory");
        let message = refusal(&out);
        assert!(message.starts_with("tensor 'x\\u{1b}[31m' is not part of a model"), "{message}");
    }

    #[test]
    fn every_byte_of_every_tensor_is_observed_once() {
        let file = open(&bytes());
        let config = Config::from_file(&file).expect("good hyper-parameters");
        let seen = std::cell::RefCell::new(Vec::new());
        let observe = |bytes| seen.borrow_mut().push(bytes);
        Model::load_observed(&file, config, Kernels::best(), LoadOptions::default(), &observe)
            .expect("a whole model");
        let mut sizes: Vec<usize> = file.tensors().iter().map(|tensor| tensor.size).collect();
        let mut seen = seen.into_inner();
        sizes.sort_unstable();
        seen.sort_unstable();
        assert_eq!(seen, sizes);
    }

    #[test]
    #[should_panic(expected = "do not fit together")]
    fn lengths_that_do_not_fit_together_are_no_config() {
        let file = open(&bytes());
        let config = Config::from_file(&file).expect("good hyper-parameters");
        let config = Config { head_length: config.head_length - 1, ..config };
        drop(Model::load(&file, config, Kernels::best()));
    }
}
