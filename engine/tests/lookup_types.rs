//! TL1 and TL2 against the bytes of bitnet.cpp's converter, against a direct statement of where each
//! weight lies, and back.
//!
//! The fingerprints were taken from `preprocess_weights_tl1` and `preprocess_weights_tl2` of
//! microsoft/BitNet's `convert-hf-to-gguf-bitnet.py` (commit 16da220, numpy 2) with the same weights; no
//! Python is needed to check against them.

use bitnet_engine::gguf::TensorType;
use bitnet_engine::quant::tiles::{LookupType, Tile, Tiles};
use bitnet_engine::quant::tl1::BadIndex;
use bitnet_engine::quant::{tl1, tl2};

/// Ternary weights from a 64-bit linear congruential generator: the same in any language.
fn weights(count: usize) -> Vec<i8> {
    let mut state = count as u64 ^ 0x9e37_79b9_7f4a_7c15;
    let weight = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        ((state >> 56) % 3) as i8 - 1
    };
    (0..count).map(weight).collect()
}

/// FNV-1a with 64 bits.
fn fingerprint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Rows, columns, tile, and length and fingerprint of the converter's bytes.
type Figures = (usize, usize, [usize; 3], usize, u64);

const TL1: [Figures; 6] = [
    (256, 256, [128, 64, 32], 16_384, 0x161f_26e6_0b67_6b76),
    (256, 256, [128, 64, 64], 16_384, 0x97d7_b1c0_8b5e_de26),
    (128, 256, [64, 128, 64], 8_192, 0xf37d_1a94_be26_6ca9),
    (640, 2560, [320, 128, 64], 409_600, 0x3b01_0423_40d7_fb2c),
    (1536, 1536, [128, 64, 64], 589_824, 0xcf80_483c_d8d8_ed2a),
    (3200, 3200, [320, 128, 64], 2_560_000, 0x3bed_44ae_9011_0ba9),
];

const TL2: [Figures; 6] = [
    (256, 256, [128, 96, 32], 16_384, 0xacd1_525a_e287_cb4d),
    (128, 768, [64, 96, 32], 21_845, 0x552d_6408_319b_3ed3),
    (320, 2560, [160, 96, 32], 174_080, 0x2320_51b0_b4e1_17e6),
    (1536, 1536, [128, 192, 32], 507_904, 0x3ecc_4f59_c31d_076e),
    (256, 384, [256, 192, 32], 23_210, 0x6594_1eba_8880_c8f0),
    (1024, 4096, [256, 96, 32], 884_736, 0xa3c1_dfb0_c214_224d),
];

fn tile([rows, columns, lanes]: [usize; 3]) -> Tile {
    Tile { rows, columns, lanes }
}

#[test]
fn tl1_has_the_bytes_of_the_converter_and_comes_back() {
    for (rows, columns, parts, length, truth) in TL1 {
        let (w, tile) = (weights(rows * columns), tile(parts));
        tile.check(LookupType::Tl1, rows, columns).expect("a good tile");
        let bytes = tl1::pack(&w, columns, tile);
        assert_eq!((bytes.len(), fingerprint(&bytes)), (length, truth), "{rows} × {columns}");
        assert!(tl1::unpack(&bytes, columns, tile) == Ok(w), "{rows} × {columns} comes back");
        let size = TensorType::Tl1.tensor_bytes(&[columns, rows]);
        assert_eq!(size, Ok(tl1::scale_offset(rows, columns) + tl1::TAIL_BYTES));
    }
}

#[test]
fn tl2_has_the_bytes_of_the_converter_and_comes_back() {
    for (rows, columns, parts, length, truth) in TL2 {
        let (w, tile) = (weights(rows * columns), tile(parts));
        tile.check(LookupType::Tl2, rows, columns).expect("a good tile");
        let bytes = tl2::pack(&w, columns, tile);
        assert_eq!(fingerprint(&bytes[..length]), truth, "{rows} × {columns}");
        assert_eq!(bytes.len(), length.next_multiple_of(32), "{rows} × {columns}");
        assert!(bytes[length..].iter().all(|b| *b == 0), "zeros fill it up");
        assert!(tl2::unpack(&bytes, rows, columns, tile) == Ok(w), "{rows} × {columns} comes back");
        let size = TensorType::Tl2.tensor_bytes(&[columns, rows]);
        assert_eq!(size, Ok(tl2::scale_offset(rows, columns) + tl1::TAIL_BYTES));
    }
}

#[test]
fn published_shapes_use_the_published_tiles() {
    for (lookup, figures) in [(LookupType::Tl1, TL1), (LookupType::Tl2, TL2)] {
        let published =
            figures.iter().filter(|f| matches!((f.0, f.1), (1536, _) | (3200, _) | (1024, _)));
        for (rows, columns, parts, ..) in published {
            assert_eq!(Tiles::default().of(lookup, *rows, *columns), Ok(tile(*parts)));
        }
    }
}

/// Where the converter's reshapes and transpositions put the pair `pair` (in units of two columns) of
/// `row`: byte, and whether in its high half.
fn place_of_pair(
    columns: usize,
    [bm, bk, lanes]: [usize; 3],
    row: usize,
    pair: usize,
) -> (usize, bool) {
    let by = 256 / lanes;
    // (M/BM, K/BK, BM/bm, BK/by, bm/16, by/4, 16, 2) with the innermost last.
    let digits = [
        (row / bm, 0),
        (pair / (bk / 2), columns / bk),
        (row % bm / lanes, bm / lanes),
        (pair % (bk / 2) / (by / 2), bk / by),
        (row % lanes / 16, lanes / 16),
        (pair % (by / 2) / 2, by / 4),
        (row % 16, 16),
    ];
    (digits.iter().fold(0, |byte, (digit, base)| byte * base + digit), pair.is_multiple_of(2))
}

#[test]
fn tl1_weights_lie_where_the_converter_puts_them() {
    let (rows, columns, parts) = (128, 256, [64, 128, 64]);
    for parts in [parts, [128, 64, 32]] {
        let w = weights(rows * columns);
        let bytes = tl1::pack(&w, columns, tile(parts));
        for (row, pair) in (0..rows).flat_map(|r| (0..columns / 2).map(move |p| (r, p))) {
            let (byte, high) = place_of_pair(columns, parts, row, pair);
            let half = if high { bytes[byte] >> 4 } else { bytes[byte] & 15 };
            let [a, b] = [0, 1].map(|i| w[row * columns + 2 * pair + i]);
            assert_eq!(i32::from(half), 3 * i32::from(a) + i32::from(b) + 4, "{row}, {pair}");
        }
    }
}

#[test]
fn tl2_weights_lie_where_the_converter_puts_them() {
    let (rows, columns, bm, bk) = (128, 512, 64, 96);
    let w = weights(rows * columns);
    let bytes = tl2::pack(&w, columns, tile([bm, bk, 32]));
    let threes = columns / bk * bk;
    // The order of 32 rows: eights 0, 2, 1, 3.
    let swapped = |row: usize| [0, 2, 1, 3][row % 32 / 8] * 8 + row % 8;
    for (row, three) in (0..rows).flat_map(|r| (0..threes / 3).map(move |t| (r, t))) {
        let number = (0..3).fold(0, |n, i| 3 * n + i32::from(w[row * columns + 3 * three + i]));
        let in_tile = three % (bk / 3);
        // (M/BM, K/BK, BM/32, BK/6, 32), then the half.
        let tile = (row / bm * (threes / bk) + three / (bk / 3)) * (bm / 32) + row % bm / 32;
        let byte = (tile * (bk / 6) + in_tile / 2) * 32 + swapped(row);
        let half = if in_tile.is_multiple_of(2) { bytes[byte] >> 4 } else { bytes[byte] & 15 };
        assert_eq!(i32::from(half), number.abs(), "index of {row}, {three}");
        // (M/BM, K/BK, BM/32, BK/24, 16) words; bit 15 − (2 · three of eight + half of 32 rows).
        let word = (tile * (bk / 24) + in_tile / 8) * 16 + row % 16;
        let at = rows * threes / 6 + 2 * word;
        let word = u16::from(bytes[at]) | u16::from(bytes[at + 1]) << 8;
        let bit = 15 - (in_tile % 8 * 2 + row % 32 / 16);
        assert_eq!(word >> bit & 1 == 1, number < 0, "sign of {row}, {three}");
    }
    let left = columns - threes;
    for (row, pair) in (0..rows).flat_map(|r| (0..left / 2).map(move |p| (r, p))) {
        let [a, b] = [0, 1].map(|i| i32::from(w[row * columns + threes + 2 * pair + i]));
        // (M/BM, left/32, BM/32, 32/4, 32), then the half.
        let tile = (row / bm * (left / 32) + pair / 16) * (bm / 32) + row % bm / 32;
        let byte = rows * threes * 5 / 24 + (tile * 8 + pair % 16 / 2) * 32 + swapped(row);
        let half = if pair.is_multiple_of(2) { bytes[byte] >> 4 } else { bytes[byte] & 15 };
        assert_eq!(i32::from(half), 3 * a + b + 4, "pair {row}, {pair}");
    }
}

#[test]
fn indices_that_stand_for_nothing_are_refused_with_their_place() {
    let (rows, columns) = (64, 256);
    let w = vec![0i8; rows * columns];
    let one = tile([32, 64, 32]);
    let mut bytes = tl1::pack(&w, columns, one);
    // The last byte: the last row's last four weights.
    *bytes.last_mut().unwrap() = 0x49;
    let bad = BadIndex { row: 63, column: 254, index: 9 };
    assert_eq!(tl1::unpack(&bytes, columns, one), Err(bad));

    let two = tile([32, 96, 32]);
    let (threes, packed) = (192, tl2::pack(&w, columns, two));
    let mut bytes = packed.clone();
    bytes[0] = 0xe0;
    let bad = BadIndex { row: 0, column: 0, index: 14 };
    assert_eq!(tl2::unpack(&bytes, rows, columns, two), Err(bad));
    let mut bytes = packed.clone();
    // The sign of zeros: word 3 of the first 24 columns, row 16 + 3, columns from 3 · 7 on.
    bytes[rows * threes / 6 + 6] = 1;
    let bad = BadIndex { row: 19, column: 21, index: 0 };
    assert_eq!(tl2::unpack(&bytes, rows, columns, two), Err(bad));
    let mut bytes = packed;
    bytes[rows * threes * 5 / 24] = 0xf4;
    let bad = BadIndex { row: 0, column: threes, index: 15 };
    assert_eq!(tl2::unpack(&bytes, rows, columns, two), Err(bad));
}
