//! The forward pass against one written here in f64 from the published description, sharing nothing
//! with the engine but the container's reader.
//!
//! The f64 pass makes only the roundings that the format or the reference prescribes: activations
//! to 8 bits for I2_S, to Q8_K for Q6_K, to f16 for F16 weights, and V and the softmax row to f16.
//! What is left between the two is f32 arithmetic.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use bitnet_engine::gguf::{GgufFile, TensorType};
use bitnet_engine::kernels::Kernels;
use bitnet_engine::model::LogitsOf;
use bitnet_engine::session::Session;
use bitnet_engine::synth::{SynthSpec, WeightType};
use half::f16;

use crate::recorder::Recorder;
use crate::synthetic::{self, TINY};

const EPSILON: f64 = 1e-5;
const ROPE_BASE: f64 = 500_000.0;
const HEADS: usize = 4;
const KV_HEADS: usize = 2;
const HEAD: usize = 64;

/// A matrix or a norm of the file, in f64.
struct Weights {
    tensor_type: TensorType,
    columns: usize,
    values: Vec<f64>,
}

fn half_to_f64(bytes: &[u8]) -> f64 {
    f16::from_le_bytes([bytes[0], bytes[1]]).to_f64()
}

fn float_to_f64(bytes: &[u8]) -> f64 {
    f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]).into()
}

/// 128 values in 32 bytes: byte j has the values j, 32 + j, 64 + j, 96 + j from its high bits down,
/// one more than they are; one scale behind all of them.
fn decode_i2_s(bytes: &[u8]) -> Vec<f64> {
    let (codes, tail) = bytes.split_at(bytes.len() - 32);
    let scale = float_to_f64(tail);
    let value = |i: usize| {
        let byte = codes[i / 128 * 32 + i % 32];
        f64::from(byte >> (6 - i % 128 / 32 * 2) & 3) - 1.0
    };
    (0..codes.len() * 4).map(|i| scale * value(i)).collect()
}

/// Blocks of 256 values in 210 bytes: 128 bytes of low nibbles, 64 of high bit pairs, 16 scales of
/// 8 bits, an f16 that multiplies them.
fn decode_q6_k(bytes: &[u8]) -> Vec<f64> {
    let mut values = Vec::new();
    for block in bytes.chunks_exact(210) {
        let (low, rest) = block.split_at(128);
        let (high, scales) = rest.split_at(64);
        let start = values.len();
        values.resize(start + 256, 0.0);
        for n in [0, 1] {
            for l in 0..32 {
                let (a, b, h) = (low[64 * n + l], low[64 * n + 32 + l], high[32 * n + l]);
                let codes = [a & 15, b & 15, a >> 4, b >> 4];
                for (g, code) in codes.into_iter().enumerate() {
                    let code = i32::from(code) + 16 * i32::from(h >> (2 * g) & 3) - 32;
                    let scale = f64::from(scales[8 * n + 2 * g + l / 16] as i8);
                    values[start + 128 * n + 32 * g + l] =
                        half_to_f64(&scales[16..]) * scale * f64::from(code);
                }
            }
        }
    }
    values
}

impl Weights {
    fn new(file: &GgufFile, name: &str) -> Self {
        let info = file.tensor(name).unwrap_or_else(|| panic!("no tensor {name}"));
        let bytes = file.data(info);
        let values = match info.tensor_type {
            TensorType::F32 => bytes.chunks_exact(4).map(float_to_f64).collect(),
            TensorType::F16 => bytes.chunks_exact(2).map(half_to_f64).collect(),
            TensorType::I2S => decode_i2_s(bytes),
            TensorType::Q6K => decode_q6_k(bytes),
            other => panic!("no decoder for {}", other.name()),
        };
        Self { tensor_type: info.tensor_type, columns: info.dims[0], values }
    }

    fn row(&self, index: usize) -> Vec<f64> {
        self.values[index * self.columns..][..self.columns].to_vec()
    }

    /// The product with `x`, rounded as the type prescribes.
    fn times(&self, x: &[f64]) -> Vec<f64> {
        let x: Vec<f64> = match self.tensor_type {
            TensorType::I2S => {
                let scale = 127.0 / x.iter().fold(1e-5, |m: f64, v| m.max(v.abs()));
                x.iter().map(|v| (v * scale).round_ties_even() / scale).collect()
            }
            TensorType::F16 => x.iter().map(|v| to_half(*v)).collect(),
            TensorType::Q6K => x.chunks_exact(256).flat_map(round_q8_k).collect(),
            _ => x.to_vec(),
        };
        let dot = |row: &[f64]| row.iter().zip(&x).map(|(w, x)| w * x).sum();
        self.values.chunks_exact(self.columns).map(dot).collect()
    }

    fn norm(&self, x: &[f64]) -> Vec<f64> {
        let mean = x.iter().map(|v| v * v).sum::<f64>() / x.len() as f64;
        let scale = 1.0 / (mean + EPSILON).sqrt();
        x.iter().zip(&self.values).map(|(v, w)| v * scale * w).collect()
    }
}

fn to_half(v: f64) -> f64 {
    f16::from_f64(v).to_f64()
}

/// 256 values with one scale, by which the value of largest magnitude becomes −127.
fn round_q8_k(x: &[f64]) -> Vec<f64> {
    let extreme = x.iter().fold(0.0, |m: f64, &v| if v.abs() > m.abs() { v } else { m });
    x.iter().map(|v| (v * -127.0 / extreme).round_ties_even() * extreme / -127.0).collect()
}

/// Turns pairs (i, i + half) of every head by the position's angles.
fn rotate(mut x: Vec<f64>, position: usize) -> Vec<f64> {
    for head in x.chunks_exact_mut(HEAD) {
        for i in 0..HEAD / 2 {
            let angle = position as f64 * ROPE_BASE.powf(-2.0 * i as f64 / HEAD as f64);
            let (a, b) = (head[i], head[i + HEAD / 2]);
            head[i] = a * angle.cos() - b * angle.sin();
            head[i + HEAD / 2] = a * angle.sin() + b * angle.cos();
        }
    }
    x
}

/// Attention of one position's queries to all keys and values so far.
fn attend(q: &[f64], keys: &[Vec<f64>], values: &[Vec<f64>]) -> Vec<f64> {
    let mut out = Vec::new();
    for (head, q) in q.chunks_exact(HEAD).enumerate() {
        let at = head / (HEADS / KV_HEADS) * HEAD;
        let dot = |k: &Vec<f64>| q.iter().zip(&k[at..]).map(|(a, b)| a * b).sum::<f64>();
        let powers = keys.iter().map(|k| (dot(k) / (HEAD as f64).sqrt()).exp());
        let powers: Vec<f64> = powers.collect();
        let sum: f64 = powers.iter().sum();
        let weights: Vec<f64> = powers.iter().map(|p| to_half(p / sum)).collect();
        let value = |i: usize| weights.iter().zip(values).map(|(w, v)| w * v[at + i]).sum::<f64>();
        out.extend((0..HEAD).map(value));
    }
    out
}

fn sum(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

/// Largest difference of two rows, in units of the largest value.
fn distance(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let largest = a.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
    a.iter().zip(b).fold(0.0, |m: f64, (a, b)| m.max((a - b).abs())) / largest
}

/// One f64 pass over a model.
struct Pass<'a> {
    file: &'a GgufFile,
    /// Relative size of a random error on every result.
    noise: f64,
    random: u64,
    /// The engine's tensors: each result is compared with its row, which then takes its place.
    guide: Option<&'a Recorder>,
    /// Distances from the guide, of all positions and layers, by tensor.
    distances: BTreeMap<String, Vec<f64>>,
}

impl<'a> Pass<'a> {
    fn new(file: &'a GgufFile) -> Self {
        Self { file, noise: 0.0, random: 1, guide: None, distances: BTreeMap::new() }
    }

    fn weights(&self, name: &str) -> Weights {
        Weights::new(self.file, &format!("{name}.weight"))
    }

    /// The result of an operation, as the rest of the pass sees it.
    fn meet(&mut self, name: &str, position: usize, mut own: Vec<f64>) -> Vec<f64> {
        for v in &mut own {
            self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *v *= 1.0 + self.noise * ((self.random >> 40) as f64 / f64::from(1 << 23) - 1.0);
        }
        let Some(guide) = self.guide else { return own };
        let shown = guide.tensors.iter().find(|t| t.name == name);
        let shown = shown.unwrap_or_else(|| panic!("the engine shows no {name}"));
        let row = &shown.values[position * shown.columns..][..shown.columns];
        let row: Vec<f64> = row.iter().copied().map(f64::from).collect();
        let kind = name.replace("-0", "").replace("-1", "");
        self.distances.entry(kind).or_default().push(distance(&own, &row));
        row
    }

    /// Logits of all positions.
    fn run(&mut self, ids: &[u32]) -> Vec<Vec<f64>> {
        let embedding = self.weights("token_embd");
        let mut stream: Vec<Vec<f64>> = (0..ids.len())
            .map(|position| self.meet("inp_embd", position, embedding.row(ids[position] as usize)))
            .collect();
        for layer in 0..2 {
            let of = |part: &str| self.weights(&format!("blk.{layer}.{part}"));
            let [wq, wk, wv, wo] = ["attn_q", "attn_k", "attn_v", "attn_output"].map(of);
            let [gate, up, down] = ["ffn_gate", "ffn_up", "ffn_down"].map(of);
            let norms = ["attn_norm", "attn_sub_norm", "ffn_norm", "ffn_sub_norm"].map(of);
            let (mut keys, mut values) = (Vec::new(), Vec::new());
            for (position, x) in stream.iter_mut().enumerate() {
                let mut at = |name: &str, own| {
                    let (name, again) = name.split_once('#').map_or((name, ""), |(n, _)| (n, "#1"));
                    self.meet(&format!("{name}-{layer}{again}"), position, own)
                };
                let h = at("attn_norm", norms[0].norm(x));
                let (q, k) = (at("Qcur", wq.times(&h)), at("Kcur", wk.times(&h)));
                let v = at("Vcur", wv.times(&h));
                let q = at("Qcur#1", rotate(q, position));
                keys.push(at("Kcur#1", rotate(k, position)));
                values.push(v.into_iter().map(to_half).collect());
                let h = at("kqv_out", attend(&q, &keys, &values));
                let h = at("attn_sub_norm", norms[1].norm(&h));
                let h = at("attn_o_out", wo.times(&h));
                *x = at("ffn_inp", sum(x, &h));
                let h = at("ffn_norm", norms[2].norm(x));
                let (gate, up) = (at("ffn_gate", gate.times(&h)), at("ffn_up", up.times(&h)));
                let gated = gate.iter().zip(&up).map(|(g, u)| g.max(0.0).powi(2) * u);
                let h = at("ffn_out", gated.collect());
                let h = at("ffn_sub_norm", norms[3].norm(&h));
                let h = at("ffn_down", down.times(&h));
                *x = at("l_out", sum(x, &h));
            }
        }
        let tied = self.file.tensor("output.weight").is_none();
        let norm = self.weights("output_norm");
        let head = if tied { embedding } else { self.weights("output") };
        let mut logits = Vec::new();
        for (position, x) in stream.iter().enumerate() {
            let h = self.meet("result_norm", position, norm.norm(x));
            logits.push(self.meet("result_output", position, head.times(&h)));
        }
        logits
    }
}

fn specs() -> Vec<SynthSpec> {
    use WeightType::{F16, F32, I2S, Q6K};
    let all =
        [(F32, F32, true), (F16, F16, true), (I2S, F16, true), (I2S, F32, true), (I2S, Q6K, false)];
    let spec = |(weights, embedding, tied)| {
        [1, 2, 3].map(|seed| SynthSpec { weights, embedding, tied, seed, ..TINY })
    };
    all.into_iter().flat_map(spec).collect()
}

/// The file of a spec, 24 ids, and what the engine shows for them.
fn engine(spec: &SynthSpec) -> (Arc<GgufFile>, Vec<u32>, Recorder) {
    let file = synthetic::open(&synthetic::bytes(spec));
    let model = synthetic::load(&file, Kernels::best());
    let ids: Vec<u32> = (0..24).map(|i| (i * 197 + 31) % 768).collect();
    let mut session = Session::new(&model, 64, NonZeroUsize::MIN).unwrap();
    let mut seen = Recorder::default();
    session.prefill_tapped(&ids, LogitsOf::All, Some(&mut seen)).unwrap();
    (file, ids, seen)
}

#[test]
fn every_operation_agrees_with_f64() {
    for spec in specs() {
        let (file, ids, seen) = engine(&spec);
        let mut pass = Pass { guide: Some(&seen), ..Pass::new(&file) };
        pass.run(&ids);
        assert_eq!(pass.distances.len(), 20, "every tensor that a tap is shown");
        for (name, mut distances) in pass.distances {
            distances.sort_by(f64::total_cmp);
            let (median, largest) =
                (distances[distances.len() / 2], distances[distances.len() - 1]);
            // Sums of up to 768 f32 products in 32 lanes lose about one bit: measured 6e-8 to 2e-7.
            let bound = match &*name {
                "inp_embd" => 0.0,
                // Angles are made by up to 31 products in f32: measured 1.0e-6 at position 23.
                "Qcur#1" | "Kcur#1" => 2e-6,
                // A softmax weight on the edge between two f16 moves by 2^-10 of itself, and values
                // may be larger than their weighted sum: measured 6.4e-4, but 1e-7 for most rows.
                "kqv_out" => 2e-3,
                _ => 4e-7,
            };
            let what = format!("{spec:?}: {name}");
            assert!(largest <= bound, "{what}: {largest:.1e} at most, {bound:.0e} allowed");
            assert!(median <= bound.min(1e-6), "{what}: {median:.1e} in the middle");
        }
    }
}

/// End to end the two passes may round a value to different sides. After that they are as far apart
/// as the format makes two computers that differ by one f32 rounding; how far that is, the f64 pass
/// says itself, run with random errors of that size.
#[test]
fn logits_agree_with_f64() {
    for spec in specs() {
        let (file, ids, seen) = engine(&spec);
        let truth = Pass::new(&file).run(&ids);
        let ours = &seen.tensors.last().expect("logits").values;
        let mut distances: Vec<f64> = ours
            .chunks_exact(768)
            .zip(&truth)
            .map(|(ours, truth)| {
                let ours: Vec<f64> = ours.iter().copied().map(f64::from).collect();
                distance(truth, &ours)
            })
            .collect();
        distances.sort_by(f64::total_cmp);
        let (median, largest) = (distances[12], distances[23]);
        let of_noise = (0..6).map(|random| {
            let noisy = Pass { noise: 2f64.powi(-23), random, ..Pass::new(&file) }.run(&ids);
            truth.iter().zip(&noisy).map(|(a, b)| distance(a, b)).fold(0.0, f64::max)
        });
        let of_noise = of_noise.fold(0.0, f64::max);
        let what =
            format!("{} layers, {} embedding, seed {}", spec.weights, spec.embedding, spec.seed);
        println!("{what}: median {median:.1e}, largest {largest:.1e}, noise {of_noise:.1e}");
        assert!(largest <= 2.0 * of_noise, "{what}: {largest:.1e}, noise gives {of_noise:.1e}");
        // F16 weights round every activation, so some row early on is on an edge: measured 6e-4.
        // F32 weights leave V and the softmax row: 8e-6. With I2_S most rows have no such value.
        let bound = match spec.weights {
            WeightType::F16 => 2e-3,
            WeightType::F32 => 1e-5,
            _ => 4e-7,
        };
        assert!(median <= bound, "{what}: {median:.1e} in the middle, {bound:.0e} allowed");
    }
}
