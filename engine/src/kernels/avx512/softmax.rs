//! Softmax over one row of scores, 16 at a time. Same bits as the definition, whose sum takes groups of eight in order.

use std::arch::x86_64::*;

use super::super::avx2::{self, sum_eight};
use super::{load_f32, store_f32};

/// Softmax of scale · scores in place; the length is a multiple of 8.
#[target_feature(enable = "avx512f,avx2,fma,f16c")]
pub(super) fn softmax(scores: &mut [f32], scale: f32) {
    let (groups, rest) = scores.as_chunks_mut::<16>();
    let (rest, none) = rest.as_chunks_mut::<8>();
    assert!(none.is_empty(), "scores come in groups of 8");
    let factor = _mm512_set1_ps(scale);
    let mut max = _mm512_set1_ps(f32::NEG_INFINITY);
    for group in groups.iter_mut() {
        let scaled = _mm512_mul_ps(load_f32(group), factor);
        store_f32(group, scaled);
        max = _mm512_max_ps(scaled, max);
    }
    let mut lanes = [0f32; 16];
    store_f32(&mut lanes, max);
    let mut max = lanes.into_iter().fold(f32::NEG_INFINITY, f32::max);
    for score in rest.iter_mut().flatten() {
        *score *= scale;
        max = max.max(*score);
    }
    let mut sum = 0f64;
    let most = _mm512_set1_ps(max);
    for group in groups.iter_mut() {
        let e = exp(_mm512_sub_ps(load_f32(group), most));
        store_f32(group, e);
        let [low, high] = halves(e);
        sum += f64::from(sum_eight(low));
        sum += f64::from(sum_eight(high));
    }
    for group in rest.iter_mut() {
        let e = avx2::exp(_mm256_sub_ps(avx2::load_f32(group), _mm256_set1_ps(max)));
        avx2::store_f32(group, e);
        sum += f64::from(sum_eight(e));
    }
    let inverse = (1.0 / sum) as f32;
    let factor = _mm512_set1_ps(inverse);
    for group in groups {
        let p = _mm512_mul_ps(load_f32(group), factor);
        store_f32(group, p);
    }
    for score in rest.iter_mut().flatten() {
        *score *= inverse;
    }
}

/// The exponential of AVX2, whose constants and steps these are; lanes beyond its usual range are left to it.
#[inline]
#[target_feature(enable = "avx512f,avx2,fma,f16c")]
fn exp(x: __m512) -> __m512 {
    let constant = |bits: u32| _mm512_set1_ps(f32::from_bits(bits));
    let round = _mm512_set1_ps(12_582_912.0);
    let z = _mm512_fmadd_ps(x, constant(0x3fb8_aa3b), round);
    let n = _mm512_sub_ps(z, round);
    if _mm512_cmp_ps_mask::<_CMP_GT_OQ>(_mm512_abs_ps(n), _mm512_set1_ps(126.0)) != 0 {
        let [low, high] = halves(x);
        let joined = _mm512_castps_pd(_mm512_castps256_ps512(avx2::exp(low)));
        let high = _mm256_castps_pd(avx2::exp(high));
        return _mm512_castpd_ps(_mm512_insertf64x4::<1>(joined, high));
    }
    let b = _mm512_fnmadd_ps(n, constant(0x3f31_7200), x);
    let b = _mm512_fnmadd_ps(n, constant(0x35bf_be8e), b);
    let exponent = _mm512_slli_epi32::<23>(_mm512_castps_si512(z));
    let k =
        _mm512_castsi512_ps(_mm512_add_epi32(exponent, _mm512_castps_si512(_mm512_set1_ps(1.0))));
    let u = _mm512_mul_ps(b, b);
    let high = _mm512_fmadd_ps(constant(0x3c07_2010), b, constant(0x3d2b_9f17));
    let low = _mm512_fmadd_ps(constant(0x3e2a_af33), b, constant(0x3eff_fedb));
    let poly = _mm512_fmadd_ps(high, u, low);
    let j = _mm512_fmadd_ps(poly, u, _mm512_mul_ps(constant(0x3f7f_fff6), b));
    _mm512_fmadd_ps(j, k, k)
}

/// The lower and the upper eight lanes.
#[inline]
#[target_feature(enable = "avx512f")]
fn halves(v: __m512) -> [__m256; 2] {
    let upper = _mm512_extractf64x4_pd::<1>(_mm512_castps_pd(v));
    [_mm512_castps512_ps256(v), _mm256_castpd_ps(upper)]
}
