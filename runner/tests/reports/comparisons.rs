//! Receipts of comparisons that no engine computed: logits from a seed, and the same with noise, judged by
//! the contract that engines are judged by.

use bitnet_runner::backend::{Identity, KernelCalls};
use bitnet_runner::compare::{Contract, ParityInput, Tolerance, judge};
use bitnet_runner::machine::Machine;
use bitnet_runner::manifest::Tier;
use bitnet_runner::receipt::{
    CaseFacts, Kind, ParityMetrics, ParityReceipt, ParityVerdict, PromptFacts, Raw, SCHEMA_VERSION,
    Tool,
};
use bitnet_runner::stats::Rng;

const VOCABULARY: usize = 64;
const PROMPT: usize = 12;
const STEPS: usize = 16;

fn best(row: &[f32]) -> u32 {
    (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b]).then(b.cmp(a))).expect("a row") as u32
}

fn identity(name: &str) -> Identity {
    Identity {
        name: name.into(),
        version: "1".into(),
        source: "a commit".into(),
        build: "flags".into(),
    }
}

/// A receipt of `parity::<case>` whose subject is `noise` away from the reference; `text` is that of every
/// id.
pub fn comparison(case: &str, noise: f32, text: &str) -> ParityReceipt {
    let mut rng = Rng::new(case.bytes().map(u64::from).sum());
    let rows = PROMPT + STEPS - 1;
    let reference: Vec<f32> = (0..rows * VOCABULARY).map(|_| 3.0 * rng.normal() as f32).collect();
    let test: Vec<f32> =
        reference.iter().map(|logit| logit + noise * rng.normal() as f32).collect();
    let first = (PROMPT - 1) * VOCABULARY;
    let choices = |rows: &[f32]| rows[first..].chunks(VOCABULARY).map(best).collect::<Vec<u32>>();
    let (chosen, free_run) = (choices(&reference), choices(&test));
    let mut ids: Vec<u32> = (0..PROMPT as u32).collect();
    ids.extend(&chosen[..STEPS - 1]);
    let input = ParityInput {
        vocab_size: VOCABULARY,
        ids: &ids,
        prompt_len: PROMPT,
        reference_prefill: &reference,
        test_prefill: &test,
        reference_steps: &reference[first..],
        test_steps: &test[first..],
        chosen: &chosen,
        free_run: Some(&free_run),
        tokens: None,
    };
    let tolerance = Tolerance::from(Contract::SameNumerics);
    let verdict = judge(&input, &tolerance).expect("comparable");
    ids.extend(chosen.last());
    let texts = vec![text.to_owned(); ids.len()];
    ParityReceipt {
        schema_version: SCHEMA_VERSION.into(),
        kind: Kind::Parity,
        tool: Tool {
            name: "parity".into(),
            version: "1".into(),
            commit: Some("c0ffee".into()),
            dirty: Some(false),
        },
        time: "2026-02-01T00:00:00Z".into(),
        seconds: 0.25,
        case: CaseFacts {
            id: format!("parity::{case}"),
            tier: Some(Tier::CiLight),
            suite_sha256: "0".repeat(64),
        },
        prompt: PromptFacts::of_ids(&ids[..PROMPT]),
        model: None,
        subject: identity("bitnet-engine"),
        against: Some("bitnet-cpp".into()),
        reference: Some(identity("bitnet-cpp")),
        machine: Machine::here(),
        threads: 1,
        isa: None,
        kernels: vec![KernelCalls { name: "scalar/add".into(), count: 1 }],
        raw: Raw::of(&verdict, VOCABULARY, &ids, &texts),
        metrics: ParityMetrics::of(&verdict),
        qualification: None,
        known_failure: None,
        passed: verdict.passes(),
        verdict: ParityVerdict::of(&verdict),
        tolerance,
    }
}
