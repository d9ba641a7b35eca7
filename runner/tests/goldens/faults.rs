//! Faults put into the engine on purpose, against goldens: every one must fail, at the rung where it does
//! against the reference itself (`tests/faults.rs`).

use std::sync::Arc;

use bitnet_engine::model::{Activation, Config, RopeStyle};
use bitnet_runner::backend::engine::EngineBackend;
use bitnet_runner::backend::{
    Backend, BackendError, Feed, Generation, Identity, Logits, ModelFacts, NamedTensor,
    OpenRequest, TokenizeOptions,
};
use bitnet_runner::compare::{Rung, Word};
use bitnet_runner::receipt::ParityVerdict;
use bitnet_runner::run::{Engines, GoldenUse, Outcome, Runner, Settings};

use crate::support::{project, trial};

const TRIALS: [&str; 2] = ["parity::smoke::two-plus-two", "parity::prose::trailing-space"];

#[derive(Clone, Copy)]
enum Fault {
    None,
    Config(fn(&mut Config)),
    NoBos,
    Scaled(f32),
    ShiftedRows,
    NotANumber,
}

struct Faulty {
    engine: EngineBackend,
    fault: Fault,
}

impl Faulty {
    fn changed(&self, mut logits: Logits) -> Logits {
        match self.fault {
            Fault::Scaled(factor) => logits.values.iter_mut().for_each(|v| *v *= factor),
            Fault::NotANumber => logits.values[17] = f32::NAN,
            _ => {}
        }
        logits
    }
}

impl Backend for Faulty {
    fn identity(&self) -> &Identity {
        self.engine.identity()
    }

    fn open(&mut self, request: &OpenRequest) -> Result<ModelFacts, BackendError> {
        match self.fault {
            Fault::Config(change) => self.engine.open_changed(request, change),
            _ => self.engine.open(request),
        }
    }

    fn tokenize(&mut self, text: &str, options: TokenizeOptions) -> Result<Vec<u32>, BackendError> {
        let add_special = options.add_special && !matches!(self.fault, Fault::NoBos);
        self.engine.tokenize(text, TokenizeOptions { add_special, ..options })
    }

    fn detokenize(&mut self, ids: &[u32]) -> Result<Vec<u8>, BackendError> {
        self.engine.detokenize(ids)
    }

    fn logits(&mut self, ids: &[u32], feed: Feed) -> Result<Logits, BackendError> {
        let mut logits = self.engine.logits(ids, feed)?;
        if let Fault::ShiftedRows = self.fault {
            logits.values.rotate_right(logits.vocab_size);
        }
        Ok(self.changed(logits))
    }

    fn generate(&mut self, prompt: &[u32], steps: usize) -> Result<Generation, BackendError> {
        let run = self.engine.generate(prompt, steps)?;
        Ok(Generation { logits: self.changed(run.logits), ..run })
    }

    fn tap(&mut self, ids: &[u32], names: &[String]) -> Result<Vec<NamedTensor>, BackendError> {
        self.engine.tap(ids, names)
    }
}

/// Runs the trials, and holds each one's receipt against what follows from its raw data.
fn run(fault: Fault, names: &[&str]) -> Vec<Outcome> {
    let project = project();
    let engines = Engines::with_subject(Box::new(Faulty { engine: EngineBackend::new(), fault }));
    let settings = Settings { allow_skip: false, progress: Box::new(|_| ()) };
    let mut runner =
        Runner::new(Arc::clone(&project), engines, settings).with_goldens(GoldenUse::Always);
    let mut outcomes = Vec::new();
    for name in names {
        let trial = trial(&project, name);
        let outcome = runner.run(trial);
        if let Some(receipt) = runner.receipt(trial, &outcome)
            && let Some(raw) = &receipt.raw
        {
            let again = raw.judge(&receipt.tolerance).expect("raw data that belong together");
            assert_eq!(ParityVerdict::of(&again), receipt.verdict);
            assert_eq!(receipt.passed, matches!(outcome, Outcome::Passed { .. }));
            let source = receipt.reference.expect("the golden's reference").source;
            assert!(source.starts_with("golden, recorded 20"), "{source}");
        }
        outcomes.push(outcome);
    }
    assert_eq!(runner.engines.started().count(), 0, "no reference was started");
    outcomes
}

#[track_caller]
fn diverges(fault: Fault, rung: Rung) {
    for outcome in run(fault, &TRIALS) {
        let Outcome::Failed { text, verdict: Some(verdict), .. } = outcome else {
            panic!("it should diverge: {outcome:?}")
        };
        assert_eq!((verdict.word, verdict.rung), (Word::Diverged, Some(rung)), "{text}");
        assert!(text.contains("\n  golden: bitnet-cpp "), "{text}");
        if rung == Rung::Logits {
            assert!(verdict.bounded.is_some_and(|bounded| bounded.best), "{text}");
            assert!(text.contains("their figures and the ranks of flips are bounds"), "{text}");
        }
    }
}

/// Without this the tests below would prove nothing.
#[test]
fn without_a_fault_the_same_trials_pass_and_name_the_golden() {
    for outcome in run(Fault::None, &TRIALS) {
        let Outcome::Passed { line, verdict: Some(verdict) } = outcome else {
            panic!("it should pass: {outcome:?}")
        };
        assert_eq!((verdict.word, verdict.bounded), (Word::Exact, None));
        assert!(line.contains(" rows bit-equal; golden: bitnet-cpp "), "{line}");
        assert!(line.contains(", recorded 20"), "{line}");
    }
}

#[test]
fn another_activation() {
    diverges(Fault::Config(|config| config.graph.activation = Activation::Silu), Rung::Logits);
}

#[test]
fn another_order_of_rope_pairs() {
    diverges(Fault::Config(|config| config.graph.rope = RopeStyle::Norm), Rung::Logits);
}

#[test]
fn missing_sub_norms() {
    diverges(Fault::Config(|config| config.graph.sub_norms = false), Rung::Logits);
}

#[test]
fn another_epsilon() {
    diverges(Fault::Config(|config| config.rms_epsilon = 1e-2), Rung::Logits);
}

#[test]
fn scaled_logits() {
    diverges(Fault::Scaled(1.1), Rung::Logits);
}

#[test]
fn rows_of_the_position_before() {
    diverges(Fault::ShiftedRows, Rung::Logits);
}

#[test]
fn a_missing_bos_in_parity_and_tokenizer_cases() {
    diverges(Fault::NoBos, Rung::Tokens);
    let [outcome] = &run(Fault::NoBos, &["tokenizer::tokenizer::words"])[..] else { panic!("one") };
    let Outcome::Failed { text, .. } = outcome else { panic!("{outcome:?}") };
    assert!(text.starts_with("DIVERGED at tokens: text 1 of 6: ids differ from index 0"), "{text}");
    assert!(text.contains("\n  golden: bitnet-cpp "), "{text}");
}

#[test]
fn a_logit_that_is_no_number_is_an_error() {
    for outcome in run(Fault::NotANumber, &TRIALS) {
        let Outcome::Failed { text, .. } = outcome else { panic!("{outcome:?}") };
        assert!(text.contains("ERROR test prefill: logit 17 at position 0 is NaN"), "{text}");
    }
}
