//! Copies of a model with one part damaged: what the subject opens in place of the file.

use std::ops::Range;
use std::path::Path;

use bitnet_engine::gguf::GgufFile;
use bitnet_engine::quant::i2_s::TAIL_BYTES;
use tempfile::NamedTempFile;

/// A file being damaged.
pub struct Copy {
    file: GgufFile,
    bytes: Vec<u8>,
}

impl Copy {
    /// The bytes of a tensor.
    fn range(&self, name: &str) -> Range<usize> {
        self.file.tensor(name).unwrap_or_else(|| panic!("no {name}")).range()
    }

    fn part(&mut self, name: &str) -> &mut [u8] {
        let range = self.range(name);
        &mut self.bytes[range]
    }

    /// The codes of an I2_S matrix.
    fn codes(&mut self, name: &str) -> &mut [u8] {
        let part = self.part(name);
        let length = part.len() - TAIL_BYTES;
        &mut part[..length]
    }

    /// The codes of one row, by the matrix's number of columns.
    fn row(&mut self, name: &str, columns: usize, row: usize) -> &mut [u8] {
        &mut self.codes(name)[row * columns / 4..][..columns / 4]
    }

    fn floats(&mut self, name: &str, change: impl Fn(f32) -> f32) {
        for value in self.part(name).as_chunks_mut::<4>().0 {
            *value = change(f32::from_le_bytes(*value)).to_le_bytes();
        }
    }

    fn swap(&mut self, one: Range<usize>, other: Range<usize>) {
        let kept = self.bytes[one.clone()].to_vec();
        self.bytes.copy_within(other.clone(), one.start);
        self.bytes[other].copy_from_slice(&kept);
    }
}

/// A copy of `model`, changed by `change`.
pub fn copy(model: &Path, change: fn(&mut Copy)) -> NamedTempFile {
    let file = GgufFile::open(model).expect("a model that our reader accepts");
    let mut copy = Copy { file, bytes: std::fs::read(model).expect("the model") };
    change(&mut copy);
    let out = NamedTempFile::with_suffix(".gguf").expect("a temporary file");
    std::fs::write(out.path(), copy.bytes).expect("the copy");
    out
}

/// Gate and up projections of layer 1 have each other's weights.
pub fn swapped_gate_and_up(copy: &mut Copy) {
    let ranges = ["blk.1.ffn_gate.weight", "blk.1.ffn_up.weight"].map(|name| copy.range(name));
    let [gate, up] = ranges;
    copy.swap(gate, up);
}

/// The first two query heads of layer 1 have changed places.
pub fn permuted_heads(copy: &mut Copy) {
    let start = copy.range("blk.1.attn_q.weight").start;
    let head = 64 * 256 / 4;
    copy.swap(start..start + head, start + head..start + 2 * head);
}

/// The scale of a matrix is 1 % too large.
pub fn larger_scale(copy: &mut Copy) {
    let part = copy.part("blk.1.ffn_down.weight");
    let place = part.len() - TAIL_BYTES;
    let scale = part[place..].first_chunk_mut::<4>().expect("a scale");
    *scale = (f32::from_le_bytes(*scale) * 1.01).to_le_bytes();
}

/// Every weight of one row has the other sign.
pub fn one_row(copy: &mut Copy) {
    copy.row("blk.1.attn_output.weight", 256, 17).iter_mut().for_each(|b| *b = 0xaa - *b);
}

/// Every weight of a matrix has the other sign.
pub fn other_sign(copy: &mut Copy) {
    copy.codes("blk.1.attn_v.weight").iter_mut().for_each(|b| *b = 0xaa - *b);
}

/// Layer 1 adds nothing.
pub fn skipped_layer(copy: &mut Copy) {
    for name in ["blk.1.attn_output.weight", "blk.1.ffn_down.weight"] {
        copy.codes(name).fill(0x55);
    }
}

/// The keys of layer 1 are made by the matrix of layer 0.
pub fn other_layers_matrix(copy: &mut Copy) {
    let [from, to] = ["blk.0.attn_k.weight", "blk.1.attn_k.weight"].map(|name| copy.range(name));
    copy.bytes.copy_within(from, to.start);
}

/// A norm that multiplies by 1 + weight.
pub fn norm_plus_one(copy: &mut Copy) {
    copy.floats("blk.1.ffn_norm.weight", |weight| weight + 1.0);
}

/// The last norm is 1 % too large.
pub fn larger_output_norm(copy: &mut Copy) {
    copy.floats("output_norm.weight", |weight| weight * 1.01);
}
