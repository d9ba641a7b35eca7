//! Comparisons from the command line, `parity crossval` and `parity ppl`, with the reference itself.

use std::num::NonZeroUsize;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use bitnet_engine::gguf::GgufFile;
use bitnet_engine::kernels::Kernels;
use bitnet_engine::model::{Config, LoadOptions, Model};
use bitnet_engine::session::Session;
use bitnet_runner::models::{ModelLock, Store};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package has a parent")
}

fn parity(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_parity"));
    command.env_remove("BITNET_TIER").env_remove("BITNET_REFERENCE");
    command.args(["--color", "never", "--root"]).arg(root()).args(args);
    command.output().expect("the program runs")
}

#[track_caller]
fn says(bytes: &[u8], parts: &[&str]) -> String {
    let text = String::from_utf8(bytes.to_vec()).expect("UTF-8");
    for part in parts {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
    text
}

#[test]
fn a_prompt_is_compared_and_its_receipt_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("receipt.json");
    let prompt = "A \"quoted\"\nprompt\u{1b}";
    let output = parity(&[
        "crossval",
        "--model",
        "tiny-i2s-q6k",
        "--prompt",
        prompt,
        "--steps",
        "4",
        "--out",
        out.to_str().expect("a plain path"),
    ]);
    says(
        &output.stdout,
        &[
            "ci-light::parity::crossval::prompt::threads-1",
            " rows bit-equal",
            "1 trials run in ",
            ": 1 passed, 0 failed; 0 ignored",
            "reference: bitnet-cpp ",
        ],
    );
    assert_eq!(output.status.code(), Some(0));
    let text = std::fs::read_to_string(&out).expect("the receipt");
    let receipt: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(receipt["passed"], true);
    assert_eq!(receipt["kind"], "parity");
    assert!(receipt["metrics"]["cosine_similarity"].as_f64().expect("a figure") > 0.99);
}

#[test]
fn what_cannot_be_compared_is_said_before_anything_runs() {
    let output = parity(&["crossval", "--model", "no-such", "--prompt", "x"]);
    says(&output.stderr, &["error: models.toml has no 'no-such'; it has ci-light, "]);
    assert_eq!(output.status.code(), Some(2));
    let other = ["crossval", "--model", "ci-light", "--prompt", "x", "--reference", "llama-cpp"];
    let output = parity(&other);
    says(
        &output.stderr,
        &["model 'ci-light' cannot be compared with 'llama-cpp'; models.toml lists: bitnet-cpp"],
    );
    assert_eq!(output.status.code(), Some(2));
    let output = parity(&["crossval", "--model", "ci-light", "--prompt", ""]);
    assert_eq!(output.status.code(), Some(2));
    says(&output.stderr, &["prompt"]);
}

#[test]
fn a_text_has_the_statistics_of_the_perplexity_tool() {
    let text = root().join("suites/prompts/lighthouse-log.txt");
    let file = text.to_str().expect("a plain path");
    let args = ["ppl", "--model", "ci-light", "--ctx-size", "64", "--chunks", "2", file];
    let output = parity(&args);
    let shown = says(
        &output.stdout,
        &[
            "====== Perplexity statistics ======\nMean PPL(Q)                   : ",
            "Mean PPL(base)                : ",
            "Cor(ln(PPL(Q)), ln(PPL(base))): 100.00%",
            "Mean ln(PPL(Q)/PPL(base))     : 0e0 ± 0e0",
            "Mean    KLD: 0.000000e0 ± 0.000000e0",
            "99.9%   KLD: ",
            "Median  Δp: 0.000000 %",
            "RMS Δp    : 0.000000 % ± 0.000000 %",
            "Same top p: 100.000 ± 0.000 % (62 of 62; Wilson 95 %: ",
            "62 positions of 2 chunks of 64 ids; 62 of them equal to the bit",
            "  base: bitnet-cpp ",
        ],
    );
    assert_eq!(output.status.code(), Some(0), "{shown}");
    says(&output.stderr, &["chunk 2 of 2: mean KLD 0.000000e0 so far"]);

    let output = parity(&[&args[..], &["--format", "json"]].concat());
    let line: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(line["statistics"]["tokens"], 62);
    let ppl = line["statistics"]["ppl_q"]["value"].as_f64().expect("a figure");
    assert!(ppl > 1.0 && ppl.is_finite(), "{ppl}");
}

/// Perplexity of a file's text and its error, as llama.cpp's tool defines them, from single steps and in f64:
/// without the file's last newline, BOS first; BOS again at the head of each chunk; scored from the middle.
fn perplexity_of(file: &Path, model: &str, context: usize) -> (f64, f64) {
    let lock = ModelLock::read(&root().join("models.toml")).unwrap_or_else(|e| panic!("{e}"));
    let store = Store::from_environment(root()).unwrap_or_else(|e| panic!("{e}"));
    let path = store.resolve(lock.get(model).expect("a model"), &|_| ());
    let gguf = Arc::new(GgufFile::open(&path.unwrap_or_else(|e| panic!("{e}"))).expect("a file"));
    let config = Config::from_file(&gguf).expect("a model");
    let model = Model::load_with(&gguf, config, Kernels::best(), LoadOptions::default());
    let model = Arc::new(model.expect("a model"));
    let text = std::fs::read_to_string(file).expect("a text");
    let text = text.strip_suffix('\n').expect("a newline at the end");
    let ids = model.tokenizer().encode(text, true, false).expect("ids");
    let mut session = Session::new(&model, context, NonZeroUsize::MIN).expect("memory");
    let mut nll = Vec::new();
    for chunk in 0..ids.len() / context {
        session.clear();
        for i in 0..context - 1 {
            let here = chunk * context + i;
            let id = if i == 0 { model.tokenizer().bos().expect("BOS") } else { ids[here] };
            let logits = session.step(id).expect("room");
            if i >= context / 2 {
                let z: f64 = logits.iter().map(|v| f64::from(*v).exp()).sum();
                nll.push(z.ln() - f64::from(logits[ids[here + 1] as usize]));
            }
        }
    }
    let n = nll.len() as f64;
    let mean = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>() / n;
    let first = mean(&mut nll.iter().copied());
    let second = mean(&mut nll.iter().map(|v| v * v));
    (first.exp(), first.exp() * ((second - first * first) / (n - 1.0)).sqrt())
}

#[test]
fn a_text_is_cut_and_scored_as_the_perplexity_tool_does() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("text.txt");
    // 64 more or fewer ids at the end would be a chunk more or fewer.
    let text = std::fs::read_to_string(root().join("suites/prompts/lighthouse-log.txt"));
    std::fs::write(&file, format!("{}\n", text.expect("a text").trim_end())).expect("a text");
    let name = file.to_str().expect("a plain path");
    let output =
        parity(&["ppl", "--model", "tiny-i2s-q6k", "--ctx-size", "64", "--format", "json", name]);
    let line: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let (ppl, error) = perplexity_of(&file, "tiny-i2s-q6k", 64);
    for side in ["ppl_q", "ppl_base"] {
        let printed = &line["statistics"][side];
        let figure = |name: &str| printed[name].as_f64().expect("a figure");
        assert!((figure("value") / ppl - 1.0).abs() < 1e-9, "{side} {printed}, not {ppl}");
        assert!((figure("error") / error - 1.0).abs() < 1e-6, "{side} {printed}, not ± {error}");
    }
}

#[test]
fn a_text_that_is_too_short_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("short.txt");
    std::fs::write(&file, "too short").expect("a text");
    let output = parity(&["ppl", "--model", "tiny-i2s-q6k", file.to_str().expect("a plain path")]);
    says(&output.stderr, &[" ids, and two chunks of 512 are needed; give a longer text"]);
    assert_eq!(output.status.code(), Some(1));
}
