//! `parity report --merge`: two shards are one run, receipt by receipt. Made receipts are compared by their
//! bytes, those of runs by all that does not tell the time.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use bitnet_runner::exit::Exit;
use bitnet_runner::receipt;
use serde_json::Value;

use crate::program::{Project, project, says, shipped};
use crate::receipts::receipt;

/// Receipts of six trials in `whole`, and the same in `one` and `two` by halves.
fn shards(project: &Project) {
    for index in 0..6 {
        let mut one = receipt(1.0, index + 1);
        one.case.id = format!("bench::speed::case-{index}");
        let shard = if index % 2 == 0 { "one" } else { "two" };
        for folder in ["whole", shard] {
            receipt::write(&project.path(folder), &one).expect("written");
        }
    }
}

fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).expect("the folder");
    entries
        .map(|entry| entry.expect("an entry"))
        .map(|e| (e.file_name().display().to_string(), fs::read(e.path()).expect("a file")))
        .collect()
}

#[test]
fn two_shards_are_one_run_receipt_by_receipt() {
    let project = project(&[]);
    shards(&project);
    let ended = project.call(&["report", "--merge", "joined", "one", "two"]).with(Exit::Ok);
    assert_eq!(ended.out, "joined\n");
    let (whole, joined) = (contents(&project.path("whole")), contents(&project.path("joined")));
    assert_eq!(whole.len(), 6);
    assert_eq!(joined, whole);
    // A shard that is given twice is one.
    project.call(&["report", "--merge", "again", "one", "two", "whole"]).with(Exit::Ok);
    assert_eq!(contents(&project.path("again")), whole);
}

#[test]
fn two_results_of_one_trial_are_no_shards() {
    let project = project(&[]);
    shards(&project);
    let mut other = receipt(0.5, 20);
    other.case.id = "bench::speed::case-0".into();
    receipt::write(&project.path("three"), &other).expect("written");
    let args = ["report", "--merge", "joined", "one", "three"];
    let ended = project.call(&args).with(Exit::ReportNotWritten);
    says(&ended.err, &["are of the same trial and differ: they are not shards of one run"]);
    assert_eq!(contents(&project.path("joined")).len(), 0, "nothing was written");
    let ended = project.call(&["report", "--merge", "one", "two"]).with(Exit::ReportNotWritten);
    says(&ended.err, &["error: 'one' is not empty; name a new folder for --merge"]);
}

/// Runs the trials of the suite `smoke`, or one shard of them, and gives their number.
fn run_smoke(folder: &Path, shard: Option<&str>) -> usize {
    let folder = folder.to_str().expect("UTF-8");
    let mut args = vec!["run", "ci-light::parity::smoke::", "--receipts", folder];
    args.extend(shard.map(|shard| ["--shard", shard]).into_iter().flatten());
    shipped(&args).with(Exit::Ok);
    contents(Path::new(folder)).len()
}

/// The receipts of a folder without what tells the time, by their names.
fn timeless(folder: &Path) -> BTreeMap<String, Value> {
    let receipt = |(name, bytes): (String, Vec<u8>)| {
        let mut json: Value = serde_json::from_slice(&bytes).expect("JSON");
        for field in ["time", "seconds", "digest"] {
            json.as_object_mut().and_then(|json| json.remove(field)).expect(field);
        }
        (name, json)
    };
    contents(folder).into_iter().map(receipt).collect()
}

#[test]
fn a_suite_that_runs_in_two_shards_has_the_receipts_of_one_run() {
    let project = project(&[]);
    let path = |name| project.path(name);
    let whole = run_smoke(&path("whole"), None);
    let (one, two) = (run_smoke(&path("one"), Some("1/2")), run_smoke(&path("two"), Some("2/2")));
    assert!(one > 0 && two > 0 && one + two == whole, "{one} and {two} of {whole}");
    project.call(&["report", "--merge", "joined", "one", "two"]).with(Exit::Ok);
    let (whole, joined) = (timeless(&path("whole")), timeless(&path("joined")));
    assert_eq!(whole.keys().collect::<Vec<_>>(), joined.keys().collect::<Vec<_>>());
    for (name, receipt) in &whole {
        assert_eq!(receipt, &joined[name], "{name}");
    }
    let verified = project.call(&["receipt", "verify", "joined"]).with(Exit::Ok);
    says(&verified.out, &[&format!("{0} receipts: {0} sound, 0 refused", whole.len())]);
}

#[test]
fn a_shard_that_holds_no_trial_is_told() {
    let last = ["run", "ci-light::parity::smoke::", "--shard", "999/999"];
    let ended = shipped(&last).with(Exit::NothingSelected);
    let words = r#"no trial matches ["ci-light::parity::smoke::"] in shard 999/999"#;
    says(&ended.err, &[words]);
    let ended = shipped(&["run", "--shard", "0/2"]).with(Exit::Usage);
    says(&ended.err, &["M/N with M from 1 to N, such as 1/2"]);
}
