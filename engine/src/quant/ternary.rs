//! What TQ1_0 and TQ2_0 share: rounding to −1, 0, 1 times one scale, and the way back.

use half::f16;

use super::{tq1_0, tq2_0};

/// Rounds 256 values to ternary weights with their largest magnitude as the scale, as ggml's
/// `quantize_row_tq1_0_ref` and `quantize_row_tq2_0_ref` do: exact for what is ternary already.
#[expect(clippy::disallowed_methods, reason = "the reference rounds these halves away from zero")]
fn round(x: &[f32]) -> ([i8; 256], f16) {
    let largest = x.iter().fold(0f32, |max, v| max.max(v.abs()));
    let inverse = if largest == 0.0 { 0.0 } else { 1.0 / largest };
    let mut weights = [0; 256];
    for (weight, v) in weights.iter_mut().zip(x) {
        *weight = ((v * inverse).round() as i8).clamp(-1, 1);
    }
    (weights, f16::from_f32(largest))
}

/// f32 to one TQ1_0 block.
///
/// # Panics
/// If `x` is not 256 values or `block` not 54 bytes.
pub fn quantize_tq1_0(x: &[f32], block: &mut [u8]) {
    assert_eq!(x.len(), tq1_0::BLOCK, "one whole TQ1_0 block");
    let (weights, scale) = round(x);
    tq1_0::pack(&weights, scale, block);
}

/// f32 to one TQ2_0 block.
///
/// # Panics
/// If `x` is not 256 values or `block` not 66 bytes.
pub fn quantize_tq2_0(x: &[f32], block: &mut [u8]) {
    assert_eq!(x.len(), tq2_0::BLOCK, "one whole TQ2_0 block");
    let (weights, scale) = round(x);
    tq2_0::pack(&weights, scale, block);
}

fn scaled(codes: &[u8; 256], scale: f32, out: &mut [f32]) {
    for (o, code) in out.iter_mut().zip(codes) {
        *o = (f32::from(*code) - 1.0) * scale;
    }
}

/// A row of TQ1_0 blocks to f32.
///
/// # Panics
/// If the row is not 54 bytes for each 256 values.
pub fn dequantize_tq1_0(row: &[u8], out: &mut [f32]) {
    assert_eq!(row.len() * 256, out.len() * tq1_0::BLOCK_BYTES, "whole TQ1_0 blocks");
    let mut codes = [0; 256];
    for (block, out) in row.chunks_exact(tq1_0::BLOCK_BYTES).zip(out.chunks_exact_mut(256)) {
        tq1_0::unpack(block, &mut codes);
        scaled(&codes, tq1_0::scale(block), out);
    }
}

/// A row of TQ2_0 blocks to f32.
///
/// # Panics
/// If the row is not 66 bytes for each 256 values.
pub fn dequantize_tq2_0(row: &[u8], out: &mut [f32]) {
    assert_eq!(row.len() * 256, out.len() * tq2_0::BLOCK_BYTES, "whole TQ2_0 blocks");
    let mut codes = [0; 256];
    for (block, out) in row.chunks_exact(tq2_0::BLOCK_BYTES).zip(out.chunks_exact_mut(256)) {
        tq2_0::unpack(block, &mut codes);
        scaled(&codes, tq2_0::scale(block), out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights() -> [i8; 256] {
        std::array::from_fn(|i| ((i * i + i / 7) % 3) as i8 - 1)
    }

    #[test]
    fn ternary_values_come_back_exactly_from_both() {
        let x = weights().map(|w| f32::from(w) * 0.375);
        let (mut one, mut two, mut back) = ([0; 54], [0; 66], [0f32; 256]);
        quantize_tq1_0(&x, &mut one);
        dequantize_tq1_0(&one, &mut back);
        assert_eq!(back, x, "TQ1_0");
        quantize_tq2_0(&x, &mut two);
        dequantize_tq2_0(&two, &mut back);
        assert_eq!(back, x, "TQ2_0");
    }

    #[test]
    fn bits_and_digits_lie_where_the_format_says() {
        let mut w = [-1i8; 256];
        // value 128·1 + 32·2 + 5: byte 32 + 5, bits 4 and 5
        w[197] = 1;
        let mut two = [0; 66];
        tq2_0::pack(&w, f16::ONE, &mut two);
        let set: Vec<(usize, u8)> = (0..64).map(|i| (i, two[i])).filter(|b| b.1 != 0).collect();
        assert_eq!(set, [(37, 2 << 4)]);
        // value 160 + 16·2 + 5 is digit 2 of byte 32 + 5: x = 2 · 9 = 18
        let mut one = [0; 54];
        tq1_0::pack(&w, f16::ONE, &mut one);
        let set: Vec<(usize, u8)> = (0..52).map(|i| (i, one[i])).filter(|b| b.1 != 0).collect();
        assert_eq!(set, [(37, 19)]); // ⌈18 · 256 / 243⌉
        w.fill(1);
        tq1_0::pack(&w, f16::ONE, &mut one);
        assert_eq!((one[0], one[47], one[51]), (255, 255, 253)); // 242, 242 and 240
    }

    #[test]
    fn values_between_are_rounded_and_zeros_have_no_scale() {
        let mut x = [0f32; 256];
        (x[0], x[1], x[2], x[3]) = (-2.0, 0.9, 1.0, -1.1);
        let (mut block, mut back) = ([0; 66], [0f32; 256]);
        quantize_tq2_0(&x, &mut block);
        dequantize_tq2_0(&block, &mut back);
        assert_eq!(back[..5], [-2.0, 0.0, 2.0, -2.0, 0.0]);
        quantize_tq2_0(&[0.0; 256], &mut block);
        dequantize_tq2_0(&block, &mut back);
        assert_eq!(back, [0.0; 256]);
    }
}
