//! Clean runs give no alarm: our engine as it is, with threads, instruction sets and chunks of prompts drawn
//! anew for each run, against the real references. BITNET_CLEAN_RUNS sets how many; a few by default,
//! since each takes a second.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bitnet_engine::kernels::{Isa, Kernels};
use bitnet_runner::backend::engine::EngineBackend;
use bitnet_runner::backend::{
    Backend, BackendError, Feed, Generation, Identity, KernelCalls, Logits, ModelFacts,
    NamedTensor, OpenRequest, TokenizeOptions,
};
use bitnet_runner::run::{Engines, Outcome, Project, Runner, Settings};
use bitnet_runner::stats::Rng;
use bitnet_runner::suite::select::Trial;
use bitnet_runner::suite::{Kind, Variant};

/// How many runs there are where nothing else is asked for.
const RUNS: usize = 12;
const RUNS_VARIABLE: &str = "BITNET_CLEAN_RUNS";
const MOST_THREADS: usize = 4;
/// Sizes of chunks that are drawn: within a tile of attention, beside one, and what the engine takes itself.
const CHUNKS: [usize; 6] = [2, 3, 7, 8, 13, 512];

/// Our engine, which may compute a prefill in smaller chunks, or one id at a time as a decode does.
struct Shaped {
    engine: EngineBackend,
    rng: Rng,
}

impl Backend for Shaped {
    fn identity(&self) -> &Identity {
        self.engine.identity()
    }

    fn open(&mut self, request: &OpenRequest) -> Result<ModelFacts, BackendError> {
        self.engine.set_chunk(CHUNKS[self.rng.below(CHUNKS.len())]);
        self.engine.open(request)
    }

    fn tokenize(&mut self, text: &str, options: TokenizeOptions) -> Result<Vec<u32>, BackendError> {
        self.engine.tokenize(text, options)
    }

    fn detokenize(&mut self, ids: &[u32]) -> Result<Vec<u8>, BackendError> {
        self.engine.detokenize(ids)
    }

    fn logits(&mut self, ids: &[u32], feed: Feed) -> Result<Logits, BackendError> {
        let feed = if self.rng.below(2) == 0 { Feed::Steps } else { feed };
        self.engine.logits(ids, feed)
    }

    fn generate(&mut self, prompt: &[u32], steps: usize) -> Result<Generation, BackendError> {
        self.engine.generate(prompt, steps)
    }

    fn tap(&mut self, ids: &[u32], names: &[String]) -> Result<Vec<NamedTensor>, BackendError> {
        self.engine.tap(ids, names)
    }

    fn kernels(&self) -> Vec<KernelCalls> {
        self.engine.kernels()
    }
}

#[test]
fn clean_runs_give_no_alarm() {
    let runs = std::env::var(RUNS_VARIABLE)
        .map_or(RUNS, |count| count.parse().unwrap_or_else(|_| panic!("{RUNS_VARIABLE}={count}")));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let project = Arc::new(Project::load(&root).unwrap_or_else(|error| panic!("{error}")));
    let trials: Vec<&Trial> = project
        .trials
        .iter()
        .filter(|trial| trial.ignored.is_none())
        .filter(|trial| project.suite(trial).kind == Kind::Parity)
        .filter(|trial| project.case(trial).known_failure.is_none())
        .collect();
    let sets: Vec<Isa> =
        Isa::ALL.into_iter().filter(|isa| Kernels::for_isa(*isa).is_some()).collect();
    let mut rng = Rng::new(0xc1ea);
    let subject = Box::new(Shaped { engine: EngineBackend::new(), rng: Rng::new(0x5a) });
    let settings = Settings { allow_skip: false, progress: Box::new(|_| ()) };
    let mut runner = Runner::new(project.clone(), Engines::with_subject(subject), settings);
    let mut words: BTreeMap<String, usize> = BTreeMap::new();
    let mut alarms = Vec::new();
    for run in 0..runs {
        let drawn = trials[rng.below(trials.len())];
        let variant = Variant {
            threads: Some(1 + rng.below(MOST_THREADS)),
            isa: Some(sets[rng.below(sets.len())].name().to_owned()),
        };
        let trial = Trial { variant: variant.clone(), ..drawn.clone() };
        match runner.run(&trial) {
            Outcome::Passed { verdict: Some(verdict), .. } => {
                *words.entry(verdict.word.name().to_owned()).or_default() += 1;
            }
            other => alarms.push(format!("run {run}, {} {variant:?}: {other:?}", trial.id)),
        }
    }
    println!(
        "{runs} clean runs: {words:?}, {} alarms; for more: {RUNS_VARIABLE}=200",
        alarms.len()
    );
    assert!(alarms.is_empty(), "{alarms:#?}");
    assert_eq!(words.values().sum::<usize>(), runs);
}
