//! The defining kernels: plain Rust, no intrinsics.
//!
//! Float results are defined down to the last bit, in the arithmetic of ggml's AVX2 build without
//! contraction, so that a comparison with that reference measures faults and not rounding. Sums run
//! in 32 (or 8) lanes because that is where the reference's vector registers put them; a lane is
//! fused where the reference calls an FMA intrinsic, and only there.
//!
//! Every kernel is inlined into its table's entry, because `tables` compiles the same functions more than once.

pub(super) mod blocks;
pub(super) mod tables;

use half::f16;
use half::slice::HalfFloatSliceExt;

use super::prefetch::prefetch;
use crate::quant::i2_s;
use crate::quant::six_bit;

/// Lanes of a dot product: four registers of eight.
pub(super) const LANES: usize = 32;

/// `dots_f32` of one product after the other.
#[inline(always)]
pub(super) fn each_dot_f32(
    dot: impl Fn(&[f32], &[f32]) -> f32,
    rows: &[f32],
    length: usize,
    x: &[f32],
    out: &mut [f32],
) {
    let (count, queries) = (rows.len() / length, x.len() / length);
    assert_eq!(rows.len(), count * length, "whole rows");
    assert_eq!(x.len(), queries * length, "whole rows");
    assert_eq!(out.len(), count * queries, "one product for each pair");
    for (i, out) in out.iter_mut().enumerate() {
        let (query, row) = (i / count, i % count);
        *out = dot(&rows[row * length..][..length], &x[query * length..][..length]);
    }
}

/// `dots_f16` of one product after the other.
#[inline(always)]
pub(super) fn each_dot_f16(
    dot: impl Fn(&[f16], &[f16]) -> f32,
    rows: &[f16],
    stride: usize,
    length: usize,
    x: &[f16],
    out: &mut [f32],
) {
    let queries = x.len() / length;
    let count = out.len() / queries.max(1);
    assert_eq!(x.len(), queries * length, "whole rows");
    assert_eq!(out.len(), count * queries, "one product for each pair");
    for (i, out) in out.iter_mut().enumerate() {
        let (query, row) = (i / count, i % count);
        *out = dot(&rows[row * stride..][..length], &x[query * length..][..length]);
    }
}

/// Checks the arguments of `ternary_dots` and returns (bytes per row, rows, tokens).
pub(super) fn ternary_shape(
    rows: &[u8],
    columns: usize,
    activations: &[i8],
    sums: &[i32],
) -> (usize, usize, usize) {
    assert!(columns > 0 && columns.is_multiple_of(i2_s::BLOCK), "columns come in blocks of 128");
    let row_bytes = columns / 4;
    let (row_count, tokens) = (rows.len() / row_bytes, activations.len() / columns);
    assert_eq!(rows.len(), row_count * row_bytes, "whole rows of codes");
    assert_eq!(activations.len(), tokens * columns, "whole rows of activations");
    assert_eq!(sums.len(), row_count * tokens, "one sum for each row and token");
    (row_bytes, row_count, tokens)
}

#[inline(always)]
fn ternary_dots(rows: &[u8], columns: usize, activations: &[i8], sums: &mut [i32]) {
    let (row_bytes, row_count, _) = ternary_shape(rows, columns, activations, sums);
    for (x, sums) in activations.chunks_exact(columns).zip(sums.chunks_exact_mut(row_count)) {
        for (row, sum) in rows.chunks_exact(row_bytes).zip(sums) {
            *sum = ternary_dot(row, x);
        }
    }
}

/// The reference's order: integer difference, one division, one product.
#[inline(always)]
pub(super) fn scale_sums(
    sums: &[i32],
    sum: i32,
    activation_scale: f32,
    scale: f32,
    out: &mut [f32],
) {
    assert_eq!(sums.len(), out.len(), "one output for each sum");
    for (o, s) in out.iter_mut().zip(sums) {
        *o = (s - sum) as f32 / activation_scale * scale;
    }
}

/// Checks the arguments of `six_bit_dots` and returns (panels, tokens).
pub(super) fn six_bit_shape(
    panels: &[u8],
    columns: usize,
    activations: &[i8],
    sums: &[i32],
) -> (usize, usize) {
    assert!(columns > 0 && columns.is_multiple_of(six_bit::GROUP_COLUMNS), "columns come in fours");
    let panel = six_bit::panel_bytes(columns);
    let (count, tokens) = (panels.len() / panel, activations.len() / columns);
    assert_eq!(panels.len(), count * panel, "whole panels of codes");
    assert_eq!(activations.len(), tokens * columns, "whole rows of activations");
    assert_eq!(sums.len(), count * six_bit::ROWS * tokens, "one sum for each row and token");
    (count, tokens)
}

#[inline(always)]
fn six_bit_dots(panels: &[u8], columns: usize, activations: &[i8], sums: &mut [i32]) {
    let (count, _) = six_bit_shape(panels, columns, activations, sums);
    let (panel_bytes, row_count) = (six_bit::panel_bytes(columns), count * six_bit::ROWS);
    for (x, sums) in activations.chunks_exact(columns).zip(sums.chunks_exact_mut(row_count)) {
        let panels = panels.chunks_exact(panel_bytes).zip(sums.chunks_exact_mut(six_bit::ROWS));
        for (panel, sums) in panels {
            let groups = panel.as_chunks().0.iter().zip(x.as_chunks::<4>().0);
            sums.fill(0);
            for (group, x) in groups {
                for (row, sum) in sums.iter_mut().enumerate() {
                    let codes = six_bit::unpack_row(group, row);
                    *sum += codes
                        .iter()
                        .zip(x)
                        .map(|(c, x)| i32::from(*c) * i32::from(*x))
                        .sum::<i32>();
                }
            }
        }
    }
}

/// One row in the file's layout times one activation row. The four values of a byte are added up in 16 bits,
/// which hold 4 · 3 · 128.
#[inline(always)]
pub(super) fn ternary_dot(row: &[u8], x: &[i8]) -> i32 {
    let mut sum = 0;
    let blocks = row.as_chunks::<32>().0.iter().zip(x.as_chunks::<{ i2_s::BLOCK }>().0);
    for (bytes, x) in blocks {
        let x = x.as_chunks::<32>().0;
        let mut parts = [0i16; 32];
        for (i, part) in parts.iter_mut().enumerate() {
            let product =
                |slot: usize| i16::from(bytes[i] >> (6 - 2 * slot) & 3) * i16::from(x[slot][i]);
            *part = product(0) + product(1) + product(2) + product(3);
        }
        sum += parts.iter().map(|part| i32::from(*part)).sum::<i32>();
    }
    sum
}

/// Adds up the 32 lanes as the reference's register tree does. Kept out of the loops before it, which the
/// compiler would else arrange for this tree, at several times their cost.
#[inline(never)]
fn reduce_lanes(lanes: &[f32; LANES]) -> f32 {
    let pairs: [f32; 16] = std::array::from_fn(|l| lanes[l] + lanes[l + 16]);
    let eight: [f32; 8] = std::array::from_fn(|l| pairs[l] + pairs[l + 8]);
    let four: [f32; 4] = std::array::from_fn(|l| eight[l] + eight[l + 4]);
    (four[0] + four[1]) + (four[2] + four[3])
}

#[inline(always)]
fn dots_f32(rows: &[f32], length: usize, x: &[f32], out: &mut [f32]) {
    each_dot_f32(dot_f32, rows, length, x, out);
}

#[inline(always)]
fn dots_f16(rows: &[f16], stride: usize, length: usize, x: &[f16], out: &mut [f32]) {
    each_dot_f16(dot_f16, rows, stride, length, x, out);
}

#[inline(always)]
fn dot_f32(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len(), "rows of one length");
    let (a_blocks, a_rest) = a.as_chunks::<LANES>();
    let (b_blocks, b_rest) = b.as_chunks::<LANES>();
    let mut lanes = [0f32; LANES];
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        for l in 0..LANES {
            lanes[l] = a[l].mul_add(b[l], lanes[l]);
        }
    }
    a_rest.iter().zip(b_rest).fold(reduce_lanes(&lanes), |sum, (a, b)| sum + a * b)
}

#[inline(always)]
fn dot_f16(a: &[f16], b: &[f16]) -> f32 {
    assert_eq!(a.len(), b.len(), "rows of one length");
    let (a_blocks, a_rest) = a.as_chunks::<LANES>();
    let (b_blocks, b_rest) = b.as_chunks::<LANES>();
    let (mut lanes, mut wide_a, mut wide_b) = ([0f32; LANES], [0f32; LANES], [0f32; LANES]);
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        a.convert_to_f32_slice(&mut wide_a);
        b.convert_to_f32_slice(&mut wide_b);
        for l in 0..LANES {
            lanes[l] = wide_a[l].mul_add(wide_b[l], lanes[l]);
        }
    }
    finish_f16(reduce_lanes(&lanes), a_rest, b_rest)
}

/// Adds what is left behind the last 32 values: products in f32, sum in f64.
#[inline(always)]
pub(super) fn finish_f16(sum: f32, a: &[f16], b: &[f16]) -> f32 {
    let products = a.iter().zip(b).map(|(a, b)| f64::from(a.to_f32() * b.to_f32()));
    products.fold(f64::from(sum), |sum, p| sum + p) as f32
}

/// Adds up eight lanes as `hsum_float_8` of the reference does.
#[inline(always)]
fn reduce_eight(v: &[f32; 8]) -> f32 {
    let h: [f32; 4] = std::array::from_fn(|l| v[l + 4] + v[l]);
    (h[0] + h[2]) + (h[1] + h[3])
}

#[inline(always)]
fn rms_norm(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    let mean = mean_of_squares(x);
    apply_norm(x, weight, mean, eps, out);
}

/// The squares are rounded to f32; their sum runs in f64, in order, and their mean is rounded to f32.
#[inline(always)]
fn mean_of_squares(x: &[f32]) -> f32 {
    let sum = x.iter().fold(0f64, |sum, v| sum + f64::from(v * v));
    (sum / x.len() as f64) as f32
}

/// `rms_norm` with a sum in lanes. In f64 both orders are within n roundings of the exact sum, so all sums of
/// an interval around this one are possible for the order of the definition; where they have one mean in f32,
/// it is the definition's. Where they have not, once in a hundred thousand rows, that one is computed.
#[inline(always)]
pub(super) fn rms_norm_in_lanes(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    assert_eq!(x.len(), weight.len(), "rows of one length");
    const LANES: usize = 16;
    let (groups, rest) = x.as_chunks::<LANES>();
    let mut lanes = [0f64; LANES];
    for (group, weights) in groups.iter().zip(weight.as_chunks::<LANES>().0) {
        // A token needs them once: they come from memory while the squares are summed.
        prefetch(weights.as_ptr().cast());
        for (lane, v) in lanes.iter_mut().zip(group) {
            *lane += f64::from(v * v);
        }
    }
    let rest = rest.iter().map(|v| f64::from(v * v)).sum::<f64>();
    let (sum, n) = (lanes.iter().sum::<f64>() + rest, x.len() as f64);
    // Each order is off by at most n · 2⁻⁵³ of the sum; twice that for both, and twice again for this line.
    let margin = 4.0 * n * 2f64.powi(-53);
    let mean = |factor: f64| (sum * factor / n) as f32;
    let (low, high) = (mean(1.0 - margin), mean(1.0 + margin));
    let mean = if low == high { low } else { mean_of_squares(x) };
    apply_norm(x, weight, mean, eps, out);
}

#[inline(always)]
fn apply_norm(x: &[f32], weight: &[f32], mean: f32, eps: f32, out: &mut [f32]) {
    assert!(x.len() == weight.len() && x.len() == out.len(), "rows of one length");
    let scale = 1.0 / (mean + eps).sqrt();
    for ((o, v), w) in out.iter_mut().zip(x).zip(weight) {
        *o = v * scale * w;
    }
}

/// e^x in f32 as ggml's vector code computes it: the published algorithm of Arm's optimized
/// routines (`expf`, degree-5 polynomial on [−ln2/2, ln2/2]), flushing to 0 and ∞ beyond ±192·ln 2.
#[inline(always)]
fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5 · 2^23: adding it leaves the integer in the low bits
    let z = x.mul_add(f32::from_bits(0x3fb8_aa3b), ROUND);
    let n = z - ROUND;
    let b = (-n).mul_add(f32::from_bits(0x3f31_7200), x);
    let b = (-n).mul_add(f32::from_bits(0x35bf_be8e), b);
    let exponent = z.to_bits() << 23;
    let k = f32::from_bits(exponent.wrapping_add(1f32.to_bits()));
    let u = b * b;
    let high = f32::from_bits(0x3c07_2010).mul_add(b, f32::from_bits(0x3d2b_9f17));
    let low = f32::from_bits(0x3e2a_af33).mul_add(b, f32::from_bits(0x3eff_fedb));
    let j = high.mul_add(u, low).mul_add(u, f32::from_bits(0x3f7f_fff6) * b);
    if n.abs() <= 126.0 {
        return j.mul_add(k, k);
    }
    // The power of two is applied in two factors so that neither over- nor underflows alone.
    let shift: u32 = if n <= 0.0 { 0x8200_0000 } else { 0 };
    let first = f32::from_bits(shift.wrapping_add(0x7f00_0000));
    if n.abs() > 192.0 {
        return first * first;
    }
    let second = f32::from_bits(exponent.wrapping_sub(shift));
    second.mul_add(j, second) * first
}

#[inline(always)]
fn softmax(scores: &mut [f32], scale: f32) {
    assert!(scores.len().is_multiple_of(8), "scores come in groups of 8");
    let mut max = f32::NEG_INFINITY;
    for s in scores.iter_mut() {
        *s *= scale;
        max = max.max(*s);
    }
    let mut sum = 0f64;
    for group in scores.as_chunks_mut::<8>().0 {
        for s in group.iter_mut() {
            *s = exp(*s - max);
        }
        sum += f64::from(reduce_eight(group));
    }
    let inverse = (1.0 / sum) as f32;
    for s in scores {
        *s *= inverse;
    }
}

#[inline(always)]
fn relu_squared_gate(gate: &mut [f32], up: &[f32]) {
    assert_eq!(gate.len(), up.len(), "rows of one length");
    for (g, u) in gate.iter_mut().zip(up) {
        let positive = if *g > 0.0 { *g } else { 0.0 };
        *g = positive * positive * u;
    }
}

/// Whole groups of eight take the vector code's exponential, the rest the C library's, as in the
/// reference: a row is one call.
#[inline(always)]
fn silu_gate(gate: &mut [f32], up: &[f32]) {
    assert_eq!(gate.len(), up.len(), "rows of one length");
    let (groups, rest) = gate.as_chunks_mut::<8>();
    let (up_groups, up_rest) = up.as_chunks::<8>();
    for (g, u) in groups.as_flattened_mut().iter_mut().zip(up_groups.as_flattened()) {
        *g = *g / (1.0 + exp(0.0 - *g)) * u;
    }
    silu_gate_rest(rest, up_rest);
}

/// The values behind the last whole group of eight.
#[inline(always)]
pub(super) fn silu_gate_rest(gate: &mut [f32], up: &[f32]) {
    for (g, u) in gate.iter_mut().zip(up) {
        *g = *g / (1.0 + (-*g).exp()) * u;
    }
}

#[inline(always)]
fn add(a: &mut [f32], b: &[f32]) {
    assert_eq!(a.len(), b.len(), "rows of one length");
    for (a, b) in a.iter_mut().zip(b) {
        *a += b;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_constants_are_the_published_ones() {
        let hex =
            |mantissa: u32, exponent: i32| mantissa as f32 / 16_777_216.0 * 2f32.powi(exponent);
        // 0x1.715476p+0 = 0x1715476 / 2^24 and so on: six hex digits are 24 bits.
        assert_eq!(f32::from_bits(0x3fb8_aa3b), hex(0x0171_5476, 0));
        assert_eq!(f32::from_bits(0x3f31_7200), hex(0x0162_e400, -1));
        assert_eq!(f32::from_bits(0x35bf_be8e), hex(0x017f_7d1c, -20));
        assert_eq!(f32::from_bits(0x3c07_2010), hex(0x010e_4020, -7));
        assert_eq!(f32::from_bits(0x3d2b_9f17), hex(0x0157_3e2e, -5));
        assert_eq!(f32::from_bits(0x3e2a_af33), hex(0x0155_5e66, -3));
        assert_eq!(f32::from_bits(0x3eff_fedb), hex(0x01ff_fdb6, -2));
        assert_eq!(f32::from_bits(0x3f7f_fff6), hex(0x01ff_ffec, -1));
    }

    #[test]
    fn exp_is_within_two_ulp_of_f64() {
        let mut x = -80f32;
        while x < 80.0 {
            let (ours, truth) = (exp(x), f64::from(x).exp());
            let ulp = f64::from((truth as f32).to_bits().abs_diff(ours.to_bits()));
            assert!(ulp <= 2.0, "exp({x}) = {ours}, f64 gives {truth}: {ulp} ulp");
            x += 0.0137;
        }
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(200.0), f32::INFINITY);
    }

    #[test]
    fn silu_agrees_with_f64_and_vanishes_far_below_zero() {
        let x: Vec<f32> = (0..85).map(|i| (i as f32 - 42.0) / 3.0).collect();
        let up: Vec<f32> = (0..85).map(|i| 1.0 + (i % 5) as f32 / 4.0).collect();
        let mut gate = x.clone();
        silu_gate(&mut gate, &up);
        for ((g, x), u) in gate.iter().zip(&x).zip(&up) {
            let truth = f64::from(*x) / (1.0 + (-f64::from(*x)).exp()) * f64::from(*u);
            assert!((f64::from(*g) - truth).abs() <= 3e-7 * truth.abs(), "silu({x}) = {g}");
        }
        // e^200 is infinite in f32: a whole group and a rest give 0 all the same.
        let mut gate = [-200.0; 9];
        silu_gate(&mut gate, &[1.0; 9]);
        assert_eq!(gate, [0.0; 9]);
    }

    #[test]
    fn softmax_sums_to_one_and_ignores_masked_positions() {
        let mut scores = [f32::NEG_INFINITY; 16];
        scores[..3].copy_from_slice(&[2.0, 4.0, 6.0]);
        softmax(&mut scores, 0.5);
        let truth: [f64; 3] = [1.0, 2.0, 3.0].map(|s: f64| (s - 3.0).exp());
        let total: f64 = truth.iter().sum();
        for (s, t) in scores.iter().zip(truth) {
            assert!((f64::from(*s) - t / total).abs() < 1e-7);
        }
        assert_eq!(scores[3..], [0.0; 13]);
    }

    #[test]
    fn rms_norm_agrees_with_f64() {
        let x: Vec<f32> = (0..640).map(|i| ((i * 29 % 83) as f32 - 41.0) / 17.0).collect();
        let w: Vec<f32> = (0..640).map(|i| 1.0 + (i % 7) as f32 / 10.0).collect();
        let mut out = vec![0.0; 640];
        rms_norm(&x, &w, 1e-5, &mut out);
        let mean = x.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / 640.0;
        for i in 0..640 {
            let truth = f64::from(x[i]) / (mean + 1e-5).sqrt() * f64::from(w[i]);
            assert!((f64::from(out[i]) - truth).abs() < 1e-6, "value {i}");
        }
    }

    #[test]
    fn dots_agree_with_f64() {
        for n in [0, 5, 32, 45, 128, 640] {
            let a: Vec<f32> = (0..n).map(|i| ((i * 31 % 97) as f32 - 48.0) / 64.0).collect();
            let b: Vec<f32> = (0..n).map(|i| ((i * 17 % 89) as f32 - 44.0) / 64.0).collect();
            let truth: f64 = a.iter().zip(&b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            assert!((f64::from(dot_f32(&a, &b)) - truth).abs() < 1e-5, "f32, {n}");
            let narrow = |v: &[f32]| v.iter().map(|x| f16::from_f32(*x)).collect::<Vec<_>>();
            // multiples of 1/64 below 1 are exact in f16
            assert!(
                (f64::from(dot_f16(&narrow(&a), &narrow(&b))) - truth).abs() < 1e-5,
                "f16, {n}"
            );
        }
    }
}
