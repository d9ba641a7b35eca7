//! The text of verdicts: what a failure must say, and what model text may not do.

use super::{super::explain, *};

fn piece(id: u32) -> String {
    format!("p{id}")
}

#[test]
fn a_failure_says_rule_place_context_and_minimum() {
    let case = Case::equal(1024, 25, 32, 1e-3).with_test_noise(0.3);
    let verdict = case.judge(Contract::SameNumerics);
    let text = explain(&verdict, &case.ids, &piece);
    assert!(
        text.starts_with(
            "DIVERGED at logits: prefill: mean KL(ref‖test) is at most 0.001 nat; measured "
        ),
        "{text}"
    );
    assert!(text.contains("\n  contract same-numerics, policy margin, rung logits\n"), "{text}");
    assert!(text.contains("\n    would have passed with mean-kl = "), "{text}");
    assert!(text.contains("-level damage\n"), "{text}");
    let position = verdict.headline().unwrap().position.unwrap();
    assert!(text.contains(&format!("first bad position {position} of 57 compared")), "{text}");
    let bracketed = format!(" [\"p{}\"] ", case.ids[position]);
    assert!(text.contains(&bracketed), "{text}");
    assert!(text.contains(&format!(" [{}] ", case.ids[position])), "{text}");
}

#[test]
fn a_token_difference_shows_both_sides() {
    let case = Case::equal(1024, 25, 32, 0.0);
    let ids = [1, 2, 3, 4];
    let reference = Tokenised { ids: &ids, byte_lengths: &[0, 4, 1, 1], detokenised: None };
    let test = Tokenised { ids: &[1, 2, 9], byte_lengths: &[0, 4, 2], detokenised: None };
    let input = ParityInput { tokens: Some((reference, test)), ..case.input() };
    let verdict = judge(&input, &Contract::SameNumerics.into()).unwrap();
    let text = explain(&verdict, &case.ids, &piece);
    assert!(
        text.contains("first difference at id 2 (byte 4); 4 ids in the reference, 3 in the test"),
        "{text}"
    );
    assert!(text.contains("reference ids  1 2 [3] 4\n"), "{text}");
    assert!(text.contains("test      text \"p1\" \"p2\" [\"p9\"]\n"), "{text}");
}

#[test]
fn flips_are_listed_with_their_margins_hard_ones_first() {
    let case = Case::equal(1024, 25, 32, 1e-3).with_test_noise(2.0);
    let verdict = case.judge(Contract::CrossNumerics);
    let text = explain(&verdict, &case.ids, &piece);
    let first = text.lines().find(|l| l.contains("flip at")).unwrap();
    assert!(first.contains("hard flip at prefill position") && first.contains("margin"), "{first}");
    assert!(text.lines().filter(|l| l.contains("flip at")).count() <= 16);
    assert!(text.contains("more flips at prefill"), "{text}");
}

#[test]
fn model_text_cannot_steer_a_terminal_or_a_log() {
    let case = Case::equal(1024, 25, 32, 1e-3).with_test_noise(0.3);
    let verdict = case.judge(Contract::SameNumerics);
    let hostile = |_| "\u{1b}[31m\r\n::error::x\u{202e}\u{9b}\u{0}".to_owned();
    let text = explain(&verdict, &case.ids, &hostile);
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
    assert!(
        !text.contains('\u{202e}')
            && text.contains("\\u{1b}[31m\\r\\n::error::x\\u{202e}\\u{9b}\\u{0}")
    );
    assert!(text.lines().all(|l| !l.trim_start().starts_with("::")), "{text}");
}

#[test]
fn pieces_are_escaped_byte_by_byte_where_they_are_not_text() {
    assert_eq!(escape_piece(b" the"), " the");
    assert_eq!(escape_piece("é🦀".as_bytes()), "é🦀");
    assert_eq!(escape_piece(b"a\"b\\\n\t\x1b\x7f"), "a\\\"b\\\\\\n\\t\\u{1b}\\u{7f}");
    assert_eq!(escape_piece(b"ok\xf0\x9f then \xff"), "ok\\xf0\\x9f then \\xff");
    assert_eq!(escape_piece("\u{2066}\u{200b}\u{feff}".as_bytes()), "\\u{2066}\\u{200b}\\u{feff}");
}

#[test]
fn damage_is_named_on_llama_cpps_scale() {
    for (kl, words) in [
        (0.0, "no damage"),
        (1e-6, "below a tenth of q8_0-level damage"),
        (5e-4, "less than q8_0-level damage"),
        (1.36e-3, "q8_0-level damage"),
        (1.45e-3, "q8_0-level damage"),
        (5e-3, "between q8_0- and q5_K_M-level damage"),
        (1.1e-2, "q5_K_M-level damage"),
        (1.53e-2, "between q5_K_M- and q5_0-level damage"),
        (2.2e-2, "q5_0-level damage"),
        (0.222, "10.0 times q5_0-level damage"),
    ] {
        assert_eq!(damage_in_words(kl), words, "{kl}");
    }
}

#[test]
fn figures_are_never_rounded_to_the_good_side() {
    use super::super::explain::figure;
    for value in [1.2341e-3, 9.999e-7, 0.05, 123.456, 3.1e-9, 1.0] {
        let shown: f64 = figure(value, Sense::AtMost).parse().unwrap();
        assert!(shown >= value && shown <= value * 1.02, "{value} shown as {shown}");
    }
    for value in [0.999_999_994, 0.99, 0.9372, 0.3, 1.0 - 1e-12] {
        let shown: f64 = figure(value, Sense::AtLeast).parse().unwrap();
        assert!(shown <= value && 1.0 - shown <= 1.2 * (1.0 - value), "{value} shown as {shown}");
    }
    assert_eq!(figure(1.2341e-3, Sense::AtMost), "1.24e-3");
    assert_eq!(figure(0.999_999_994, Sense::AtLeast), "0.9999999940");
    assert_eq!(figure(0.0, Sense::AtMost), "0");
}
