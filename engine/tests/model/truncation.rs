//! A session that forgot its last positions is one that never had them.

use bitnet_engine::model::LogitsOf;
use bitnet_engine::session::Session;

use crate::session::{LENGTH, bits, hidden, ids, model, model_with_a_nan, session, specs};
use crate::synthetic::TINY;

#[test]
fn what_follows_a_truncation_has_the_bits_of_a_fresh_session() {
    for spec in specs() {
        let model = model(&spec);
        let ids = ids(&model);
        // Of the same length and other ids: nothing of the old ones may be seen.
        let others: Vec<u32> = ids.iter().rev().copied().collect();
        for kept in [0, 1, 31, 32, 33, 40, 63, 64, 74] {
            let mut used = session(&model, 2);
            used.prefill(&ids, LogitsOf::Nothing).unwrap();
            used.step(3).unwrap();
            used.truncate(kept);
            assert_eq!(used.position(), kept);
            let mut fresh = session(&model, 2);
            if kept > 0 {
                fresh.prefill(&ids[..kept], LogitsOf::Nothing).unwrap();
            }
            let next = |session: &mut Session| {
                let mut all = bits(session.step(others[kept]).unwrap());
                let rest = &others[kept..];
                all.extend(bits(&session.prefill(rest, LogitsOf::All).unwrap()));
                all
            };
            assert!(next(&mut used) == next(&mut fresh), "{spec:?}, {kept} of {LENGTH} kept");
        }
    }
}

#[test]
fn values_that_were_no_numbers_are_forgotten_within_a_step_of_the_cache() {
    let model = model_with_a_nan();
    let mut fresh = session(&model, 1);
    hidden(&mut fresh, &[1, 2, 3]);
    let truth = hidden(&mut fresh, &[4]);
    assert!(truth.iter().all(|v| v.is_finite()));
    let mut used = session(&model, 1);
    let spoilt = hidden(&mut used, &[1, 2, 3, 5, 6]);
    assert!(spoilt.iter().any(|v| v.is_nan()), "id 5 spoils what follows");
    used.truncate(3);
    assert!(hidden(&mut used, &[4]) == truth, "nothing of it is left");
}

#[test]
fn a_truncation_that_forgets_nothing_changes_nothing() {
    let model = model(&TINY);
    let mut used = session(&model, 1);
    used.prefill(&[1, 2, 3], LogitsOf::Nothing).unwrap();
    used.truncate(3);
    used.truncate(96);
    used.truncate(usize::MAX);
    assert_eq!((used.position(), used.context()), (3, 96));
    let mut fresh = session(&model, 1);
    let truth = bits(&fresh.prefill(&[1, 2, 3, 4], LogitsOf::Last).unwrap());
    assert!(bits(used.step(4).unwrap()) == truth);
}
