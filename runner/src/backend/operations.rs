//! One operation of a model at a time, computed from given inputs by the engine's kernels and the weights of
//! the file: what a captured tensor is held against. It computes no model and judges nothing.

use std::sync::Arc;

use bitnet_engine::gguf::GgufFile;
use bitnet_engine::kernels::{Isa, Kernels};
use bitnet_engine::model::{Activation, Config, rotate_rows};
use bitnet_engine::quant::activation::quantize_int8;
use bitnet_engine::quant::i2_s::{self, FileLayout};
use half::f16;

use super::matrix::{MatrixEngine, MatrixType, OwnMatrices};
use super::{BackendError, OpenRequest};

mod rules;

pub use rules::{AttentionRule, Codes, GateRule, Grouping, Rounding};

/// Scores of attention come in groups of this.
const LANES: usize = 32;

/// The weights of a file, and the arithmetic of one operation.
pub struct Operations {
    file: Arc<GgufFile>,
    config: Config,
    layout: FileLayout,
    kernels: &'static Kernels,
}

/// A matrix of the file.
pub struct FileMatrix {
    /// Its tensor's name.
    pub name: String,
    /// Outputs.
    pub rows: usize,
    /// Inputs.
    pub columns: usize,
    /// The type, which decides the arithmetic.
    pub matrix_type: MatrixType,
    bytes: Vec<u8>,
}

impl Operations {
    /// The operations of the model that `request` names, as its file describes them.
    ///
    /// # Errors
    /// If the file is no model.
    pub fn open(request: &OpenRequest) -> Result<Self, BackendError> {
        let unloadable =
            |why| BackendError::Load { path: request.model.clone(), why: Box::new(why) };
        let file = GgufFile::open(&request.model).map_err(|error| unloadable(error.into()))?;
        let config = Config::from_file(&file).map_err(unloadable)?;
        let kernels = Kernels::for_isa(Isa::Scalar).unwrap_or_else(Kernels::best);
        Ok(Self { file: Arc::new(file), config, layout: request.i2s_layout, kernels })
    }

    /// Shape and constants, as the file has them.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Whether the file has a tensor of this name.
    pub fn has(&self, name: &str) -> bool {
        self.file.tensor(name).is_some()
    }

    /// The values of an F32 tensor, where the file has it.
    pub fn vector(&self, name: &str) -> Option<Vec<f32>> {
        let tensor = self.file.tensor(name)?;
        (tensor.tensor_type.name() == "F32")
            .then(|| bytemuck::pod_collect_to_vec(self.file.data(tensor)))
    }

    /// The matrix of this name.
    ///
    /// # Errors
    /// In words, where it is missing or of a type that is not computed here.
    pub fn matrix(&self, name: &str) -> Result<FileMatrix, String> {
        self.rows_of(name, None)
    }

    /// The rows of a table with these indices, as f32.
    ///
    /// # Errors
    /// As for [`Operations::matrix`], or where a row does not exist.
    pub fn table_rows(&self, name: &str, rows: &[u32]) -> Result<Vec<f32>, String> {
        let mut values = Vec::new();
        for row in rows {
            let matrix = self.rows_of(name, Some(*row as usize))?;
            values.extend(OwnMatrices.dequantize(
                matrix.matrix_type,
                matrix.columns,
                &matrix.bytes,
            ));
        }
        Ok(values)
    }

    fn rows_of(&self, name: &str, row: Option<usize>) -> Result<FileMatrix, String> {
        let tensor = self.file.tensor(name).ok_or_else(|| format!("the file has no {name}"))?;
        let [columns, rows] = *tensor.dims else { return Err(format!("{name} is no matrix")) };
        let type_name = tensor.tensor_type.name();
        let known = MatrixType::named(type_name)
            .filter(|known| !matches!(known, MatrixType::Lookup(_)))
            .ok_or_else(|| format!("{name} is of type {type_name}, not computed here"))?;
        let data = self.file.data(tensor);
        let bytes = match (known, self.layout, row) {
            (_, _, Some(row)) if row >= rows => {
                return Err(format!("{name} has {rows} rows, not one with index {row}"));
            }
            (MatrixType::I2S, _, Some(_)) => return Err(format!("{name} is no table of rows")),
            (_, _, Some(row)) => data[data.len() / rows * row..][..data.len() / rows].to_vec(),
            (MatrixType::I2S, FileLayout::Arm | FileLayout::FourRows, None) => {
                let (codes, tail) = data.split_at(data.len() - i2_s::TAIL_BYTES);
                let mut bytes = i2_s::to_x86(codes, columns, self.layout);
                bytes.extend_from_slice(tail);
                bytes
            }
            (_, _, None) => data.to_vec(),
        };
        let rows = if row.is_some() { 1 } else { rows };
        Ok(FileMatrix { name: name.to_owned(), rows, columns, matrix_type: known, bytes })
    }

    /// How many weights the file has.
    pub fn weights(&self) -> u64 {
        self.file.tensors().iter().map(|tensor| tensor.elements() as u64).sum()
    }

    /// The matrices of the file with this name's shape and type: what may stand in its place.
    pub fn twins(&self, name: &str) -> Vec<String> {
        let Some(own) = self.file.tensor(name) else { return Vec::new() };
        let tensors = self.file.tensors().iter();
        tensors
            .filter(|t| t.dims == own.dims && t.tensor_type == own.tensor_type && *t.name != *name)
            .map(|t| t.name.to_string())
            .collect()
    }

    /// Rows of `x` through an RMS norm: `x / √(mean x² + ε) · weight`.
    pub fn norm(&self, weight: &[f32], epsilon: f32, x: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; x.len()];
        for (x, out) in x.chunks_exact(weight.len()).zip(out.chunks_exact_mut(weight.len())) {
            (self.kernels.rms_norm)(x, weight, epsilon, out);
        }
        out
    }

    /// `out[token][row]` = matrix · x, with the activations rounded as its type prescribes, on the scalar
    /// kernels: what another instruction set gets wrong must show.
    ///
    /// # Errors
    /// In words, where the kernels cannot be had.
    pub fn product(&self, matrix: &FileMatrix, x: &[f32]) -> Result<Vec<f32>, String> {
        OwnMatrices
            .multiply(
                matrix.matrix_type,
                matrix.columns,
                &matrix.bytes,
                x,
                Some(Isa::Scalar.name()),
            )
            .map(|product| product.values)
            .map_err(|error| error.to_string())
    }

    /// Rows of heads turned by RoPE as `config` says, each at its own position.
    ///
    /// # Errors
    /// In words, where memory is refused.
    pub fn rope(
        &self,
        config: &Config,
        columns: usize,
        positions: &[usize],
        x: &[f32],
    ) -> Result<Vec<f32>, String> {
        let factors = config.graph.rope_factors.then(|| self.vector("rope_freqs.weight")).flatten();
        let mut out = x.to_vec();
        for (row, position) in out.chunks_exact_mut(columns).zip(positions) {
            rotate_rows(config, factors.as_deref(), *position, columns, row)
                .map_err(|error| error.to_string())?;
        }
        Ok(out)
    }

    /// Attention of the queries at `positions` (rows of `q`, all positions) over the keys and values of every
    /// position; keys stay f32 and values become f16, as in the caches of both engines.
    pub fn attention(
        &self,
        rule: AttentionRule,
        positions: &[usize],
        q: &[f32],
        k: &[f32],
        v: &[f32],
    ) -> Vec<f32> {
        let (config, length) = (&self.config, self.config.head_length);
        let (width, kv) = (config.query_length(), config.kv_length());
        let count = k.len() / kv;
        let read = |slot: usize| match rule.stale {
            Some((stale, instead)) if stale == slot => instead,
            _ => slot,
        };
        let mut out = Vec::with_capacity(positions.len() * width);
        for position in positions {
            let seen = position.saturating_add_signed(1 + rule.ahead).clamp(1, count);
            let padded = seen.next_multiple_of(LANES);
            for head in 0..config.head_count {
                let kv_head = match rule.grouping {
                    Grouping::Neighbours => head / (config.head_count / config.head_count_kv),
                    Grouping::Strided => head % config.head_count_kv,
                    Grouping::First => 0,
                };
                let query = &q[position * width + head * length..][..length];
                let row = |of: &[f32], slot: usize| {
                    of[read(slot) * kv + kv_head * length..][..length].to_vec()
                };
                let mut scores = vec![f32::NEG_INFINITY; padded];
                for (slot, score) in scores[..seen].iter_mut().enumerate() {
                    *score = (self.kernels.dot_f32)(&row(k, slot), query);
                }
                (self.kernels.softmax)(&mut scores, rule.scale);
                let values: Vec<Vec<f32>> = (0..seen).map(|slot| row(v, slot)).collect();
                let mut weights = vec![f16::ZERO; padded];
                (self.kernels.narrow_to_f16)(&scores, &mut weights);
                out.extend((0..length).map(|i| {
                    let mut column = vec![f16::ZERO; padded];
                    for (value, row) in column.iter_mut().zip(&values) {
                        *value = f16::from_f32(row[i]);
                    }
                    if rule.narrow {
                        return (self.kernels.dot_f16)(&column, &weights);
                    }
                    column.iter().zip(&scores).map(|(v, w)| v.to_f32() * w).sum()
                }));
            }
        }
        out
    }

    /// The gated product, row by row of `columns` values.
    pub fn gate(&self, rule: GateRule, columns: usize, gate: &[f32], up: &[f32]) -> Vec<f32> {
        let mut out = gate.to_vec();
        for (gate, up) in out.chunks_exact_mut(columns).zip(up.chunks_exact(columns)) {
            match rule {
                GateRule::Known(Activation::ReluSquared) => {
                    (self.kernels.relu_squared_gate)(gate, up);
                }
                GateRule::Known(Activation::Silu) => (self.kernels.silu_gate)(gate, up),
                GateRule::Relu => each(gate, up, |g| g.max(0.0)),
                GateRule::Gelu => each(gate, up, |g| {
                    let inner = (2.0 / std::f32::consts::PI).sqrt() * (g + 0.044_715 * g * g * g);
                    0.5 * g * (1.0 + inner.tanh())
                }),
                GateRule::Linear => each(gate, up, |g| g),
            }
        }
        out
    }

    /// The int8 codes of each row of `columns` values, by the rule of I2_S with this rounding.
    #[expect(clippy::disallowed_methods, reason = "one of the roundings is the wrong one")]
    pub fn codes(&self, rounding: Rounding, columns: usize, x: &[f32]) -> Vec<Codes> {
        x.chunks_exact(columns)
            .map(|x| {
                let mut codes = vec![0; columns];
                let scale = quantize_int8(x, &mut codes).scale;
                let other = |v: f32| match rounding {
                    Rounding::NearestEven => v.round_ties_even(),
                    Rounding::NearestAway => v.round(),
                    Rounding::Truncate => v.trunc(),
                    Rounding::Floor => v.floor(),
                };
                if rounding != Rounding::NearestEven {
                    for (code, v) in codes.iter_mut().zip(x) {
                        *code = other(v * scale).clamp(-128.0, 127.0) as i8;
                    }
                }
                Codes { codes, scale }
            })
            .collect()
    }

    /// `sums[token][row]` = Σ weight · code, exact, and the matrix's scale; nothing for other types than
    /// I2_S.
    pub fn ternary_sums(&self, matrix: &FileMatrix, rows: &[Codes]) -> Option<(Vec<i32>, f32)> {
        if matrix.matrix_type != MatrixType::I2S {
            return None;
        }
        let (codes, tail) = matrix.bytes.split_at(matrix.bytes.len() - i2_s::TAIL_BYTES);
        let scale = f32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]]);
        let mut weights = vec![0; matrix.columns];
        let mut sums = vec![0; rows.len() * matrix.rows];
        for (index, row) in codes.chunks_exact(matrix.columns / 4).enumerate() {
            i2_s::unpack_codes(row, &mut weights);
            for (token, x) in rows.iter().enumerate() {
                let products = weights.iter().zip(&x.codes);
                sums[token * matrix.rows + index] =
                    products.map(|(w, c)| (i32::from(*w) - 1) * i32::from(*c)).sum();
            }
        }
        Some((sums, scale))
    }
}

fn each(gate: &mut [f32], up: &[f32], function: impl Fn(f32) -> f32) {
    for (gate, up) in gate.iter_mut().zip(up) {
        *gate = function(*gate) * up;
    }
}
