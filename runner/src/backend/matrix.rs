//! One matrix in a tensor type of our engine: quantised, given back, multiplied. Adds no arithmetic but
//! the last step of an I2_S product, which the engine keeps beside its thread pool.

use bitnet_engine::kernels::{BlockDots, Isa, Kernels};
use bitnet_engine::quant::activation::{
    Q8_0_BLOCK, Q8_K_BLOCK, Q8KBlock, Q80Block, quantize_int8, quantize_q8_0, quantize_q8_k,
};
use bitnet_engine::quant::blocks::{BlockActivation, BlockType};
use bitnet_engine::quant::i2_s;
use bitnet_engine::quant::tiles::{LookupType, Tile};
use bytemuck::{cast_slice, pod_collect_to_vec};
use half::{bf16, f16};

use super::BackendError;

/// A tensor type that the engine can quantise to and multiply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MatrixType {
    /// 2-bit codes with one scale a matrix.
    I2S,
    /// As they are.
    F32,
    /// Rounded to 16 bits.
    F16,
    /// Rounded to the upper 16 bits.
    Bf16,
    /// Ternary, in the order of lookup-table kernels; here with tiles that fit most shapes.
    Lookup(LookupType),
    /// Blocks that stand alone.
    Blocks(BlockType),
}

impl MatrixType {
    /// Every type, the engine's block types among them.
    pub fn all() -> Vec<Self> {
        let ternary = [Self::I2S, Self::Lookup(LookupType::Tl1), Self::Lookup(LookupType::Tl2)];
        let floats = [Self::F32, Self::F16, Self::Bf16];
        let blocks = BlockType::ALL.map(Self::Blocks);
        ternary.into_iter().chain(floats).chain(blocks).collect()
    }

    /// The type with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::all().into_iter().find(|known| known.name() == name)
    }

    /// ggml's name in upper case.
    pub fn name(self) -> &'static str {
        match self {
            Self::I2S => "I2_S",
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::Lookup(lookup) => lookup.name(),
            Self::Blocks(block) => block.name(),
        }
    }

    /// Rows and columns come in multiples of these.
    pub fn steps(self) -> (usize, usize) {
        let rows = if matches!(self, Self::Lookup(_)) { TILE_ROWS } else { 1 };
        (rows, self.block())
    }

    fn block(self) -> usize {
        match self {
            Self::I2S | Self::Lookup(LookupType::Tl1) => i2_s::BLOCK,
            // What whole tiles leave over is then a number of columns that can be left over.
            Self::Lookup(LookupType::Tl2) => 2 * i2_s::BLOCK,
            Self::F32 | Self::F16 | Self::Bf16 => 1,
            Self::Blocks(block) => block.block(),
        }
    }
}

/// Rows of a tile of the lookup-table types.
const TILE_ROWS: usize = 32;

fn tile(lookup: LookupType) -> Tile {
    let columns = match lookup {
        LookupType::Tl1 => 64,
        LookupType::Tl2 => 96,
    };
    Tile { rows: TILE_ROWS, columns, lanes: 32 }
}

/// A product of a matrix with rows of activations.
#[derive(Debug, Clone, PartialEq)]
pub struct Product {
    /// `values[token][row]`.
    pub values: Vec<f32>,
    /// `sums[token][row]` = Σ weight · code, where the type multiplies integers of whole rows.
    pub sums: Option<Vec<i32>>,
}

/// Who quantises and multiplies; tests put a faulty one in the engine's place.
pub trait MatrixEngine {
    /// The bytes of a matrix with rows of `columns` weights.
    fn quantize(&self, matrix_type: MatrixType, columns: usize, weights: &[f32]) -> Vec<u8>;

    /// The weights of such bytes.
    fn dequantize(&self, matrix_type: MatrixType, columns: usize, bytes: &[u8]) -> Vec<f32>;

    /// Multiplies such bytes with the rows of `x`, on the kernels of `isa` or the best ones here.
    ///
    /// # Errors
    /// If there is no such instruction set, or this processor lacks it.
    fn multiply(
        &self,
        matrix_type: MatrixType,
        columns: usize,
        bytes: &[u8],
        x: &[f32],
        isa: Option<&str>,
    ) -> Result<Product, BackendError>;
}

/// The engine of this workspace.
#[derive(Debug, Clone, Copy, Default)]
pub struct OwnMatrices;

impl MatrixEngine for OwnMatrices {
    fn quantize(&self, matrix_type: MatrixType, columns: usize, weights: &[f32]) -> Vec<u8> {
        match matrix_type {
            MatrixType::I2S => {
                let (signs, scale) = signs(weights);
                i2_s::tensor(&signs, scale)
            }
            MatrixType::Lookup(lookup) => {
                let (signs, scale) = signs(weights);
                lookup.pack(&signs, scale, columns, tile(lookup))
            }
            MatrixType::F32 => cast_slice(weights).to_vec(),
            MatrixType::F16 => pod_collect_to_vec(&narrow(weights, f16::from_f32)),
            MatrixType::Bf16 => pod_collect_to_vec(&narrow(weights, bf16::from_f32)),
            MatrixType::Blocks(block) => {
                let bytes = columns / block.block() * block.block_bytes();
                let mut out = vec![0; weights.len() / columns * bytes];
                let rows = weights.chunks_exact(columns);
                for (row, out) in rows.zip(out.chunks_exact_mut(bytes)) {
                    block.quantize_row(row, out);
                }
                out
            }
        }
    }

    fn dequantize(&self, matrix_type: MatrixType, columns: usize, bytes: &[u8]) -> Vec<f32> {
        match matrix_type {
            MatrixType::I2S => {
                let (codes, scale) = i2_s_parts(bytes);
                let rows = codes.chunks_exact(columns / 4);
                rows.flat_map(|row| {
                    (0..columns).map(|column| (f32::from(i2_s::code(row, column)) - 1.0) * scale)
                })
                .collect()
            }
            MatrixType::Lookup(lookup) => {
                let (signs, scale) = unpacked(lookup, columns, bytes);
                signs.into_iter().map(|sign| f32::from(sign) * scale).collect()
            }
            MatrixType::F32 => pod_collect_to_vec(bytes),
            MatrixType::F16 => {
                pod_collect_to_vec::<u8, f16>(bytes).iter().map(|v| v.to_f32()).collect()
            }
            MatrixType::Bf16 => {
                pod_collect_to_vec::<u8, bf16>(bytes).iter().map(|v| v.to_f32()).collect()
            }
            MatrixType::Blocks(block) => {
                let mut out = vec![0.0; bytes.len() / block.block_bytes() * block.block()];
                block.dequantize_row(bytes, &mut out);
                out
            }
        }
    }

    fn multiply(
        &self,
        matrix_type: MatrixType,
        columns: usize,
        bytes: &[u8],
        x: &[f32],
        isa: Option<&str>,
    ) -> Result<Product, BackendError> {
        let kernels = super::engine::kernels(isa)?;
        let floats = |values| Product { values, sums: None };
        Ok(match matrix_type {
            MatrixType::I2S => multiply_i2_s(kernels, columns, bytes, x),
            // As when a model is loaded: unpacked once, then multiplied as I2_S.
            MatrixType::Lookup(lookup) => {
                let (signs, scale) = unpacked(lookup, columns, bytes);
                multiply_i2_s(kernels, columns, &i2_s::tensor(&signs, scale), x)
            }
            MatrixType::F32 => {
                let weights: Vec<f32> = pod_collect_to_vec(bytes);
                floats(each_row(&weights, x, columns, columns, kernels.dot_f32))
            }
            MatrixType::F16 => {
                let weights: Vec<f16> = pod_collect_to_vec(bytes);
                let mut halves = vec![f16::ZERO; x.len()];
                (kernels.narrow_to_f16)(x, &mut halves);
                floats(each_row(&weights, &halves, columns, columns, kernels.dot_f16))
            }
            MatrixType::Bf16 => {
                let weights: Vec<bf16> = pod_collect_to_vec(bytes);
                let mut brains = vec![bf16::ZERO; x.len()];
                (kernels.narrow_to_bf16)(x, &mut brains);
                floats(each_row(&weights, &brains, columns, columns, kernels.dot_bf16))
            }
            MatrixType::Blocks(block) => {
                let row = columns / block.block() * block.block_bytes();
                floats(match kernels.block_dots(block) {
                    BlockDots::Q8_0(dots) => {
                        let mut blocks = vec![Q80Block::default(); x.len() / Q8_0_BLOCK];
                        (kernels.quantize_q8_0)(x, &mut blocks);
                        each_row(bytes, &blocks, row, columns / Q8_0_BLOCK, |row, x| {
                            let mut product = [0.0];
                            dots(row, x, &mut product);
                            product[0]
                        })
                    }
                    BlockDots::Q8K(dots) => {
                        let mut blocks = vec![Q8KBlock::default(); x.len() / Q8_K_BLOCK];
                        (kernels.quantize_q8_k)(x, &mut blocks);
                        each_row(bytes, &blocks, row, columns / Q8_K_BLOCK, |row, x| {
                            let mut product = [0.0];
                            dots(row, x, &mut product);
                            product[0]
                        })
                    }
                })
            }
        })
    }
}

/// Activations as the product of a type rounds them, by the definition of the rounding, and the integer
/// codes where whole rows have one scale.
pub fn rounded(matrix_type: MatrixType, columns: usize, x: &[f32]) -> (Vec<f64>, Option<Vec<i8>>) {
    let floats = |values: Vec<f32>| (values.into_iter().map(f64::from).collect(), None);
    match matrix_type {
        MatrixType::I2S | MatrixType::Lookup(_) => {
            let mut codes = vec![0; x.len()];
            let rows = x.chunks_exact(columns).zip(codes.chunks_exact_mut(columns));
            let scales: Vec<f32> = rows.map(|(x, codes)| quantize_int8(x, codes).scale).collect();
            let row =
                |(index, code): (usize, &i8)| f64::from(*code) / f64::from(scales[index / columns]);
            (codes.iter().enumerate().map(row).collect(), Some(codes))
        }
        MatrixType::F32 => floats(x.to_vec()),
        MatrixType::F16 => floats(x.iter().map(|v| f16::from_f32(*v).to_f32()).collect()),
        MatrixType::Bf16 => floats(x.iter().map(|v| bf16::from_f32(*v).to_f32()).collect()),
        MatrixType::Blocks(block) => match block.activation() {
            BlockActivation::Q8_0 => {
                let mut blocks = vec![Q80Block::default(); x.len() / Q8_0_BLOCK];
                quantize_q8_0(x, &mut blocks);
                let values = |b: &Q80Block| b.codes.map(|c| f64::from(c) * f64::from(b.scale));
                (blocks.iter().flat_map(values).collect(), None)
            }
            BlockActivation::Q8K => {
                let mut blocks = vec![Q8KBlock::default(); x.len() / Q8_K_BLOCK];
                quantize_q8_k(x, &mut blocks);
                let values = |b: &Q8KBlock| b.codes.map(|c| f64::from(c) * f64::from(b.scale));
                (blocks.iter().flat_map(values).collect(), None)
            }
        },
    }
}

/// The name of the instruction set that computes if none is asked for.
pub fn best_isa() -> String {
    Isa::best().to_string()
}

/// `out[token][row]` for rows of `row` elements and activations of `tokens` elements.
fn each_row<W, A>(
    weights: &[W],
    x: &[A],
    row: usize,
    token: usize,
    dot: impl Fn(&[W], &[A]) -> f32,
) -> Vec<f32> {
    let dot = &dot;
    x.chunks_exact(token)
        .flat_map(|x| weights.chunks_exact(row).map(move |row| dot(row, x)))
        .collect()
}

fn narrow<T>(values: &[f32], to: fn(f32) -> T) -> Vec<T> {
    values.iter().map(|v| to(*v)).collect()
}

/// The signs of weights and their scale, as the engine's quantiser makes them.
fn signs(weights: &[f32]) -> (Vec<i8>, f32) {
    let scale = weights.iter().fold(0f32, |max, w| max.max(w.abs()));
    (weights.iter().map(|w| i2_s::round(*w, scale)).collect(), scale)
}

/// Signs and scale of a lookup-table tensor; an index that stands for nothing makes the scale no number,
/// which no limit lets pass.
fn unpacked(lookup: LookupType, columns: usize, bytes: &[u8]) -> (Vec<i8>, f32) {
    let shapes = (1..).map(|tiles| (tiles * TILE_ROWS, columns));
    // The scale stands behind as many bytes as the rows take; the rows of a tensor are all that fit.
    let mut shapes = shapes.take_while(|(rows, columns)| {
        lookup.scale_offset(*rows, *columns) + i2_s::TAIL_BYTES <= bytes.len()
    });
    let shape = shapes.by_ref().last().unwrap_or((TILE_ROWS, columns));
    lookup
        .unpack(bytes, shape, tile(lookup))
        .unwrap_or_else(|_| (vec![0; shape.0 * shape.1], f32::NAN))
}

fn i2_s_parts(bytes: &[u8]) -> (&[u8], f32) {
    let (codes, tail) = bytes.split_at(bytes.len() - i2_s::TAIL_BYTES);
    (codes, f32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]]))
}

fn multiply_i2_s(kernels: &Kernels, columns: usize, bytes: &[u8], x: &[f32]) -> Product {
    let (file, scale) = i2_s_parts(bytes);
    let layout = kernels.ternary_layout;
    let rows = file.len() / (columns / 4);
    let mut arranged = vec![0; layout.bytes(rows, columns)];
    layout.arrange(file, columns, &mut arranged);
    let padded = rows.next_multiple_of(layout.rows_together());
    let (mut values, mut sums) = (Vec::new(), Vec::new());
    for x in x.chunks_exact(columns) {
        let (mut codes, mut products) = (vec![0; columns], vec![0; padded]);
        let row = (kernels.quantize_int8)(x, &mut codes);
        (kernels.ternary_dots)(&arranged, columns, &codes, &mut products);
        for sum in &products[..rows] {
            // Codes are weights plus one; then the reference's order: one division, one product.
            let sum = sum - row.sum;
            sums.push(sum);
            values.push(sum as f32 / row.scale * scale);
        }
    }
    Product { values, sums: Some(sums) }
}
