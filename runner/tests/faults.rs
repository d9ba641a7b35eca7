//! Faults put into the engine on purpose: real suites against the real reference must fail, and say
//! at which rung. The faults live here, in a wrapper round the engine; the engine has none of them.

mod support;

use bitnet_engine::gguf::GgufFile;
use bitnet_engine::model::{Activation, Config, RopeStyle};
use bitnet_runner::backend::engine::EngineBackend;
use bitnet_runner::backend::{
    Backend, BackendError, Feed, Generation, Identity, Logits, ModelFacts, NamedTensor,
    OpenRequest, TokenizeOptions,
};
use bitnet_runner::compare::{Path, Rung, Sense, Severity, Verdict, Word};
use bitnet_runner::run::{Engines, Outcome, Runner, Settings};
use bitnet_runner::suite::Filter;
use support::{project, trial};
use tempfile::NamedTempFile;

/// Trials that see every fault below: text with BOS, prefill and decoding.
const TRIALS: [&str; 2] = ["parity::smoke::two-plus-two", "parity::prose::trailing-space"];

#[derive(Clone, Copy)]
enum Fault {
    /// The wrapper alone.
    None,
    /// Hyper-parameters that are not the file's.
    Config(fn(&mut Config)),
    /// Two tensors of every layer have each other's weights.
    SwappedTensors([&'static str; 2]),
    /// BOS is never added.
    NoBos,
    /// Every logit is this many times too large.
    Scaled(f32),
    /// Row i of a prefill is that of position i − 1.
    ShiftedRows,
    /// While decoding, the last slot of the prompt still holds the id before it.
    StaleSlot,
    /// The first computation panics.
    PanicsOnce,
}

/// Our engine with a fault.
struct Faulty {
    engine: EngineBackend,
    fault: Fault,
    damaged: Option<NamedTempFile>,
    /// Length of the last prompt, whose last slot is the stale one.
    prompt_len: usize,
}

impl Faulty {
    fn scaled(&self, mut logits: Logits) -> Logits {
        if let Fault::Scaled(factor) = self.fault {
            logits.values.iter_mut().for_each(|value| *value *= factor);
        }
        logits
    }
}

impl Backend for Faulty {
    fn identity(&self) -> &Identity {
        self.engine.identity()
    }

    fn open(&mut self, request: &OpenRequest) -> Result<ModelFacts, BackendError> {
        match self.fault {
            Fault::Config(change) => self.engine.open_changed(request, change),
            Fault::SwappedTensors(names) => {
                let damaged =
                    self.damaged.get_or_insert_with(|| swapped_tensors(&request.model, names));
                let model = damaged.path().to_owned();
                self.engine.open(&OpenRequest { model, ..request.clone() })
            }
            _ => self.engine.open(request),
        }
    }

    fn tokenize(&mut self, text: &str, options: TokenizeOptions) -> Result<Vec<u32>, BackendError> {
        let add_special = options.add_special && !matches!(self.fault, Fault::NoBos);
        self.engine.tokenize(text, TokenizeOptions { add_special, ..options })
    }

    fn detokenize(&mut self, ids: &[u32]) -> Result<Vec<u8>, BackendError> {
        self.engine.detokenize(ids)
    }

    fn logits(&mut self, ids: &[u32], feed: Feed) -> Result<Logits, BackendError> {
        if let Fault::PanicsOnce = self.fault {
            self.fault = Fault::None;
            panic!("position {} is out of the table", 7);
        }
        let mut logits = self.engine.logits(ids, feed)?;
        if let Fault::ShiftedRows = self.fault {
            logits.values.rotate_right(logits.vocab_size);
        }
        let stale = self.prompt_len.saturating_sub(1);
        if matches!((self.fault, feed), (Fault::StaleSlot, Feed::Steps)) && stale > 0 {
            // Rows behind the prompt read the slot, which holds its predecessor's values.
            let mut read = ids.to_vec();
            read[stale] = ids[stale - 1];
            let behind = self.engine.logits(&read, feed)?;
            let from = self.prompt_len * logits.vocab_size;
            logits.values[from..].copy_from_slice(&behind.values[from..]);
        }
        Ok(self.scaled(logits))
    }

    fn generate(&mut self, prompt: &[u32], steps: usize) -> Result<Generation, BackendError> {
        self.prompt_len = prompt.len();
        let run = match (self.fault, prompt) {
            (Fault::StaleSlot, [.., before, _]) if steps > 1 => {
                let mut run = self.engine.generate(prompt, 1)?;
                let mut stale = prompt.to_vec();
                stale[prompt.len() - 1] = *before;
                stale.extend(&run.ids);
                let rest = self.engine.generate(&stale, steps - 1)?;
                run.ids.extend(rest.ids);
                run.logits.values.extend(rest.logits.values);
                run.nanos.extend(rest.nanos);
                run
            }
            _ => self.engine.generate(prompt, steps)?,
        };
        Ok(Generation { logits: self.scaled(run.logits), ..run })
    }

    fn tap(&mut self, ids: &[u32], names: &[String]) -> Result<Vec<NamedTensor>, BackendError> {
        self.engine.tap(ids, names)
    }
}

/// A copy of a model in which the tensors `blk.*.{names[0]}.weight` and `blk.*.{names[1]}.weight`
/// have each other's bytes.
fn swapped_tensors(model: &std::path::Path, names: [&str; 2]) -> NamedTempFile {
    let mut bytes = std::fs::read(model).expect("the model");
    let file = GgufFile::open(model).expect("a model that our reader accepts");
    let mut layers = 0;
    loop {
        let range = |name| file.tensor(&format!("blk.{layers}.{name}.weight")).map(|t| t.range());
        let (Some(first), Some(second)) = (range(names[0]), range(names[1])) else { break };
        assert_eq!(first.len(), second.len(), "tensors of one size");
        let other = bytes[second.clone()].to_vec();
        bytes.copy_within(first.clone(), second.start);
        bytes[first].copy_from_slice(&other);
        layers += 1;
    }
    assert!(layers > 0, "no layer has {names:?}");
    let copy = NamedTempFile::with_suffix(".gguf").expect("a temporary file");
    std::fs::write(copy.path(), bytes).expect("the copy");
    copy
}

fn runner(fault: Fault) -> Runner {
    let subject = Faulty { engine: EngineBackend::new(), fault, damaged: None, prompt_len: 0 };
    let settings = Settings { allow_skip: false, progress: Box::new(|_| ()) };
    Runner::new(project(), Engines::with_subject(Box::new(subject)), settings)
}

/// Runs `names` with `fault`, each of which must diverge; gives their texts and verdicts.
#[track_caller]
fn diverged(fault: Fault, rung: Rung, names: &[&str]) -> Vec<(String, Verdict)> {
    let (project, mut runner) = (project(), runner(fault));
    let mut stories = Vec::new();
    for name in names {
        let trial = trial(&project, name);
        let (text, verdict) = match runner.run(trial) {
            Outcome::Failed { text, verdict: Some(verdict), .. } => (text, *verdict),
            other => panic!("{name} should diverge: {other:?}"),
        };
        assert_eq!((verdict.word, verdict.rung), (Word::Diverged, Some(rung)), "{text}");
        let begin = format!("DIVERGED at {}: ", rung.name());
        assert!(text.starts_with(&begin), "{text}");
        assert!(text.contains(&format!(", rung {}\n", rung.name())), "{text}");
        // Every id of this vocabulary has a text, those that only the faulty engine chose as well.
        assert!(!text.contains(" \"\""), "{text}");

        let suite = &project.suite(trial).name;
        let footer = runner.footer(trial);
        let place = format!("  case: suites/{suite}.toml:{}\n", project.case(trial).line);
        assert!(footer.starts_with(&place), "{footer}");
        let id =
            footer.split_once("\n  rerun: cargo parity run --exact '").expect("a rerun line").1;
        let id = id.strip_suffix('\'').expect("a quoted id");
        let rerun = Filter { wanted: vec![id.to_owned()], exact: true, ..Filter::default() };
        let again = project.trials.iter().filter(|trial| rerun.selects(&trial.id));
        assert_eq!(again.map(|t| &t.id).collect::<Vec<_>>(), [&trial.id]);
        stories.push((text, verdict));
    }
    stories
}

/// The fault shows in the logits of `path` first, with a figure, a place and what would have passed.
#[track_caller]
fn diverged_at_logits(fault: Fault, path: Path) -> Vec<(String, Verdict)> {
    let stories = diverged(fault, Rung::Logits, &TRIALS);
    for (text, verdict) in &stories {
        let worst = verdict.headline().unwrap_or_else(|| panic!("no headline:\n{text}"));
        assert_eq!((worst.path, worst.severity), (Some(path), Severity::Fail), "{text}");
        let breaks = match worst.sense {
            Sense::AtMost => worst.measured > worst.limit,
            Sense::AtLeast => worst.measured < worst.limit,
        };
        assert!(breaks, "{worst:?}");
        assert_eq!(worst.minimum_to_pass, Some(worst.measured), "{worst:?}");
        let rows = verdict.paths.iter().find(|p| p.path == path).map(|p| p.summary.rows);
        let place = format!(
            "    first bad position {} of {} compared",
            worst.position.expect("a position"),
            rows.expect("rows of the path")
        );
        let figure = format!("{}: {}; measured ", path.name(), worst.rule);
        let remedy = format!("    would have passed with {} = ", worst.name);
        for part in [&place, &figure, &remedy, "    ids ", "    text "] {
            assert!(text.contains(part), "`{part}` is not in:\n{text}");
        }
        let shown = text.split_once(&remedy).and_then(|(_, rest)| rest.lines().next());
        let shown: f64 = shown.and_then(|figure| figure.parse().ok()).expect("a figure");
        let passes = match worst.sense {
            Sense::AtMost => shown >= worst.measured,
            Sense::AtLeast => shown <= worst.measured,
        };
        assert!(passes, "{shown} would not have passed: {worst:?}");
    }
    stories
}

#[track_caller]
fn passes(fault: Fault, names: &[&str]) {
    let (project, mut runner) = (project(), runner(fault));
    for name in names {
        match runner.run(trial(&project, name)) {
            Outcome::Passed { verdict: Some(verdict), .. } => assert!(verdict.passes(), "{name}"),
            other => panic!("{name} should pass: {other:?}"),
        }
    }
}

/// Without this the tests below would prove nothing.
#[test]
fn without_a_fault_the_same_trials_pass() {
    passes(Fault::None, &TRIALS);
}

#[test]
fn a_missing_bos_fails_at_tokens() {
    for (text, verdict) in diverged(Fault::NoBos, Rung::Tokens, &TRIALS) {
        let tokens = verdict.tokens.expect("a text prompt is tokenised by both");
        assert_eq!(tokens.test_ids + 1, tokens.reference_ids);
        let note = format!(
            "first difference at id 0 (byte 0); {} ids in the reference, {} in the test\n",
            tokens.reference_ids, tokens.test_ids
        );
        let rule = "both engines give the same ids for the text; measured ";
        for part in
            [&*note, rule, "    at position 0\n", "    reference text [\"<|begin_of_text|>\"]"]
        {
            assert!(text.contains(part), "`{part}` is not in:\n{text}");
        }
        // The engine is fed the reference's ids, so that one wrong rung does not hide the others.
        assert!(verdict.paths.iter().all(|p| p.summary.bit_equal_rows == p.summary.rows), "{text}");
    }
    passes(Fault::NoBos, &["parity::smoke::without-bos", "parity::smoke::ids-as-they-stand"]);
}

#[test]
fn another_activation_fails_at_logits() {
    let silu = Fault::Config(|config| config.graph.activation = Activation::Silu);
    diverged_at_logits(silu, Path::Prefill);
}

#[test]
fn another_order_of_rope_pairs_fails_at_logits() {
    let norm = Fault::Config(|config| config.graph.rope = RopeStyle::Norm);
    diverged_at_logits(norm, Path::Prefill);
}

#[test]
fn missing_sub_norms_fail_at_logits() {
    let without = Fault::Config(|config| config.graph.sub_norms = false);
    diverged_at_logits(without, Path::Prefill);
}

#[test]
fn another_epsilon_fails_at_logits() {
    let epsilon = Fault::Config(|config| config.rms_epsilon = 1e-2);
    diverged_at_logits(epsilon, Path::Prefill);
}

#[test]
fn another_rope_base_fails_at_logits() {
    let base = Fault::Config(|config| config.rope_base = 10_000.0);
    diverged_at_logits(base, Path::Prefill);
}

#[test]
fn gate_and_up_swapped_fail_at_logits() {
    diverged_at_logits(Fault::SwappedTensors(["ffn_gate", "ffn_up"]), Path::Prefill);
}

#[test]
fn scaled_logits_fail_at_logits_although_every_choice_is_the_same() {
    for (text, verdict) in diverged_at_logits(Fault::Scaled(1.1), Path::Prefill) {
        assert!(verdict.paths.iter().all(|p| p.greedy.flips.is_empty()), "{text}");
        assert!(verdict.findings.iter().any(|f| f.name == "slope"), "{text}");
        // What a cosine alone would have let through.
        let cosine = verdict.paths[0].summary.min_raw_cosine.value;
        assert!(cosine > 0.999_999, "{cosine}");
    }
}

#[test]
fn rows_of_the_position_before_fail_at_logits() {
    diverged_at_logits(Fault::ShiftedRows, Path::Prefill);
}

#[test]
fn a_stale_slot_of_the_kv_cache_fails_while_decoding_only() {
    for (text, verdict) in diverged_at_logits(Fault::StaleSlot, Path::Decode) {
        let prefill = &verdict.paths[0].summary;
        assert_eq!(prefill.bit_equal_rows, prefill.rows, "{text}");
        // The first step is chosen from the prompt's last row; the slot is read from the second on.
        let first = verdict.headline().and_then(|finding| finding.position);
        assert_eq!(first, Some(verdict.prompt_len), "{text}");
    }
    passes(Fault::StaleSlot, &["parity::smoke::logits-only"]);
}

#[test]
fn a_panic_of_the_engine_fails_its_trial_alone() {
    let (project, mut runner) = (project(), runner(Fault::PanicsOnce));
    let trial = trial(&project, TRIALS[0]);
    match runner.run(trial) {
        Outcome::Failed { text, verdict: None, .. } => {
            assert_eq!(text, "ERROR: panic: position 7 is out of the table");
        }
        other => panic!("it should fail: {other:?}"),
    }
    let next = runner.run(trial);
    assert!(matches!(next, Outcome::Passed { .. }), "{next:?}");
}
