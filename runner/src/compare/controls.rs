//! Known-wrong outputs: what a parity gate must reject. Made from right outputs by a fixed recipe;
//! a gate that passes one is vacuous. Judges nothing itself.

use crate::stats::Rng;

use super::rows::select_top;

/// A way of being wrong (or, for the last ones, of being right all the same).
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Control {
    /// Every row is the one of the position before; the first is the last.
    ShiftedPosition,
    /// Every row is the one of another prompt.
    OtherPrompt,
    /// Token `i` has the logit of token `i + 1`.
    RotatedVocabulary,
    /// All logits times this.
    Scaled(f32),
    /// Independent normal noise of this standard deviation on every logit.
    Noise(f32),
    /// The two best tokens of every row exchange their logits.
    SwappedTopTwo,
    /// Every logit negated.
    Negated,
    /// One row, the middle one, is that of another position.
    OneStaleRow,
    /// The best token's logit is lowered by this at every position.
    DampedTop(f32),
    /// A constant on every logit, which softmax cannot see.
    Shifted(f32),
}

impl Control {
    /// The wrong rows. `other` are the rows of another prompt, at least as many.
    pub fn apply(self, rows: &[f32], other: &[f32], vocab_size: usize, seed: u64) -> Vec<f32> {
        let mut out = rows.to_vec();
        if vocab_size == 0 || rows.is_empty() {
            return out;
        }
        let count = rows.len() / vocab_size;
        let mut rng = Rng::new(seed);
        match self {
            Self::ShiftedPosition => out.rotate_right(vocab_size),
            Self::OtherPrompt => out.iter_mut().zip(other).for_each(|(o, v)| *o = *v),
            Self::RotatedVocabulary => {
                out.chunks_exact_mut(vocab_size).for_each(|r| r.rotate_left(1))
            }
            Self::Scaled(factor) => out.iter_mut().for_each(|v| *v *= factor),
            Self::Noise(sd) => out.iter_mut().for_each(|v| *v += sd * rng.normal() as f32),
            Self::Negated => out.iter_mut().for_each(|v| *v = -*v),
            Self::Shifted(by) => out.iter_mut().for_each(|v| *v += by),
            Self::OneStaleRow => {
                let (to, from) = (count / 2, count / 3);
                out[to * vocab_size..(to + 1) * vocab_size]
                    .copy_from_slice(&rows[from * vocab_size..(from + 1) * vocab_size]);
            }
            Self::SwappedTopTwo | Self::DampedTop(_) => {
                let mut keys = Vec::new();
                for row in out.chunks_exact_mut(vocab_size) {
                    select_top(row, 2, &mut keys);
                    keys.sort_unstable();
                    let place = |i: usize| super::rows::key_id(keys[i]) as usize;
                    match self {
                        Self::DampedTop(by) => row[place(0)] -= by,
                        _ => row.swap(place(0), place(1)),
                    }
                }
            }
        }
        out
    }
}
