//! TQ1_0: 256 ternary weights in 54 bytes, five to a byte, with one f16 scale. Multiplies nothing.
//!
//! Layout (ggml `block_tq1_0`): 48 bytes of five base-3 digits, 4 bytes of four, `d` (f16). Digit n
//! of byte m is value 32n + m for the first 32 bytes, 160 + 16n + m for the next 16, 240 + 4n + m
//! for the last 4. A byte is ⌈256 · x / 243⌉ with x the digits, the first most significant, so that
//! digit n is the top of 3 · (byte · 3ⁿ mod 256). weight = (digit − 1) · d.

use half::f16;

use super::f16_at;

/// Weights of one block.
pub const BLOCK: usize = 256;
/// Bytes of one block.
pub const BLOCK_BYTES: usize = 54;
/// Offset of the scale.
pub const SCALE: usize = 52;

/// 3ⁿ of the digits in a byte.
const POWERS: [u8; 5] = [1, 3, 9, 27, 81];
/// Groups of bytes: where they begin, how many bytes and how many digits in each.
const GROUPS: [(usize, usize, usize); 3] = [(0, 32, 5), (32, 16, 5), (48, 4, 4)];

/// The block's scale as f32.
#[inline]
pub fn scale(block: &[u8]) -> f32 {
    f16_at(block, SCALE)
}

/// The codes (0, 1, 2) in order.
///
/// # Panics
/// If the block is shorter than 54 bytes.
#[inline]
pub fn unpack(block: &[u8], codes: &mut [u8; BLOCK]) {
    let mut rest = codes.as_mut_slice();
    for (first, bytes, digits) in GROUPS {
        let (group, behind) = rest.split_at_mut(bytes * digits);
        for (codes, power) in group.chunks_exact_mut(bytes).zip(POWERS) {
            for (code, byte) in codes.iter_mut().zip(&block[first..first + bytes]) {
                *code = ((u16::from(byte.wrapping_mul(power)) * 3) >> 8) as u8;
            }
        }
        rest = behind;
    }
}

/// One block from weights −1, 0, 1 and their scale.
///
/// # Panics
/// If there are not 256 weights, or the block is not 54 bytes.
pub fn pack(weights: &[i8], scale: f16, block: &mut [u8]) {
    assert_eq!((weights.len(), block.len()), (BLOCK, BLOCK_BYTES), "one whole TQ1_0 block");
    let mut rest = weights;
    for (first, bytes, digits) in GROUPS {
        let (group, behind) = rest.split_at(bytes * digits);
        for (m, byte) in block[first..first + bytes].iter_mut().enumerate() {
            let number = (0..5).fold(0u16, |number, n| {
                let digit = if n < digits { (group[bytes * n + m] + 1) as u16 } else { 0 };
                number * 3 + digit
            });
            *byte = (number * 256).div_ceil(243) as u8;
        }
        rest = behind;
    }
    block[SCALE..].copy_from_slice(&scale.to_le_bytes());
}
