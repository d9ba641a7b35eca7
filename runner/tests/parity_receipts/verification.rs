//! What `receipt verify` refuses: one change each to a good receipt, with the reason it must give. Every
//! changed receipt gets a new digest, so that it is its content that is refused.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use bitnet_runner::backend::{Identity, Output};
use bitnet_runner::bench::expected::MARGIN;
use bitnet_runner::bench::measure::verdict;
use bitnet_runner::bench::verdict::{Question, decide};
use bitnet_runner::machine::Machine;
use bitnet_runner::receipt::{
    BenchReceipt, CaseFacts, KernelCalls, Kind, Measure, Measured, ModelFacts, Order, PeakMemory,
    Round, SCHEMA_VERSION, Tool, Verdict, Verification, Visit, derive, parse, with_digest,
};
use bitnet_runner::run::Engines;
use bitnet_runner::stats::Rng;
use bitnet_runner::verify::verify;
use serde_json::{Value, json};

use super::faulty::{Fault, Faulty};
use super::{run, runner};

/// A receipt of a real comparison whose rows are not equal bit by bit.
fn parity() -> Value {
    static RECEIPT: OnceLock<Value> = OnceLock::new();
    let real = || {
        let name = "parity::architectures::llama-q4k::reference-llama-cpp";
        let (_, receipt) = run(&mut runner(Engines::default()), name);
        with_digest(json!(receipt))
    };
    RECEIPT.get_or_init(real).clone()
}

/// A receipt of a real comparison of an engine that is wrong.
fn diverged() -> Value {
    static RECEIPT: OnceLock<Value> = OnceLock::new();
    let real = || {
        let subject = Box::new(Faulty::new(Fault::Scaled(1.05)));
        let mut runner = runner(Engines::with_subject(subject));
        with_digest(json!(run(&mut runner, "parity::smoke::two-plus-two").1))
    };
    RECEIPT.get_or_init(real).clone()
}

/// A receipt of a comparison that ended in an error.
fn errored() -> Value {
    static RECEIPT: OnceLock<Value> = OnceLock::new();
    let real = || {
        let mut runner = runner(Engines::with_subject(Box::new(Faulty::new(Fault::NotANumber))));
        with_digest(json!(run(&mut runner, "parity::smoke::two-plus-two").1))
    };
    RECEIPT.get_or_init(real).clone()
}

/// A receipt of a benchmark with drawn times, whose figures and verdict are computed as a run does.
fn bench() -> Value {
    let mut rng = Rng::new(7);
    let mut visit = |nanos: f64| Visit {
        nanos: (0..4).map(|_| (nanos * (1.0 + 0.01 * rng.uniform())) as u64).collect(),
    };
    let round =
        |_| Round { order: Order::SubjectFirst, subject: visit(8e6), reference: visit(1e7) };
    let rounds: Vec<Round> = (0..8).map(round).collect();
    let ratios = derive::ln_time_ratios(Measure::Decode, &rounds).unwrap();
    let judged = verdict(decide(&ratios, &Question::share_of_reference(0.9)), &[]);
    let identity = |name: &str| Identity {
        name: name.into(),
        version: "1".into(),
        source: "a commit".into(),
        build: "flags".into(),
    };
    let receipt = BenchReceipt {
        schema_version: SCHEMA_VERSION.into(),
        kind: Kind::Bench,
        tool: Tool::here(),
        time: "2026-01-31T08:05:09Z".into(),
        case: CaseFacts::new(
            "ci-light::bench::speed::small::threads-2",
            &"0123456789abcdef".repeat(4),
        ),
        model: ModelFacts {
            id: "small".into(),
            sha256: "fedcba9876543210".repeat(4),
            bytes: 1 << 20,
            architecture: "bitnet-b1.58".into(),
            tensor_types: BTreeMap::from([("I2_S".into(), 14), ("F32".into(), 9)]),
        },
        subject: identity("bitnet-engine"),
        reference: identity("bitnet-cpp"),
        machine: Machine::here(),
        threads: 2,
        kernels: vec![KernelCalls { name: "scalar/add".into(), count: 640 }],
        peak_memory: PeakMemory { subject: Some(9 << 20), reference: Some(20 << 20) },
        measured: vec![Measured {
            name: "tg4".into(),
            measure: Measure::Decode,
            tokens: 4,
            depth: 0,
            output: Some(Output::Greedy),
            limit: 0.9,
            metrics: derive::metrics(Measure::Decode, 4, &rounds).unwrap(),
            rounds,
            verification: Verification { positions: 32, near_ties: 1, outside: 0, margin: MARGIN },
            verdict: judged.clone(),
        }],
        verdict: Verdict {
            word: judged.word,
            reasons: judged.reasons.iter().map(|why| format!("tg4: {why}")).collect(),
        },
    };
    with_digest(json!(receipt))
}

/// The reasons why `json` is refused, also those of its form.
fn reasons(json: &Value) -> Vec<String> {
    match parse(&json.to_string()) {
        Ok(document) => verify(&document).iter().map(ToString::to_string).collect(),
        Err(why) => vec![format!("form: {why}")],
    }
}

#[test]
fn good_receipts_are_sound() {
    for (name, receipt) in
        [("parity", parity()), ("diverged", diverged()), ("errored", errored()), ("bench", bench())]
    {
        assert_eq!(reasons(&receipt), Vec::<String>::new(), "{name}");
    }
    assert_eq!(parity()["passed"], true);
    assert_eq!((&diverged()["passed"], &errored()["passed"]), (&json!(false), &json!(false)));
}

/// A change to a good receipt, and words of the reason that it must be refused for.
type Bad = (&'static str, Value, &'static str);

fn bad_comparisons() -> Vec<Bad> {
    vec![
        ("/schema_version", json!("2.0.0"), "form: its schema_version is '2.0.0'"),
        ("/kind", json!("poem"), "form: its kind is \"poem\""),
        ("/tool/name", json!("mock"), "tool.name: is not 'parity', which writes receipts"),
        ("/tool/commit", json!("c0ffee"), "tool.commit: 'c0ffee' is no commit in full"),
        ("/time", json!("yesterday"), "time: 'yesterday' is no RFC 3339 time in UTC"),
        ("/time", json!("2026-13-01T00:00:00Z"), "time: '2026-13-01T00:00:00Z' is no RFC 3339"),
        ("/seconds", json!(-1.0), "seconds: is -1: no time of a trial"),
        ("/case/id", json!("bench::a::b"), "case.id: 'bench::a::b' is no id of a parity trial"),
        (
            "/case/suite_sha256",
            json!("0".repeat(64)),
            "case.suite_sha256: is one digit repeated: no file has that SHA-256",
        ),
        ("/prompt/sha256", json!("ABC"), "prompt.sha256: 'ABC' is no SHA-256"),
        ("/model", json!(null), "model: is missing, and logits were compared"),
        ("/model/bytes", json!(1), "model.bytes: is 1, too few for 21 tensors"),
        ("/model/tensor_types", json!({}), "model.tensor_types: names no tensor"),
        ("/subject/build", json!(" "), "subject.build: is empty: who computed is not known"),
        (
            "/subject/build",
            json!("release; ALTERED: hyper-parameters were changed on purpose"),
            "subject.build: says that the engine was changed on purpose, and the receipt that it passed",
        ),
        (
            "/subject/build",
            json!("release, CUDA 12"),
            "subject.build: claims 'cuda', and no kernel of a GPU was dispatched",
        ),
        (
            "/reference/name",
            json!("bitnet-engine"),
            "reference.name: is the subject's: an engine was compared with itself",
        ),
        ("/against", json!("bitnet-cpp"), "reference.name: is 'llama-cpp', and the trial asks for"),
        ("/reference", json!(null), "reference: is missing, and logits were compared"),
        ("/threads", json!(0), "threads: is 0: from 1 to 4096"),
        ("/isa", json!("avx2"), "isa: is 'avx2', and the case's id does not name it"),
        ("/kernels", json!([]), "kernels: is empty: nothing says what was computed with"),
        (
            "/kernels/0/name",
            json!("scalar/mock"),
            "kernels[0].name: 'scalar/mock' is no kernel that bitnet-engine of this version has",
        ),
        ("/kernels/0/name", json!("add"), "kernels[0].name: 'add' is not `set/kernel`"),
        (
            "/kernels/0/name",
            json!("cuda/add"),
            "kernels[0].name: is a GPU's, and the subject's identity claims none",
        ),
        ("/kernels/0/count", json!(0), "kernels[0].count: is 0: it was not dispatched"),
        (
            "/tolerance/limits/mean-kl",
            json!(0.5),
            "form: `mean-kl` = 0.5 would loosen the contract, which says 0.001",
        ),
        ("/raw", json!(null), "verdict.word: is MATCH, and nothing was compared: only ERROR"),
        ("/raw/vocab_size", json!(5), "raw.ids[0]: is 512, not below the vocabulary of 5"),
        ("/raw/prompt_len", json!(99), "raw.prompt_len: is 99, of 52 ids"),
        ("/raw/texts", json!([]), "raw.texts: has 0 entries for 52 ids"),
        ("/raw/tokens", json!(null), "raw.tokens: a text is turned into ids by both engines"),
        (
            "/raw/tokens/test_ids",
            json!(3),
            "raw.tokens.test_ids: is 3, without a difference from 28",
        ),
        ("/raw/noise/test/rows", json!(3), "raw.noise.test.rows: is 3, of 24 steps"),
        (
            "/raw/noise/test/mad_sigma",
            json!(0.5),
            "raw.noise.test.mad_sigma: is 0.5, and every row repeats itself bit by bit",
        ),
        ("/raw/free_run", json!(null), "raw.free_run: and the noise are measured with steps"),
        ("/raw/paths/1/path", json!("prefill"), "raw.paths: are [Prefill, Prefill], not"),
        ("/raw/paths/0/rows/kl", json!([]), "raw: prefill: the list `kl` does not fit the others"),
        ("/raw/paths/0/rows/kl/3", json!(-0.1), "raw.paths[0].rows.kl[3]: is -0.1, which no row"),
        (
            "/raw/paths/0/rows/total_variation/3",
            json!(0.5),
            "less than the 5e-1 that the total variation demands",
        ),
        (
            "/raw/paths/1/rows/bit_equal/2",
            json!(true),
            "raw.paths[1].rows.raw_cosine[2]: is 0.99999999999999",
        ),
        (
            "/raw/paths/0/rows/nll_text/2",
            json!(false),
            "raw.paths[0].rows.nll_text[2]: does not say what follows this position",
        ),
        (
            "/raw/paths/0/rows/first_position",
            json!(4),
            "raw.paths[0].rows.first_position: is 4, and this path begins at 0",
        ),
        (
            "/raw/paths/1/rows/test_top/0",
            json!(1),
            "raw: decode: the flip at position 27 is missing",
        ),
        ("/metrics", json!(null), "metrics: is null, and"),
        (
            "/metrics/cosine_similarity",
            json!(0.999),
            "metrics.cosine_similarity: is 0.999, and 0.9999999999999879 follows from the raw data",
        ),
        ("/metrics/mean_kl", json!(0.0), "metrics.mean_kl: is 0.0, and 2.4301859766475115e-13"),
        ("/verdict/word", json!("EXACT"), "verdict.word: is \"EXACT\", and \"MATCH\" follows"),
        ("/verdict/word", json!("ERROR"), "passed: is true, and false follows from the verdict"),
        ("/passed", json!(false), "passed: is false, and true follows from the verdict"),
        (
            "/qualification",
            json!({"gates": [{"gate": "logits", "controls": []}]}),
            "qualification.gates[0].controls: has 0 known-wrong outputs; a gate is fed at least 12",
        ),
    ]
}

fn bad_benchmarks() -> Vec<Bad> {
    vec![
        ("/reference/name", json!("bitnet-engine"), "an engine was measured against itself"),
        ("/threads", json!(1), "threads: is 1, and the case's id says 'threads-2'"),
        ("/kernels", json!([]), "kernels: is empty"),
        ("/measured", json!([]), "measured: is empty: nothing was measured"),
        ("/measured/0/name", json!("tg5"), "is 'tg5', and what was timed is called 'tg4'"),
        ("/measured/0/rounds/0/subject/nanos/1", json!(0), "holds a 0, which no clock gives"),
        ("/measured/0/rounds/0/subject/nanos", json!([1, 2]), "has 2 times, not runs of 4 ids"),
        ("/measured/0/rounds/7", Value::Null, "measured[0].rounds: has 7 entries"),
        (
            "/measured/0/verification/positions",
            json!(0),
            "is 0, and the subject gave 32 answers: no verified answer, no number",
        ),
        ("/measured/0/verification/outside", json!(9), "is 9, more than a tenth"),
        ("/measured/0/verification/margin", json!(4.0), "is 4, not 1"),
        (
            "/measured/0/metrics/speed_ratio",
            json!(9.0),
            "measured[0].metrics.speed_ratio: is 9.0, and 1.2",
        ),
        ("/measured/0/limit", json!(2.0), "measured[0].verdict.word: is \"PASS\", and \"FAIL\""),
        ("/measured/0/verdict/word", json!("FAIL"), "is \"FAIL\", and \"PASS\" follows"),
        ("/verdict/word", json!("FAIL"), "verdict.word: is \"FAIL\", and \"PASS\" follows"),
        ("/model/bytes", json!(1u64 << 40), "p50_ns: is 8"),
        ("/peak_memory/subject", json!(0), "is 0: no process takes no memory"),
    ]
}

/// `good` with the value at `pointer` replaced, or taken out of its list where it is null there.
fn changed(good: &Value, pointer: &str, value: &Value) -> Value {
    let mut bad = good.clone();
    match (pointer.rsplit_once('/'), value) {
        (Some((list, last)), Value::Null) if last.parse::<usize>().is_ok() => {
            let list = bad.pointer_mut(list).and_then(Value::as_array_mut).expect("a list");
            list.remove(last.parse().unwrap());
        }
        _ => *bad.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}")) = value.clone(),
    }
    with_digest(bad)
}

#[test]
fn each_bad_receipt_is_refused_for_its_reason() {
    let mut count = 0;
    for (good, bad) in [(parity(), bad_comparisons()), (bench(), bad_benchmarks())] {
        for (pointer, value, why) in bad {
            let found = reasons(&changed(&good, pointer, &value));
            let named = found.iter().any(|reason| reason.contains(why));
            assert!(named, "{pointer} = {value}: `{why}` is not in {found:#?}");
            count += 1;
        }
    }
    println!("{count} bad receipts");
    assert!(count >= 24, "{count} bad receipts");
}

#[test]
fn a_fault_that_was_put_in_never_verifies_as_passed() {
    // The judgement of the same raw data, whatever the receipt says of itself.
    let forged = changed(&diverged(), "/passed", &json!(true));
    assert!(reasons(&forged).iter().any(|why| why.starts_with("passed: is true, and false")));
    let mut forged = changed(&forged, "/verdict/word", &json!("MATCH"));
    forged["verdict"]["findings"] = json!([]);
    forged["verdict"]["rung"] = json!(null);
    let found = reasons(&with_digest(forged.clone()));
    let rule = "verdict.word: is \"MATCH\", and \"DIVERGED\" follows from the raw data";
    assert!(found.iter().any(|why| why == rule), "{found:#?}");
    // An ERROR has nothing that could be passed with.
    let mut forged = errored();
    forged["passed"] = json!(true);
    forged["verdict"]["word"] = json!("EXACT");
    let found = reasons(&with_digest(forged));
    assert!(found.iter().any(|why| why.contains("only ERROR has no raw data")), "{found:#?}");
}

/// Paths to every number of a document.
fn numbers(value: &Value, path: &str, out: &mut Vec<String>) {
    match value {
        Value::Number(_) => out.push(path.to_owned()),
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                numbers(value, &format!("{path}/{index}"), out);
            }
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                numbers(value, &format!("{path}/{name}"), out);
            }
        }
        _ => {}
    }
}

/// Another number of the same kind.
fn flipped(number: &Value) -> Value {
    match (number.as_u64(), number.as_f64()) {
        (Some(whole), _) => json!(whole ^ 1),
        (None, Some(value)) => json!(value * 1.001 + f64::from(u8::from(value == 0.0))),
        _ => json!(1),
    }
}

#[test]
fn no_number_can_be_changed_without_a_trace() {
    for (name, good) in [("parity", parity()), ("bench", bench())] {
        let mut paths = Vec::new();
        numbers(&good, "", &mut paths);
        let (mut derived, mut raw, mut raw_refused) = (0, 0, 0);
        for path in &paths {
            let number = good.pointer(path).unwrap();
            let mut bad = good.clone();
            *bad.pointer_mut(path).unwrap() = flipped(number);
            assert_ne!(reasons(&bad), Vec::<String>::new(), "{name}: {path} of {number}");
            // And with a digest that fits: what is derived is computed anew.
            let refused = !reasons(&with_digest(bad)).is_empty();
            if path.contains("/metrics/") || path.contains("/verdict/") {
                assert!(refused, "{name}: {path} of {number}, with a new digest");
                derived += 1;
            } else {
                raw += 1;
                raw_refused += usize::from(refused);
            }
        }
        println!(
            "{name}: all {} numbers; with a new digest {derived} of {derived} derived ones and \
             {raw_refused} of {raw} others",
            paths.len()
        );
        assert!(derived >= 19 && raw > 20, "{name}: {derived} and {raw}");
    }
}

#[test]
fn a_receipt_of_the_first_schema_is_still_sound() {
    let mut old = parity();
    old["schema_version"] = json!("1.0.0");
    old["case"].as_object_mut().unwrap().remove("tier").expect("a tier");
    // It lies between two texts of 17 digits, of which the first schema took the wrong one.
    old["seconds"] = json!(13_293.0 / f64::from(1 << 19));
    let old = with_digest(old);
    assert_eq!(reasons(&old), Vec::<String>::new());
    let mut new = old.clone();
    new["schema_version"] = json!("1.1.0");
    let (old, new) = (old["digest"].clone(), with_digest(new)["digest"].clone());
    assert_ne!(old, new);
}

#[test]
fn texts_are_sealed_by_the_digest() {
    let mut bad = parity();
    bad["raw"]["texts"][3] = json!("another");
    let why = "digest: is not that of the rest: the receipt was changed after it was written";
    assert_eq!(reasons(&bad), [why]);
    bad.as_object_mut().unwrap().remove("digest");
    assert_eq!(reasons(&bad), ["digest: is missing: an edit would leave no trace"]);
}
