//! What a session promises: the same bits however the work is cut, threaded, vectorised or shared,
//! and errors that leave it usable.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use bitnet_engine::gguf::{Directory, TensorType};
use bitnet_engine::kernels::{Isa, Kernels};
use bitnet_engine::model::{LogitsOf, Model};
use bitnet_engine::session::{Session, SessionOptions};
use bitnet_engine::synth::{Preset, SynthSpec, WeightType};

use crate::edited::{edited, tensor};
use crate::recorder::Recorder;
use crate::synthetic::{self, TINY};

/// Longer than one chunk of 64 positions and no multiple of 32.
pub const LENGTH: usize = 75;

/// Every type of layer and embedding, every architecture, head of its own and shared, and what only
/// some files have.
pub fn specs() -> Vec<SynthSpec> {
    use WeightType::{Bf16, F16, F32, I2S, Q4_0, Q4K, Q5K, Q6K, Q8_0, Tq1_0, Tq2_0};
    let types = [
        (I2S, F16),
        (I2S, Q6K),
        (I2S, F32),
        (F32, F32),
        (F16, F16),
        (Bf16, Q4_0),
        (Q8_0, Q5K),
        (Tq2_0, Q4K),
        (Tq1_0, F16),
    ];
    let mut specs: Vec<SynthSpec> = types
        .iter()
        .map(|&(weights, embedding)| SynthSpec { weights, embedding, ..TINY })
        .collect();
    specs.push(SynthSpec { architecture: "bitnet-25", tied: false, ..TINY });
    specs.push(SynthSpec { tied: false, weights: F16, embedding: Q6K, ..TINY });
    let other = |architecture, preset, weights| SynthSpec {
        architecture,
        preset,
        weights,
        tied: architecture != "llama",
        ..TINY
    };
    specs.extend([
        other("bitnet", Preset::TinyHeadsOf100, F16),
        other("llama", Preset::TinyBiases, I2S),
        other("llama", Preset::TinyYarn, F16),
        other("qwen2", Preset::Tiny, I2S),
        other("qwen3", Preset::TinyWideHeads, F16),
    ]);
    specs
}

/// The model of a spec, for this machine.
pub fn model(spec: &SynthSpec) -> Arc<Model> {
    synthetic::load(&synthetic::open(&synthetic::bytes(spec)), Kernels::best())
}

/// A session of 96 positions that computes 64 of a prompt at a time.
pub fn session(model: &Arc<Model>, threads: usize) -> Session {
    let options = SessionOptions { chunk: 64, ..SessionOptions::default() };
    Session::with_options(model, 96, NonZeroUsize::new(threads).unwrap(), options).unwrap()
}

/// A text's worth of ids that repeat nothing.
pub fn ids(model: &Model) -> Vec<u32> {
    let n = model.config().vocab_size;
    (0..LENGTH).map(|i| ((i * 197 + 31) % n) as u32).collect()
}

/// The bits of numbers, so that equal means equal.
pub fn bits(logits: &[f32]) -> Vec<u32> {
    assert!(logits.iter().all(|l| l.is_finite()), "logits are numbers");
    logits.iter().map(|l| l.to_bits()).collect()
}

/// Logits of all positions, in one call.
fn truth(session: &mut Session, ids: &[u32]) -> Vec<u32> {
    bits(&session.prefill(ids, LogitsOf::All).unwrap())
}

#[test]
fn prefill_is_the_same_as_step_by_step() {
    for spec in specs() {
        let model = model(&spec);
        let ids = ids(&model);
        let together = truth(&mut session(&model, 2), &ids);
        assert_eq!(together.len(), LENGTH * model.config().vocab_size);
        let mut one_by_one = session(&model, 2);
        for (position, (id, row)) in
            ids.iter().zip(together.chunks_exact(model.config().vocab_size)).enumerate()
        {
            assert_eq!(one_by_one.position(), position);
            assert!(bits(one_by_one.step(*id).unwrap()) == row, "{spec:?}, position {position}");
        }
        assert_eq!(one_by_one.position(), LENGTH);
    }
}

#[test]
fn the_pieces_of_a_prompt_change_no_bit() {
    for spec in specs() {
        let model = model(&spec);
        let ids = ids(&model);
        let together = truth(&mut session(&model, 1), &ids);
        for cuts in [&[1][..], &[64], &[63, 66], &[10, 70, 74], &[1, 31, 32, 65]] {
            let mut pieces = session(&model, 1);
            let mut logits = Vec::new();
            let ends = cuts.iter().chain([&LENGTH]);
            let mut start = 0;
            for &end in ends {
                logits.extend(truth(&mut pieces, &ids[start..end]));
                start = end;
            }
            assert!(logits == together, "{spec:?} cut at {cuts:?}");
        }
        // A cache filled without logits is the same cache.
        let mut quiet = session(&model, 1);
        assert!(quiet.prefill(&ids[..LENGTH - 1], LogitsOf::Nothing).unwrap().is_empty());
        let last = bits(quiet.step(ids[LENGTH - 1]).unwrap());
        assert!(together.ends_with(&last), "{spec:?}");
    }
}

#[test]
fn threads_change_no_bit() {
    for spec in specs() {
        let model = model(&spec);
        let ids = ids(&model);
        let one = truth(&mut session(&model, 1), &ids);
        for threads in [2, 3] {
            let mut session = session(&model, threads);
            assert!(truth(&mut session, &ids) == one, "{spec:?}, {threads} threads");
            let after = bits(session.step(7).unwrap());
            session.clear();
            truth(&mut session, &ids);
            assert!(bits(session.step(7).unwrap()) == after, "{spec:?}, {threads} threads");
        }
    }
}

#[test]
fn instruction_sets_change_no_bit() {
    for spec in specs() {
        let file = synthetic::open(&synthetic::bytes(&spec));
        let kernels = |isa| Kernels::for_isa(isa);
        let scalar = synthetic::load(&file, kernels(Isa::Scalar).unwrap());
        let ids = ids(&scalar);
        let expected = truth(&mut session(&scalar, 2), &ids);
        for isa in Isa::ALL {
            let Some(kernels) = kernels(isa) else {
                println!("{isa}: not on this CPU");
                continue;
            };
            let model = synthetic::load(&file, kernels);
            assert_eq!(model.kernels().isa, isa);
            assert!(truth(&mut session(&model, 2), &ids) == expected, "{spec:?}, {isa}");
            let mut steps = session(&model, 1);
            let rows = expected.chunks_exact(model.config().vocab_size);
            for (id, row) in ids.iter().zip(rows).take(9) {
                assert!(bits(steps.step(*id).unwrap()) == row, "{spec:?}, {isa}, step by step");
            }
        }
    }
}

#[test]
fn both_names_of_the_architecture_and_every_seed_of_their_own() {
    let of = |spec: SynthSpec| {
        let model = model(&spec);
        truth(&mut session(&model, 1), &ids(&model))
    };
    let base = of(TINY);
    assert!(of(SynthSpec { architecture: "bitnet-25", ..TINY }) == base, "one computation");
    assert!(of(SynthSpec { seed: 8, ..TINY }) != base, "other weights");
    assert!(of(SynthSpec { tied: false, ..TINY }) != base, "a head of its own is used");
}

#[test]
fn a_cleared_session_is_a_fresh_one() {
    for spec in specs() {
        let model = model(&spec);
        let ids = ids(&model);
        let fresh = truth(&mut session(&model, 1), &ids[..40]);
        let mut used = session(&model, 1);
        truth(&mut used, &ids);
        used.step(3).unwrap();
        used.clear();
        assert_eq!(used.position(), 0);
        assert!(truth(&mut used, &ids[..40]) == fresh, "{spec:?}");
    }
}

/// A model in which id 5 has a value that is no number. Not of I2_S, whose activations of 8 bits
/// cannot pass it on.
pub fn model_with_a_nan() -> Arc<Model> {
    let float = SynthSpec { weights: WeightType::F32, embedding: WeightType::F32, ..TINY };
    let file = synthetic::bytes(&float);
    let info = Directory::parse(&file).unwrap().tensor("token_embd.weight").unwrap().clone();
    let mut table = file[info.range()].to_vec();
    table[5 * 1024..][..4].copy_from_slice(&f32::NAN.to_le_bytes()); // in the row of id 5
    let bytes = edited(&file, &[tensor(&info.name, TensorType::F32, &info.dims, table)]);
    synthetic::load(&synthetic::open(&bytes), Kernels::best())
}

/// The last layer's output. Not the logits: with that model none of them is a number.
pub fn hidden(session: &mut Session, ids: &[u32]) -> Vec<f32> {
    let mut seen = Recorder::default();
    session.prefill_tapped(ids, LogitsOf::Nothing, Some(&mut seen)).unwrap();
    seen.tensors.pop().expect("the last layer's output").values
}

#[test]
fn a_cleared_session_forgets_values_that_were_no_numbers() {
    let model = model_with_a_nan();
    let fresh = hidden(&mut session(&model, 1), &[1, 2, 3]);
    assert!(fresh.iter().all(|v| v.is_finite()));
    let mut used = session(&model, 1);
    let spoilt = hidden(&mut used, &[1, 2, 3, 4, 5, 6]);
    assert!(spoilt.iter().any(|v| v.is_nan()), "id 5 spoils what follows");
    used.clear();
    assert!(hidden(&mut used, &[1, 2, 3]) == fresh, "nothing of it is left");
}

#[test]
fn sessions_on_one_model_do_not_disturb_each_other() {
    let model = model(&TINY);
    let ids = ids(&model);
    let backwards: Vec<u32> = ids.iter().rev().copied().collect();
    let alone = [&ids, &backwards].map(|ids| truth(&mut session(&model, 1), ids));
    let mut sessions = [session(&model, 1), session(&model, 2)];
    let mut logits = [Vec::new(), Vec::new()];
    for range in [0..5, 5..70, 70..LENGTH] {
        for (n, ids) in [&ids, &backwards].into_iter().enumerate() {
            logits[n].extend(truth(&mut sessions[n], &ids[range.clone()]));
        }
    }
    assert!(logits == alone, "in turn");
    let at_once = std::thread::scope(|scope| {
        let run = |ids| {
            let model = Arc::clone(&model);
            scope.spawn(move || truth(&mut session(&model, 2), ids))
        };
        [run(&ids), run(&backwards)].map(|thread| thread.join().unwrap())
    });
    assert!(at_once == alone, "at once");
}

#[test]
fn last_is_the_last_row_of_all() {
    for spec in specs() {
        let model = model(&spec);
        let ids = ids(&model);
        for length in [1, 2, 64, 65, LENGTH] {
            let all = truth(&mut session(&model, 2), &ids[..length]);
            let last = session(&model, 2).prefill(&ids[..length], LogitsOf::Last).unwrap();
            assert_eq!(last.len(), model.config().vocab_size);
            assert!(all.ends_with(&bits(&last)), "{spec:?}, {length} positions");
        }
    }
}

#[test]
fn requests_that_cannot_be_computed() {
    let model = model(&TINY);
    let open = |context| {
        Session::new(&model, context, NonZeroUsize::MIN).err().map(|error| error.to_string())
    };
    let limit = |context| {
        Some(format!("a context of {context} was asked for; the model has 1 to 512 positions"))
    };
    assert_eq!(open(0), limit(0));
    assert_eq!(open(513), limit(513));
    assert_eq!(open(512), None);

    let mut session = Session::new(&model, 8, NonZeroUsize::MIN).unwrap();
    let expected =
        truth(&mut Session::new(&model, 8, NonZeroUsize::MIN).unwrap(), &[1, 2, 3, 4, 5, 6]);
    let mut logits = truth(&mut session, &[1, 2, 3, 4, 5]);
    let mut refuse = |ids: &[u32]| session.prefill(ids, LogitsOf::All).unwrap_err().to_string();
    assert_eq!(refuse(&[]), "no ids to compute: give at least one");
    assert_eq!(refuse(&[6, 768]), "id 768 at index 1 is not in the vocabulary of 768");
    let full = "5 positions are taken and 4 more are asked for, but the context has 8; open the \
                session with a larger context";
    assert_eq!(refuse(&[6, 7, 8, 9]), full);
    let error = session.step(u32::MAX).unwrap_err().to_string();
    assert_eq!(error, "id 4294967295 at index 0 is not in the vocabulary of 768");

    // None of them has left a trace.
    assert_eq!(session.position(), 5);
    logits.extend(bits(session.step(6).unwrap()));
    assert!(logits == expected);
    session.prefill(&[7, 8], LogitsOf::Nothing).unwrap();
    let full = "8 positions are taken and 1 more are asked for, but the context has 8; open the \
                session with a larger context";
    assert_eq!(session.step(9).unwrap_err().to_string(), full);
    assert_eq!(session.position(), 8);
    session.clear();
    assert!(truth(&mut session, &[1, 2, 3, 4, 5, 6]) == expected, "cleared after being full");
}

#[test]
fn the_kernels_that_computed_are_the_ones_that_are_named() {
    let spec = SynthSpec { weights: WeightType::I2S, embedding: WeightType::F16, ..TINY };
    let file = synthetic::open(&synthetic::bytes(&spec));
    for isa in [Isa::Scalar, Isa::best()] {
        let model = synthetic::load(&file, Kernels::for_isa(isa).expect("is available"));
        let mut session = Session::new(&model, 8, NonZeroUsize::MIN).expect("a session");
        assert_eq!(session.dispatched().count(), 0, "nothing was computed");
        session.step(1).expect("a step");
        let counts = |session: &Session| -> BTreeMap<&str, u64> {
            session.dispatched().map(|d| (d.kernel, d.count)).collect()
        };
        let layers = model.config().block_count as u64;
        let truth = BTreeMap::from([
            ("ternary_dots", 7 * layers),
            ("scale_sums", 7 * layers),
            ("quantize_int8", 4 * layers),
            ("dots_f32", layers),
            ("dots_f16", layers),
            // The head.
            ("dot_f16", 1),
            ("narrow_to_f16", layers + 1),
            ("rms_norm", 4 * layers + 1),
            ("softmax", layers),
            ("relu_squared_gate", layers),
            ("add", 2 * layers),
        ]);
        assert_eq!(counts(&session), truth);
        assert!(session.dispatched().all(|d| d.isa == isa));
        session.step(2).expect("a step");
        assert_eq!(counts(&session)["ternary_dots"], 14 * layers);
    }
}
