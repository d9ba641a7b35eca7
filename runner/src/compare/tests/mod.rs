//! Tests of the comparison against naive twins, published values and known-wrong outputs. The data
//! here looks like logits but comes from a seed; it is no measurement of any engine.

mod antipatterns;
mod controls;
mod explain;
mod greedy;
mod metrics;
mod qualify;
mod tokens;
mod tolerance;
mod verdict;

use super::*;
use crate::stats::Rng;

/// Rows with the traits of real logits: mean −5, sd about 2.4, a preference per token that all
/// positions share, and a few candidates well above the rest.
pub(super) fn logits(vocab_size: usize, rows: usize, seed: u64) -> Vec<f32> {
    let mut shared = Rng::new(0xb1a5);
    let bias: Vec<f64> = (0..vocab_size).map(|_| 1.3 * shared.normal()).collect();
    let mut rng = Rng::new(seed);
    let mut values = Vec::with_capacity(vocab_size * rows);
    for _ in 0..rows {
        let start = values.len();
        values.extend(bias.iter().map(|b| (b - 5.0 + 2.0 * rng.normal()) as f32));
        for _ in 0..4 {
            let id = rng.below(vocab_size);
            values[start + id] += (5.0 + 5.0 * rng.uniform()) as f32;
        }
    }
    values
}

/// The same rows with normal noise.
pub(super) fn noisy(values: &[f32], sd: f64, seed: u64) -> Vec<f32> {
    let mut rng = Rng::new(seed);
    values.iter().map(|v| (f64::from(*v) + sd * rng.normal()) as f32).collect()
}

pub(super) fn best(row: &[f32]) -> u32 {
    let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    row.iter().position(|v| *v == top).unwrap() as u32
}

/// An id drawn from `softmax(row)`.
fn draw(row: &[f32], rng: &mut Rng) -> u32 {
    // The largest of logits with Gumbel noise has that distribution.
    let gumbel = |rng: &mut Rng| -(-(1.0 - rng.uniform()).ln()).ln();
    let noisy: Vec<f32> = row.iter().map(|v| (f64::from(*v) + gumbel(rng)) as f32).collect();
    best(&noisy)
}

/// The outputs of a case, owned.
#[derive(Clone)]
pub(super) struct Case {
    pub vocab_size: usize,
    pub ids: Vec<u32>,
    pub prompt_len: usize,
    pub reference_prefill: Vec<f32>,
    pub test_prefill: Vec<f32>,
    pub reference_steps: Vec<f32>,
    pub test_steps: Vec<f32>,
    pub chosen: Vec<u32>,
}

impl Case {
    /// Two equal engines whose decode path differs from their prefill by `self_noise`.
    pub fn equal(vocab_size: usize, prompt_len: usize, steps: usize, self_noise: f64) -> Self {
        let reference_prefill = logits(vocab_size, prompt_len + steps, 1);
        let from = (prompt_len - 1) * vocab_size;
        let decoded = &reference_prefill[from..from + steps * vocab_size];
        let reference_steps = noisy(decoded, self_noise, 2);
        let chosen: Vec<u32> = reference_steps.chunks_exact(vocab_size).map(best).collect();
        // A prompt that the reference finds likely, as text is: each id drawn from the row before.
        let mut rng = Rng::new(3);
        let mut ids = vec![7];
        for row in reference_prefill.chunks_exact(vocab_size).take(prompt_len - 1) {
            ids.push(draw(row, &mut rng));
        }
        ids.extend(&chosen);
        Self {
            vocab_size,
            ids,
            prompt_len,
            test_prefill: reference_prefill.clone(),
            test_steps: reference_steps.clone(),
            reference_prefill,
            reference_steps,
            chosen,
        }
    }

    /// The test's outputs with normal noise of their own.
    pub fn with_test_noise(mut self, sd: f64) -> Self {
        self.test_prefill = noisy(&self.test_prefill, sd, 3);
        self.test_steps = noisy(&self.test_steps, sd, 4);
        self
    }

    pub fn input(&self) -> ParityInput<'_> {
        ParityInput {
            vocab_size: self.vocab_size,
            ids: &self.ids,
            prompt_len: self.prompt_len,
            reference_prefill: &self.reference_prefill,
            test_prefill: &self.test_prefill,
            reference_steps: &self.reference_steps,
            test_steps: &self.test_steps,
            chosen: &self.chosen,
            free_run: None,
            tokens: None,
        }
    }

    pub fn judge(&self, contract: Contract) -> Verdict {
        judge(&self.input(), &contract.into()).unwrap()
    }
}
