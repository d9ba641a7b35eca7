//! Receipts of real comparisons: what a run writes comes back as it was, and its figures follow from
//! its raw data. Ended by errors, it says so and never that it passed.

mod faulty;
#[path = "../support/mod.rs"]
mod support;
mod verification;

use bitnet_runner::compare::{Rung, Word};
use bitnet_runner::receipt::{
    ParityMetrics, ParityReceipt, ParityVerdict, PromptFacts, Receipt, parse, read, read_any,
    write_parity, write_to,
};
use bitnet_runner::run::{Engines, Outcome, Runner, Settings};
use faulty::{Fault, Faulty};
use support::{project, trial};

fn runner(engines: Engines) -> Runner {
    Runner::new(project(), engines, Settings { allow_skip: false, progress: Box::new(|_| ()) })
}

fn run(runner: &mut Runner, name: &str) -> (Outcome, ParityReceipt) {
    let project = project();
    let trial = trial(&project, name);
    let outcome = runner.run(trial);
    let receipt = runner.receipt(trial, &outcome).expect("a comparison has a receipt");
    (outcome, receipt)
}

#[test]
fn what_is_written_comes_back_and_its_figures_follow_from_its_raw_data() {
    let folder = tempfile::tempdir().unwrap();
    let mut runner = runner(Engines::default());
    for (name, tensors) in [("parity::smoke::two-plus-two", "I2_S"), ("parity::types::q6k", "Q6_K")]
    {
        let (outcome, receipt) = run(&mut runner, name);
        let Outcome::Passed { verdict: Some(verdict), .. } = outcome else {
            panic!("{name} should pass: {outcome:?}")
        };
        let path = write_parity(folder.path(), &receipt).unwrap();
        let document = read_any(&path).unwrap();
        assert_eq!(document.receipt, Receipt::Parity(Box::new(receipt.clone())));
        assert!(receipt.model.as_ref().unwrap().tensor_types.contains_key(tensors), "{receipt:?}");

        let raw = receipt.raw.as_ref().unwrap();
        let again = raw.judge(&receipt.tolerance).unwrap();
        assert_eq!(again, *verdict);
        assert_eq!(ParityMetrics::of(&again), receipt.metrics);
        assert_eq!(ParityVerdict::of(&again), receipt.verdict);
        assert_eq!(raw.ids.len(), raw.texts.len());
        assert!(receipt.kernels.iter().any(|kernel| kernel.name.ends_with("/rms_norm")));
        assert!(receipt.passed);
        // What the file itself says, where others look for it.
        let cosine = document.json["metrics"]["cosine_similarity"].as_f64().unwrap();
        assert!(cosine > 0.99, "{cosine}");
        assert_eq!(document.json["kind"], "parity");
        // A figure of each list a position, in one line.
        let text = std::fs::read_to_string(&path).unwrap();
        let lists = text.lines().filter(|line| line.trim_start().starts_with("\"kl\": ["));
        assert_eq!(lists.count(), raw.paths.len(), "{text}");
        assert!(text.len() < 64 << 10, "{} bytes", text.len());
    }
    let two = PromptFacts::of_text("Q: 2+2? A:");
    let (_, receipt) = run(&mut runner, "parity::smoke::two-plus-two");
    assert_eq!(receipt.prompt, two);
    let (_, receipt) = run(&mut runner, "parity::smoke::ids-as-they-stand");
    let raw = receipt.raw.unwrap();
    assert_eq!(receipt.prompt, PromptFacts::of_ids(&raw.ids[..raw.prompt_len]));
}

#[test]
fn a_trial_counts_its_own_kernels_alone() {
    let mut runner = runner(Engines::default());
    let count = |receipt: &ParityReceipt| receipt.kernels.iter().map(|k| k.count).sum::<u64>();
    let (_, first) = run(&mut runner, "parity::smoke::two-plus-two");
    let (_, second) = run(&mut runner, "parity::smoke::two-plus-two");
    assert_eq!(count(&first), count(&second), "the same work in the same session");
}

#[test]
fn a_difference_is_in_the_receipt_with_what_it_follows_from() {
    let mut runner = runner(Engines::with_subject(Box::new(Faulty::new(Fault::Scaled(1.05)))));
    let (outcome, receipt) = run(&mut runner, "parity::smoke::two-plus-two");
    assert!(matches!(outcome, Outcome::Failed { .. }), "{outcome:?}");
    assert_eq!((receipt.verdict.word, receipt.passed), (Word::Diverged, false));
    assert_eq!(receipt.verdict.rung, Some(Rung::Logits));
    let again = receipt.raw.as_ref().unwrap().judge(&receipt.tolerance).unwrap();
    assert_eq!(ParityVerdict::of(&again), receipt.verdict);
}

#[test]
fn what_ends_in_an_error_has_a_receipt_that_says_so() {
    let folder = tempfile::tempdir().unwrap();
    for (fault, words) in [
        (Fault::Panics, "ERROR: panic: no such row"),
        (Fault::NotANumber, "test prefill: logit 3 at position 0 is NaN"),
    ] {
        let mut runner = runner(Engines::with_subject(Box::new(Faulty::new(fault))));
        let (outcome, receipt) = run(&mut runner, "parity::smoke::two-plus-two");
        assert!(matches!(outcome, Outcome::Failed { .. }), "{outcome:?}");
        assert_eq!((receipt.verdict.word, receipt.passed), (Word::Error, false));
        assert_eq!((&receipt.raw, &receipt.metrics), (&None, &None));
        let error = receipt.verdict.error.as_deref().unwrap_or_default();
        assert!(error.starts_with(words), "{error}");
        let path = write_parity(folder.path(), &receipt).unwrap();
        // The name is that of the receipt of a pass, so that no old pass stays beside it.
        assert!(path.ends_with("parity.smoke.two-plus-two.bitnet-cpp.json"), "{path:?}");
        assert_eq!(read_any(&path).unwrap().receipt, Receipt::Parity(Box::new(receipt)));
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_receipt_of_a_comparison_is_none_of_a_benchmark() {
    let folder = tempfile::tempdir().unwrap();
    let (_, receipt) = run(&mut runner(Engines::default()), "parity::smoke::one-letter");
    let path = folder.path().join("ci/one.json");
    write_to(&path, &receipt).unwrap();
    let text = read(&path).unwrap_err().to_string();
    assert!(text.contains("one.json is no receipt of a benchmark: its kind is 'parity'"), "{text}");
    let text = std::fs::read_to_string(&path).unwrap().replace("\"seconds\"", "\"secunds\"");
    let text = parse(&text).unwrap_err();
    assert!(text.contains("unknown field `secunds`"), "{text}");
}
