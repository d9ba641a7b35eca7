//! Where two tokenisations of a text part, and the usual reasons. Pure.

use super::TokenDifference;
use super::hypotheses::Hypothesis;

/// Where the subject's ids part from the reference's.
pub(super) fn difference(ours: &[u32], theirs: &[u32]) -> Option<TokenDifference> {
    let common = ours.iter().zip(theirs).take_while(|(a, b)| a == b).count();
    if common == ours.len() && common == theirs.len() {
        return None;
    }
    let rest = |ids: &[u32]| ids[common..].iter().take(8).copied().collect();
    let explained = |name: &str, words: &str| Hypothesis {
        name: name.into(),
        words: words.into(),
        explained: 1.0,
        exact: true,
    };
    let mut hypotheses = Vec::new();
    if theirs.split_first().is_some_and(|(_, rest)| rest == ours) {
        hypotheses.push(explained("bos-missing", "the subject adds no BOS"));
    }
    if ours.split_first().is_some_and(|(_, rest)| rest == theirs) {
        hypotheses
            .push(explained("bos-added", "the subject adds a BOS that does not belong there"));
    }
    if theirs.split_last().is_some_and(|(_, rest)| rest == ours) {
        hypotheses.push(explained("eos-missing", "the subject adds no EOS"));
    }
    let (subject, reference) = (rest(ours), rest(theirs));
    Some(TokenDifference { index: common, subject, reference, hypotheses })
}
