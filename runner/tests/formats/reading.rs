//! What a good file becomes: cases, defaults and trials.

use bitnet_runner::models::ModelLock;
use bitnet_runner::suite::case::{Check, Prompt, Tier};
use bitnet_runner::suite::{self, trials};

use crate::project::{GOOD, HEAD, KNOWN, LOCK, one};

#[test]
fn ids_name_tier_kind_suite_case_and_variant() {
    let project = one(&format!(
        "{HEAD}{GOOD}variants = {{ threads = [1, 2], isa = [\"avx2\"] }}\n\
         [[case]]\nname = \"b\"\nmodel = \"large\"\ntier = \"integration\"\nprompt = \"y\"\nsteps = 0\ntolerance = \"self\"\n\
         variants = {{ threads = [3] }}\n"
    ));
    let suites = project.load().unwrap_or_else(|errors| panic!("{errors}"));
    let ids = |highest| -> Vec<(String, bool)> {
        trials(&suites, highest).into_iter().map(|t| (t.id, t.ignored.is_some())).collect()
    };
    assert_eq!(
        ids(Tier::CiLight),
        [
            ("ci-light::parity::x::a::threads-1-isa-avx2".to_owned(), false),
            ("ci-light::parity::x::a::threads-2-isa-avx2".to_owned(), false),
            ("integration::parity::x::b::threads-3".to_owned(), true),
        ]
    );
    assert!(ids(Tier::Integration).iter().all(|(_, ignored)| !ignored));
    assert_eq!(suites[0].cases[0].line, 6);
    assert_eq!(suites[0].cases[1].line, 12);
    assert_eq!(suites[0].sha256.len(), 64);
}

#[test]
fn each_reference_of_a_model_has_a_trial_and_the_first_keeps_the_plain_id() {
    let variants = "variants = { threads = [1, 2] }\n";
    let project = one(&format!("{HEAD}{GOOD}{variants}"));
    let lock = LOCK.replace("[\"bitnet-cpp\"]", "[\"bitnet-cpp\", \"llama-cpp\"]");
    project.write("models.toml", lock.as_bytes());
    let suites = project.load().unwrap_or_else(|errors| panic!("{errors}"));
    let found: Vec<_> = trials(&suites, Tier::CiLight)
        .into_iter()
        .map(|trial| (trial.id, trial.reference.unwrap_or_default()))
        .collect();
    let expected = [
        ("threads-1", "bitnet-cpp"),
        ("threads-2", "bitnet-cpp"),
        ("threads-1-reference-llama-cpp", "llama-cpp"),
        ("threads-2-reference-llama-cpp", "llama-cpp"),
    ];
    let expected = expected
        .map(|(variant, name)| (format!("ci-light::parity::x::a::{variant}"), name.to_owned()));
    assert_eq!(found, expected);
}

#[test]
fn a_case_overrides_the_defaults_and_one_prompt_replaces_another() {
    let text = "kind = \"parity\"\nanalysis = \"x\"\n[defaults]\nmodel = \"small\"\ntier = \"ci-light\"\n\
        prompt = \"from the defaults\"\nsteps = 4\ntolerance = \"self\"\n\
        [[case]]\nname = \"a\"\n[[case]]\nname = \"b\"\nprompt-tokens = [1, 2]\nsteps = 5\n\
        [[case]]\nname = \"c\"\nprompt-file = \"prompts/c.txt\"\n";
    let project = one(text);
    project.write("suites/prompts/c.txt", b"from the file\n");
    let suites = project.load().unwrap_or_else(|errors| panic!("{errors}"));
    let found: Vec<_> = suites[0]
        .cases
        .iter()
        .map(|case| match &case.check {
            Check::Parity(check) => (check.prompt.clone(), check.steps),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        found,
        [
            (Prompt::Text("from the defaults".into()), 4),
            (Prompt::Tokens(vec![1, 2]), 5),
            (Prompt::Text("from the file\n".into()), 4),
        ]
    );
}

#[test]
fn the_folder_may_be_written_in_any_way() {
    let project = one(&format!("{HEAD}{GOOD}"));
    let lock = ModelLock::read(&project.path("models.toml")).unwrap_or_else(|e| panic!("{e}"));
    for folder in ["suites/", "suites/.", "./suites", "suites/../suites"] {
        let suites = suite::load(&project.path(folder), &lock, &KNOWN)
            .unwrap_or_else(|errors| panic!("{folder}: {errors}"));
        assert_eq!(suites.len(), 1, "{folder}");
    }
}
