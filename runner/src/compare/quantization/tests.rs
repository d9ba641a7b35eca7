//! Figures and verdicts against values worked out by hand.

use super::*;

const ALL: Limits = Limits::new([
    Some(0.1),
    Some(1.0),
    Some(0.9),
    Some(1.0),
    Some(0.1),
    Some(1.0),
    Some(0.9),
    Some(1e-9),
]);

#[test]
fn a_gap_is_what_paper_and_pencil_give() {
    // Errors 0, 1, 0, −2; squares 9, 16, 0, 0; RMS √(25/4) = 2.5.
    let gap = gap(&[3.0, 4.0, 0.0, 0.0], &[3.0, 5.0, 0.0, -2.0], 2).expect("a gap");
    assert_eq!(gap.nmse, 5.0 / 25.0);
    assert_eq!(gap.max_error, 2.0 / 2.5);
    assert!((gap.cosine - 29.0 / (5.0 * 38f64.sqrt())).abs() < 1e-15, "{}", gap.cosine);
    assert_eq!((gap.worst, gap.expected, gap.found), (Place { row: 1, column: 1 }, 0.0, -2.0));
}

#[test]
fn a_scale_is_seen_by_the_error_and_not_by_the_cosine() {
    let expected = [1.0, -2.0, 3.0];
    let gap = gap(&expected, &expected.map(|v| 1.5 * v), 3).expect("a gap");
    assert!((gap.nmse - 0.25).abs() < 1e-15 && (gap.cosine - 1.0).abs() < 1e-15, "{gap:?}");
}

#[test]
fn what_cannot_be_compared_is_an_error_with_its_place() {
    let said = |expected: &[f64], found: &[f64]| gap(expected, found, 2).expect_err("no gap");
    assert_eq!(
        said(&[1.0, 1.0, 1.0, 1.0], &[1.0, 1.0, f64::NAN, 1.0]),
        "row 1, column 0 is NaN: not a finite number"
    );
    assert_eq!(said(&[1.0, 1.0], &[1.0]), "1 values where 2 in rows of 2 are expected");
    let zeros = "every expected value is 0: there is nothing to compare with";
    assert_eq!(said(&[0.0, 0.0], &[0.0, 1.0]), zeros);
    assert_eq!(gap(&[1.0, 1.0], &[0.0, 0.0], 2).expect("a gap").cosine, 0.0);
}

#[test]
fn half_a_step_is_not_within_half_a_step() {
    let expected = [1.0, 0.0, -1.0, 1.0];
    assert_eq!(share_within(&expected, &[1.4, 0.5, -1.0, 0.0], 0.5), 0.5);
}

#[test]
fn a_product_has_a_row_of_outputs_for_each_row_of_activations() {
    let weights = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    assert_eq!(product(&weights, &[1.0, 0.0, 0.0, 0.0, 1.0, 1.0], 3), [1.0, 4.0, 5.0, 11.0]);
}

/// A matrix of two rows that came back whole, and its product with one row of activations.
fn input<'a>(product: &'a [f32], sums: &'a [i32]) -> QuantizationInput<'a> {
    QuantizationInput {
        columns: 2,
        source: &[0.5, -0.5, 0.0, 0.5],
        back: &[0.5, -0.5, 0.0, 0.5],
        step: Some(0.5),
        x: &[2.0, 1.0],
        rounded: &[2.0, 1.0],
        product,
        scalar: Some(&[0.5, 0.5]),
        integers: Some(Integers { weights: &[1, -1, 0, 1], codes: &[2, 1], sums }),
    }
}

#[test]
fn what_is_exact_passes_and_says_what_was_equal() {
    let verdict = judge(&input(&[0.5, 0.5], &[1, 1]), &ALL);
    assert_eq!(verdict.word(), QuantizationWord::Pass);
    let line = verdict.one_line("x");
    assert!(line.starts_with("PASS x: nmse 0.000e0 (≤ 1.000e-1), "), "{line}");
    assert!(
        line.ends_with("; equal: every integer sum; equal: bits of the scalar product"),
        "{line}"
    );
}

#[test]
fn equalities_and_limits_fail_one_by_one() {
    let story = |product: &[f32], sums: &[i32]| {
        let verdict = judge(&input(product, sums), &ALL);
        assert_eq!(verdict.word(), QuantizationWord::Fail);
        verdict.explain("x")
    };
    let sums = story(&[0.5, 0.5], &[1, 2]);
    let head = "FAIL: an integer sum is wrong (x)\n    first: token 0, row 1: exact 1, found 2\n";
    assert!(sums.starts_with(head), "{sums}");
    let product = story(&[0.5, 0.75], &[1, 1]);
    assert!(
        product.starts_with("FAIL: the product has other bits than the scalar one (x)"),
        "{product}"
    );
    // 0.25² / (0.5² + 0.5²) = 0.125.
    let nmse = "\n  also: product-nmse is 1.250e-1, above its limit 1.000e-1 (x)\n";
    assert!(product.contains(nmse), "{product}");
    assert!(product.contains("would have passed with product-nmse = 1.25e-1"), "{product}");
}

#[test]
fn what_is_no_number_is_an_error() {
    let verdict = judge(&input(&[0.5, f32::NAN], &[1, 1]), &ALL);
    assert_eq!(verdict.word(), QuantizationWord::Error);
    assert_eq!(
        verdict.explain("x"),
        "ERROR: x: product: row 0, column 1 is NaN: not a finite number"
    );
}

#[test]
fn what_would_have_passed_passes() {
    let verdict = judge(&input(&[0.5, 0.75], &[1, 1]), &ALL);
    let measured = verdict.measured(Metric::ProductCosine).expect("a cosine");
    let text =
        judge(&input(&[0.5, 0.75], &[1, 1]), &ALL.with(Metric::ProductCosine, 1.0)).explain("x");
    let (_, rest) = text.split_once("would have passed with min-product-cosine = ").expect("it");
    let limit: f64 = rest.lines().next().expect("a line").parse().expect("a figure");
    assert!(limit <= measured && limit > measured - 1e-3, "{limit} for {measured}");
}
