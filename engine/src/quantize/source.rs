//! A tensor to convert: its rows as f32, or its ternary weights and scale. It converts nothing.

use half::{bf16, f16};
use rayon::prelude::*;

use super::error::QuantizeError;
use crate::gguf::{GgufFile, Name, TensorInfo, TensorType};
use crate::model::LoadOptions;
use crate::quant::blocks::BlockType;
use crate::quant::i2_s::{self, FileLayout};
use crate::quant::tiles::{LookupType, Tile};
use crate::quant::tl1::BadIndex;
use crate::quant::tq2_0;

/// A tensor's numbers.
pub(super) struct Source<'a> {
    pub(super) name: &'a str,
    pub(super) columns: usize,
    pub(super) rows: usize,
    pub(super) data: Data<'a>,
}

/// How they are stored.
pub(super) enum Data<'a> {
    /// Rows that stand alone.
    Rows(RowType, &'a [u8]),
    /// Weights −1, 0, 1, row by row, and the scale of all.
    Ternary { weights: Vec<i8>, scale: f32 },
}

/// Types of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RowType {
    F32,
    F16,
    Bf16,
    Blocks(BlockType),
}

impl<'a> Source<'a> {
    /// The tensor of a file, of a type that a plan accepts; `tile` is that of TL1 and TL2.
    ///
    /// # Errors
    /// If a ternary tensor has codes that stand for no weight, or a scale that is none.
    pub(super) fn of(
        file: &'a GgufFile,
        tensor: &'a TensorInfo,
        tile: Option<Tile>,
        options: &LoadOptions,
    ) -> Result<Self, QuantizeError> {
        let name = || Name::new(tensor.name.as_bytes());
        let (columns, rows) = (tensor.dims[0], tensor.elements() / tensor.dims[0]);
        let bytes = file.data(tensor);
        let found = tensor.tensor_type;
        let bad = |bad| QuantizeError::Code { name: name(), found: found.name(), bad };
        let lookup = |lookup: LookupType, tile: Tile| lookup.unpack(bytes, (rows, columns), tile);
        let data = match (found, tile) {
            (TensorType::F32, _) => Data::Rows(RowType::F32, bytes),
            (TensorType::F16, _) => Data::Rows(RowType::F16, bytes),
            (TensorType::Bf16, _) => Data::Rows(RowType::Bf16, bytes),
            (TensorType::I2S, _) => {
                let layout = options.i2_s;
                if !rows.is_multiple_of(layout.rows_together()) {
                    let (layout, together) = (layout.name(), layout.rows_together());
                    return Err(QuantizeError::RowsTogether {
                        name: name(),
                        rows,
                        layout,
                        together,
                    });
                }
                let (weights, scale) = i2_s_weights(bytes, columns, layout).map_err(bad)?;
                Data::Ternary { weights, scale }
            }
            (TensorType::Tl1, Some(tile)) => ternary(lookup(LookupType::Tl1, tile).map_err(bad)?),
            (TensorType::Tl2, Some(tile)) => ternary(lookup(LookupType::Tl2, tile).map_err(bad)?),
            (other, _) => {
                let block_type = BlockType::from_name(other.name());
                let unread = || QuantizeError::Source { name: name(), found: other.name() };
                let block_type = block_type.ok_or_else(unread)?;
                if block_type == BlockType::Tq2_0 {
                    unused_code(bytes, columns).map_or(Ok(()), Err).map_err(bad)?;
                }
                Data::Rows(RowType::Blocks(block_type), bytes)
            }
        };
        if let Data::Ternary { scale, .. } = data
            && !(scale.is_finite() && scale > 0.0)
        {
            return Err(QuantizeError::Scale { name: name(), found: scale });
        }
        Ok(Self { name: &tensor.name, columns, rows, data })
    }

    /// The name as errors show it.
    pub(super) fn name(&self) -> Name {
        Name::new(self.name.as_bytes())
    }

    /// Row `index` as f32.
    ///
    /// # Errors
    /// If it holds infinities or NaN.
    ///
    /// # Panics
    /// If there is no such row, or `out` is not as long as one.
    pub(super) fn row(&self, index: usize, out: &mut [f32]) -> Result<(), QuantizeError> {
        assert_eq!(out.len(), self.columns, "one row");
        match &self.data {
            Data::Rows(row_type, bytes) => {
                let row_bytes = bytes.len() / self.rows;
                row_type.read(&bytes[index * row_bytes..][..row_bytes], out);
            }
            Data::Ternary { weights, scale } => {
                let weights = &weights[index * self.columns..][..self.columns];
                for (o, weight) in out.iter_mut().zip(weights) {
                    *o = f32::from(*weight) * scale;
                }
            }
        }
        match out.iter().position(|v| !v.is_finite()) {
            None => Ok(()),
            Some(column) => {
                let (value, row) = (out[column], index);
                Err(QuantizeError::NotFinite { name: self.name(), value, row, column })
            }
        }
    }
}

impl RowType {
    fn read(self, row: &[u8], out: &mut [f32]) {
        match self {
            RowType::F32 => {
                for (o, b) in out.iter_mut().zip(row.chunks_exact(4)) {
                    *o = f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
                }
            }
            RowType::F16 => {
                for (o, b) in out.iter_mut().zip(row.chunks_exact(2)) {
                    *o = f16::from_le_bytes([b[0], b[1]]).to_f32();
                }
            }
            RowType::Bf16 => {
                for (o, b) in out.iter_mut().zip(row.chunks_exact(2)) {
                    *o = bf16::from_le_bytes([b[0], b[1]]).to_f32();
                }
            }
            RowType::Blocks(block_type) => block_type.dequantize_row(row, out),
        }
    }
}

fn ternary<'a>((weights, scale): (Vec<i8>, f32)) -> Data<'a> {
    Data::Ternary { weights, scale }
}

fn i2_s_weights(
    tensor: &[u8],
    columns: usize,
    layout: FileLayout,
) -> Result<(Vec<i8>, f32), BadIndex> {
    let (codes, tail) = tensor.split_at(tensor.len() - i2_s::TAIL_BYTES);
    let codes = i2_s::to_x86(codes, columns, layout);
    let mut weights = vec![0i8; codes.len() * 4];
    let blocks = codes.par_chunks_exact(32).zip(weights.par_chunks_exact_mut(i2_s::BLOCK));
    blocks.enumerate().try_for_each(|(block, (bytes, weights))| {
        for (i, weight) in weights.iter_mut().enumerate() {
            let code = bytes[i % 32] >> (6 - i / 32 * 2) & 3;
            if code == 3 {
                let place = block * i2_s::BLOCK + i;
                return Err(BadIndex { row: place / columns, column: place % columns, index: 3 });
            }
            *weight = code as i8 - 1;
        }
        Ok(())
    })?;
    Ok((weights, f32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]])))
}

/// The first code 3 of a TQ2_0 tensor, which no quantiser writes.
fn unused_code(tensor: &[u8], columns: usize) -> Option<BadIndex> {
    tensor.par_chunks_exact(tq2_0::BLOCK_BYTES).enumerate().find_map_first(|(number, block)| {
        let mut codes = [0; tq2_0::BLOCK];
        tq2_0::unpack(block, &mut codes);
        let place = number * tq2_0::BLOCK + codes.iter().position(|code| *code == 3)?;
        Some(BadIndex { row: place / columns, column: place % columns, index: 3 })
    })
}
