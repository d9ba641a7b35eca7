//! What bitnet.cpp does its own way, as far as the shared tests need it.

use crate::arithmetic::floats;
use crate::fixture;

pub const NAME: &str = "bitnet-cpp";
pub const ARCHITECTURE: &str = "bitnet-b1.58";
pub const FILE_TYPE: u32 = 40;
/// Metadata beside what every provider needs.
pub const MORE_KEYS: [(&str, &str); 0] = [];

/// Type id of the ternary matrices, and the name that the reference has for it.
pub const TERNARY: u32 = 36;
pub const TERNARY_NAME: &str = "I2_S";

/// Cells of the KV cache that one graph sees come in multiples of this.
pub const CELLS: usize = 32;
pub const EMBEDDED: &str = "inp_embd";
pub const SOFTMAX: &str = "kq_soft_max_ext-0";
pub const GATED: &str = "ffn_out-0";
pub const PERMUTED: &str = "q-0";
/// Which of the tensors called `Qcur-0` is the rotated one.
pub const ROTATED: usize = 1;

/// The lane from which the 32 of value `i` of a Q6_K block is taken off: the value's own.
pub fn q6_k_lane(i: usize) -> usize {
    i % 32 / 4
}

/// I2_S: `quantize_i2_s` in src/ggml-bitnet-mad.cpp (x86). Byte `j` of a group of 32 holds the
/// values j, 32 + j, 64 + j, 96 + j in bits 6, 4, 2, 0.
pub fn pack(codes: &[u8], scale: f32) -> Vec<u8> {
    let mut bytes: Vec<u8> = codes
        .chunks(128)
        .flat_map(|group| {
            (0..32).map(|j| group[j] << 6 | group[32 + j] << 4 | group[64 + j] << 2 | group[96 + j])
        })
        .collect();
    bytes.extend(scale.to_le_bytes());
    bytes.extend([0; 28]);
    bytes
}

/// Activations become int8 with one scale a token.
pub fn product(x: &[f32], weight: &fixture::Tensor) -> Vec<f32> {
    let [columns, rows] = weight.extents[..] else { panic!("a matrix") };
    let (codes, tail) = weight.bytes.split_at(columns * rows / 4);
    let scale = floats(&tail[..4])[0];
    let weight_at = |row: usize, column: usize| {
        let (group, within) = ((row * columns + column) / 128, column % 128);
        i32::from(codes[group * 32 + within % 32] >> (6 - 2 * (within / 32)) & 3) - 1
    };
    let mut out = Vec::new();
    for token in x.chunks(columns) {
        let largest = token.iter().fold(0.00001_f64, |max, value| max.max(f64::from(*value).abs()));
        let activation_scale = (127.0 / largest) as f32;
        let quantised: Vec<i32> = token
            .iter()
            .map(|value| ((value * activation_scale).round_ties_even() as i32).clamp(-128, 127))
            .collect();
        out.extend((0..rows).map(|row| {
            let sum: i32 = quantised.iter().enumerate().map(|(c, q)| q * weight_at(row, c)).sum();
            sum as f32 / activation_scale * scale
        }));
    }
    out
}
