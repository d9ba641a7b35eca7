//! Reports of runs: JUnit, Markdown, GitHub's annotations and step summary, JSON lines; pages of receipts;
//! and `parity new`. Its projects need no model and no reference (matrices there and back); what needs both
//! takes them from the shipped one.

mod comparisons;
mod html;
mod merge;
mod new_case;
mod positions;
mod program;
#[path = "../baselines/receipts.rs"]
mod receipts;

use std::fs;

use bitnet_runner::exit::Exit;
use quick_junit::{NonSuccessKind, Report, TestCaseStatus};
use serde_json::Value;

use program::{Ended, mixed, project, says};

#[test]
fn junit_tells_what_passed_failed_and_was_left_out() {
    let project = mixed();
    let ended = project.call(&["run", "--junit", "out/junit.xml"]).with(Exit::CaseFailed);
    says(&ended.out, &["1 passed, 1 failed; 1 ignored"]);
    let text = fs::read_to_string(project.path("out/junit.xml")).expect("the report");
    let report = Report::deserialize_from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
    let [light, integration] = &report.test_suites[..] else { panic!("{text}") };
    assert_eq!(light.name.as_str(), "ci-light::quantization::mixed");
    assert_eq!(integration.name.as_str(), "integration::quantization::mixed");
    assert_eq!((report.tests, report.failures, report.errors), (3, 1, 0));
    let [good, bad] = &light.test_cases[..] else { panic!("{text}") };
    assert!(matches!(good.status, TestCaseStatus::Success { .. }), "{good:?}");
    let TestCaseStatus::NonSuccess { kind, message, ty, description, .. } = &bad.status else {
        panic!("{bad:?}")
    };
    assert_eq!(
        (*kind, ty.as_ref().map(|ty| ty.as_str())),
        (NonSuccessKind::Failure, Some("judged"))
    );
    let said = description.as_ref().expect("the story").as_str();
    assert!(said.starts_with(message.as_ref().expect("its head").as_str()), "{said}");
    says(
        said,
        &[
            "case: suites/mixed.toml:",
            "rerun: cargo parity run --exact 'ci-light::quantization::mixed::bad'",
        ],
    );
    let TestCaseStatus::Skipped { message, .. } = &integration.test_cases[0].status else {
        panic!("{integration:?}")
    };
    says(message.as_ref().expect("why").as_str(), &["set BITNET_TIER=integration"]);
}

#[test]
fn markdown_holds_the_table_the_failure_and_what_it_rests_on() {
    let project = mixed();
    project.call(&["run", "--markdown", "summary.md"]).with(Exit::CaseFailed);
    let text = fs::read_to_string(project.path("summary.md")).expect("the report");
    says(
        &text,
        &[
            "## ❌ Parity: 1 passed, 1 failed, 1 ignored\n",
            "| `ci-light::quantization::mixed` | 1 | **1** | 0 |",
            "\n### `ci-light::quantization::mixed::bad`\n\n```text\n",
            "rerun: cargo parity run --exact 'ci-light::quantization::mixed::bad'",
            "ignored 1: tier integration is above ci-light; set BITNET_TIER=integration",
            "subject: bitnet-engine",
        ],
    );
}

#[test]
fn github_gets_annotations_behind_a_silent_log_and_a_step_summary() {
    let project = mixed();
    for (explicit, args) in [(false, &["run"][..]), (true, &["run", "--format", "github"])] {
        let summary = project.path("step.md");
        let mut command = project.command(args);
        command.env("GITHUB_STEP_SUMMARY", &summary);
        if !explicit {
            command.env("GITHUB_ACTIONS", "true");
        }
        let ended = Ended::of(command.output().expect("the program runs")).with(Exit::CaseFailed);
        let lines: Vec<&str> = ended.out.lines().collect();
        let token = lines[0].strip_prefix("::stop-commands::").expect("the log is silent first");
        let end = lines.iter().position(|line| *line == format!("::{token}::")).expect("its end");
        let [error] = lines[end + 1..] else { panic!("{:?}", &lines[end + 1..]) };
        says(
            error,
            &[
                "::error file=suites/mixed.toml,line=",
                "title=ci-light%3A%3Aquantization%3A%3Amixed%3A%3Abad::",
                "%0A  rerun: cargo parity run --exact 'ci-light::quantization::mixed::bad'",
            ],
        );
        let text = fs::read_to_string(&summary).expect("the summary");
        says(&text, &["## ❌ Parity: 1 passed, 1 failed, 1 ignored\n"]);
        fs::remove_file(&summary).expect("removed");
    }
    // A format that was asked for is not changed by the surroundings.
    let mut command = project.command(&["run", "--format", "human"]);
    let output = command.env("GITHUB_ACTIONS", "true").output().expect("the program runs");
    assert!(!Ended::of(output).out.contains("::error"), "no annotation");
}

#[test]
fn json_lines_name_every_trial_with_its_place() {
    let project = mixed();
    let ended = project.call(&["run", "--format", "json"]).with(Exit::CaseFailed);
    let lines: Vec<Value> =
        ended.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let [good, bad, above, summary] = &lines[..] else { panic!("{} lines", lines.len()) };
    for (line, outcome) in [(good, "passed"), (bad, "failed"), (above, "ignored")] {
        assert_eq!((&line["reason"], &line["outcome"]), (&"trial".into(), &outcome.into()));
        assert_eq!(line["file"], "suites/mixed.toml");
        assert!(line["line"].as_u64().is_some_and(|line| line > 1), "{line}");
    }
    assert_eq!(bad["cause"], "judged");
    assert_eq!(summary["summary"]["failures"][0], bad["id"]);
}

#[test]
fn a_report_that_cannot_be_written_is_told_and_no_success() {
    let project = project(&[("good.toml", program::GOOD)]);
    fs::write(project.path("file"), "").expect("a file");
    let ended = project.call(&["run", "--junit", "file/junit.xml"]).with(Exit::ReportNotWritten);
    says(&ended.out, &["1 passed, 0 failed"]);
    says(&ended.err, &["error: cannot write the report 'file/junit.xml': "]);
}

#[test]
fn a_failure_is_printed_at_once_again_at_the_end_and_named_in_the_last_lines() {
    let ended = mixed().call(&["run"]).with(Exit::CaseFailed);
    let rerun = "  rerun: cargo parity run --exact 'ci-light::quantization::mixed::bad'";
    assert_eq!(ended.out.matches(rerun).count(), 2, "{}", ended.out);
    let (_, last) = ended.out.trim_end().rsplit_once("\n\n").expect("a last block");
    says(last, &["2 trials run in ", "\n  failed: ci-light::quantization::mixed::bad\n"]);
}
