//! Keys in f16 and in Q8_0: the same bits by every path, others than with keys in f32, and scores that f64
//! confirms. That the bits are the reference's is seen where bitnet.cpp is at hand, in the runner's tests.

use std::num::NonZeroUsize;
use std::sync::Arc;

use bitnet_engine::kernels::{Isa, Kernels};
use bitnet_engine::model::{KeyCache, LogitsOf, Model};
use bitnet_engine::session::{Session, SessionError, SessionOptions};
use bitnet_engine::synth::{Preset, SynthSpec, WeightType};

use crate::f64_pass::Pass;
use crate::recorder::Recorder;
use crate::synthetic::{self, TINY};

const IDS: u32 = 70;

/// F32 weights: nothing else is rounded, so that what is seen is the rounding of queries and keys.
const FLOATS: SynthSpec =
    SynthSpec { weights: WeightType::F32, embedding: WeightType::F32, ..TINY };

fn ids() -> Vec<u32> {
    (0..IDS).map(|i| i * 37 % 300).collect()
}

fn session(model: &Arc<Model>, threads: usize, key_cache: KeyCache) -> Session {
    let options = SessionOptions { key_cache, chunk: 32 };
    Session::with_options(model, 96, NonZeroUsize::new(threads).unwrap(), options).unwrap()
}

fn bits(logits: &[f32]) -> Vec<u32> {
    logits.iter().map(|logit| logit.to_bits()).collect()
}

#[test]
fn every_path_and_instruction_set_gives_the_same_bits() {
    let file = synthetic::open(&synthetic::bytes(&TINY));
    let scalar = synthetic::load(&file, Kernels::for_isa(Isa::Scalar).unwrap());
    for keys in [KeyCache::F16, KeyCache::Q8_0] {
        let truth = session(&scalar, 1, keys).prefill(&ids(), LogitsOf::All).unwrap();
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            let model = synthetic::load(&file, Kernels::for_isa(isa).unwrap());
            for threads in [1, 3] {
                let mut session = session(&model, threads, keys);
                let prefill = session.prefill(&ids(), LogitsOf::All).unwrap();
                assert_eq!(
                    bits(&prefill),
                    bits(&truth),
                    "{keys}, {isa}, {threads} threads, prefill"
                );
                session.truncate(10);
                for (position, id) in ids().into_iter().enumerate().skip(10) {
                    let row = &truth[position * 768..][..768];
                    let step = session.step(id).unwrap();
                    let what = format!("{keys}, {isa}, {threads} threads, step {position}");
                    assert_eq!(bits(step), bits(row), "{what}");
                }
            }
        }
    }
}

#[test]
fn a_token_behind_a_long_context_has_the_bits_of_the_prompt_with_every_number_of_threads() {
    // Beyond 256 positions several threads compute one token's attention in three steps.
    const LONG: usize = 290;
    let ids: Vec<u32> = (0..LONG as u32 + 8).map(|i| i * 53 % 700).collect();
    let file = synthetic::open(&synthetic::bytes(&TINY));
    let session = |model: &Arc<Model>, threads, key_cache| {
        let options = SessionOptions { key_cache, chunk: 64 };
        Session::with_options(model, 300, NonZeroUsize::new(threads).unwrap(), options).unwrap()
    };
    let scalar = synthetic::load(&file, Kernels::for_isa(Isa::Scalar).unwrap());
    for keys in [KeyCache::F32, KeyCache::F16, KeyCache::Q8_0] {
        let truth = session(&scalar, 1, keys).prefill(&ids, LogitsOf::All).unwrap();
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            let model = synthetic::load(&file, Kernels::for_isa(isa).unwrap());
            for threads in [1, 2, 5] {
                let mut session = session(&model, threads, keys);
                session.prefill(&ids[..LONG], LogitsOf::Nothing).unwrap();
                for (position, id) in ids.iter().enumerate().skip(LONG) {
                    let what = format!("{keys}, {isa}, {threads} threads, step {position}");
                    let row = &truth[position * 768..][..768];
                    assert_eq!(bits(session.step(*id).unwrap()), bits(row), "{what}");
                }
            }
        }
    }
}

#[test]
fn rounding_moves_the_logits_and_not_those_of_the_first_position() {
    let model = synthetic::load(&synthetic::open(&synthetic::bytes(&FLOATS)), Kernels::best());
    let logits = |keys| session(&model, 1, keys).prefill(&ids(), LogitsOf::All).unwrap();
    let [exact, narrow, coarse] = [KeyCache::F32, KeyCache::F16, KeyCache::Q8_0].map(logits);
    for rounded in [&narrow, &coarse] {
        // One position has the weight 1, whatever its score.
        assert_eq!(bits(&exact[..768]), bits(&rounded[..768]));
        assert_ne!(bits(&exact), bits(rounded));
    }
    let distance = |rounded: &[f32]| {
        let pairs = exact.iter().zip(rounded);
        pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt()
    };
    // Eleven bits against seven and a sign.
    let (narrow, coarse) = (distance(&narrow), distance(&coarse));
    assert!(coarse > 4.0 * narrow, "{coarse} for Q8_0, {narrow} for F16");
}

#[test]
fn attention_over_keys_in_q8_0_agrees_with_f64() {
    let file = synthetic::open(&synthetic::bytes(&FLOATS));
    let model = synthetic::load(&file, Kernels::best());
    // What one chunk takes: a recorder is shown each tensor once.
    let (ids, mut seen) = (&ids()[..32], Recorder::default());
    let mut session = session(&model, 1, KeyCache::Q8_0);
    session.prefill_tapped(ids, LogitsOf::All, Some(&mut seen)).unwrap();
    let attended = |mut pass: Pass<'_>| {
        pass.run(ids);
        let mut distances = pass.distances.remove("kqv_out").expect("what attention gives");
        distances.sort_by(f64::total_cmp);
        (distances[distances.len() / 2], distances[distances.len() - 1])
    };
    // A softmax weight on the edge between two f16 moves by 2^-10 of itself; most rows have none.
    let (middle, largest) = attended(Pass::guided(&file, &seen).with_keys_in_q8_0());
    assert!(middle < 1e-6 && largest < 2e-3, "{middle} in the middle, {largest} at most");
    // What rounding does to queries and keys is seen if it is left out.
    let (middle, _) = attended(Pass::guided(&file, &seen));
    assert!(middle > 1e-4, "{middle} in the middle");
}

#[test]
fn heads_that_are_no_whole_blocks_are_refused() {
    let spec = SynthSpec { architecture: "llama", preset: Preset::TinyHeadsOf100, ..FLOATS };
    let model = synthetic::load(&synthetic::open(&synthetic::bytes(&spec)), Kernels::best());
    let options = SessionOptions { key_cache: KeyCache::Q8_0, ..SessionOptions::default() };
    let refused = Session::with_options(&model, 96, NonZeroUsize::MIN, options).err();
    let error = refused.expect("refused");
    assert!(matches!(error, SessionError::KeyBlocks { length: 100 }), "{error}");
    assert_eq!(
        error.to_string(),
        "keys in q8_0 come in blocks of 32 values, and this model's heads have 100; take keys in f16 or f32"
    );
    let options = SessionOptions { key_cache: KeyCache::F16, ..options };
    assert!(Session::with_options(&model, 96, NonZeroUsize::MIN, options).is_ok());
}
