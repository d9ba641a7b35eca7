//! GGUF files byte by byte, valid or not, for tests. Checks nothing and shares no code with the
//! engine's writer.

/// Bytes of a GGUF file under construction.
#[derive(Clone)]
pub struct Raw(pub Vec<u8>);

/// Value type ids.
pub const U8: u32 = 0;
pub const U32: u32 = 4;
pub const I32: u32 = 5;
pub const F32: u32 = 6;
pub const BOOL: u32 = 7;
pub const STRING: u32 = 8;
pub const ARRAY: u32 = 9;

/// Tensor type ids.
pub const T_F32: u32 = 0;
pub const T_I8: u32 = 24;
pub const T_I2_S: u32 = 36;

impl Raw {
    /// A version 3 header that claims so many tensors and keys.
    pub fn file(tensors: u64, keys: u64) -> Raw {
        Raw(b"GGUF".to_vec()).u32(3).u64(tensors).u64(keys)
    }

    pub fn put(mut self, bytes: &[u8]) -> Raw {
        self.0.extend_from_slice(bytes);
        self
    }

    pub fn u8(self, x: u8) -> Raw {
        self.put(&[x])
    }

    pub fn u32(self, x: u32) -> Raw {
        self.put(&x.to_le_bytes())
    }

    pub fn u64(self, x: u64) -> Raw {
        self.put(&x.to_le_bytes())
    }

    /// Length and bytes.
    pub fn string(self, bytes: &[u8]) -> Raw {
        self.u64(bytes.len() as u64).put(bytes)
    }

    /// A key and its value's type; the value is to follow.
    pub fn key(self, key: &str, value_type: u32) -> Raw {
        self.string(key.as_bytes()).u32(value_type)
    }

    /// A directory entry.
    pub fn tensor(self, name: &str, dims: &[u64], tensor_type: u32, offset: u64) -> Raw {
        let entry = self.string(name.as_bytes()).u32(dims.len() as u32);
        dims.iter().fold(entry, |raw, &dim| raw.u64(dim)).u32(tensor_type).u64(offset)
    }

    /// Zeros up to a multiple of `alignment`.
    pub fn pad(mut self, alignment: usize) -> Raw {
        self.0.resize(self.0.len().next_multiple_of(alignment), 0);
        self
    }

    pub fn zeros(mut self, n: usize) -> Raw {
        self.0.resize(self.0.len() + n, 0);
        self
    }

    /// Position of the next byte.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

/// Keys of every kind, without tensors: number of keys and their bytes.
fn sample_keys(raw: Raw) -> Raw {
    raw.key("general.architecture", STRING)
        .string(b"bitnet-b1.58")
        .key("a.flag", BOOL)
        .u8(1)
        .key("a.bytes", ARRAY)
        .u32(U8)
        .u64(3)
        .put(&[1, 2, 3])
        .key("a.eps", F32)
        .u32(1e-5f32.to_bits())
        .key("a.tokens", ARRAY)
        .u32(STRING)
        .u64(4)
        .string(b"a")
        .string(b"")
        .string(b"\xff\xfe")
        .string("\u{120}the".as_bytes())
        .key("a.types", ARRAY)
        .u32(I32)
        .u64(4)
        .u32(1)
        .u32(2)
        .u32(u32::MAX)
        .u32(4)
        .key("a.empty", ARRAY)
        .u32(STRING)
        .u64(0)
        .key("a.width", U32)
        .u32(64)
}

/// A small valid file with the keys above and F32, I8 and, if asked for, I2_S tensors; and where
/// its tensor data begins.
pub fn sample(with_i2_s: bool) -> (Vec<u8>, usize) {
    let raw = sample_keys(Raw::file(if with_i2_s { 3 } else { 2 }, 8))
        .tensor("norm.weight", &[5], T_F32, 0)
        .tensor("codes", &[3, 2, 2], T_I8, 32);
    let raw = if with_i2_s { raw.tensor("w", &[128, 2], T_I2_S, 64) } else { raw };
    let raw = raw.pad(32);
    let start = raw.len();
    let raw = (0..5).fold(raw, |raw, i| raw.u32((i as f32).to_bits())).pad(32);
    let raw = raw.put(&[7; 12]).pad(32);
    let raw = if with_i2_s { raw.put(&[0x55; 64]).u32(0.5f32.to_bits()).zeros(28) } else { raw };
    (raw.0, start)
}
