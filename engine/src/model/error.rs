//! Why a model cannot be loaded: which key or tensor, what was found, what is needed.
//!
//! Text that is the file's own is shown escaped, never raw; the other names are the engine's.

use crate::gguf::{GgufError, Name};
use crate::quant::i2_s::FileLayout;
use crate::quant::tiles::TileFault;
use crate::quant::tl1::BadIndex;
use crate::tokenizer::TokenizerError;

/// Why a file that is good GGUF is no model that this engine computes.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The container is damaged, or a key is missing or mistyped.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// The vocabulary cannot be used.
    #[error("the tokenizer cannot be built from this file's metadata: {0}")]
    Tokenizer(#[from] TokenizerError),
    /// `general.architecture` names something else.
    #[error("architecture '{found}' is not supported; supported are {supported}")]
    Architecture {
        /// What the file says, escaped.
        found: String,
        /// What the engine computes.
        supported: String,
    },
    /// A hyper-parameter has a value that no model can have.
    #[error("metadata key '{key}' is {found}, but {rule}; fetch or convert the file again")]
    HyperParameter {
        /// The key.
        key: String,
        /// Its value.
        found: String,
        /// What must hold.
        rule: String,
    },
    /// A key asks for a computation that the engine does not have.
    #[error("metadata key '{key}' is {found}, which is not computed; supported is {supported}")]
    Unsupported {
        /// The key.
        key: String,
        /// Its value.
        found: String,
        /// What is computed.
        supported: String,
    },
    /// A tensor that the architecture needs is not there.
    #[error(
        "tensor '{0}' is missing; the file is not a whole model of its architecture: fetch or \
         convert it again"
    )]
    MissingTensor(String),
    /// A tensor's shape contradicts the hyper-parameters.
    #[error(
        "tensor '{name}' has shape {found:?}, but the hyper-parameters ask for {wanted:?}; fetch or \
         convert the file again"
    )]
    Shape {
        /// The tensor.
        name: String,
        /// Its extents, innermost first.
        found: Vec<usize>,
        /// What the hyper-parameters ask for, innermost first.
        wanted: Vec<usize>,
    },
    /// A tensor's type has no arithmetic here.
    #[error(
        "tensor '{name}' is of type {found}, but {role} must be {supported}; convert the model to that"
    )]
    TensorType {
        /// The tensor.
        name: String,
        /// Its type.
        found: String,
        /// What the tensor is used as.
        role: &'static str,
        /// The types that are computed.
        supported: &'static str,
    },
    /// A scale that would turn every product into nonsense.
    #[error(
        "tensor '{name}' has the scale {found}, which is not a finite number above 0; the file is \
         damaged: fetch or convert it again"
    )]
    Scale {
        /// The tensor.
        name: String,
        /// Its scale.
        found: f32,
    },
    /// Codes of I2_S that stand for no weight.
    #[error(
        "tensor '{name}' has a code of 3 in its byte {place}, which stands for no weight; the file is \
         damaged: fetch or convert it again"
    )]
    UnusedCode {
        /// The tensor.
        name: String,
        /// The first byte with such a code, counted from the tensor's first.
        place: usize,
    },
    /// The system has no memory for the matrices in the kernels' layout.
    #[error(
        "the system has no {bytes} bytes of memory for the weights of this model; free some, or run it \
         on a machine with more"
    )]
    Memory {
        /// Bytes asked for.
        bytes: usize,
    },
    /// Rows of a type that do not fit its blocks.
    #[error(
        "tensor '{name}' has {columns} columns, but {tensor_type} needs a multiple of {block}; \
         convert it to F16 or F32"
    )]
    Columns {
        /// The tensor.
        name: String,
        /// Its columns.
        columns: usize,
        /// Its type.
        tensor_type: String,
        /// Columns of one block.
        block: usize,
    },
    /// A matrix that the stated I2_S layout cannot hold.
    #[error(
        "tensor '{name}' has {rows} rows, but the I2_S layout {layout} packs {} of them together; the \
         file has another layout, or is damaged", .layout.rows_together()
    )]
    RowsTogether {
        /// The tensor.
        name: String,
        /// Its rows.
        rows: usize,
        /// The layout that was stated.
        layout: FileLayout,
    },
    /// Another I2_S layout than the stated one fits the file's norms.
    #[error(
        "the file was to be read in the I2_S layout {stated}, but its matrices fit their norms in the \
         layout {likelier}, by {deviations:.0} deviations of chance; state the I2_S layout {likelier} \
         for this file"
    )]
    I2sLayout {
        /// What was stated.
        stated: FileLayout,
        /// What fits.
        likelier: FileLayout,
        /// How far chance is from making this difference.
        deviations: f64,
    },
    /// How a matrix was cut for lookup-table kernels is not known.
    #[error("tensor '{name}': {fault}")]
    Tiles {
        /// The tensor.
        name: String,
        /// Why.
        fault: TileFault,
    },
    /// An index of TL1 or TL2 that no packer writes.
    #[error(
        "tensor '{name}' has the index {} at row {}, column {}, which no packer writes; the file is \
         damaged: fetch or convert it again", .bad.index, .bad.row, .bad.column
    )]
    LookupIndex {
        /// The tensor.
        name: String,
        /// Where and what.
        bad: BadIndex,
    },
    /// The tensors beyond those of the architecture would be ignored silently.
    #[error(
        "tensor '{0}' is not part of a model with this architecture and these hyper-parameters; \
         ignoring it would give wrong results: fetch or convert the file again"
    )]
    UnknownTensor(Name),
}
