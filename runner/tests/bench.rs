//! Benchmarks of doubles with known times and answers: what is measured, in which order, and that no
//! wrong answer gets a figure. Times nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bitnet_runner::backend::{
    Backend, BackendError, Feed, Generation, Identity, KernelCalls, Logits, ModelFacts,
    NamedTensor, OpenRequest, Output, Timed, TokenizeOptions,
};
use bitnet_runner::bench::contender::{Contender, Started};
use bitnet_runner::bench::measure::{Demand, MeasureError, Pair, measure};
use bitnet_runner::bench::noise::NOISY_HOST;
use bitnet_runner::bench::task::Task;
use bitnet_runner::receipt::{Measure, Measured, Order, Word, derive};

const VOCAB: usize = 64;

/// An engine whose highest logit behind an id is that of the same id.
#[derive(Clone)]
struct Double {
    identity: Identity,
    /// What each call takes.
    nanos: u64,
    /// Added to every id of a greedy decode.
    greedy_shift: u32,
    /// Added to every id from the visit of this number on.
    shift: Option<(usize, u32)>,
    visits: Arc<AtomicUsize>,
    opened: Arc<AtomicUsize>,
}

impl Double {
    fn new(name: &str, nanos: u64) -> Self {
        let identity = Identity {
            name: name.to_owned(),
            version: "1".to_owned(),
            source: "runner/tests".to_owned(),
            build: "test".to_owned(),
        };
        let (visits, opened) = (Arc::default(), Arc::default());
        Self { identity, nanos, greedy_shift: 0, shift: None, visits, opened }
    }

    fn contender(&self, output: Option<Output>) -> Contender<'_> {
        let start = || Ok(Started { backend: Box::new(self.clone()), process: None });
        let request = OpenRequest::new("double.gguf", 64);
        Contender::new(Box::new(start), request, output).expect("a double opens anything")
    }

    /// The answers of a visit to `ids`.
    fn timed(&self, ids: &[u32], greedy: bool) -> Timed {
        let visit = self.visits.fetch_add(1, Ordering::Relaxed);
        let later = self.shift.filter(|(from, _)| visit >= *from).map_or(0, |(_, shift)| shift);
        let shift = later + if greedy { self.greedy_shift } else { 0 };
        Timed {
            ids: ids.iter().map(|id| (id + shift) % VOCAB as u32).collect(),
            nanos: vec![self.nanos; ids.len()],
            kernels: vec![KernelCalls { name: "scalar/add".to_owned(), count: 1 }],
        }
    }
}

impl Backend for Double {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn open(&mut self, _: &OpenRequest) -> Result<ModelFacts, BackendError> {
        self.opened.fetch_add(1, Ordering::Relaxed);
        Ok(ModelFacts { vocab_size: VOCAB, context_length: 4096, bos: None, eos: None })
    }

    fn tokenize(&mut self, _: &str, _: TokenizeOptions) -> Result<Vec<u32>, BackendError> {
        unreachable!("a benchmark feeds ids")
    }

    fn detokenize(&mut self, _: &[u32]) -> Result<Vec<u8>, BackendError> {
        unreachable!("a benchmark feeds ids")
    }

    fn logits(&mut self, ids: &[u32], _: Feed) -> Result<Logits, BackendError> {
        let mut values = vec![0.0; ids.len() * VOCAB];
        for (row, &id) in ids.iter().enumerate() {
            values[row * VOCAB + id as usize] = 1.0;
        }
        Ok(Logits { vocab_size: VOCAB, values })
    }

    fn generate(&mut self, prompt: &[u32], steps: usize) -> Result<Generation, BackendError> {
        let last = prompt[prompt.len() - 1];
        let logits = self.logits(&[last], Feed::Prefill)?;
        Ok(Generation { ids: vec![last; steps], logits, nanos: vec![self.nanos; steps] })
    }

    fn tap(&mut self, _: &[u32], _: &[String]) -> Result<Vec<NamedTensor>, BackendError> {
        unreachable!("a benchmark reads no tensor")
    }

    fn time_prefill(&mut self, ids: &[u32], repeats: usize) -> Result<Timed, BackendError> {
        Ok(self.timed(&vec![ids[ids.len() - 1]; repeats], false))
    }

    fn time_decode(
        &mut self,
        ids: &[u32],
        depth: usize,
        output: Output,
    ) -> Result<Timed, BackendError> {
        Ok(self.timed(&ids[depth..], output == Output::Greedy))
    }
}

fn task(measure: Measure) -> Task {
    let output = (measure == Measure::Decode).then_some(Output::Greedy);
    let tokens = if measure == Measure::Load { 0 } else { 16 };
    Task { name: "some".to_owned(), measure, tokens, depth: 0, output }
}

fn run(
    subject: &Double,
    reference: &Double,
    measure_of: Measure,
    min_ratio: f64,
) -> Result<(Measured, Vec<KernelCalls>), MeasureError> {
    let mut pair = Pair {
        subject: subject.contender(None),
        reference: reference.contender(Some(Output::Logits)),
    };
    let demand = Demand { min_ratio, rounds: 40, all_rounds: false };
    measure(&mut pair, &task(measure_of), demand, &|_| ())
}

/// The word, where the machine that tests is quiet enough for one.
fn assert_word(measured: &Measured, word: Word) {
    let noisy = measured.verdict.reasons.iter().any(|reason| reason.starts_with(NOISY_HOST));
    let expected = if noisy { Word::Inconclusive } else { word };
    assert_eq!(measured.verdict.word, expected, "{:?}", measured.verdict.reasons);
}

#[test]
fn twice_the_speed_passes_at_the_first_look_and_is_recomputed_from_the_rounds() {
    let (subject, reference) = (Double::new("s", 10_000_000), Double::new("r", 20_000_000));
    let (measured, kernels) = run(&subject, &reference, Measure::Decode, 1.5).unwrap();
    assert_word(&measured, Word::Pass);
    assert_eq!(measured.rounds.len(), 8);
    assert!((measured.metrics.speed_ratio - 2.0).abs() < 1e-9, "{:?}", measured.metrics);
    assert_eq!(measured.metrics.subject.per_second, 100.0);
    assert_eq!(measured.metrics.reference.per_second, 50.0);
    let again = derive::metrics(Measure::Decode, 16, &measured.rounds).unwrap();
    assert_eq!(measured.metrics, again);
    let orders: Vec<Order> = measured.rounds.iter().take(4).map(|round| round.order).collect();
    let (s, r) = (Order::SubjectFirst, Order::ReferenceFirst);
    assert_eq!(orders, [s, r, s, r]);
    // 16 ids take the faster engine 0.16 s: twice makes a visit of 0.32 s.
    assert_eq!(measured.rounds[0].subject.nanos.len(), 32);
    assert_eq!(measured.verification.positions, 8 * 32);
    assert_eq!(measured.verification.near_ties, 0);
    assert_eq!(kernels, [KernelCalls { name: "scalar/add".to_owned(), count: 16 }]);
}

#[test]
fn too_slow_fails_with_the_figures() {
    let (subject, reference) = (Double::new("s", 20_000_000), Double::new("r", 20_000_000));
    let (measured, _) = run(&subject, &reference, Measure::Prefill, 1.5).unwrap();
    assert_word(&measured, Word::Fail);
    let reasons = measured.verdict.reasons.join("\n");
    assert!(reasons.contains("1.000 of the speed it is held against"), "{reasons}");
    assert!(reasons.contains("limit 1.500, after 8 rounds"), "{reasons}");
}

#[test]
fn each_timed_load_has_a_process_of_its_own() {
    let (subject, reference) = (Double::new("s", 1), Double::new("r", 1));
    let (measured, _) = run(&subject, &reference, Measure::Load, 0.01).unwrap();
    let loads: usize = measured.rounds.iter().map(|round| round.subject.nanos.len()).sum();
    // One that answers, and two rounds of warm-up.
    assert_eq!(subject.opened.load(Ordering::Relaxed), 1 + 2 + loads);
    assert_eq!(
        measured.metrics.subject.max_ns,
        measured.rounds.iter().flat_map(|round| round.subject.nanos.iter().copied()).max().unwrap()
    );
}

#[test]
fn no_wrong_answer_has_a_figure() {
    let right = Double::new("right", 1_000_000);
    let refused = |subject: &Double, reference: &Double| {
        run(subject, reference, Measure::Decode, 1.0).unwrap_err().to_string()
    };
    let wrong = Double { shift: Some((0, 1)), ..Double::new("wrong", 1) };
    let text = refused(&wrong, &right);
    assert!(text.starts_with("wrong answered wrongly 16 times of 16: first id "), "{text}");
    assert!(text.contains("further below the reference's highest, 1, than 0.875"), "{text}");
    assert!(text.ends_with("a wrong answer has no speed"), "{text}");
    // Right for a while: the warm-up and three rounds.
    let later = Double { shift: Some((40, 1)), ..Double::new("later", 1_000_000) };
    assert!(refused(&later, &right).starts_with("later chose id "));
    let reference = Double { shift: Some((3, 1)), ..Double::new("reference", 1_000_000) };
    assert!(refused(&right, &reference).starts_with("reference answered wrongly "));
}

#[test]
fn a_greedy_decode_answers_what_the_logits_do() {
    let right = Double::new("right", 1_000_000);
    let greedy = Double { greedy_shift: 1, ..Double::new("greedy", 1) };
    let text = run(&greedy, &right, Measure::Decode, 1.0).unwrap_err().to_string();
    assert!(text.starts_with("greedy answered wrongly 16 times of 16"), "{text}");
}
