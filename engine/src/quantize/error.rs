//! Why a model is not converted: which tensor, what is in it, and what to do.

use super::ternary::Misfit;
use crate::gguf::{Name, ShapeFault, WriteError};
use crate::quant::tiles::TileFault;
use crate::quant::tl1::BadIndex;

/// Why a model was not converted. What was written until then is no GGUF file.
#[derive(Debug, thiserror::Error)]
pub enum QuantizeError {
    /// The matrix has a type that is not read here.
    #[error(
        "tensor '{name}' is of type {found}, which is not read here; convert the original model, or a \
         version of it in F32, F16 or BF16"
    )]
    Source {
        /// The tensor.
        name: Name,
        /// Its type.
        found: &'static str,
    },
    /// The type does not fit the shape.
    #[error("tensor '{name}' cannot become {target}: it {fault}; {}", shape_step(.fault))]
    Shape {
        /// The tensor.
        name: Name,
        /// The type asked for.
        target: &'static str,
        /// Why.
        fault: ShapeFault,
    },
    /// Rows that I2_S does not hold.
    #[error(
        "tensor '{name}' cannot become {target}: it has {columns} elements a row, which is no multiple of \
         {target}'s block of 128; choose F16 or another type"
    )]
    Columns {
        /// The tensor.
        name: Name,
        /// The type asked for.
        target: &'static str,
        /// Elements of a row.
        columns: usize,
    },
    /// A tensor of I2_S, TL1 or TL2 that is no matrix.
    #[error(
        "tensor '{name}' has {found} dimensions, but {tensor_type} holds matrices only; choose another \
         type"
    )]
    NoMatrix {
        /// The tensor.
        name: Name,
        /// Its dimensions.
        found: usize,
        /// The type that it has or was to have.
        tensor_type: &'static str,
    },
    /// The embedding or the head in a type that has no rows of its own.
    #[error(
        "tensor '{name}' cannot become {target}, whose rows do not stand alone: embedding and head are \
         looked up row by row; choose another type for it"
    )]
    Table {
        /// The tensor.
        name: Name,
        /// The type asked for.
        target: &'static str,
    },
    /// A type was asked for a tensor that there is not.
    #[error(
        "a type is asked for '{name}', but the file has no such tensor (without a head of its own a model \
         uses its embedding); leave it out"
    )]
    NoTensor {
        /// The tensor.
        name: &'static str,
    },
    /// How a matrix is cut for lookup-table kernels is not known.
    #[error("tensor '{name}' {}: {fault}", if *.writing { "to be written" } else { "as it is" })]
    Tiles {
        /// The tensor.
        name: Name,
        /// Whether it is about the file to be written.
        writing: bool,
        /// Why.
        fault: TileFault,
    },
    /// Rows that the stated I2_S layout cannot hold.
    #[error(
        "tensor '{name}' has {rows} rows, but the I2_S layout {layout} packs {together} of them together; \
         the file has another layout, or is damaged"
    )]
    RowsTogether {
        /// The tensor.
        name: Name,
        /// Its rows.
        rows: usize,
        /// What was stated.
        layout: &'static str,
        /// Rows that it packs together.
        together: usize,
    },
    /// A code or index that stands for no weight.
    #[error(
        "tensor '{name}' has the index {} at row {}, column {}, which no packer of {found} writes; the file \
         is damaged: fetch or convert it again", .bad.index, .bad.row, .bad.column
    )]
    Code {
        /// The tensor.
        name: Name,
        /// Its type.
        found: &'static str,
        /// Where and what.
        bad: BadIndex,
    },
    /// A number that is none, or a scale that no matrix can have.
    #[error(
        "tensor '{name}' holds {value} in row {row}, column {column}; the file is damaged: fetch or \
         convert it again"
    )]
    NotFinite {
        /// The tensor.
        name: Name,
        /// What is there.
        value: f32,
        /// Row.
        row: usize,
        /// Column.
        column: usize,
    },
    /// The scale of a ternary tensor is no scale.
    #[error(
        "tensor '{name}' has the scale {found}, which is not a finite number above 0; the file is damaged: \
         fetch or convert it again"
    )]
    Scale {
        /// The tensor.
        name: Name,
        /// Its scale.
        found: f32,
    },
    /// A value, or a scale, that the type cannot hold.
    #[error("tensor '{name}' holds {value}, which {target} cannot hold; choose another type")]
    Range {
        /// The tensor.
        name: Name,
        /// The type asked for.
        target: &'static str,
        /// What is too large or too small.
        value: f32,
    },
    /// Nothing but zeros, of which no scale can be taken.
    #[error(
        "tensor '{name}' holds nothing but zeros, so that {target} has no scale for it; choose another \
         type"
    )]
    Zeros {
        /// The tensor.
        name: Name,
        /// The type asked for.
        target: &'static str,
    },
    /// The matrix is not ternary, and making it so was not allowed.
    #[error(
        "tensor '{name}' is not ternary: {misfit}; {target} would change the model. Choose another type, \
         or allow the loss"
    )]
    NotTernary {
        /// The tensor.
        name: Name,
        /// The type asked for.
        target: &'static str,
        /// How far from ternary it is.
        misfit: Misfit,
    },
    /// The file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

fn shape_step(fault: &ShapeFault) -> &'static str {
    match fault {
        ShapeFault::PartialBlock { .. } => "choose a type with smaller blocks, or F16",
        _ => "choose another type",
    }
}
