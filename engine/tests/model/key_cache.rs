//! Keys in f16: the same bits by every path, and others than with keys in f32. That they are the right
//! ones is seen where bitnet.cpp is at hand, in the runner's tests.

use std::num::NonZeroUsize;
use std::sync::Arc;

use bitnet_engine::kernels::{Isa, Kernels};
use bitnet_engine::model::{KeyCache, LogitsOf, Model};
use bitnet_engine::session::{Session, SessionOptions};
use bitnet_engine::synth::{SynthSpec, WeightType};

use crate::synthetic::{self, TINY};

const IDS: u32 = 70;

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
    let truth = session(&scalar, 1, KeyCache::F16).prefill(&ids(), LogitsOf::All).unwrap();
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
        let model = synthetic::load(&file, Kernels::for_isa(isa).unwrap());
        for threads in [1, 3] {
            let mut session = session(&model, threads, KeyCache::F16);
            let prefill = session.prefill(&ids(), LogitsOf::All).unwrap();
            assert_eq!(bits(&prefill), bits(&truth), "{isa}, {threads} threads, prefill");
            session.truncate(10);
            for (position, id) in ids().into_iter().enumerate().skip(10) {
                let row = &truth[position * 768..][..768];
                let step = session.step(id).unwrap();
                assert_eq!(bits(step), bits(row), "{isa}, {threads} threads, step {position}");
            }
        }
    }
}

#[test]
fn rounding_moves_the_logits_and_not_those_of_the_first_position() {
    // F32 weights: nothing else is rounded, so that what is seen is the rounding of queries and keys.
    let spec = SynthSpec { weights: WeightType::F32, embedding: WeightType::F32, ..TINY };
    let model = synthetic::load(&synthetic::open(&synthetic::bytes(&spec)), Kernels::best());
    let logits = |keys| session(&model, 1, keys).prefill(&ids(), LogitsOf::All).unwrap();
    let (exact, rounded) = (logits(KeyCache::F32), logits(KeyCache::F16));
    // One position has the weight 1, whatever its score.
    assert_eq!(bits(&exact[..768]), bits(&rounded[..768]));
    assert_ne!(bits(&exact), bits(&rounded));
}
