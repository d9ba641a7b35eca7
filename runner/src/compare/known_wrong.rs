//! Known-wrong outputs, made from right ones by fixed recipes: what a gate must reject. It judges nothing.

use crate::stats::{Moments, Rng};

use super::rows::{argmax, descending_key, key_id};

/// A known-wrong choice lies so far below the best one, in nats: four times the largest margin that any
/// contract calls a tie.
const WRONG_MARGIN: f64 = 1.0;
/// Where the draws of noise begin.
const SEED: u64 = 1;

/// A way for rows of logits to be wrong. Sizes are relative to a row's spread, so that they are as wrong for
/// every model.
#[derive(Debug, Clone, Copy)]
enum WrongRows {
    ShiftedPosition,
    OtherHalf,
    ReversedPositions,
    MeanOfAllPositions,
    LeakOfPosition,
    OneStaleRow,
    RotatedVocabulary,
    ReversedVocabulary,
    LostVocabulary,
    Scaled(f32),
    Negated,
    Noise,
    BestAndWorstSwapped,
    BestLost,
    Coarse,
    Clipped,
}

const WRONG_ROWS: [(&str, WrongRows); 18] = [
    ("each position has the row of the one before", WrongRows::ShiftedPosition),
    ("each position has the row of one half a run away", WrongRows::OtherHalf),
    ("positions are in reverse order", WrongRows::ReversedPositions),
    ("every position has the mean row: the context is lost", WrongRows::MeanOfAllPositions),
    ("a third of the position before leaks in", WrongRows::LeakOfPosition),
    ("one position has the row of another", WrongRows::OneStaleRow),
    ("each id has the logit of the next", WrongRows::RotatedVocabulary),
    ("ids are in reverse order", WrongRows::ReversedVocabulary),
    ("the upper half of the vocabulary is zero", WrongRows::LostVocabulary),
    ("logits times 1.1", WrongRows::Scaled(1.1)),
    ("logits times 0.9", WrongRows::Scaled(0.9)),
    ("logits times 1.5", WrongRows::Scaled(1.5)),
    ("logits negated", WrongRows::Negated),
    ("noise of a third of the spread", WrongRows::Noise),
    ("the best and the worst id exchange logits", WrongRows::BestAndWorstSwapped),
    ("the best id has the mean logit", WrongRows::BestLost),
    ("logits rounded to the spread", WrongRows::Coarse),
    ("logits clipped at one spread above the mean", WrongRows::Clipped),
];

/// Every way of being wrong that changes `rows`, with its name and the wrong rows.
pub(super) fn rows(
    rows: &[f32],
    vocab_size: usize,
) -> impl Iterator<Item = (&'static str, Vec<f32>)> {
    let made = WRONG_ROWS.map(|(name, wrong)| (name, wrong.apply(rows, vocab_size)));
    let unchanged: Vec<bool> = made.iter().map(|(_, wrong)| wrong == rows).collect();
    made.into_iter().zip(unchanged).filter(|(_, same)| !same).map(|(made, _)| made)
}

impl WrongRows {
    fn apply(self, rows: &[f32], vocab_size: usize) -> Vec<f32> {
        let mut out = rows.to_vec();
        let count = rows.len() / vocab_size;
        let row = |index: usize| &rows[index * vocab_size..(index + 1) * vocab_size];
        match self {
            Self::ShiftedPosition => out.rotate_right(vocab_size),
            Self::OtherHalf => out.rotate_right(count / 2 * vocab_size),
            Self::ReversedPositions => {
                out = (0..count).rev().flat_map(|index| row(index).iter().copied()).collect();
            }
            Self::MeanOfAllPositions => {
                let mean: Vec<f32> = (0..vocab_size)
                    .map(|id| (0..count).map(|r| row(r)[id]).sum::<f32>() / count as f32)
                    .collect();
                out.chunks_exact_mut(vocab_size).for_each(|row| row.copy_from_slice(&mean));
            }
            Self::LeakOfPosition => {
                for index in 1..count {
                    let own = &mut out[index * vocab_size..(index + 1) * vocab_size];
                    for (value, before) in own.iter_mut().zip(row(index - 1)) {
                        *value += (before - *value) / 3.0;
                    }
                }
            }
            Self::OneStaleRow => {
                let to = count / 2 * vocab_size;
                out[to..to + vocab_size].copy_from_slice(row(count / 3));
            }
            Self::Scaled(factor) => out.iter_mut().for_each(|value| *value *= factor),
            Self::Negated => out.iter_mut().for_each(|value| *value = -*value),
            _ => {
                let mut rng = Rng::new(SEED);
                for row in out.chunks_exact_mut(vocab_size) {
                    self.spoil(row, &mut rng);
                }
            }
        }
        out
    }

    /// The ways that need one row alone.
    fn spoil(self, row: &mut [f32], rng: &mut Rng) {
        let moments = Moments::of(row.iter().map(|&value| f64::from(value)));
        let mean = moments.mean().unwrap_or_default() as f32;
        let spread = moments.sd().unwrap_or_default() as f32;
        let best = argmax(row) as usize;
        match self {
            Self::RotatedVocabulary => row.rotate_left(1),
            Self::ReversedVocabulary => row.reverse(),
            Self::LostVocabulary => {
                let half = row.len() / 2;
                row[half..].fill(0.0);
            }
            Self::Noise => {
                row.iter_mut().for_each(|value| *value += spread / 3.0 * rng.normal() as f32);
            }
            Self::BestAndWorstSwapped => {
                let worst = (0..row.len()).min_by(|a, b| row[*a].total_cmp(&row[*b]));
                row.swap(best, worst.unwrap_or(best));
            }
            Self::BestLost => row[best] = mean,
            Self::Coarse if spread > 0.0 => {
                row.iter_mut()
                    .for_each(|value| *value = (*value / spread).round_ties_even() * spread);
            }
            Self::Clipped => {
                row.iter_mut().for_each(|value| *value = value.min(mean + spread));
            }
            _ => {}
        }
    }
}

/// Twelve wrong free runs of `chosen`, each with one of the worst tokens at one step of twelve, and those
/// of three more whose first difference is surely no tie. `rows` are what was chosen from.
pub(super) fn free_runs(
    chosen: &[u32],
    rows: &[f32],
    vocab_size: usize,
) -> Vec<(String, Vec<u32>)> {
    let steps = chosen.len();
    let row = |step: usize| &rows[step * vocab_size..(step + 1) * vocab_size];
    let mut out = Vec::new();
    for k in 0..12.min(vocab_size - 1) {
        let step = k * steps / 12;
        let mut keys: Vec<u64> =
            row(step).iter().enumerate().map(|(id, v)| descending_key(*v, id)).collect();
        let place = vocab_size - 1 - k;
        let (_, key, _) = keys.select_nth_unstable(place);
        let mut ids = chosen.to_vec();
        ids[step] = key_id(*key);
        out.push((format!("step {step} chooses the id of rank {}", place + 1), ids));
    }
    let mut late = chosen.to_vec();
    late.rotate_right(1);
    let reversed = chosen.iter().rev().copied().collect();
    let next = chosen.iter().map(|id| (id + 1) % vocab_size as u32).collect();
    for (name, ids) in [
        ("choices come a step late", late),
        ("choices are in reverse order", reversed),
        ("each choice is the next id", next),
    ] {
        let ids: Vec<u32> = ids;
        let first = chosen.iter().zip(&ids).position(|(a, b)| a != b);
        let wrong = first.is_some_and(|step| {
            let row = row(step);
            f64::from(row[argmax(row) as usize] - row[ids[step] as usize]) > WRONG_MARGIN
        });
        if wrong {
            out.push((name.to_owned(), ids));
        }
    }
    out
}

/// A wrong tokenisation of a text.
pub(super) struct WrongTokens {
    /// How it is wrong.
    pub(super) name: String,
    pub(super) ids: Vec<u32>,
    pub(super) byte_lengths: Vec<usize>,
    /// What the ids are turned back into.
    pub(super) back: Vec<u8>,
}

/// Wrong tokenisations of a text whose ids stand for `lengths` bytes each and come back as `bytes`.
pub(super) fn tokenisations(
    ids: &[u32],
    lengths: &[usize],
    bytes: &[u8],
    vocab_size: usize,
) -> Vec<WrongTokens> {
    let mut out = Vec::new();
    let mut add = |name: String, new: Vec<u32>, byte_lengths: Vec<usize>, back: Vec<u8>| {
        if new != ids || back != bytes {
            out.push(WrongTokens { name, ids: new, byte_lengths, back });
        }
    };
    let count = ids.len();
    let (same, back) = (lengths.to_vec(), bytes.to_vec());
    for k in 0..12 {
        let at = k * count / 12;
        let mut new = ids.to_vec();
        new[at] = (new[at] + 1 + k as u32) % vocab_size as u32;
        add(format!("id {at} is {} further", k + 1), new, same.clone(), back.clone());
    }
    add("the first id is missing".into(), ids[1..].into(), lengths[1..].into(), back.clone());
    let last = count - 1;
    add("the last id is missing".into(), ids[..last].into(), lengths[..last].into(), back.clone());
    let twice = |at: usize| {
        let (mut new, mut long) = (ids.to_vec(), lengths.to_vec());
        new.insert(at, ids[at]);
        long.insert(at, lengths[at]);
        (new, long)
    };
    let (new, long) = twice(0);
    add("the first id is there twice".into(), new, long, back.clone());
    let mut new = ids.to_vec();
    new.swap(0, last);
    add("the first and the last id exchange places".into(), new, same.clone(), back.clone());
    let mut other = back.clone();
    other.push(b' ');
    add("the text comes back with a space more".into(), ids.to_vec(), same.clone(), other);
    let shorter = back[..back.len().saturating_sub(1)].to_vec();
    add("the text comes back without its last byte".into(), ids.to_vec(), same, shorter);
    out
}
