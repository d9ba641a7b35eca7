//! AVX-512 kernels for processors that also have VBMI: ternary products of panels of 64 rows, one row in
//! each 32-bit lane of four registers. What is missing here is AVX-512's.
//!
//! One token reads every weight once, so its product streams the packed panels ([`panels`]) and unpacks
//! them in registers. A prompt multiplies each weight many times: its codes are unpacked once into a tile
//! that stays in the first-level cache, and reused for all tokens.

use std::arch::x86_64::*;
use std::mem::MaybeUninit;

use super::macros::available;
use super::table::{Isa, Kernels};
use super::{avx512, scalar};
use crate::quant::panels::{
    GROUP_BYTES, GROUP_COLUMNS, LANE_COLUMNS, PART_BYTES, PART_ROWS, ROWS, panel_bytes,
};
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
/// Registers of rows in a panel. An activation is broadcast once for all of them: loads from the first-level cache
/// get in the way of lines that come from memory.
const PARTS: usize = ROWS / PART_ROWS;
/// Tokens of a tile: 4 parts times 6 tokens fill 24 of 32 registers with sums.
const TOKENS: usize = 6;
/// Groups that are unpacked at a time: 42 groups of 4 parts take 31.5 KiB of the first-level cache.
const DEPTH: usize = 42;
/// Lines that their packed bytes lie in.
const DEPTH_LINES: usize = DEPTH * GROUP_BYTES / 64 + 1;
/// How far in front of its place a panel is fetched into the second-level cache, and into the first:
/// the processor's own prefetching does not keep up with loads that straddle lines.
const FAR: usize = 8192;
const NEAR: usize = 2560;
/// Groups that one token is multiplied with at a time: five whole lines of the cache.
const BLOCK: usize = 2;
const BLOCK_BYTES: usize = BLOCK * GROUP_BYTES;
/// Bytes that the load of a part reads behind it.
const TAIL: usize = 64 - PART_BYTES;
/// The same of 6-bit codes, of which a group has three lines.
const SIX_BIT_PARTS: usize = six_bit::ROWS / six_bit::PART_ROWS;
const SIX_BIT_TAIL: usize = 64 - six_bit::PART_BYTES;

/// An unpacked lane of a part: [`LANE_COLUMNS`] codes of each of its rows.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Codes([u8; 64]);

/// The registers that turn the 40 bytes of a part into codes.
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

/// A part of a group and what lies behind it, which is not looked at.
#[inline]
#[target_feature(enable = "avx512f")]
fn load_part(bytes: &[u8; 64]) -> __m512i {
    // SAFETY: the array holds the 64 bytes that are read; the load needs no alignment.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

/// A part of `N` bytes behind which nothing may be read.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn load_last_part<const N: usize>(bytes: &[u8; N]) -> __m512i {
    const { assert!(N < 64, "a part of a register") };
    // SAFETY: the mask admits the bytes of the array and no more.
    unsafe { _mm512_maskz_loadu_epi8((1 << N) - 1, bytes.as_ptr().cast()) }
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
    for (index, panel) in codes.chunks_exact(panel).enumerate() {
        let sums = Sums { first: &mut sums[index * ROWS..], row_count };
        many_tokens(panel, columns, activations, tokens, sums);
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

/// One panel times one activation row. `last` is the group that the columns do not fill, with zeros behind them.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi,avx2,fma,f16c")]
fn one_panel(
    unpacking: &Unpacking,
    panel: &[u8],
    x: &[[i8; GROUP_COLUMNS]],
    last: Option<&[i8; GROUP_COLUMNS]>,
    sums: &mut [i32; ROWS],
) {
    let mut acc = [[_mm512_setzero_si512(); LANES]; PARTS];
    let (mut start, mut rest) = (0, x);
    // All indices of the sums are constants once the inner loops are unrolled: they stay in registers.
    while let (Some(bytes), Some((block, behind))) =
        (panel[start..].first_chunk::<{ BLOCK_BYTES + TAIL }>(), rest.split_first_chunk::<BLOCK>())
    {
        prefetch::<BLOCK_BYTES>(bytes);
        for (g, x) in block.iter().enumerate() {
            let x = broadcast_lanes(x);
            for (p, acc) in acc.iter_mut().enumerate() {
                let part = bytes[g * GROUP_BYTES + p * PART_BYTES..].first_chunk();
                multiply_part(unpacking, load_part(part.expect("a part and its tail")), &x, acc);
            }
        }
        (start, rest) = (start + BLOCK_BYTES, behind);
    }
    prefetch::<BLOCK_BYTES>(&panel[start..]);
    let groups = panel[start..].as_chunks::<GROUP_BYTES>().0;
    for (group, x) in groups.iter().zip(rest.iter().chain(last)) {
        let x = broadcast_lanes(x);
        for (part, acc) in group.as_chunks::<PART_BYTES>().0.iter().zip(&mut acc) {
            multiply_part(unpacking, load_last_part(part), &x, acc);
        }
    }
    for (acc, sums) in acc.iter().zip(sums.as_chunks_mut::<PART_ROWS>().0) {
        let sum = _mm512_add_epi32(_mm512_add_epi32(acc[0], acc[1]), acc[2]);
        // SAFETY: the array takes the 64 bytes; the store needs no alignment.
        unsafe { _mm512_storeu_si512(sums.as_mut_ptr().cast(), sum) }
    }
}

/// The activations of a group's lanes, each in a register.
#[inline]
#[target_feature(enable = "avx512f")]
fn broadcast_lanes(x: &[i8; GROUP_COLUMNS]) -> [__m512i; LANES] {
    let mut lanes = [_mm512_setzero_si512(); LANES];
    for (lane, x) in lanes.iter_mut().zip(x.as_chunks::<LANE_COLUMNS>().0) {
        *lane = broadcast(x);
    }
    lanes
}

/// Adds the products of a part, one chain of sums a lane.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi,avx2,fma,f16c")]
fn multiply_part(
    unpacking: &Unpacking,
    part: __m512i,
    x: &[__m512i; LANES],
    acc: &mut [__m512i; LANES],
) {
    for (d, codes) in unpacking.codes(part).into_iter().enumerate() {
        acc[d] = _mm512_dpbusd_epi32(acc[d], codes, x[d]);
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi,avx2,fma,f16c")]
fn six_bit_dots(panels: &[u8], columns: usize, activations: &[i8], sums: &mut [i32]) {
    let (count, tokens) = scalar::six_bit_shape(panels, columns, activations, sums);
    let mut token = 0;
    while token < tokens {
        let together = if tokens - token >= 2 { 2 } else { 1 };
        let x = &activations[token * columns..(token + together) * columns];
        let rows = count * six_bit::ROWS;
        let sums = &mut sums[token * rows..][..together * rows];
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
    let mut rows: [&[[i8; LANE_COLUMNS]]; T] = [&[]; T];
    for (row, x) in rows.iter_mut().zip(x.chunks_exact(columns)) {
        *row = x.as_chunks().0;
    }
    let unpack = |bytes: __m512i| {
        let lanes = _mm512_permutexvar_epi8(spread, bytes);
        _mm512_and_si512(_mm512_multishift_epi64_epi8(shifts, lanes), mask)
    };
    for (index, panel) in panels.chunks_exact(panel_bytes).enumerate() {
        let mut acc = [[_mm512_setzero_si512(); T]; SIX_BIT_PARTS];
        let (mut start, mut lane) = (0, 0);
        while let Some(bytes) =
            panel[start..].first_chunk::<{ six_bit::GROUP_BYTES + SIX_BIT_TAIL }>()
        {
            prefetch::<{ six_bit::GROUP_BYTES }>(bytes);
            let mut x = [_mm512_setzero_si512(); T];
            for (x, row) in x.iter_mut().zip(rows) {
                *x = broadcast(&row[lane]);
            }
            for (p, acc) in acc.iter_mut().enumerate() {
                let part = bytes[p * six_bit::PART_BYTES..].first_chunk();
                let codes = unpack(load_part(part.expect("a part and its tail")));
                for (acc, x) in acc.iter_mut().zip(x) {
                    *acc = _mm512_dpbusd_epi32(*acc, codes, x);
                }
            }
            (start, lane) = (start + six_bit::GROUP_BYTES, lane + 1);
        }
        let parts = panel[start..].as_chunks::<{ six_bit::PART_BYTES }>().0;
        for (part, acc) in parts.iter().zip(&mut acc) {
            let codes = unpack(load_last_part(part));
            for (acc, row) in acc.iter_mut().zip(rows) {
                *acc = _mm512_dpbusd_epi32(*acc, codes, broadcast(&row[lane]));
            }
        }
        for t in 0..T {
            let sums = &mut sums[t * row_count + index * six_bit::ROWS..][..six_bit::ROWS];
            let sums = sums.as_chunks_mut::<{ six_bit::PART_ROWS }>().0;
            for (acc, sums) in acc.iter().zip(sums) {
                // SAFETY: the array takes the 64 bytes; the store needs no alignment.
                unsafe { _mm512_storeu_si512(sums.as_mut_ptr().cast(), acc[t]) }
            }
        }
    }
}

/// Where the sums of a panel go: those of a token begin `row_count` behind those of the one before.
struct Sums<'a> {
    first: &'a mut [i32],
    row_count: usize,
}

/// A panel times all activation rows.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi,avx2,fma,f16c")]
fn many_tokens(panel: &[u8], columns: usize, activations: &[i8], tokens: usize, sums: Sums<'_>) {
    // What is read of it was written before: it need not be cleared.
    let mut tile = [const { MaybeUninit::<[Codes; PARTS]>::uninit() }; DEPTH * LANES];
    for first in (0..panel.len() / GROUP_BYTES).step_by(DEPTH) {
        let behind = panel.len().min((first + DEPTH) * GROUP_BYTES);
        let (groups, start) = (&panel[first * GROUP_BYTES..behind], first * GROUP_COLUMNS);
        // Lanes of 4 columns that the matrix has; the last group may have fewer than 3.
        let lanes = (groups.len() / GROUP_BYTES * LANES).min((columns - start) / LANE_COLUMNS);
        let tile = &unpack(groups, &mut tile)[..lanes];
        // What is unpacked next comes from memory while these groups are multiplied: some lines a tile of tokens.
        let next = panel.as_ptr().wrapping_add(behind);
        let mut lines = 0..DEPTH_LINES;
        let share = lines.len().div_ceil(tokens.div_ceil(TOKENS));
        let mut token = 0;
        while token < tokens {
            let count = TOKENS.min(tokens - token);
            for line in lines.by_ref().take(share) {
                // It reads nothing and faults at no address.
                _mm_prefetch::<_MM_HINT_T1>(next.wrapping_add(64 * line).cast());
            }
            let x = &activations[token * columns + start..];
            let sums = Sums {
                first: &mut sums.first[token * sums.row_count..],
                row_count: sums.row_count,
            };
            match count {
                6 => multiply_tile::<6>(tile, x, columns, first > 0, sums),
                5 => multiply_tile::<5>(tile, x, columns, first > 0, sums),
                4 => multiply_tile::<4>(tile, x, columns, first > 0, sums),
                3 => multiply_tile::<3>(tile, x, columns, first > 0, sums),
                2 => multiply_tile::<2>(tile, x, columns, first > 0, sums),
                _ => multiply_tile::<1>(tile, x, columns, first > 0, sums),
            }
            token += count;
        }
    }
}

/// The codes of some groups, lane by lane: that part of the tile which they fill.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi,avx2,fma,f16c")]
fn unpack<'a>(groups: &[u8], tile: &'a mut [MaybeUninit<[Codes; PARTS]>]) -> &'a [[Codes; PARTS]] {
    let unpacking = Unpacking::new();
    let groups = groups.as_chunks::<GROUP_BYTES>().0;
    let filled = &mut tile[..groups.len() * LANES];
    for (group, tile) in groups.iter().zip(filled.as_chunks_mut::<LANES>().0) {
        for (p, part) in group.as_chunks::<PART_BYTES>().0.iter().enumerate() {
            for (codes, lane) in unpacking.codes(load_last_part(part)).into_iter().zip(&mut *tile) {
                // SAFETY: p is below PARTS; the value takes 64 bytes and is aligned to 64.
                unsafe {
                    _mm512_store_si512(lane.as_mut_ptr().cast::<Codes>().add(p).cast(), codes);
                }
            }
        }
    }
    // SAFETY: a group has PARTS parts, of each of which every lane was written.
    unsafe { std::slice::from_raw_parts(filled.as_ptr().cast(), filled.len()) }
}

/// An unpacked tile times `T` activation rows, `columns` apart; adds to the sums if `more`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi,avx2,fma,f16c")]
fn multiply_tile<const T: usize>(
    tile: &[[Codes; PARTS]],
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
    let mut acc = [[_mm512_setzero_si512(); PARTS]; T];
    let Sums { first, row_count } = sums;
    if more {
        for (t, acc) in acc.iter_mut().enumerate() {
            let sums = first[t * row_count..][..ROWS].as_chunks::<PART_ROWS>().0;
            for (acc, sums) in acc.iter_mut().zip(sums) {
                // SAFETY: the array holds the 64 bytes that are read.
                *acc = unsafe { _mm512_loadu_si512(sums.as_ptr().cast()) };
            }
        }
    }
    for (k, lane) in tile.iter().enumerate() {
        let mut codes = [_mm512_setzero_si512(); PARTS];
        for (codes, lane) in codes.iter_mut().zip(lane) {
            *codes = load(lane);
        }
        for t in 0..T {
            // SAFETY: every row was cut to as many lanes as the tile has.
            let x = broadcast(unsafe { rows[t].get_unchecked(k) });
            for p in 0..PARTS {
                acc[t][p] = _mm512_dpbusd_epi32(acc[t][p], codes[p], x);
            }
        }
    }
    for (t, acc) in acc.iter().enumerate() {
        let sums = first[t * row_count..][..ROWS].as_chunks_mut::<PART_ROWS>().0;
        for (acc, sums) in acc.iter().zip(sums) {
            // SAFETY: the array takes the 64 bytes.
            unsafe { _mm512_storeu_si512(sums.as_mut_ptr().cast(), *acc) }
        }
    }
}
