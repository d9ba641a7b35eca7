//! `parity report`: the page stands alone, says what the receipts say, and is
//! made of ten thousand of them as well.

use std::fs;
use std::path::Path;
use std::time::Instant;

use bitnet_runner::exit::Exit;
use bitnet_runner::receipt::{BenchReceipt, Word, write_parity};
use serde_json::json;

use crate::comparisons::comparison;
use crate::program::{Project, project, says};
use crate::receipts::{receipt, three, write};

fn page(project: &Project, args: &[&str]) -> String {
    let mut all = vec!["report", "--out", "page.html"];
    all.extend(args);
    let ended = project.call(&all).with(Exit::Ok);
    assert_eq!((&*ended.out, &*ended.err), ("page.html\n", ""));
    fs::read_to_string(project.path("page.html")).expect("the page")
}

fn failing() -> BenchReceipt {
    let mut slow = receipt(0.5, 9);
    slow.case.id = "bench::speed::slow".into();
    slow.verdict.word = Word::Fail;
    slow.measured[0].verdict.word = Word::Fail;
    slow.measured[0].verdict.reasons = vec!["half as fast\u{1b}[2J <img src=x>".into()];
    slow
}

#[test]
fn a_page_stands_alone_and_opens_with_the_failure() {
    let project = project(&[]);
    let mut all = three(1.2, 1);
    all.push(failing());
    write(&project.path("r"), &all);
    let page = page(&project, &["r", "--bandwidth", "20"]);
    let (bad, good) =
        (page.find("bench::speed::slow").unwrap(), page.find(">bench::speed::small<"));
    assert!(bad < good.unwrap(), "the failure first");
    says(
        &page,
        &[
            "half as fast\\u{1b}[2J &lt;img src=x&gt;",
            "tg4: ratio over 3 receipts",
            "tg4: time of a token",
            "Roofline",
            "4 receipts",
            "from 2026-01-01T00:00:00Z to 2026-01-09T00:00:00Z",
            "default-src 'none'; style-src 'sha256-",
        ],
    );
    for elsewhere in ["http:", "https:", " src=", "@import", "url(", "style=\""] {
        let found = page.replace("&lt;img src=x&gt;", "").contains(elsewhere);
        assert!(!found, "`{elsewhere}` would need the policy's leave");
    }
    assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
    assert!(!page.contains("NaN"), "a place that is no number");
}

#[test]
fn what_is_no_receipt_is_named_and_nothing_is_written() {
    let project = project(&[]);
    write(&project.path("r"), &three(1.0, 1));
    fs::write(project.path("r/other.json"), "{}").expect("a file");
    let ended = project.call(&["report", "r"]).with(Exit::Usage);
    says(
        &ended.err,
        &["r/other.json is no receipt", "1 of 4 files are no receipts; nothing was written"],
    );
    assert!(!project.path("report.html").exists());
    fs::create_dir(project.path("empty")).expect("a folder");
    let ended = project.call(&["report", "empty"]).with(Exit::NothingSelected);
    says(&ended.err, &["error: no receipt in empty"]);
    project.call(&["report", "nowhere"]).with(Exit::Environment);
}

/// Everything that looks like markup, a command or hidden text in what an engine said.
const HOSTILE: &str = "</code><script>alert(1)</script>\u{1b}]0;x\u{7}\u{202e}";

#[test]
fn a_divergence_shows_its_rule_its_place_in_context_and_its_charts() {
    let project = project(&[]);
    let bad = comparison("prose::bad", 1.5, HOSTILE);
    let finding = bad.verdict.findings.first().expect("a rule that is not kept");
    let position = finding.position.expect("its place");
    for receipt in
        [&bad, &comparison("prose::near", 1e-4, " a"), &comparison("prose::same", 0.0, "b")]
    {
        write_parity(&project.path("r"), receipt).expect("written");
    }
    write(&project.path("r"), &three(1.2, 1)[..1]);
    let page = page(&project, &["r"]);
    let rule = finding.rule.replace("<", "&lt;").replace(">", "&gt;");
    says(
        &page,
        &[
            "1 DIVERGED",
            "1 EXACT",
            &rule,
            &format!("first bad position <b>{position}</b>"),
            &format!("<small>{position} · "),
            "&lt;/code&gt;&lt;script&gt;alert(1)&lt;/script&gt;\\u{1b}]0;x\\u{7}\\u{202e}",
            "prefill: distance by position",
            "decode: margin of the reference's choice, ",
            "prefill: all 27 rows equal to the bit",
            "class=\"dot bad-mark\"",
            "4 receipts",
        ],
    );
    assert_eq!(page.matches("<script>").count(), 1, "the page's own");
    let case = page.split("<details class=\"case bad\"").nth(1).expect("the failure");
    let (why, chart) = (case.find("class=\"why\""), case.find("<svg"));
    assert!(why.is_some() && why < chart, "the cause before the charts");
    assert!(case.find("class=\"context\"") < chart, "and its place");
    assert!(!page.contains("NaN"), "a place that is no number");
}

#[test]
fn a_cause_that_was_found_stands_with_its_case() {
    let project = project(&[]);
    write_parity(&project.path("r"), &comparison("prose::bad", 1.5, "a")).expect("written");
    let distance = |relative| json!({"relative": relative, "largest": relative, "worst": [1, 2], "equal-bits": 0.0});
    let level = |stage, relative: f64, flagged| {
        json!({"stage": stage, "tensor": "l_out", "distance": distance(relative), "noise": 1e-7,
               "jump": null, "flagged": flagged})
    };
    let found = json!({"reason": "localization", "id": "ci-light::parity::prose::bad", "localization": {
        "subject": "bitnet-engine", "reference": "bitnet-cpp 1.0.2", "positions": 4, "positions-of-case": 4,
        "finding": "operation", "tokens": null,
        "capture": {"subject-unchanged": true, "reference-unchanged": true},
        "profile": [level("embedding", 1e-8, false), level("layer 0", 0.3, true)],
        "nodes": [], "origin": null, "ladders": [], "decode": null,
    }});
    let lines = format!("{found}\n{}\n", json!({"reason": "summary"}));
    fs::write(project.path("localized.jsonl"), lines).expect("written");
    let page = page(&project, &["r", "--localized", "localized.jsonl"]);
    says(
        &page,
        &["Where it begins", "layer 0 l_out", "3.00e-1, noise 1.0e-7", "prefill of 4 positions"],
    );
    let rule =
        page.match_indices("<div class=\"why\"><p><b>").map(|(at, _)| at).collect::<Vec<_>>();
    let cause = page.find("Where it begins").expect("it is there");
    assert!(rule[0] < cause && rule[1] > cause, "the cause comes before all further rules");
    fs::write(project.path("bad.jsonl"), "{}\n").expect("written");
    let ended = project.call(&["report", "r", "--localized", "bad.jsonl"]).with(Exit::Usage);
    says(&ended.err, &["error: bad.jsonl: line 1: missing field `reason`", "nothing was written"]);
}

#[test]
fn ten_thousand_receipts_are_one_page() {
    let project = project(&[]);
    let folder = project.path("many");
    fs::create_dir(&folder).expect("a folder");
    // Every fourth one deserves a look, and has charts.
    let kinds = [0.0, 1e-5, 1e-4, 1.5].map(|noise| {
        let receipt = comparison("many::case", noise, " word");
        serde_json::to_string(&receipt).expect("JSON")
    });
    for index in 0..10_000 {
        let id = format!("parity::many-{}::case-{index}", index % 40);
        let json = kinds[index % 4].replace("parity::many::case", &id);
        fs::write(folder.join(format!("{index}.json")), json).expect("room");
    }
    let begun = Instant::now();
    let page = page(&project, &["many"]);
    println!(
        "10 000 receipts ({:.0} MB) to a page of {:.0} MB in {:.2} s",
        size(&folder) as f64 / 1e6,
        page.len() as f64 / 1e6,
        begun.elapsed().as_secs_f64()
    );
    assert_eq!(page.matches("<details class=\"case ").count(), 10_000);
    assert_eq!(page.matches(" open data-text=").count(), 20, "a browser lays these out at once");
}

fn size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).expect("the folder");
    entries.map(|entry| entry.and_then(|e| e.metadata()).expect("a file").len()).sum()
}
