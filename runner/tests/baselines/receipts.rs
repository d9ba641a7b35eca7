//! Receipts of benchmarks that nobody ran: rounds with a chosen ratio, from a seed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bitnet_runner::backend::{Identity, KernelCalls, Output};
use bitnet_runner::machine::Machine;
use bitnet_runner::manifest::Tier;
use bitnet_runner::receipt::{
    BenchReceipt, CaseFacts, Kind, Measure, Measured, ModelFacts, Order, PeakMemory, Round,
    SCHEMA_VERSION, Tool, Verdict, Verification, Visit, Word, derive,
};
use bitnet_runner::stats::Rng;

/// Rounds of each receipt.
const ROUNDS: usize = 12;

fn identity(name: &str) -> Identity {
    Identity {
        name: name.into(),
        version: "1".into(),
        source: "a commit".into(),
        build: "flags".into(),
    }
}

/// A receipt of `tg4` at `speed` times the reference's, with 1 % of jitter, `day` its only difference
/// from others.
pub fn receipt(speed: f64, day: u64) -> BenchReceipt {
    let mut rng = Rng::new(day);
    let mut visit = |nanos: f64| {
        let shift = 1.0 + 0.01 * rng.normal();
        Visit { nanos: (0..4).map(|i| (nanos * shift) as u64 + i).collect() }
    };
    let round = |_| Round {
        order: Order::SubjectFirst,
        subject: visit(1e7 / speed),
        reference: visit(1e7),
    };
    let rounds: Vec<Round> = (0..ROUNDS).map(round).collect();
    let verdict = Verdict { word: Word::Pass, reasons: vec!["fast enough".into()] };
    BenchReceipt {
        schema_version: SCHEMA_VERSION.into(),
        kind: Kind::Bench,
        tool: Tool {
            name: "parity".into(),
            version: "1".into(),
            commit: Some("c0ffee".into()),
            dirty: Some(false),
        },
        time: format!("2026-01-{day:02}T00:00:00Z"),
        case: CaseFacts {
            id: "bench::speed::small".into(),
            tier: Some(Tier::CiLight),
            suite_sha256: "0".repeat(64),
        },
        model: ModelFacts {
            id: "small".into(),
            sha256: "1".repeat(64),
            bytes: 1,
            architecture: "bitnet".into(),
            tensor_types: BTreeMap::new(),
        },
        subject: identity("bitnet-engine"),
        reference: identity("bitnet-cpp"),
        machine: Machine::here(),
        threads: 2,
        kernels: vec![KernelCalls { name: "scalar/add".into(), count: 1 }],
        peak_memory: PeakMemory { subject: None, reference: None },
        measured: vec![Measured {
            name: "tg4".into(),
            measure: Measure::Decode,
            tokens: 4,
            depth: 0,
            output: Some(Output::Greedy),
            limit: 0.9,
            metrics: derive::metrics(Measure::Decode, 4, &rounds).expect("rounds with times"),
            rounds,
            verification: Verification { positions: 4, near_ties: 0, outside: 0, margin: 0.0 },
            verdict: verdict.clone(),
        }],
        verdict,
    }
}

/// Three receipts at this speed, from days of their own.
pub fn three(speed: f64, first_day: u64) -> Vec<BenchReceipt> {
    (first_day..first_day + 3).map(|day| receipt(speed, day)).collect()
}

/// Writes receipts as files of `folder`, one each, and gives the folder.
pub fn write(folder: &Path, receipts: &[BenchReceipt]) -> PathBuf {
    std::fs::create_dir_all(folder).expect("a folder");
    for (index, receipt) in receipts.iter().enumerate() {
        let json = serde_json::to_string(receipt).expect("JSON");
        std::fs::write(folder.join(format!("{index}.json")), json).expect("room");
    }
    folder.to_owned()
}
