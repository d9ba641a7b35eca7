//! AVX-512 kernels for processors that also have VBMI: ternary products of panels of 16 rows, one row in
//! each 32-bit lane. What is missing here is AVX-512's.
//!
//! One token reads every weight once, so its product streams the packed panels ([`panels`]) and unpacks
//! them in registers. A prompt multiplies each weight many times: its codes are unpacked once into a tile
//! that stays in the first-level cache, and reused for all tokens.

use std::arch::x86_64::*;

use super::macros::available;
use super::table::{Isa, Kernels};
use super::{avx512, scalar};
use crate::quant::panels::{GROUP_BYTES, GROUP_COLUMNS, LANE_COLUMNS, ROWS, panel_bytes};
use crate::quant::six_bit;
use crate::quant::ternary_layout::Layout;

pub(super) static KERNELS: Kernels = Kernels {
    isa: Isa::Avx512Vbmi,
    ternary_layout: Layout::Panels,
    ternary_dots: |codes, columns, x, sums| available!(ternary_dots(codes, columns, x, sums)),
    six_bit_dots: |panels, columns, x, sums| available!(six_bit_dots(panels, columns, x, sums)),
    screens: true,
    ..avx512::KERNELS
};

/// Lanes of [`LANE_COLUMNS`] columns in a group.
const LANES: usize = GROUP_COLUMNS / LANE_COLUMNS;
/// Panels that are multiplied together, so that an activation is broadcast once for 64 rows.
const PANELS: usize = 4;
/// Tokens of a tile: 4 panels times 6 tokens fill 24 of 32 registers with sums.
const TOKENS: usize = 6;
/// Groups that are unpacked at a time: 42 groups of 4 panels take 31.5 KiB of the first-level cache.
const DEPTH: usize = 42;
/// Lines that the packed groups of one panel lie in.
const DEPTH_LINES: usize = DEPTH * GROUP_BYTES / 64 + 1;
/// How far in front of its place a panel is fetched into the second-level cache, and into the first:
/// the processor's own prefetching does not keep up with loads that straddle lines.
const FAR: usize = 8192;
const NEAR: usize = 640;
/// Groups that one token is multiplied with at a time: five whole lines of the cache.
const BLOCK: usize = 8;
const BLOCK_BYTES: usize = BLOCK * GROUP_BYTES;
/// Bytes that the load of a group reads behind it.
const TAIL: usize = 64 - GROUP_BYTES;
/// The same of 6-bit groups: three lines.
const SIX_BIT_BLOCK: usize = 4;
const SIX_BIT_BLOCK_BYTES: usize = SIX_BIT_BLOCK * six_bit::GROUP_BYTES;
const SIX_BIT_TAIL: usize = 64 - six_bit::GROUP_BYTES;

/// An unpacked group lane: [`LANE_COLUMNS`] codes of each row of a panel.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Codes([u8; 64]);

/// The registers that turn the 40 bytes of a group into codes.
#[derive(Clone, Copy)]
struct Unpacking {
    /// Puts the five bytes of eight indices into one 64-bit lane.
    spread: __m512i,
    /// Where the eight indices of a 64-bit lane begin.
    shifts: __m512i,
    /// The digit of every index; indices are taken modulo 64, and their top bit is a neighbour's.
    digits: [__m512i; LANES],
}

impl Unpacking {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi,avx2,fma,f16c")]
    fn new() -> Self {
        let table = |value: fn(usize) -> usize| Codes(std::array::from_fn(|i| value(i) as u8));
        Self {
            spread: load(&table(|i| i / 8 * 5 + (i % 8).min(4))),
            shifts: load(&table(|i| 5 * (i % 8))),
            digits: [
                load(&table(|i| i % 32 % 3)),
                load(&table(|i| i % 32 / 3 % 3)),
                load(&table(|i| i % 32 / 9 % 3)),
            ],
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi,avx2,fma,f16c")]
    fn codes(&self, bytes: __m512i) -> [__m512i; LANES] {
        let lanes = _mm512_permutexvar_epi8(self.spread, bytes);
        let indices = _mm512_multishift_epi64_epi8(self.shifts, lanes);
        self.digits.map(|digits| _mm512_permutexvar_epi8(indices, digits))
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(codes: &Codes) -> __m512i {
    // SAFETY: the value is 64 bytes, aligned to 64.
    unsafe { _mm512_load_si512(std::ptr::from_ref(codes).cast()) }
}

/// A group and what lies behind it, which is not looked at.
#[inline]
#[target_feature(enable = "avx512f")]
fn load_group(bytes: &[u8; 64]) -> __m512i {
    // SAFETY: the array holds the 64 bytes that are read; the load needs no alignment.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

/// A group behind which nothing may be read.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn load_last_group(bytes: &[u8; GROUP_BYTES]) -> __m512i {
    // SAFETY: the mask admits the 40 bytes of the array and no more.
    unsafe { _mm512_maskz_loadu_epi8((1 << GROUP_BYTES) - 1, bytes.as_ptr().cast()) }
}

/// A group of 6-bit codes behind which nothing may be read.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn load_last_six_bit(bytes: &[u8; six_bit::GROUP_BYTES]) -> __m512i {
    // SAFETY: the mask admits the 48 bytes of the array and no more.
    unsafe { _mm512_maskz_loadu_epi8((1 << six_bit::GROUP_BYTES) - 1, bytes.as_ptr().cast()) }
}

/// Asks for the lines that the next blocks of `N` bytes lie in.
#[inline(always)]
fn prefetch<const N: usize>(block: &[u8]) {
    let ahead = |by: usize| block.as_ptr().wrapping_add(by).cast::<i8>();
    for line in (0..N).step_by(64) {
        // SAFETY: a prefetch reads nothing and faults at no address.
        unsafe {
            _mm_prefetch::<_MM_HINT_T1>(ahead(FAR + line));
            _mm_prefetch::<_MM_HINT_T0>(ahead(NEAR + line));
        }
    }
}

/// Four neighbouring activations in every lane.
#[inline]
#[target_feature(enable = "avx512f")]
fn broadcast(x: &[i8]) -> __m512i {
    _mm512_set1_epi32(i32::from_ne_bytes([x[0] as u8, x[1] as u8, x[2] as u8, x[3] as u8]))
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi,avx2,fma,f16c")]
fn ternary_dots(codes: &[u8], columns: usize, activations: &[i8], sums: &mut [i32]) {
    let panel = panel_bytes(columns);
    assert!(columns > 0 && columns.is_multiple_of(LANE_COLUMNS), "columns come in lanes of 4");
    let (panels, tokens) = (codes.len() / panel, activations.len() / columns);
    assert_eq!(codes.len(), panels * panel, "whole panels of codes");
    assert_eq!(activations.len(), tokens * columns, "whole rows of activations");
    assert_eq!(sums.len(), panels * ROWS * tokens, "one sum for each row and token");
    if tokens == 1 {
        return one_token(codes, panel, activations, sums);
    }
    let row_count = panels * ROWS;
    let mut first = 0;
    while first < panels {
        let together = if panels - first >= PANELS { PANELS } else { 1 };
        let codes = &codes[first * panel..(first + together) * panel];
        let sums = Sums { first: &mut sums[first * ROWS..], row_count };
        match together {
            PANELS => many_tokens::<PANELS>(codes, columns, activations, tokens, sums),
            _ => many_tokens::<1>(codes, columns, activations, tokens, sums),
        }
        first += together;
    }
}

/// All panels times one activation row.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi,avx2,fma,f16c")]
fn one_token(codes: &[u8], panel: usize, activations: &[i8], sums: &mut [i32]) {
    let (x, rest) = activations.as_chunks::<GROUP_COLUMNS>();
    let mut padded = [0; GROUP_COLUMNS];
    padded[..rest.len()].copy_from_slice(rest);
    let last = if rest.is_empty() { None } else { Some(&padded) };
    let unpacking = Unpacking::new();
    for (panel, sums) in codes.chunks_exact(panel).zip(sums.as_chunks_mut::<ROWS>().0) {
        one_panel(&unpacking, panel, x, last, sums);
    }
}

/// One panel times one activation row, in two chains of sums a lane. `last` is the group that the columns do
/// not fill, with zeros behind them.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi,avx2,fma,f16c")]
fn one_panel(
    unpacking: &Unpacking,
    panel: &[u8],
    x: &[[i8; GROUP_COLUMNS]],
    last: Option<&[i8; GROUP_COLUMNS]>,
    sums: &mut [i32; ROWS],
) {
    let mut acc = [[_mm512_setzero_si512(); LANES]; 2];
    let (mut start, mut rest) = (0, x);
    // Both indices of the sums are constants once the inner loops are unrolled: they stay in registers.
    while let (Some(bytes), Some((block, behind))) =
        (panel[start..].first_chunk::<{ BLOCK_BYTES + TAIL }>(), rest.split_first_chunk::<BLOCK>())
    {
        prefetch::<BLOCK_BYTES>(bytes);
        for (pair, x) in block.as_chunks::<2>().0.iter().enumerate() {
            for (chain, x) in x.iter().enumerate() {
                let group = &bytes[(2 * pair + chain) * GROUP_BYTES..];
                let group = load_group(group.first_chunk().expect("a group and its tail"));
                multiply_group(unpacking, group, x, &mut acc[chain]);
            }
        }
        (start, rest) = (start + BLOCK_BYTES, behind);
    }
    prefetch::<BLOCK_BYTES>(&panel[start..]);
    while let (Some(bytes), Some((pair, behind))) =
        (panel[start..].first_chunk::<{ 2 * GROUP_BYTES + TAIL }>(), rest.split_first_chunk::<2>())
    {
        for (chain, x) in pair.iter().enumerate() {
            let group = bytes[chain * GROUP_BYTES..].first_chunk().expect("a group and its tail");
            multiply_group(unpacking, load_group(group), x, &mut acc[chain]);
        }
        (start, rest) = (start + 2 * GROUP_BYTES, behind);
    }
    let groups = panel[start..].as_chunks::<GROUP_BYTES>().0;
    for (group, x) in groups.iter().zip(rest.iter().chain(last)) {
        multiply_group(unpacking, load_last_group(group), x, &mut acc[0]);
    }
    let [even, odd] = acc.map(|[a, b, c]| _mm512_add_epi32(_mm512_add_epi32(a, b), c));
    // SAFETY: the array takes the 64 bytes; the store needs no alignment.
    unsafe { _mm512_storeu_si512(sums.as_mut_ptr().cast(), _mm512_add_epi32(even, odd)) }
}

/// Adds the products of a group, one chain of sums a lane.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi,avx2,fma,f16c")]
fn multiply_group(
    unpacking: &Unpacking,
    group: __m512i,
    x: &[i8; GROUP_COLUMNS],
    acc: &mut [__m512i; LANES],
) {
    for (d, codes) in unpacking.codes(group).into_iter().enumerate() {
        acc[d] = _mm512_dpbusd_epi32(acc[d], codes, broadcast(&x[d * LANE_COLUMNS..]));
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi,avx2,fma,f16c")]
fn six_bit_dots(panels: &[u8], columns: usize, activations: &[i8], sums: &mut [i32]) {
    let (count, tokens) = scalar::six_bit_shape(panels, columns, activations, sums);
    let mut token = 0;
    while token < tokens {
        let together = if tokens - token >= 2 { 2 } else { 1 };
        let x = &activations[token * columns..(token + together) * columns];
        let sums = &mut sums[token * count * ROWS..][..together * count * ROWS];
        match together {
            2 => six_bit_rows::<2>(panels, columns, x, sums),
            _ => six_bit_rows::<1>(panels, columns, x, sums),
        }
        token += together;
    }
}

/// All panels times `T` activation rows.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi,avx2,fma,f16c")]
fn six_bit_rows<const T: usize>(panels: &[u8], columns: usize, x: &[i8], sums: &mut [i32]) {
    let panel_bytes = six_bit::panel_bytes(columns);
    let row_count = sums.len() / T;
    let spread = load(&Codes(std::array::from_fn(|i| (i / 8 * 6 + (i % 8).min(5)) as u8)));
    let shifts = load(&Codes(std::array::from_fn(|i| 6 * (i % 8) as u8)));
    let mask = _mm512_set1_epi8(63);
    let rows: [&[[i8; LANE_COLUMNS]]; T] =
        std::array::from_fn(|t| x[t * columns..(t + 1) * columns].as_chunks().0);
    let unpack = |bytes: __m512i| {
        let lanes = _mm512_permutexvar_epi8(spread, bytes);
        _mm512_and_si512(_mm512_multishift_epi64_epi8(shifts, lanes), mask)
    };
    for (index, panel) in panels.chunks_exact(panel_bytes).enumerate() {
        // Four chains of sums a row of activations.
        let mut acc = [[_mm512_setzero_si512(); T]; SIX_BIT_BLOCK];
        let (mut start, mut lane) = (0, 0);
        while let Some(bytes) =
            panel[start..].first_chunk::<{ SIX_BIT_BLOCK_BYTES + SIX_BIT_TAIL }>()
        {
            prefetch::<SIX_BIT_BLOCK_BYTES>(bytes);
            let x: [&[_; SIX_BIT_BLOCK]; T] =
                rows.map(|row| row[lane..].first_chunk().expect("lanes"));
            for (chain, acc) in acc.iter_mut().enumerate() {
                let group = &bytes[chain * six_bit::GROUP_BYTES..];
                let codes = unpack(load_group(group.first_chunk().expect("a group and its tail")));
                for (acc, x) in acc.iter_mut().zip(x) {
                    *acc = _mm512_dpbusd_epi32(*acc, codes, broadcast(&x[chain]));
                }
            }
            (start, lane) = (start + SIX_BIT_BLOCK_BYTES, lane + SIX_BIT_BLOCK);
        }
        for (g, group) in panel[start..].as_chunks().0.iter().enumerate() {
            let codes = unpack(load_last_six_bit(group));
            for (acc, row) in acc[0].iter_mut().zip(rows) {
                *acc = _mm512_dpbusd_epi32(*acc, codes, broadcast(&row[lane + g]));
            }
        }
        for t in 0..T {
            let sums = &mut sums[t * row_count + index * ROWS..][..ROWS];
            let [a, b, c, d] = acc.map(|acc| acc[t]);
            let sum = _mm512_add_epi32(_mm512_add_epi32(a, b), _mm512_add_epi32(c, d));
            // SAFETY: the slice takes the 64 bytes; the store needs no alignment.
            unsafe { _mm512_storeu_si512(sums.as_mut_ptr().cast(), sum) }
        }
    }
}

/// Where the sums of some panels go: those of a token begin `row_count` behind those of the one before.
struct Sums<'a> {
    first: &'a mut [i32],
    row_count: usize,
}

/// `P` panels times all activation rows.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi,avx2,fma,f16c")]
fn many_tokens<const P: usize>(
    codes: &[u8],
    columns: usize,
    activations: &[i8],
    tokens: usize,
    sums: Sums<'_>,
) {
    let panel = panel_bytes(columns);
    let mut tile = [[Codes([0; 64]); P]; DEPTH * LANES];
    for first in (0..panel / GROUP_BYTES).step_by(DEPTH) {
        let groups = DEPTH.min(panel / GROUP_BYTES - first);
        let start = first * GROUP_COLUMNS;
        // Lanes of 4 columns that the matrix has; the last group may have fewer than 3.
        let lanes = (groups * LANES).min((columns - start) / LANE_COLUMNS);
        for p in 0..P {
            let panel = &codes[p * panel + first * GROUP_BYTES..][..groups * GROUP_BYTES];
            unpack(panel, &mut tile, p);
        }
        let tile = &tile[..lanes];
        // What is unpacked next comes from memory while these groups are multiplied: some lines a tile of tokens.
        let behind = (first + DEPTH) * GROUP_BYTES;
        let next = if behind < panel { behind } else { P * panel };
        let next = codes.as_ptr().wrapping_add(next);
        let mut lines = 0..P * DEPTH_LINES;
        let share = lines.len().div_ceil(tokens.div_ceil(TOKENS));
        let mut token = 0;
        while token < tokens {
            let count = TOKENS.min(tokens - token);
            for line in lines.by_ref().take(share) {
                let (p, line) = (line / DEPTH_LINES, line % DEPTH_LINES);
                // It reads nothing and faults at no address.
                _mm_prefetch::<_MM_HINT_T1>(next.wrapping_add(p * panel + 64 * line).cast());
            }
            let x = &activations[token * columns + start..];
            let sums = Sums {
                first: &mut sums.first[token * sums.row_count..],
                row_count: sums.row_count,
            };
            match count {
                6 => multiply_tile::<P, 6>(tile, x, columns, first > 0, sums),
                5 => multiply_tile::<P, 5>(tile, x, columns, first > 0, sums),
                4 => multiply_tile::<P, 4>(tile, x, columns, first > 0, sums),
                3 => multiply_tile::<P, 3>(tile, x, columns, first > 0, sums),
                2 => multiply_tile::<P, 2>(tile, x, columns, first > 0, sums),
                _ => multiply_tile::<P, 1>(tile, x, columns, first > 0, sums),
            }
            token += count;
        }
    }
}

/// The codes of some groups of a panel into place `p` of the tile.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi,avx2,fma,f16c")]
fn unpack<const P: usize>(groups: &[u8], tile: &mut [[Codes; P]], p: usize) {
    let unpacking = Unpacking::new();
    let groups = groups.as_chunks::<GROUP_BYTES>().0.iter();
    for (group, tile) in groups.zip(tile.as_chunks_mut::<LANES>().0) {
        for (codes, lane) in unpacking.codes(load_last_group(group)).into_iter().zip(tile) {
            // SAFETY: the value takes 64 bytes and is aligned to 64.
            unsafe { _mm512_store_si512(std::ptr::from_mut(&mut lane[p]).cast(), codes) }
        }
    }
}

/// An unpacked tile times `T` activation rows, `columns` apart; adds to the sums if `more`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi,avx2,fma,f16c")]
fn multiply_tile<const P: usize, const T: usize>(
    tile: &[[Codes; P]],
    x: &[i8],
    columns: usize,
    more: bool,
    sums: Sums<'_>,
) {
    let width = tile.len() * LANE_COLUMNS;
    // Loops in place of `from_fn`, here and below: what is called with a closure is compiled without the
    // instructions of this function, and then not inlined.
    let mut rows: [&[[i8; LANE_COLUMNS]]; T] = [&[]; T];
    for (t, row) in rows.iter_mut().enumerate() {
        *row = x[t * columns..][..width].as_chunks().0;
    }
    let mut acc = [[_mm512_setzero_si512(); P]; T];
    let Sums { first, row_count } = sums;
    if more {
        for (t, acc) in acc.iter_mut().enumerate() {
            let sums = first[t * row_count..][..P * ROWS].as_chunks::<ROWS>().0;
            for (acc, sums) in acc.iter_mut().zip(sums) {
                // SAFETY: the array holds the 64 bytes that are read.
                *acc = unsafe { _mm512_loadu_si512(sums.as_ptr().cast()) };
            }
        }
    }
    for (k, lane) in tile.iter().enumerate() {
        let mut codes = [_mm512_setzero_si512(); P];
        for (codes, lane) in codes.iter_mut().zip(lane) {
            *codes = load(lane);
        }
        for t in 0..T {
            // SAFETY: every row was cut to as many lanes as the tile has.
            let x = broadcast(unsafe { rows[t].get_unchecked(k) });
            for p in 0..P {
                acc[t][p] = _mm512_dpbusd_epi32(acc[t][p], codes[p], x);
            }
        }
    }
    for (t, acc) in acc.iter().enumerate() {
        let sums = first[t * row_count..][..P * ROWS].as_chunks_mut::<ROWS>().0;
        for (acc, sums) in acc.iter().zip(sums) {
            // SAFETY: the array takes the 64 bytes.
            unsafe { _mm512_storeu_si512(sums.as_mut_ptr().cast(), *acc) }
        }
    }
}
