//! The bounds that a GGUF file must keep, on top of those that its own size sets.
//!
//! llama.cpp's bounds where it has one that a reference would abort or refuse on; else far above
//! anything published and far below what hurts.

/// First bytes of every GGUF file, of either byte order.
pub const MAGIC: [u8; 4] = *b"GGUF";

/// The version that is written.
pub const VERSION: u32 = 3;

/// Bytes before the first key: magic, version, number of tensors, number of keys.
pub const HEADER_BYTES: usize = 24;

/// Alignment of the tensor data where `general.alignment` does not set another.
pub const DEFAULT_ALIGNMENT: u32 = 32;

/// Largest alignment: no page is larger on a machine that this runs on.
pub const MAX_ALIGNMENT: u32 = 1 << 16;

/// Keys of a file. Published models have fewer than a hundred.
pub const MAX_KEYS: u64 = 1 << 16;

/// Tensors of a file. Published models have at most some ten thousand.
pub const MAX_TENSORS: u64 = 1 << 20;

/// Bytes of a key, by the GGUF specification.
pub const MAX_KEY_BYTES: u64 = 65_535;

/// Bytes of a tensor's name: `GGML_MAX_NAME` is 64 with the final NUL.
pub const MAX_TENSOR_NAME_BYTES: u64 = 63;

/// Bytes of one string value: a token, a merge, a chat template.
pub const MAX_STRING_BYTES: u64 = 64 << 20;

/// Items of one array.
pub const MAX_ARRAY_ITEMS: u64 = 1 << 26;

/// Bytes of all keys and values together; positions in them are kept in 32 bits.
pub const MAX_METADATA_BYTES: u64 = 1 << 30;

/// Dimensions of a tensor: `GGML_MAX_DIMS`.
pub const MAX_DIMS: usize = 4;

/// Bytes of the shortest key with its value: length, one byte of key, type, one byte of value.
pub(super) const MIN_KEY_VALUE_BYTES: u64 = 8 + 1 + 4 + 1;

/// Bytes of the shortest directory entry: length, one byte of name, one dimension, type, offset.
pub(super) const MIN_TENSOR_INFO_BYTES: u64 = 8 + 1 + 4 + 8 + 4 + 8;
