//! What a bench case is made of: its measures by llama-bench's names, and the ids that both engines are
//! fed. It times nothing.

use crate::receipt::{Measure, Output};
use crate::stats::Rng;
use crate::suite::bench::{Bench, BenchOutput};

/// Where the ids begin: the same ones for every engine, case and run.
const SEED: u64 = 1;

/// One measure of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// `load`, `pp512`, `tg128`, `tg128@d1024`; `tg128+logits` where all logits are handed out.
    pub name: String,
    /// What is timed.
    pub measure: Measure,
    /// Ids that are timed; 0 for a load.
    pub tokens: usize,
    /// Ids in the KV cache before them.
    pub depth: usize,
    /// What the subject hands out behind each id of a decode.
    pub output: Option<Output>,
}

impl Task {
    /// The measures of a case: loads, prefills, decodes.
    pub fn of(bench: &Bench) -> Vec<Self> {
        let plain =
            |name: String, measure, tokens| Self { name, measure, tokens, depth: 0, output: None };
        let load = bench.load.then(|| plain("load".to_owned(), Measure::Load, 0));
        let prefill =
            bench.prefill.iter().map(|&ids| plain(format!("pp{ids}"), Measure::Prefill, ids));
        let decode = bench.decode.iter().map(|&tokens| {
            let depth = match bench.depth {
                0 => String::new(),
                depth => format!("@d{depth}"),
            };
            let (output, mark) = match bench.output {
                BenchOutput::Greedy => (Output::Greedy, ""),
                BenchOutput::Logits => (Output::Logits, "+logits"),
            };
            Self {
                name: format!("tg{tokens}{depth}{mark}"),
                measure: Measure::Decode,
                tokens,
                depth: bench.depth,
                output: Some(output),
            }
        });
        load.into_iter().chain(prefill).chain(decode).collect()
    }

    /// The ids of the measure, those of the depth first. llama-bench feeds drawn ids too: what they say
    /// changes no engine's work. A load is checked with one.
    pub fn ids(&self, vocab_size: usize) -> Vec<u32> {
        let mut rng = Rng::new(SEED);
        let count = (self.depth + self.tokens).max(1);
        (0..count).map(|_| u32::try_from(rng.below(vocab_size)).unwrap_or(0)).collect()
    }

    /// Ids whose answers are checked: every decoded one, and the last one of anything else.
    pub fn answers(&self) -> usize {
        if self.measure == Measure::Decode { self.tokens } else { 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bench() -> Bench {
        Bench {
            load: true,
            prefill: vec![128, 512],
            decode: vec![64],
            depth: 1024,
            output: BenchOutput::Logits,
            rounds: 8,
            min_ratio: 1.0,
        }
    }

    #[test]
    fn measures_bear_the_names_of_llama_bench() {
        let names = |bench: &Bench| Task::of(bench).into_iter().map(|task| task.name).collect();
        let all: Vec<String> = names(&bench());
        assert_eq!(all, ["load", "pp128", "pp512", "tg64@d1024+logits"]);
        let plain = Bench { load: false, depth: 0, output: BenchOutput::Greedy, ..bench() };
        let all: Vec<String> = names(&plain);
        assert_eq!(all, ["pp128", "pp512", "tg64"]);
    }

    #[test]
    fn ids_are_the_same_for_everybody_and_of_the_vocabulary() {
        let tasks = Task::of(&bench());
        let counts: Vec<usize> = tasks.iter().map(|task| task.ids(320).len()).collect();
        assert_eq!(counts, [1, 128, 512, 1088]);
        assert_eq!(tasks[1].ids(320), tasks[2].ids(320)[..128]);
        assert!(tasks[3].ids(320).iter().all(|&id| id < 320));
        assert_eq!(tasks.iter().map(Task::answers).collect::<Vec<_>>(), [1, 1, 1, 64]);
    }
}
