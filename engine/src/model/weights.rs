//! Typed weights: every tensor's name, shape and type checked once, when a model is loaded.
//!
//! Matrices stay where the file has them (mapped memory) unless the kernels want another layout or
//! the file's alignment does not allow the view. No arithmetic here.

use std::sync::Arc;

use bytemuck::Pod;
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use super::arena::{self, Arena, Part};
use super::error::ModelError;
use super::loading::LoadOptions;
use crate::gguf::{GgufFile, TensorInfo, TensorType};
use crate::kernels::Kernels;
use crate::quant::blocks::{BlockActivation, BlockType};
use crate::quant::i2_s::{self, FileLayout};
use crate::quant::ternary_layout::Layout;
use crate::quant::tiles::LookupType;

/// Values of a tensor: in the mapped file, or copied.
pub(crate) enum Values<T> {
    /// Index into the file's tensors; the bytes are aligned and a whole number of values.
    Mapped(Arc<GgufFile>, usize),
    Owned(Box<[T]>),
    /// Arranged anew.
    Arranged(Part),
}

impl<T: Pod> Values<T> {
    fn new(file: &Arc<GgufFile>, index: usize) -> Self {
        let bytes = file.data(&file.tensors()[index]);
        match bytemuck::try_cast_slice::<u8, T>(bytes) {
            Ok(_) => Values::Mapped(Arc::clone(file), index),
            // A file may align its data to less than its values need.
            Err(_) => Values::Owned(bytemuck::pod_collect_to_vec(bytes).into()),
        }
    }

    pub(crate) fn get(&self) -> &[T] {
        match self {
            // `new` has made the same cast of the same bytes.
            Values::Mapped(file, index) => bytemuck::cast_slice(file.data(&file.tensors()[*index])),
            Values::Owned(values) => values,
            Values::Arranged(part) => bytemuck::cast_slice(part.bytes()),
        }
    }
}

/// A weight matrix: `rows` outputs, `columns` inputs, row-major.
pub(crate) struct Matrix {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) data: MatrixData,
}

/// The matrix's numbers; the variant decides the arithmetic (design.md §11).
pub(crate) enum MatrixData {
    /// Codes in the kernels' layout, and the scale of the whole matrix.
    Ternary {
        codes: Values<u8>,
        scale: f32,
    },
    F32(Values<f32>),
    F16(Values<f16>),
    Bf16(Values<bf16>),
    /// Rows of whole blocks.
    Blocks(BlockType, Values<u8>),
}

/// What activations become before a matrix multiplies them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// int8 with one scale a token.
    Int8,
    F32,
    F16,
    Bf16,
    Q8_0,
    Q8K,
}

/// Takes tensors out of a file, remembering which ones were used.
pub(crate) struct TensorReader<'a> {
    pub(crate) file: &'a Arc<GgufFile>,
    pub(crate) kernels: &'static Kernels,
    /// How the file packs its ternary types.
    pub(crate) options: &'a LoadOptions,
    pub(crate) used: Vec<bool>,
    /// Takes what is arranged anew; [`arranged_bytes`] of all tensors fit.
    pub(crate) arena: Arena,
    /// Is told the bytes of each tensor that is ready.
    pub(crate) observe: &'a dyn Fn(usize),
}

impl TensorReader<'_> {
    fn find(&mut self, name: &str, wanted: &[usize]) -> Result<(usize, TensorType), ModelError> {
        let (index, tensor) =
            self.position(name).ok_or_else(|| ModelError::MissingTensor(name.to_owned()))?;
        if *tensor.dims != *wanted {
            return Err(ModelError::Shape {
                name: name.to_owned(),
                found: tensor.dims.to_vec(),
                wanted: wanted.to_vec(),
            });
        }
        let tensor_type = tensor.tensor_type;
        self.used[index] = true;
        Ok((index, tensor_type))
    }

    fn position(&self, name: &str) -> Option<(usize, &TensorInfo)> {
        self.file.tensor_index(name).map(|index| (index, &self.file.tensors()[index]))
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.file.tensor(name).is_some()
    }

    /// A norm's weights: f32, as the reference requires them.
    pub(crate) fn norm(&mut self, name: &str, length: usize) -> Result<Values<f32>, ModelError> {
        self.vector(name, length, "a norm")
    }

    /// What is added to a product: f32, as the reference requires it.
    pub(crate) fn bias(&mut self, name: &str, length: usize) -> Result<Values<f32>, ModelError> {
        self.vector(name, length, "a bias")
    }

    /// Factors: f32, finite and above 0.
    pub(crate) fn positive(
        &mut self,
        name: &str,
        length: usize,
    ) -> Result<Values<f32>, ModelError> {
        let values = self.vector(name, length, "a scale")?;
        match values.get().iter().find(|v| !(v.is_finite() && **v > 0.0)) {
            Some(&found) => Err(ModelError::Scale { name: name.to_owned(), found }),
            None => Ok(values),
        }
    }

    fn vector(
        &mut self,
        name: &str,
        length: usize,
        role: &'static str,
    ) -> Result<Values<f32>, ModelError> {
        let (index, tensor_type) = self.find(name, &[length])?;
        if tensor_type != TensorType::F32 {
            return Err(ModelError::TensorType {
                name: name.to_owned(),
                found: tensor_type.name().to_owned(),
                role,
                supported: "F32",
            });
        }
        self.ready(index);
        Ok(Values::new(self.file, index))
    }

    fn ready(&self, index: usize) {
        (self.observe)(self.file.tensors()[index].size);
    }

    /// A matrix of a layer.
    pub(crate) fn matrix(
        &mut self,
        name: &str,
        rows: usize,
        columns: usize,
    ) -> Result<Matrix, ModelError> {
        let (index, tensor_type) = self.find(name, &[columns, rows])?;
        let data = match tensor_type {
            TensorType::I2S => self.ternary(name, index, rows, columns)?,
            TensorType::Tl1 => self.lookup(LookupType::Tl1, name, index, rows, columns)?,
            TensorType::Tl2 => self.lookup(LookupType::Tl2, name, index, rows, columns)?,
            other => self.plain(index, other).ok_or_else(|| ModelError::TensorType {
                name: name.to_owned(),
                found: other.name().to_owned(),
                role: "a layer's matrix",
                supported: "I2_S, TL1, TL2, F32, F16, BF16, Q8_0, Q4_0, Q4_K, Q5_K, Q6_K, TQ1_0 or \
                            TQ2_0",
            })?,
        };
        self.ready(index);
        Ok(Matrix { rows, columns, data })
    }

    /// The embedding or the head: row lookup needs a type whose rows stand alone.
    pub(crate) fn table(
        &mut self,
        name: &str,
        rows: usize,
        columns: usize,
    ) -> Result<Matrix, ModelError> {
        let (index, tensor_type) = self.find(name, &[columns, rows])?;
        let data = self.plain(index, tensor_type).ok_or_else(|| ModelError::TensorType {
            name: name.to_owned(),
            found: tensor_type.name().to_owned(),
            role: "the embedding or the head",
            supported: "F32, F16, BF16, Q8_0, Q4_0, Q4_K, Q5_K, Q6_K, TQ1_0 or TQ2_0",
        })?;
        self.ready(index);
        Ok(Matrix { rows, columns, data })
    }

    /// The data of a type whose rows stand alone.
    fn plain(&self, index: usize, tensor_type: TensorType) -> Option<MatrixData> {
        Some(match tensor_type {
            TensorType::F32 => MatrixData::F32(Values::new(self.file, index)),
            TensorType::F16 => MatrixData::F16(Values::new(self.file, index)),
            TensorType::Bf16 => MatrixData::Bf16(Values::new(self.file, index)),
            other => MatrixData::Blocks(
                BlockType::from_name(other.name())?,
                Values::new(self.file, index),
            ),
        })
    }

    fn ternary(
        &mut self,
        name: &str,
        index: usize,
        rows: usize,
        columns: usize,
    ) -> Result<MatrixData, ModelError> {
        ternary_columns(name, columns, TensorType::I2S)?;
        if !rows.is_multiple_of(self.options.i2_s.rows_together()) {
            return Err(ModelError::RowsTogether {
                name: name.to_owned(),
                rows,
                layout: self.options.i2_s,
            });
        }
        let bytes = self.file.data(&self.file.tensors()[index]);
        let (codes, tail) = bytes.split_at(bytes.len() - i2_s::TAIL_BYTES);
        let scale = f32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]]);
        ternary_scale(name, scale)?;
        if let Some(place) = i2_s::unused_code(codes) {
            return Err(ModelError::UnusedCode { name: name.to_owned(), place });
        }
        let mapped = arranged_bytes(&self.file.tensors()[index], self.options.i2_s, self.kernels);
        let codes = match (mapped, self.options.i2_s) {
            (None, _) => Values::Mapped(Arc::clone(self.file), index),
            (Some(_), FileLayout::X86) => self.arrange(codes, columns),
            (Some(_), other) => {
                let codes = i2_s::to_x86(codes, columns, other);
                self.arrange(&codes, columns)
            }
        };
        if mapped.is_some() {
            self.file.release(&self.file.tensors()[index]);
        }
        Ok(MatrixData::Ternary { codes, scale })
    }

    /// A matrix for lookup-table kernels, which multiplies as I2_S does: its weights in that form.
    fn lookup(
        &mut self,
        lookup: LookupType,
        name: &str,
        index: usize,
        rows: usize,
        columns: usize,
    ) -> Result<MatrixData, ModelError> {
        let tensor = &self.file.tensors()[index];
        ternary_columns(name, columns, tensor.tensor_type)?;
        let tile = self.options.tiles.of(lookup, rows, columns);
        let tile = tile.map_err(|fault| ModelError::Tiles { name: name.to_owned(), fault })?;
        let (weights, scale) = lookup
            .unpack(self.file.data(tensor), (rows, columns), tile)
            .map_err(|bad| ModelError::LookupIndex { name: name.to_owned(), bad })?;
        ternary_scale(name, scale)?;
        let codes = self.arrange(&i2_s::pack(&weights), columns);
        Ok(MatrixData::Ternary { codes, scale })
    }

    /// The rows of a matrix, which are packed as in x86 files, in the layout of the kernels.
    fn arrange(&mut self, codes: &[u8], columns: usize) -> Values<u8> {
        let (layout, rows) = (self.kernels.ternary_layout, codes.len() / (columns / 4));
        Values::Arranged(self.arena.part(layout.bytes(rows, columns), |room| {
            layout.arrange(codes, columns, room);
        }))
    }
}

/// Refuses rows that are no whole blocks of the form that ternary matrices have in memory.
fn ternary_columns(name: &str, columns: usize, tensor_type: TensorType) -> Result<(), ModelError> {
    if columns.is_multiple_of(i2_s::BLOCK) {
        return Ok(());
    }
    let tensor_type = tensor_type.name().to_owned();
    Err(ModelError::Columns { name: name.to_owned(), columns, tensor_type, block: i2_s::BLOCK })
}

/// Refuses a scale of 0, which wipes the matrix out, and one below, which turns all its signs.
fn ternary_scale(name: &str, scale: f32) -> Result<(), ModelError> {
    match scale.is_finite() && scale > 0.0 {
        true => Ok(()),
        false => Err(ModelError::Scale { name: name.to_owned(), found: scale }),
    }
}

/// Bytes that a layer's matrix of this type takes in memory beside the file's, because the kernels want its
/// codes arranged otherwise.
pub(crate) fn arranged_bytes(
    tensor: &TensorInfo,
    i2_s: FileLayout,
    kernels: &Kernels,
) -> Option<usize> {
    let arranged = match tensor.tensor_type {
        TensorType::I2S => i2_s != FileLayout::X86 || kernels.ternary_layout != Layout::Blocks128,
        TensorType::Tl1 | TensorType::Tl2 => true,
        _ => false,
    };
    let columns = tensor.dims.first().copied().unwrap_or(1);
    arranged.then(|| kernels.ternary_layout.bytes(tensor.elements() / columns.max(1), columns))
}

/// Bytes of an arena for all matrices of a file that are arranged anew.
pub(crate) fn arena_bytes(tensors: &[TensorInfo], i2_s: FileLayout, kernels: &Kernels) -> usize {
    let parts = tensors.iter().filter_map(|tensor| arranged_bytes(tensor, i2_s, kernels));
    parts.map(|bytes| bytes.next_multiple_of(arena::ALIGNMENT)).fold(0, usize::saturating_add)
}

impl Matrix {
    /// The weights' bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        match &self.data {
            MatrixData::Ternary { codes, .. } => codes.get(),
            MatrixData::F32(weights) => bytemuck::cast_slice(weights.get()),
            MatrixData::F16(weights) => bytemuck::cast_slice(weights.get()),
            MatrixData::Bf16(weights) => bytemuck::cast_slice(weights.get()),
            MatrixData::Blocks(_, bytes) => bytes.get(),
        }
    }

    /// What the activations become.
    pub(crate) fn form(&self) -> Form {
        match &self.data {
            MatrixData::Ternary { .. } => Form::Int8,
            MatrixData::F32(_) => Form::F32,
            MatrixData::F16(_) => Form::F16,
            MatrixData::Bf16(_) => Form::Bf16,
            MatrixData::Blocks(block_type, _) => match block_type.activation() {
                BlockActivation::Q8_0 => Form::Q8_0,
                BlockActivation::Q8K => Form::Q8K,
            },
        }
    }

    /// One row as f32: an embedding.
    ///
    /// # Panics
    /// If there is no such row; ternary matrices are no tables.
    pub(crate) fn row(&self, index: usize, out: &mut [f32]) {
        let range = index * self.columns..(index + 1) * self.columns;
        match &self.data {
            MatrixData::F32(values) => out.copy_from_slice(&values.get()[range]),
            MatrixData::F16(values) => values.get()[range].convert_to_f32_slice(out),
            MatrixData::Bf16(values) => values.get()[range].convert_to_f32_slice(out),
            MatrixData::Blocks(block_type, bytes) => {
                let row_bytes = self.columns / block_type.block() * block_type.block_bytes();
                block_type.dequantize_row(&bytes.get()[index * row_bytes..][..row_bytes], out);
            }
            MatrixData::Ternary { .. } => unreachable!("`table` refuses ternary types"),
        }
    }
}
