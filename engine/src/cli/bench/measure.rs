//! Times a session at one kind of work, again and again. Prints nothing and computes no figure of speed.

use std::num::NonZeroUsize;
use std::time::Instant;

use bitnet_engine::model::{LogitsOf, Model};
use bitnet_engine::needs::Needs;
use bitnet_engine::sample::{self, SampleError};
use bitnet_engine::session::{Session, SessionError};
use clap::ValueEnum;

/// Ids that are computed alone, untimed, before the timed ones.
const WARM_UP: usize = 8;

/// What is computed behind an id that is timed alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// The id of the highest logit
    Greedy,
    /// All logits
    Logits,
}

/// What is timed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Test {
    /// Ids.
    pub(super) tokens: usize,
    /// Ids in the KV cache before them.
    pub(super) depth: usize,
    /// What is computed behind each of them; none where they are a prompt, computed together.
    pub(super) output: Option<Output>,
}

impl Test {
    /// Whether all ids are computed together.
    pub(super) fn is_prompt(&self) -> bool {
        self.output.is_none()
    }

    /// As llama-bench names it: `pp512`, `tg128 @ d1024`.
    pub(super) fn name(&self) -> String {
        let kind = if self.is_prompt() { "pp" } else { "tg" };
        let depth = match self.depth {
            0 => String::new(),
            depth => format!(" @ d{depth}"),
        };
        format!("{kind}{}{depth}", self.tokens)
    }
}

/// Why nothing was timed.
#[derive(Debug, thiserror::Error)]
pub(super) enum MeasureError {
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error(transparent)]
    Sample(#[from] SampleError),
}

/// Nanoseconds of each repetition, after one that is not timed. The session has room for the test.
///
/// # Errors
/// If the session refuses, or there is no highest logit.
pub(super) fn samples(
    session: &mut Session,
    test: &Test,
    repetitions: NonZeroUsize,
) -> Result<Vec<u64>, MeasureError> {
    let model = session.model().clone();
    session.clear();
    if test.depth > 0 {
        session.prefill(&ids(&model, 0, test.depth), LogitsOf::Nothing)?;
    }
    let ids = ids(&model, test.depth, test.tokens);
    let warm_up = if test.is_prompt() { &ids[..] } else { &ids[..ids.len().min(WARM_UP)] };
    compute(session, warm_up, test.output)?;
    let timed = |_| {
        session.truncate(test.depth);
        let start = Instant::now();
        compute(session, &ids, test.output)?;
        Ok(super::nanoseconds(start.elapsed()))
    };
    (0..repetitions.get()).map(timed).collect()
}

fn compute(session: &mut Session, ids: &[u32], output: Option<Output>) -> Result<(), MeasureError> {
    match output {
        None => drop(sample::greedy(&session.prefill_top(ids, 1)?)?),
        Some(Output::Logits) => {
            for &id in ids {
                session.step(id)?;
            }
        }
        Some(Output::Greedy) => {
            for &id in ids {
                sample::greedy(session.step_top(id, 1)?)?;
            }
        }
    }
    Ok(())
}

/// The ids of `count` positions from `first` on: always the same, and all over the vocabulary.
pub(super) fn ids(model: &Model, first: usize, count: usize) -> Vec<u32> {
    let vocab_size = model.config().vocab_size as u64;
    // Knuth's multiplicative hash.
    let id = |position: usize| (position as u64).wrapping_mul(2_654_435_761) % vocab_size;
    (first..first + count).map(|position| id(position) as u32).collect()
}

/// Bytes that one of the test's ids reads, on average over its positions.
pub(super) fn bytes_a_token(needs: &Needs, test: &Test) -> f64 {
    let positions = test.depth..test.depth + test.tokens;
    // All logits read the whole head; the highest one a screen of it, where there is one.
    let unread = match test.output {
        Some(Output::Greedy) => needs.read_by_token - needs.read_by_step_top,
        _ => 0,
    };
    let bytes = positions.map(|position| (needs.read_at(position) - unread) as f64);
    bytes.sum::<f64>() / test.tokens as f64
}
