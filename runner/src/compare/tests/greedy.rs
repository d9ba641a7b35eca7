//! Greedy choices: margins, ties, the flip budget, and where the noise comes from.

use super::*;

fn rows(values: &[f32], vocab_size: usize) -> Rows<'_> {
    Rows::new("rows", vocab_size, values, 0).unwrap()
}

fn noise(sd: f64) -> Tau {
    Tau::Noise { reference: sd, test: sd, ceiling: 0.25 }
}

#[test]
fn tau_is_three_sigmas_of_a_pair_between_two_ulp_and_the_ceiling() {
    let tau = |reference, test| Tau::Noise { reference, test, ceiling: 0.25 }.at(16.0);
    assert!((tau(0.003, 0.004) - 3.0 * 2f64.sqrt() * 0.005).abs() < 1e-12);
    // One ulp of a float in [16, 32) is 2⁻¹⁹.
    assert!((tau(0.0, 0.0) - 2.0 * 2f64.powi(-19)).abs() < 1e-18);
    assert_eq!(tau(5.0, 0.0), 0.25, "no noise makes a preference of a quarter nat a tie");
    assert_eq!(Tau::Noise { reference: 1.0, test: 1.0, ceiling: 0.01 }.at(16.0), 0.01);
    assert_eq!(Tau::Fixed(0.2).at(-7.0), 0.2);
}

#[test]
fn the_margin_is_to_the_token_chosen_not_to_the_runner_up() {
    // The test prefers the third token: its margin is 0.5, though the runner-up is 0.001 away.
    let r = [3.0f32, 2.999, 2.5, 0.0];
    let t = [3.0f32, 2.999, 3.1, 0.0];
    let got = judge_greedy(&rows(&r, 4), &rows(&t, 4), Some(&[0]), &noise(0.01)).unwrap();
    let flip = &got.flips[0];
    assert!((flip.margin - 0.5).abs() < 1e-6 && flip.hard);
    assert!((flip.test_margin - 0.1).abs() < 1e-6);
    assert_eq!(
        (flip.reference_id, flip.test_id, flip.reference_rank, flip.test_rank),
        (0, 2, 3, 2)
    );
    assert_eq!((got.hard_flips, got.tie_flips, got.matches), (1, 0, 0));
    assert_eq!(got.stable.map(|s| (s.hits, s.of)), Some((0, 1)), "a hard flip is never a near tie");
    assert_eq!(got.near_ties, None);
}

#[test]
fn a_flip_within_tau_is_a_tie_and_beyond_it_is_hard() {
    let r = [1.0f32, 1.0 - 0.04, 0.0, 1.0, 1.0 - 0.06, 0.0];
    let t = [1.0f32 - 0.04, 1.0, 0.0, 1.0 - 0.06, 1.0, 0.0];
    let tau = Tau::Noise { reference: 0.05 / (3.0 * 2f64.sqrt()), test: 0.0, ceiling: 0.25 };
    let got = judge_greedy(&rows(&r, 3), &rows(&t, 3), Some(&[0, 0]), &tau).unwrap();
    assert_eq!(got.flips.iter().map(|f| f.hard).collect::<Vec<_>>(), [false, true]);
    assert_eq!(got.near_ties.map(|n| (n.hits, n.of)), Some((0, 1)));
    assert_eq!(got.smallest_resolved_margin, None);
}

#[test]
fn equal_logits_choose_the_lowest_id_on_both_sides() {
    let r = [1.0f32, 2.0, 2.0, 2.0];
    let got = judge_greedy(&rows(&r, 4), &rows(&r, 4), Some(&[1]), &noise(0.0)).unwrap();
    assert_eq!((got.matches, got.smallest_resolved_margin), (1, Some(0.0)));
    assert_eq!(got.near_ties.map(|n| (n.hits, n.of)), Some((1, 1)));
    assert_eq!(got.stable, None, "no margin above τ: not tested, and not 100 %");
}

#[test]
fn the_flip_probability_is_the_tail_over_the_margins() {
    let margins = [0.0f32, 0.01, 0.02, 0.5];
    let r: Vec<f32> = margins.iter().flat_map(|m| [1.0, 1.0 - m, -4.0]).collect();
    let mut t = r.clone();
    t.swap(3, 4);
    t.swap(6, 7);
    let got = judge_greedy(&rows(&r, 3), &rows(&t, 3), Some(&[0; 4]), &noise(0.02)).unwrap();
    assert_eq!((got.tie_flips, got.hard_flips, got.judged), (2, 0, 4));
    let sigma = 0.02 * 2f64.sqrt();
    // Φ(x) by Abramowitz and Stegun 26.2.17, good to 7.5e-8.
    let phi = |x: f64| {
        let t = 1.0 / (1.0 + 0.231_641_9 * x.abs());
        let poly = t
            * (0.319_381_530
                + t * (-0.356_563_782
                    + t * (1.781_477_937 + t * (-1.821_255_978 + t * 1.330_274_429))));
        let upper = (-x * x / 2.0).exp() / std::f64::consts::TAU.sqrt() * poly;
        if x < 0.0 { upper } else { 1.0 - upper }
    };
    let p = [0.0, 1.0, 2.0, 3.0]
        .map(|i| phi(-f64::from(1.0f32 - (1.0 - margins[i as usize])) / (2f64.sqrt() * sigma)));
    let none: f64 = p.iter().map(|p| 1.0 - p).product();
    let one: f64 = (0..4).map(|i| none / (1.0 - p[i]) * p[i]).sum();
    let probability = got.flip_probability.unwrap();
    assert!((probability - (1.0 - none - one)).abs() < 1e-6, "{probability}");
}

#[test]
fn too_many_ties_break_the_budget_though_each_is_excused() {
    // 64 positions with margins of 2.9 σ: each flip is within τ, but noise flips about 2 % of them.
    let sigma = 0.01f64;
    let pair = sigma * 2f64.sqrt() * 2f64.sqrt();
    let r: Vec<f32> = (0..64).flat_map(|_| [1.0, 1.0 - (2.0 * pair) as f32, -4.0]).collect();
    let mut t = r.clone();
    for row in t.chunks_exact_mut(3).take(12) {
        row.swap(0, 1);
    }
    let got = judge_greedy(&rows(&r, 3), &rows(&t, 3), None, &noise(sigma)).unwrap();
    assert_eq!((got.tie_flips, got.hard_flips), (12, 0));
    assert!(got.flip_probability.unwrap() < 0.01, "{:?}", got.flip_probability);
    let mut one = r.clone();
    one.swap(0, 1);
    let got = judge_greedy(&rows(&r, 3), &rows(&one, 3), None, &noise(sigma)).unwrap();
    assert!(got.flip_probability.unwrap() > 0.5, "one of 64 is what noise does");
}

#[test]
fn the_reference_must_have_chosen_from_its_own_rows() {
    let r = [1.0f32, 2.0, 0.0];
    let error = judge_greedy(&rows(&r, 3), &rows(&r, 3), Some(&[0]), &noise(0.01)).unwrap_err();
    assert!(
        error.to_string().contains(
            "step 0: the reference chose id 0, but its own logits prefer id 1 by 1.000000"
        ),
        "{error}"
    );
    let near = [2.0f32 - 1e-3, 2.0, 0.0];
    let got = judge_greedy(&rows(&near, 3), &rows(&near, 3), Some(&[0]), &noise(0.01));
    assert!(got.is_ok(), "a choice within the reference's own noise is no contradiction");
    let error = judge_greedy(&rows(&r, 3), &rows(&r, 3), Some(&[]), &noise(0.0)).unwrap_err();
    assert!(error.to_string().contains("0 ids, but expected 1, one a row"), "{error}");
}

#[test]
fn self_noise_is_measured_from_two_runs_of_one_engine() {
    let a = logits(4000, 50, 20);
    let b: Vec<f32> = noisy(&a, 0.02, 21).iter().map(|v| v + 1.0).collect();
    let got = NoiseProfile::measure(&rows(&a, 4000), &rows(&b, 4000)).unwrap();
    assert!((got.mad_sigma / 0.02 - 1.0).abs() < 0.1, "σ {} (a shift is no noise)", got.mad_sigma);
    // Two-sided 99.9 % of a normal pair: 3.29·√2·σ, over 1,400 pairs.
    assert!((got.pair_p999 / (3.29 * 2f64.sqrt() * 0.02) - 1.0).abs() < 0.35, "{got:?}");
    assert_eq!((got.rows, got.bit_equal_rows), (50, 0));
    assert!(got.p99_kl > 0.0 && got.p99_nmse > 0.0);
    let none = NoiseProfile::measure(&rows(&a, 4000), &rows(&a, 4000)).unwrap();
    assert_eq!((none.sigma(), none.bit_equal_rows, none.p99_kl), (0.0, 50, 0.0));
}

#[test]
fn noise_in_a_few_rows_is_not_lost_in_the_median() {
    let a = logits(4000, 50, 22);
    let mut b = a.clone();
    let late = noisy(&a[40 * 4000..], 0.02, 23);
    b[40 * 4000..].copy_from_slice(&late);
    let got = NoiseProfile::measure(&rows(&a, 4000), &rows(&b, 4000)).unwrap();
    assert_eq!((got.mad_sigma, got.bit_equal_rows), (0.0, 40));
    assert!(got.sigma() > 0.01 && got.sigma() < 0.03, "σ {}", got.sigma());
}

#[test]
fn the_free_run_is_held_against_the_tests_own_logits() {
    let t = [1.0f32, 2.0, 0.0, 3.0, 3.0, 0.0];
    let judge = |free: &[u32]| judge_free_run(&rows(&t, 3), &[1, 0], free, &noise(0.0)).unwrap();
    assert!(judge(&[1, 0]).equal());
    let wrong = judge(&[0, 0]);
    assert_eq!((wrong.equal_steps, wrong.regret, wrong.tie_rule_broken), (0, 1.0, false));
    assert!(wrong.regret > wrong.tau);
    let highest = judge(&[1, 1]);
    assert_eq!((highest.equal_steps, highest.regret, highest.tie_rule_broken), (1, 0.0, true));
    let error = judge_free_run(&rows(&t, 3), &[1, 0], &[1], &noise(0.0)).unwrap_err();
    assert!(error.to_string().contains("1 ids, but expected 2 ids for 2 rows"), "{error}");
}
