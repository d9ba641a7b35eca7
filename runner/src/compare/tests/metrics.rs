//! Figures of one position and their summary, against slow twins written from the definitions.

use super::{super::summary, *};

const V: usize = 3000;

fn rows(values: &[f32], vocab_size: usize) -> Rows<'_> {
    Rows::new("rows", vocab_size, values, 0).unwrap()
}

fn compare(r: &[f32], t: &[f32]) -> RowMetrics {
    compare_rows(&rows(r, r.len()), &rows(t, t.len()), &Targets::of_text(&[])).unwrap().remove(0)
}

/// `ln softmax`, from the definition.
fn ln_softmax(row: &[f32]) -> Vec<f64> {
    let max = row.iter().map(|v| f64::from(*v)).fold(f64::NEG_INFINITY, f64::max);
    let z = row.iter().map(|v| (f64::from(*v) - max).exp()).sum::<f64>().ln() + max;
    row.iter().map(|v| f64::from(*v) - z).collect()
}

fn order(row: &[f32]) -> Vec<usize> {
    let mut ids: Vec<usize> = (0..row.len()).collect();
    ids.sort_by(|a, b| row[*b].partial_cmp(&row[*a]).unwrap().then(a.cmp(b)));
    ids
}

fn naive_cosine(a: &[f64], b: &[f64]) -> f64 {
    let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

fn wide(row: &[f32]) -> Vec<f64> {
    row.iter().map(|v| f64::from(*v)).collect()
}

fn centred(row: &[f32]) -> Vec<f64> {
    let row = wide(row);
    let mean = row.iter().sum::<f64>() / row.len() as f64;
    row.iter().map(|v| v - mean).collect()
}

#[track_caller]
fn close(what: &str, got: f64, want: f64, relative: f64) {
    assert!((got - want).abs() <= relative * want.abs() + 1e-15, "{what}: {got} not {want}");
}

#[test]
fn every_figure_equals_its_definition() {
    let r = logits(V, 1, 5);
    for sd in [0.003, 0.3, 3.0] {
        let t: Vec<f32> = noisy(&r, sd, 6).iter().map(|v| 1.05 * v + 0.4).collect();
        let pair = (rows(&r, V), rows(&t, V));
        let m = compare_rows(&pair.0, &pair.1, &Targets::of_text(&[17])).unwrap().remove(0);
        let (lp, lq) = (ln_softmax(&r), ln_softmax(&t));
        let pairs = || lp.iter().zip(&lq);
        let (rc, tc) = (centred(&r), centred(&t));
        close("raw cosine", m.raw_cosine, naive_cosine(&wide(&r), &wide(&t)), 1e-12);
        close("centred cosine", m.centred_cosine, naive_cosine(&rc, &tc), 1e-12);
        let nmse = rc.iter().zip(&tc).map(|(a, b)| (b - a).powi(2)).sum::<f64>()
            / rc.iter().map(|a| a * a).sum::<f64>();
        close("nmse", m.nmse, nmse, 1e-11);
        close("kl", m.kl, pairs().map(|(p, q)| p.exp() * (p - q)).sum(), 1e-9);
        let tv: f64 = pairs().map(|(p, q)| (p.exp() - q.exp()).abs()).sum();
        close("total variation", m.total_variation, 0.5 * tv, 1e-10);
        let nll = m.nll.unwrap();
        close("nll of the reference", nll.reference, -lp[17], 1e-12);
        close("nll of the test", nll.test, -lq[17], 1e-12);

        let (ro, to) = (order(&r), order(&t));
        assert_eq!((m.reference_top as usize, m.test_top as usize), (ro[0], to[0]));
        let union = ro[..64].iter().chain(&to[..64]);
        let gap = union.map(|i| (lp[*i] - lq[*i]).abs()).fold(0.0, f64::max);
        close("gap of ln p", m.max_ln_p_gap, gap, 1e-10);
        let common = ro[..10].iter().filter(|i| to[..10].contains(i)).count() as f64;
        close("top-10 overlap", m.top10_overlap, common / (20.0 - common), 0.0);

        let xs: Vec<f64> = ro[..1024].iter().map(|i| f64::from(r[*i])).collect();
        let ys: Vec<f64> = ro[..1024].iter().map(|i| f64::from(t[*i])).collect();
        let (mx, my) = (xs.iter().sum::<f64>() / 1024.0, ys.iter().sum::<f64>() / 1024.0);
        let sxx: f64 = xs.iter().map(|x| (x - mx).powi(2)).sum();
        let b = xs.iter().zip(&ys).map(|(x, y)| (x - mx) * (y - my)).sum::<f64>() / sxx;
        let residual = |(x, y): (&f64, &f64)| (y - my - b * (x - mx)).powi(2);
        let sse: f64 = xs.iter().zip(&ys).map(residual).sum();
        close("slope", m.slope, b, 1e-10);
        close("error of the slope", m.slope_error, (sse / 1022.0 / sxx).sqrt(), 1e-7);
        close("shift", m.mean_shift, mean(&t) - mean(&r), 1e-9);
    }
}

fn mean(row: &[f32]) -> f64 {
    wide(row).iter().sum::<f64>() / row.len() as f64
}

#[test]
fn divergence_of_the_textbook_example() {
    // Kullback's example: binomial(2, 0.4) against the uniform distribution on three outcomes.
    let p = [0.36f32, 0.48, 0.16].map(f32::ln);
    let q = [1.0f32, 1.0, 1.0];
    let spread = [1.0f32, 1.0, 1.0 + 1e-6];
    let m = compare(&p, &q);
    assert!((m.kl - 0.085_299_6).abs() < 1e-6, "KL(P‖Q) = {}", m.kl);
    // A constant row cannot be a reference, so the other direction starts a hair off.
    let back = compare(&spread, &p);
    assert!((back.kl - 0.097_455).abs() < 1e-6, "KL(Q‖P) = {}", back.kl);
    assert!((m.total_variation - 0.173_333).abs() < 1e-5);
}

#[test]
fn small_noise_costs_half_its_variance() {
    // E KL ≈ ½ s²(1 − Σp²) for independent noise, and NMSE ≈ s² / Var(r).
    let r = logits(V, 60, 8);
    for sd in [1e-4, 1e-3, 0.03] {
        let t = noisy(&r, sd, 9);
        let got = compare_rows(&rows(&r, V), &rows(&t, V), &Targets::of_text(&[0; 60])).unwrap();
        let kl = got.iter().map(|m| m.kl).sum::<f64>() / 60.0;
        let expected = r
            .chunks_exact(V)
            .map(|row| 1.0 - ln_softmax(row).iter().map(|p| (2.0 * p).exp()).sum::<f64>())
            .sum::<f64>()
            / 60.0
            * 0.5
            * sd
            * sd;
        assert!((kl / expected - 1.0).abs() < 0.35, "sd {sd}: mean KL {kl}, theory {expected}");
        assert!(got.iter().all(|m| m.kl > 0.0
            && (m.nmse - 2.0 * (1.0 - m.centred_cosine)).abs() < 0.02 * m.nmse + 1e-14));
    }
}

#[test]
fn divergence_stays_exact_where_the_textbook_sum_cancels() {
    // One of two nearly equal logits is moved: KL = ln cosh(ε/2) = ε²/8 − ε⁴/192 + …
    for power in [-14, -12, -10, -8, -6, -4, -3] {
        let shift = 2f32.powi(power);
        let m = compare(&[0.5, 0.5 + f32::EPSILON], &[0.5, 0.5 + f32::EPSILON + shift]);
        let eps = f64::from(0.5 + f32::EPSILON + shift) - f64::from(0.5 + f32::EPSILON);
        let base = f64::from(f32::EPSILON);
        let want = two_way_kl(base, base + eps);
        close("KL of two tokens", m.kl, want, 1e-6);
    }
}

/// KL between two-token distributions with logit gaps `a` and `b`, by its series in `b − a`; the first
/// term left out is of order 8, or of order 5 times `a`.
fn two_way_kl(a: f64, b: f64) -> f64 {
    // A(x) = ln(1 + e^x) is the cumulant function; KL = A(b) − A(a) − A'(a)(b − a).
    let d = b - a;
    let s = 1.0 / (1.0 + (-a).exp());
    let v = s * (1.0 - s);
    let third = v * (1.0 - 2.0 * s);
    let fourth = v * (1.0 - 6.0 * v);
    let sixth = v * (1.0 - 30.0 * v + 120.0 * v * v);
    v * d.powi(2) / 2.0
        + third * d.powi(3) / 6.0
        + fourth * d.powi(4) / 24.0
        + sixth * d.powi(6) / 720.0
}

#[test]
fn equal_bits_give_exact_figures() {
    let values = logits(V, 3, 10);
    let got =
        compare_rows(&rows(&values, V), &rows(&values, V), &Targets::of_text(&[4, 5])).unwrap();
    for m in &got {
        assert!(m.bit_equal);
        assert_eq!(
            (m.kl, m.centred_cosine, m.raw_cosine, m.nmse, m.slope),
            (0.0, 1.0, 1.0, 0.0, 1.0)
        );
    }
    let want = -ln_softmax(&values[..V])[4];
    close("nll", got[0].nll.unwrap().reference, want, 1e-12);
    assert_eq!(got[2].nll, None, "the last row has no next token");
    let s = summarise(&got).unwrap();
    assert_eq!((s.rows, s.bit_equal_rows, s.mean_kl, s.slope_shown.value), (3, 3, 0.0, 0.0));
    assert_eq!(s.ln_ppl_ratio.unwrap().mean, 0.0);
}

#[test]
fn cosine_is_blind_to_scale_and_the_slope_is_not() {
    let r = logits(V, 1, 11);
    let t: Vec<f32> = r.iter().map(|v| 1.3 * v).collect();
    let m = compare(&r, &t);
    assert!(m.raw_cosine > 0.999_999 && m.centred_cosine > 0.999_999);
    assert!((m.slope - 1.3).abs() < 1e-4 && m.kl > 0.02, "slope {} KL {}", m.slope, m.kl);
}

#[test]
fn a_constant_shift_moves_only_the_raw_cosine() {
    let r = logits(V, 1, 12);
    let t: Vec<f32> = r.iter().map(|v| v + 3.0).collect();
    let m = compare(&r, &t);
    assert!(m.raw_cosine < 0.99, "raw cosine {}", m.raw_cosine);
    assert!(m.unshifted_cosine > 0.999_999 && m.centred_cosine > 0.999_999);
    assert!(m.kl < 1e-12 && m.nmse < 1e-12, "KL {} NMSE {}", m.kl, m.nmse);
    assert!((m.mean_shift - 3.0).abs() < 1e-5);
}

#[test]
fn ties_go_to_the_lowest_id_and_negative_zero_is_zero() {
    let m = compare(&[0.0, 2.0, 2.0, 1.0], &[-0.0, 1.0, 0.0, 1.0]);
    assert_eq!((m.reference_top, m.test_top), (1, 1));
    let m = compare(&[-0.0, 0.0, -1.0], &[0.0, -0.0, -1.0]);
    assert!(!m.bit_equal);
    assert_eq!((m.reference_top, m.test_top, m.kl), (0, 0, 0.0));
}

#[test]
fn extreme_logits_stay_finite() {
    let r = [f32::MAX, f32::MIN, 0.0, 1e30];
    let t = [f32::MIN, f32::MAX, 1.0, -1e30];
    let m = compare(&r, &t);
    let figures = [m.raw_cosine, m.centred_cosine, m.nmse, m.kl, m.total_variation, m.slope];
    assert!(figures.iter().all(|v| v.is_finite()), "{m:?}");
    assert!(m.kl > 1e38 && m.total_variation == 1.0 && m.centred_cosine < -0.9);
}

#[test]
fn a_constant_test_row_is_no_agreement_and_a_constant_reference_is_an_error() {
    let r = logits(V, 1, 13);
    let m = compare(&r, &[0.0; V]);
    assert_eq!((m.raw_cosine, m.centred_cosine), (0.0, 0.0));
    assert!((m.nmse - 1.0).abs() < 1e-12);
    let flat = [0.1f32; V];
    for test in [&r[..], &flat] {
        let error =
            compare_rows(&rows(&flat, V), &rows(test, V), &Targets::of_text(&[])).unwrap_err();
        assert!(error.to_string().contains("all logits at position 0 are equal"), "{error}");
    }
}

#[test]
fn targets_must_fit() {
    let values = logits(V, 3, 14);
    let r = rows(&values, V);
    let error = compare_rows(&r, &r, &Targets::of_text(&[1])).unwrap_err().to_string();
    assert!(error.contains("1 ids, but expected 3, or 2 when the last row has none"), "{error}");
    let error = compare_rows(&r, &r, &Targets::of_text(&[1, 3000])).unwrap_err().to_string();
    assert!(error.contains("id 3000 at index 1 is not below the vocabulary size 3000"), "{error}");
}

#[test]
fn summary_equals_its_definition() {
    let r = logits(V, 40, 15);
    let t = noisy(&r, 0.2, 16);
    let targets: Vec<u32> = (0..39).collect();
    let reference = Rows::new("reference", V, &r, 100).unwrap();
    let test = Rows::new("test", V, &t, 100).unwrap();
    let got = compare_rows(&reference, &test, &Targets::of_text(&targets)).unwrap();
    let s = summarise(&got).unwrap();
    let mut kl: Vec<f64> = got.iter().map(|m| m.kl).collect();
    close("mean KL", s.mean_kl, kl.iter().sum::<f64>() / 40.0, 1e-12);
    let worst = got.iter().max_by(|a, b| a.kl.total_cmp(&b.kl)).unwrap();
    assert_eq!((s.max_kl.value, s.max_kl.position), (worst.kl, worst.position));
    assert!(worst.position >= 100, "positions count from the first row's");
    kl.sort_by(f64::total_cmp);
    close("p99 KL", s.p99_kl, kl[38] + 0.61 * (kl[39] - kl[38]), 1e-9);
    let agree = got.iter().filter(|m| m.reference_top == m.test_top).count();
    assert_eq!((s.top1.hits, s.top1.of), (agree, 40));
    let gaps: Vec<f64> = got.iter().filter_map(|m| m.nll.map(|n| n.test - n.reference)).collect();
    assert_eq!(gaps.len(), 39);
    let ratio = s.ln_ppl_ratio.unwrap();
    close("ln PPL ratio", ratio.mean, gaps.iter().sum::<f64>() / 39.0, 1e-9);
    assert!(s.min_slope.value < s.mean_slope && s.mean_slope < s.max_slope.value);
    assert!(s.slope_shown.value < 0.005, "noise alone shows no slope: {:?}", s.slope_shown);
    assert_eq!(summarise(&[]), None, "nothing compared gives no summary");
}

#[test]
fn a_scale_error_too_small_for_one_row_shows_in_the_mean() {
    let r = logits(V, 100, 17);
    let t: Vec<f32> = noisy(&r, 0.08, 18).iter().map(|v| 1.012 * v).collect();
    let got = compare_rows(&rows(&r, V), &rows(&t, V), &Targets::of_text(&[0; 100])).unwrap();
    let alone = got.iter().map(summary::row_slope_shown).fold(0.0, f64::max);
    let s = summarise(&got).unwrap();
    assert!(
        alone < s.slope_shown.value && s.slope_shown.value > 0.009,
        "{alone} {:?}",
        s.slope_shown
    );
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config {
        failure_persistence: None,
        ..proptest::test_runner::Config::with_cases(256)
    })]

    #[test]
    fn figures_keep_their_bounds_and_ignore_a_shift(
        pairs in proptest::collection::vec((-40i16..40, -40i16..40), 2..200),
        shift in -64i16..64,
    ) {
        // Whole numbers: a shift of them is exact, so what must not change must not change at all.
        let r: Vec<f32> = pairs.iter().map(|p| f32::from(p.0)).collect();
        let t: Vec<f32> = pairs.iter().map(|p| f32::from(p.1)).collect();
        let moved: Vec<f32> = t.iter().map(|v| v + f32::from(shift)).collect();
        proptest::prop_assume!(r.iter().any(|v| *v != r[0]));
        let (m, s) = (compare(&r, &t), compare(&r, &moved));
        proptest::prop_assert!(m.kl >= 0.0 && (0.0..=1.0 + 1e-12).contains(&m.total_variation));
        proptest::prop_assert!((-1.0..=1.0).contains(&m.centred_cosine) && m.nmse >= 0.0);
        // Pinsker: TV ≤ √(KL/2).
        proptest::prop_assert!(m.total_variation <= (m.kl / 2.0).sqrt() + 1e-9);
        proptest::prop_assert!((m.kl - s.kl).abs() <= 1e-9 * m.kl + 1e-12);
        proptest::prop_assert!((m.nmse - s.nmse).abs() <= 1e-9 * (1.0 + m.nmse));
        proptest::prop_assert_eq!((m.test_top, m.top10_overlap), (s.test_top, s.top10_overlap));
    }
}
