//! `bitnet bench` from outside: columns, rows and forms of what it prints, and what it refuses. How fast
//! anything was is not asserted.

use std::num::NonZeroUsize;
use std::path::Path;

use bitnet_engine::exit::Exit;
use bitnet_engine::gguf::GgufFile;
use bitnet_engine::kernels::{Isa, Kernels};
use bitnet_engine::model::{Config, KeyCache, LoadOptions};
use bitnet_engine::needs::Needs;
use bitnet_engine::synth::{Preset, SynthSpec, WeightType};
use serde_json::Value;

use crate::program::{Ended, Models, call};
use crate::synthetic::TINY;

/// A prompt and a generation at two depths with two numbers of threads, each twice: eight rows.
const WORK: [&str; 10] = ["-p", "8", "-n", "4", "-d", "0,40", "-t", "1,2", "-r", "2"];
/// The rows' threads and tests.
const ROWS: [(u64, &str); 8] = [
    (1, "pp8"),
    (1, "tg4"),
    (1, "pp8 @ d40"),
    (1, "tg4 @ d40"),
    (2, "pp8"),
    (2, "tg4"),
    (2, "pp8 @ d40"),
    (2, "tg4 @ d40"),
];

fn bench(path: &str, args: &[&str]) -> Ended {
    call(&[&["bench", path], args].concat())
}

/// The cells of a Markdown table, its head first.
fn table(text: &str) -> Vec<Vec<&str>> {
    let lines = text.lines().take_while(|line| line.starts_with('|'));
    let cells = lines.map(|line| line.trim_matches('|').split('|').map(str::trim).collect());
    cells.filter(|cells: &Vec<&str>| !cells[0].starts_with('-')).collect()
}

/// The objects that `--output-format json` prints.
fn objects(path: &str, args: &[&str]) -> Vec<Value> {
    let out = bench(path, &[args, &["-o", "json"]].concat()).with(Exit::Ok).out;
    serde_json::from_str(&out).expect("an array")
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("an array").iter().map(|v| v.as_f64().expect("a number")).collect()
}

#[track_caller]
fn assert_close(a: f64, b: f64) {
    assert!((a - b).abs() <= 1e-9 * a.abs().max(b.abs()), "{a} is not {b}");
}

#[test]
fn the_table_has_a_row_for_each_test_and_number_of_threads() {
    let models = Models::of(&TINY);
    let ended = bench(&models.path(), &[&WORK[..], &["--no-roofline"]].concat()).with(Exit::Ok);
    let rows = table(&ended.out);
    let head = ["model", "size", "params", "backend", "threads", "test", "t/s", "roofline"];
    assert_eq!(rows[0], head);
    let backend = format!("CPU {}", Isa::best());
    for (row, (threads, test)) in rows[1..].iter().zip(ROWS) {
        assert_eq!(row[0], "bitnet-b1.58 I2_S");
        assert_eq!(row[3..6], [&*backend, &*threads.to_string(), test]);
        let (mean, deviation) = row[6].split_once(" ± ").expect("a mean and a deviation");
        assert!(mean.parse::<f64>().expect("a number") > 0.0, "{row:?}");
        assert!(deviation.parse::<f64>().expect("a number") >= 0.0, "{row:?}");
        assert_eq!(row[7], "-", "no limit was measured");
        let note = format!("{test}, {threads} threads: {}", row[6]);
        assert!(ended.err.contains(&note), "`{note}` is not in:\n{}", ended.err);
    }
    assert_eq!(rows.len(), 1 + ROWS.len());
    let below = &ended.out[ended.out.find("\n\n").expect("sentences")..];
    assert!(below.contains("the first token behind 8 ids came after"), "{below}");
    assert!(!below.contains("Limits of"), "{below}");
}

#[test]
fn every_form_has_the_same_fields_and_figures_follow_from_the_times() {
    let models = Models::of(&TINY);
    let path = models.path();
    let args = [&WORK[..], &["--no-roofline", "--output", "logits"]].concat();
    let rows = objects(&path, &args);
    assert_eq!(rows.len(), ROWS.len());
    let file = GgufFile::open(Path::new(&path)).expect("the model");
    let config = Config::from_file(&file).expect("good hyper-parameters");
    let (options, two) = (LoadOptions::default(), NonZeroUsize::new(2).expect("not 0"));
    let needs = Needs::of(&file, &config, Kernels::best(), &options, 48, two, KeyCache::F32);
    let layers = file.tensors().iter().filter(|t| t.name.starts_with("blk.") && t.dims.len() == 2);
    let macs: usize = layers.map(|t| t.elements()).sum();
    for (row, (threads, test)) in rows.iter().zip(ROWS) {
        assert_eq!((&row["n_threads"], &row["test"]), (&threads.into(), &test.into()));
        assert_eq!((&row["type_k"], &row["roofline"]), (&"f32".into(), &Value::Null));
        let depth = if test.ends_with("d40") { 40 } else { 0 };
        let is_prompt = test.starts_with("pp");
        let (prompt, generated) = if is_prompt { (8, 0) } else { (0, 4) };
        let work = [prompt, generated, depth];
        assert_eq!(
            ["n_prompt", "n_gen", "n_depth"].map(|key| &row[key]),
            work.map(Value::from).each_ref()
        );
        let (times, rates) = (numbers(&row["samples_ns"]), numbers(&row["samples_ts"]));
        assert_eq!((times.len(), rates.len()), (2, 2));
        for (time, rate) in times.iter().zip(&rates) {
            assert_close(*rate, (prompt + generated) as f64 * 1e9 / time);
        }
        assert_close(row["avg_ns"].as_f64().expect("a mean"), (times[0] + times[1]) / 2.0);
        assert_close(row["avg_ts"].as_f64().expect("a mean"), (rates[0] + rates[1]) / 2.0);
        match is_prompt {
            true => {
                assert_eq!((&row["macs_per_token"], &row["output"]), (&macs.into(), &Value::Null))
            }
            false => {
                assert_eq!(row["output"], "logits");
                let read = (depth..depth + 4).map(|at| needs.read_at(at) as f64).sum::<f64>() / 4.0;
                assert_close(row["bytes_per_token"].as_f64().expect("bytes"), read);
            }
        }
    }

    let single = ["-p", "8", "-n", "0", "-t", "1", "-r", "1", "--no-roofline"];
    let form = |name| bench(&path, &[&single[..], &["-o", name]].concat()).with(Exit::Ok).out;
    let (lines, csv) = (form("jsonl"), form("csv"));
    let object: Value = serde_json::from_str(lines.trim_end()).expect("one object");
    let keys =
        |row: &Value| row.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&object), keys(&rows[0]));
    let (head, line) = csv.trim_end().split_once('\n').expect("a head and a row");
    let (columns, cells) =
        (head.split(',').collect::<Vec<_>>(), line.split(',').collect::<Vec<_>>());
    assert_eq!(columns.len(), cells.len(), "{csv}");
    let mut named: Vec<String> = columns.iter().map(|&column| column.to_owned()).collect();
    named.sort_unstable();
    let mut all = keys(&object);
    all.retain(|key| !key.starts_with("samples_"));
    all.sort_unstable();
    assert_eq!(named, all);
    let cell = |name| cells[columns.iter().position(|column| *column == name).expect("a column")];
    assert_eq!(cell("model_filename"), format!("\"{path}\""));
    assert_eq!([cell("test"), cell("n_prompt"), cell("n_threads")], ["\"pp8\"", "8", "1"]);
    assert_eq!([cell("stddev_ts"), cell("output"), cell("roofline")], [""; 3]);
}

#[test]
fn the_part_of_the_roofline_is_that_of_the_limit_that_applies() {
    let models = Models::of(&TINY);
    let rows = objects(&models.path(), &["-p", "8", "-n", "4", "-t", "1", "-r", "1"]);
    for (row, (need, limit)) in rows.iter().zip([
        ("macs_per_token", "int8_macs_per_second"),
        ("bytes_per_token", "read_bytes_per_second"),
    ]) {
        assert!(row["read_bytes_per_second"].as_f64().expect("measured") > 0.0);
        // A processor whose int8 instruction the engine does not know has no limit of a prompt.
        match (row["roofline"].as_f64(), row[limit].as_f64()) {
            (Some(part), Some(limit)) => {
                let need = row[need].as_f64().expect("known of this model");
                assert_close(part, need * row["avg_ts"].as_f64().expect("a rate") / limit);
            }
            (part, limit) => {
                assert_eq!((part, limit), (None, None));
                assert_eq!((need, &row["int8_instruction"]), ("macs_per_token", &Value::Null));
            }
        }
    }
    assert_eq!(rows.len(), 2);
}

#[test]
fn keys_of_another_type_have_a_column_and_read_less() {
    let models = Models::of(&TINY);
    let path = models.path();
    let args = ["-p", "0", "-n", "4", "-d", "40", "-t", "1", "-r", "1", "--no-roofline"];
    let of = |keys| objects(&path, &[&args[..], &["--cache-type-k", keys]].concat()).remove(0);
    let read = |row: &Value| row["bytes_per_token"].as_f64().expect("bytes");
    let [full, half, blocks] = ["f32", "f16", "q8_0"].map(of);
    assert_eq!([&full["type_k"], &half["type_k"], &blocks["type_k"]], ["f32", "f16", "q8_0"]);
    // 42.5 positions on average, 2 layers of 128 keys: 4, 2 and 36 / 32 bytes each.
    assert_close(read(&full) - read(&half), 42.5 * 256.0 * 2.0);
    assert_close(read(&half) - read(&blocks), 42.5 * 256.0 * 0.875);
    let out = bench(&path, &[&args[..], &["--cache-type-k", "q8_0"]].concat()).with(Exit::Ok).out;
    let rows = table(&out);
    assert_eq!((rows[0][5], rows[1][5]), ("type_k", "q8_0"));
}

#[test]
fn what_cannot_be_timed_is_refused_before_anything_is_printed() {
    let models = Models::of(&TINY);
    let path = models.path();
    let refused = |args: &[&str], exit, words: &str| {
        let ended = bench(&path, args).with(exit);
        assert_eq!(ended.out, "", "{args:?}");
        assert!(ended.err.contains(words), "`{words}` is not in:\n{}", ended.err);
    };
    refused(
        &["--cache-type-k", "q4_0"],
        Exit::Usage,
        "invalid value 'q4_0' for '--cache-type-k <TYPE>'\n  [possible values: f32, f16, q8_0]",
    );
    refused(
        &["-o", "sql"],
        Exit::Usage,
        "invalid value 'sql' for '--output-format <FORMAT>'\n  [possible values: md, csv, json, jsonl]",
    );
    refused(
        &["-p", "8", "-n", "4", "-d", "0,505", "-t", "1"],
        Exit::Usage,
        "error: pp8 @ d505 needs 513 positions, and the model was made for 512; lower -d, -p or -n",
    );
    refused(
        &["-p", "0", "-n", "0"],
        Exit::NothingSelected,
        "error: nothing to time: -p and -n are 0",
    );

    let none = call(&["bench"]).with(Exit::Usage);
    assert_eq!(none.out, "");
    assert!(
        none.err.contains("error: no file is given; name one, or set BITNET_MODEL"),
        "{}",
        none.err
    );

    let heads = SynthSpec {
        architecture: "llama",
        preset: Preset::TinyHeadsOf100,
        weights: WeightType::F32,
        embedding: WeightType::F32,
        ..TINY
    };
    let models = Models::of(&heads);
    let ended = bench(&models.path(), &["--cache-type-k", "q8_0", "-p", "8"]).with(Exit::Usage);
    let words = "error: keys in q8_0 come in blocks of 32 values, and this model's heads have 100; take keys \
                 in f16 or f32 (--cache-type-k)";
    assert!(ended.err.contains(words), "{}", ended.err);
    assert_eq!(ended.out, "");
}
