//! A run as JUnit XML, which CI systems show as tests. A comparison that was made and failed is a
//! `failure`; what could not be compared is an `error`. It decides neither.

use std::collections::BTreeMap;
use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, SerializeError, TestCase, TestCaseStatus, TestSuite};

use super::Ended;
use crate::run::{Cause, Outcome};

/// The document: a `testsuite` for each `<tier>::<kind>::<suite>`, a `testcase` for each trial.
///
/// # Errors
/// If a text has no XML.
pub fn document(trials: &[Ended], seconds: f64) -> Result<String, SerializeError> {
    let mut suites: BTreeMap<&str, TestSuite> = BTreeMap::new();
    let mut times: BTreeMap<&str, f64> = BTreeMap::new();
    for trial in trials {
        let (group, name) = trial.group_and_name();
        let mut case = TestCase::new(name, status(trial));
        case.set_classname(group).set_time(duration(trial.seconds));
        case.extra.insert("file".into(), trial.file.as_str().into());
        case.extra.insert("line".into(), trial.line.to_string().into());
        if let Outcome::Passed { line, .. } = &trial.outcome {
            case.set_system_out(line);
        }
        suites.entry(group).or_insert_with(|| TestSuite::new(group)).add_test_case(case);
        *times.entry(group).or_default() += trial.seconds;
    }
    let mut report = Report::new("parity");
    report.set_time(duration(seconds));
    for (group, mut suite) in suites {
        suite.set_time(duration(times.get(group).copied().unwrap_or_default()));
        report.add_test_suite(suite);
    }
    report.to_string()
}

fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

fn status(trial: &Ended) -> TestCaseStatus {
    match &trial.outcome {
        Outcome::Passed { .. } => TestCaseStatus::success(),
        Outcome::Ignored { reason } => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(reason);
            status
        }
        Outcome::Failed { cause, text, .. } => {
            let (kind, name) = match cause {
                Cause::Judged => (NonSuccessKind::Failure, "judged"),
                Cause::Engine => (NonSuccessKind::Error, "engine"),
                Cause::Missing => (NonSuccessKind::Error, "missing"),
                Cause::Load => (NonSuccessKind::Error, "load"),
            };
            let mut status = TestCaseStatus::non_success(kind);
            status
                .set_type(name)
                .set_message(trial.headline())
                .set_description(format!("{text}\n{}", trial.footer));
            status
        }
    }
}
