//! What llama.cpp does its own way, as far as the shared tests need it.

use half::f16;

use crate::fixture;

pub const NAME: &str = "llama-cpp";
pub const ARCHITECTURE: &str = "bitnet";
pub const FILE_TYPE: u32 = 37;
/// Metadata beside what every provider needs.
pub const MORE_KEYS: [(&str, &str); 1] = [("bitnet.hidden_activation", "relu2")];

/// Type id of the ternary matrices, and the name that the reference has for it.
pub const TERNARY: u32 = 35;
pub const TERNARY_NAME: &str = "TQ2_0";

/// Cells of the KV cache that one graph sees come in multiples of this.
pub const CELLS: usize = 256;
pub const EMBEDDED: &str = "embd";
pub const SOFTMAX: &str = "kq_soft_max-0";
pub const GATED: &str = "ffn_sub_out-0";
pub const PERMUTED: &str = "Qcur-0 (view) (permuted)";
/// Which of the tensors called `Qcur-0` is the rotated one.
pub const ROTATED: usize = 2;

/// The lane from which the 32 of value `i` of a Q6_K block is taken off: sums of sixteen, in pairs.
pub fn q6_k_lane(i: usize) -> usize {
    i / 32
}

/// Values of a block, its codes' bytes, and all its bytes.
const BLOCK: usize = 256;
const CODES: usize = 64;
const BYTES: usize = 66;

/// TQ2_0: `block_tq2_0` in ggml/src/ggml-common.h. Byte `j` of half `h` holds the values
/// 128h + j, 128h + 32 + j, 128h + 64 + j, 128h + 96 + j in bits 0, 2, 4, 6.
pub fn pack(codes: &[u8], scale: f32) -> Vec<u8> {
    let mut bytes = Vec::new();
    for block in codes.chunks(BLOCK) {
        for half in block.chunks(128) {
            bytes.extend(
                (0..32)
                    .map(|j| half[j] | half[32 + j] << 2 | half[64 + j] << 4 | half[96 + j] << 6),
            );
        }
        bytes.extend(f16::from_f32(scale).to_le_bytes());
    }
    bytes
}

/// Activations become Q8_K: int8 with one scale for 256 values.
pub fn product(x: &[f32], weight: &fixture::Tensor) -> Vec<f32> {
    let [columns, _] = weight.extents[..] else { panic!("a matrix") };
    let row_bytes = columns / BLOCK * BYTES;
    let mut out = Vec::new();
    for token in x.chunks(columns) {
        let quantised: Vec<([i32; BLOCK], f32)> = token.chunks(BLOCK).map(q8_k).collect();
        out.extend(weight.bytes.chunks(row_bytes).map(|row| {
            let mut lanes = [0.0_f32; 8];
            for (block, (values, step)) in row.chunks(BYTES).zip(&quantised) {
                let scale = f16::from_le_bytes([block[CODES], block[CODES + 1]]).to_f32();
                let d = step * scale;
                // Lane k sums the bytes 4k to 4k + 3 of every group of 32.
                let mut sums = [0_i32; 8];
                for (i, value) in values.iter().enumerate() {
                    let code = block[i / 128 * 32 + i % 32] >> (2 * (i % 128 / 32)) & 3;
                    // The sum of all values is taken off in pairs of sixteen, not lane by lane.
                    sums[i % 32 / 4] += i32::from(code) * value;
                    sums[i / 32] -= value;
                }
                for (lane, sum) in lanes.iter_mut().zip(sums) {
                    *lane += sum as f32 * d;
                }
            }
            let t: [f32; 4] = std::array::from_fn(|l| lanes[l + 4] + lanes[l]);
            (t[0] + t[2]) + (t[1] + t[3])
        }));
    }
    out
}

/// `quantize_row_q8_K_ref`: the largest magnitude becomes -127.
fn q8_k(x: &[f32]) -> ([i32; BLOCK], f32) {
    let mut largest = 0.0_f32;
    for value in x {
        if value.abs() > largest.abs() {
            largest = *value;
        }
    }
    let inverse = -127.0 / largest;
    let value = |i: usize| ((inverse * x[i]).round_ties_even() as i32).min(127);
    (std::array::from_fn(value), 1.0 / inverse)
}
