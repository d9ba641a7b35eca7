//! The tiny model with its matrices in another I2_S packing, straight from the layouts' definitions. No
//! checks.

use bitnet_engine::gguf::{Directory, TensorType};
use bitnet_engine::quant::i2_s::{self, FileLayout};

use crate::edited::{Edit, edited, tensor};
use crate::synthetic::{self, TINY};

/// The codes of a matrix packed otherwise, straight from the layouts' definitions.
fn packed(codes: &[u8], columns: usize, layout: FileLayout) -> Vec<u8> {
    let code =
        |row: usize, column: usize| i2_s::code(&codes[row * columns / 4..][..columns / 4], column);
    let byte = |i: usize| match layout {
        FileLayout::X86 => codes[i],
        FileLayout::Arm => {
            let (row, block, j) = (i * 4 / columns, i % (columns / 4) / 16, i % 16);
            (0..4).fold(0, |byte, s| byte | code(row, 64 * block + 16 * s + j) << (6 - 2 * s))
        }
        FileLayout::FourRows => {
            let (first, column) = (i / columns * 4, i % columns);
            (0..4).fold(0, |byte, r| byte | code(first + r, column) << (6 - 2 * r))
        }
    };
    (0..codes.len()).map(byte).collect()
}

/// The tiny model with its matrices in `layout`. `trace` lets every norm follow the zeros of a matrix
/// behind it, as far as a tenth of its weight.
pub fn file(layout: FileLayout, trace: bool) -> Vec<u8> {
    let base = synthetic::bytes(&TINY);
    let directory = Directory::parse(&base).unwrap();
    let mut edits: Vec<Edit> = Vec::new();
    for info in directory.tensors().iter().filter(|t| t.tensor_type == TensorType::I2S) {
        let (columns, data) = (info.dims[0], &base[info.range()]);
        let (codes, tail) = data.split_at(data.len() - i2_s::TAIL_BYTES);
        let bytes = [&packed(codes, columns, layout), tail].concat();
        edits.push(tensor(&info.name, TensorType::I2S, &info.dims, bytes));
        let norm = [
            ("attn_q", "attn_norm"),
            ("attn_output", "attn_sub_norm"),
            ("ffn_gate", "ffn_norm"),
            ("ffn_down", "ffn_sub_norm"),
        ];
        let norm = norm.iter().find(|(matrix, _)| info.name.ends_with(&format!("{matrix}.weight")));
        if let (Some((matrix, norm)), true) = (norm, trace) {
            let rows = codes.chunks_exact(columns / 4);
            let zeros = |c: usize| rows.clone().filter(|row| i2_s::code(row, c) == 1).count();
            let share = |c: usize| zeros(c) as f32 / info.dims[1] as f32;
            let weights = (0..columns).flat_map(|c| (1.0 + 0.3 * share(c)).to_le_bytes());
            let name = info.name.replace(matrix, norm);
            edits.push(tensor(&name, TensorType::F32, &[columns], weights.collect()));
        }
    }
    edited(&base, &edits)
}
