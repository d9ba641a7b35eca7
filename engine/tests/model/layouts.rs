//! I2_S files in other packings: read as stated they are the same model, and a wrong statement is
//! found where the weights show it.

use std::num::NonZeroUsize;
use std::sync::Arc;

use bitnet_engine::gguf::{Directory, TensorType};
use bitnet_engine::kernels::{Isa, Kernels};
use bitnet_engine::model::{Config, LoadOptions, LogitsOf, Model, ModelError};
use bitnet_engine::quant::i2_s::{self, FileLayout, Layout};
use bitnet_engine::session::Session;

use crate::edited::{Edit, edited, tensor};
use crate::synthetic::{self, TINY};

/// The codes of a matrix packed otherwise, straight from the layouts' definitions.
fn packed(codes: &[u8], columns: usize, layout: FileLayout) -> Vec<u8> {
    let code = |row: usize, column: usize| {
        i2_s::code(&codes[row * columns / 4..][..columns / 4], column, Layout::Blocks128)
    };
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
fn file(layout: FileLayout, trace: bool) -> Vec<u8> {
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
            let zeros = |c: usize| {
                rows.clone().filter(|row| i2_s::code(row, c, Layout::Blocks128) == 1).count()
            };
            let share = |c: usize| zeros(c) as f32 / info.dims[1] as f32;
            let weights = (0..columns).flat_map(|c| (1.0 + 0.3 * share(c)).to_le_bytes());
            let name = info.name.replace(matrix, norm);
            edits.push(tensor(&name, TensorType::F32, &[columns], weights.collect()));
        }
    }
    edited(&base, &edits)
}

fn load(bytes: &[u8], i2_s: FileLayout, isa: Isa) -> Result<Arc<Model>, ModelError> {
    let file = synthetic::open(bytes);
    let config = Config::from_file(&file).expect("good hyper-parameters");
    let kernels = Kernels::for_isa(isa).expect("asked for what is there");
    Model::load_with(&file, config, kernels, LoadOptions { i2_s }).map(Arc::new)
}

fn logits(model: &Arc<Model>) -> Vec<u32> {
    let ids: Vec<u32> = (0..12).map(|i| (i * 197 + 31) % 768).collect();
    let mut session = Session::new(model, 12, NonZeroUsize::MIN).unwrap();
    let logits = session.prefill(&ids, LogitsOf::All).unwrap();
    logits.iter().map(|l| l.to_bits()).collect()
}

#[test]
fn the_layout_of_a_file_changes_no_bit_when_it_is_stated() {
    let truth = logits(&load(&file(FileLayout::X86, false), FileLayout::X86, Isa::Scalar).unwrap());
    for (name, layout) in FileLayout::NAMES {
        let bytes = file(layout, false);
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            let found = logits(&load(&bytes, layout, isa).unwrap());
            assert!(found == truth, "{name}, {isa}");
        }
    }
}

#[test]
fn a_wrong_layout_is_found_where_norms_and_zeros_go_together() {
    for (made, layout) in FileLayout::NAMES {
        let bytes = file(layout, true);
        for (said, stated) in FileLayout::NAMES {
            let found = load(&bytes, stated, Isa::best());
            if stated == layout {
                assert!(found.is_ok(), "{made} read as {said}");
                continue;
            }
            let error = found.err().unwrap_or_else(|| panic!("{made} read as {said}")).to_string();
            let start = format!(
                "the file was to be read in the I2_S layout {said}, but its matrices fit their norms \
                 in the layout {made}, by "
            );
            let end = format!(" deviations of chance; state the I2_S layout {made} for this file");
            assert!(error.starts_with(&start) && error.ends_with(&end), "{error}");
        }
    }
}

/// Random weights bear no trace of their layout: nothing is refused, and what is computed is wrong.
/// Whoever makes such a file has to say how.
#[test]
fn a_wrong_layout_of_random_weights_cannot_be_found() {
    let bytes = file(FileLayout::Arm, false);
    let right = logits(&load(&bytes, FileLayout::Arm, Isa::best()).unwrap());
    let wrong = logits(&load(&bytes, FileLayout::X86, Isa::best()).unwrap());
    assert!(right != wrong, "the layout makes a difference");
}
