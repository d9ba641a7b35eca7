//! A whole TL1 or TL2 tensor, packed weights and scale, behind one name. Multiplies nothing.
//!
//! Products are those of I2_S: the reference's kernels round activations to int8 with 127 / max|x| of a
//! token, add whole numbers in 16 and 32 bits without overflow, divide by that scale and multiply with
//! the tensor's, in this order. Its generated TL2 kernels gave the same bits as that arithmetic, for one
//! token at a time and tokens above 1e-5; below, I2_S bounds the maximum and TL1 and TL2 do not. (Its
//! kernels for 8 tokens and more write all of a batch over the first one's results.)

use super::tiles::{LookupType, Tile};
use super::tl1::{self, BadIndex, TAIL_BYTES};
use super::tl2;

impl LookupType {
    /// Bytes in front of the scale.
    pub fn scale_offset(self, rows: usize, columns: usize) -> usize {
        match self {
            LookupType::Tl1 => tl1::scale_offset(rows, columns),
            LookupType::Tl2 => tl2::scale_offset(rows, columns),
        }
    }

    /// Weights (−1, 0, 1), row by row, and scale of a tensor.
    ///
    /// # Errors
    /// An index that stands for nothing.
    ///
    /// # Panics
    /// If the tile does not fit the matrix (see [`Tile::check`]), or `tensor` has another length than one
    /// of this shape.
    pub fn unpack(
        self,
        tensor: &[u8],
        (rows, columns): (usize, usize),
        tile: Tile,
    ) -> Result<(Vec<i8>, f32), BadIndex> {
        let (codes, tail) = tensor.split_at(self.scale_offset(rows, columns));
        assert_eq!(tail.len(), TAIL_BYTES, "a tensor ends with its scale");
        let weights = match self {
            LookupType::Tl1 => tl1::unpack(codes, columns, tile),
            LookupType::Tl2 => tl2::unpack(codes, rows, columns, tile),
        };
        Ok((weights?, f32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]])))
    }

    /// The tensor of weights, row by row, and a scale.
    ///
    /// # Panics
    /// If the tile does not fit the matrix (see [`Tile::check`]), or a weight is not ternary.
    pub fn pack(self, weights: &[i8], scale: f32, columns: usize, tile: Tile) -> Vec<u8> {
        let mut tensor = match self {
            LookupType::Tl1 => tl1::pack(weights, columns, tile),
            LookupType::Tl2 => tl2::pack(weights, columns, tile),
        };
        tensor.extend_from_slice(&scale.to_le_bytes());
        tensor.resize(tensor.len() + TAIL_BYTES - 4, 0);
        tensor
    }
}
