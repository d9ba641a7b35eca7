//! What a case of kind `bench` says, after every rule was checked: which work two engines are timed
//! at. It times nothing, and judges no figure.

/// Rounds at which a verdict is looked for; `rounds` of a case is the last of them that is reached.
pub const MOST_ROUNDS: usize = 40;

/// Fewest rounds of a verdict.
pub const FEWEST_ROUNDS: usize = 8;

/// Work that the subject and a reference are timed at, one measure each.
#[derive(Debug, Clone, PartialEq)]
pub struct Bench {
    /// Time loading, from a process without a model to one that can compute.
    pub load: bool,
    /// Ids of each timed prefill (`pp512`), without repetitions.
    pub prefill: Vec<usize>,
    /// Ids of each timed decode (`tg128`), without repetitions.
    pub decode: Vec<usize>,
    /// Ids in the KV cache before the first decoded one.
    pub depth: usize,
    /// What the subject hands out behind a decoded id.
    pub output: BenchOutput,
    /// Most rounds of a measure, [`FEWEST_ROUNDS`] to [`MOST_ROUNDS`].
    pub rounds: usize,
    /// Smallest speed of the subject, as a part of the reference's.
    pub min_ratio: f64,
}

impl Bench {
    /// Positions that the longest measure needs in the KV cache.
    pub fn positions(&self) -> usize {
        let decoded = self.decode.iter().map(|ids| ids + self.depth);
        self.prefill.iter().copied().chain(decoded).max().unwrap_or(1)
    }
}

/// What an engine hands out behind each decoded id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BenchOutput {
    /// The id of the highest logit: what greedy generation needs.
    Greedy,
    /// Every logit.
    Logits,
}
