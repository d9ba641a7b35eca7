//! How errors are shown together: in order, once, and without control over the terminal.

use crate::project::{GOOD, HEAD, Project, refused, says};

#[test]
fn all_errors_of_all_files_are_reported_once_and_in_order() {
    let project = Project::new(&[
        ("suites/b.toml", format!("{HEAD}{GOOD}stepz = 1\n").as_bytes()),
        (
            "suites/a.toml",
            format!(
                "{}nane = \"a\"\nprompt = 3\nsteps = -1\ntolerance = \"self\"\n[[case]]\n{GOOD}",
                HEAD.replace("\"small\"", "\"huge\"")
            )
            .as_bytes(),
        ),
    ]);
    let message = project.errors();
    let places: Vec<&str> =
        message.lines().filter_map(|line| line.trim().strip_prefix("--> suites/")).collect();
    assert_eq!(
        places,
        ["a.toml:4:9", "a.toml:7:1", "a.toml:8:10", "a.toml:9:9", "b.toml:11:1"],
        "{message}"
    );
    assert!(message.ends_with("5 errors; nothing was run"), "{message}");
}

#[test]
fn what_a_file_says_cannot_steer_the_terminal() {
    let message = refused(&format!(
        "{HEAD}{}",
        GOOD.replace("name = \"a\"", "name = \"\\u001b[31m\"\n\"\\u001b[2J\" = 1")
    ));
    assert!(!message.contains('\u{1b}'), "{message:?}");
    says(&message, &["unknown key `\\u{1b}[2J` in a case", "`\\u{1b}` is not allowed in a name"]);
}
