//! Q6_K: 256 weights in 210 bytes, 6-bit codes with a signed 8-bit scale for each 16 of them.
//!
//! Layout (ggml `block_q6_K`): `ql[128]` low nibbles, `qh[64]` high bit pairs, `scales[16]`,
//! `d` (f16). Half h of the block (128 values) uses ql[64h..], qh[32h..], scales[8h..]: value
//! 128h + 32g + l has its low nibble in ql[64h + 32(g%2) + l] (low half for g < 2), its high bits in
//! bits 2g of qh[32h + l], and scale 8h + 2g + l/16. weight = d · scale · (code − 32).

use half::f16;

use super::activation::nearest_int;
use super::f16_at;

/// Weights of one block.
pub const BLOCK: usize = 256;
/// Bytes of one block.
pub const BLOCK_BYTES: usize = 210;
/// Offset of the 16 scales.
pub const SCALES: usize = 192;
/// Offset of the f16 scale of scales.
pub const SUPER_SCALE: usize = 208;

/// The 6-bit code of value `i` minus 32, before any scale.
#[inline]
fn centred_code(block: &[u8], i: usize) -> i32 {
    let (half, group, lane) = (i / 128, i % 128 / 32, i % 32);
    let low = block[64 * half + 32 * (group % 2) + lane] >> (4 * (group / 2)) & 15;
    let high = block[128 + 32 * half + lane] >> (2 * group) & 3;
    i32::from(low | high << 4) - 32
}

/// The scale index of value `i`.
#[inline]
fn scale_index(i: usize) -> usize {
    8 * (i / 128) + 2 * (i % 128 / 32) + i % 32 / 16
}

/// The integers (code − 32) and the 16 scales of a block; product and sum are the kernels' work.
///
/// # Panics
/// If the block is not 210 bytes.
#[inline]
pub fn unpack(block: &[u8], codes: &mut [i32; BLOCK], scales: &mut [i32; BLOCK]) {
    assert_eq!(block.len(), BLOCK_BYTES, "a Q6_K block has 210 bytes");
    for i in 0..BLOCK {
        codes[i] = centred_code(block, i);
        scales[i] = i32::from(block[SCALES + scale_index(i)] as i8);
    }
}

/// The block's f16 factor as f32.
#[inline]
pub fn super_scale(block: &[u8]) -> f32 {
    f16_at(block, SUPER_SCALE)
}

/// A row of blocks to f32, in the reference's order of products: (d · scale) · code.
///
/// # Panics
/// If the row is not 210 bytes for each 256 values.
pub fn dequantize_row(row: &[u8], out: &mut [f32]) {
    assert_eq!(row.len() * BLOCK, out.len() * BLOCK_BYTES, "whole Q6_K blocks");
    for (block, out) in row.chunks_exact(BLOCK_BYTES).zip(out.chunks_exact_mut(BLOCK)) {
        let d = super_scale(block);
        for (i, o) in out.iter_mut().enumerate() {
            let scale = f32::from(block[SCALES + scale_index(i)] as i8);
            *o = d * scale * centred_code(block, i) as f32;
        }
    }
}

/// f32 to one block: each 16 values get the scale of their extreme, rounded to a multiple of d.
///
/// Plain rounding, without [`search_block`]'s search for the least squared error: any decoder reads
/// the block; the error is a little larger.
///
/// # Panics
/// If `x` is not 256 values or `block` not 210 bytes.
pub fn quantize_block(x: &[f32], block: &mut [u8]) {
    assert_eq!((x.len(), block.len()), (BLOCK, BLOCK_BYTES), "one whole Q6_K block");
    block.fill(0);
    let mut scales = [0f32; 16];
    for (i, v) in x.iter().enumerate() {
        let scale = &mut scales[scale_index(i)];
        if v.abs() > scale.abs() * 32.0 {
            // The extreme takes code 0 (that is −32), the longer side of the range.
            *scale = -v / 32.0;
        }
    }
    let largest = scales.iter().fold(0f32, |m, s| m.max(s.abs()));
    let d = f16::from_f32(largest / 127.0);
    block[SUPER_SCALE..].copy_from_slice(&d.to_le_bytes());
    if d.to_f32() == 0.0 {
        return;
    }
    let mut rounded = [0f32; 16];
    for (i, scale) in scales.iter().enumerate() {
        let q = (scale / d.to_f32()).round_ties_even().clamp(-128.0, 127.0);
        block[SCALES + i] = q as i8 as u8;
        rounded[i] = q * d.to_f32();
    }
    let mut codes = [0; BLOCK];
    for (i, v) in x.iter().enumerate() {
        let scale = rounded[scale_index(i)];
        let q = if scale == 0.0 { 0.0 } else { (v / scale).round_ties_even() };
        codes[i] = (q.clamp(-32.0, 31.0) as i32 + 32) as u8;
    }
    write_codes(&codes, block);
}

/// Writes codes 0 to 63 over the zeros of a block.
fn write_codes(codes: &[u8; BLOCK], block: &mut [u8]) {
    for (i, code) in codes.iter().enumerate() {
        let (half, group, lane) = (i / 128, i % 128 / 32, i % 32);
        block[64 * half + 32 * (group % 2) + lane] |= (code & 15) << (4 * (group / 2));
        block[128 + 32 * half + lane] |= (code >> 4) << (2 * group);
    }
}

/// f32 to one block with the reference's search for the scales of least weighted squared error.
///
/// Same bytes as ggml's `quantize_row_q6_K_ref`: every operation is its, in f32 and in its order.
///
/// # Panics
/// If `x` is not 256 values or `block` not 210 bytes.
pub fn search_block(x: &[f32], block: &mut [u8]) {
    assert_eq!((x.len(), block.len()), (BLOCK, BLOCK_BYTES), "one whole Q6_K block");
    block.fill(0);
    let (mut scales, mut codes) = ([0f32; 16], [0u8; BLOCK]);
    for ((scale, x), codes) in scales.iter_mut().zip(x.chunks(16)).zip(codes.chunks_mut(16)) {
        *scale = fit(x, codes);
    }
    let extreme = scales.iter().fold(0f32, |m, &s| if s.abs() > m.abs() { s } else { m });
    if extreme.abs() < NOTHING {
        return;
    }
    let inverse = -128.0 / extreme;
    let d = f16::from_f32(1.0 / inverse);
    block[SUPER_SCALE..].copy_from_slice(&d.to_le_bytes());
    for (g, (x, codes)) in x.chunks(16).zip(codes.chunks_mut(16)).enumerate() {
        let scale = nearest_int(inverse * scales[g]).min(127) as i8;
        block[SCALES + g] = scale as u8;
        let factor = d.to_f32() * f32::from(scale);
        if factor == 0.0 {
            continue;
        }
        for (code, v) in codes.iter_mut().zip(x) {
            *code = centred(nearest_int(v / factor));
        }
    }
    write_codes(&codes, block);
}

/// Scales below this count as none.
const NOTHING: f32 = 1e-15;

/// −32 to 31 as 0 to 63, what lies beyond clipped.
fn centred(code: i32) -> u8 {
    (code.clamp(-32, 31) + 32) as u8
}

/// Scale and codes of 16 values: of 19 ranges around the extreme's, the one with the least squared
/// error, each value weighted by its square.
fn fit(x: &[f32], codes: &mut [u8]) -> f32 {
    let extreme = x.iter().fold(0f32, |m, &v| if v.abs() > m.abs() { v } else { m });
    if extreme.abs() < NOTHING {
        codes.fill(0);
        return 0.0;
    }
    let round = |inverse: f32, v: f32| centred(nearest_int(inverse * v));
    let sums = |inverse: f32| {
        x.iter().fold((0f32, 0f32), |(sum_lx, sum_l2), &v| {
            let (w, l) = (v * v, f32::from(round(inverse, v)) - 32.0);
            (sum_lx + w * v * l, sum_l2 + w * l * l)
        })
    };
    let write = |inverse: f32, codes: &mut [u8]| {
        for (code, v) in codes.iter_mut().zip(x) {
            *code = round(inverse, *v);
        }
    };
    let inverse = -32.0 / extreme;
    write(inverse, codes);
    let (sum_lx, sum_l2) = sums(inverse);
    let mut scale = if sum_l2 == 0.0 { 0.0 } else { sum_lx / sum_l2 };
    let mut best = scale * sum_lx;
    for step in (-9i8..=9).filter(|step| *step != 0) {
        let inverse = -(32.0 + 0.1 * f32::from(step)) / extreme;
        let (sum_lx, sum_l2) = sums(inverse);
        if sum_l2 > 0.0 && sum_lx * sum_lx > best * sum_l2 {
            write(inverse, codes);
            scale = sum_lx / sum_l2;
            best = scale * sum_lx;
        }
    }
    scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantising_stays_within_one_step() {
        let x: Vec<f32> = (0..256).map(|i| ((i * 37 % 101) as f32 - 50.0) / 25.0).collect();
        let (mut block, mut back) = ([0; BLOCK_BYTES], [0f32; BLOCK]);
        quantize_block(&x, &mut block);
        dequantize_row(&block, &mut back);
        let worst = x.iter().zip(&back).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
        // step = extreme/32 = 1/16. A value as large as the extreme but of the other sign is clipped
        // by one step (31 against −32); the 8-bit scale is off by at most 1/254 of it.
        assert!(worst <= 1.0 / 16.0 + 2.0 / 254.0, "{worst}");
    }

    #[test]
    fn zeros_stay_zeros() {
        let (mut block, mut back) = ([7; BLOCK_BYTES], [1f32; BLOCK]);
        quantize_block(&[0.0; BLOCK], &mut block);
        dequantize_row(&block, &mut back);
        assert_eq!(back, [0.0; BLOCK]);
    }

    #[test]
    fn unpack_and_dequantise_read_the_same_codes() {
        let block: Vec<u8> = (0..BLOCK_BYTES).map(|i| (i * 89 % 251) as u8).collect();
        let mut block = block;
        block[SUPER_SCALE..].copy_from_slice(&f16::from_f32(0.5).to_le_bytes());
        let (mut codes, mut scales) = ([0; BLOCK], [0; BLOCK]);
        unpack(&block, &mut codes, &mut scales);
        let mut back = [0f32; BLOCK];
        dequantize_row(&block, &mut back);
        for i in 0..BLOCK {
            assert_eq!(back[i], 0.5 * (scales[i] * codes[i]) as f32, "value {i}");
        }
    }
}
