//! What the processor could do at best: kernels that read memory and multiply int8, and nothing else.
//! They compute no model; `roofline` times them.

use bytemuck::cast_slice;

/// A cache line.
type Line = [u64; 8];

/// How memory is walked through. Which way is fastest is the processor's affair: its prefetchers follow
/// so many streams so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Walk {
    /// Parts that are read side by side.
    pub(crate) streams: Streams,
    /// Cache lines between what is read and what is asked for ahead; 0 leaves that to the processor.
    pub(crate) lines_ahead: usize,
}

/// Numbers of parts that there are loops for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Streams {
    One,
    Four,
    Eight,
}

/// Reads every whole cache line of `bytes` once, and gives the wrapping sum of their 64-bit words.
///
/// # Panics
/// If `bytes` does not begin at a multiple of 8 or is no whole number of cache lines.
pub(crate) fn read(bytes: &[u8], walk: Walk) -> u64 {
    let lines: &[Line] = cast_slice(bytes);
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the target feature was detected in the line above.
            return unsafe { x86::read_avx512(lines, walk) };
        }
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the target feature was detected in the line above.
            return unsafe { x86::read_avx2(lines, walk) };
        }
    }
    by_streams(lines, walk)
}

#[inline(always)]
fn by_streams(lines: &[Line], walk: Walk) -> u64 {
    match walk.streams {
        Streams::One => sum::<1>(lines, walk.lines_ahead),
        Streams::Four => sum::<4>(lines, walk.lines_ahead),
        Streams::Eight => sum::<8>(lines, walk.lines_ahead),
    }
}

#[inline(always)]
fn sum<const STREAMS: usize>(lines: &[Line], ahead: usize) -> u64 {
    let length = lines.len() / STREAMS;
    let (even, rest) = lines.split_at(length * STREAMS);
    let streams: [&[Line]; STREAMS] = std::array::from_fn(|s| &even[s * length..][..length]);
    let mut sums = [[0u64; 8]; STREAMS];
    for index in 0..length {
        for (sums, stream) in sums.iter_mut().zip(streams) {
            if ahead > 0 {
                prefetch(stream.as_ptr().wrapping_add(index + ahead));
            }
            add(sums, &stream[index]);
        }
    }
    for line in rest {
        add(&mut sums[0], line);
    }
    sums.as_flattened().iter().fold(0, |all, sum| all.wrapping_add(*sum))
}

#[inline(always)]
fn add(sums: &mut Line, line: &Line) {
    for (sum, word) in sums.iter_mut().zip(line) {
        *sum = sum.wrapping_add(*word);
    }
}

/// Asks for a cache line. The address need not be one of ours: a prefetch never faults.
#[inline(always)]
fn prefetch(line: *const Line) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE is part of x86-64, and the instruction reads nothing that a program could see.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(line.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = line;
}

/// The processor's fastest int8 product, in registers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Products {
    /// The instruction and its width.
    pub(crate) name: &'static str,
    /// Multiply-accumulates of one turn.
    pub(crate) macs: u64,
    /// Computes so many turns. The result depends on every one of them: one for each of them and each
    /// chain, in every 32-bit lane, times what a product adds.
    pub(crate) run: fn(u64) -> i32,
}

/// Independent sums: enough to hide an instruction's latency on every unit that has it.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
const CHAINS: usize = 12;

/// What this processor multiplies int8 with; none where the engine knows no such instruction.
pub(crate) fn products() -> Option<Products> {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni") {
            let macs = (CHAINS * 64) as u64;
            // SAFETY: both target features were detected in the line above.
            let run = |turns| unsafe { x86::products_avx512(turns) };
            return Some(Products { name: "vpdpbusd, 512 bits", macs, run });
        }
        if is_x86_feature_detected!("avx2") {
            let macs = (CHAINS * 32) as u64;
            // SAFETY: the target feature was detected in the line above.
            let run = |turns| unsafe { x86::products_avx2(turns) };
            return Some(Products { name: "vpmaddubsw and vpmaddwd, 256 bits", macs, run });
        }
    }
    #[cfg(target_arch = "aarch64")]
    if std::arch::is_aarch64_feature_detected!("dotprod") {
        let macs = (CHAINS * 16) as u64;
        // SAFETY: the target feature was detected in the line above.
        let run = |turns| unsafe { aarch64::products_dotprod(turns) };
        return Some(Products { name: "sdot, 128 bits", macs, run });
    }
    None
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::asm;
    use std::arch::x86_64::*;
    use std::hint::black_box;

    use super::{CHAINS, Line, Walk, by_streams};

    #[target_feature(enable = "avx512f")]
    pub(super) fn read_avx512(lines: &[Line], walk: Walk) -> u64 {
        by_streams(lines, walk)
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn read_avx2(lines: &[Line], walk: Walk) -> u64 {
        by_streams(lines, walk)
    }

    #[target_feature(enable = "avx512f,avx512vnni")]
    pub(super) fn products_avx512(turns: u64) -> i32 {
        let (a, b) = (_mm512_set1_epi8(black_box(1)), _mm512_set1_epi8(black_box(1)));
        let mut sums = [_mm512_setzero_si512(); CHAINS];
        for _ in 0..turns {
            for sum in &mut sums {
                *sum = _mm512_dpbusd_epi32(*sum, a, b);
            }
        }
        sums.into_iter().fold(0, |all, sum| all.wrapping_add(_mm512_reduce_add_epi32(sum)))
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn products_avx2(turns: u64) -> i32 {
        let (mut a, b) = (_mm256_set1_epi8(black_box(1)), _mm256_set1_epi8(black_box(1)));
        let ones = _mm256_set1_epi16(1);
        let mut sums = [_mm256_setzero_si256(); CHAINS];
        for _ in 0..turns {
            for sum in &mut sums {
                // SAFETY: no instruction at all. It hides from the compiler that the products are the
                // same each time.
                unsafe {
                    asm!("/* {0} */", inout(ymm_reg) a, options(nomem, nostack, preserves_flags));
                }
                let pairs = _mm256_maddubs_epi16(a, b);
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pairs, ones));
            }
        }
        let mut lanes = [0i32; 8];
        for sum in sums {
            // SAFETY: `lanes` has room for the 32 bytes.
            unsafe {
                _mm256_storeu_si256((&raw mut lanes).cast(), _mm256_add_epi32(sum, load(&lanes)))
            };
        }
        lanes.iter().fold(0, |all, lane| all.wrapping_add(*lane))
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn load(lanes: &[i32; 8]) -> __m256i {
        // SAFETY: `lanes` has the 32 bytes.
        unsafe { _mm256_loadu_si256(lanes.as_ptr().cast()) }
    }
}

#[cfg(target_arch = "aarch64")]
mod aarch64 {
    use std::arch::aarch64::*;
    use std::arch::asm;
    use std::hint::black_box;

    use super::CHAINS;

    #[target_feature(enable = "neon,dotprod")]
    pub(super) fn products_dotprod(turns: u64) -> i32 {
        let (a, b) = (vdupq_n_s8(black_box(1)), vdupq_n_s8(black_box(1)));
        let mut sums = [vdupq_n_s32(0); CHAINS];
        for _ in 0..turns {
            for sum in &mut sums {
                // SAFETY: the instruction is one of this function's target features and touches nothing
                // but the three registers.
                unsafe {
                    asm!(
                        "sdot {sum:v}.4s, {a:v}.16b, {b:v}.16b",
                        sum = inout(vreg) *sum,
                        a = in(vreg) a,
                        b = in(vreg) b,
                        options(pure, nomem, nostack, preserves_flags),
                    );
                }
            }
        }
        sums.into_iter().fold(0, |all, sum| all.wrapping_add(vaddvq_s32(sum)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_walk_reads_every_byte_once() {
        let words: Vec<u64> = (0..8 * 37).map(|i| i * i + 1).collect();
        let truth: u64 = words.iter().sum();
        for streams in [Streams::One, Streams::Four, Streams::Eight] {
            for lines_ahead in [0, 16] {
                let walk = Walk { streams, lines_ahead };
                assert_eq!(read(cast_slice(&words), walk), truth, "{walk:?}");
                assert_eq!(by_streams(cast_slice(&words), walk), truth, "{walk:?}, portable");
            }
        }
    }

    #[test]
    fn as_many_products_are_computed_as_are_counted() {
        let Some(products) = products() else { return };
        for turns in [0, 1, 1000] {
            assert_eq!((products.run)(turns) as u64, turns * products.macs, "{}", products.name);
        }
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the target feature was detected in the line above.
            let sum = unsafe { x86::products_avx2(1000) };
            assert_eq!(sum, 1000 * 32 * CHAINS as i32);
        }
    }
}
