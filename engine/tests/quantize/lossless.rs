//! Ternary types among themselves: the same codes, the same scale where it can be held, and the same
//! logits to the last bit.

use std::num::NonZeroUsize;
use std::sync::Arc;

use bitnet_engine::gguf::{Directory, TensorType};
use bitnet_engine::kernels::Kernels;
use bitnet_engine::model::{Config, LoadOptions, LogitsOf, Model};
use bitnet_engine::quant::i2_s::FileLayout;
use bitnet_engine::quant::tiles::{Tile, Tiles};
use bitnet_engine::quantize::{Loss, Options, Target};
use bitnet_engine::session::Session;
use bitnet_engine::synth::{SynthSpec, WeightType};
use half::f16;

use crate::edited::{Edit, edited, tensor};
use crate::files::{convert, losses, options, tiles};
use crate::packed;
use crate::synthetic::{self, TINY};

const TERNARY: [Target; 5] = [Target::I2S, Target::Tl1, Target::Tl2, Target::Tq1_0, Target::Tq2_0];

/// Scales of the I2_S matrices of a file.
fn scales(bytes: &[u8]) -> Vec<f32> {
    let directory = Directory::parse(bytes).expect("a good file");
    let matrices = directory.tensors().iter().filter(|t| t.tensor_type == TensorType::I2S);
    let tails = matrices.map(|t| &bytes[t.range().end - 32..][..4]);
    tails.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

/// The tiny model with other scales.
fn with_scales(scale: impl Fn(f32) -> f32) -> Vec<u8> {
    let base = synthetic::bytes(&TINY);
    let directory = Directory::parse(&base).expect("a good file");
    let matrices = directory.tensors().iter().filter(|t| t.tensor_type == TensorType::I2S);
    let edits: Vec<Edit> = matrices
        .zip(scales(&base))
        .map(|(info, old)| {
            let mut bytes = base[info.range()].to_vec();
            let end = bytes.len() - 32;
            bytes[end..end + 4].copy_from_slice(&scale(old).to_le_bytes());
            tensor(&info.name, info.tensor_type, &info.dims, bytes)
        })
        .collect();
    edited(&base, &edits)
}

fn logits(bytes: &[u8], target: Target) -> Vec<u32> {
    let file = synthetic::open(bytes);
    let config = Config::from_file(&file).expect("good hyper-parameters");
    let options = LoadOptions { tiles: tiles(target), ..Default::default() };
    let model = Model::load_with(&file, config, Kernels::best(), options).expect("a whole model");
    let ids: Vec<u32> = (0..12).map(|i| (i * 197 + 31) % 768).collect();
    let mut session = Session::new(&Arc::new(model), 12, NonZeroUsize::MIN).unwrap();
    let logits = session.prefill(&ids, LogitsOf::All).unwrap();
    logits.iter().map(|l| l.to_bits()).collect()
}

#[test]
fn types_with_an_f32_scale_give_the_file_back_and_the_same_logits() {
    let base = synthetic::bytes(&TINY);
    let truth = logits(&base, Target::I2S);
    for target in [Target::Tl1, Target::Tl2] {
        let (there, written) = convert(&base, options(Target::I2S, target)).unwrap();
        assert_eq!(losses(&written), [], "{target}");
        assert!(logits(&there, target) == truth, "{target} computes the same");
        let (back, written) = convert(&there, options(target, Target::I2S)).unwrap();
        assert_eq!(losses(&written), []);
        assert!(back == base, "I2_S to {target} and back");
    }
}

/// Scales that f16 holds: from every ternary type to every other, the file is the one that comes from
/// I2_S directly.
#[test]
fn every_ternary_type_becomes_every_other_without_a_loss() {
    let base = with_scales(|scale| f16::from_f32(scale).to_f32());
    let made = |target| convert(&base, options(Target::I2S, target)).unwrap();
    let files: Vec<(Target, Vec<u8>)> = TERNARY
        .into_iter()
        .map(|target| {
            let (bytes, written) = made(target);
            assert_eq!(losses(&written), [], "I2_S to {target}");
            (target, bytes)
        })
        .collect();
    assert!(files[0].1 == base, "I2_S stays as it is");
    for (from, bytes) in &files {
        for (to, truth) in &files {
            let (found, written) = convert(bytes, options(*from, *to)).unwrap();
            assert!(found == *truth, "{from} to {to}");
            assert_eq!(losses(&written), [], "{from} to {to}");
        }
    }
    let truth = logits(&base, Target::I2S);
    for (target, bytes) in files.iter().filter(|(target, _)| target.tensor_type().is_whole()) {
        assert!(logits(bytes, *target) == truth, "{target}");
    }
    // TQ1_0 and TQ2_0 round activations otherwise; the two agree with each other.
    assert!(logits(&files[3].1, Target::Tq1_0) == logits(&files[4].1, Target::Tq2_0));
}

#[test]
fn scales_that_f16_does_not_hold_are_rounded_and_that_is_said() {
    let base = with_scales(|scale| f32::from_bits(scale.to_bits() | 1));
    for target in [Target::Tq1_0, Target::Tq2_0] {
        let (there, written) = convert(&base, options(Target::I2S, target)).unwrap();
        let (back, _) = convert(&there, options(target, Target::I2S)).unwrap();
        let rounded: Vec<f32> =
            scales(&base).into_iter().map(|scale| f16::from_f32(scale).to_f32()).collect();
        assert_eq!(scales(&back), rounded, "{target}");
        let changes = scales(&base).into_iter().zip(&rounded).map(|(a, b)| ((a - b) / a).abs());
        let truth: Vec<Loss> = changes.map(Loss::Scale).collect();
        assert_eq!(losses(&written), truth, "{target}");
        assert!(truth.iter().all(|l| matches!(l, Loss::Scale(c) if *c <= 1.0 / 2048.0)));
        // Nothing but the scales differs.
        let exact =
            with_scales(|scale| f16::from_f32(f32::from_bits(scale.to_bits() | 1)).to_f32());
        assert!(back == exact, "{target}");
    }
}

/// The synthetic model has the same matrices in every type.
#[test]
fn ternary_f32_weights_become_the_i2_s_file() {
    let truth = synthetic::bytes(&TINY);
    let f32s = synthetic::bytes(&SynthSpec { weights: WeightType::F32, ..TINY });
    let (found, written) = convert(&f32s, Options::new(Target::I2S)).unwrap();
    assert_eq!(losses(&written), []);
    assert!(found == truth);
    let (back, written) =
        convert(&truth, Options { embedding: Some(Target::F16), ..Options::new(Target::F32) })
            .unwrap();
    assert_eq!(losses(&written), []);
    assert!(back == f32s);
}

#[test]
fn another_i2_s_layout_is_put_right_and_other_tiles_are_changed() {
    let base = synthetic::bytes(&TINY);
    for (name, layout) in FileLayout::NAMES {
        let mut stated = Options::new(Target::I2S);
        stated.source.i2_s = layout;
        let (out, written) = convert(&packed::file(layout, false), stated).unwrap();
        assert!(out == base, "{name}");
        assert_eq!(losses(&written), []);
    }
    let (first, _) = convert(&base, options(Target::I2S, Target::Tl2)).unwrap();
    let narrow = Tile { rows: 32, columns: 96, lanes: 32 };
    let narrow = [(256, 256), (128, 256), (768, 256), (256, 768)]
        .into_iter()
        .fold(Tiles::default(), |tiles, (m, k)| tiles.with(m, k, narrow));
    let mut again = options(Target::Tl2, Target::Tl2);
    again.tiles = narrow.clone();
    let (second, _) = convert(&first, again).unwrap();
    assert!(second != first, "the tiles make a difference");
    let mut home = options(Target::Tl2, Target::I2S);
    home.source.tiles = narrow;
    assert!(convert(&second, home).unwrap().0 == base);
}
