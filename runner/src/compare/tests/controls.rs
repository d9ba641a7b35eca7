//! Null controls: every contract must reject what is known to be wrong and pass what is right. A
//! contract that passes a wrong output would be vacuous.

use super::*;

/// Controls with the contracts (self, same, cross) that must reject them.
const CONTROLS: [(Control, [bool; 3]); 20] = [
    (Control::ShiftedPosition, [true, true, true]),
    (Control::OtherPrompt, [true, true, true]),
    (Control::RotatedVocabulary, [true, true, true]),
    (Control::Scaled(1.1), [true, true, true]),
    (Control::Scaled(0.9), [true, true, true]),
    (Control::Scaled(1.3), [true, true, true]),
    (Control::Noise(0.3), [true, true, true]),
    (Control::SwappedTopTwo, [true, true, true]),
    (Control::Negated, [true, true, true]),
    (Control::OneStaleRow, [true, true, true]),
    (Control::DampedTop(1.0), [true, true, true]),
    // Wrong for the stricter contracts, legitimate for the looser ones.
    (Control::Scaled(1.01), [true, true, false]),
    (Control::Noise(0.1), [true, true, false]),
    (Control::Noise(0.01), [true, false, false]),
    (Control::Scaled(1.001), [true, false, false]),
    (Control::Shifted(3.0), [true, false, false]),
    // Right: rounding of the last bits.
    (Control::Noise(1e-6), [false, false, false]),
    (Control::Noise(0.0), [false, false, false]),
    (Control::Scaled(1.0), [false, false, false]),
    (Control::Shifted(0.0), [false, false, false]),
];

/// Both engines have a self-noise of 1e-3 outside `self`, where their paths are equal.
fn right(vocab_size: usize, contract: Contract) -> Case {
    let noise = if contract == Contract::Itself { 0.0 } else { 1e-3 };
    Case::equal(vocab_size, 25, 32, noise)
}

fn wrong(case: &Case, control: Control) -> Case {
    let mut wrong = case.clone();
    let other = logits(case.vocab_size, case.ids.len(), 77);
    wrong.test_prefill = control.apply(&case.test_prefill, &other, case.vocab_size, 5);
    wrong.test_steps = control.apply(&case.test_steps, &other, case.vocab_size, 6);
    wrong
}

#[test]
fn every_contract_rejects_what_it_must_and_passes_what_it_may() {
    let mut misjudged = Vec::new();
    for (column, contract) in Contract::ALL.into_iter().enumerate() {
        let case = right(4096, contract);
        let (mut killed, mut wrong_ones) = (0, 0);
        for (control, rejected_by) in CONTROLS {
            let verdict = wrong(&case, control).judge(contract);
            let must_reject = rejected_by[column];
            if must_reject {
                wrong_ones += 1;
                killed += usize::from(!verdict.passes());
            }
            if verdict.passes() == must_reject {
                misjudged.push(format!("{} {control:?}: {}", contract.name(), one_line(&verdict)));
            }
        }
        println!("{}: mutation score {killed}/{wrong_ones}", contract.name());
        assert_eq!(killed, wrong_ones, "{} is vacuous: {misjudged:#?}", contract.name());
    }
    assert_eq!(misjudged, Vec::<String>::new());
}

#[test]
fn either_path_alone_gives_a_fault_away() {
    let case = right(4096, Contract::SameNumerics);
    for (control, _) in CONTROLS.iter().filter(|(_, rejects)| rejects[2]) {
        let both = wrong(&case, *control);
        let prefill = Case { test_steps: case.test_steps.clone(), ..both.clone() };
        let decode = Case { test_prefill: case.test_prefill.clone(), ..both };
        for (name, one) in [("prefill", prefill), ("decode", decode)] {
            for contract in [Contract::SameNumerics, Contract::CrossNumerics] {
                let verdict = one.judge(contract);
                assert!(!verdict.passes(), "{control:?} only in {name}: {}", one_line(&verdict));
            }
        }
    }
}

#[test]
fn one_stale_row_in_a_long_run_is_not_averaged_away() {
    let case = Case::equal(512, 1500, 0, 0.0);
    let stale = wrong(&case, Control::OneStaleRow);
    for contract in Contract::ALL {
        let verdict = stale.judge(contract);
        assert!(!verdict.passes(), "{}: {}", contract.name(), one_line(&verdict));
        let headline = verdict.headline().unwrap();
        assert_eq!(headline.worst_position, Some(750), "{headline:?}");
    }
}

#[test]
fn a_constant_shift_warns_on_the_contract_line_and_passes() {
    let case = wrong(&right(4096, Contract::SameNumerics), Control::Shifted(3.0));
    let verdict = case.judge(Contract::SameNumerics);
    assert_eq!(verdict.word, Word::Drift);
    let finding = &verdict.findings[0];
    assert_eq!((finding.name.as_str(), finding.severity), ("raw-cosine", Severity::Drift));
    assert!(finding.measured < 0.99);
    let note = finding.note.as_deref().unwrap();
    assert!(note.contains("a constant shift explains it (+3.0000 at position"), "{note}");
    let own = wrong(&right(4096, Contract::Itself), Control::Shifted(3.0)).judge(Contract::Itself);
    assert_eq!(own.word, Word::Diverged, "one engine has no reason to shift its own logits");
}

#[test]
fn a_shift_does_not_excuse_what_else_is_wrong() {
    let case = right(4096, Contract::SameNumerics);
    let mut both = wrong(&case, Control::OtherPrompt);
    both.test_prefill.iter_mut().for_each(|v| *v += 3.0);
    let verdict = both.judge(Contract::SameNumerics);
    let raw = verdict.findings.iter().find(|f| f.name == "raw-cosine").unwrap();
    assert_eq!((verdict.word, raw.severity), (Word::Diverged, Severity::Fail));
}

#[test]
fn an_exact_policy_rejects_a_swap_of_near_ties() {
    let mut case = Case::equal(2048, 10, 20, 1e-3);
    let row = &mut case.reference_steps[5 * 2048..6 * 2048];
    let top = best(row) as usize;
    let other = (top + 1) % 2048;
    row[other] = row[top] - 5e-4;
    case.test_steps = case.reference_steps.clone();
    case.test_steps.swap(5 * 2048 + top, 5 * 2048 + other);
    case.reference_prefill[(9 + 5) * 2048..(10 + 5) * 2048]
        .copy_from_slice(&case.reference_steps[5 * 2048..6 * 2048]);
    case.test_prefill = case.reference_prefill.clone();
    let margin = case.judge(Contract::SameNumerics);
    assert_eq!(margin.word, Word::TieFlip, "{}", one_line(&margin));
    let exact = Tolerance::from(Contract::SameNumerics).with_policy(Policy::Exact).unwrap();
    let verdict = judge(&case.input(), &exact).unwrap();
    assert_eq!((verdict.word, verdict.rung), (Word::Diverged, Some(Rung::Greedy)));
    assert!(verdict.findings[0].rule.contains("every greedy choice is the reference's"));
}
