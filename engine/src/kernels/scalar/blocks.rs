//! Dot products of block formats, as definitions: integers within a block, floats between blocks.
//!
//! A lane holds the products that one 32-bit lane of the reference's AVX2 register holds: values
//! 4l to 4l + 3 of each 32. Where it calls an FMA intrinsic a lane is fused, and only there.

use half::bf16;

use super::{LANES, reduce_eight};
use crate::quant::activation::{Q8_K_BLOCK, Q8KBlock, Q80Block};
use crate::quant::super_blocks::Factors;
use crate::quant::{q4_0, q4_k, q5_k, q6_k, q8_0, tq1_0, tq2_0};

/// Declares the kernel of a block type: a dot product for each activation row.
macro_rules! rows {
    ($($name:ident: $dot:ident * $activation:ty;)*) => {$(
        #[inline(always)]
        pub(super) fn $name(row: &[u8], x: &[$activation], products: &mut [f32]) {
            let blocks = blocks_a_row(x, products);
            for (product, x) in products.iter_mut().zip(x.chunks_exact(blocks)) {
                *product = $dot(row, x);
            }
        }
    )*};
}

rows! {
    dots_q4_0: dot_q4_0 * Q80Block;
    dots_q8_0: dot_q8_0 * Q80Block;
    dots_q4_k: dot_q4_k * Q8KBlock;
    dots_q5_k: dot_q5_k * Q8KBlock;
    dots_q6_k: dot_q6_k * Q8KBlock;
    dots_tq1_0: dot_tq1_0 * Q8KBlock;
    dots_tq2_0: dot_tq2_0 * Q8KBlock;
}

/// Blocks of an activation row, one row for each product.
pub(in crate::kernels) fn blocks_a_row<A>(x: &[A], products: &[f32]) -> usize {
    let blocks = x.len().checked_div(products.len()).unwrap_or(0);
    assert!(blocks > 0 && x.len() == blocks * products.len(), "whole rows of activations");
    blocks
}

/// Checks that a row of `bytes` a block meets one activation block for each of its own.
pub(in crate::kernels) fn check<A>(row: &[u8], bytes: usize, x: &[A]) {
    assert_eq!(row.len(), x.len() * bytes, "one activation block per weight block");
}

#[inline(always)]
pub(super) fn dot_bf16(a: &[bf16], b: &[bf16]) -> f32 {
    assert_eq!(a.len(), b.len(), "rows of one length");
    let (a_blocks, a_rest) = a.as_chunks::<LANES>();
    let (b_blocks, b_rest) = b.as_chunks::<LANES>();
    let mut lanes = [0f32; LANES];
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        for l in 0..LANES {
            lanes[l] += a[l].to_f32() * b[l].to_f32();
        }
    }
    finish_bf16(reduce_sixteens(&lanes), a_rest, b_rest)
}

/// Adds up the 32 lanes as the reference does for BF16: the last four otherwise than elsewhere.
#[inline(always)]
fn reduce_sixteens(lanes: &[f32; LANES]) -> f32 {
    let pairs: [f32; 16] = std::array::from_fn(|l| lanes[l] + lanes[l + 16]);
    reduce_eight(&std::array::from_fn(|l| pairs[l] + pairs[l + 8]))
}

/// Adds what is left behind the last 32 values: products in f32, sum in f64.
#[inline(always)]
pub(in crate::kernels) fn finish_bf16(sum: f32, a: &[bf16], b: &[bf16]) -> f32 {
    let products = a.iter().zip(b).map(|(a, b)| f64::from(a.to_f32() * b.to_f32()));
    products.fold(f64::from(sum), |sum, p| sum + p) as f32
}

/// Adds 32 products to the lanes, four neighbours to each.
#[inline(always)]
fn add_32(sums: &mut [i32; 8], weights: &[i32; 32], x: &[i8; 32]) {
    let (weights, x) = (weights.as_chunks::<4>().0, x.as_chunks::<4>().0);
    for ((sum, w), x) in sums.iter_mut().zip(weights).zip(x) {
        *sum += (0..4).map(|i| w[i] * i32::from(x[i])).sum::<i32>();
    }
}

/// The lanes of a block of 256.
#[inline(always)]
fn lanes_of(weights: &[i32; Q8_K_BLOCK], x: &Q8KBlock) -> [i32; 8] {
    let mut sums = [0; 8];
    for (weights, x) in weights.as_chunks::<32>().0.iter().zip(x.codes.as_chunks::<32>().0) {
        add_32(&mut sums, weights, x);
    }
    sums
}

/// Blocks of 32: `code(block, i)` is the integer weight of value i.
#[inline(always)]
fn dot_32(
    row: &[u8],
    bytes: usize,
    x: &[Q80Block],
    scale: fn(&[u8]) -> f32,
    code: impl Fn(&[u8], usize) -> i32,
) -> f32 {
    check(row, bytes, x);
    let mut lanes = [0f32; 8];
    for (block, x) in row.chunks_exact(bytes).zip(x) {
        let mut sums = [0; 8];
        add_32(&mut sums, &std::array::from_fn(|i| code(block, i)), &x.codes);
        let d = scale(block) * x.scale;
        for (lane, sum) in lanes.iter_mut().zip(sums) {
            *lane = d.mul_add(sum as f32, *lane);
        }
    }
    reduce_eight(&lanes)
}

#[inline(always)]
fn dot_q8_0(row: &[u8], x: &[Q80Block]) -> f32 {
    let code = |block: &[u8], i: usize| i32::from(block[q8_0::CODES + i] as i8);
    dot_32(row, q8_0::BLOCK_BYTES, x, q8_0::scale, code)
}

#[inline(always)]
fn dot_q4_0(row: &[u8], x: &[Q80Block]) -> f32 {
    dot_32(row, q4_0::BLOCK_BYTES, x, q4_0::scale, q4_0::centred_code)
}

/// Ternary blocks: codes 0, 1, 2 less the activations' sums. Sums 2l and 2l + 1 go to lane l, where
/// the reference's registers put them, although their values lie in other lanes.
#[inline(always)]
fn dot_ternary(
    row: &[u8],
    bytes: usize,
    x: &[Q8KBlock],
    scale: fn(&[u8]) -> f32,
    unpack: fn(&[u8], &mut [u8; Q8_K_BLOCK]),
) -> f32 {
    check(row, bytes, x);
    let (mut lanes, mut codes) = ([0f32; 8], [0; Q8_K_BLOCK]);
    for (block, x) in row.chunks_exact(bytes).zip(x) {
        unpack(block, &mut codes);
        let sums = lanes_of(&codes.map(i32::from), x);
        let d = x.scale * scale(block);
        for (l, lane) in lanes.iter_mut().enumerate() {
            let sum = sums[l] - i32::from(x.sums[2 * l]) - i32::from(x.sums[2 * l + 1]);
            *lane += sum as f32 * d;
        }
    }
    reduce_eight(&lanes)
}

#[inline(always)]
fn dot_tq1_0(row: &[u8], x: &[Q8KBlock]) -> f32 {
    dot_ternary(row, tq1_0::BLOCK_BYTES, x, tq1_0::scale, tq1_0::unpack)
}

#[inline(always)]
fn dot_tq2_0(row: &[u8], x: &[Q8KBlock]) -> f32 {
    dot_ternary(row, tq2_0::BLOCK_BYTES, x, tq2_0::scale, tq2_0::unpack)
}

/// What the minima of a Q4_K or Q5_K block take back: minimum times sum of two groups each.
#[inline(always)]
pub(in crate::kernels) fn minima(factors: &Factors, x: &Q8KBlock) -> [i32; 4] {
    let part = |g: usize| {
        let sum = i32::from(x.sums[2 * g]) + i32::from(x.sums[2 * g + 1]);
        i32::from(factors.minima[g]) * sum
    };
    std::array::from_fn(|t| part(2 * t) + part(2 * t + 1))
}

/// Lanes of scale · code · activation of a Q4_K or Q5_K block.
#[inline(always)]
fn scaled_lanes(factors: &Factors, codes: &[u8; Q8_K_BLOCK], x: &Q8KBlock) -> [i32; 8] {
    let scaled = |i: usize| i32::from(factors.scales[i / 32]) * i32::from(codes[i]);
    lanes_of(&std::array::from_fn(scaled), x)
}

#[inline(always)]
fn dot_q4_k(row: &[u8], x: &[Q8KBlock]) -> f32 {
    check(row, q4_k::BLOCK_BYTES, x);
    let (mut lanes, mut below, mut codes) = ([0f32; 8], [0f32; 4], [0; Q8_K_BLOCK]);
    for (block, x) in row.chunks_exact(q4_k::BLOCK_BYTES).zip(x) {
        let factors = Factors::read(block);
        q4_k::unpack(block, &mut codes);
        let (d, d_min) = (x.scale * factors.d, -x.scale * factors.d_min);
        for (lane, part) in below.iter_mut().zip(minima(&factors, x)) {
            *lane = d_min.mul_add(part as f32, *lane);
        }
        for (lane, sum) in lanes.iter_mut().zip(scaled_lanes(&factors, &codes, x)) {
            *lane = d.mul_add(sum as f32, *lane);
        }
    }
    reduce_eight(&lanes) + ((below[0] + below[2]) + (below[1] + below[3]))
}

#[inline(always)]
fn dot_q5_k(row: &[u8], x: &[Q8KBlock]) -> f32 {
    check(row, q5_k::BLOCK_BYTES, x);
    let (mut lanes, mut below, mut codes) = ([0f32; 8], 0f32, [0; Q8_K_BLOCK]);
    for (block, x) in row.chunks_exact(q5_k::BLOCK_BYTES).zip(x) {
        let factors = Factors::read(block);
        q5_k::unpack(block, &mut codes);
        let (d, d_min) = (x.scale * factors.d, -x.scale * factors.d_min);
        below += d_min * minima(&factors, x).iter().sum::<i32>() as f32;
        for (lane, sum) in lanes.iter_mut().zip(scaled_lanes(&factors, &codes, x)) {
            *lane = d.mul_add(sum as f32, *lane);
        }
    }
    reduce_eight(&lanes) + below
}

#[inline(always)]
fn dot_q6_k(row: &[u8], x: &[Q8KBlock]) -> f32 {
    check(row, q6_k::BLOCK_BYTES, x);
    let mut lanes = [0f32; 8];
    let (mut codes, mut scales) = ([0; Q8_K_BLOCK], [0; Q8_K_BLOCK]);
    for (block, x) in row.chunks_exact(q6_k::BLOCK_BYTES).zip(x) {
        q6_k::unpack(block, &mut codes, &mut scales);
        let sums = lanes_of(&std::array::from_fn(|i| scales[i] * codes[i]), x);
        let d = x.scale * q6_k::super_scale(block);
        for (lane, sum) in lanes.iter_mut().zip(sums) {
            *lane = d.mul_add(sum as f32, *lane);
        }
    }
    reduce_eight(&lanes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{BlockDots, Isa, Kernels};
    use crate::quant::activation::{quantize_q8_0, quantize_q8_k};
    use crate::quant::blocks::BlockType;

    fn values(factor: usize) -> Vec<f32> {
        (0..512).map(|i| ((i * factor % 103) as f32 - 51.0) / 30.0).collect()
    }

    #[test]
    fn dots_agree_with_the_dequantised_row() {
        let scalar = Kernels::for_isa(Isa::Scalar).expect("always there");
        let (weights, x) = (values(41), values(29));
        for block_type in BlockType::ALL {
            let mut row = vec![0; 512 / block_type.block() * block_type.block_bytes()];
            block_type.quantize_row(&weights, &mut row);
            let mut w = vec![0f32; 512];
            block_type.dequantize_row(&row, &mut w);
            let mut dot = [0f32];
            let x: Vec<f64> = match scalar.block_dots(block_type) {
                BlockDots::Q8_0(dots) => {
                    let mut blocks = [Q80Block::default(); 16];
                    quantize_q8_0(&x, &mut blocks);
                    let value = |b: &Q80Block, i: usize| f64::from(b.scale) * f64::from(b.codes[i]);
                    dots(&row, &blocks, &mut dot);
                    (0..512).map(|i| value(&blocks[i / 32], i % 32)).collect()
                }
                BlockDots::Q8K(dots) => {
                    let mut blocks = [Q8KBlock::default(); 2];
                    quantize_q8_k(&x, &mut blocks);
                    let value = |b: &Q8KBlock, i: usize| f64::from(b.scale) * f64::from(b.codes[i]);
                    dots(&row, &blocks, &mut dot);
                    (0..512).map(|i| value(&blocks[i / 256], i % 256)).collect()
                }
            };
            let truth: f64 = w.iter().zip(&x).map(|(w, x)| f64::from(*w) * x).sum();
            let size: f64 = w.iter().zip(&x).map(|(w, x)| (f64::from(*w) * x).abs()).sum();
            let distance = (f64::from(dot[0]) - truth).abs();
            assert!(distance < 1e-6 * size, "{}: {dot:?} for {truth}", block_type.name());
        }
    }

    #[test]
    fn bf16_agrees_with_f64() {
        for n in [0, 5, 32, 45, 640] {
            let narrow = |factor: usize| {
                let bf = |i: usize| bf16::from_f32(((i * factor % 97) as f32 - 48.0) / 64.0);
                (0..n).map(bf).collect::<Vec<_>>()
            };
            let (a, b) = (narrow(31), narrow(17));
            let truth: f64 = a.iter().zip(&b).map(|(a, b)| a.to_f64() * b.to_f64()).sum();
            assert!((f64::from(dot_bf16(&a, &b)) - truth).abs() < 1e-5, "{n} values");
        }
    }
}
