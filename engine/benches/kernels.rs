//! Speed of single kernels by instruction set, one thread, at the shapes of BitNet b1.58 2B-4T: which of
//! two ways to write one is faster. What a model does is timed by `bitnet bench`.

use std::hint::black_box;

use bitnet_engine::kernels::{Isa, Kernels};
use bitnet_engine::quant::i2_s;
use criterion::measurement::WallTime;
use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
};
use half::f16;

/// Width of the residual stream.
const WIDTH: usize = 2560;
/// Rows of the key and value matrices.
const ROWS: usize = 640;
/// Width inside the feed-forward block.
const FEED_FORWARD: usize = 6912;
/// Positions that attention looks back on.
const POSITIONS: usize = 4096;
/// Length of a head.
const HEAD: usize = 128;

fn tables() -> impl Iterator<Item = &'static Kernels> {
    Isa::ALL.into_iter().filter_map(Kernels::for_isa)
}

/// Values from −1 to 1, always the same.
fn values(count: usize) -> Vec<f32> {
    let hash = |i: usize| (i as u32).wrapping_mul(2_654_435_761);
    (0..count).map(|i| hash(i) as f32 / (u32::MAX as f32 / 2.0) - 1.0).collect()
}

fn halves(count: usize) -> Vec<f16> {
    values(count).into_iter().map(f16::from_f32).collect()
}

/// A group of one benchmark for each instruction set.
fn each(
    criterion: &mut Criterion,
    name: &str,
    throughput: Throughput,
    mut bench: impl FnMut(&mut BenchmarkGroup<'_, WallTime>, BenchmarkId, &'static Kernels),
) {
    let mut group = criterion.benchmark_group(name);
    // The scalar kernels take a tenth of a second for a prompt's products.
    group.sample_size(20).throughput(throughput);
    for kernels in tables() {
        bench(&mut group, BenchmarkId::from_parameter(kernels.isa), kernels);
    }
    group.finish();
}

/// Products of a matrix with one token, by the bytes that are read, and with 64, by products.
fn ternary(criterion: &mut Criterion) {
    let weights: Vec<i8> =
        values(ROWS * WIDTH).iter().map(|v| (v * 1.49).round_ties_even() as i8).collect();
    let file = i2_s::pack(&weights);
    for tokens in [1, 64] {
        let activations: Vec<i8> =
            values(tokens * WIDTH).iter().map(|v| (v * 127.0) as i8).collect();
        let mut group = criterion.benchmark_group(format!("ternary_dots/{tokens}"));
        group.sample_size(20);
        for kernels in tables() {
            let layout = kernels.ternary_layout;
            let mut codes = vec![0; layout.bytes(ROWS, WIDTH)];
            layout.arrange(&file, WIDTH, &mut codes);
            let mut sums = vec![0; ROWS * tokens];
            group.throughput(match tokens {
                1 => Throughput::Bytes(codes.len() as u64),
                tokens => Throughput::Elements((tokens * ROWS * WIDTH) as u64),
            });
            group.bench_function(BenchmarkId::from_parameter(kernels.isa), |bencher| {
                bencher.iter(|| {
                    (kernels.ternary_dots)(black_box(&codes), WIDTH, &activations, &mut sums);
                });
            });
        }
        group.finish();
    }
}

/// A row of the head, and attention's products with the keys of one head.
fn floats(criterion: &mut Criterion) {
    let (a, b) = (halves(WIDTH), halves(WIDTH));
    each(criterion, "dot_f16", Throughput::Bytes(2 * WIDTH as u64), |group, id, kernels| {
        group.bench_function(id, |bencher| {
            bencher.iter(|| (kernels.dot_f16)(black_box(&a), black_box(&b)));
        });
    });
    let (keys, query) = (halves(POSITIONS * HEAD), halves(HEAD));
    let mut out = vec![0.0; POSITIONS];
    let bytes = Throughput::Bytes(2 * (POSITIONS * HEAD) as u64);
    each(criterion, "dots_f16", bytes, |group, id, kernels| {
        group.bench_function(id, |bencher| {
            bencher.iter(|| (kernels.dots_f16)(black_box(&keys), HEAD, HEAD, &query, &mut out));
        });
    });
}

/// What stands between the products, by elements.
fn element_wise(criterion: &mut Criterion) {
    let elements = |count: usize| Throughput::Elements(count as u64);
    let x = values(WIDTH);
    let mut codes = vec![0i8; WIDTH];
    each(criterion, "quantize_int8", elements(WIDTH), |group, id, kernels| {
        group.bench_function(id, |bencher| {
            bencher.iter(|| (kernels.quantize_int8)(black_box(&x), &mut codes));
        });
    });
    let mut out = vec![0.0; WIDTH];
    each(criterion, "rms_norm", elements(WIDTH), |group, id, kernels| {
        group.bench_function(id, |bencher| {
            bencher.iter(|| (kernels.rms_norm)(black_box(&x), &x, 1e-5, &mut out));
        });
    });
    let mut scores = values(POSITIONS);
    each(criterion, "softmax", elements(POSITIONS), |group, id, kernels| {
        group.bench_function(id, |bencher| {
            bencher.iter(|| (kernels.softmax)(black_box(&mut scores), 0.1));
        });
    });
    let (fresh, up) = (values(FEED_FORWARD), values(FEED_FORWARD));
    let mut gate = fresh.clone();
    each(criterion, "relu_squared_gate", elements(FEED_FORWARD), |group, id, kernels| {
        group.bench_function(id, |bencher| {
            bencher.iter(|| {
                // Squared again and again, values would leave the range that processors are fast in.
                gate.copy_from_slice(&fresh);
                (kernels.relu_squared_gate)(black_box(&mut gate), &up);
            });
        });
    });
}

criterion_group!(benches, ternary, floats, element_wise);
criterion_main!(benches);
