//! Writing a synthetic model: metadata in the official file's order, then seeded tensors.

use std::io::{self, Write};

use half::{bf16, f16};
use rayon::prelude::*;

use super::bpe_training::TrainingError;
use super::form::Form;
use super::random::{BELL_DEVIATION, Stream, TERNARY_DENSITY};
use super::spec::{Dimensions, Rope, SpecError, SynthSpec, WeightType};
use super::vocabulary::{sentence_pieces, vocabulary};
use crate::gguf::{GgufWriter, TensorType, WriteError};
use crate::quant::blocks::BlockType;
use crate::quant::{i2_s, q6_k};

/// Deviation of the logits. Of 4096 ids the likeliest then has a probability of about 1/4, which is
/// what trained models show on easy text.
const LOGIT_DEVIATION: f32 = 4.0;
/// Gain of the query and key projections: scores deviate by its square, so attention is selective.
const ATTENTION_GAIN: f64 = std::f64::consts::SQRT_2;
/// Gain of what each block adds to the residual stream. With a tied head, an embedding that weighs
/// much in the stream makes the model repeat its last token.
const RESIDUAL_GAIN: f64 = 2.0;
/// Deviation of biases: enough that a missing one shows.
const BIAS_DEVIATION: f32 = 0.25;
/// Rows made together, by all cores.
const ROWS_AT_ONCE: usize = 1024;

/// Says who speaks, ends each turn with `<|eot_id|>`, and opens the assistant's turn.
const CHAT_TEMPLATE: &str = "{% for message in messages %}\
{% if loop.first %}{{ bos_token }}{% endif %}\
{{ message['role'] | capitalize }}: {{ message['content'] | trim }}<|eot_id|>\
{% endfor %}\
{% if add_generation_prompt %}Assistant: {% endif %}";

/// Why a model was not written.
#[derive(Debug, thiserror::Error)]
pub enum SynthError {
    /// The spec names no model.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The vocabulary cannot be trained.
    #[error(transparent)]
    Vocabulary(#[from] TrainingError),
    /// The file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Writes the model of `spec` and returns its length in bytes. `progress` hears of each tensor:
/// (tensors written, tensors in all).
///
/// # Errors
/// If the spec names a type that cannot be used in its place, or `out` cannot be written.
pub fn write_model(
    spec: &SynthSpec,
    out: impl Write,
    progress: impl Fn(usize, usize) + Sync,
) -> Result<u64, SynthError> {
    let form = spec.check()?;
    let d = spec.preset.dimensions();
    let mut writer = GgufWriter::new();
    let vocab_size = metadata(spec, &d, &mut writer)?;
    let tensors = tensors(spec, form, &d, vocab_size);
    let (all, progress) = (tensors.len(), &progress);
    for (index, tensor) in tensors.into_iter().enumerate() {
        let (dims, tensor_type) = (tensor.dims(), tensor.tensor_type());
        writer.tensor(&tensor.name.clone(), tensor_type, &dims, move |out| {
            tensor.write(spec.seed, out)?;
            progress(index + 1, all);
            Ok(())
        })?;
    }
    Ok(writer.write(io::BufWriter::with_capacity(1 << 20, out))?)
}

/// The 24 keys of the official 2B-4T file, in its order, and among them those that only some presets
/// have. As there, `tokenizer.ggml.pre` is absent.
fn metadata(spec: &SynthSpec, d: &Dimensions, w: &mut GgufWriter<'_>) -> Result<usize, SynthError> {
    let vocabulary = match d.sentence_pieces {
        true => sentence_pieces(d.ordinary_tokens)?,
        false => vocabulary(d.ordinary_tokens)?,
    };
    let vocab_size = vocabulary.tokens.len();
    let key = |name: &str| format!("{}.{name}", spec.architecture);
    w.str("general.architecture", spec.architecture)?;
    w.str("general.name", "synthetic")?;
    w.u32(&key("vocab_size"), vocab_size as u32)?;
    w.u32(&key("context_length"), d.context as u32)?;
    w.u32(&key("embedding_length"), d.embedding as u32)?;
    w.u32(&key("block_count"), d.layers as u32)?;
    w.u32(&key("feed_forward_length"), d.feed_forward as u32)?;
    w.u32(&key("rope.dimension_count"), d.head as u32)?;
    w.u32(&key("attention.head_count"), d.heads as u32)?;
    w.u32(&key("attention.head_count_kv"), d.kv_heads as u32)?;
    w.bool("tokenizer.ggml.add_bos_token", true)?;
    w.f32(&key("attention.layer_norm_rms_epsilon"), 1e-5)?;
    w.f32(&key("rope.freq_base"), 500_000.0)?;
    if d.query() != d.embedding {
        w.u32(&key("attention.key_length"), d.head as u32)?;
        w.u32(&key("attention.value_length"), d.head as u32)?;
    }
    if let Rope::Linear | Rope::Yarn = d.rope {
        let name = if d.rope == Rope::Yarn { "yarn" } else { "linear" };
        w.str(&key("rope.scaling.type"), name)?;
        w.f32(&key("rope.scaling.factor"), 4.0)?;
        w.u32(&key("rope.scaling.original_context_length"), (d.context / 4) as u32)?;
    }
    w.u32("general.file_type", spec.weights.file_type())?;
    w.str("tokenizer.ggml.model", vocabulary.model)?;
    w.strings("tokenizer.ggml.tokens", &vocabulary.tokens)?;
    w.array("tokenizer.ggml.scores", &vocabulary.scores)?;
    w.array("tokenizer.ggml.token_type", &vocabulary.token_types)?;
    if let Some(merges) = &vocabulary.merges {
        w.strings("tokenizer.ggml.merges", merges)?;
    }
    w.u32("tokenizer.ggml.bos_token_id", vocabulary.bos)?;
    w.u32("tokenizer.ggml.eos_token_id", vocabulary.eos)?;
    w.u32("tokenizer.ggml.padding_token_id", vocabulary.eos)?;
    if let Some(unknown) = vocabulary.unknown {
        w.u32("tokenizer.ggml.unknown_token_id", unknown)?;
    }
    w.str("tokenizer.chat_template", CHAT_TEMPLATE)?;
    w.u32("general.quantization_version", 2)?;
    Ok(vocab_size)
}

/// One tensor to be made.
struct Tensor {
    name: String,
    rows: usize,
    columns: usize,
    kind: Kind,
}

enum Kind {
    /// Around 1, deviation 0.1, f32.
    Norm,
    /// Normal values of this deviation, f32.
    Bias(f32),
    /// What RoPE's frequencies are divided by, from 1 to 8, f32.
    Factors,
    /// Normal values of this deviation.
    Table(WeightType, f32),
    /// Ternary values; the product's deviation is this gain times the input's.
    Ternary(WeightType, f64),
    /// Ternary values whose factor is in a tensor of its own.
    PlainTernary(WeightType),
    /// That factor: the gain, and the matrix's columns.
    Scale(f64, usize),
}

fn tensors(spec: &SynthSpec, form: &Form, d: &Dimensions, vocab_size: usize) -> Vec<Tensor> {
    let (width, ff, query, key) = (d.embedding, d.feed_forward, d.query(), d.key());
    let vector = |name: String, columns, kind| Tensor { name, rows: 1, columns, kind };
    let norm = |name: String, columns| vector(name, columns, Kind::Norm);
    let table = |name: &str| {
        let kind = Kind::Table(spec.embedding, LOGIT_DEVIATION / (width as f32).sqrt());
        Tensor { name: name.into(), rows: vocab_size, columns: width, kind }
    };
    // I2_S has its factor behind the codes.
    let beside = form.scales && spec.weights != WeightType::I2S;
    let mut all = vec![table("token_embd.weight")];
    if d.rope == Rope::Factors {
        all.push(vector("rope_freqs.weight".into(), d.head / 2, Kind::Factors));
    }
    for i in 0..d.layers {
        let name = |part: &str| format!("blk.{i}.{part}.weight");
        let linear = |part: &str, rows, columns, gain| {
            let kind = match beside {
                true => Kind::PlainTernary(spec.weights),
                false => Kind::Ternary(spec.weights, gain),
            };
            let matrix = Tensor { name: name(part), rows, columns, kind };
            let scale = Kind::Scale(gain, columns);
            let scale = beside.then(|| vector(format!("blk.{i}.{part}.scale"), 1, scale));
            let biased =
                form.biased.contains(&part) || (d.biases && form.may_be_biased.contains(&part));
            let bias = Kind::Bias(BIAS_DEVIATION);
            let bias = biased.then(|| vector(format!("blk.{i}.{part}.bias"), rows, bias));
            [Some(matrix), scale, bias].into_iter().flatten()
        };
        let sub_norm = |part, columns| form.sub_norms.then(|| norm(name(part), columns));
        let head_norm = |part| form.head_norms.then(|| norm(name(part), d.head));
        all.push(norm(name("attn_norm"), width));
        all.extend(linear("ffn_down", width, ff, RESIDUAL_GAIN));
        all.extend(sub_norm("ffn_sub_norm", ff));
        all.extend(linear("ffn_gate", ff, width, 1.0));
        all.extend(linear("ffn_up", ff, width, 1.0));
        all.push(norm(name("ffn_norm"), width));
        all.extend(sub_norm("attn_sub_norm", query));
        all.extend(linear("attn_k", key, width, ATTENTION_GAIN));
        all.extend(head_norm("attn_k_norm"));
        all.extend(linear("attn_output", width, query, RESIDUAL_GAIN));
        all.extend(linear("attn_q", query, width, ATTENTION_GAIN));
        all.extend(head_norm("attn_q_norm"));
        all.extend(linear("attn_v", key, width, 1.0));
    }
    all.push(norm("output_norm.weight".into(), width));
    if !spec.tied {
        all.push(table("output.weight"));
    }
    all
}

impl Tensor {
    fn dims(&self) -> Vec<usize> {
        match self.kind {
            Kind::Norm | Kind::Bias(_) | Kind::Factors | Kind::Scale(..) => vec![self.columns],
            Kind::Table(..) | Kind::Ternary(..) | Kind::PlainTernary(_) => {
                vec![self.columns, self.rows]
            }
        }
    }

    fn tensor_type(&self) -> TensorType {
        match self.kind {
            Kind::Norm | Kind::Bias(_) | Kind::Factors | Kind::Scale(..) => TensorType::F32,
            Kind::Table(t, _) | Kind::Ternary(t, _) | Kind::PlainTernary(t) => t.tensor_type(),
        }
    }

    fn write(&self, seed: u64, out: &mut dyn Write) -> io::Result<()> {
        let scale = self.scale(seed);
        for first in (0..self.rows).step_by(ROWS_AT_ONCE) {
            let last = self.rows.min(first + ROWS_AT_ONCE);
            let rows: Vec<Vec<u8>> =
                (first..last).into_par_iter().map(|row| self.row(seed, row, scale)).collect();
            rows.iter().try_for_each(|row| out.write_all(row))?;
        }
        if let Kind::Ternary(WeightType::I2S, _) = self.kind {
            let mut tail = [0; i2_s::TAIL_BYTES];
            tail[..4].copy_from_slice(&scale.to_le_bytes());
            out.write_all(&tail)?;
        }
        Ok(())
    }

    /// Scale of a ternary matrix: within ±10 % of what gives the product the wanted deviation, and
    /// exact in f16, so that every type holds the same weights.
    fn scale(&self, seed: u64) -> f32 {
        let (gain, columns) = match self.kind {
            Kind::Ternary(_, gain) => (gain, self.columns),
            Kind::Scale(gain, columns) => (gain, columns),
            _ => return 1.0,
        };
        let spread =
            f64::from(Stream::new(seed, &self.name, self.rows).next() as u32) / 2f64.powi(32);
        let scale = gain * (0.9 + 0.2 * spread) / (TERNARY_DENSITY * columns as f64).sqrt();
        f16::from_f64(scale).to_f32()
    }

    fn row(&self, seed: u64, row: usize, scale: f32) -> Vec<u8> {
        let mut stream = Stream::new(seed, &self.name, row);
        let mut normal = |mean: f32, deviation: f32| -> Vec<f32> {
            let factor = deviation / BELL_DEVIATION;
            (0..self.columns).map(|_| mean + stream.bell() as f32 * factor).collect()
        };
        match self.kind {
            Kind::Norm => encode(&normal(1.0, 0.1), WeightType::F32),
            Kind::Table(t, deviation) => encode(&normal(0.0, deviation), t),
            Kind::Bias(deviation) => encode(&normal(0.0, deviation), WeightType::F32),
            Kind::Factors => {
                let step = 7.0 / (self.columns - 1) as f32;
                let factors: Vec<f32> = (0..self.columns).map(|k| 1.0 + step * k as f32).collect();
                encode(&factors, WeightType::F32)
            }
            Kind::Scale(..) => encode(&[scale], WeightType::F32),
            Kind::Ternary(t, _) | Kind::PlainTernary(t) => {
                let mut weights = vec![0; self.columns];
                stream.ternary(&mut weights);
                if t == WeightType::I2S {
                    return i2_s::pack(&weights);
                }
                let values: Vec<f32> = weights.iter().map(|w| f32::from(*w) * scale).collect();
                encode(&values, t)
            }
        }
    }
}

fn encode(values: &[f32], t: WeightType) -> Vec<u8> {
    match t {
        WeightType::F32 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        WeightType::F16 => values.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect(),
        WeightType::Bf16 => values.iter().flat_map(|v| bf16::from_f32(*v).to_le_bytes()).collect(),
        // Not the reference's search: the lock pins models that were made without it.
        WeightType::Q6K => {
            let mut out = vec![0; values.len() / q6_k::BLOCK * q6_k::BLOCK_BYTES];
            let blocks = out.chunks_exact_mut(q6_k::BLOCK_BYTES);
            for (block, values) in blocks.zip(values.chunks_exact(q6_k::BLOCK)) {
                q6_k::quantize_block(values, block);
            }
            out
        }
        WeightType::Q8_0 => blocks(BlockType::Q8_0, values),
        WeightType::Q4_0 => blocks(BlockType::Q4_0, values),
        WeightType::Q4K => blocks(BlockType::Q4K, values),
        WeightType::Q5K => blocks(BlockType::Q5K, values),
        WeightType::Tq1_0 => blocks(BlockType::Tq1_0, values),
        WeightType::Tq2_0 => blocks(BlockType::Tq2_0, values),
        WeightType::I2S => {
            unreachable!("packed from integers in a layer, refused by `SynthSpec::check` elsewhere")
        }
    }
}

fn blocks(block_type: BlockType, values: &[f32]) -> Vec<u8> {
    let mut out = vec![0; values.len() / block_type.block() * block_type.block_bytes()];
    block_type.quantize_row(values, &mut out);
    out
}
