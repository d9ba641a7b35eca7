//! The three contracts reject every known-wrong output, and a loose tolerance is found out.

use super::*;

/// Text for the case's prompt: a byte an id.
fn tokens(case: &Case) -> (Vec<usize>, Vec<u8>) {
    let count = case.prompt_len;
    (vec![1; count], (0..count).map(|i| b'a' + (i % 26) as u8).collect())
}

fn qualified(case: &Case, tolerance: &Tolerance) -> Qualification {
    let (lengths, text) = tokens(case);
    let view = Tokenised {
        ids: &case.ids[..case.prompt_len],
        byte_lengths: &lengths,
        detokenised: Some(&text),
    };
    qualify(&ParityInput { tokens: Some((view, view)), ..case.input() }, tolerance)
}

#[test]
fn the_three_contracts_reject_every_known_wrong_output() {
    for contract in Contract::ALL {
        let noise = if contract == Contract::Itself { 0.0 } else { 1e-3 };
        let case = Case::equal(4096, 25, 32, noise);
        let score = qualified(&case, &contract.into());
        println!("{}: {score}", contract.name());
        let survivors: Vec<_> = score.survivors().collect();
        assert!(score.passes(), "{} is vacuous: {survivors:#?}", contract.name());
        let gates: Vec<Rung> = score.gates.iter().map(|gate| gate.gate).collect();
        assert_eq!(gates, [Rung::Tokens, Rung::Logits, Rung::Greedy]);
        for gate in &score.gates {
            assert!(gate.controls.len() >= 12, "{}: {score}", gate.gate.name());
            // Each is caught at its own gate or behind it, and says by which rule.
            assert!(gate.controls.iter().all(|control| control.caught_by >= Some(gate.gate)));
        }
    }
}

#[test]
fn what_a_gate_lets_through_is_named() {
    let mut score = qualified(&Case::equal(512, 9, 8, 1e-3), &Contract::SameNumerics.into());
    score.gates[1].controls[3].caught_by = None;
    assert!(!score.passes());
    let (gate, control) = score.survivors().next().unwrap();
    assert_eq!((gate, &control.control), (Rung::Logits, &score.gates[1].controls[3].control));
    assert!(score.to_string().contains(", logits 17/18, "), "{score}");
}

#[test]
fn a_case_that_cannot_tell_positions_apart_is_vacuous() {
    // Every position has nearly the same row: what is wrong about positions cannot be seen.
    let mut case = Case::equal(512, 9, 0, 0.0);
    let row = case.reference_prefill[..512].to_vec();
    case.reference_prefill = (0..9).flat_map(|at| noisy(&row, 1e-7, at)).collect();
    case.test_prefill = case.reference_prefill.clone();
    let score = qualified(&case, &Contract::CrossNumerics.into());
    assert!(!score.passes(), "{score}");
    let mut names = score.survivors().map(|(_, control)| &*control.control);
    assert!(names.any(|name| name == "each position has the row of the one before"));
}
