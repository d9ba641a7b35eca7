//! `parity new`: what it writes loads at once, beside defaults as well, and nothing is overwritten.

use std::fs;

use bitnet_runner::exit::Exit;
use bitnet_runner::suite::Kind;

use crate::program::{GOOD, project, says};

#[test]
fn a_new_case_of_every_kind_is_valid_at_once_alone_and_beside_another() {
    for kind in Kind::ALL {
        let project = project(&[("good.toml", GOOD)]);
        let first = ["new", "fresh/one", "--kind", kind.name()];
        let ended = project.call(&first).with(Exit::Ok);
        assert_eq!(ended.out, "suites/fresh.toml:8\n", "{kind}");
        says(&ended.err, &["next: edit it, then run it: cargo parity run ::fresh::one"]);
        let ended = project.call(&["new", "fresh/two"]).with(Exit::Ok);
        let text = fs::read_to_string(project.path("suites/fresh.toml")).expect("the suite");
        let line: usize = ended.out.trim().rsplit(':').next().expect("a line").parse().expect("it");
        assert_eq!(text.lines().nth(line - 1), Some("[[case]]"), "{text}");
        assert!(text.starts_with("#:schema ../docs/suite.schema.json\n"), "{text}");
        let listed = project.call(&["run", "--list", "fresh"]).with(Exit::Ok).out;
        says(&listed, &[&format!("::{kind}::fresh::one\n"), &format!("::{kind}::fresh::two\n")]);
    }
}

#[test]
fn a_new_case_of_a_matrix_passes_as_it_was_written() {
    let project = project(&[("good.toml", GOOD)]);
    project.call(&["new", "fresh/one", "--kind", "quantization"]).with(Exit::Ok);
    let ended = project.call(&["run", "fresh"]).with(Exit::Ok);
    says(&ended.out, &["1 trials run in ", ": 1 passed, 0 failed"]);
}

#[test]
fn what_the_defaults_hold_is_a_comment_and_the_rest_of_the_file_stays() {
    let suite = "kind = \"parity\" # mine\nanalysis = \"x\"\n[defaults]\nmodel = \"ci-light\"\n\
                 tier = \"ci-light\"\nsteps = 4\nprompt-tokens = [1]\ntolerance = \"same-numerics\"\n\
                 [[case]]\nname = \"a\"";
    let project = project(&[("mine.toml", suite)]);
    project.call(&["new", "mine/b"]).with(Exit::Ok);
    let text = fs::read_to_string(project.path("suites/mine.toml")).expect("the suite");
    let added = text.strip_prefix(suite).expect("what was there stays");
    says(added, &["\n# steps = 16 ", "# from [defaults]; greedy steps", "\n# prompt = "]);
    assert!(!added.contains("\nsteps"), "{added}");
}

#[test]
fn a_name_that_is_there_another_kind_and_bad_names_change_nothing() {
    let project = project(&[("good.toml", GOOD)]);
    for (args, complaint) in [
        (&["new", "good/good"][..], "error: suites/good.toml:3 is 'good' already"),
        (
            &["new", "good/b", "--kind", "parity"],
            "is of kind quantization, and a file has one kind",
        ),
        (&["new", "good"], "error: 'good' is not SUITE/CASE, such as prose/two-kettles"),
        (&["new", "../x/y"], "error: '..': `.` is not allowed in a name"),
        (&["new", "good/B"], "error: 'B': `B` is not allowed in a name"),
        (&["new", "a/b", "--kind", "speed"], "kinds are parity, tokenizer, metamorphic, reject"),
    ] {
        let ended = project.call(args).with(Exit::Usage);
        says(&ended.err, &[complaint]);
        assert_eq!(ended.out, "", "{args:?}");
    }
    let files: Vec<_> = fs::read_dir(project.path("suites")).expect("it").collect();
    assert_eq!(files.len(), 1, "nothing was made");
    assert_eq!(fs::read_to_string(project.path("suites/good.toml")).expect("the suite"), GOOD);
}
