//! TL1 and TL2 files: with their tiles the same model as in I2_S, to the last bit; without, refused.

use std::num::NonZeroUsize;
use std::sync::Arc;

use bitnet_engine::gguf::{Directory, TensorType};
use bitnet_engine::kernels::{Isa, Kernels};
use bitnet_engine::model::{Config, LoadOptions, LogitsOf, Model, ModelError};
use bitnet_engine::quant::i2_s;
use bitnet_engine::quant::tiles::{LookupType, Tile, Tiles};
use bitnet_engine::session::Session;

use crate::edited::{Edit, edited, tensor};
use crate::synthetic::{self, TINY};

/// Shapes of the tiny model's matrices, rows first.
const SHAPES: [(usize, usize); 4] = [(256, 256), (128, 256), (768, 256), (256, 768)];

fn tiles(rows: usize, columns: usize) -> Tiles {
    let tile = Tile { rows, columns, lanes: 32 };
    SHAPES.into_iter().fold(Tiles::default(), |tiles, (m, k)| tiles.with(m, k, tile))
}

/// The tiny model with its matrices in a lookup type.
fn file(lookup: LookupType, tiles: &Tiles) -> Vec<u8> {
    let base = synthetic::bytes(&TINY);
    let directory = Directory::parse(&base).unwrap();
    let mut edits: Vec<Edit> = Vec::new();
    for info in directory.tensors().iter().filter(|t| t.tensor_type == TensorType::I2S) {
        let (columns, rows) = (info.dims[0], info.dims[1]);
        let (codes, tail) = base[info.range()].split_at(rows * columns / 4);
        let weights: Vec<i8> = codes
            .chunks_exact(columns / 4)
            .flat_map(|row| (0..columns).map(|c| i2_s::code(row, c) as i8 - 1))
            .collect();
        let scale = f32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]]);
        let tile = tiles.of(lookup, rows, columns).expect("stated");
        let tensor_type = match lookup {
            LookupType::Tl1 => TensorType::Tl1,
            LookupType::Tl2 => TensorType::Tl2,
        };
        let bytes = lookup.pack(&weights, scale, columns, tile);
        edits.push(tensor(&info.name, tensor_type, &info.dims, bytes));
    }
    edited(&base, &edits)
}

fn load(bytes: &[u8], tiles: Tiles, isa: Isa) -> Result<Arc<Model>, ModelError> {
    let file = synthetic::open(bytes);
    let config = Config::from_file(&file).expect("good hyper-parameters");
    let kernels = Kernels::for_isa(isa).expect("asked for what is there");
    let options = LoadOptions { tiles, ..Default::default() };
    Model::load_with(&file, config, kernels, options).map(Arc::new)
}

fn logits(model: &Arc<Model>) -> Vec<u32> {
    let ids: Vec<u32> = (0..12).map(|i| (i * 197 + 31) % 768).collect();
    let mut session = Session::new(model, 12, NonZeroUsize::MIN).unwrap();
    let logits = session.prefill(&ids, LogitsOf::All).unwrap();
    logits.iter().map(|l| l.to_bits()).collect()
}

#[test]
fn a_lookup_file_gives_the_bits_of_the_i2_s_file() {
    let truth = load(&synthetic::bytes(&TINY), Tiles::default(), Isa::Scalar).unwrap();
    let truth = logits(&truth);
    for (lookup, tiles) in [(LookupType::Tl1, tiles(64, 64)), (LookupType::Tl2, tiles(64, 96))] {
        let bytes = file(lookup, &tiles);
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            let found = logits(&load(&bytes, tiles.clone(), isa).unwrap());
            assert!(found == truth, "{lookup}, {isa}");
        }
    }
}

#[test]
fn a_file_whose_tiles_nobody_states_is_refused_with_the_tensor() {
    for (lookup, columns) in [(LookupType::Tl1, 64), (LookupType::Tl2, 96)] {
        let bytes = file(lookup, &tiles(64, columns));
        let error = load(&bytes, Tiles::default(), Isa::best()).err().expect("refused").to_string();
        let truth = format!(
            "tensor 'blk.0.attn_q.weight': no {lookup} kernels are published for matrices of 256 rows \
             and 256 columns, and their tiles decide where a weight lies; state the kernel_config.ini \
             that the kernels were generated with"
        );
        assert_eq!(error, truth);
    }
}

/// No index is the mark of one order of tiles: what is computed with others is wrong. Whoever makes such a
/// file has to say how.
#[test]
fn wrong_tiles_cannot_be_found() {
    for (lookup, columns) in [(LookupType::Tl1, 64), (LookupType::Tl2, 96)] {
        let bytes = file(lookup, &tiles(64, columns));
        let right = logits(&load(&bytes, tiles(64, columns), Isa::best()).unwrap());
        let wrong = logits(&load(&bytes, tiles(128, columns), Isa::best()).unwrap());
        assert!(right != wrong, "the tiles make a difference: {lookup}");
    }
}

#[test]
fn an_index_that_no_packer_writes_is_refused_with_its_place() {
    let mut bytes = file(LookupType::Tl1, &tiles(64, 64));
    let name = "blk.1.attn_k.weight";
    let start = Directory::parse(&bytes).unwrap().tensor(name).unwrap().offset;
    bytes[start] = 0x4f;
    let error = load(&bytes, tiles(64, 64), Isa::best()).err().expect("refused").to_string();
    let truth = format!(
        "tensor '{name}' has the index 15 at row 0, column 2, which no packer writes; the file is \
         damaged: fetch or convert it again"
    );
    assert_eq!(error, truth);
}
