//! Every instruction set of this machine against the scalar definition, bit for bit.
//!
//! The last test prints which instruction sets were proved and which this processor lacks.

use bitnet_engine::kernels::{BlockDots, Isa, Kernels};
use bitnet_engine::quant::activation::{Q8KBlock, Q80Block, quantize_q8_0, quantize_q8_k};
use bitnet_engine::quant::blocks::{BlockActivation, BlockType};
use bitnet_engine::quant::{i2_s, six_bit};
use half::{bf16, f16};
use proptest::prelude::*;

/// The scalar table for any processor, and every one that runs here: that for this processor as well.
fn tables() -> (&'static Kernels, Vec<&'static Kernels>) {
    (Kernels::portable(), Isa::ALL.into_iter().filter_map(Kernels::for_isa).collect())
}

/// Deterministic bytes from a seed: a 64-bit linear congruential generator.
fn bytes(seed: u64, n: usize) -> Vec<u8> {
    let mut state = seed ^ 0x9e37_79b9_7f4a_7c15;
    (0..n)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        })
        .collect()
}

fn floats(seed: u64, n: usize, spread: f32) -> Vec<f32> {
    let raw = bytes(seed, 4 * n);
    raw.chunks_exact(4)
        .map(|b| {
            (u32::from_le_bytes([b[0], b[1], b[2], b[3]]) as f32 / 2f32.powi(31) - 1.0) * spread
        })
        .collect()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

fn ternary_sums(k: &Kernels, rows: &[u8], columns: usize, x: &[i8]) -> Vec<i32> {
    let (layout, row_count) = (k.ternary_layout, rows.len() / (columns / 4));
    let mut arranged = vec![0; layout.bytes(row_count, columns)];
    layout.arrange(rows, columns, &mut arranged);
    let padded = row_count.next_multiple_of(layout.rows_together());
    let mut sums = vec![0; padded * (x.len() / columns)];
    (k.ternary_dots)(&arranged, columns, x, &mut sums);
    sums.chunks_exact(padded).flat_map(|sums| sums[..row_count].to_vec()).collect()
}

/// Int64 dot products straight from the layout's definition.
fn naive_ternary(rows: &[u8], columns: usize, x: &[i8]) -> Vec<i32> {
    let row_bytes = columns / 4;
    let mut out = Vec::new();
    for x in x.chunks_exact(columns) {
        for row in rows.chunks_exact(row_bytes) {
            let dot: i64 =
                (0..columns).map(|c| i64::from(i2_s::code(row, c)) * i64::from(x[c])).sum();
            out.push(i32::try_from(dot).expect("fits"));
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn ternary_dots_are_exact(
        seed in any::<u64>(), blocks in 1usize..24, rows in 1usize..100, tokens in 1usize..20,
    ) {
        let columns = blocks * 128;
        // Without the code 3, which a model may not have.
        let codes: Vec<u8> = bytes(seed, rows * columns / 4).iter().map(|b| b & !(b >> 1 & 0x55)).collect();
        let x: Vec<i8> = bytes(!seed, tokens * columns).iter().map(|b| *b as i8).collect();
        let truth = naive_ternary(&codes, columns, &x);
        let (scalar, others) = tables();
        prop_assert_eq!(&ternary_sums(scalar, &codes, columns, &x), &truth, "scalar");
        for k in others {
            prop_assert_eq!(&ternary_sums(k, &codes, columns, &x), &truth, "{}", k.isa);
        }
    }

    #[test]
    fn six_bit_dots_are_exact(
        seed in any::<u64>(), groups in 1usize..90, panels in 1usize..6, tokens in 1usize..6,
    ) {
        let columns = groups * six_bit::GROUP_COLUMNS;
        let codes = bytes(seed, panels * six_bit::panel_bytes(columns));
        let x: Vec<i8> = bytes(!seed, tokens * columns).iter().map(|b| *b as i8).collect();
        let code = |row: usize, column: usize| {
            let panel = &codes[row / six_bit::ROWS * six_bit::panel_bytes(columns)..];
            let bit = column / 4 * 192 * 8 + (row % 64 * 4 + column % 4) * 6;
            let two = u16::from(panel[bit / 8]) | u16::from(*panel.get(bit / 8 + 1).unwrap_or(&0)) << 8;
            i32::from(two >> (bit % 8) & 63)
        };
        let rows = panels * six_bit::ROWS;
        let truth: Vec<i32> = (0..tokens * rows)
            .map(|i| {
                let (x, row) = (&x[i / rows * columns..], i % rows);
                (0..columns).map(|c| code(row, c) * i32::from(x[c])).sum()
            })
            .collect();
        let (scalar, others) = tables();
        for k in std::iter::once(scalar).chain(others) {
            let mut sums = vec![7; truth.len()];
            (k.six_bit_dots)(&codes, columns, &x, &mut sums);
            prop_assert_eq!(&sums, &truth, "{}", k.isa);
        }
    }

    #[test]
    fn sums_become_outputs_as_by_division(
        seed in any::<u64>(), scale in 1e-20f32..1e20, narrow in 0.01f32..300.0, n in 1usize..200,
    ) {
        let sums: Vec<i32> =
            bytes(seed, 4 * n).chunks(4).map(|b| i32::from_le_bytes([b[0], b[1], b[2], b[3]]) >> (b[0] % 24)).collect();
        let (scalar, others) = tables();
        for by in [scale, narrow, 127.0 / narrow] {
            let (mut ours, mut truth) = (vec![0.0; n], vec![0.0; n]);
            (scalar.scale_sums)(&sums, 77, by, 0.37, &mut truth);
            for k in &others {
                (k.scale_sums)(&sums, 77, by, 0.37, &mut ours);
                prop_assert_eq!(bits(&ours), bits(&truth), "{} by {}", k.isa, by);
            }
        }
    }

    #[test]
    fn norms_are_those_of_a_sum_in_order(seed in any::<u64>(), n in 1usize..3000, spread in 1e-3f32..1e3) {
        let (x, weight) = (floats(seed, n, spread), floats(!seed, n, 2.0));
        let (scalar, others) = tables();
        let (mut ours, mut truth) = (vec![0.0; n], vec![0.0; n]);
        (scalar.rms_norm)(&x, &weight, 1e-5, &mut truth);
        for k in others {
            (k.rms_norm)(&x, &weight, 1e-5, &mut ours);
            prop_assert_eq!(bits(&ours), bits(&truth), "{}", k.isa);
        }
    }

    #[test]
    fn products_of_several_rows_are_those_of_one(
        seed in any::<u64>(), rows in 1usize..70, queries in 1usize..10, shape in 0usize..9, gap in 0usize..40,
    ) {
        let length = [64, 128, 100, 96, 32, 256, 288, 300, 800][shape];
        let (a, x) = (floats(seed, rows * length, 3.0), floats(!seed, queries * length, 2.0));
        let half = |v: &[f32]| v.iter().map(|x| f16::from_f32(*x)).collect::<Vec<_>>();
        let stride = length + gap;
        let (ha, hx) = (half(&floats(seed ^ 5, rows * stride, 3.0)), half(&x));
        let (scalar, others) = tables();
        let pairs = || (0..queries).flat_map(|q| (0..rows).map(move |r| (q, r)));
        let part = |i: usize| i * length..(i + 1) * length;
        let truth: Vec<f32> = pairs().map(|(q, r)| (scalar.dot_f32)(&a[part(r)], &x[part(q)])).collect();
        let halves: Vec<f32> = pairs()
            .map(|(q, r)| (scalar.dot_f16)(&ha[r * stride..][..length], &hx[part(q)]))
            .collect();
        for k in std::iter::once(scalar).chain(others) {
            let mut out = vec![f32::NAN; rows * queries];
            (k.dots_f32)(&a, length, &x, &mut out);
            prop_assert_eq!(bits(&out), bits(&truth), "dots_f32 {}", k.isa);
            (k.dots_f16)(&ha, stride, length, &hx, &mut out);
            prop_assert_eq!(bits(&out), bits(&halves), "dots_f16 {}", k.isa);
        }
    }

    #[test]
    fn float_kernels_agree_to_the_bit(seed in any::<u64>(), n in 1usize..700, spread in 0.01f32..50.0) {
        let (a, b) = (floats(seed, n, spread), floats(seed ^ 77, n, 1.0));
        let half = |v: &[f32]| v.iter().map(|x| f16::from_f32(*x)).collect::<Vec<_>>();
        let (ha, hb) = (half(&a), half(&b));
        let brain = |v: &[f32]| v.iter().map(|x| bf16::from_f32(*x)).collect::<Vec<_>>();
        let (ba, bb) = (brain(&a), brain(&b));
        let (scalar, others) = tables();
        for k in others {
            prop_assert_eq!((k.dot_f32)(&a, &b).to_bits(), (scalar.dot_f32)(&a, &b).to_bits());
            prop_assert_eq!((k.dot_f16)(&ha, &hb).to_bits(), (scalar.dot_f16)(&ha, &hb).to_bits());
            let (ours, truth) = ((k.dot_bf16)(&ba, &bb), (scalar.dot_bf16)(&ba, &bb));
            prop_assert_eq!(ours.to_bits(), truth.to_bits(), "dot_bf16 {}", k.isa);

            let (mut ours, mut truth) = (vec![0.0; n], vec![0.0; n]);
            (k.rms_norm)(&a, &b, 1e-5, &mut ours);
            (scalar.rms_norm)(&a, &b, 1e-5, &mut truth);
            prop_assert_eq!(bits(&ours), bits(&truth), "rms_norm {}", k.isa);

            let (mut ours, mut truth) = (a.clone(), a.clone());
            (k.relu_squared_gate)(&mut ours, &b);
            (scalar.relu_squared_gate)(&mut truth, &b);
            prop_assert_eq!(bits(&ours), bits(&truth), "relu_squared_gate {}", k.isa);
            let wide = floats(seed ^ 9, n, 4.0 * spread);
            let (mut ours, mut truth) = (wide.clone(), wide);
            (k.silu_gate)(&mut ours, &b);
            (scalar.silu_gate)(&mut truth, &b);
            prop_assert_eq!(bits(&ours), bits(&truth), "silu_gate {}", k.isa);
            (k.add)(&mut ours, &b);
            (scalar.add)(&mut truth, &b);
            prop_assert_eq!(bits(&ours), bits(&truth), "add {}", k.isa);

            let (mut ours, mut truth) = (vec![f16::ZERO; n], vec![f16::ZERO; n]);
            (k.narrow_to_f16)(&a, &mut ours);
            (scalar.narrow_to_f16)(&a, &mut truth);
            prop_assert_eq!(ours, truth, "narrow_to_f16 {}", k.isa);

            let (mut ours, mut truth) = (vec![0; n], vec![0; n]);
            let row = (k.quantize_int8)(&a, &mut ours);
            prop_assert_eq!(row, (scalar.quantize_int8)(&a, &mut truth), "scale {}", k.isa);
            prop_assert_eq!(ours, truth, "codes {}", k.isa);
        }
    }

    #[test]
    fn softmax_agrees_to_the_bit(seed in any::<u64>(), groups in 1usize..40, spread in 0.01f32..300.0, masked in 0usize..9) {
        let n = groups * 8;
        let mut scores = floats(seed, n, spread);
        let from = (n - masked.min(n - 1)).max(1);
        scores[from..].fill(f32::NEG_INFINITY);
        let (scalar, others) = tables();
        for k in others {
            let (mut ours, mut truth) = (scores.clone(), scores.clone());
            (k.softmax)(&mut ours, 0.088);
            (scalar.softmax)(&mut truth, 0.088);
            prop_assert_eq!(bits(&ours), bits(&truth), "{}", k.isa);
        }
    }

    #[test]
    fn block_types_agree_to_the_bit(seed in any::<u64>(), blocks in 1usize..12, tokens in 1usize..20) {
        let (scalar, others) = tables();
        for block_type in BlockType::ALL {
            let columns = blocks * block_type.block();
            let mut row = vec![0; blocks * block_type.block_bytes()];
            block_type.quantize_row(&floats(seed, columns, 1.5), &mut row);
            let x = floats(seed ^ 5, tokens * columns, 3.0);
            let truth = products(scalar, block_type, &row, &x, tokens);
            for k in &others {
                let ours = products(k, block_type, &row, &x, tokens);
                prop_assert_eq!(bits(&ours), bits(&truth), "{} {}", k.isa, block_type.name());
            }
        }
    }
}

/// Products of a row with `tokens` rows of activations, converted by the definition.
fn products(k: &Kernels, block_type: BlockType, row: &[u8], x: &[f32], tokens: usize) -> Vec<f32> {
    let mut products = vec![f32::NAN; tokens];
    match k.block_dots(block_type) {
        BlockDots::Q8_0(dots) => {
            let mut blocks = vec![Q80Block::default(); x.len() / 32];
            quantize_q8_0(x, &mut blocks);
            dots(row, &blocks, &mut products);
        }
        BlockDots::Q8K(dots) => {
            let mut blocks = vec![Q8KBlock::default(); x.len() / 256];
            quantize_q8_k(x, &mut blocks);
            dots(row, &blocks, &mut products);
        }
    }
    products
}

/// Bits, with all NaNs taken as one: which NaN comes of two is the processor's affair.
fn number_bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| if v.is_nan() { f32::NAN.to_bits() } else { v.to_bits() }).collect()
}

/// Ordinary values with `special` strewn in at places that the seed chooses.
fn strewn(seed: u64, n: usize, special: &[f32]) -> Vec<f32> {
    let (mut values, places) = (floats(seed, n, 2.0), bytes(seed ^ 99, n));
    for (value, place) in values.iter_mut().zip(places) {
        if place < 24 && !special.is_empty() {
            *value = special[usize::from(place) % special.len()];
        }
    }
    values
}

#[test]
fn values_that_are_no_ordinary_numbers_are_treated_alike() {
    const NAN: f32 = f32::NAN;
    const INF: f32 = f32::INFINITY;
    let (tiny, tiny_half) = (f32::from_bits(3), f16::from_bits(5).to_f32());
    let kinds: [&[f32]; 8] = [
        &[NAN],
        &[INF],
        &[-INF],
        &[INF, -INF, NAN, -NAN],
        &[-0.0, 0.0],
        &[tiny, -tiny, f32::MIN_POSITIVE, tiny_half, -tiny_half],
        &[f32::MAX, f32::MIN, 65504.0, 65520.0, 1e-8],
        &[NAN, INF, -INF, -0.0, tiny, -tiny_half, f32::MAX],
    ];
    let (scalar, others) = tables();
    for (seed, special) in (0u64..).zip(kinds.iter().cycle().take(64)) {
        for n in [8, 45, 256, 512 + 24] {
            let (a, b) = (strewn(seed, n, special), strewn(seed + 1000, n, special));
            let half = |v: &[f32]| v.iter().map(|x| f16::from_f32(*x)).collect::<Vec<_>>();
            for k in &others {
                let what = format!("{} {special:?}, {n} values, seed {seed}", k.isa);
                let one = |f: fn(&[f32], &[f32]) -> f32| number_bits(&[f(&a, &b)]);
                assert_eq!(one(k.dot_f32), one(scalar.dot_f32), "dot_f32 {what}");
                let one = |f: fn(&[f16], &[f16]) -> f32| number_bits(&[f(&half(&a), &half(&b))]);
                assert_eq!(one(k.dot_f16), one(scalar.dot_f16), "dot_f16 {what}");
                let brain = |v: &[f32]| v.iter().map(|x| bf16::from_f32(*x)).collect::<Vec<_>>();
                let one =
                    |f: fn(&[bf16], &[bf16]) -> f32| number_bits(&[f(&brain(&a), &brain(&b))]);
                assert_eq!(one(k.dot_bf16), one(scalar.dot_bf16), "dot_bf16 {what}");
                let all = |f: fn(&[f32], &mut [f16])| {
                    let mut out = vec![f16::ZERO; n];
                    f(&a, &mut out);
                    number_bits(&out.iter().map(|v| v.to_f32()).collect::<Vec<_>>())
                };
                assert_eq!(all(k.narrow_to_f16), all(scalar.narrow_to_f16), "narrow {what}");
                let all = |f: fn(&[f32], &[f32], f32, &mut [f32])| {
                    let mut out = vec![0.0; n];
                    f(&a, &b, 1e-5, &mut out);
                    number_bits(&out)
                };
                assert_eq!(all(k.rms_norm), all(scalar.rms_norm), "rms_norm {what}");
                let all = |f: fn(&mut [f32], &[f32])| {
                    let mut out = a.clone();
                    f(&mut out, &b);
                    number_bits(&out)
                };
                assert_eq!(all(k.add), all(scalar.add), "add {what}");
                let gate = (all(k.relu_squared_gate), all(scalar.relu_squared_gate));
                assert_eq!(gate.0, gate.1, "relu_squared_gate {what}");
                let all = |f: fn(&mut [f32], f32)| {
                    let mut out = a[..n / 8 * 8].to_vec();
                    f(&mut out, 0.088);
                    number_bits(&out)
                };
                assert_eq!(all(k.softmax), all(scalar.softmax), "softmax {what}");
                let all =
                    |f: fn(&[f32], &mut [i8]) -> bitnet_engine::quant::activation::Int8Row| {
                        let mut out = vec![0; n];
                        let row = f(&a, &mut out);
                        (row.scale.to_bits(), row.sum, out)
                    };
                assert_eq!(all(k.quantize_int8), all(scalar.quantize_int8), "int8 {what}");
            }
        }
    }
}

#[test]
fn blocks_of_any_bytes_are_treated_alike() {
    let (scalar, others) = tables();
    let special = [f32::NAN, f32::INFINITY, -0.0, f32::from_bits(3), f32::MAX];
    for block_type in BlockType::ALL {
        let columns = 2 * block_type.block();
        for seed in 0u64..64 {
            // Every 16-bit pattern is a scale somewhere: infinite, NaN, subnormal, negative.
            let row = match seed {
                0 => vec![0; 2 * block_type.block_bytes()],
                1 => vec![0x7b; 2 * block_type.block_bytes()],
                2 => vec![0xff; 2 * block_type.block_bytes()],
                3 => vec![0x80; 2 * block_type.block_bytes()],
                _ => bytes(seed, 2 * block_type.block_bytes()),
            };
            let x = strewn(seed, 5 * columns, &special[..(seed % 6) as usize]);
            let truth = number_bits(&products(scalar, block_type, &row, &x, 5));
            for k in &others {
                let ours = number_bits(&products(k, block_type, &row, &x, 5));
                assert_eq!(ours, truth, "{} {} seed {seed}", k.isa, block_type.name());
            }
        }
    }
}

/// The largest codes that a byte can hold, against activations of the largest magnitude.
#[test]
fn extremes_of_blocks_do_not_overflow_the_narrow_sums() {
    let (scalar, others) = tables();
    for block_type in BlockType::ALL {
        let mut row = vec![0xff; 4 * block_type.block_bytes()];
        for block in row.chunks_exact_mut(block_type.block_bytes()) {
            for offset in scales(block_type) {
                block[offset..offset + 2].copy_from_slice(&f16::ONE.to_le_bytes());
            }
        }
        for x in [-1f32, 1.0] {
            let x = vec![x; 4 * block_type.block()];
            let truth = products(scalar, block_type, &row, &x, 1);
            assert!(truth[0].abs() > 100.0, "{}: {truth:?}", block_type.name());
            for k in &others {
                let ours = products(k, block_type, &row, &x, 1);
                assert_eq!(bits(&ours), bits(&truth), "{} {}", k.isa, block_type.name());
            }
        }
    }
}

/// Where the f16 factors of a block lie.
fn scales(block_type: BlockType) -> Vec<usize> {
    match block_type {
        BlockType::Q4_0 | BlockType::Q8_0 => vec![0],
        BlockType::Q4K | BlockType::Q5K => vec![0, 2],
        BlockType::Q6K => vec![208],
        BlockType::Tq1_0 => vec![52],
        BlockType::Tq2_0 => vec![64],
    }
}

#[test]
fn activation_blocks_are_the_definition_s() {
    let (scalar, others) = tables();
    let specials: [&[f32]; 6] = [
        &[],
        &[f32::NAN],
        &[f32::INFINITY, -0.0],
        &[f32::MAX, f32::MIN],
        &[f32::from_bits(3), -f32::from_bits(3)],
        &[f32::NEG_INFINITY, f32::NAN, 2.5],
    ];
    for (seed, special) in (0u64..).zip(specials.into_iter().cycle().take(48)) {
        let mut x = strewn(seed, 1024, special);
        x[256..512].fill(if seed % 2 == 0 { 0.0 } else { f32::from_bits(1) });
        for k in &others {
            let what = format!("{} {special:?} seed {seed}", k.isa);
            let all = |k: &Kernels| {
                let mut blocks = vec![Q80Block::default(); 32];
                (k.quantize_q8_0)(&x, &mut blocks);
                blocks.iter().map(|b| (b.scale.to_bits(), b.codes)).collect::<Vec<_>>()
            };
            assert_eq!(all(k), all(scalar), "Q8_0 {what}");
            let all = |k: &Kernels| {
                let mut blocks = vec![Q8KBlock::default(); 4];
                (k.quantize_q8_k)(&x, &mut blocks);
                blocks.iter().map(|b| (b.scale.to_bits(), b.codes, b.sums)).collect::<Vec<_>>()
            };
            assert_eq!(all(k), all(scalar), "Q8_K {what}");
            let all = |k: &Kernels| {
                let mut out = vec![bf16::ZERO; x.len()];
                (k.narrow_to_bf16)(&x, &mut out);
                out.iter().map(|v| v.to_bits()).collect::<Vec<_>>()
            };
            assert_eq!(all(k), all(scalar), "BF16 {what}");
        }
    }
}

#[test]
fn a_row_that_does_not_fit_its_activations_is_refused_by_all() {
    let (scalar, others) = tables();
    for block_type in BlockType::ALL {
        for k in others.iter().chain([&scalar]) {
            for (row_blocks, x_blocks, tokens) in [(1, 2, 1), (2, 1, 1), (1, 3, 2), (1, 0, 1)] {
                let row = vec![0; row_blocks * block_type.block_bytes()];
                let x = vec![0.0; x_blocks * block_type.block()];
                let refused =
                    std::panic::catch_unwind(|| products(k, block_type, &row, &x, tokens));
                assert!(refused.is_err(), "{} {}: {x_blocks}", k.isa, block_type.name());
            }
        }
        let form = block_type.activation();
        assert_eq!(form == BlockActivation::Q8_0, block_type.block() == 32);
    }
}

#[test]
fn int8_extremes_do_not_overflow_the_narrow_sums() {
    for columns in [128, 1920, 2048, 6912] {
        for activation in [-128, 127] {
            let codes = vec![0b1010_1010; 2 * columns / 4];
            let x = vec![activation; 5 * columns];
            let truth = vec![2 * i32::from(activation) * columns as i32; 10];
            let (scalar, others) = tables();
            assert_eq!(ternary_sums(scalar, &codes, columns, &x), truth);
            for k in others {
                assert_eq!(ternary_sums(k, &codes, columns, &x), truth, "{}", k.isa);
            }
        }
    }
}

/// `half` converts with the processor's instructions where it has them; its constant functions never do.
#[test]
fn every_half_is_converted_as_by_software() {
    let all: Vec<f16> = (0..=u16::MAX).map(f16::from_bits).collect();
    let ones = vec![f16::ONE; 32];
    let (portable, tables) = tables();
    for k in tables.into_iter().chain([portable]) {
        for half in &all {
            let truth = half.to_f32_const();
            assert_eq!(half.to_f32().to_bits(), truth.to_bits(), "{half:?}");
            let mut row = vec![f16::ZERO; 32];
            row[9] = *half;
            let [dot, truth] = [(k.dot_f16)(&row, &ones), 0.0 + truth].map(|v| number_bits(&[v]));
            assert_eq!(dot, truth, "{} {half:?}", k.isa);
        }
        // Every half, what lies halfway to its neighbour, and the values next to that; NaNs of all kinds.
        let near = |half: &f16| {
            let middle = half.to_f32_const().to_bits() + (1 << 12);
            [middle - (1 << 12), middle - 1, middle, middle + 1].map(f32::from_bits)
        };
        let values: Vec<f32> = all.iter().flat_map(near).collect();
        let mut narrow = vec![f16::ZERO; values.len()];
        (k.narrow_to_f16)(&values, &mut narrow);
        for (value, narrow) in values.iter().zip(narrow) {
            let truth = f16::from_f32_const(*value);
            assert_eq!(narrow.to_bits(), truth.to_bits(), "{} {value:e}", k.isa);
        }
    }
}

#[test]
fn names_the_instruction_sets_that_were_proved() {
    for isa in Isa::ALL {
        let table = Kernels::for_isa(isa).map(|k| k.isa);
        assert_eq!(table, isa.is_available().then_some(isa));
        let state = if table.is_some() { "proved against scalar" } else { "not on this CPU" };
        println!("{isa}: {state}");
        assert_eq!(isa.to_string().parse(), Ok(isa));
    }
    // Every processor of the one architecture has it and none of another, so that no run is green
    // without a word where its table is missing.
    assert_eq!(Isa::Neon.is_available(), cfg!(target_arch = "aarch64"));
    assert!("sse9".parse::<Isa>().is_err_and(|e| e.contains("unknown instruction set `sse9`")));
}
