//! What the block formats' products share on AArch64, whichever instructions multiply: unpacking
//! codes, and the float side of a block. Same bits as `scalar::blocks`; see there for what is
//! computed.
//!
//! A group is 32 values in two registers of 16, whose products fill the lanes 0 to 3 and 4 to 7.

use std::arch::aarch64::*;

use half::bf16;

use super::{sum_eight, sum_halves, sum_registers};
use crate::kernels::scalar::blocks::finish_bf16;
use crate::quant::activation::Q8KBlock;
use crate::quant::super_blocks::Factors;
use crate::quant::{q5_k, q6_k, tq1_0};

/// 32 codes in order.
pub(super) type Group = [int8x16_t; 2];

#[inline]
#[target_feature(enable = "neon")]
fn load_u8(bytes: &[u8; 32]) -> [uint8x16_t; 2] {
    // SAFETY: the array holds the 32 bytes that are read; a load needs no alignment.
    unsafe { [vld1q_u8(bytes.as_ptr()), vld1q_u8(bytes.as_ptr().add(16))] }
}

#[inline]
#[target_feature(enable = "neon")]
pub(super) fn load_i8(bytes: &[i8; 32]) -> Group {
    // SAFETY: the array holds the 32 bytes that are read; a load needs no alignment.
    unsafe { [vld1q_s8(bytes.as_ptr()), vld1q_s8(bytes.as_ptr().add(16))] }
}

#[inline]
#[target_feature(enable = "neon")]
fn load_16(bytes: &[u8; 16]) -> uint8x16_t {
    // SAFETY: the array holds the 16 bytes that are read; a load needs no alignment.
    unsafe { vld1q_u8(bytes.as_ptr()) }
}

/// The same bits as signed bytes.
#[inline]
#[target_feature(enable = "neon")]
fn signed(codes: [uint8x16_t; 2]) -> Group {
    codes.map(|v| vreinterpretq_s8_u8(v))
}

/// The f16 at an offset of a block.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn half_at(block: &[u8], offset: usize) -> f32 {
    let bits = vdup_n_u16(u16::from_le_bytes([block[offset], block[offset + 1]]));
    vgetq_lane_f32::<0>(vcvt_f32_f16(vreinterpret_f16_u16(bits)))
}

/// The codes of one activation block of each row, in groups of 32.
#[inline]
pub(super) fn groups<'a, const T: usize>(
    x: &[&'a [Q8KBlock]; T],
    block: usize,
) -> [&'a [[i8; 32]]; T] {
    std::array::from_fn(|t| x[t][block].codes.as_chunks::<32>().0)
}

/// Q8_0: 32 signed bytes.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn q8_0_codes(bytes: &[u8; 32]) -> Group {
    signed(load_u8(bytes))
}

/// Q4_0: 16 bytes, the first 16 codes in their low halves; the codes less 8.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn q4_0_codes(bytes: &[u8; 16]) -> Group {
    let bytes = load_16(bytes);
    let both = [vandq_u8(bytes, vdupq_n_u8(15)), vshrq_n_u8::<4>(bytes)];
    signed(both).map(|v| vsubq_s8(v, vdupq_n_s8(8)))
}

/// Two groups of nibbles: the low halves of 32 bytes, then the high ones.
#[inline]
#[target_feature(enable = "neon")]
fn nibbles(bytes: [uint8x16_t; 2]) -> [[uint8x16_t; 2]; 2] {
    let low = bytes.map(|v| vandq_u8(v, vdupq_n_u8(15)));
    [low, bytes.map(|v| vshrq_n_u8::<4>(v))]
}

/// Q4_K: the groups 2p and 2p + 1.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn q4_k_codes(bytes: &[u8; 32]) -> [Group; 2] {
    nibbles(load_u8(bytes)).map(|codes| signed(codes))
}

/// Q5_K: the eight groups.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn q5_k_codes(block: &[u8; q5_k::BLOCK_BYTES]) -> [Group; 8] {
    // Its lowest bit belongs to the group at hand.
    let mut fifth = load_u8(&block[q5_k::HIGH_BITS..].as_chunks::<32>().0[0]);
    let mut groups = [[vdupq_n_s8(0); 2]; 8];
    let bytes = block[q5_k::CODES..].as_chunks::<32>().0;
    for (groups, bytes) in groups.as_chunks_mut::<2>().0.iter_mut().zip(bytes) {
        for (group, low) in groups.iter_mut().zip(nibbles(load_u8(bytes))) {
            let code = |i: usize| {
                let high = vandq_u8(fifth[i], vdupq_n_u8(1));
                vorrq_u8(low[i], vshlq_n_u8::<4>(high))
            };
            *group = signed([code(0), code(1)]);
            fifth = fifth.map(|v| vshrq_n_u8::<1>(v));
        }
    }
    groups
}

/// Q6_K: the four groups of a half of the block, less 32.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn q6_k_codes(block: &[u8; q6_k::BLOCK_BYTES], half: usize) -> [Group; 4] {
    let low = block[..128].as_chunks::<32>().0;
    let [low0, high0] = nibbles(load_u8(&low[2 * half]));
    let [low1, high1] = nibbles(load_u8(&low[2 * half + 1]));
    let pairs = load_u8(&block[128..q6_k::SCALES].as_chunks::<32>().0[half]);
    let pair = vdupq_n_u8(3);
    let tops = [
        pairs.map(|v| vandq_u8(v, pair)),
        pairs.map(|v| vandq_u8(vshrq_n_u8::<2>(v), pair)),
        pairs.map(|v| vandq_u8(vshrq_n_u8::<4>(v), pair)),
        pairs.map(|v| vshrq_n_u8::<6>(v)),
    ];
    let mut groups = [[vdupq_n_s8(0); 2]; 4];
    for ((group, low), top) in groups.iter_mut().zip([low0, low1, high0, high1]).zip(tops) {
        let code = |i: usize| vorrq_u8(low[i], vshlq_n_u8::<4>(top[i]));
        *group = signed([code(0), code(1)]).map(|v| vsubq_s8(v, vdupq_n_s8(32)));
    }
    groups
}

/// TQ2_0, and I2_S from the last to the first: the four groups of 32 bytes from the low bits up.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn two_bit_codes(bytes: &[u8; 32]) -> [Group; 4] {
    let (bytes, mask) = (load_u8(bytes), vdupq_n_u8(3));
    [
        signed(bytes.map(|v| vandq_u8(v, mask))),
        signed(bytes.map(|v| vandq_u8(vshrq_n_u8::<2>(v), mask))),
        signed(bytes.map(|v| vandq_u8(vshrq_n_u8::<4>(v), mask))),
        signed(bytes.map(|v| vshrq_n_u8::<6>(v))),
    ]
}

/// The top base-3 digit of each byte, ⌊3q / 256⌋: half of q + ⌊q / 2⌋ is taken without overflow.
#[inline]
#[target_feature(enable = "neon")]
fn digit(q: uint8x16_t) -> int8x16_t {
    vreinterpretq_s8_u8(vshrq_n_u8::<6>(vhaddq_u8(q, vshrq_n_u8::<1>(q))))
}

/// TQ1_0: the eight groups.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn tq1_0_codes(block: &[u8; tq1_0::BLOCK_BYTES]) -> [Group; 8] {
    const POWERS: [u8; 16] = [1, 1, 1, 1, 3, 3, 3, 3, 9, 9, 9, 9, 27, 27, 27, 27];
    let three = vdupq_n_u8(3);
    let mut groups = [[vdupq_n_s8(0); 2]; 8];
    let mut q = load_u8(&block.as_chunks::<32>().0[0]);
    for group in &mut groups[..5] {
        *group = q.map(|v| digit(v));
        q = q.map(|v| vmulq_u8(v, three));
    }
    // 16 bytes of five digits and 4 of four fill three groups more.
    let mut q = load_16(&block[32..].as_chunks::<16>().0[0]);
    for half in groups[5..].as_flattened_mut() {
        *half = digit(q);
        q = vmulq_u8(q, three);
    }
    let last = u32::from_le_bytes([block[48], block[49], block[50], block[51]]);
    let last = vreinterpretq_u8_u32(vdupq_n_u32(last));
    groups[7][1] = digit(vmulq_u8(last, load_16(&POWERS)));
    groups
}

/// Minimum times sum of activations, two groups of 32 in a lane.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn minima(factors: &Factors, x: &Q8KBlock) -> int32x4_t {
    // SAFETY: the array holds the 16 sums that are read; a load needs no more than their alignment.
    let sums = unsafe { [vld1q_s16(x.sums.as_ptr()), vld1q_s16(x.sums.as_ptr().add(8))] };
    let minima = vmovl_u8(vcreate_u8(u64::from_le_bytes(factors.minima)));
    let minima = [vmovl_u16(vget_low_u16(minima)), vmovl_high_u16(minima)];
    let part = |i: usize| vmulq_s32(vreinterpretq_s32_u32(minima[i]), vpaddlq_s16(sums[i]));
    vpaddq_s32(part(0), part(1))
}

/// Adds factor · lanes to an accumulator, fused.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn add_fused(acc: &mut [float32x4_t; 2], lanes: [int32x4_t; 2], factor: f32) {
    for (acc, lanes) in acc.iter_mut().zip(lanes) {
        *acc = vfmaq_n_f32(*acc, vcvtq_f32_s32(lanes), factor);
    }
}

/// Ends a ternary block: takes back the +1 of the codes, then scales. Not fused, as in the reference.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn add_ternary(
    acc: &mut [float32x4_t; 2],
    lanes: [int32x4_t; 2],
    scale: f32,
    x: &Q8KBlock,
) {
    let d = x.scale * scale;
    let sums = x.sums.as_chunks::<8>().0;
    for ((acc, lanes), sums) in acc.iter_mut().zip(lanes).zip(sums) {
        // SAFETY: the array holds the eight sums that are read; a load needs no more than their
        // alignment.
        let sums = vpaddlq_s16(unsafe { vld1q_s16(sums.as_ptr()) });
        let product = vmulq_n_f32(vcvtq_f32_s32(vsubq_s32(lanes, sums)), d);
        *acc = vaddq_f32(*acc, product);
    }
}

/// Adds up each accumulator's lanes.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn finish<const T: usize>(acc: [[float32x4_t; 2]; T]) -> [f32; T] {
    acc.map(|v| sum_eight(v))
}

/// The four lanes below a Q4_K product.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn finish_below(below: float32x4_t) -> f32 {
    sum_halves(below)
}

#[inline]
#[target_feature(enable = "neon")]
fn widen(values: &[bf16; 8]) -> [float32x4_t; 2] {
    // SAFETY: the array holds the 16 bytes that are read, and a bf16 is the 16 bits of a u16.
    let bits = unsafe { vld1q_u16(values.as_ptr().cast()) };
    let low = vshll_n_u16::<16>(vget_low_u16(bits));
    let high = vshll_high_n_u16::<16>(bits);
    [vreinterpretq_f32_u32(low), vreinterpretq_f32_u32(high)]
}

#[target_feature(enable = "neon")]
pub(super) fn dot_bf16(a: &[bf16], b: &[bf16]) -> f32 {
    assert_eq!(a.len(), b.len(), "rows of one length");
    let (a_blocks, a_rest) = a.as_chunks::<32>();
    let (b_blocks, b_rest) = b.as_chunks::<32>();
    let mut acc = [[vdupq_n_f32(0.0); 2]; 4];
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        let (a, b) = (a.as_chunks::<8>().0, b.as_chunks::<8>().0);
        for r in 0..4 {
            let (a, b) = (widen(&a[r]), widen(&b[r]));
            for i in 0..2 {
                acc[r][i] = vaddq_f32(acc[r][i], vmulq_f32(a[i], b[i]));
            }
        }
    }
    finish_bf16(sum_halves(sum_registers(acc)), a_rest, b_rest)
}
