//! The forward pass against one in f64 (`f64_pass`). What is left between the two is f32 arithmetic.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::Arc;

use bitnet_engine::gguf::GgufFile;
use bitnet_engine::kernels::Kernels;
use bitnet_engine::model::LogitsOf;
use bitnet_engine::session::Session;
use bitnet_engine::synth::{Preset, SynthSpec, WeightType};

use crate::f64_pass::{Pass, distance};
use crate::recorder::{Recorder, Shown};
use crate::synthetic::{self, TINY};

fn specs() -> Vec<SynthSpec> {
    use WeightType::{F16, F32, I2S, Q6K};
    let all =
        [(F32, F32, true), (F16, F16, true), (I2S, F16, true), (I2S, F32, true), (I2S, Q6K, false)];
    let spec = |(weights, embedding, tied)| {
        [1, 2, 3].map(|seed| SynthSpec { weights, embedding, tied, seed, ..TINY })
    };
    all.into_iter().flat_map(spec).chain(architectures()).collect()
}

/// Every architecture, and everything that only some files have, with as little rounding as can be.
fn architectures() -> Vec<SynthSpec> {
    use Preset::*;
    let all = [
        ("bitnet-b1.58", TinyBiases),
        ("bitnet-25", TinyRopeFactors),
        ("bitnet", Tiny),
        ("bitnet", TinyHeadsOf100),
        ("llama", Tiny),
        ("llama", TinyWideHeads),
        ("llama", TinyBiases),
        ("llama", TinyLinearRope),
        ("llama", TinyYarn),
        ("llama", TinyRopeFactors),
        ("qwen2", Tiny),
        ("qwen3", Tiny),
        ("qwen3", TinyWideHeads),
    ];
    let spec = |(architecture, preset)| SynthSpec {
        architecture,
        preset,
        weights: WeightType::F32,
        embedding: WeightType::F32,
        tied: architecture != "llama",
        seed: 5,
    };
    all.map(spec).into()
}

/// The file of a spec, 24 ids, and what the engine shows for them.
fn engine(spec: &SynthSpec) -> (Arc<GgufFile>, Vec<u32>, Recorder) {
    let file = synthetic::open(&synthetic::bytes(spec));
    let model = synthetic::load(&file, Kernels::best());
    let vocab_size = model.config().vocab_size as u32;
    let ids: Vec<u32> = (0..24).map(|i| (i * 197 + 31) % vocab_size).collect();
    let mut session = Session::new(&model, 64, NonZeroUsize::MIN).unwrap();
    let mut seen = Recorder::default();
    session.prefill_tapped(&ids, LogitsOf::All, Some(&mut seen)).unwrap();
    (file, ids, seen)
}

#[test]
fn every_operation_agrees_with_f64() {
    let mut wrong = Vec::new();
    for spec in specs() {
        let (file, ids, seen) = engine(&spec);
        let mut pass = Pass::guided(&file, &seen);
        pass.run(&ids);
        let kind = |t: &Shown| t.name.replace("-0", "").replace("-1", "");
        let shown: BTreeSet<String> = seen.tensors.iter().map(kind).collect();
        let met: BTreeSet<String> = pass.distances.keys().cloned().collect();
        assert_eq!(met, shown, "{spec:?}: every tensor that a tap is shown");
        for (name, mut distances) in pass.distances {
            let (median, largest) = spread(&mut distances);
            // Sums of up to 768 f32 products in 32 lanes lose about one bit: measured 6e-8 to 2e-7.
            let bound = match &*name {
                "inp_embd" => 0.0,
                // Angles are made by up to 31 products in f32: measured 1.0e-6 at position 23.
                "Qcur#1" | "Kcur#1" | "Qcur#2" | "Kcur#2" => 2e-6,
                // A softmax weight on the edge between two f16 moves by 2^-10 of itself, and values
                // may be larger than their weighted sum: measured 6.4e-4, but 1e-7 for most rows.
                "kqv_out" if spec.architecture.starts_with("bitnet") => 2e-3,
                "kqv_merged_cont" => 2e-3,
                // Behind the last whole 32 lanes products are added one after the other, here 8 or 24
                // of them: measured 4.2e-7.
                _ if spec.preset == Preset::TinyHeadsOf100 => 8e-7,
                _ => 4e-7,
            };
            let what = format!("{spec:?}: {name}");
            if largest > bound || median > bound.min(1e-6) {
                wrong.push(format!(
                    "{what}: {median:.1e} in the middle, {largest:.1e} at most, {bound:.0e} allowed"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// End to end the two passes may round a value to different sides. After that they are as far apart
/// as the format makes two computers that differ by one f32 rounding; how far that is, the f64 pass
/// says itself, run with random errors of that size.
#[test]
fn logits_agree_with_f64() {
    let mut wrong = Vec::new();
    for spec in specs() {
        let (file, ids, seen) = engine(&spec);
        let truth = Pass::new(&file).run(&ids);
        let ours = &seen.tensors.last().expect("logits").values;
        let mut distances: Vec<f64> = ours
            .chunks_exact(truth[0].len())
            .zip(&truth)
            .map(|(ours, truth)| {
                let ours: Vec<f64> = ours.iter().copied().map(f64::from).collect();
                distance(truth, &ours)
            })
            .collect();
        let (median, largest) = spread(&mut distances);
        let of_noise = (0..6).map(|random| {
            let noisy = Pass::noisy(&file, 2f64.powi(-23), random).run(&ids);
            truth.iter().zip(&noisy).map(|(a, b)| distance(a, b)).fold(0.0, f64::max)
        });
        let of_noise = of_noise.fold(0.0, f64::max);
        let figures = format!(
            "{spec:?}: {median:.1e} in the middle, {largest:.1e} at most, noise gives {of_noise:.1e}"
        );
        println!("{figures}");
        // How far most rows are. With I2_S they have no value on an edge. F16 weights round every
        // activation, so some row early on is on one: measured 6e-4. F32 weights leave V and the softmax
        // row: 8e-6 without a bias or a factor, where the first edge comes late. Behind the first row on
        // an edge all are moved, and the middle then says nothing that the largest does not.
        let middle = match (spec.weights, spec.architecture, spec.preset) {
            (WeightType::I2S, ..) => 4e-7,
            (WeightType::F16, ..) => 2e-3,
            (_, "bitnet-b1.58", Preset::Tiny) => 1e-5,
            _ => f64::INFINITY,
        };
        if largest > 2.0 * of_noise || median > middle {
            wrong.push(figures);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The middle and the largest of some distances.
fn spread(distances: &mut [f64]) -> (f64, f64) {
    distances.sort_by(f64::total_cmp);
    (distances[distances.len() / 2], distances[distances.len() - 1])
}
