//! The linked reference computes what it must: both paths agree, threads and observation change
//! nothing, a greedy run follows its own logits.

use crate::fixture::{self, EMBEDDING, FEED_FORWARD, HEADS, Model, VOCABULARY};
use crate::provider;
use crate::reference::{Reference, Settings, build_info};

const IDS: [u32; 11] = [312, 72, 101, 108, 108, 111, 32, 260, 5, 5, 199];

fn load(model: &Model, threads: u32) -> Reference {
    let settings = Settings { context: 96, threads, ..Settings::default() };
    Reference::load(&model.path(), &settings).expect("the reference loads the fixture")
}

fn ids(count: usize) -> Vec<u32> {
    (0..count).map(|i| (i * 37 % 300) as u32).collect()
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// The build that the package compiles is equal to the bit on both paths. A build that is linked
/// instead may contain llamafile's kernels, which round elsewhere and flip int8 codes.
#[track_caller]
fn assert_same_computation(a: &[f32], b: &[f32], what: &str) {
    let difference = largest_difference(a, b);
    let largest = a.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    let linked = build_info().flags.starts_with("not known");
    let allowed = if linked { 0.03 * largest } else { 0.0 };
    assert!(difference <= allowed, "{what}: differs by {difference:e}, the largest is {largest}");
}

fn argmax(row: &[f32]) -> u32 {
    (0..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best }) as u32
}

#[test]
fn identity_names_source_flags_and_compiler() {
    let info = build_info();
    assert_eq!(info.name, provider::NAME);
    for (what, text) in
        [("version", &info.version), ("source", &info.source), ("compiler", &info.compiler)]
    {
        assert!(!text.is_empty(), "{what} is empty");
    }
    assert!(
        info.system_info.contains("AVX2") || cfg!(not(target_arch = "x86_64")),
        "{}",
        info.system_info
    );
    assert_eq!(info.profile == "linked", info.flags.starts_with("not known"));
    if info.profile == "checking" {
        assert!(info.flags.contains("-ffp-contract=off"), "flags: {}", info.flags);
        assert!(!info.flags.contains("LLAMAFILE"), "flags: {}", info.flags);
        assert!(!info.flags.contains("openmp"), "flags: {}", info.flags);
    }
    println!("{info:#?}");
}

#[test]
fn timed_calls_compute_what_untimed_ones_do() {
    let model = Model::new();
    let ids = ids(12);
    let settings = Settings { context: 96, ..Settings::default() };
    let mut plain = Reference::load(&model.path(), &settings).expect("the model");
    let rows = plain.logits_by_step(&ids).expect("logits");
    let chosen: Vec<u32> = rows.chunks(plain.vocab_size()).map(argmax).collect();
    let last = argmax(&plain.logits(&ids).expect("logits")[11 * plain.vocab_size()..]);
    // With the same types of cache, and threads that stay or do not.
    for (kept_threads, threads) in [(false, 1), (true, 1), (true, 2)] {
        let settings = Settings { kept_threads, threads, ..settings.clone() };
        let mut reference = Reference::load(&model.path(), &settings).expect("the model");
        for depth in [0, 5] {
            let timed = reference.time_decode(&ids, depth).expect("times");
            assert_eq!(timed.ids, chosen[depth..], "depth {depth}, {settings:?}");
            assert_eq!(timed.nanos.len(), ids.len() - depth);
            assert!(timed.nanos.iter().all(|&nanos| nanos > 0), "{:?}", timed.nanos);
        }
        let timed = reference.time_prefill(&ids, 3).expect("times");
        assert_eq!((timed.ids.as_slice(), timed.nanos.len()), (&[last; 3][..], 3));
        assert!(timed.nanos.iter().all(|&nanos| nanos > 0), "{:?}", timed.nanos);
        let nothing = reference.time_decode(&ids, 12).expect_err("no id is left").to_string();
        assert!(nothing.contains("no id is left to be timed behind the first 12"), "{nothing}");
    }
    Reference::load(&model.path(), &Settings::fastest(96, 2)).expect("the fast settings");
}

#[test]
fn model_facts_are_the_files() {
    let model = Model::new();
    let reference = load(&model, 1);
    assert_eq!(reference.vocab_size(), VOCABULARY);
    assert_eq!(reference.context_length(), fixture::CONTEXT as usize);
    assert_eq!(reference.bos(), Some(fixture::BOS));
    assert_eq!(reference.eos(), Some(fixture::EOS));
    assert!(reference.adds_bos());
    let description = reference.description();
    assert!(description.contains(provider::TERNARY_NAME), "{description}");
}

#[test]
fn logits_have_a_finite_row_for_every_position_and_differ_between_positions() {
    let model = Model::new();
    let logits = load(&model, 1).logits(&IDS).expect("logits");
    assert_eq!(logits.len(), IDS.len() * VOCABULARY);
    assert!(logits.iter().all(|value| value.is_finite()));
    let rows: Vec<&[f32]> = logits.chunks(VOCABULARY).collect();
    for pair in rows.windows(2) {
        assert!(largest_difference(pair[0], pair[1]) > 1e-3, "two positions have the same logits");
    }
}

#[test]
fn prefill_and_single_steps_agree() {
    let model = Model::new();
    let mut reference = load(&model, 1);
    for count in [1, 2, 3, 4, 5, 11, 33, 64, 90] {
        let ids = ids(count);
        let batch = reference.logits(&ids).expect("logits");
        let steps = reference.logits_by_step(&ids).expect("logits by step");
        println!("{count} ids: largest difference {:e}", largest_difference(&batch, &steps));
        assert_same_computation(&batch, &steps, &format!("{count} ids"));
    }
}

#[test]
fn splitting_a_prefill_does_not_change_it() {
    let model = Model::new();
    let whole = load(&model, 1).logits(&ids(70)).expect("logits");
    let settings = Settings { context: 96, micro_batch: 33, ..Settings::default() };
    let mut reference = Reference::load(&model.path(), &settings).expect("the fixture");
    let split = reference.logits(&ids(70)).expect("logits in three batches");
    assert_same_computation(&whole, &split, "one batch against three");
}

#[test]
fn every_call_starts_from_an_empty_cache() {
    let model = Model::new();
    let mut reference = load(&model, 1);
    let first = reference.logits(&IDS).expect("logits");
    reference.generate(&ids(40), 5).expect("a generation in between");
    assert_eq!(reference.logits(&IDS).expect("logits"), first);
}

#[test]
fn threads_do_not_change_a_bit() {
    let model = Model::new();
    let ids = ids(45);
    let one = load(&model, 1).logits(&ids).expect("logits at 1 thread");
    for threads in [2, 3] {
        let more = load(&model, threads).logits(&ids).expect("logits at more threads");
        assert!(
            one.iter().zip(&more).all(|(a, b)| a.to_bits() == b.to_bits()),
            "{threads} threads differ by {:e}",
            largest_difference(&one, &more)
        );
    }
}

#[test]
fn greedy_generation_follows_its_own_logits() {
    let model = Model::new();
    let mut reference = load(&model, 2);
    let run = reference.generate(&IDS, 12).expect("a generation");
    assert_eq!(run.ids.len(), 12);
    assert_eq!(run.nanos.len(), 12);
    assert!(run.nanos.iter().all(|nanos| *nanos > 0), "{:?}", run.nanos);
    for (id, row) in run.ids.iter().zip(run.logits.chunks(VOCABULARY)) {
        assert_eq!(*id, argmax(row));
    }
    let fed: Vec<u32> = IDS.iter().chain(&run.ids[..11]).copied().collect();
    let teacher_forced = reference.logits(&fed).expect("logits of the same ids");
    let rows = &teacher_forced[(IDS.len() - 1) * VOCABULARY..];
    assert_same_computation(rows, &run.logits, "teacher-forced against greedy");
}

#[test]
fn generating_no_steps_gives_nothing() {
    let model = Model::new();
    let run = load(&model, 1).generate(&IDS, 0).expect("an empty generation");
    assert!(run.ids.is_empty() && run.logits.is_empty() && run.nanos.is_empty());
}

#[test]
fn capture_observes_without_changing() {
    let model = Model::new();
    let mut reference = load(&model, 2);
    let names: Vec<String> = [
        "attn_norm-0",
        "Qcur-0",
        "kq-0",
        provider::SOFTMAX,
        "kqv_out-1",
        provider::GATED,
        "l_out-1",
        "result_norm",
        "result_output",
    ]
    .map(str::to_owned)
    .to_vec();
    let logits = reference.logits(&IDS).expect("logits");
    let tensors = reference.capture(&IDS, &names).expect("the tensors");
    let after = reference.logits(&IDS).expect("logits");
    assert_eq!(logits, after, "a capture changed a later call");
    let one = |name: &str| {
        let mut found = tensors.iter().filter(|tensor| tensor.name == name);
        let tensor = found.next().unwrap_or_else(|| panic!("no {name}"));
        assert!(found.next().is_none(), "{name} twice");
        tensor
    };
    for tensor in &tensors {
        println!("{} {} #{} {:?}", tensor.name, tensor.op, tensor.occurrence, tensor.shape);
        assert_eq!(tensor.values.len(), tensor.shape.iter().product::<usize>(), "{}", tensor.name);
    }
    let output = one("result_output");
    assert_eq!(output.shape, [VOCABULARY, IDS.len(), 1, 1]);
    assert!(
        output.values.iter().zip(&logits).all(|(a, b)| a.to_bits() == b.to_bits()),
        "observed and unobserved logits differ by {:e}",
        largest_difference(&output.values, &logits)
    );
    assert_eq!(one("attn_norm-0").shape, [EMBEDDING, IDS.len(), 1, 1]);
    assert_eq!(one(provider::GATED).shape, [FEED_FORWARD, IDS.len(), 1, 1]);
    let weights = one(provider::SOFTMAX);
    assert_eq!(weights.shape, [provider::CELLS, IDS.len(), HEADS, 1]);
    for (position, row) in weights.values.chunks(provider::CELLS).enumerate().take(IDS.len()) {
        let sum: f64 = row.iter().map(|value| f64::from(*value)).sum();
        assert!((sum - 1.0).abs() < 1e-6, "the weights of position {position} sum to {sum}");
        assert!(
            row[position + 1..].iter().all(|value| *value == 0.0),
            "position {position} sees the future"
        );
    }
    let queries: Vec<_> = tensors.iter().filter(|tensor| tensor.name == "Qcur-0").collect();
    let occurrences: Vec<usize> = queries.iter().map(|tensor| tensor.occurrence).collect();
    assert_eq!(occurrences, (0..=provider::ROTATED).collect::<Vec<_>>());
    let (projected, rotated) = (queries[0], queries[provider::ROTATED]);
    assert_eq!((&*projected.op, &*rotated.op), ("MUL_MAT", "ROPE"));
    // Position 0 is rotated by nothing.
    assert_eq!(projected.values[..EMBEDDING], rotated.values[..EMBEDDING]);
    assert_ne!(projected.values[EMBEDDING..], rotated.values[EMBEDDING..]);
}

#[test]
fn capture_reads_views_by_their_strides() {
    let model = Model::new();
    let mut reference = load(&model, 1);
    let names = ["Qcur-0".to_owned(), provider::PERMUTED.to_owned()];
    let tensors = reference.capture(&IDS, &names).expect("the tensors");
    let rotated = tensors.iter().rfind(|tensor| tensor.name == "Qcur-0").expect("Qcur-0");
    let permuted = tensors.iter().find(|tensor| tensor.name == provider::PERMUTED);
    let permuted = permuted.expect("permuted queries");
    let head = EMBEDDING / HEADS;
    assert_eq!(rotated.shape, [head, HEADS, IDS.len(), 1]);
    assert_eq!(permuted.shape, [head, IDS.len(), HEADS, 1]);
    for (h, position, i) in [(0, 0, 0), (1, 0, 3), (3, 7, 11), (2, 10, head - 1)] {
        let straight = rotated.values[(position * HEADS + h) * head + i];
        let turned = permuted.values[(h * IDS.len() + position) * head + i];
        assert_eq!(
            straight.to_bits(),
            turned.to_bits(),
            "head {h}, position {position}, value {i}"
        );
    }
}

#[test]
fn timings_count_prefill_and_decode_apart() {
    let model = Model::new();
    let mut reference = load(&model, 1);
    reference.generate(&IDS, 4).expect("a generation");
    let timings = reference.timings();
    assert_eq!(timings.prefill_tokens, IDS.len() as u32);
    assert_eq!(timings.decode_tokens, 3);
    assert!(
        timings.load_ms > 0.0 && timings.prefill_ms > 0.0 && timings.decode_ms > 0.0,
        "{timings:?}"
    );
}

#[test]
fn a_reference_may_move_to_another_thread() {
    let model = Model::new();
    let mut reference = load(&model, 1);
    let here = reference.logits(&IDS).expect("logits");
    let there = std::thread::spawn(move || reference.logits(&IDS)).join().expect("no panic");
    assert_eq!(there.expect("logits"), here);
}

#[test]
fn several_references_may_live_at_once() {
    let model = Model::new();
    let info = build_info();
    let alone = load(&model, 1).logits(&IDS).expect("logits");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..4 {
                    let mut reference = load(&model, 1);
                    assert_eq!(reference.logits(&IDS).expect("logits"), alone);
                }
                // The reference's own text is rewritten in place at every call; ours must not be.
                for _ in 0..2000 {
                    assert_eq!(build_info(), info);
                }
            });
        }
    });
}
