//! One test for each way in which comparisons have been seen to pass what they did not check.

use super::{super::explain, *};

fn case() -> Case {
    Case::equal(512, 12, 8, 1e-4)
}

fn error(case: &Case) -> String {
    judge(&case.input(), &Contract::SameNumerics.into()).unwrap_err().to_string()
}

#[test]
fn a_shorter_output_is_not_compared_up_to_its_end() {
    let mut short = case();
    short.test_prefill.truncate(19 * 512);
    assert_eq!(
        error(&short),
        "test prefill: 19 rows of 512 logits, but expected 20 rows of 512 logits like reference \
         prefill; both engines must answer for the same ids and vocabulary, and nothing is cut to fit"
    );
    let mut ragged = case();
    ragged.test_steps.pop();
    assert!(error(&ragged).contains("test decode: 4095 values, but expected whole rows of 512"));
    let mut fewer_ids = case();
    fewer_ids.ids.truncate(15);
    assert!(error(&fewer_ids).contains("the last of which may be left out"));
    let mut fewer_steps = case();
    fewer_steps.reference_steps.truncate(4 * 512);
    assert!(
        error(&fewer_steps).contains("reference decode: 4 rows, but expected 8, one a chosen id")
    );
}

#[test]
fn a_larger_vocabulary_is_not_cut_to_the_smaller() {
    let values = logits(512, 2, 1);
    let wide = Rows::new("reference", 512, &values, 0).unwrap();
    let narrow = Rows::new("test", 256, &values[..512], 0).unwrap();
    let error = compare_rows(&wide, &narrow, &Targets::of_text(&[0])).unwrap_err().to_string();
    assert!(error.contains("test: 2 rows of 256 logits, but expected 2 rows of 512"), "{error}");
}

#[test]
fn nan_and_inf_are_not_zero() {
    for (value, name) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf"), (f32::NEG_INFINITY, "-inf")] {
        let mut prefill = case();
        prefill.test_prefill[7 * 512 + 300] = value;
        let text = error(&prefill);
        assert!(
            text.starts_with(&format!("test prefill: logit 300 at position 7 is {name}; ")),
            "{text}"
        );
        let mut decode = case();
        decode.reference_steps[2 * 512 + 5] = value;
        let text = error(&decode);
        assert!(
            text.starts_with(&format!("reference decode: logit 5 at position 13 is {name}; ")),
            "{text}"
        );
        // Equal NaN on both sides are no agreement either.
        decode.test_steps = decode.reference_steps.clone();
        assert!(judge(&decode.input(), &Contract::CrossNumerics.into()).is_err());
    }
}

#[test]
fn a_missing_output_is_not_a_skipped_one() {
    let mut missing = case();
    missing.test_steps.clear();
    assert!(error(&missing).contains("test decode: 0 rows of 512 logits, but expected 8 rows"));
    let mut nothing = case();
    nothing.reference_prefill.clear();
    nothing.test_prefill.clear();
    assert!(error(&nothing).contains("reference prefill: 0 rows, but expected 20"));
    let empty = Rows::new("reference", 512, &[], 0).unwrap();
    let text = compare_rows(&empty, &empty, &Targets::of_text(&[])).unwrap_err().to_string();
    assert!(text.contains("a comparison of nothing is not a pass"), "{text}");
}

#[test]
fn outputs_that_no_one_produced_are_named_in_the_verdict() {
    let verdict = Case::equal(512, 12, 0, 0.0).judge(Contract::SameNumerics);
    assert_eq!(verdict.word, Word::Exact);
    assert!(
        verdict.untested.iter().any(|s| s == "decode: the case has no steps"),
        "{:?}",
        verdict.untested
    );
    assert!(verdict.untested.iter().any(|s| s.starts_with("self-noise was not measured")));
}

#[test]
fn an_empty_stratum_is_not_full_agreement() {
    let verdict = case().judge(Contract::SameNumerics);
    let decode = &verdict.paths[1];
    assert_eq!(decode.path, Path::Decode);
    assert_eq!(decode.greedy.near_ties, None);
    assert!(verdict.untested.contains(&"decode: no near tie was met".to_owned()));
    let text = explain(&verdict, &case().ids, &|id| id.to_string());
    assert!(text.contains("near ties not tested"), "{text}");
}

#[test]
fn a_top_ten_that_differs_fails_where_it_is_promised() {
    // The tenth and eleventh token of one row trade places by a hair.
    let mut case = Case::equal(512, 12, 8, 0.0);
    let row = &mut case.reference_prefill[..512];
    let mut ids: Vec<usize> = (0..512).collect();
    ids.sort_by(|a, b| row[*b].total_cmp(&row[*a]));
    row[ids[10]] = row[ids[9]].next_down();
    case.test_prefill = case.reference_prefill.clone();
    case.test_prefill.swap(ids[9], ids[10]);
    let verdict = case.judge(Contract::Itself);
    assert_eq!(verdict.word, Word::Diverged);
    assert_eq!(verdict.findings[0].name, "top10-overlap");
    assert_eq!(verdict.findings[0].position, Some(0));
}

#[test]
fn a_mismatch_changes_the_outcome_and_not_only_the_text() {
    let noisy = case().with_test_noise(0.4).judge(Contract::SameNumerics);
    assert!(!noisy.passes() && noisy.word == Word::Diverged && noisy.headline().is_some());
    let ids = Tokenised { ids: &[1, 2], byte_lengths: &[1, 1], detokenised: None };
    let others = Tokenised { ids: &[1, 3], ..ids };
    let case = case();
    let input = ParityInput { tokens: Some((ids, others)), ..case.input() };
    let verdict = judge(&input, &Contract::SameNumerics.into()).unwrap();
    assert_eq!((verdict.word, verdict.rung), (Word::Diverged, Some(Rung::Tokens)));
}

#[test]
fn ids_of_another_run_are_noticed() {
    // As when generated text is tokenised again: the ids no longer belong to the rows.
    let mut other = case();
    let last = other.chosen.len() - 1;
    let wrong = (other.chosen[3] + 1) % 512;
    other.chosen[3] = wrong;
    other.ids[12 + 3] = wrong;
    assert!(error(&other).contains("step 3: the reference chose id"), "{}", error(&other));
    let mut moved = case();
    moved.ids[12 + last] = (moved.ids[12 + last] + 1) % 512;
    assert!(error(&moved).contains("the prompt and then the reference's 8 chosen ids"));
}

#[test]
fn there_is_one_nmse_and_it_is_centred() {
    let r = logits(512, 1, 2);
    let t: Vec<f32> = r.iter().map(|v| v + 2.0).collect();
    let rows = |v| Rows::new("rows", 512, v, 0).unwrap();
    let got = compare_rows(&rows(&r), &rows(&t), &Targets::of_text(&[])).unwrap().remove(0);
    let over_power = 4.0 * 512.0 / r.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>();
    assert!(over_power > 0.05, "the uncentred one would be {over_power}");
    assert!(got.nmse < 1e-12, "{}", got.nmse);
}

#[test]
fn no_case_is_silenced_with_a_limit_of_one_or_zero() {
    for contract in Contract::ALL {
        let t = Tolerance::from(contract);
        for line in table() {
            let Some(limit) = t.limit(line.metric) else { continue };
            let open = if line.sense == Sense::AtMost { 1.0 } else { 0.0 };
            assert!(limit != open && t.tightened(line.name, open).is_err(), "{}", line.name);
        }
    }
}

#[test]
fn a_gap_of_more_than_a_nat_is_never_a_near_tie() {
    // An engine with an uninitialised read looks noisy against itself: that excuses nothing.
    let mut wild = case();
    wild.test_prefill = noisy(&wild.test_prefill, 1.0, 30);
    wild.test_steps = noisy(&wild.test_steps, 1.0, 31);
    let verdict = wild.judge(Contract::SameNumerics);
    assert!(verdict.noise.as_ref().unwrap().test.sigma() > 0.5);
    assert_eq!((verdict.word, verdict.rung), (Word::Diverged, Some(Rung::Logits)));
    for path in &verdict.paths {
        assert!(path.greedy.flips.iter().all(|f| f.tau <= 0.25 && (f.hard || f.margin <= 0.25)));
    }
}

#[test]
fn the_difference_between_engines_does_not_excuse_a_flip() {
    // Both engines repeat themselves exactly; the test prefers another token by 0.05 nat.
    let mut case = Case::equal(512, 12, 8, 0.0);
    for (values, position) in
        [(&mut case.reference_steps, 4), (&mut case.reference_prefill, 11 + 4)]
    {
        let row = &mut values[position * 512..(position + 1) * 512];
        let top = best(row) as usize;
        row[(top + 7) % 512] = row[top] - 0.05;
    }
    case.test_steps = case.reference_steps.clone();
    case.test_prefill = case.reference_prefill.clone();
    for (values, position) in [(&mut case.test_steps, 4), (&mut case.test_prefill, 11 + 4)] {
        let row = &mut values[position * 512..(position + 1) * 512];
        let top = best(row) as usize;
        row.swap(top, (top + 7) % 512);
    }
    let verdict = case.judge(Contract::SameNumerics);
    assert_eq!(
        (verdict.word, verdict.rung),
        (Word::Diverged, Some(Rung::Greedy)),
        "{}",
        one_line(&verdict)
    );
    let headline = verdict.headline().unwrap();
    assert_eq!((headline.name.as_str(), headline.position), ("tau", Some(15)));
    assert!((headline.minimum_to_pass.unwrap() - 0.05).abs() < 1e-6);
}
