//! The formats as their authors meet them: the shipped files load, what is generated is current, and
//! each broken rule is reported with its place, its words and the next step. Runs no case.

mod lock;
mod project;
mod reading;
mod rejections;

use std::fs;
use std::path::{Path, PathBuf};

use bitnet_runner::compare::quantization::limits_markdown;
use bitnet_runner::models::{ModelLock, ModelSource};
use bitnet_runner::receipt;
use bitnet_runner::suite::case::{Check, Prompt, Relation, Suite, Tier};
use bitnet_runner::suite::{self, schema, trials};

use project::{KNOWN, one};

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package has a parent").to_owned()
}

fn shipped() -> Vec<Suite> {
    let lock = ModelLock::read(&project().join("models.toml")).unwrap_or_else(|e| panic!("{e}"));
    suite::load(&project().join("suites"), &lock, &KNOWN).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn every_shipped_suite_loads_and_the_index_lists_exactly_them() {
    let suites = shipped();
    let index = fs::read_to_string(project().join("suites/README.md")).expect("the index");
    let linked = |extension: &str| -> Vec<String> {
        let mut names: Vec<String> = index
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split_once(')'))
            .map(|(target, _)| target.to_owned())
            .filter(|target| target.ends_with(extension) && !target.starts_with(".."))
            .collect();
        names.sort();
        names
    };
    let mut files: Vec<String> =
        suites.iter().map(|suite| format!("{}.toml", suite.name)).collect();
    files.sort();
    assert_eq!(linked(".toml"), files);
    let mut prompts: Vec<String> = fs::read_dir(project().join("suites/prompts"))
        .expect("the prompts")
        .map(|entry| format!("prompts/{}", entry.expect("an entry").file_name().display()))
        .collect();
    prompts.sort();
    assert_eq!(linked(".txt"), prompts);
}

#[test]
fn the_shipped_suites_hold_what_the_tier_promises() {
    let suites = shipped();
    let listed = trials(&suites, Tier::CiLight);
    let run: Vec<_> = listed.iter().filter(|trial| trial.ignored.is_none()).collect();
    assert!(run.len() >= 44, "{} trials in tier ci-light", run.len());
    assert!(run.iter().all(|trial| trial.id.starts_with("ci-light::")));
    let ignored: Vec<_> = listed.iter().filter(|trial| trial.ignored.is_some()).collect();
    assert!(ignored.iter().all(|trial| trial.id.starts_with("integration::")));
    assert_eq!(
        ignored[0].ignored.as_deref(),
        Some("tier integration is above ci-light; set BITNET_TIER=integration")
    );
    let steps_64 = |wanted| {
        suites.iter().flat_map(|suite| &suite.cases).any(|case| {
            case.tier == wanted && matches!(&case.check, Check::Parity(check) if check.steps == 64)
        })
    };
    assert!(steps_64(Tier::CiLight) && steps_64(Tier::Integration));
    for suite in &suites {
        for case in &suite.cases {
            assert!(case.analysis.is_some(), "{}: {} has no analysis", suite.name, case.name);
        }
    }
}

/// The first tier stays short: as much work for each engine as 12 000 tokens through `ci-light`, counting
/// three bytes of text a token, two passes (greedy and teacher-forced) where there are steps, and for each
/// token the bytes of its model.
#[test]
fn the_first_tier_stays_small() {
    let suites = shipped();
    let lock = ModelLock::read(&project().join("models.toml")).unwrap_or_else(|e| panic!("{e}"));
    let bytes = |id: &str| lock.get(id).expect("a pinned model").bytes;
    let tokens = |prompt: &Prompt| match prompt {
        Prompt::Text(text) => text.len().div_ceil(3) + 1,
        Prompt::Tokens(ids) => ids.len(),
    };
    let mut total = 0;
    for trial in trials(&suites, Tier::CiLight).iter().filter(|trial| trial.ignored.is_none()) {
        let case = &suites[trial.suite].cases[trial.case];
        let tokens = match &case.check {
            Check::Parity(check) if check.steps == 0 => tokens(&check.prompt),
            Check::Parity(check) => 2 * (tokens(&check.prompt) + check.steps),
            Check::Metamorphic(check) => {
                let runs = match &check.relation {
                    Relation::Threads(values) => values.len(),
                    Relation::Isa(values) => values.len(),
                    _ => 3,
                };
                runs * tokens(&check.prompt)
            }
            Check::Tokenizer(_) | Check::Reject(_) | Check::Quantization(_) | Check::Bench(_) => {
                continue;
            }
        };
        let model = case.model.as_deref().expect("what is computed with has a model");
        total += tokens as u64 * bytes(model);
    }
    let tokens = total / bytes("ci-light");
    assert!(tokens <= 12_000, "as much as {tokens} tokens through ci-light");
}

#[test]
fn the_shipped_lock_pins_synthetic_and_official_models() {
    let lock = ModelLock::read(&project().join("models.toml")).unwrap_or_else(|e| panic!("{e}"));
    let ids: Vec<&str> = lock.models().iter().map(|model| model.id.as_str()).collect();
    for id in ["ci-light", "synth-2b-4t-i2s", "bitnet-2b-4t"] {
        assert!(ids.contains(&id), "{id} is missing from {ids:?}");
    }
    for model in lock.models() {
        assert_ne!(model.sha256, "0".repeat(64), "{}: a placeholder pins nothing", model.id);
    }
    let official = lock.get("bitnet-2b-4t").expect("the entry");
    assert_eq!(official.bytes, 1_187_801_280);
    assert!(
        matches!(&official.source, ModelSource::HuggingFace { file, .. } if file == "ggml-model-i2_s.gguf")
    );
    assert!(
        matches!(&lock.get("ci-light").expect("the entry").source, ModelSource::Synth(synth) if synth.preset == "ci-light")
    );
}

/// Compares a generated text with its place in the project; `BITNET_UPDATE=1` writes it there.
fn generated(path: &Path, current: &str, wanted: &str) {
    if current == wanted {
        return;
    }
    if std::env::var_os("BITNET_UPDATE").is_some_and(|value| value == "1") {
        fs::write(path, wanted).expect("the generated text is written");
        return;
    }
    panic!(
        "{} is not current; run: BITNET_UPDATE=1 cargo test -p bitnet-runner --test formats",
        path.display()
    );
}

#[test]
fn the_schema_is_current() {
    let path = project().join("docs/suite.schema.json");
    let current = fs::read_to_string(&path).unwrap_or_default();
    generated(&path, &current, &schema::json());
}

#[test]
fn the_schema_of_receipts_is_current() {
    let path = project().join("docs/receipt.schema.json");
    let current = fs::read_to_string(&path).unwrap_or_default();
    generated(&path, &current, &receipt::schema::json());
}

/// The text `current` with `generated` between the markers of `name`.
fn between(current: &str, name: &str, generated: &str) -> String {
    let (begin, end) = (format!("<!-- {name}: begin -->\n"), format!("<!-- {name}: end -->\n"));
    let (before, rest) = current.split_once(&begin).expect("the marker where the tables begin");
    let (_, after) = rest.split_once(&end).expect("the marker where the tables end");
    format!("{before}{begin}{generated}{end}{after}")
}

#[test]
fn the_reference_is_current() {
    let path = project().join("docs/suite-format.md");
    let current = fs::read_to_string(&path).expect("the reference");
    let tables = format!("\n{}\n", schema::key_tables());
    generated(&path, &current, &between(&current, "generated from the schema", &tables));
}

#[test]
fn the_limits_of_tensor_types_are_current() {
    let path = project().join("docs/quantization.md");
    let current = fs::read_to_string(&path).expect("the document");
    generated(&path, &current, &between(&current, "limits", &limits_markdown()));
}

/// Every example of the reference that is marked `toml suite` must load.
#[test]
fn the_examples_of_the_reference_load() {
    let text = fs::read_to_string(project().join("docs/suite-format.md")).expect("the reference");
    let examples: Vec<&str> = text
        .split("```toml suite\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap_or_default())
        .collect();
    assert!(examples.len() >= 4, "{} examples", examples.len());
    let lock = ModelLock::read(&project().join("models.toml")).unwrap_or_else(|e| panic!("{e}"));
    for example in examples {
        let project = one(example);
        project.write("suites/prompts/four-pages.txt", b"pages\n");
        suite::load(&project.path("suites"), &lock, &KNOWN)
            .unwrap_or_else(|errors| panic!("{errors}"));
    }
}
