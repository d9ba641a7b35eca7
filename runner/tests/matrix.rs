//! `parity models list --matrix` from outside, on a few cells against both references.

use std::process::{Command, Output};

use bitnet_runner::exit::Exit;
use serde_json::Value;

fn matrix(args: &[&str]) -> (Output, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_parity"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).args(["models", "list", "--matrix"]).args(args);
    let output = command.output().expect("the program runs");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    (output, out, err)
}

#[track_caller]
fn ended(output: &Output, exit: Exit) {
    assert_eq!(output.status.code(), Some(exit.code().into()), "{output:?}");
}

#[test]
fn a_type_that_both_references_compute_matches_and_what_one_refuses_has_its_words() {
    let (output, out, err) = matrix(&["--arch", "bitnet-b1.58", "--type", "F16"]);
    ended(&output, Exit::Ok);
    let lines: Vec<&str> = out.lines().collect();
    let [head, first, second] = lines[..] else { panic!("{out}") };
    assert_eq!(
        head.split_whitespace().collect::<Vec<_>>(),
        ["architecture", "type", "reference", "result"]
    );
    assert!(first.starts_with("bitnet-b1.58  F16   bitnet-cpp  match KL "), "{first}");
    let refusal = "bitnet-b1.58  F16   llama-cpp   unsupported by the reference: ";
    assert!(second.starts_with(refusal), "{second}");
    assert!(err.contains("Measuring bitnet-b1.58 F16 (1 of 1)"), "{err}");
}

#[test]
fn json_has_a_line_for_each_cell_with_the_whole_reason() {
    let args = ["--arch", "llama", "--arch", "bitnet-b1.58", "--type", "Q8_0", "--format", "json"];
    let (output, out, _) = matrix(&args);
    ended(&output, Exit::Ok);
    let lines: Vec<Value> =
        out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 4, "{out}");
    for line in &lines {
        let cell = (line["architecture"].as_str(), line["reference"].as_str());
        match cell {
            (Some("bitnet-b1.58"), Some("llama-cpp")) => {
                assert_eq!(line["result"], "unsupported-by-reference", "{line}");
                let why = line["why"].as_str().expect("a reason");
                assert!(why.contains("unknown model architecture: 'bitnet-b1.58'"), "{line}");
            }
            _ => {
                assert_eq!((&line["result"], &line["why"]), (&"match".into(), &Value::Null));
                assert!(line["mean_kl"].as_f64().is_some_and(|kl| kl <= 1e-3), "{line}");
            }
        }
    }
}

#[test]
fn unknown_names_measure_nothing() {
    for (flag, name) in [("--arch", "lama"), ("--type", "Q4_O"), ("--reference", "torch")] {
        let (output, out, err) = matrix(&[flag, name]);
        ended(&output, Exit::Usage);
        assert_eq!(out, "");
        assert!(err.contains(&format!("error: {flag} knows no '{name}'; known are ")), "{err}");
    }
}
