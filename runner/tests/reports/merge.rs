//! `parity report --merge`: two shards are one run, receipt by receipt.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use bitnet_runner::exit::Exit;
use bitnet_runner::receipt;

use crate::program::{Project, project, says};
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
