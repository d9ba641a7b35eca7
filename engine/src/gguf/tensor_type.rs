//! GGML tensor types: ids, names and how many bytes a tensor of each takes.
//!
//! Sizes only. What the bytes of a block mean, and whether anything can compute with them, is no
//! concern of the container.
//!
//! Ids and block sizes follow `ggml.h` and `ggml-common.h`. Ids 36 to 39 are those of bitnet.cpp's
//! fork; llama.cpp has removed 36 to 38 and gave 39 to MXFP4.

use super::limits::MAX_DIMS;

/// Bytes after the packed codes of I2_S, TL1 and TL2: an f32 scale and 28 zero bytes.
const SCALE_TAIL: usize = 32;
/// Elements of a row that [`TensorType::Tl2`] counts as packed in pairs.
const TL2_PAIRED: usize = 256;
/// Elements and bytes of a block of llama.cpp's MXFP4.
const MXFP4: (usize, usize) = (32, 17);

/// How a tensor's elements are stored. The discriminant is the id in the file.
#[expect(missing_docs, reason = "the names are ggml's own; `name` spells them")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u32)]
pub enum TensorType {
    F32 = 0,
    F16 = 1,
    Q4_0 = 2,
    Q4_1 = 3,
    Q5_0 = 6,
    Q5_1 = 7,
    Q8_0 = 8,
    Q8_1 = 9,
    Q2K = 10,
    Q3K = 11,
    Q4K = 12,
    Q5K = 13,
    Q6K = 14,
    Q8K = 15,
    Iq2Xxs = 16,
    Iq2Xs = 17,
    Iq3Xxs = 18,
    Iq1S = 19,
    Iq4Nl = 20,
    Iq3S = 21,
    Iq2S = 22,
    Iq4Xs = 23,
    I8 = 24,
    I16 = 25,
    I32 = 26,
    I64 = 27,
    F64 = 28,
    Iq1M = 29,
    Bf16 = 30,
    Tq1_0 = 34,
    Tq2_0 = 35,
    /// bitnet.cpp: two bits an element, one scale a tensor.
    I2S = 36,
    /// bitnet.cpp: one signed byte an element.
    I8S = 37,
    /// bitnet.cpp, lookup-table kernels for ARM: two bits an element, one scale a tensor.
    Tl1 = 38,
    /// bitnet.cpp, lookup-table kernels for x86: matrices of 5/3 bits an element and a little more, one
    /// scale a tensor.
    Tl2 = 39,
}

/// Why a shape is no shape for a tensor type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ShapeFault {
    /// Not 1 to 4 dimensions.
    #[error("has {found} dimensions, allowed are 1 to {MAX_DIMS}")]
    DimensionCount {
        /// Dimensions claimed.
        found: u64,
    },
    /// A dimension of no elements.
    #[error("has 0 elements in dimension {dimension}, at least 1 is needed")]
    ZeroDimension {
        /// Index of the dimension, 0 is innermost.
        dimension: usize,
    },
    /// The number of elements, or of bytes, does not fit 63 bits or the address space.
    #[error("is too large: its number of elements or bytes overflows")]
    Overflow,
    /// Rows do not divide into blocks.
    #[error(
        "has {found} elements {unit}, which is no multiple of {name}'s block of {block}",
        unit = if .tensor_type.is_whole() { "in all" } else { "a row" },
        name = .tensor_type.name()
    )]
    PartialBlock {
        /// The type.
        tensor_type: TensorType,
        /// Elements of a row, or of the whole tensor for I2_S and TL1.
        found: usize,
        /// Elements of a block.
        block: usize,
    },
    /// The type is stored as a whole and has no rows.
    #[error("is of type {name}, which is stored as a whole: a row has no bytes of its own", name = .tensor_type.name())]
    NoRows {
        /// The type.
        tensor_type: TensorType,
    },
    /// No matrix that TL2 can hold.
    #[error(
        "is of type TL2 (ggml type 39 of bitnet.cpp; MXFP4 in llama.cpp), but no matrix with rows of at \
         least {TL2_PAIRED} elements"
    )]
    NoTl2,
    /// Type 39 with the size that llama.cpp's type of this id has.
    #[error("is of type MXFP4 (ggml type 39 of llama.cpp; TL2 in bitnet.cpp)")]
    Mxfp4,
}

use TensorType::*;

/// Type, name, elements and bytes of a block; TL2 has none.
type Row = (TensorType, &'static str, Option<(usize, usize)>);

const TABLE: [Row; 35] = [
    (F32, "F32", Some((1, 4))),
    (F16, "F16", Some((1, 2))),
    (Q4_0, "Q4_0", Some((32, 18))),
    (Q4_1, "Q4_1", Some((32, 20))),
    (Q5_0, "Q5_0", Some((32, 22))),
    (Q5_1, "Q5_1", Some((32, 24))),
    (Q8_0, "Q8_0", Some((32, 34))),
    (Q8_1, "Q8_1", Some((32, 36))),
    (Q2K, "Q2_K", Some((256, 84))),
    (Q3K, "Q3_K", Some((256, 110))),
    (Q4K, "Q4_K", Some((256, 144))),
    (Q5K, "Q5_K", Some((256, 176))),
    (Q6K, "Q6_K", Some((256, 210))),
    (Q8K, "Q8_K", Some((256, 292))),
    (Iq2Xxs, "IQ2_XXS", Some((256, 66))),
    (Iq2Xs, "IQ2_XS", Some((256, 74))),
    (Iq3Xxs, "IQ3_XXS", Some((256, 98))),
    (Iq1S, "IQ1_S", Some((256, 50))),
    (Iq4Nl, "IQ4_NL", Some((32, 18))),
    (Iq3S, "IQ3_S", Some((256, 110))),
    (Iq2S, "IQ2_S", Some((256, 82))),
    (Iq4Xs, "IQ4_XS", Some((256, 136))),
    (I8, "I8", Some((1, 1))),
    (I16, "I16", Some((1, 2))),
    (I32, "I32", Some((1, 4))),
    (I64, "I64", Some((1, 8))),
    (F64, "F64", Some((1, 8))),
    (Iq1M, "IQ1_M", Some((256, 56))),
    (Bf16, "BF16", Some((1, 2))),
    (Tq1_0, "TQ1_0", Some((256, 54))),
    (Tq2_0, "TQ2_0", Some((256, 66))),
    (I2S, "I2_S", Some((4, 1))),
    (I8S, "I8_S", Some((1, 1))),
    (Tl1, "TL1", Some((4, 1))),
    (Tl2, "TL2", None),
];

impl TensorType {
    /// The type with this id, if it is one we know.
    pub fn from_id(id: u32) -> Option<TensorType> {
        TABLE.iter().map(|row| row.0).find(|t| t.id() == id)
    }

    /// Every type, by ascending id.
    pub fn all() -> impl Iterator<Item = TensorType> {
        TABLE.iter().map(|row| row.0)
    }

    /// The id in the file.
    pub fn id(self) -> u32 {
        self as u32
    }

    /// ggml's name in upper case: `Q4_K`, `TQ2_0`, `I2_S`.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// Elements of a block; none for TL2.
    pub fn block_size(self) -> Option<usize> {
        self.row().2.map(|block| block.0)
    }

    /// Bytes of a block; none for TL2.
    pub fn block_bytes(self) -> Option<usize> {
        self.row().2.map(|block| block.1)
    }

    /// Bytes of a row of `ne0` elements.
    ///
    /// # Errors
    /// If `ne0` is no positive multiple of the block, if the size overflows, and for I2_S, TL1 and TL2,
    /// which are stored as a whole.
    pub fn row_bytes(self, ne0: usize) -> Result<usize, ShapeFault> {
        if self.is_whole() {
            return Err(ShapeFault::NoRows { tensor_type: self });
        }
        self.tensor_bytes(&[ne0])
    }

    /// Bytes of a tensor of shape `dims`, innermost first.
    ///
    /// I2_S and TL1 take a byte for four elements, counted over the whole tensor, and 32 bytes more. TL2
    /// takes what a matrix with 256 columns in pairs and the others in threes needs, up to a multiple of
    /// 32, and 32 bytes more (`ggml_nbytes` of bitnet.cpp's ggml).
    ///
    /// # Errors
    /// If the shape is not 1 to 4 positive dimensions, if rows do not divide into blocks, if the
    /// number of elements exceeds 63 bits or that of bytes the address space, and for TL2 unless there
    /// are two dimensions, the inner one of at least 256.
    pub fn tensor_bytes(self, dims: &[usize]) -> Result<usize, ShapeFault> {
        let elements = element_count(dims)?;
        let Some((block, bytes)) = self.row().2 else { return tl2_bytes(dims) };
        let (divided, tail) = if self.is_whole() { (elements, SCALE_TAIL) } else { (dims[0], 0) };
        if divided % block != 0 {
            return Err(ShapeFault::PartialBlock { tensor_type: self, found: divided, block });
        }
        (elements / block)
            .checked_mul(bytes)
            .and_then(|n| n.checked_add(tail))
            .ok_or(ShapeFault::Overflow)
    }

    /// Whether a tensor is stored as a whole, with one scale behind it: I2_S, TL1 and TL2.
    pub fn is_whole(self) -> bool {
        matches!(self, I2S | Tl1 | Tl2)
    }

    fn row(self) -> &'static Row {
        TABLE.iter().find(|row| row.0 == self).unwrap_or(&TABLE[0])
    }
}

/// The product of 1 to 4 positive dimensions, at most `i64::MAX` as ggml counts in `int64_t`.
fn element_count(dims: &[usize]) -> Result<usize, ShapeFault> {
    if dims.is_empty() || dims.len() > MAX_DIMS {
        return Err(ShapeFault::DimensionCount { found: dims.len() as u64 });
    }
    if let Some(dimension) = dims.iter().position(|&d| d == 0) {
        return Err(ShapeFault::ZeroDimension { dimension });
    }
    dims.iter()
        .try_fold(1usize, |n, &d| n.checked_mul(d))
        .filter(|&n| i64::try_from(n).is_ok())
        .ok_or(ShapeFault::Overflow)
}

fn tl2_bytes(dims: &[usize]) -> Result<usize, ShapeFault> {
    let &[columns, rows] = dims else { return Err(ShapeFault::NoTl2) };
    if columns < TL2_PAIRED {
        return Err(ShapeFault::NoTl2);
    }
    // The reference's products and quotients, from left to right.
    let threes = (columns - TL2_PAIRED).checked_mul(rows).and_then(|n| (n / 3).checked_mul(5));
    let pairs = rows.checked_mul(TL2_PAIRED / 4);
    threes
        .zip(pairs)
        .and_then(|(threes, pairs)| (threes / 8).checked_add(pairs))
        .and_then(|n| n.checked_next_multiple_of(32))
        .and_then(|n| n.checked_add(SCALE_TAIL))
        .ok_or(ShapeFault::Overflow)
}

/// Bytes of a tensor of so many elements in llama.cpp's MXFP4, which has the id of TL2.
pub(super) fn mxfp4_bytes(elements: usize) -> Option<usize> {
    elements.is_multiple_of(MXFP4.0).then(|| elements / MXFP4.0)?.checked_mul(MXFP4.1)
}
