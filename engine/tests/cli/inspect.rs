//! `bitnet inspect`: what the file holds, of whatever architecture.

use std::num::NonZeroUsize;
use std::path::Path;

use bitnet_engine::exit::Exit;
use bitnet_engine::gguf::{GgufFile, GgufWriter, TensorType};
use bitnet_engine::kernels::Kernels;
use bitnet_engine::model::{Config, KeyCache, LoadOptions};
use bitnet_engine::needs::Needs;
use serde_json::Value;

use crate::program::{Ended, Models, call, command};

fn report(args: &[&str]) -> Value {
    let out = call(&[args, &["--format", "json"]].concat()).with(Exit::Ok).out;
    assert_eq!(out.lines().count(), 1);
    serde_json::from_str(&out).expect("an object")
}

#[test]
fn json_says_what_the_reader_says() {
    let models = Models::new();
    let path = models.path();
    let file = GgufFile::open(Path::new(&path)).unwrap();
    let report = report(&["inspect", &path]);
    assert_eq!(
        (&report["architecture"], &report["supported"]),
        (&"bitnet-b1.58".into(), &true.into())
    );
    let elements: usize = file.tensors().iter().map(|t| t.elements()).sum();
    let bytes: usize = file.tensors().iter().map(|t| t.size).sum();
    assert_eq!((&report["parameters"], &report["tensor_bytes"]), (&elements.into(), &bytes.into()));
    assert_eq!(report["bits_per_weight"], 32.0);
    assert_eq!(report["types"]["F32"]["tensors"], file.tensors().len());
    let tensors = report["tensors"].as_array().unwrap();
    assert_eq!(tensors.len(), file.tensors().len());
    for (shown, tensor) in tensors.iter().zip(file.tensors()) {
        let truth = serde_json::json!({
            "name": tensor.name, "type": tensor.tensor_type.name(), "shape": tensor.dims,
            "bytes": tensor.size, "offset": tensor.offset
        });
        assert_eq!(*shown, truth);
    }
    let entries = report["metadata"].as_array().unwrap();
    assert_eq!(entries.len(), file.metadata().len());
    let tokens = entries.iter().find(|e| e["key"] == "tokenizer.ggml.tokens").unwrap();
    assert_eq!((&tokens["length"], tokens["value"].as_array().unwrap().len()), (&768.into(), 8));
}

#[test]
fn text_has_totals_first_then_keys_then_tensors() {
    let models = Models::new();
    let path = models.path();
    let out = call(&["inspect", &path]).with(Exit::Ok).out;
    let place = |words: &str| out.find(words).unwrap_or_else(|| panic!("no `{words}` in:\n{out}"));
    let order = [
        "architecture  bitnet-b1.58\n",
        "supported     yes; loading checks its tensors as well\n",
        "bytes, 32.000 bits each\n",
        " bytes  32.000 bits each\nmemory        ",
        "decoding      a token reads ",
        "\n24 keys\n",
        "  general.architecture ",
        "… 768 in all]\n",
        "\n24 tensors\n",
        "  output_norm.weight ",
    ];
    assert!(order.windows(2).all(|pair| place(pair[0]) < place(pair[1])), "{out}");
    let tensors = call(&["inspect", &path, "--tensors"]).with(Exit::Ok).out;
    assert_eq!(tensors.lines().count(), 25);
    assert!(out.ends_with(&tensors), "{tensors}");
    let mut by_variable = command(&["inspect"]);
    by_variable.env("BITNET_MODEL", &path);
    let by_variable = Ended::of(by_variable.output().unwrap()).with(Exit::Ok).out;
    assert_eq!(by_variable, out);
    assert_eq!(call(&["inspect", "-m", &path]).with(Exit::Ok).out, out);
}

#[test]
fn a_key_that_is_asked_for_is_whole() {
    let models = Models::new();
    let path = models.path();
    let file = GgufFile::open(Path::new(&path)).unwrap();
    let keys = ["--metadata", "tokenizer.ggml.tokens", "--metadata", "general.name"];
    let whole = report(&[&["inspect", &path], &keys[..]].concat());
    let tokens = file.metadata().strings("tokenizer.ggml.tokens").unwrap();
    let tokens: Vec<&str> = tokens.iter().map(|t| t.as_str().unwrap()).collect();
    assert_eq!(whole["metadata"][0]["value"], serde_json::json!(tokens));
    assert_eq!(whole["metadata"][1]["value"], "synthetic");
    let text = call(&["inspect", &path, "--metadata", "tokenizer.ggml.tokens"]).with(Exit::Ok).out;
    assert_eq!(text.lines().count(), 1 + tokens.len());
    assert!(
        text.starts_with("tokenizer.ggml.tokens  array of string, 768 items\n  0: \""),
        "{text}"
    );

    let absent = call(&["inspect", &path, "--metadata", "no.such\u{1b}key"]);
    let absent = absent.with(Exit::NothingSelected);
    let words = "error: the file has no key 'no.such\\u{1b}key'; `bitnet inspect` without";
    assert!(absent.err.starts_with(words), "{}", absent.err);
}

#[test]
fn another_architecture_is_shown_and_said_to_be_unsupported() {
    let models = Models::new();
    let path = models.of_architecture("gpt-neox");
    let out = call(&["inspect", &path]).with(Exit::Ok).out;
    let words =
        "architecture  gpt-neox\nsupported     no: architecture 'gpt-neox' is not supported; ";
    assert!(out.contains(words), "{out}");
    assert!(!out.contains("\nmemory "), "{out}");
    let report = report(&["inspect", &path]);
    assert_eq!((&report["supported"], &report["needs"]), (&false.into(), &Value::Null));
}

#[test]
fn a_file_without_tensors_has_no_bits_per_weight_and_nothing_is_shown_raw() {
    let models = Models::new();
    let mut writer = GgufWriter::new();
    writer.str("a\u{1b}[31mb", "x\n::error::y").unwrap();
    writer.f32("nan", f32::NAN).unwrap();
    let mut bytes = Vec::new();
    writer.write(&mut bytes).unwrap();
    let path = models.file("bare.gguf", &bytes);
    let out = call(&["inspect", &path]).with(Exit::Ok).out;
    assert!(out.contains("architecture  none\n"), "{out}");
    assert!(out.contains("weights       none\n"), "{out}");
    assert!(out.contains("  a\\u{1b}[31mb  string           \"x\\n::error::y\"\n"), "{out}");
    assert!(!out.contains('\u{1b}'), "{out}");
    let report = report(&["inspect", &path]);
    assert_eq!((&report["bits_per_weight"], &report["parameters"]), (&Value::Null, &0.into()));
    assert_eq!(report["metadata"][0]["value"], "x\n::error::y");
    assert_eq!(report["metadata"][1]["value"], "NaN");
}

#[test]
fn totals_are_by_type() {
    let models = Models::new();
    let mut writer = GgufWriter::new();
    writer.tensor_bytes("a", TensorType::Q4_0, &[64, 2], &[0; 72]).unwrap();
    writer.tensor_bytes("b", TensorType::F16, &[8], &[0; 16]).unwrap();
    let mut bytes = Vec::new();
    writer.write(&mut bytes).unwrap();
    let path = models.file("types.gguf", &bytes);
    let report = report(&["inspect", &path]);
    let q4 = serde_json::json!({
        "tensors": 1, "elements": 128, "bytes": 72, "bits_per_weight": 4.5
    });
    assert_eq!((&report["types"]["Q4_0"], &report["parameters"]), (&q4, &136.into()));
    assert_eq!(report["bits_per_weight"].as_f64().unwrap(), 88.0 * 8.0 / 136.0);
}

#[test]
fn needs_are_the_librarys_and_a_time_follows_from_a_stated_bandwidth_alone() {
    let models = Models::new();
    let path = models.path();
    let file = GgufFile::open(Path::new(&path)).unwrap();
    let config = Config::from_file(&file).unwrap();
    let (threads, options) = (NonZeroUsize::new(3).unwrap(), LoadOptions::default());
    let args = ["inspect", &path, "-t", "3"];
    for (flag, context) in [("100", 100), ("0", 512)] {
        let truth =
            Needs::of(&file, &config, Kernels::best(), &options, context, threads, KeyCache::F32);
        let report = report(&[&args[..], &["-c", flag]].concat());
        let needs = &report["needs"];
        assert_eq!((&needs["context"], &needs["threads"]), (&context.into(), &3.into()));
        for (key, figure) in [
            ("memory_bytes", truth.memory()),
            ("mapped_bytes", truth.mapped),
            ("arranged_bytes", truth.arranged),
            ("cache_bytes", truth.cache),
            ("workspace_bytes", truth.workspace),
            ("read_bytes_by_token", truth.read_by_token),
            ("screen_bytes", truth.screen),
            ("read_bytes_by_step_top", truth.read_by_step_top),
            ("read_bytes_by_position", truth.read_by_position),
        ] {
            assert_eq!(needs[key], figure, "{key}");
        }
        assert_eq!(needs["time"], Value::Null, "nobody said how fast memory is");
    }
    let truth = Needs::of(&file, &config, Kernels::best(), &options, 512, threads, KeyCache::F32);
    let timed = report(&[&args[..], &["--bandwidth", "0.5"]].concat());
    let time = &timed["needs"]["time"];
    assert_eq!(time["bandwidth_gb_per_s"], 0.5);
    for (key, position) in [("least_ms_at_first_position", 0), ("least_ms_at_last_position", 511)] {
        let milliseconds = truth.read_at(position) as f64 / 0.5e9 * 1e3;
        assert_eq!(time[key].as_f64(), Some(milliseconds), "{key}");
    }
    let text = call(&[&args[..], &["--bandwidth", "0.5"]].concat()).with(Exit::Ok).out;
    let line = format!(
        "time          at 0.5 GB/s at least {:.3} ms a token",
        truth.read_at(0) as f64 / 5e5
    );
    assert!(text.contains(&line), "{text}");

    let ended = call(&[&args[..], &["--bandwidth", "0"]].concat()).with(Exit::Usage);
    assert!(ended.err.contains("a number above 0, such as 40 or 38.5, is needed"), "{}", ended.err);
    let ended = call(&[&args[..], &["-c", "513"]].concat()).with(Exit::Usage);
    let words = "error: a context of 513 was asked for; the model has 1 to 512 positions\n";
    assert_eq!(ended.err, words);
}
