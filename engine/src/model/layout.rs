//! Whether a file's I2_S matrices are packed as the caller says: a statistical check, because the
//! file does not say. It finds a wrong statement where the weights show one, and decides nothing else.
//!
//! A wrong layout shuffles the columns of every matrix within blocks of 128, while the norm in front
//! keeps its order. If a matrix has more zeros where its norm scales inputs down (or up: training
//! settles the sign), the two go together under the right layout and under no other. Random weights
//! have no such trace, and then any statement is believed.

use rayon::prelude::*;

use super::error::ModelError;
use crate::gguf::{GgufFile, TensorType};
use crate::quant::i2_s::{self, FileLayout};

/// Each matrix of a layer and the norm whose output it multiplies.
const PAIRS: [(&str, &str); 7] = [
    ("attn_q", "attn_norm"),
    ("attn_k", "attn_norm"),
    ("attn_v", "attn_norm"),
    ("attn_output", "attn_sub_norm"),
    ("ffn_gate", "ffn_norm"),
    ("ffn_up", "ffn_norm"),
    ("ffn_down", "ffn_sub_norm"),
];
/// Layers that are looked at, evenly spread; rows of each matrix.
const LAYERS: usize = 8;
const ROWS: usize = 128;
/// How much better another layout must fit, in deviations of what chance makes of the difference.
const DEVIATIONS: f64 = 8.0;

/// Refuses `stated` where another layout fits the norms of the first `blocks` layers far better.
///
/// # Errors
/// [`ModelError::I2sLayout`].
pub(super) fn check(file: &GgufFile, blocks: usize, stated: FileLayout) -> Result<(), ModelError> {
    let step = blocks.div_ceil(LAYERS).max(1);
    let names = (0..blocks).step_by(step).flat_map(|block| {
        PAIRS.map(|(matrix, norm)| {
            (format!("blk.{block}.{matrix}.weight"), format!("blk.{block}.{norm}.weight"))
        })
    });
    let pairs: Vec<(&[u8], usize, Vec<f32>)> =
        names.filter_map(|(matrix, norm)| pair(file, &matrix, &norm)).collect();
    let fit = |layout: FileLayout| -> f64 {
        pairs.par_iter().map(|(codes, columns, norm)| fit(codes, *columns, norm, layout)).sum()
    };
    let others = FileLayout::NAMES.map(|(_, layout)| layout).into_iter();
    let others = others.filter(|layout| *layout != stated).map(|layout| (layout, fit(layout)));
    let Some((likelier, better)) = others.max_by(|a, b| a.1.total_cmp(&b.1)) else {
        return Ok(());
    };
    // Without any relation, a fit is distributed as χ² with one degree of freedom a matrix: variance 2
    // each, 4 for the difference of two.
    let chance = (4.0 * pairs.len() as f64).sqrt();
    let found = fit(stated);
    if better - found <= DEVIATIONS * chance {
        return Ok(());
    }
    Err(ModelError::I2sLayout { stated, likelier, deviations: (better - found) / chance })
}

/// Codes of the first rows, columns and norm of an I2_S matrix that has one.
fn pair<'a>(file: &'a GgufFile, matrix: &str, norm: &str) -> Option<(&'a [u8], usize, Vec<f32>)> {
    let (matrix, norm) = (file.tensor(matrix)?, file.tensor(norm)?);
    let [columns, rows] = *matrix.dims else { return None };
    let fits = matrix.tensor_type == TensorType::I2S
        && columns.is_multiple_of(i2_s::BLOCK)
        && rows.is_multiple_of(4)
        && norm.tensor_type == TensorType::F32
        && *norm.dims == [columns];
    let bytes = file.data(norm).chunks_exact(4);
    let norm = bytes.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]).abs());
    fits.then(|| (&file.data(matrix)[..rows.min(ROWS) * columns / 4], columns, norm.collect()))
}

/// Columns times the squared correlation of a column's zeros with its norm's weight.
fn fit(codes: &[u8], columns: usize, norm: &[f32], layout: FileLayout) -> f64 {
    let codes = i2_s::to_x86(codes, columns, layout);
    let (mut zeros, mut row_codes) = (vec![0u32; columns], vec![0; columns]);
    for row in codes.chunks_exact(columns / 4) {
        i2_s::unpack_codes(row, &mut row_codes);
        for (zeros, code) in zeros.iter_mut().zip(&row_codes) {
            *zeros += u32::from(*code == 1);
        }
    }
    let n = columns as f64;
    let pairs = || zeros.iter().zip(norm).map(|(z, w)| (f64::from(*z), f64::from(*w)));
    let (mean_z, mean_w) = pairs().fold((0.0, 0.0), |(z, w), p| (z + p.0 / n, w + p.1 / n));
    let (mut zz, mut ww, mut zw) = (0.0, 0.0, 0.0);
    for (z, w) in pairs() {
        zz += (z - mean_z).powi(2);
        ww += (w - mean_w).powi(2);
        zw += (z - mean_z) * (w - mean_w);
    }
    // Constant norms or zeros show nothing, and a NaN in a norm no more.
    let squared = zw * zw / (zz * ww);
    if squared.is_finite() { n * squared } else { 0.0 }
}
