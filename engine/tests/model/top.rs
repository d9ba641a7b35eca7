//! The largest logits without the others: the same bits and ids as from all logits, whatever the head holds.

use std::num::NonZeroUsize;
use std::sync::Arc;

use bitnet_engine::gguf::{Directory, TensorType};
use bitnet_engine::kernels::{Isa, Kernels};
use bitnet_engine::model::{LogitsOf, Model};
use bitnet_engine::sample::{self, SampleOptions, Sampler};
use bitnet_engine::session::{Session, SessionOptions};
use bitnet_engine::synth::{SynthSpec, WeightType};
use half::f16;

use crate::edited::{edited, tensor};
use crate::synthetic::{self, TINY};

const STEPS: u32 = 10;

fn session(model: &Arc<Model>, threads: usize) -> Session {
    Session::new(model, 40, NonZeroUsize::new(threads).unwrap()).unwrap()
}

/// Every step's `count` largest logits are those of all logits, to the bit, and what is given of the others
/// is theirs. Returns how many logits were computed.
fn check(model: &Arc<Model>, count: usize, threads: usize, what: &str) -> usize {
    let (mut all, mut top) = (session(model, threads), session(model, threads));
    let mut computed = 0;
    for id in 0..STEPS {
        let truth = all.step(id).unwrap().to_vec();
        let found = top.step_top(id, count).unwrap();
        let mut order: Vec<usize> = (0..truth.len()).collect();
        order.sort_by(|a, b| truth[*b].total_cmp(&truth[*a]).then(a.cmp(b)));
        let least = truth[order[count.min(truth.len()) - 1]];
        for (row, (found, truth)) in found.iter().zip(&truth).enumerate() {
            let kept = found.to_bits() == truth.to_bits();
            assert!(
                kept || *found == f32::NEG_INFINITY,
                "{what}: row {row} is {found}, not {truth}"
            );
            assert!(kept || *truth < least, "{what}: row {row} is among the {count} largest");
        }
        computed += found.iter().filter(|logit| **logit > f32::NEG_INFINITY).count();
        assert_eq!(sample::greedy(found), sample::greedy(&truth), "{what}");
    }
    computed
}

#[test]
fn the_largest_logits_are_those_of_all() {
    for embedding in [WeightType::F16, WeightType::Bf16, WeightType::F32, WeightType::Q6K] {
        for tied in [true, false] {
            let file = synthetic::open(&synthetic::bytes(&SynthSpec { embedding, tied, ..TINY }));
            for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
                let kernels = Kernels::for_isa(isa).unwrap();
                let model = synthetic::load(&file, kernels);
                let screened = kernels.screens && embedding != WeightType::Q6K;
                assert_eq!(model.prepare_step_top(), screened, "{embedding}, {isa}");
                for (count, threads) in [(1, 1), (1, 3), (7, 2), (256, 1), (257, 1), (9999, 1)] {
                    let what = format!("{embedding}, {isa}, {count}, {threads} threads");
                    let computed = check(&model, count, threads, &what);
                    // A random head leaves few of them possible.
                    let all = STEPS as usize * 768;
                    match screened && count <= 7 {
                        true => assert!(computed < all / 8, "{what}: {computed}"),
                        false => assert!(computed <= all, "{what}: {computed}"),
                    }
                }
            }
        }
    }
}

#[test]
fn the_largest_logits_behind_a_prompt_are_those_of_all() {
    for embedding in [WeightType::F16, WeightType::Q6K] {
        let file = synthetic::open(&synthetic::bytes(&SynthSpec { embedding, ..TINY }));
        let model = synthetic::load(&file, Kernels::best());
        for (length, chunk) in [(1, 8), (8, 8), (9, 8), (30, 8), (30, 96)] {
            let ids: Vec<u32> = (0..length).map(|i| i * 29 % 700).collect();
            let open = || {
                let options = SessionOptions { chunk, ..SessionOptions::default() };
                Session::with_options(&model, 40, NonZeroUsize::MIN, options).unwrap()
            };
            let (mut all, mut top) = (open(), open());
            let truth = all.prefill(&ids, LogitsOf::Last).unwrap();
            for count in [1, 5, 9999] {
                top.clear();
                let found = top.prefill_top(&ids, count).unwrap();
                let what = format!("{embedding}, {length} ids by {chunk}, {count}");
                assert_eq!(sample::greedy(&found), sample::greedy(&truth), "{what}");
                let kept = |(f, t): (&f32, &f32)| f.to_bits() == t.to_bits();
                let exact = found.iter().zip(&truth).filter(|pair| kept(*pair)).count();
                assert!(exact >= count.min(truth.len()), "{what}: {exact} exact");
                assert_eq!(top.position(), ids.len(), "{what}");
                // The sequence goes on as after any other prefill.
                assert_eq!(top.step(3).unwrap(), all.step(3).unwrap(), "{what}");
                all.truncate(ids.len());
            }
        }
    }
}

/// The tiny model with these rows in its head.
fn with_rows(rows: impl Fn(usize, usize) -> Option<f32>) -> Arc<Model> {
    let base = synthetic::bytes(&SynthSpec { tied: false, ..TINY });
    let info = Directory::parse(&base).unwrap().tensor("output.weight").unwrap().clone();
    assert_eq!((info.tensor_type, &*info.dims), (TensorType::F16, &[256, 768][..]));
    let mut bytes = base[info.range()].to_vec();
    for (i, value) in bytes.chunks_exact_mut(2).enumerate() {
        if let Some(new) = rows(i / 256, i % 256) {
            value.copy_from_slice(&f16::from_f32(new).to_le_bytes());
        }
    }
    let edit = tensor("output.weight", TensorType::F16, &[256, 768], bytes);
    synthetic::load(&synthetic::open(&edited(&base, &[edit])), Kernels::best())
}

#[test]
fn heads_that_leave_little_to_choose_by() {
    let wave = |column: usize| ((column * 37 % 101) as f32 - 50.0) / 64.0;
    let heads: [(&str, Arc<Model>); 6] = [
        ("all rows are equal", with_rows(|_, c| Some(wave(c)))),
        ("rows in equal pairs", with_rows(|r, c| Some(wave(c + r / 2 * 3)))),
        // Neighbours differ by a last bit of one value.
        (
            "almost equal rows",
            with_rows(|r, c| Some(wave(c) * if c == r % 256 { 1.001 } else { 1.0 })),
        ),
        ("rows of zeros", with_rows(|r, _| (r % 3 == 0).then_some(0.0))),
        ("one large value a row", with_rows(|r, c| (c == r % 256).then_some(60_000.0))),
        ("tiny rows", with_rows(|r, c| (r % 2 == 0).then(|| wave(c) * 1e-6))),
    ];
    for (what, model) in heads {
        for count in [1, 5, 300] {
            check(&model, count, 1, what);
        }
    }
}

#[test]
fn rows_that_are_no_numbers_are_not_left_out() {
    let model = with_rows(|r, c| (r == 500 && c == 3).then_some(f32::NAN));
    let mut session = session(&model, 1);
    let logits = session.step_top(1, 1).unwrap();
    assert!(logits[500].is_nan());
    let error = sample::greedy(logits).unwrap_err().to_string();
    assert_eq!(error, "the logits cannot be sampled: one of them is NaN");
}

#[test]
fn a_sampler_with_a_top_k_chooses_the_same_ids() {
    let model = synthetic::load(&synthetic::open(&synthetic::bytes(&TINY)), Kernels::best());
    for options in [
        SampleOptions { temperature: 0.0, ..SampleOptions::default() },
        SampleOptions { seed: 11, ..SampleOptions::default() },
        SampleOptions { seed: 3, top_k: 4, top_p: 0.5, min_p: 0.0, ..SampleOptions::default() },
    ] {
        let (mut all, mut top) = (session(&model, 1), session(&model, 1));
        let mut samplers = [Sampler::new(options).unwrap(), Sampler::new(options).unwrap()];
        let count = samplers[0].deciding().expect("a few decide");
        let mut id = 5;
        for _ in 0..40 {
            let truth = samplers[0].choose(all.step(id).unwrap()).unwrap();
            let found = samplers[1].choose(top.step_top(id, count).unwrap()).unwrap();
            assert_eq!(found, truth, "{options:?}");
            id = truth;
        }
    }
    let mut sampler = Sampler::new(SampleOptions::default()).unwrap();
    assert_eq!(sampler.deciding(), Some(40));
    sampler.ban(&[3]);
    assert_eq!(sampler.deciding(), None, "a banned id may be among the largest");
    let uncut = SampleOptions { top_k: 0, ..SampleOptions::default() };
    assert_eq!(Sampler::new(uncut).unwrap().deciding(), None);
}
