//! The repetition penalty: the ids of the last tokens become less likely, each once, as in llama.cpp
//! (`llama_sampler_penalties`). It chooses nothing.

use std::collections::VecDeque;

/// The last ids of a sequence, prompt included.
#[derive(Debug, Clone)]
pub(super) struct Recent {
    window: usize,
    ids: VecDeque<u32>,
    /// Reused from token to token.
    distinct: Vec<u32>,
}

impl Recent {
    /// Remembers up to `window` ids.
    pub(super) fn new(window: usize) -> Self {
        Self { window, ids: VecDeque::new(), distinct: Vec::new() }
    }

    /// Takes the next id of the sequence; the oldest one falls out of a full window.
    pub(super) fn accept(&mut self, id: u32) {
        if self.window == 0 {
            return;
        }
        if self.ids.len() == self.window {
            self.ids.pop_front();
        }
        self.ids.push_back(id);
    }

    /// Whether no id is remembered.
    pub(super) fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Forgets the sequence.
    pub(super) fn clear(&mut self) {
        self.ids.clear();
    }

    /// Divides the logits above 0 of the remembered ids by `penalty` and multiplies the others with
    /// it. An id without a logit is passed over: it cannot be chosen.
    pub(super) fn penalise(&mut self, penalty: f32, logits: &mut [f32]) {
        self.distinct.clear();
        self.distinct.extend(&self.ids);
        self.distinct.sort_unstable();
        self.distinct.dedup();
        for &id in &self.distinct {
            if let Some(logit) = logits.get_mut(id as usize) {
                *logit = if *logit > 0.0 { *logit / penalty } else { *logit * penalty };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn penalised(window: usize, ids: &[u32], penalty: f32, logits: &[f32]) -> Vec<f32> {
        let mut recent = Recent::new(window);
        ids.iter().for_each(|id| recent.accept(*id));
        let mut logits = logits.to_vec();
        recent.penalise(penalty, &mut logits);
        logits
    }

    #[test]
    fn each_id_counts_once_and_always_loses() {
        let logits = [3.0, -2.0, 0.0, 1.0];
        assert_eq!(penalised(64, &[0, 0, 1, 2, 0], 2.0, &logits), [1.5, -4.0, 0.0, 1.0]);
        assert_eq!(penalised(64, &[0, 1], 0.5, &logits), [6.0, -1.0, 0.0, 1.0], "encouraged");
        assert_eq!(penalised(64, &[9], 2.0, &logits), logits, "an id without a logit");
    }

    #[test]
    fn only_the_window_is_remembered() {
        let logits = [1.0; 4];
        assert_eq!(penalised(2, &[0, 1, 2], 2.0, &logits), [1.0, 0.5, 0.5, 1.0]);
        assert_eq!(penalised(0, &[0, 1, 2], 2.0, &logits), logits);
        let mut recent = Recent::new(2);
        recent.accept(3);
        recent.clear();
        let mut same = logits;
        recent.penalise(2.0, &mut same);
        assert_eq!(same, logits);
    }

    #[test]
    fn infinities_stay_what_they_are() {
        let logits = [f32::INFINITY, f32::NEG_INFINITY];
        assert_eq!(penalised(64, &[0, 1], 1.3, &logits), logits);
    }
}
