//! The smallest text that still shows a difference; what a difference is, the caller knows.

/// Checks of one text at most, so that a slow engine ends the search and not the patience.
const CHECKS: usize = 4000;

/// Leaves characters out, then makes them plainer, as long as `differs` holds.
pub fn shrink<E>(
    text: &str,
    mut differs: impl FnMut(&str) -> Result<bool, E>,
) -> Result<String, E> {
    let mut best: Vec<char> = text.chars().collect();
    let mut checks = 0;
    let mut try_text = |candidate: &[char]| {
        checks += 1;
        if checks > CHECKS { Ok(false) } else { differs(&candidate.iter().collect::<String>()) }
    };
    let mut size = best.len();
    while size > 0 {
        let mut at = 0;
        let mut removed = false;
        while at < best.len() {
            let end = (at + size).min(best.len());
            let candidate = [&best[..at], &best[end..]].concat();
            if try_text(&candidate)? {
                best = candidate;
                removed = true;
            } else {
                at = end;
            }
        }
        // What could not go before may go once others have gone.
        size = if removed { size.min(best.len()) } else { size / 2 };
    }
    for at in 0..best.len() {
        for plain in ['a', ' ', '1', '.', 'é'] {
            if best[at] == plain {
                break;
            }
            let mut candidate = best.clone();
            candidate[at] = plain;
            if try_text(&candidate)? {
                best = candidate;
                break;
            }
        }
    }
    Ok(best.into_iter().collect())
}
