//! The types whose rows are blocks that stand alone: one table of their sizes, their conversions and
//! the activations that they multiply. The arithmetic of a product is the kernels'.

use super::{q4_0, q4_k, q5_k, q6_k, q8_0, super_blocks, ternary, tq1_0, tq2_0};

/// A type of rows made of blocks.
#[expect(missing_docs, reason = "the names are ggml's own; `name` spells them")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BlockType {
    Q4_0,
    Q8_0,
    Q4K,
    Q5K,
    Q6K,
    Tq1_0,
    Tq2_0,
}

/// What activations become before such a row multiplies them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockActivation {
    /// Blocks of 32: [`super::activation::Q80Block`].
    Q8_0,
    /// Blocks of 256: [`super::activation::Q8KBlock`].
    Q8K,
}

struct Row {
    name: &'static str,
    /// Weights and bytes of a block.
    block: (usize, usize),
    activation: BlockActivation,
    dequantize: fn(&[u8], &mut [f32]),
    quantize: fn(&[f32], &mut [u8]),
}

/// In the order of [`BlockType::ALL`].
static TABLE: [Row; 7] = [
    Row {
        name: "Q4_0",
        block: (q4_0::BLOCK, q4_0::BLOCK_BYTES),
        activation: BlockActivation::Q8_0,
        dequantize: q4_0::dequantize_row,
        quantize: q4_0::quantize_block,
    },
    Row {
        name: "Q8_0",
        block: (q8_0::BLOCK, q8_0::BLOCK_BYTES),
        activation: BlockActivation::Q8_0,
        dequantize: q8_0::dequantize_row,
        quantize: q8_0::quantize_block,
    },
    Row {
        name: "Q4_K",
        block: (super_blocks::BLOCK, q4_k::BLOCK_BYTES),
        activation: BlockActivation::Q8K,
        dequantize: q4_k::dequantize_row,
        quantize: q4_k::quantize_block,
    },
    Row {
        name: "Q5_K",
        block: (super_blocks::BLOCK, q5_k::BLOCK_BYTES),
        activation: BlockActivation::Q8K,
        dequantize: q5_k::dequantize_row,
        quantize: q5_k::quantize_block,
    },
    Row {
        name: "Q6_K",
        block: (q6_k::BLOCK, q6_k::BLOCK_BYTES),
        activation: BlockActivation::Q8K,
        dequantize: q6_k::dequantize_row,
        quantize: q6_k::search_block,
    },
    Row {
        name: "TQ1_0",
        block: (tq1_0::BLOCK, tq1_0::BLOCK_BYTES),
        activation: BlockActivation::Q8K,
        dequantize: ternary::dequantize_tq1_0,
        quantize: ternary::quantize_tq1_0,
    },
    Row {
        name: "TQ2_0",
        block: (tq2_0::BLOCK, tq2_0::BLOCK_BYTES),
        activation: BlockActivation::Q8K,
        dequantize: ternary::dequantize_tq2_0,
        quantize: ternary::quantize_tq2_0,
    },
];

impl BlockType {
    /// All types.
    pub const ALL: [BlockType; 7] = [
        BlockType::Q4_0,
        BlockType::Q8_0,
        BlockType::Q4K,
        BlockType::Q5K,
        BlockType::Q6K,
        BlockType::Tq1_0,
        BlockType::Tq2_0,
    ];

    fn table(self) -> &'static Row {
        &TABLE[self as usize]
    }

    /// The type with this name, if there is one.
    pub fn from_name(name: &str) -> Option<BlockType> {
        BlockType::ALL.into_iter().find(|block_type| block_type.name() == name)
    }

    /// ggml's name in upper case.
    pub fn name(self) -> &'static str {
        self.table().name
    }

    /// Weights of a block.
    pub fn block(self) -> usize {
        self.table().block.0
    }

    /// Bytes of a block.
    pub fn block_bytes(self) -> usize {
        self.table().block.1
    }

    /// What a row of this type multiplies.
    pub fn activation(self) -> BlockActivation {
        self.table().activation
    }

    /// A row of blocks to f32, as the reference looks up an embedding.
    ///
    /// # Panics
    /// If the lengths are not those of the same whole blocks.
    pub fn dequantize_row(self, row: &[u8], out: &mut [f32]) {
        (self.table().dequantize)(row, out);
    }

    /// f32 to a row of blocks: the bytes of ggml's `quantize_row_*_ref`.
    ///
    /// # Panics
    /// If the lengths are not those of the same whole blocks.
    pub fn quantize_row(self, x: &[f32], row: &mut [u8]) {
        let &Row { block: (values, bytes), quantize, name, .. } = self.table();
        assert_eq!(row.len() * values, x.len() * bytes, "whole {name} blocks");
        for (block, x) in row.chunks_exact_mut(bytes).zip(x.chunks_exact(values)) {
            quantize(x, block);
        }
    }
}
