//! What becomes of every tensor of a file, decided and checked before anything is read or written.

use super::error::QuantizeError;
use super::target::Target;
use crate::gguf::{GgufFile, Name, TensorInfo, TensorType};
use crate::model::LoadOptions;
use crate::quant::blocks::BlockType;
use crate::quant::i2_s;
use crate::quant::tiles::{LookupType, Tile, Tiles};

/// The tensors that are looked up row by row.
const EMBEDDING: &str = "token_embd.weight";
const HEAD: &str = "output.weight";

/// What is wanted.
#[derive(Debug, Clone)]
pub struct Options {
    /// The type of the matrices.
    pub target: Target,
    /// The type of the embedding. Without it, that of the matrices; as it is where they become ternary.
    pub embedding: Option<Target>,
    /// The type of the head, if there is one beside the embedding; as for that.
    pub output: Option<Target>,
    /// Makes ternary what is not, as the reference's quantisers do.
    pub allow_lossy: bool,
    /// What the file does not say about itself.
    pub source: LoadOptions,
    /// How the kernels that the written file is for cut TL1 and TL2, where that is not published.
    pub tiles: Tiles,
}

impl Options {
    /// All matrices in one type; nothing else is asked for.
    pub fn new(target: Target) -> Self {
        Self {
            target,
            embedding: None,
            output: None,
            allow_lossy: false,
            source: LoadOptions::default(),
            tiles: Tiles::default(),
        }
    }
}

/// What becomes of one tensor.
#[derive(Debug, Clone)]
pub struct Step {
    /// Its place in the file.
    pub(super) index: usize,
    /// Its type in the file.
    pub from: TensorType,
    /// Its type in the file to be written.
    pub to: TensorType,
    /// Bytes that it will take.
    pub bytes: usize,
    pub(super) action: Action,
}

/// How a tensor gets its bytes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Action {
    /// As they are.
    Copy,
    /// Converted; with the tiles to read and to write it with, where it has or gets any.
    Convert { target: Target, read: Option<Tile>, write: Option<Tile> },
}

impl Step {
    /// Whether its bytes are those of the file.
    pub fn is_copy(&self) -> bool {
        matches!(self.action, Action::Copy)
    }
}

/// A conversion that can be done, as far as shapes and types tell.
#[derive(Debug)]
pub struct Plan<'a> {
    pub(super) file: &'a GgufFile,
    pub(super) options: Options,
    steps: Vec<Step>,
}

impl<'a> Plan<'a> {
    /// Decides what becomes of each tensor: a matrix (two dimensions or more, a name that ends in
    /// `.weight` and not in `_norm.weight`) gets the type asked for, anything else stays as it is.
    ///
    /// # Errors
    /// If a matrix has a type that is not read here, or a shape that its new type does not hold; if a type
    /// is asked for an embedding or a head that there is not.
    pub fn new(file: &'a GgufFile, options: Options) -> Result<Self, QuantizeError> {
        for (name, asked) in [(EMBEDDING, options.embedding), (HEAD, options.output)] {
            if asked.is_some() && file.tensor(name).is_none() {
                return Err(QuantizeError::NoTensor { name });
            }
        }
        let steps = file.tensors().iter().enumerate();
        let steps = steps.map(|(index, tensor)| step(index, tensor, &options));
        let steps = steps.collect::<Result<_, _>>()?;
        Ok(Self { file, options, steps })
    }

    /// The steps, in the order of the tensors.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The tensor of a step.
    pub fn tensor(&self, step: &Step) -> &'a TensorInfo {
        &self.file.tensors()[step.index]
    }

    /// Bytes of all tensors in the file.
    pub fn bytes_before(&self) -> u64 {
        self.steps.iter().map(|step| self.tensor(step).size as u64).sum()
    }

    /// Bytes that all tensors will take.
    pub fn bytes_after(&self) -> u64 {
        self.steps.iter().map(|step| step.bytes as u64).sum()
    }
}

/// What a tensor is to become, if anything.
fn wanted(tensor: &TensorInfo, options: &Options) -> Option<Target> {
    let is_matrix = tensor.dims.len() >= 2
        && tensor.name.ends_with(".weight")
        && !tensor.name.ends_with("_norm.weight");
    let table = |asked: Option<Target>| {
        asked.or_else(|| Some(options.target).filter(|target| !target.is_ternary()))
    };
    match &*tensor.name {
        _ if !is_matrix => None,
        EMBEDDING => table(options.embedding),
        HEAD => table(options.output),
        _ => Some(options.target),
    }
}

fn step(index: usize, tensor: &TensorInfo, options: &Options) -> Result<Step, QuantizeError> {
    let from = tensor.tensor_type;
    let copied = Step { index, from, to: from, bytes: tensor.size, action: Action::Copy };
    let Some(target) = wanted(tensor, options) else { return Ok(copied) };
    let name = || Name::new(tensor.name.as_bytes());
    let to = target.tensor_type();
    if to.is_whole() && matches!(&*tensor.name, EMBEDDING | HEAD) {
        return Err(QuantizeError::Table { name: name(), target: target.name() });
    }
    // The same type in another arrangement is a conversion where the arrangement is stated.
    let arranged = match from {
        TensorType::I2S => options.source.i2_s != i2_s::FileLayout::X86,
        TensorType::Tl1 | TensorType::Tl2 => options.tiles != Tiles::default(),
        _ => false,
    };
    if from == to && !arranged {
        return Ok(copied);
    }
    let shape_fault = |fault| QuantizeError::Shape { name: name(), target: target.name(), fault };
    let bytes = to.tensor_bytes(&tensor.dims).map_err(shape_fault)?;
    let columns = tensor.dims[0];
    if target == Target::I2S && !columns.is_multiple_of(i2_s::BLOCK) {
        return Err(QuantizeError::Columns { name: name(), target: target.name(), columns });
    }
    let tile = |lookup: Option<LookupType>, tiles: &Tiles, writing| {
        let rows = tensor.dims[1];
        lookup
            .map(|lookup| tiles.of(lookup, rows, columns))
            .transpose()
            .map_err(|fault| QuantizeError::Tiles { name: name(), writing, fault })
    };
    if let Some(whole) = [from, to].into_iter().find(|t| t.is_whole() && tensor.dims.len() != 2) {
        let (found, tensor_type) = (tensor.dims.len(), whole.name());
        return Err(QuantizeError::NoMatrix { name: name(), found, tensor_type });
    }
    let source_lookup = match from {
        TensorType::Tl1 => Some(LookupType::Tl1),
        TensorType::Tl2 => Some(LookupType::Tl2),
        TensorType::I2S | TensorType::F32 | TensorType::F16 | TensorType::Bf16 => None,
        other if BlockType::from_name(other.name()).is_some() => None,
        other => return Err(QuantizeError::Source { name: name(), found: other.name() }),
    };
    if from == TensorType::I2S && !columns.is_multiple_of(i2_s::BLOCK) {
        return Err(QuantizeError::Columns { name: name(), target: from.name(), columns });
    }
    let read = tile(source_lookup, &options.source.tiles, false)?;
    let write = tile(target.lookup(), &options.tiles, true)?;
    Ok(Step { index, from, to, bytes, action: Action::Convert { target, read, write } })
}
