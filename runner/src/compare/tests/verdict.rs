//! Words, rungs and what a verdict says about itself.

use super::*;

#[test]
fn equal_outputs_are_exact() {
    let case = Case::equal(1024, 25, 32, 1e-3);
    for contract in Contract::ALL {
        let verdict = case.judge(contract);
        assert_eq!((verdict.word, verdict.rung), (Word::Exact, None), "{}", one_line(&verdict));
        assert!(verdict.findings.is_empty());
    }
    assert_eq!(one_line(&case.judge(Contract::SameNumerics)), "EXACT 89/89 rows bit-equal");
}

#[test]
fn one_bit_is_no_longer_exact() {
    let mut case = Case::equal(1024, 25, 32, 1e-3);
    case.test_steps[5000] = case.test_steps[5000].next_up();
    let verdict = case.judge(Contract::SameNumerics);
    assert_eq!(verdict.word, Word::Match);
    assert_eq!(verdict.paths[1].summary.bit_equal_rows, 31);
}

#[test]
fn noise_within_the_contract_matches() {
    let verdict =
        Case::equal(4096, 25, 32, 1e-3).with_test_noise(1e-3).judge(Contract::SameNumerics);
    assert_eq!(verdict.word, Word::Match, "{}", one_line(&verdict));
    let line = one_line(&verdict);
    assert!(
        line.starts_with("MATCH mean KL ") && line.contains("top-1 57/57 (Wilson ≥ 0.936)"),
        "{line}"
    );
}

#[test]
fn more_than_the_references_own_noise_is_drift() {
    let quiet = Case::equal(4096, 25, 32, 1e-4).with_test_noise(0.02).judge(Contract::SameNumerics);
    assert_eq!(quiet.word, Word::Drift, "{}", one_line(&quiet));
    assert!(quiet.passes() && quiet.rung.is_none());
    let finding = &quiet.findings[0];
    assert_eq!((finding.name.as_str(), finding.severity), ("drift", Severity::Drift));
    // A reference as noisy as the difference explains it.
    let loud = Case::equal(4096, 25, 32, 0.02).with_test_noise(0.02).judge(Contract::SameNumerics);
    assert_ne!(loud.word, Word::Drift, "{}", one_line(&loud));
    // Different numerics are expected to differ.
    let cross =
        Case::equal(4096, 25, 32, 1e-4).with_test_noise(0.02).judge(Contract::CrossNumerics);
    assert!(cross.passes() && cross.word != Word::Drift, "{}", one_line(&cross));
}

#[test]
fn the_minimum_to_pass_passes() {
    // Failing figures of `same-numerics` are passed by a limit of exactly what was measured.
    let verdict =
        Case::equal(4096, 25, 32, 1e-3).with_test_noise(0.2).judge(Contract::SameNumerics);
    assert_eq!((verdict.word, verdict.rung), (Word::Diverged, Some(Rung::Logits)));
    let mut checked = 0;
    for finding in verdict.findings.iter().filter(|f| f.rung == Rung::Logits) {
        let line = table().iter().find(|l| l.name == finding.name);
        let (Some(line), Some(minimum)) = (line, finding.minimum_to_pass) else { continue };
        assert!(
            line.keeps(finding.measured, minimum) && !line.keeps(finding.measured, finding.limit)
        );
        assert_eq!(minimum, finding.measured);
        checked += 1;
    }
    assert!(checked >= 3, "{:?}", verdict.findings);
    let kl = verdict.findings.iter().find(|f| f.name == "mean-kl").unwrap();
    assert!(kl.note.as_deref().unwrap().ends_with("-level damage"), "{kl:?}");
    let rows = &verdict.paths[0].rows;
    let first = rows.iter().find(|r| r.kl > 1e-3).map(|r| r.position);
    assert_eq!(kl.position, first, "the first position that breaks the limit by itself");
}

#[test]
fn the_first_failing_rung_is_the_headline() {
    let case = Case::equal(1024, 25, 32, 1e-3).with_test_noise(2.0);
    let text = |last| Tokenised {
        ids: if last { &[1, 2] } else { &[1, 3] },
        byte_lengths: &[1, 1],
        detokenised: None,
    };
    let input = ParityInput { tokens: Some((text(true), text(false))), ..case.input() };
    let verdict = judge(&input, &Contract::SameNumerics.into()).unwrap();
    assert_eq!(verdict.rung, Some(Rung::Tokens));
    let rungs: Vec<Rung> = verdict.findings.iter().map(|f| f.rung).collect();
    assert!(rungs.is_sorted() && rungs.contains(&Rung::Logits) && rungs.contains(&Rung::Greedy));
    assert_eq!(case.judge(Contract::SameNumerics).rung, Some(Rung::Logits));
}

#[test]
fn a_free_run_that_contradicts_its_own_logits_fails() {
    let case = Case::equal(1024, 25, 32, 0.0);
    let mut free = case.chosen.clone();
    let same = ParityInput { free_run: Some(&free), ..case.input() };
    let given = judge(&same, &Contract::SameNumerics.into()).unwrap();
    assert_eq!(given.word, Word::Exact);
    let sentence = "free run: the test's own continuation was not given".to_owned();
    assert!(!given.untested.contains(&sentence), "{:?}", given.untested);
    assert!(case.judge(Contract::SameNumerics).untested.contains(&sentence));
    let no_steps = Case::equal(512, 12, 0, 0.0).judge(Contract::SameNumerics);
    assert!(!no_steps.untested.contains(&sentence), "there is nothing to continue");
    free[9] = (free[9] + 1) % 1024;
    let input = ParityInput { free_run: Some(&free), ..case.input() };
    let verdict = judge(&input, &Contract::SameNumerics.into()).unwrap();
    assert_eq!((verdict.word, verdict.rung), (Word::Diverged, Some(Rung::Greedy)));
    let headline = verdict.headline().unwrap();
    assert_eq!((headline.name.as_str(), headline.position), ("regret", Some(25 + 9 - 1)));
}

#[test]
fn the_last_chosen_id_need_not_be_fed() {
    let mut case = Case::equal(1024, 25, 32, 1e-3);
    case.ids.pop();
    case.reference_prefill.truncate(56 * 1024);
    case.test_prefill.truncate(56 * 1024);
    let verdict = case.judge(Contract::SameNumerics);
    assert_eq!((verdict.word, verdict.paths[0].summary.rows), (Word::Exact, 56));
}

#[test]
fn cross_numerics_says_what_few_positions_certify() {
    let case = Case::equal(1024, 25, 32, 1e-4).with_test_noise(0.01);
    let verdict = case.judge(Contract::CrossNumerics);
    assert!(verdict.passes());
    let sentence =
        verdict.untested.iter().find(|s| s.starts_with("decode") && s.contains("certify"));
    let sentence = sentence.unwrap();
    assert!(sentence.ends_with("not 0.99; that takes 268"), "{sentence}");
}

#[test]
fn a_verdict_survives_json() {
    for noise in [0.0, 1e-3, 0.3] {
        let case = Case::equal(1024, 25, 32, 1e-3).with_test_noise(noise);
        let verdict = case.judge(Contract::SameNumerics);
        let json = serde_json::to_string(&verdict).unwrap();
        assert!(json.contains(&format!("\"word\":\"{}\"", verdict.word.name())), "{noise}");
        let read: Verdict = serde_json::from_str(&json).unwrap();
        assert_eq!((read.word, &read.findings), (verdict.word, &verdict.findings));
        assert_eq!(read.paths.len(), verdict.paths.len());
    }
}

#[test]
fn one_engine_must_repeat_itself() {
    let values = logits(1024, 20, 40);
    let ids: Vec<u32> = (0..20).collect();
    let input = SelfInput {
        vocab_size: 1024,
        ids: &ids,
        first_position: 0,
        expected: &values,
        actual: &values,
    };
    assert_eq!(judge_self(&input, SelfRequirement::BitEqual).unwrap().word, Word::Exact);
    let mut off = values.clone();
    off[7 * 1024 + 3] = off[7 * 1024 + 3].next_up();
    let other = SelfInput { actual: &off, ..input };
    let verdict = judge_self(&other, SelfRequirement::BitEqual).unwrap();
    assert_eq!((verdict.word, verdict.findings[0].position), (Word::Diverged, Some(7)));
    assert_eq!((verdict.findings[0].name.as_str(), verdict.findings[0].measured), ("bits", 1.0));
    let own = Tolerance::from(Contract::Itself);
    assert_eq!(judge_self(&other, SelfRequirement::Within(&own)).unwrap().word, Word::Match);
}

#[test]
fn a_relation_may_start_late_and_cannot_excuse_its_own_flips() {
    let values = logits(1024, 20, 41);
    let ids: Vec<u32> = (0..30).collect();
    let off = noisy(&values, 0.5, 42);
    let input = SelfInput {
        vocab_size: 1024,
        ids: &ids,
        first_position: 10,
        expected: &values,
        actual: &off,
    };
    let same = Tolerance::from(Contract::SameNumerics);
    let verdict = judge_self(&input, SelfRequirement::Within(&same)).unwrap();
    assert_eq!(verdict.word, Word::Diverged);
    assert_eq!(verdict.paths[0].rows[0].position, 10);
    let flips = &verdict.paths[0].greedy.flips;
    assert!(!flips.is_empty() && flips.iter().all(|f| f.hard && f.tau < 1e-5), "{flips:?}");
    let short = SelfInput { ids: &ids[..29], ..input };
    let error = judge_self(&short, SelfRequirement::BitEqual).unwrap_err().to_string();
    assert!(error.contains("20 rows, but expected 19, one an id from position 10 on"), "{error}");
}

/// Two candidates 0.05 nat apart that the test sees the other way round, in a case of no steps.
fn unmeasured_flip(contract: Contract) -> Verdict {
    let mut case = Case::equal(512, 12, 0, 0.0);
    let row = &mut case.reference_prefill[4 * 512..5 * 512];
    let top = best(row) as usize;
    let other = (top + 7) % 512;
    row[other] = row[top] - 0.05;
    case.test_prefill = case.reference_prefill.clone();
    case.test_prefill.swap(4 * 512 + top, 4 * 512 + other);
    case.judge(contract)
}

#[test]
fn noise_that_was_not_measured_excuses_no_flip() {
    let verdict = unmeasured_flip(Contract::SameNumerics);
    assert_eq!(
        (verdict.word, verdict.rung),
        (Word::Diverged, Some(Rung::Greedy)),
        "{}",
        one_line(&verdict)
    );
    let headline = verdict.headline().unwrap();
    assert_eq!((headline.name.as_str(), headline.position), ("tau", Some(4)));
    let greedy = &verdict.paths[0].greedy;
    // One ulp of a float in [8, 16) is 2⁻²⁰ ≈ 1e-6.
    assert!(greedy.flips[0].hard && greedy.flips[0].tau < 1e-5, "{greedy:?}");
    assert_eq!(greedy.flip_probability, Some(1.0), "no tie flip, so that any number is likely");
    // Between different numerics τ was never noise.
    let cross = unmeasured_flip(Contract::CrossNumerics);
    assert_eq!(cross.word, Word::TieFlip, "{}", one_line(&cross));
    assert_eq!(cross.paths[0].greedy.flips[0].tau, 0.25);
    assert_eq!(cross.paths[0].greedy.flip_probability, None);
}

#[test]
fn an_error_is_a_word_of_its_own() {
    let error = CompareError::Empty { what: "prompt".to_owned() };
    let verdict = Verdict::error(&error, &Contract::SameNumerics.into());
    assert!(!verdict.passes());
    assert_eq!(
        one_line(&verdict),
        "ERROR prompt: no position to compare; a comparison of nothing is not a pass"
    );
}

#[test]
fn noise_alone_is_seldom_taken_for_a_perplexity_change() {
    let case = Case::equal(512, 25, 0, 0.0);
    let ratio = |seed| {
        let prefill = noisy(&case.test_prefill, 0.05, seed);
        let verdict = Case { test_prefill: prefill, ..case.clone() }.judge(Contract::CrossNumerics);
        let failed = verdict.findings.iter().any(|f| f.name == "ln-ppl-ratio");
        (verdict.paths[0].summary.ln_ppl_ratio.unwrap().interval.unwrap(), failed)
    };
    let outcomes: Vec<_> = (0..300).map(ratio).collect();
    let outside = outcomes.iter().filter(|(i, _)| i.low > 0.0 || i.high < 0.0).count();
    assert!((3..=30).contains(&outside), "95 % intervals missed 0 in {outside} of 300");
    assert_eq!(outcomes.iter().filter(|(_, failed)| *failed).count(), 0);
}

#[test]
fn a_bias_on_the_text_shows_in_the_perplexity() {
    // Every row loses 0.03 nat on the very token that follows: little KL, but always the same way.
    let case = Case::equal(512, 400, 0, 0.0);
    let mut biased = case.clone();
    for (row, next) in biased.test_prefill.chunks_exact_mut(512).zip(&case.ids[1..]) {
        row[*next as usize] -= 0.03;
    }
    let verdict = biased.judge(Contract::SameNumerics);
    let names: Vec<&str> = verdict.findings.iter().map(|f| f.name.as_str()).collect();
    assert!(names.contains(&"ln-ppl-ratio") && !names.contains(&"mean-kl"), "{names:?}");
}
