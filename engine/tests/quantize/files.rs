//! Files converted in memory, and tiles for the tiny model's shapes. Checks nothing.

use bitnet_engine::gguf::{Directory, GgufWriter, TensorType};
use bitnet_engine::quant::tiles::{Tile, Tiles};
use bitnet_engine::quantize::{Loss, Options, Plan, QuantizeError, Target, Written};

use crate::synthetic;

/// Shapes of the tiny model's matrices, rows first.
const SHAPES: [(usize, usize); 4] = [(256, 256), (128, 256), (768, 256), (256, 768)];

/// Tiles that fit TL1, and TL2, in all shapes of the tiny model.
pub fn tiles(target: Target) -> Tiles {
    let columns = if target == Target::Tl1 { 64 } else { 96 };
    let tile = Tile { rows: 64, columns, lanes: 32 };
    SHAPES.into_iter().fold(Tiles::default(), |tiles, (m, k)| tiles.with(m, k, tile))
}

/// A conversion with the tiles that source and target need.
pub fn options(from: Target, to: Target) -> Options {
    let mut options = Options { tiles: tiles(to), ..Options::new(to) };
    options.source.tiles = tiles(from);
    options
}

pub fn convert(bytes: &[u8], options: Options) -> Result<(Vec<u8>, Written), QuantizeError> {
    let file = synthetic::open(bytes);
    let mut out = Vec::new();
    let written = Plan::new(&file, options)?.write(&mut out, |_, _| {})?;
    assert_eq!(written.bytes, out.len() as u64);
    Ok((out, written))
}

/// What was lost of anything.
pub fn losses(written: &Written) -> Vec<Loss> {
    written.losses.iter().copied().filter(|loss| *loss != Loss::None).collect()
}

/// A file of one tensor.
pub fn one(name: &str, tensor_type: TensorType, dims: &[usize], data: &[u8]) -> Vec<u8> {
    let mut writer = GgufWriter::new();
    writer.tensor_bytes(name, tensor_type, dims, data).expect("a good tensor");
    let mut out = Vec::new();
    writer.write(&mut out).expect("memory takes all bytes");
    out
}

/// A file of one F32 matrix.
pub fn matrix(dims: &[usize], values: &[f32]) -> Vec<u8> {
    one("blk.0.attn_q.weight", TensorType::F32, dims, &little_endian(values))
}

fn little_endian(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// The bytes of a tensor.
pub fn data<'a>(file: &'a [u8], name: &str) -> &'a [u8] {
    let directory = Directory::parse(file).expect("a good file");
    &file[directory.tensor(name).expect("is there").range()]
}
