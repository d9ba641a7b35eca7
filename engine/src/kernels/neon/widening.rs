//! Integer products with the NEON that every AArch64 processor has: 8 by 8 bits give 16, sums widen.

use std::arch::aarch64::*;

use super::products::integer_kernels;

/// Sums of products of codes 0 to 3: 16-bit lanes, as long as they hold ([`BLOCKS_PER_SUM`]).
type Sums = [int16x8_t; 2];

/// Blocks of 128 whose sums cannot overflow: a lane takes eight products of at most 3 · 128 from
/// a block, 3072, and 10 · 3072 = 30720. Only a damaged file has a code 3, but its sums are the
/// definition's, too.
const BLOCKS_PER_SUM: usize = 10;

#[inline]
#[target_feature(enable = "neon")]
fn no_sums() -> Sums {
    [vdupq_n_s16(0); 2]
}

/// Adds 16 products of codes 0 to 3.
#[inline]
#[target_feature(enable = "neon")]
fn add_small(sums: Sums, codes: int8x16_t, x: int8x16_t) -> Sums {
    let low = vmlal_s8(sums[0], vget_low_s8(codes), vget_low_s8(x));
    [low, vmlal_high_s8(sums[1], codes, x)]
}

/// Lane l: the sums of values 4l to 4l + 3 of each 16.
#[inline]
#[target_feature(enable = "neon")]
fn lanes(sums: Sums) -> int32x4_t {
    vpaddq_s32(vpaddlq_s16(sums[0]), vpaddlq_s16(sums[1]))
}

/// 16 products, values 4l to 4l + 3 in lane l. No two neighbours may both be −128 · −128, whose sum
/// 16 bits cannot hold; of the block types' codes only Q8_0's can be −128, and its activations
/// begin at −127.
#[inline]
#[target_feature(enable = "neon")]
fn dot_16(codes: int8x16_t, x: int8x16_t) -> int32x4_t {
    let low = vmull_s8(vget_low_s8(codes), vget_low_s8(x));
    vpaddlq_s16(vpaddq_s16(low, vmull_high_s8(codes, x)))
}

integer_kernels! { "neon" }
