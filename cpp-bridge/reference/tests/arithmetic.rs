//! The compiled reference computes each operation as the README of the bridge writes it down: a
//! twin in plain Rust, fed with the reference's own inputs, gives the same bits.
//!
//! Holds for the build that the package compiles for AVX2; a build that is linked instead, or compiled
//! for another instruction set, may group its sums otherwise. The twins are the same for every
//! provider but the ternary product, which depends on the type.

use half::f16;

use crate::fixture::{self, EMBEDDING, FEED_FORWARD, HEADS, Head, KV_HEADS, Model, VOCABULARY};
use crate::provider;
use crate::reference::{CapturedTensor, Reference, Settings, build_info};

const HEAD_SIZE: usize = EMBEDDING / HEADS;
const KV: usize = HEAD_SIZE * KV_HEADS;
const EPSILON: f32 = 1e-5;
const ROPE_BASE: f32 = 500_000.0;

#[expect(clippy::print_stderr, reason = "says why nothing is compared")]
fn is_our_avx2_build() -> bool {
    let info = build_info();
    let ours = info.flags.contains("-march=x86-64-v3");
    if !ours {
        eprintln!("not the AVX2 build of this package, nothing to compare with: {}", info.flags);
    }
    ours
}

/// Every tensor of one prefill that the tests look at, and the weights of the file.
struct Observed {
    tensors: Vec<CapturedTensor>,
    weights: Vec<(String, fixture::Tensor)>,
    count: usize,
}

impl Observed {
    fn new(head: Head, names: &[&str]) -> Self {
        let model = Model::with_head(head);
        let settings = Settings { context: 96, ..Settings::default() };
        let mut reference = Reference::load(&model.path(), &settings).expect("the fixture");
        let count = 37;
        let ids: Vec<u32> = (0..count).map(|i| (i * 37 % 300) as u32).collect();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let tensors = reference.capture(&ids, &names).expect("the tensors");
        Self { tensors, weights: fixture::tensors(head), count }
    }

    fn values(&self, name: &str, occurrence: usize) -> &[f32] {
        let found = self.tensors.iter().find(|t| t.name == name && t.occurrence == occurrence);
        &found.unwrap_or_else(|| panic!("no {name} #{occurrence}")).values
    }

    fn weight(&self, name: &str) -> &fixture::Tensor {
        let found = self.weights.iter().find(|(other, _)| other == name);
        &found.unwrap_or_else(|| panic!("no {name}")).1
    }
}

#[track_caller]
fn assert_bits(twin: &[f32], reference: &[f32], what: &str) {
    assert_eq!(twin.len(), reference.len(), "{what}");
    let differing = twin.iter().zip(reference).filter(|(a, b)| a.to_bits() != b.to_bits()).count();
    let first = twin.iter().zip(reference).position(|(a, b)| a.to_bits() != b.to_bits());
    if let Some(i) = first {
        panic!(
            "{what}: {differing} of {} differ, first [{i}]: {:e} against {:e}",
            twin.len(),
            twin[i],
            reference[i]
        );
    }
}

pub fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|c| f32::from_le_bytes([c[0], c[1], c[2], c[3]])).collect()
}

fn halves(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(2).map(|c| f16::from_le_bytes([c[0], c[1]]).to_f32()).collect()
}

fn rounded_to_f16(values: &[f32]) -> Vec<f32> {
    values.iter().map(|value| f16::from_f32(*value).to_f32()).collect()
}

/// 4 × 8 lanes of fused products; lengths are multiples of 32.
fn dot(x: &[f32], y: &[f32]) -> f32 {
    let mut sums = [[0.0_f32; 8]; 4];
    for (x, y) in x.chunks_exact(32).zip(y.chunks_exact(32)) {
        for (j, sum) in sums.iter_mut().enumerate() {
            for (l, sum) in sum.iter_mut().enumerate() {
                *sum = x[8 * j + l].mul_add(y[8 * j + l], *sum);
            }
        }
    }
    let total: [f32; 8] =
        std::array::from_fn(|l| (sums[0][l] + sums[2][l]) + (sums[1][l] + sums[3][l]));
    let t: [f32; 4] = std::array::from_fn(|l| total[l] + total[l + 4]);
    (t[0] + t[1]) + (t[2] + t[3])
}

fn rms_norm(x: &[f32], weight: &[f32]) -> Vec<f32> {
    let rows = x.chunks(weight.len()).map(|row| {
        let sum: f64 = row.iter().map(|value| f64::from(value * value)).sum();
        let mean = (sum / row.len() as f64) as f32;
        let scale = 1.0 / (mean + EPSILON).sqrt();
        row.iter().zip(weight).map(move |(value, weight)| (value * scale) * weight)
    });
    rows.flatten().collect()
}

fn rope(x: &[f32], heads: usize) -> Vec<f32> {
    let mut out = x.to_vec();
    let theta_scale = ROPE_BASE.powf(-2.0 / HEAD_SIZE as f32);
    for (position, token) in out.chunks_mut(heads * HEAD_SIZE).enumerate() {
        for head in token.chunks_mut(HEAD_SIZE) {
            let mut theta = position as f32;
            for k in 0..HEAD_SIZE / 2 {
                let (sin, cos) = (theta.sin(), theta.cos());
                let (x0, x1) = (head[k], head[k + HEAD_SIZE / 2]);
                head[k] = x0 * cos - x1 * sin;
                head[k + HEAD_SIZE / 2] = x0 * sin + x1 * cos;
                theta *= theta_scale;
            }
        }
    }
    out
}

/// `ggml_v_expf` for x ≤ 0.
fn exp(x: f32) -> f32 {
    let c = f32::from_bits;
    let magic = 12_582_912.0_f32;
    let z = x.mul_add(c(0x3fb8_aa3b), magic); // 0x1.715476p+0
    let n = z - magic;
    let b = (-n).mul_add(c(0x35bf_be8e), (-n).mul_add(c(0x3f31_7200), x)); // 0x1.7f7d1cp-20, 0x1.62e4p-1
    let e = z.to_bits() << 23;
    let k = c(e.wrapping_add(0x3f80_0000));
    let u = b * b;
    let high = c(0x3c07_2010).mul_add(b, c(0x3d2b_9f17)); // 0x1.0e4020p-7, 0x1.573e2ep-5
    let low = c(0x3e2a_af33).mul_add(b, c(0x3eff_fedb)); // 0x1.555e66p-3, 0x1.fffdb6p-2
    let j = high.mul_add(u, low).mul_add(u, c(0x3f7f_fff6) * b); // 0x1.ffffecp-1
    if n.abs() <= 126.0 {
        return j.mul_add(k, k);
    }
    let g = if n <= 0.0 { 0x8200_0000_u32 } else { 0 };
    let s1 = c(g.wrapping_add(0x7f00_0000));
    let s2 = c(e.wrapping_sub(g));
    if n.abs() > 192.0 { s1 * s1 } else { s2.mul_add(j, s2) * s1 }
}

/// Rows of `cells` scores: [cell, position, head].
fn softmax(scores: &[f32], cells: usize, positions: usize) -> Vec<f32> {
    let scale = 1.0 / (HEAD_SIZE as f32).sqrt();
    let mut out = Vec::new();
    for (row_index, row) in scores.chunks(cells).enumerate() {
        let position = row_index % positions;
        let masked: Vec<f32> = row
            .iter()
            .enumerate()
            .map(|(cell, score)| {
                score * scale + if cell <= position { 0.0 } else { f32::NEG_INFINITY }
            })
            .collect();
        let max = masked.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let weights: Vec<f32> = masked.iter().map(|value| exp(value - max)).collect();
        let mut sum = 0.0_f64;
        for e in weights.chunks_exact(8) {
            let h: [f32; 4] = std::array::from_fn(|l| e[l + 4] + e[l]);
            sum += f64::from((h[0] + h[2]) + (h[1] + h[3]));
        }
        let inverse = (1.0 / sum) as f32;
        out.extend(weights.iter().map(|weight| weight * inverse));
    }
    out
}

#[test]
fn embedding_and_rms_norm() {
    if !is_our_avx2_build() {
        return;
    }
    let seen = Observed::new(
        Head::F16,
        &[provider::EMBEDDED, "attn_norm-0", provider::GATED, "ffn_sub_norm-0"],
    );
    let table = halves(&seen.weight("token_embd.weight").bytes);
    let rows: Vec<f32> = (0..seen.count)
        .flat_map(|i| table[i * 37 % 300 * EMBEDDING..][..EMBEDDING].to_vec())
        .collect();
    assert_bits(&rows, seen.values(provider::EMBEDDED, 0), "embedding");
    for (input, weight, output) in [
        (provider::EMBEDDED, "blk.0.attn_norm.weight", "attn_norm-0"),
        (provider::GATED, "blk.0.ffn_sub_norm.weight", "ffn_sub_norm-0"),
    ] {
        let weight = floats(&seen.weight(weight).bytes);
        assert_bits(&rms_norm(seen.values(input, 0), &weight), seen.values(output, 0), output);
    }
}

#[test]
fn ternary_products() {
    if !is_our_avx2_build() {
        return;
    }
    let seen = Observed::new(
        Head::F16,
        &["attn_norm-0", "Qcur-0", "Vcur-1", "attn_norm-1", "ffn_sub_norm-1", "ffn_down-1"],
    );
    for (input, weight, output) in [
        ("attn_norm-0", "blk.0.attn_q.weight", "Qcur-0"),
        ("attn_norm-1", "blk.1.attn_v.weight", "Vcur-1"),
        ("ffn_sub_norm-1", "blk.1.ffn_down.weight", "ffn_down-1"),
    ] {
        let twin = provider::product(seen.values(input, 0), seen.weight(weight));
        assert_bits(&twin, seen.values(output, 0), output);
    }
}

#[test]
fn rope_by_recurrence() {
    if !is_our_avx2_build() {
        return;
    }
    let seen = Observed::new(Head::F16, &["Qcur-0", "Kcur-1"]);
    for (name, heads) in [("Qcur-0", HEADS), ("Kcur-1", KV_HEADS)] {
        let rotated = seen.values(name, provider::ROTATED);
        assert_bits(&rope(seen.values(name, 0), heads), rotated, name);
    }
}

#[test]
fn attention() {
    if !is_our_avx2_build() {
        return;
    }
    let names = ["Qcur-0", "Kcur-0", "Vcur-0", "kq-0", provider::SOFTMAX, "kqv-0", "kqv_out-0"];
    let seen = Observed::new(Head::F16, &names);
    let cells = seen.count.next_multiple_of(provider::CELLS);
    let (q, k) =
        (seen.values("Qcur-0", provider::ROTATED), seen.values("Kcur-0", provider::ROTATED));
    let v = rounded_to_f16(seen.values("Vcur-0", 0));
    let (scores, weights) = (seen.values("kq-0", 0), seen.values(provider::SOFTMAX, 0));
    assert_eq!(scores.len(), cells * seen.count * HEADS);

    let mut twin_scores = vec![0.0; scores.len()];
    let mut values = vec![0.0; HEAD_SIZE * seen.count * HEADS];
    let mut merged = vec![0.0; EMBEDDING * seen.count];
    for head in 0..HEADS {
        let kv_head = head / (HEADS / KV_HEADS);
        for position in 0..seen.count {
            let row = (head * seen.count + position) * cells;
            let query = &q[position * EMBEDDING + head * HEAD_SIZE..][..HEAD_SIZE];
            for cell in 0..seen.count {
                let key = &k[cell * KV + kv_head * HEAD_SIZE..][..HEAD_SIZE];
                twin_scores[row + cell] = dot(key, query);
            }
            let weights = rounded_to_f16(&weights[row..row + cells]);
            for d in 0..HEAD_SIZE {
                let column: Vec<f32> = (0..cells)
                    .map(|cell| {
                        if cell < seen.count { v[cell * KV + kv_head * HEAD_SIZE + d] } else { 0.0 }
                    })
                    .collect();
                let value = dot(&column, &weights);
                values[(head * seen.count + position) * HEAD_SIZE + d] = value;
                merged[position * EMBEDDING + head * HEAD_SIZE + d] = value;
            }
        }
    }
    assert_bits(&twin_scores, scores, "kq with F32 keys");
    assert_bits(&softmax(scores, cells, seen.count), weights, "softmax");
    assert_bits(&values, seen.values("kqv-0", 0), "kqv with F16 values and weights");
    assert_bits(&merged, seen.values("kqv_out-0", 0), "merged heads");
}

#[test]
fn gate_and_residual() {
    if !is_our_avx2_build() {
        return;
    }
    let names = ["ffn_gate-0", "ffn_up-0", provider::GATED, "ffn_down-0", "ffn_inp-0", "l_out-0"];
    let seen = Observed::new(Head::F16, &names);
    let (gate, up) = (seen.values("ffn_gate-0", 0), seen.values("ffn_up-0", 0));
    assert_eq!(gate.len(), FEED_FORWARD * seen.count);
    let twin: Vec<f32> = gate
        .iter()
        .zip(up)
        .map(|(gate, up)| {
            let positive = if *gate > 0.0 { *gate } else { 0.0 };
            (positive * positive) * up
        })
        .collect();
    assert_bits(&twin, seen.values(provider::GATED, 0), "relu(gate)² × up");
    let (down, residual) = (seen.values("ffn_down-0", 0), seen.values("ffn_inp-0", 0));
    let twin: Vec<f32> =
        down.iter().zip(residual).map(|(down, residual)| down + residual).collect();
    assert_bits(&twin, seen.values("l_out-0", 0), "residual");
}

#[test]
fn head_in_f16() {
    if !is_our_avx2_build() {
        return;
    }
    let seen = Observed::new(Head::F16, &["result_norm", "result_output"]);
    let table = halves(&seen.weight("token_embd.weight").bytes);
    let mut twin = Vec::new();
    for row in seen.values("result_norm", 0).chunks(EMBEDDING) {
        let input = rounded_to_f16(row);
        twin.extend(table.chunks(EMBEDDING).map(|weights| dot(weights, &input)));
    }
    assert_eq!(twin.len(), VOCABULARY * seen.count);
    assert_bits(&twin, seen.values("result_output", 0), "logits");
}

/// The 256 six-bit values of a Q6_K block, before 32 is taken off.
fn q6_k_values(block: &[u8]) -> [i32; 256] {
    let (low, high) = (&block[..128], &block[128..192]);
    std::array::from_fn(|i| {
        let (half, quarter, l) = (i / 128, i % 128 / 32, i % 32);
        let low = low[half * 64 + quarter % 2 * 32 + l] >> (4 * (quarter / 2)) & 15;
        let high = high[half * 32 + l] >> (2 * quarter) & 3;
        i32::from(low | high << 4)
    })
}

#[test]
fn head_and_embedding_in_q6_k() {
    if !is_our_avx2_build() {
        return;
    }
    let seen = Observed::new(Head::Q6K, &[provider::EMBEDDED, "result_norm", "result_output"]);
    let table = &seen.weight("token_embd.weight").bytes;
    let scale_of = |block: &[u8]| f16::from_le_bytes([block[208], block[209]]).to_f32();
    let mut embedding = Vec::new();
    for i in 0..seen.count {
        let block = &table[i * 37 % 300 * 210..][..210];
        let values = q6_k_values(block);
        embedding.extend((0..256).map(|i| {
            scale_of(block) * f32::from(block[192 + i / 16] as i8) * (values[i] - 32) as f32
        }));
    }
    assert_bits(&embedding, seen.values(provider::EMBEDDED, 0), "embedding");

    let mut twin = Vec::new();
    for row in seen.values("result_norm", 0).chunks(EMBEDDING) {
        let mut largest = 0.0_f32;
        for value in row {
            if value.abs() > largest.abs() {
                largest = *value;
            }
        }
        let inverse = -127.0 / largest;
        let quantised: Vec<i32> =
            row.iter().map(|value| ((inverse * value).round_ties_even() as i32).min(127)).collect();
        let step = 1.0 / inverse;
        twin.extend(table.chunks(210).map(|block| {
            let values = q6_k_values(block);
            let mut lanes = [0_i32; 8];
            for i in 0..256 {
                let scaled = i32::from(block[192 + i / 16] as i8) * quantised[i];
                lanes[i % 32 / 4] += scaled * values[i];
                lanes[provider::q6_k_lane(i)] -= scaled * 32;
            }
            let d = step * scale_of(block);
            // One block a row, so the fused sum starts from 0.
            let acc: [f32; 8] = std::array::from_fn(|l| d.mul_add(lanes[l] as f32, 0.0));
            let t: [f32; 4] = std::array::from_fn(|l| acc[l + 4] + acc[l]);
            (t[0] + t[2]) + (t[1] + t[3])
        }));
    }
    assert_bits(&twin, seen.values("result_output", 0), "logits");
}
