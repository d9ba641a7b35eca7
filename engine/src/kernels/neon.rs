//! NEON kernels of AArch64. Same bits as `scalar`; see there for what is computed.
//!
//! Eight lanes of the definition are two registers of four, in order.

mod activation;
mod blocks;
pub(super) mod dotprod;
mod products;
mod widening;

use std::arch::aarch64::*;

use half::f16;

use super::macros::available;
use super::scalar::{self, LANES, tables};
use super::table::{Isa, Kernels};
use crate::quant::ternary_layout::Layout;

pub(super) static KERNELS: Kernels = Kernels {
    isa: Isa::Neon,
    ternary_layout: Layout::Blocks128,
    ternary_dots: |rows, columns, x, sums| {
        available!(widening::ternary_dots(rows, columns, x, sums))
    },
    quantize_int8: |x, codes| available!(activation::quantize_int8(x, codes)),
    dot_f32: |a, b| available!(dot_f32(a, b)),
    dot_f16: |a, b| available!(dot_f16(a, b)),
    dots_f32: |rows, length, x, out| {
        scalar::each_dot_f32(KERNELS.dot_f32, rows, length, x, out);
    },
    dots_f16: |rows, stride, length, x, out| {
        scalar::each_dot_f16(KERNELS.dot_f16, rows, stride, length, x, out);
    },
    narrow_to_f16: |x, out| available!(activation::narrow_to_f16(x, out)),
    dot_bf16: |a, b| available!(blocks::dot_bf16(a, b)),
    narrow_to_bf16: |x, out| available!(activation::narrow_to_bf16(x, out)),
    quantize_q8_0: |x, out| available!(activation::quantize_q8_0(x, out)),
    quantize_q8_k: |x, out| available!(activation::quantize_q8_k(x, out)),
    dot_q4_0: |row, x, out| available!(widening::dot_q4_0(row, x, out)),
    dot_q8_0: |row, x, out| available!(widening::dot_q8_0(row, x, out)),
    dot_q4_k: |row, x, out| available!(widening::dot_q4_k(row, x, out)),
    dot_q5_k: |row, x, out| available!(widening::dot_q5_k(row, x, out)),
    dot_q6_k: |row, x, out| available!(widening::dot_q6_k(row, x, out)),
    dot_tq1_0: |row, x, out| available!(widening::dot_tq1_0(row, x, out)),
    dot_tq2_0: |row, x, out| available!(widening::dot_tq2_0(row, x, out)),
    softmax: |scores, scale| available!(softmax(scores, scale)),
    silu_gate: |gate, up| available!(silu_gate(gate, up)),
    // NEON is part of the target, so the compiler uses it for the definitions' simple loops as well.
    scale_sums: tables::PORTABLE.scale_sums,
    six_bit_dots: tables::PORTABLE.six_bit_dots,
    screens: false,
    rms_norm: scalar::rms_norm_in_lanes,
    relu_squared_gate: tables::PORTABLE.relu_squared_gate,
    add: tables::PORTABLE.add,
};

#[inline]
#[target_feature(enable = "neon")]
fn load_f32(values: &[f32; 8]) -> [float32x4_t; 2] {
    // SAFETY: the array holds the eight values that are read; a load needs no more than their alignment.
    unsafe { [vld1q_f32(values.as_ptr()), vld1q_f32(values.as_ptr().add(4))] }
}

#[inline]
#[target_feature(enable = "neon")]
fn store_f32(values: &mut [f32; 8], v: [float32x4_t; 2]) {
    // SAFETY: the array holds the eight values that are written; a store needs no more than their
    // alignment.
    unsafe {
        vst1q_f32(values.as_mut_ptr(), v[0]);
        vst1q_f32(values.as_mut_ptr().add(4), v[1]);
    }
}

#[inline]
#[target_feature(enable = "neon")]
fn widen(values: &[f16; 8]) -> [float32x4_t; 2] {
    // SAFETY: the array holds the 16 bytes that are read, and an f16 is the 16 bits of a u16.
    let bits = unsafe { vld1q_u16(values.as_ptr().cast()) };
    let halves = vreinterpretq_f16_u16(bits);
    [vcvt_f32_f16(vget_low_f16(halves)), vcvt_high_f32_f16(halves)]
}

/// Adds up 32 lanes to four: 16 apart, then eight, then four.
#[inline]
#[target_feature(enable = "neon")]
fn sum_registers(v: [[float32x4_t; 2]; 4]) -> float32x4_t {
    let half = |i: usize| vaddq_f32(vaddq_f32(v[0][i], v[2][i]), vaddq_f32(v[1][i], v[3][i]));
    vaddq_f32(half(0), half(1))
}

/// `(h0 + h1) + (h2 + h3)`: the end of a 32-lane dot product.
#[inline]
#[target_feature(enable = "neon")]
fn sum_pairs(v: float32x4_t) -> f32 {
    let pairs = vpaddq_f32(v, v);
    vpadds_f32(vget_low_f32(pairs))
}

/// `(h0 + h2) + (h1 + h3)`: the end of an 8-lane sum.
#[inline]
#[target_feature(enable = "neon")]
fn sum_halves(v: float32x4_t) -> f32 {
    vpadds_f32(vadd_f32(vget_low_f32(v), vget_high_f32(v)))
}

#[inline]
#[target_feature(enable = "neon")]
fn sum_eight(v: [float32x4_t; 2]) -> f32 {
    sum_halves(vaddq_f32(v[1], v[0]))
}

#[target_feature(enable = "neon")]
fn dot_f32(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len(), "rows of one length");
    let (a_blocks, a_rest) = a.as_chunks::<LANES>();
    let (b_blocks, b_rest) = b.as_chunks::<LANES>();
    let mut acc = [[vdupq_n_f32(0.0); 2]; 4];
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        let (a, b) = (a.as_chunks::<8>().0, b.as_chunks::<8>().0);
        for r in 0..4 {
            let (a, b) = (load_f32(&a[r]), load_f32(&b[r]));
            acc[r] = [vfmaq_f32(acc[r][0], a[0], b[0]), vfmaq_f32(acc[r][1], a[1], b[1])];
        }
    }
    let sum = sum_pairs(sum_registers(acc));
    a_rest.iter().zip(b_rest).fold(sum, |sum, (a, b)| sum + a * b)
}

#[target_feature(enable = "neon")]
fn dot_f16(a: &[f16], b: &[f16]) -> f32 {
    assert_eq!(a.len(), b.len(), "rows of one length");
    let (a_blocks, a_rest) = a.as_chunks::<LANES>();
    let (b_blocks, b_rest) = b.as_chunks::<LANES>();
    let mut acc = [[vdupq_n_f32(0.0); 2]; 4];
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        let (a, b) = (a.as_chunks::<8>().0, b.as_chunks::<8>().0);
        for r in 0..4 {
            let (a, b) = (widen(&a[r]), widen(&b[r]));
            acc[r] = [vfmaq_f32(acc[r][0], a[0], b[0]), vfmaq_f32(acc[r][1], a[1], b[1])];
        }
    }
    scalar::finish_f16(sum_pairs(sum_registers(acc)), a_rest, b_rest)
}

/// The definition's `exp` in four lanes.
#[inline]
#[target_feature(enable = "neon")]
fn exp(x: float32x4_t) -> float32x4_t {
    let constant = |bits: u32| vdupq_n_f32(f32::from_bits(bits));
    let round = vdupq_n_f32(12_582_912.0);
    let z = vfmaq_f32(round, x, constant(0x3fb8_aa3b));
    let n = vsubq_f32(z, round);
    let b = vfmsq_f32(x, n, constant(0x3f31_7200));
    let b = vfmsq_f32(b, n, constant(0x35bf_be8e));
    let exponent = vshlq_n_u32::<23>(vreinterpretq_u32_f32(z));
    let one = vdupq_n_u32(1f32.to_bits());
    let k = vreinterpretq_f32_u32(vaddq_u32(exponent, one));
    let u = vmulq_f32(b, b);
    let high = vfmaq_f32(constant(0x3d2b_9f17), constant(0x3c07_2010), b);
    let low = vfmaq_f32(constant(0x3eff_fedb), constant(0x3e2a_af33), b);
    let j = vfmaq_f32(vmulq_f32(constant(0x3f7f_fff6), b), vfmaq_f32(low, high, u), u);
    let usual = vfmaq_f32(k, j, k);

    let beyond = vcagtq_f32(n, vdupq_n_f32(126.0));
    if vmaxvq_u32(beyond) == 0 {
        return usual;
    }
    let shift = vandq_u32(vclezq_f32(n), vdupq_n_u32(0x8200_0000));
    let first = vreinterpretq_f32_u32(vaddq_u32(shift, vdupq_n_u32(0x7f00_0000)));
    let second = vreinterpretq_f32_u32(vsubq_u32(exponent, shift));
    let split = vmulq_f32(vfmaq_f32(second, second, j), first);
    let far = vcagtq_f32(n, vdupq_n_f32(192.0));
    let outer = vbslq_f32(far, vmulq_f32(first, first), split);
    vbslq_f32(beyond, outer, usual)
}

#[target_feature(enable = "neon")]
fn softmax(scores: &mut [f32], scale: f32) {
    let (groups, rest) = scores.as_chunks_mut::<8>();
    assert!(rest.is_empty(), "scores come in groups of 8");
    // The maximum of a number and a NaN is the number, as with `f32::max`.
    let mut max = vdupq_n_f32(f32::NEG_INFINITY);
    for group in groups.iter_mut() {
        let scaled = load_f32(group).map(|v| vmulq_n_f32(v, scale));
        store_f32(group, scaled);
        max = vmaxnmq_f32(max, vmaxnmq_f32(scaled[0], scaled[1]));
    }
    let max = vdupq_n_f32(vmaxnmvq_f32(max));
    let mut sum = 0f64;
    for group in groups.iter_mut() {
        let [low, high] = load_f32(group);
        let e = [exp(vsubq_f32(low, max)), exp(vsubq_f32(high, max))];
        store_f32(group, e);
        sum += f64::from(sum_eight(e));
    }
    let inverse = (1.0 / sum) as f32;
    for group in groups {
        let p = load_f32(group).map(|v| vmulq_n_f32(v, inverse));
        store_f32(group, p);
    }
}

#[target_feature(enable = "neon")]
fn silu_gate(gate: &mut [f32], up: &[f32]) {
    assert_eq!(gate.len(), up.len(), "rows of one length");
    let (groups, rest) = gate.as_chunks_mut::<8>();
    let (up_groups, up_rest) = up.as_chunks::<8>();
    for (g, u) in groups.iter_mut().zip(up_groups) {
        let ([low, high], u) = (load_f32(g), load_f32(u));
        store_f32(g, [vmulq_f32(silu(low), u[0]), vmulq_f32(silu(high), u[1])]);
    }
    scalar::silu_gate_rest(rest, up_rest);
}

#[inline]
#[target_feature(enable = "neon")]
fn silu(x: float32x4_t) -> float32x4_t {
    let e = exp(vsubq_f32(vdupq_n_f32(0.0), x));
    vdivq_f32(x, vaddq_f32(vdupq_n_f32(1.0), e))
}
