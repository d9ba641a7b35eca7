//! Receipts of `bitnet run`: each field is computed again from what it is about.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use bitnet_engine::exit::Exit;
use bitnet_engine::kernels::{Isa, Kernels};
use bitnet_engine::model::{Config, LogitsOf, Model};
use bitnet_engine::session::Session;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::{Models, call, ids, text, tokens};

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn nanoseconds(value: &Value) -> u64 {
    value.as_u64().expect("nanoseconds")
}

/// The scalar kernels that a session counts for a prompt and all but the last generated id.
fn dispatched(model: &Model, prompt: &[u32], generated: &[u32]) -> Vec<Value> {
    let kernels = Kernels::for_isa(Isa::Scalar).expect("every processor has it");
    let config = Config::from_file(model.file()).expect("as loaded");
    let model = Arc::new(Model::load(model.file(), config, kernels).expect("as loaded"));
    let mut session = Session::new(&model, 64, NonZeroUsize::MIN).expect("a session");
    session.prefill(prompt, LogitsOf::Last).expect("room");
    for id in &generated[..generated.len() - 1] {
        session.step(*id).expect("room");
    }
    let facts = session.dispatched();
    let facts =
        facts.map(|d| json!({ "name": format!("{}/{}", d.isa, d.kernel), "count": d.count }));
    facts.collect()
}

#[test]
fn every_field_can_be_computed_again() {
    let models = Models::new();
    let (path, model) = (models.path(), models.load());
    let receipt = models.text_of("receipt.json");
    let prompt = "Once upon a time";
    let args = ["run", "-m", &path, "-p", prompt, "-n", "12", "-s", "5", "-t", "2", "-c", "64"];
    let more = ["--stop", "\u{1}never", "--stop-id", "0", "--isa", "scalar", "--format", "json"];
    let ended = call(&[&args[..], &more, &["--receipt", &receipt]].concat()).with(Exit::Ok);
    let (found, lines) = (models.json("receipt.json"), ended.lines());

    assert_eq!(found["schema_version"], "1.0.0");
    assert_eq!((&found["kind"], &found["status"]), (&json!("run"), &json!("complete")));
    assert_eq!(found["error"], Value::Null);
    let tool = &found["tool"];
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!((&tool["name"], &tool["version"]), (&json!("bitnet"), &json!(version)));
    // Both are known of a checkout and neither of anything else.
    assert_eq!(tool["commit"].is_string(), tool["dirty"].is_boolean(), "{tool}");
    let time = found["time"].as_str().expect("a time");
    let shape = |c: char| if c.is_ascii_digit() { '0' } else { c };
    assert_eq!(time.chars().map(shape).collect::<String>(), "0000-00-00T00:00:00Z");

    let mut types: BTreeMap<&str, usize> = BTreeMap::new();
    for tensor in model.file().tensors() {
        *types.entry(tensor.tensor_type.name()).or_default() += 1;
    }
    let truth = json!({
        "file": "model.gguf",
        "sha256": sha256(&models.bytes),
        "bytes": models.bytes.len(),
        "architecture": "bitnet-b1.58",
        "tensor_types": types,
    });
    assert_eq!(found["model"], truth);
    let generated = tokens(&lines);
    let kernels = dispatched(&model, &ids(&found["prompt"]["ids"]), &generated);
    let compute =
        json!({ "threads": 2, "isa": Isa::Scalar.to_string(), "context": 64, "kernels": kernels });
    assert_eq!(found["compute"], compute);
    assert_eq!(found["options"]["seed"], 5);
    assert_eq!(found["options"]["n_predict"], 12);
    assert_eq!(found["options"]["stop"], json!(["\u{1}never"]));
    assert_eq!(found["options"]["stop_ids"], json!([0]));
    assert_eq!(found["options"], lines[0]["options"]);

    assert_eq!(found["prompt"]["sha256"], sha256(prompt.as_bytes()));
    let prompt_ids = model.tokenizer().encode(prompt, true, true).unwrap();
    assert_eq!(ids(&found["prompt"]["ids"]), prompt_ids);
    assert_eq!(ids(&found["generated"]["ids"]), generated);
    assert_eq!(found["generated"]["text"], text(&lines));
    assert_eq!(found["generated"]["end"]["reason"], lines.last().unwrap()["reason"]);

    let timings = &found["timings"];
    assert_eq!(timings, &lines.last().unwrap()["timings"]);
    assert_eq!(timings["prompt_tokens"], prompt_ids.len());
    let steps: Vec<u64> = timings["step_ns"].as_array().unwrap().iter().map(nanoseconds).collect();
    let parts = [&timings["load_ns"], &timings["prompt_ns"], &timings["sampling_ns"]];
    let parts = parts.map(nanoseconds).iter().sum::<u64>() + steps.iter().sum::<u64>();
    assert!(nanoseconds(&timings["total_ns"]) >= parts, "{timings}");
    let before = [&timings["load_ns"], &timings["prompt_ns"]].map(nanoseconds).iter().sum::<u64>();
    let first = nanoseconds(&timings["first_token_ns"]);
    assert!((before..nanoseconds(&timings["total_ns"])).contains(&first), "{timings}");
    let rate = |count: usize, ns: u64| count as f64 / (ns as f64 / 1e9);
    assert_eq!(
        found["rates"],
        json!({
            "prompt_tokens_per_second":
                rate(prompt_ids.len(), nanoseconds(&timings["prompt_ns"])),
            "generated_tokens_per_second": rate(steps.len(), steps.iter().sum()),
        })
    );
    assert_eq!(found["machine"]["os"], std::env::consts::OS);
    assert_eq!(found["machine"]["arch"], std::env::consts::ARCH);
    let folder = models.folder.path().to_str().unwrap();
    let whole = std::fs::read_to_string(models.place("receipt.json")).unwrap();
    assert!(!whole.contains(folder), "{whole}");
}

#[test]
fn a_failure_behind_loading_has_a_receipt_as_well() {
    let models = Models::new();
    let receipt = models.text_of("failed.json");
    let args = ["run", "-m", &models.path(), "--prompt-tokens", "1,2,3", "-c", "2", "--greedy"];
    call(&[&args[..], &["--receipt", &receipt]].concat()).with(Exit::Usage);
    let found = models.json("failed.json");
    assert_eq!(found["status"], "failed");
    let why = found["error"].as_str().expect("a reason");
    assert!(why.starts_with("0 positions are taken and 3 more are asked for"), "{why}");
    assert_eq!(found["model"]["sha256"], sha256(&models.bytes));
    assert_eq!(found["prompt"], json!({ "sha256": null, "ids": [1, 2, 3] }));
    assert_eq!(found["generated"]["ids"], json!([]));
    let none = json!({ "prompt_tokens_per_second": null, "generated_tokens_per_second": null });
    assert_eq!(found["rates"], none);
}

#[test]
fn a_place_that_cannot_be_written_is_found_before_loading() {
    let models = Models::new();
    let place = models.text_of("missing/receipt.json");
    // The model does not exist either: the receipt comes first.
    let args = ["run", "-m", "/nope/bad.gguf", "-p", "x", "--receipt"];
    let ended = call(&[&args[..], &[&place]].concat()).with(Exit::Usage);
    let words =
        format!("error: cannot write '{place}': its folder does not exist; make it first\n");
    assert_eq!(ended.err, words);
    let folder = models.text_of("");
    let ended = call(&[&args[..], &[&folder]].concat()).with(Exit::Usage);
    assert!(ended.err.contains("is no regular file; name a file"), "{}", ended.err);
}

#[test]
fn the_model_is_never_replaced_by_a_receipt() {
    let models = Models::new();
    let path = models.path();
    let ended = call(&["run", "-m", &path, "-p", "x", "--receipt", &path]).with(Exit::Usage);
    assert!(ended.err.contains("is the model itself, which it would replace"), "{}", ended.err);
    assert_eq!(std::fs::read(models.place("model.gguf")).unwrap(), models.bytes);
}

#[test]
fn a_model_that_cannot_be_loaded_leaves_no_receipt() {
    let models = Models::new();
    let bad = models.file("bad.gguf", b"no model at all");
    let receipt = models.text_of("receipt.json");
    let args = ["run", "-m", &bad, "-p", "x", "--receipt", &receipt];
    let ended = call(&args).with(Exit::ModelLoad);
    assert!(ended.err.starts_with("error[E10]: "), "{}", ended.err);
    let names = std::fs::read_dir(models.folder.path()).unwrap();
    let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["bad.gguf", "model.gguf"], "nothing half written is left");
}
