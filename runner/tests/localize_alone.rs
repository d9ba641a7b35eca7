//! Localisation without C++: our engine in both places, one of them with a fault, or with a graph that has not
//! the nodes that its names promise.

use std::fs::File;

use bitnet_engine::model::Activation;
use bitnet_engine::synth::{SynthSpec, write_model};
use bitnet_runner::backend::engine::EngineBackend;
use bitnet_runner::backend::operations::{AttentionRule, GateRule, Grouping, Operations};
use bitnet_runner::backend::{
    Backend, BackendError, Feed, Generation, Identity, Logits, ModelFacts, NamedTensor,
    OpenRequest, TokenizeOptions,
};
use bitnet_runner::localize::{
    Alone, Finding, Local, Localization, LocalizeError, Pair, Question, localize, report,
};
use tempfile::NamedTempFile;

const IDS: [u32; 20] = [1, 7, 300, 4, 4, 90, 511, 12, 13, 14, 200, 201, 5, 6, 7, 8, 9, 10, 11, 77];

/// Name of a tensor, and how many of the name come before it.
type Tensor = (&'static str, usize);

/// Our engine under the name of a reference.
struct Twin {
    engine: EngineBackend,
    identity: Identity,
    /// A tensor that it does not have.
    hidden: &'static str,
    /// Gives one tensor otherwise than it was computed, and the output of its layer with it.
    forged: Option<Forgery>,
    /// Whether every captured value is a little off: capturing changes what is computed.
    disturbed: bool,
}

impl Twin {
    fn new(name: &str) -> Self {
        let engine = EngineBackend::new();
        let identity = Identity { name: name.into(), ..engine.identity().clone() };
        Self { engine, identity, hidden: "", forged: None, disturbed: false }
    }
}

/// A mistake that no switch of the engine makes, put into what it shows of layer 0.
struct Forgery {
    operations: Operations,
    /// The operation's result, and its inputs: name and occurrence.
    target: Tensor,
    inputs: &'static [Tensor],
    make: fn(&Operations, &[Vec<f32>]) -> Vec<f32>,
}

impl Forgery {
    fn apply(
        &self,
        engine: &mut EngineBackend,
        ids: &[u32],
        tensors: &mut [NamedTensor],
    ) -> Result<(), BackendError> {
        let names: Vec<String> = self.inputs.iter().map(|(name, _)| (*name).to_owned()).collect();
        let seen = engine.tap(ids, &names)?;
        let input = |(name, occurrence): &Tensor| {
            let found = seen.iter().find(|t| t.name == *name && t.occurrence == *occurrence);
            found.unwrap_or_else(|| panic!("no {name}")).values.clone()
        };
        let inputs: Vec<Vec<f32>> = self.inputs.iter().map(input).collect();
        for tensor in tensors {
            if (&*tensor.name, tensor.occurrence) == self.target {
                tensor.values = (self.make)(&self.operations, &inputs);
            } else if tensor.name == "l_out-0" {
                tensor.values.iter_mut().for_each(|value| *value += 1.0);
            }
        }
        Ok(())
    }
}

impl Backend for Twin {
    fn identity(&self) -> &Identity {
        &self.identity
    }
    fn open(&mut self, request: &OpenRequest) -> Result<ModelFacts, BackendError> {
        self.engine.open(request)
    }
    fn tokenize(&mut self, text: &str, options: TokenizeOptions) -> Result<Vec<u32>, BackendError> {
        self.engine.tokenize(text, options)
    }
    fn detokenize(&mut self, ids: &[u32]) -> Result<Vec<u8>, BackendError> {
        self.engine.detokenize(ids)
    }
    fn logits(&mut self, ids: &[u32], feed: Feed) -> Result<Logits, BackendError> {
        self.engine.logits(ids, feed)
    }
    fn generate(&mut self, prompt: &[u32], steps: usize) -> Result<Generation, BackendError> {
        self.engine.generate(prompt, steps)
    }
    fn tap(&mut self, ids: &[u32], names: &[String]) -> Result<Vec<NamedTensor>, BackendError> {
        let mut tensors = self.engine.tap(ids, names)?;
        tensors.retain(|tensor| tensor.name != self.hidden);
        if let Some(forgery) = &self.forged {
            forgery.apply(&mut self.engine, ids, &mut tensors)?;
        }
        if self.disturbed {
            tensors.iter_mut().flat_map(|t| &mut t.values).for_each(|value| *value *= 1.0001);
        }
        Ok(tensors)
    }
}

fn model() -> (NamedTempFile, OpenRequest) {
    let spec = SynthSpec::from_names("bitnet-b1.58", "tiny", "I2_S", "F16", 3);
    let file = NamedTempFile::with_suffix(".gguf").expect("a temporary file");
    let out = File::create(file.path()).expect("room");
    write_model(&spec.expect("a good spec"), out, |_, _| {}).expect("a model");
    let request = OpenRequest::new(file.path(), 64);
    (file, request)
}

fn run(
    subject: &mut dyn Backend,
    reference: &mut dyn Backend,
    request: &OpenRequest,
    tokens: Option<(&[u32], &[u32])>,
) -> Result<Localization, LocalizeError> {
    let operations = Operations::open(request).expect("the model");
    let mut pair = Pair { subject, reference, operations: &operations };
    localize(&mut pair, &Question { ids: &IDS, tokens }).map(|(found, _)| found)
}

fn open(mut engine: Twin, request: &OpenRequest) -> Twin {
    engine.open(request).expect("the model");
    engine
}

#[test]
fn equal_engines_part_nowhere() {
    let (_file, request) = model();
    let mut subject = open(Twin::new("bitnet-engine"), &request);
    let mut reference = open(Twin::new("bitnet-cpp"), &request);
    let found = run(&mut subject, &mut reference, &request, None).expect("tensors");
    assert_eq!(found.finding, Finding::Nothing);
    assert!(!found.diverges() && found.nodes.is_empty() && found.decode.is_none());
    assert_eq!(found.profile.len(), 4);
    assert!(found.profile.iter().all(|level| !level.flagged && level.noise == 0.0), "{found:?}");
    let text = report::text(&found);
    assert!(
        text.starts_with("nothing diverges: every tensor compared has the same bits\n"),
        "{text}"
    );
}

#[test]
fn a_reference_that_is_wrong_stands_alone() {
    let (_file, request) = model();
    let mut subject = open(Twin::new("bitnet-engine"), &request);
    let mut reference = Twin::new("bitnet-cpp");
    let silu = |config: &mut bitnet_engine::model::Config| {
        config.graph.activation = Activation::Silu;
    };
    reference.engine.open_changed(&request, silu).expect("the model");
    let found = run(&mut subject, &mut reference, &request, None).expect("tensors");
    let origin = found.origin.as_ref().expect("an operation");
    assert_eq!((&*origin.tensor, origin.alone), ("ffn_out-0", Alone::Reference));
    assert_eq!((&*origin.hypotheses[0].name, origin.hypotheses[0].exact), ("silu", true));
    let text = report::text(&found);
    let vote = "vote of three: the reference stands alone; the subject and our scalar code agree";
    assert!(text.contains(vote), "{text}");
    // Behind the origin both inherit: nothing is added.
    let behind = found.nodes.iter().skip_while(|look| look.tensor != "ffn_out-0").skip(1);
    for look in behind {
        let added = |local: &Local| local.distance().is_some_and(|d| d.is_none());
        assert!(added(&look.subject) && added(&look.reference), "{look:?}");
        assert!(look.distance.is_some_and(|d| !d.is_none()), "{look:?}");
    }
}

#[test]
fn a_reference_without_an_expected_node_is_refused() {
    let (_file, request) = model();
    let mut subject = open(Twin::new("bitnet-engine"), &request);
    let mut reference = open(Twin { hidden: "l_out-1", ..Twin::new("bitnet-cpp") }, &request);
    let why = run(&mut subject, &mut reference, &request, None).expect_err("a node is missing");
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        why.to_string(),
        format!(
            "the graph of bitnet-cpp {version} is not the one that its names were written for (bitnet.cpp's \
             llama.cpp of February 2025 (crate bitnet-llm-sys 1.0)): it has no l_out-1\n  to mend it: \
             correct runner/src/localize/names.rs for this version"
        )
    );
}

#[test]
fn an_unknown_reference_is_refused() {
    let (_file, request) = model();
    let mut subject = open(Twin::new("bitnet-engine"), &request);
    let mut reference = open(Twin::new("other\u{1b}"), &request);
    let why = run(&mut subject, &mut reference, &request, None).expect_err("nobody knows it");
    let begin = "nobody has written down what other\\u{1b} calls the tensors of its graph; known are \
                 bitnet-cpp and llama-cpp\n";
    assert!(why.to_string().starts_with(begin), "{why}");
}

#[test]
fn a_capture_that_changes_the_result_is_told() {
    let (_file, request) = model();
    let mut subject = open(Twin::new("bitnet-engine"), &request);
    let mut reference = open(Twin { disturbed: true, ..Twin::new("bitnet-cpp") }, &request);
    let found = run(&mut subject, &mut reference, &request, None).expect("tensors");
    assert!(found.capture.subject_unchanged && !found.capture.reference_unchanged);
    let text = report::text(&found);
    let line = "  logits with and without capture: subject the same bits, reference OTHER BITS\n";
    assert!(text.contains(line), "{text}");
}

#[test]
fn ids_that_part_are_named_first() {
    let (_file, request) = model();
    let mut subject = open(Twin::new("bitnet-engine"), &request);
    let mut reference = open(Twin::new("bitnet-cpp"), &request);
    let tokens = Some((&IDS[1..], &IDS[..]));
    let found = run(&mut subject, &mut reference, &request, tokens).expect("tensors");
    assert_eq!(found.finding, Finding::Tokens);
    let text = report::text(&found);
    assert!(
        text.starts_with("diverges at the ids, from id 0 on: the subject adds no BOS\n"),
        "{text}"
    );
}

#[test]
fn the_command_says_what_it_cannot_choose() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let ended = |args: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_parity"));
        command.args(["--color", "never", "localize"]).args(args).current_dir(&root);
        let output = command.output().expect("the program");
        assert!(output.stdout.is_empty(), "{output:?}");
        (output.status.code(), String::from_utf8(output.stderr).expect("UTF-8"))
    };
    let (code, why) = ended(&["parity::smoke"]);
    assert_eq!(code, Some(2), "{why}");
    let begin =
        "error: 'parity::smoke' names several cases: ci-light::parity::smoke::two-plus-two, ";
    assert!(why.starts_with(begin) && why.ends_with("; give more of an id\n"), "{why}");
    let nothing = "; `parity run --list parity::` shows them\n";
    for (args, what) in [
        (&["x\u{1b}"][..], "no parity trial matches 'x\\u{1b}'"),
        (&["metamorphic::"], "no parity trial matches 'metamorphic::'"),
        (
            &["two-plus-two", "--reference", "other"],
            "no parity trial matches 'two-plus-two' against other",
        ),
    ] {
        assert_eq!(ended(args), (Some(4), format!("error: {what}{nothing}")));
    }
}

const ATTENTION: &[Tensor] = &[("Qcur-0", 1), ("Kcur-0", 1), ("Vcur-0", 0)];
const TURNED: &[Tensor] = &[("Qcur-0", 0)];
const GATED: &[Tensor] = &[("ffn_gate-0", 0), ("ffn_up-0", 0)];

fn attention(
    operations: &Operations,
    x: &[Vec<f32>],
    change: impl FnOnce(&mut AttentionRule),
) -> Vec<f32> {
    let scale = 1.0 / (operations.config().head_length as f32).sqrt();
    let grouping = Grouping::Neighbours;
    let mut rule = AttentionRule { scale, ahead: 0, grouping, stale: None, narrow: true };
    change(&mut rule);
    let positions: Vec<usize> = (0..IDS.len()).collect();
    operations.attention(rule, &positions, &x[0], &x[1], &x[2])
}

fn gate(operations: &Operations, rule: GateRule, gate: &[f32], up: &[f32]) -> Vec<f32> {
    operations.gate(rule, operations.config().feed_forward_length, gate, up)
}

fn turned(operations: &Operations, x: &[f32], by: usize) -> Vec<f32> {
    let positions: Vec<usize> = (by..IDS.len() + by).collect();
    let config = operations.config();
    operations.rope(config, config.query_length(), &positions, x).expect("memory")
}

/// Each value of the second half of a head with the other sign.
fn mirrored(operations: &Operations, x: &[f32]) -> Vec<f32> {
    let length = operations.config().head_length;
    let second = |i: usize| i % length >= length / 2;
    x.iter().enumerate().map(|(i, v)| if second(i) { -v } else { *v }).collect()
}

/// Mistakes that the engine cannot be made to make: each is forged, found at its tensor and named, to the bit.
#[test]
fn forged_mistakes_are_named() {
    type Make = fn(&Operations, &[Vec<f32>]) -> Vec<f32>;
    let (kqv, queries, gated) = (("kqv_out-0", 0), ("Qcur-0", 1), ("ffn_out-0", 0));
    let mistakes: [(&str, Tensor, &[Tensor], Make); 13] = [
        ("mask-ahead", kqv, ATTENTION, |o, x| attention(o, x, |rule| rule.ahead = 1)),
        ("mask-missing", kqv, ATTENTION, |o, x| attention(o, x, |rule| rule.ahead = 20)),
        ("kv-heads-strided", kqv, ATTENTION, |o, x| {
            attention(o, x, |rule| rule.grouping = Grouping::Strided)
        }),
        ("kv-heads-first", kqv, ATTENTION, |o, x| {
            attention(o, x, |rule| rule.grouping = Grouping::First)
        }),
        ("weights-in-f32", kqv, ATTENTION, |o, x| attention(o, x, |rule| rule.narrow = false)),
        ("kv-stale", kqv, ATTENTION, |o, x| attention(o, x, |rule| rule.stale = Some((3, 2)))),
        ("rope-direction", queries, TURNED, |o, x| mirrored(o, &turned(o, &mirrored(o, &x[0]), 0))),
        ("rope-missing", queries, TURNED, |_, x| x[0].clone()),
        ("rope-offset", queries, TURNED, |o, x| turned(o, &x[0], 1)),
        ("gelu", gated, GATED, |o, x| gate(o, GateRule::Gelu, &x[0], &x[1])),
        ("gate-linear", gated, GATED, |o, x| gate(o, GateRule::Linear, &x[0], &x[1])),
        ("gate-up-swapped", gated, GATED, |o, x| {
            gate(o, GateRule::Known(Activation::ReluSquared), &x[1], &x[0])
        }),
        ("zero", gated, GATED, |_, x| vec![0.0; x[0].len()]),
    ];
    let (_file, request) = model();
    for (name, target, inputs, make) in mistakes {
        let operations = Operations::open(&request).expect("the model");
        let forged = Some(Forgery { operations, target, inputs, make });
        let mut subject = open(Twin { forged, ..Twin::new("bitnet-engine") }, &request);
        let mut reference = open(Twin::new("bitnet-cpp"), &request);
        let found = run(&mut subject, &mut reference, &request, None).expect("tensors");
        let origin = found.origin.as_ref().unwrap_or_else(|| panic!("{name} is not found"));
        let tensor = match target {
            (tensor, 0) => tensor.to_owned(),
            (tensor, again) => format!("{tensor}#{again}"),
        };
        assert_eq!((&*origin.tensor, origin.alone), (&*tensor, Alone::Subject), "{name}");
        let first = origin.hypotheses.first().unwrap_or_else(|| panic!("{name} is not explained"));
        assert_eq!((&*first.name, first.exact), (name, true), "{:?}", origin.hypotheses);
    }
}
