//! What Q4_K and Q5_K share: eight groups of 32 values, each with a 6-bit scale and a 6-bit minimum,
//! and the search that finds them. It knows no codes' layout.
//!
//! A block begins with `d` and `dmin` (f16) and 12 bytes: scale s of groups 0 to 3 in the low six
//! bits of byte s, their minima in those of byte 4 + s; group g from 4 on has the low four bits of
//! both in byte 4 + g (scale low, minimum high), the upper two in the top bits of bytes g − 4 and g.
//! weight = d · scale · code − dmin · minimum.

use half::f16;

use super::activation::nearest_int;
use super::f16_at;

/// Weights of one block.
pub const BLOCK: usize = 256;
/// Groups of 32 weights in a block.
pub const GROUPS: usize = 8;
/// Offset of the 12 bytes of scales and minima.
const PACKED: usize = 4;
/// Bytes in front of the codes.
pub(super) const HEADER: usize = 16;

/// The factors of one block.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Factors {
    /// Scale of scales.
    pub d: f32,
    /// Scale of minima.
    pub d_min: f32,
    /// 6-bit scales.
    pub scales: [u8; GROUPS],
    /// 6-bit minima.
    pub minima: [u8; GROUPS],
}

impl Factors {
    /// Reads the first 16 bytes of a block.
    ///
    /// # Panics
    /// If the block is shorter.
    #[inline]
    pub fn read(block: &[u8]) -> Self {
        let word = |i: usize| {
            let bytes: [u8; 4] = std::array::from_fn(|b| block[PACKED + 4 * i + b]);
            u32::from_le_bytes(bytes)
        };
        // Four bytes at a time: this is in the path of every product.
        let (low_scales, low_minima, high) = (word(0), word(1), word(2));
        let six = |low: u32| low & 0x3f3f_3f3f;
        let four_and_two = |four: u32, low: u32| four & 0x0f0f_0f0f | (low >> 6 & 0x0303_0303) << 4;
        let join = |first: u32, last: u32| (u64::from(last) << 32 | u64::from(first)).to_le_bytes();
        let scales = join(six(low_scales), four_and_two(high, low_scales));
        let minima = join(six(low_minima), four_and_two(high >> 4, low_minima));
        Self { d: f16_at(block, 0), d_min: f16_at(block, 2), scales, minima }
    }

    /// Factor and minimum of a group as the reference multiplies them out.
    #[inline]
    pub(super) fn of(&self, group: usize) -> (f32, f32) {
        (self.d * f32::from(self.scales[group]), self.d_min * f32::from(self.minima[group]))
    }

    fn write(scale: f16, min_scale: f16, scales: &[u8; 8], minima: &[u8; 8], block: &mut [u8]) {
        block[..2].copy_from_slice(&scale.to_le_bytes());
        block[2..4].copy_from_slice(&min_scale.to_le_bytes());
        let packed = &mut block[PACKED..HEADER];
        for g in 0..4 {
            packed[g] = scales[g] | scales[4 + g] >> 4 << 6;
            packed[4 + g] = minima[g] | minima[4 + g] >> 4 << 6;
            packed[8 + g] = scales[4 + g] & 15 | minima[4 + g] << 4;
        }
    }
}

/// A row of blocks of `block_bytes` each to f32, in the reference's order of products; `unpack` gives
/// the codes of a block.
///
/// # Panics
/// If the row is not one block for each 256 values.
pub(super) fn dequantize_row(
    row: &[u8],
    block_bytes: usize,
    unpack: fn(&[u8], &mut [u8; BLOCK]),
    out: &mut [f32],
) {
    assert_eq!(row.len() * BLOCK, out.len() * block_bytes, "whole blocks of {block_bytes} bytes");
    let mut codes = [0; BLOCK];
    for (block, out) in row.chunks_exact(block_bytes).zip(out.chunks_exact_mut(BLOCK)) {
        unpack(block, &mut codes);
        let factors = Factors::read(block);
        for (i, (o, code)) in out.iter_mut().zip(&codes).enumerate() {
            let (factor, minimum) = factors.of(i / 32);
            *o = factor * f32::from(*code) - minimum;
        }
    }
}

/// How finely the search looks: `steps` + 1 trials of the largest code plus `first` + 0.1 · trial.
pub(super) struct Search {
    pub(super) largest_code: u8,
    pub(super) first: f32,
    pub(super) steps: u8,
}

/// Finds scales, minima and codes of 256 values, and writes the 16 bytes in front of the codes.
///
/// Every operation is that of ggml's `quantize_row_q4_K_ref` and `quantize_row_q5_K_ref` in f32, in
/// its order, so that the bytes are the same.
pub(super) fn quantize(x: &[f32], search: &Search, codes: &mut [u8; BLOCK], block: &mut [u8]) {
    let (mut scales, mut minima) = ([0f32; GROUPS], [0f32; GROUPS]);
    for (g, (x, codes)) in x.chunks_exact(32).zip(codes.chunks_exact_mut(32)).enumerate() {
        (scales[g], minima[g]) = search.fit(x, codes);
    }
    // A comparison as in the reference: of 0 and −0, `f32::max` may give either, and the sign is written.
    let largest =
        |values: &[f32; GROUPS]| values.iter().fold(0f32, |max, &v| if v > max { v } else { max });
    let (top, top_min) = (largest(&scales), largest(&minima));
    let six_bits = |values: [f32; GROUPS], top: f32| {
        let inverse = if top > 0.0 { 63.0 / top } else { 0.0 };
        values.map(|v| (nearest_int(inverse * v) as u8).min(63))
    };
    let (packed_scales, packed_minima) = (six_bits(scales, top), six_bits(minima, top_min));
    let (d, d_min) = (f16::from_f32(top / 63.0), f16::from_f32(top_min / 63.0));
    Factors::write(d, d_min, &packed_scales, &packed_minima, block);
    // The codes once more, now for the factors as they were rounded.
    let factors = Factors::read(block);
    for (g, (x, codes)) in x.chunks_exact(32).zip(codes.chunks_exact_mut(32)).enumerate() {
        let (factor, minimum) = factors.of(g);
        if factor == 0.0 {
            continue;
        }
        for (code, v) in codes.iter_mut().zip(x) {
            *code = search.clip(nearest_int((v + minimum) / factor));
        }
    }
}

impl Search {
    fn clip(&self, code: i32) -> u8 {
        code.clamp(0, i32::from(self.largest_code)) as u8
    }

    /// Scale and negated minimum of 32 values with the least weighted squared error of all trials.
    fn fit(&self, x: &[f32], codes: &mut [u8]) -> (f32, f32) {
        let squares = x.iter().fold(0f32, |sum, v| sum + v * v);
        let typical = (squares / 32.0).sqrt();
        let weight = |v: f32| typical + v.abs();
        let (mut min, mut max) = (x[0], x[0]);
        let (mut sum_w, mut sum_x) = (weight(x[0]), weight(x[0]) * x[0]);
        for &v in &x[1..] {
            min = if v < min { v } else { min };
            max = if v > max { v } else { max };
            sum_w += weight(v);
            sum_x += weight(v) * v;
        }
        min = if min > 0.0 { 0.0 } else { min };
        if max == min {
            codes.fill(0);
            return (0.0, -min);
        }
        let largest = f32::from(self.largest_code);
        let code = |inverse: f32, above: f32| self.clip(nearest_int(inverse * above));
        let error = |scale: f32, min: f32, codes: &[u8]| {
            x.iter().zip(codes).fold(0f32, |sum, (v, code)| {
                let difference = scale * f32::from(*code) + min - v;
                sum + weight(*v) * (difference * difference)
            })
        };
        let inverse = largest / (max - min);
        let mut scale = 1.0 / inverse;
        for (c, v) in codes.iter_mut().zip(x) {
            *c = code(inverse, v - min);
        }
        let mut best = error(scale, min, codes);
        let mut trial = [0u8; 32];
        for step in 0..=self.steps {
            // The reference goes on from the best minimum so far, not from the smallest value.
            let inverse = (self.first + 0.1 * f32::from(step) + largest) / (max - min);
            let (mut sum_l, mut sum_l2, mut sum_xl) = (0f32, 0f32, 0f32);
            for (c, &v) in trial.iter_mut().zip(x) {
                *c = code(inverse, v - min);
                let (w, l) = (weight(v), f32::from(*c));
                sum_l += w * l;
                sum_l2 += w * l * l;
                sum_xl += w * l * v;
            }
            let determinant = sum_w * sum_l2 - sum_l * sum_l;
            if determinant > 0.0 {
                let mut its_scale = (sum_w * sum_xl - sum_x * sum_l) / determinant;
                let mut its_min = (sum_l2 * sum_x - sum_l * sum_xl) / determinant;
                if its_min > 0.0 {
                    its_min = 0.0;
                    its_scale = sum_xl / sum_l2;
                }
                let its_error = error(its_scale, its_min, &trial);
                if its_error < best {
                    codes.copy_from_slice(&trial);
                    (best, scale, min) = (its_error, its_scale, its_min);
                }
            }
        }
        (scale, -min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_come_back_as_they_were_written() {
        let scales = [0, 63, 17, 40, 63, 16, 15, 1];
        let minima = [63, 0, 33, 8, 47, 48, 1, 62];
        let mut block = [0xff; 16];
        Factors::write(f16::from_f32(0.5), f16::from_f32(-2.0), &scales, &minima, &mut block);
        let read = Factors::read(&block);
        assert_eq!(read, Factors { d: 0.5, d_min: -2.0, scales, minima });
        assert_eq!(read.of(2), (8.5, -66.0));
    }
}
