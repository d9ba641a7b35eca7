//! Our ids against the live references' on generated texts, vocabulary by vocabulary. A difference
//! is shrunk to the smallest text that shows it.
//!
//! bitnet.cpp is asked for all that it knows; llama.cpp for the same names and for those that it has got
//! since.
//!
//! `BITNET_DIFFERENTIAL_STRINGS` sets the number of texts for each vocabulary,
//! `BITNET_DIFFERENTIAL_SEED` what they are made from. The vocabularies are the test's own; those
//! of the shared data join where that is.

#![expect(clippy::print_stderr, reason = "a test says how much it compared")]

mod compare;
mod random;
mod shrink;
mod texts;
mod vocabulary;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use compare::{Pair, Workers};
use libtest_mimic::{Arguments, Trial};
use vocabulary::{Recipe, Scores};

/// Every `tokenizer.ggml.pre` that bitnet.cpp knows, jina's embedding models left out.
const NAMES: [&str; 32] = [
    "default",
    "llama3",
    "llama-v3",
    "llama-bpe",
    "deepseek-llm",
    "deepseek-coder",
    "falcon",
    "falcon3",
    "falcon_e",
    "mpt",
    "starcoder",
    "gpt-2",
    "phi-2",
    "jina-es",
    "jina-de",
    "refact",
    "command-r",
    "qwen2",
    "stablelm2",
    "olmo",
    "dbrx",
    "smaug-bpe",
    "poro-chat",
    "chatglm-bpe",
    "viking",
    "jais",
    "tekken",
    "smollm",
    "codeshell",
    "bloom",
    "gpt3-finnish",
    "exaone",
];

/// Names that llama.cpp has added since to rules that bitnet.cpp has.
const NEWER: [&str; 21] = [
    "a.x-4.0",
    "deepseek-r1-qwen",
    "exaone4",
    "f2llmv2",
    "falcon-h1",
    "gigachat",
    "glm4",
    "glm5",
    "granite-docling",
    "grok-2",
    "hunyuan",
    "kormo",
    "lfm2",
    "megrez",
    "mellum",
    "mellum2",
    "midm-2.0",
    "minerva-7b",
    "pixtral",
    "solar-open",
    "trillion",
];

/// What the two references split by different rules; the engine follows bitnet.cpp.
const BITNET_CPP_ALONE: [&str; 2] = ["falcon3", "falcon_e"];

/// Names whose rules differ by one detail, or by all.
const UNLIKE: [(&str, &str); 8] = [
    ("dbrx", "qwen2"),
    ("gpt-2", "starcoder"),
    ("falcon", "falcon3"),
    ("default", "falcon"),
    ("bloom", "viking"),
    ("deepseek-coder", "deepseek-llm"),
    ("tekken", "qwen2"),
    ("chameleon", "starcoder"),
];

#[derive(Clone, Copy)]
struct Size {
    strings: u64,
    seed: u64,
}

fn main() -> ExitCode {
    let size = Size {
        strings: number("BITNET_DIFFERENTIAL_STRINGS", 300),
        seed: number("BITNET_DIFFERENTIAL_SEED", 1),
    };
    let workers = Arc::new(Workers::new("bitnet-cpp"));
    let compared = Arc::new(AtomicU64::new(0));
    let mut trials = vec![Trial::test("a-difference-is-shrunk", || {
        compare::a_difference_is_shrunk();
        Ok(())
    })];
    let llama_cpp = Arc::new(Workers::new("llama-cpp"));
    let theirs = recipes().into_iter().map(|named| (&workers, named));
    for (workers, (name, recipe)) in theirs.chain(newer().map(|named| (&llama_cpp, named))) {
        let (workers, compared) = (Arc::clone(workers), Arc::clone(&compared));
        trials.push(Trial::test(name.clone(), move || {
            let mut pair = Pair::open(&workers, &name, &recipe)?;
            let count = pair.pieces()? + pair.texts(size.seed, size.strings, true)?;
            compared.fetch_add(count, Ordering::Relaxed);
            Ok(())
        }));
    }
    for pre in
        ["gpt-2", "default", "llama-bpe", "tekken", "deepseek-llm", "deepseek-coder", "bloom"]
    {
        let (workers, compared) = (Arc::clone(&workers), Arc::clone(&compared));
        trials.push(Trial::test(format!("code-points::{pre}"), move || {
            let mut pair = Pair::open(&workers, "code-points", &Recipe::Pairs { pre })?;
            compared.fetch_add(pair.code_points(size.strings)?, Ordering::Relaxed);
            Ok(())
        }));
    }
    for (ours, theirs) in UNLIKE {
        let workers = Arc::clone(&workers);
        trials
            .push(Trial::test(format!("wrong-rules-are-found::{ours}-for-{theirs}"), move || {
                compare::wrong_rules_are_found(&workers, ours, theirs)
            }));
    }
    let args = Arguments::from_args();
    let conclusion = libtest_mimic::run(&args, trials);
    if !args.list {
        let compared = compared.load(Ordering::Relaxed);
        eprintln!("{compared} texts gave the reference's ids (seed {})", size.seed);
    }
    conclusion.exit_code()
}

fn recipes() -> Vec<(String, Recipe)> {
    let mut recipes = Vec::new();
    for pre in NAMES.into_iter().chain(["chameleon"]) {
        recipes.push((format!("pairs::{pre}"), Recipe::Pairs { pre }));
    }
    for (pre, add_bos) in [
        ("default", None),
        ("llama-bpe", None),
        ("llama-bpe", Some(false)),
        ("gpt-2", Some(true)),
        ("qwen2", None),
        ("tekken", None),
        ("deepseek-coder", Some(true)),
    ] {
        let flag = add_bos.map_or(String::new(), |add| format!("::add-bos-{add}"));
        recipes.push((format!("trained::{pre}{flag}"), Recipe::Trained { pre, add_bos }));
    }
    for (name, prefix, add_bos, add_eos, scores) in [
        ("plain", None, true, false, Scores::Falling),
        ("no-prefix", Some(false), false, true, Scores::Falling),
        ("tied-scores", Some(true), true, true, Scores::Tied),
        ("no-scores", None, false, false, Scores::Absent),
    ] {
        let recipe = Recipe::SentencePiece { prefix, add_bos, add_eos, scores };
        recipes.push((format!("sentencepiece::{name}"), recipe));
    }
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/vocab");
    for name in ["gpt-2", "falcon", "deepseek-coder", "llama-spm"] {
        let path = shared.join(format!("{name}.gguf"));
        if path.is_file() {
            recipes.push((format!("shared::{name}"), Recipe::File(path)));
        }
    }
    recipes
}

/// What llama.cpp is asked.
fn newer() -> impl Iterator<Item = (String, Recipe)> {
    let names = NAMES.into_iter().chain(NEWER).filter(|pre| !BITNET_CPP_ALONE.contains(pre));
    names.map(|pre| (format!("llama-cpp::{pre}"), Recipe::Pairs { pre }))
}

fn number(variable: &str, otherwise: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{variable} is `{}`, not a number", text.escape_debug())),
        Err(_) => otherwise,
    }
}
