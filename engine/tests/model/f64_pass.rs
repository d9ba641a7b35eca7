//! A forward pass in f64, written from the published descriptions and sharing nothing with the engine
//! but the container's reader. It decides nothing; `oracle` compares.
//!
//! It makes only the roundings that the format or the reference prescribes: activations to 8 bits for
//! I2_S, to Q8_K for Q6_K, to f16 for F16 weights, V and the softmax row to f16, and queries and keys to
//! Q8_0 where the cache has such keys.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use bitnet_engine::gguf::{GgufFile, TensorType};
use half::f16;

use crate::recorder::Recorder;

const EPSILON: f64 = 1e-5;
const ROPE_BASE: f64 = 500_000.0;
const HEADS: usize = 4;
const KV_HEADS: usize = 2;

/// What is stretched to four times the context of 128 positions, as the presets do it.
const STRETCH: f64 = 4.0;
const TRAINED: f64 = 128.0;

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

/// Blocks of 32 values with one scale, by which the largest magnitude becomes ±127. The codes are made in f32:
/// that is how the type is defined, and in f64 some value on an edge would go the other way.
fn round_q8_0(x: &[f64]) -> Vec<f64> {
    let block = |x: &[f64]| {
        let largest = x.iter().fold(0f64, |m, v| m.max(v.abs())) as f32;
        let scale = f16::from_f32(largest / 127.0).to_f64();
        let code = |v: &f64| f64::from((*v as f32 * (127.0 / largest)).round_ties_even());
        x.iter().map(|v| code(v) * scale).collect::<Vec<f64>>()
    };
    x.chunks_exact(32).flat_map(block).collect()
}

/// The angle of pair `i` of heads of `head` values.
fn angle(file: &GgufFile, architecture: &str, position: usize, i: usize, head: usize) -> f64 {
    let factor = match file.tensor("rope_freqs.weight") {
        Some(_) => Weights::new(file, "rope_freqs.weight").values[i],
        None => 1.0,
    };
    let angle = position as f64 * ROPE_BASE.powf(-2.0 * i as f64 / head as f64) / factor;
    let scaling = file.metadata().str(&format!("{architecture}.rope.scaling.type"));
    match scaling.ok() {
        None => angle,
        Some("linear") => angle / STRETCH,
        Some(_) => {
            // Pairs that turn more than 32 times in the trained context stay, those that turn less
            // than once are stretched, and in between it goes by the pair's number.
            let pair = |turns: f64| {
                head as f64 * (TRAINED / turns / std::f64::consts::TAU).ln() / 2.0 / ROPE_BASE.ln()
            };
            let (low, high) = (pair(32.0).floor().max(0.0), pair(1.0).ceil());
            let stretched = ((i as f64 - low) / (high - low)).clamp(0.0, 1.0);
            angle / STRETCH * stretched + angle * (1.0 - stretched)
        }
    }
}

/// Attention of one position's queries to all keys and values so far.
fn attend(q: &[f64], keys: &[Vec<f64>], values: &[Vec<f64>]) -> Vec<f64> {
    let mut out = Vec::new();
    let length = q.len() / HEADS;
    for (head, q) in q.chunks_exact(length).enumerate() {
        let at = head / (HEADS / KV_HEADS) * length;
        let dot = |k: &Vec<f64>| q.iter().zip(&k[at..]).map(|(a, b)| a * b).sum::<f64>();
        let powers = keys.iter().map(|k| (dot(k) / (length as f64).sqrt()).exp());
        let powers: Vec<f64> = powers.collect();
        let sum: f64 = powers.iter().sum();
        let weights: Vec<f64> = powers.iter().map(|p| to_half(p / sum)).collect();
        let value = |i: usize| weights.iter().zip(values).map(|(w, v)| w * v[at + i]).sum::<f64>();
        out.extend((0..length).map(value));
    }
    out
}

fn sum(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

/// Largest difference of two rows, in units of the largest value.
pub fn distance(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let largest = a.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
    a.iter().zip(b).fold(0.0, |m: f64, (a, b)| m.max((a - b).abs())) / largest
}

/// One position in one layer.
#[derive(Clone, Copy)]
struct Place {
    layer: usize,
    position: usize,
}

impl Place {
    fn part(self, name: &str) -> String {
        format!("blk.{}.{name}", self.layer)
    }
}

/// One f64 pass over a model.
pub struct Pass<'a> {
    file: &'a GgufFile,
    architecture: &'a str,
    /// What was decoded already.
    decoded: RefCell<BTreeMap<String, Rc<Weights>>>,
    /// Whether queries and keys meet as blocks of Q8_0.
    keys_in_q8_0: bool,
    /// Relative size of a random error on every result.
    noise: f64,
    random: u64,
    /// The engine's tensors: each result is compared with its row, which then takes its place.
    guide: Option<&'a Recorder>,
    /// Distances from the guide, of all positions and layers, by tensor.
    pub distances: BTreeMap<String, Vec<f64>>,
}

impl<'a> Pass<'a> {
    pub fn new(file: &'a GgufFile) -> Self {
        let architecture = file.metadata().str("general.architecture").unwrap();
        let (decoded, distances) = (RefCell::default(), BTreeMap::new());
        Self {
            file,
            architecture,
            decoded,
            keys_in_q8_0: false,
            noise: 0.0,
            random: 1,
            guide: None,
            distances,
        }
    }

    /// The same with a cache of such keys.
    pub fn with_keys_in_q8_0(self) -> Self {
        Self { keys_in_q8_0: true, ..self }
    }

    /// One that looks at what the engine showed.
    pub fn guided(file: &'a GgufFile, guide: &'a Recorder) -> Self {
        Self { guide: Some(guide), ..Self::new(file) }
    }

    /// One whose every result has a random error of up to `noise` times itself.
    pub fn noisy(file: &'a GgufFile, noise: f64, random: u64) -> Self {
        Self { noise, random, ..Self::new(file) }
    }

    /// A tensor that some files have.
    fn optional(&self, name: &str) -> Option<Rc<Weights>> {
        self.file.tensor(name)?;
        let mut decoded = self.decoded.borrow_mut();
        let weights = decoded.entry(name.to_owned());
        Some(Rc::clone(weights.or_insert_with(|| Rc::new(Weights::new(self.file, name)))))
    }

    fn weights(&self, name: &str) -> Rc<Weights> {
        let name = format!("{name}.weight");
        self.optional(&name).unwrap_or_else(|| panic!("no tensor {name}"))
    }

    /// Whether the architecture is one of the BitNets.
    fn is_bitnet(&self) -> bool {
        self.architecture.starts_with("bitnet")
    }

    /// The product of the layer's matrix `part`, with its factor, without its bias.
    fn product(&self, part: &str, x: &[f64]) -> Vec<f64> {
        let scale = self.optional(&format!("{part}.scale")).map_or(1.0, |scale| scale.values[0]);
        self.weights(part).times(x).into_iter().map(|v| v * scale).collect()
    }

    fn biased(&self, part: &str, x: Vec<f64>) -> Vec<f64> {
        match self.optional(&format!("{part}.bias")) {
            Some(bias) => sum(&x, &bias.values),
            None => x,
        }
    }

    /// Norms each head with the weights `part`, where the file has them.
    fn norm_heads(&self, part: &str, x: &[f64]) -> Option<Vec<f64>> {
        let weights = self.optional(&format!("{part}.weight"))?;
        Some(x.chunks_exact(weights.columns).flat_map(|head| weights.norm(head)).collect())
    }

    /// Turns the pairs of every head by the position's angles: (i, i + half), or of Llama neighbours.
    fn rotate(&self, mut x: Vec<f64>, heads: usize, position: usize) -> Vec<f64> {
        let length = x.len() / heads;
        // YaRN's correction of the scores.
        let yarn = self.file.metadata().str(&format!("{}.rope.scaling.type", self.architecture));
        let size = if yarn.is_ok_and(|t| t == "yarn") { 1.0 + 0.1 * STRETCH.ln() } else { 1.0 };
        for head in x.chunks_exact_mut(length) {
            for i in 0..length / 2 {
                let turn = angle(self.file, self.architecture, position, i, length);
                let (cos, sin) = (size * turn.cos(), size * turn.sin());
                let (one, other) = match self.architecture {
                    "llama" => (2 * i, 2 * i + 1),
                    _ => (i, i + length / 2),
                };
                let (a, b) = (head[one], head[other]);
                head[one] = a * cos - b * sin;
                head[other] = a * sin + b * cos;
            }
        }
        x
    }

    fn gate(&self, gate: f64) -> f64 {
        match self.architecture {
            "bitnet-b1.58" | "bitnet-25" => gate.max(0.0).powi(2),
            _ => gate / (1.0 + (-gate).exp()),
        }
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

    fn meet_at(&mut self, at: Place, name: &str, occurrence: usize, own: Vec<f64>) -> Vec<f64> {
        let again = if occurrence == 0 { String::new() } else { format!("#{occurrence}") };
        self.meet(&format!("{name}-{}{again}", at.layer), at.position, own)
    }

    fn normed(&mut self, at: Place, name: &str, x: &[f64]) -> Vec<f64> {
        let own = self.weights(&at.part(name)).norm(x);
        self.meet_at(at, name, 0, own)
    }

    /// A matrix with all that belongs to it; `name` is what the engine calls the result.
    fn linear(&mut self, at: Place, name: &str, matrix: &str, x: &[f64]) -> Vec<f64> {
        let part = at.part(matrix);
        let own = self.biased(&part, self.product(&part, x));
        self.meet_at(at, name, 0, own)
    }

    /// Queries, keys or values: with heads, they are normed where the file says so, and turned.
    fn project(
        &mut self,
        at: Place,
        name: &str,
        matrix: &str,
        heads: usize,
        x: &[f64],
    ) -> Vec<f64> {
        let part = at.part(matrix);
        let own = self.product(&part, x);
        let mut row = self.meet_at(at, name, 0, own);
        let mut occurrence = 1;
        if self.file.tensor(&format!("{part}.bias")).is_some() {
            let own = self.biased(&part, row);
            row = self.meet_at(at, name, occurrence, own);
            occurrence += 1;
        }
        if heads == 0 {
            return row;
        }
        if let Some(own) = self.norm_heads(&format!("{part}_norm"), &row) {
            row = self.meet_at(at, &format!("{name}_normed"), 0, own);
        }
        let own = self.rotate(row, heads, at.position);
        self.meet_at(at, name, occurrence, own)
    }

    /// A query or key as it meets the other.
    fn met(&self, x: Vec<f64>) -> Vec<f64> {
        if self.keys_in_q8_0 { round_q8_0(&x) } else { x }
    }

    /// Logits of all positions.
    pub fn run(&mut self, ids: &[u32]) -> Vec<Vec<f64>> {
        let embedding = self.weights("token_embd");
        let mut stream: Vec<Vec<f64>> = (0..ids.len())
            .map(|position| self.meet("inp_embd", position, embedding.row(ids[position] as usize)))
            .collect();
        let names: [&str; 4] = match self.architecture {
            "bitnet-b1.58" | "bitnet-25" => ["kqv_out", "attn_o_out", "ffn_out", "ffn_down"],
            "bitnet" => ["kqv_out", "attn_o_out", "ffn_sub_out", "ffn_down"],
            _ => ["kqv_merged_cont", "kqv_out", "ffn_gate_par", "ffn_out"],
        };
        for layer in 0..2 {
            let (mut keys, mut values) = (Vec::new(), Vec::new());
            for (position, x) in stream.iter_mut().enumerate() {
                let at = Place { layer, position };
                let h = self.normed(at, "attn_norm", x);
                let q = self.project(at, "Qcur", "attn_q", HEADS, &h);
                let q = self.met(q);
                let k = self.project(at, "Kcur", "attn_k", KV_HEADS, &h);
                keys.push(self.met(k));
                let v = self.project(at, "Vcur", "attn_v", 0, &h);
                values.push(v.into_iter().map(to_half).collect());
                let mut h = self.meet_at(at, names[0], 0, attend(&q, &keys, &values));
                if self.is_bitnet() {
                    h = self.normed(at, "attn_sub_norm", &h);
                }
                let h = self.linear(at, names[1], "attn_output", &h);
                *x = self.meet_at(at, "ffn_inp", 0, sum(x, &h));
                let h = self.normed(at, "ffn_norm", x);
                let gate = self.linear(at, "ffn_gate", "ffn_gate", &h);
                let up = self.linear(at, "ffn_up", "ffn_up", &h);
                let gated = gate.iter().zip(&up).map(|(g, u)| self.gate(*g) * u).collect();
                let mut h = self.meet_at(at, names[2], 0, gated);
                if self.is_bitnet() {
                    h = self.normed(at, "ffn_sub_norm", &h);
                }
                let h = self.linear(at, names[3], "ffn_down", &h);
                *x = self.meet_at(at, "l_out", 0, sum(x, &h));
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
