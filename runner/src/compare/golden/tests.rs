//! Goldens against live comparisons of the same outputs: the bounds hold what they bound, and no verdict
//! of a golden contradicts the live one. The outputs come from seeds.

use super::bounds::{End, RowBounds};
use super::sketch::Directions;
use super::*;
use crate::compare::tests::{Case, logits, noisy};
use crate::compare::{
    CompareError, Contract, Control, NoiseProfile, Path, Rows, Targets, Tolerance, Verdict, Word,
    compare_rows, judge,
};

/// What a golden of `case` keeps.
struct Kept {
    prefill: PathDigest,
    steps: PathDigest,
    noise: NoiseProfile,
}

fn keep(case: &Case) -> Kept {
    let first = case.prompt_len - 1;
    let fed = &case.ids[..case.ids.len()];
    let prefill = Rows::new("prefill", case.vocab_size, &case.reference_prefill, 0).unwrap();
    let steps = Rows::new("steps", case.vocab_size, &case.reference_steps, first).unwrap();
    let own = prefill.slice(first, case.chosen.len()).unwrap();
    Kept {
        prefill: PathDigest::of(&prefill, &fed[1..]).unwrap(),
        steps: PathDigest::of(&steps, &case.chosen).unwrap(),
        noise: NoiseProfile::measure(&own, &steps).unwrap(),
    }
}

fn against(kept: &Kept, case: &Case, contract: Contract) -> Result<Verdict, CompareError> {
    let input = GoldenInput {
        vocab_size: case.vocab_size,
        ids: &case.ids,
        prompt_len: case.prompt_len,
        chosen: &case.chosen,
        reference_prefill: &kept.prefill,
        reference_steps: &kept.steps,
        reference_noise: Some(&kept.noise),
        test_prefill: &case.test_prefill,
        test_steps: &case.test_steps,
        free_run: None,
        tokens: None,
    };
    judge_golden(&input, &Tolerance::from(contract))
}

#[test]
fn equal_bits_give_the_live_verdict_whole() {
    for noise in [0.0, 1e-3] {
        let case = Case::equal(768, 9, 12, noise);
        for contract in Contract::ALL {
            let live = judge(&case.input(), &contract.into()).unwrap();
            assert_eq!(against(&keep(&case), &case, contract), Ok(live), "{contract:?}");
        }
    }
}

#[test]
fn bounds_hold_the_figures_that_they_bound() {
    for vocab_size in [300, 768, 2500] {
        let directions = Directions::new(vocab_size);
        let reference = logits(vocab_size, 6, 1);
        let rows = Rows::new("reference", vocab_size, &reference, 0).unwrap();
        let next = [1, 2, 3, 4, 5];
        let kept = PathDigest::of(&rows, &next).unwrap();
        let scaled = |by: f32| reference.iter().map(|v| v * by).collect::<Vec<f32>>();
        let mut tests: Vec<Vec<f32>> =
            [1e-6, 1e-4, 1e-2, 0.3, 3.0].map(|sd| noisy(&reference, sd, 9)).into();
        tests.extend([scaled(1.001), scaled(0.9), scaled(-1.0), logits(vocab_size, 6, 5)]);
        for (number, test) in tests.iter().enumerate() {
            let test = Rows::new("test", vocab_size, test, 0).unwrap();
            let live = compare_rows(&rows, &test, &Targets::of_text(&next)).unwrap();
            for (index, live) in live.iter().enumerate() {
                let figures = kept.rows[index].figures.as_ref().unwrap();
                let next = next.get(index).copied();
                let bounds = RowBounds::new(figures, test.row(index), next, &directions);
                let best = bounds.row(index, true, End::Best);
                let [steep, flat] =
                    [End::WorstSteep, End::WorstFlat].map(|end| bounds.row(index, true, end));
                let place = format!("vocabulary {vocab_size}, test {number}, row {index}");
                // Sums of thousands of terms, added in another order.
                let within = |low: f64, value: f64, high: f64, what: &str| {
                    let slack = 1e-9 * value.abs().max(1e-3);
                    assert!(
                        low - slack <= value && value <= high + slack,
                        "{place}: {what} {low:e} <= {value:e} <= {high:e}"
                    );
                };
                within(best.kl, live.kl, steep.kl, "kl");
                within(best.nmse, live.nmse, steep.nmse, "nmse");
                within(steep.centred_cosine, live.centred_cosine, best.centred_cosine, "cosine");
                within(steep.raw_cosine, live.raw_cosine, best.raw_cosine, "raw cosine");
                within(
                    steep.unshifted_cosine,
                    live.unshifted_cosine,
                    best.unshifted_cosine,
                    "unshifted",
                );
                within(flat.slope, live.slope, steep.slope, "slope");
                within(
                    best.total_variation,
                    live.total_variation,
                    steep.total_variation,
                    "variation",
                );
                within(best.max_ln_p_gap, live.max_ln_p_gap, steep.max_ln_p_gap, "gap");
                assert!((best.mean_shift - live.mean_shift).abs() < 1e-9, "{place}");
                assert_eq!(best.top10_overlap, live.top10_overlap, "{place}");
                assert_eq!(
                    (best.reference_top, best.test_top),
                    (live.reference_top, live.test_top)
                );
                match (best.nll, live.nll) {
                    (Some(a), Some(b)) => {
                        assert!((a.reference - b.reference).abs() < 1e-9, "{place}");
                        assert!((a.test - b.test).abs() < 1e-9, "{place}");
                    }
                    (a, b) => assert_eq!(a, b, "{place}"),
                }
            }
        }
    }
}

#[test]
fn no_verdict_contradicts_the_live_one() {
    let controls = [
        Control::ShiftedPosition,
        Control::OtherPrompt,
        Control::RotatedVocabulary,
        Control::Scaled(1.1),
        Control::Scaled(1.02),
        Control::Scaled(1.004),
        Control::Noise(1e-5),
        Control::Noise(1e-3),
        Control::Noise(0.02),
        Control::Noise(0.05),
        Control::Noise(0.1),
        Control::Noise(0.3),
        Control::SwappedTopTwo,
        Control::Negated,
        Control::OneStaleRow,
        Control::DampedTop(1.0),
        Control::Shifted(3.0),
    ];
    let mut counts = [0; 3];
    for (vocab_size, noise) in [(768, 0.0), (600, 1e-3), (1300, 1e-3)] {
        let case = Case::equal(vocab_size, 9, 8, noise);
        let kept = keep(&case);
        let other = logits(vocab_size, case.ids.len(), 77);
        for control in controls {
            let mut test = case.clone();
            test.test_prefill = control.apply(&case.test_prefill, &other, vocab_size, 5);
            test.test_steps = control.apply(&case.test_steps, &other, vocab_size, 6);
            for contract in Contract::ALL {
                let live = test.judge(contract);
                let place = format!("{vocab_size} {noise} {control:?} {contract:?}: {live:?}");
                match against(&kept, &test, contract) {
                    Ok(golden) if golden.passes() => {
                        counts[0] += 1;
                        assert!(live.passes(), "{place}");
                    }
                    Ok(_) => {
                        counts[1] += 1;
                        assert_eq!(live.word, Word::Diverged, "{place}");
                    }
                    Err(CompareError::Undecided { .. }) => counts[2] += 1,
                    Err(other) => panic!("{place}: {other}"),
                }
            }
        }
    }
    let [passed, diverged, open] = counts;
    // Most are decided; those that are not lie near a limit.
    assert!(passed >= 12 && diverged >= 90 && open <= 40, "{counts:?}");
}

#[test]
fn what_is_open_is_an_error_that_says_what_is_missing() {
    let case = Case::equal(4096, 17, 12, 1e-3);
    let kept = keep(&case);
    let mut test = case.clone();
    let scale = Control::Scaled(1.004);
    test.test_prefill = scale.apply(&case.test_prefill, &[], 4096, 5);
    test.test_steps = scale.apply(&case.test_steps, &[], 4096, 6);
    let error = against(&kept, &test, Contract::SameNumerics).unwrap_err().to_string();
    for part in
        ["the golden does not decide `", "lies between", "compare with the reference itself"]
    {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn a_row_kept_as_a_hash_alone_decides_nothing_but_equality() {
    let case = Case::equal(768, 9, 6, 0.0);
    let mut kept = keep(&case);
    kept.prefill.rows[3].figures = None;
    let right = against(&kept, &case, Contract::SameNumerics).unwrap();
    assert_eq!(right.word, Word::Exact);
    let mut test = case.clone();
    test.test_prefill[3 * 768 + 5] += 1e-5;
    let error = against(&kept, &test, Contract::SameNumerics).unwrap_err().to_string();
    assert!(error.contains("of one row with other bits it keeps nothing but a hash"), "{error}");
    // What is known of other rows is enough to fail.
    test.test_prefill[..768].iter_mut().for_each(|v| *v *= 1.3);
    let verdict = against(&kept, &test, Contract::SameNumerics).unwrap();
    assert_eq!(verdict.word, Word::Diverged);
    let bounded = verdict.bounded.unwrap();
    assert_eq!((bounded.rows, bounded.unknown, bounded.best), (2, 1, true));
    let said = verdict.untested.iter().any(|s| {
        s.contains("2 rows differ in bits from the golden")
            && s.contains("1 of them are kept as a hash")
    });
    assert!(said, "{:?}", verdict.untested);
}

#[test]
fn one_flipped_bit_is_found_in_its_row() {
    let case = Case::equal(768, 9, 6, 0.0);
    let kept = keep(&case);
    let mut test = case.clone();
    let value = &mut test.test_steps[2 * 768 + 100];
    *value = f32::from_bits(value.to_bits() ^ 1);
    let verdict = against(&kept, &test, Contract::SameNumerics).unwrap();
    assert_eq!(verdict.word, Word::Match);
    let [prefill, decode] = &verdict.paths[..] else { panic!("two paths") };
    assert_eq!(prefill.summary.bit_equal_rows, prefill.summary.rows);
    let differing: Vec<usize> =
        decode.rows.iter().filter(|r| !r.bit_equal).map(|r| r.position).collect();
    assert_eq!((decode.path, differing), (Path::Decode, vec![8 + 2]));
}

#[test]
fn rows_of_another_number_are_an_error() {
    let case = Case::equal(768, 9, 6, 0.0);
    let mut kept = keep(&case);
    kept.steps.rows.pop();
    let error = against(&kept, &case, Contract::SameNumerics).unwrap_err().to_string();
    assert!(error.starts_with("golden: 5 rows, but expected 6"), "{error}");
}
