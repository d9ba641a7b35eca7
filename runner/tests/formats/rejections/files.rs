//! Rules about files, broken: where suites and prompts lie, what they are called, and what is no TOML 1.0.

use std::fs;

use crate::project::{GOOD, HEAD, Project, one, refused, says, says_only};

#[test]
fn nothing_to_run_is_an_error() {
    says_only(
        &refused("kind = \"parity\"\nanalysis = \"x\"\n"),
        &[
            "error: a suite has at least one case",
            "--> suites/x.toml:1:1",
            "a suite of nothing would pass",
        ],
    );
    says_only(
        &refused("kind = \"parity\"\nanalysis = \"x\"\ncase = []\n"),
        &["error: a suite has at least one case", "--> suites/x.toml:3:8", "^^ no `[[case]]` here"],
    );
    says_only(
        &Project::new(&[]).errors(),
        &["error: the folder holds no suite; a run of nothing would pass\n--> suites"],
    );
    says(
        &refused(""),
        &["a suite file needs the key `kind`", "a suite file needs the key `analysis`"],
    );
    let project = Project::new(&[]);
    fs::remove_dir(project.path("suites")).expect("removed");
    says_only(&project.errors(), &["error: there is no such folder\n--> suites"]);
}

#[test]
fn names_are_checked_and_unique() {
    says_only(
        &refused(&format!("{HEAD}{GOOD}[[case]]\n{GOOD}")),
        &[
            "error: two cases are named `a`",
            "--> suites/x.toml:12:8",
            "the first",
            "^^^ the second",
            "baselines hang on them",
        ],
    );
    for (name, why) in [
        ("Two", "`T` is not allowed in a name"),
        ("../x", "`.` is not allowed in a name"),
        ("a--b", "a `-` stands only between letters or digits"),
        ("nul", "the name is a device on Windows"),
    ] {
        says_only(
            &refused(&format!("{HEAD}{}", GOOD.replace("\"a\"", &format!("\"{name}\"")))),
            &[
                "error: a name matches ^[a-z0-9]+(-[a-z0-9]+)*$",
                "--> suites/x.toml:7:8",
                &format!("^ {why}"),
            ],
        );
    }
    says_only(
        &refused(&format!("{}{GOOD}", HEAD.replace("model =", "name = \"a\"\nmodel ="))),
        &[
            "error: a name is a case's own and has no default",
            "--> suites/x.toml:4:1",
            "^^^^ move it",
        ],
    );
    let good = format!("{HEAD}{GOOD}");
    let project = Project::new(&[("suites/Big.toml", good.as_bytes())]);
    says_only(
        &project.errors(),
        &["the file's stem is the suite's name", "--> suites/Big.toml", "`B` is not allowed"],
    );
}

#[test]
fn prompt_files_stay_inside_the_folder() {
    for path in ["../secret.txt", "/etc/passwd", "prompts/../../x", "C:/x", "a\\\\b", ""] {
        says_only(
            &refused(&format!(
                "{HEAD}{}",
                GOOD.replace("prompt = \"x\"", &format!("prompt-file = \"{path}\""))
            )),
            &[
                "error: `prompt-file` is a relative path inside the suites folder",
                "--> suites/x.toml:8:15",
                "^ only names joined by `/`, no `..`",
            ],
        );
    }
    let asks = format!("{HEAD}{}", GOOD.replace("prompt = \"x\"", "prompt-file = \"p.txt\""));
    let place = "--> suites/x.toml:8:15";
    let rule = "error: `prompt-file` names a file that can be read";
    says_only(&refused(&asks), &[rule, place, "^^^^^^^ the file cannot be opened"]);
    let with = |bytes: &[u8]| {
        let project = one(&asks);
        project.write("suites/p.txt", bytes);
        project.errors()
    };
    says_only(&with(b"ok\xff"), &[rule, place, "the file is not UTF-8: byte 2 is invalid"]);
    says_only(
        &with(&vec![b'x'; 256 * 1024 + 1]),
        &[rule, place, "larger than the limit of 262144 bytes"],
    );
    says_only(&with(b""), &["error: a prompt is not empty", place]);
    let project = one(&asks);
    fs::create_dir(project.path("suites/p.txt")).expect("a folder");
    says_only(&project.errors(), &[rule, place, "this is not a regular file"]);
}

#[cfg(unix)]
#[test]
fn links_do_not_lead_out() {
    use std::os::unix::fs::symlink;
    let project =
        one(&format!("{HEAD}{}", GOOD.replace("prompt = \"x\"", "prompt-file = \"p.txt\"")));
    project.write("secret.txt", b"secret");
    symlink(project.path("secret.txt"), project.path("suites/p.txt")).expect("a link");
    says_only(
        &project.errors(),
        &[
            "`prompt-file` is a relative path inside the suites folder",
            "--> suites/x.toml:8:15",
            "a link leads out of it",
        ],
    );

    let project = Project::new(&[("out.toml", format!("{HEAD}{GOOD}").as_bytes())]);
    symlink(project.path("out.toml"), project.path("suites/x.toml")).expect("a link");
    says_only(
        &project.errors(),
        &["error: this link leads out of the suites folder\n--> suites/x.toml"],
    );

    // A folder that contains itself: the search ends and every copy is reported or none is found.
    let project = one(&format!("{HEAD}{GOOD}"));
    fs::create_dir(project.path("suites/loop")).expect("a folder");
    symlink(project.path("suites/loop"), project.path("suites/loop/loop")).expect("a link");
    assert_eq!(project.load().unwrap_or_else(|errors| panic!("{errors}")).len(), 1);
}

#[test]
fn a_suite_in_the_wrong_place_is_not_passed_over() {
    let good = format!("{HEAD}{GOOD}");
    let project = Project::new(&[
        ("suites/x.toml", good.as_bytes()),
        ("suites/more/y.toml", good.as_bytes()),
    ]);
    says_only(
        &project.errors(),
        &["error: a suite lies directly in suites; move this file there\n--> suites/more/y.toml"],
    );
    // Nothing reads a table of engines: it would look like a setting and be none.
    let project =
        Project::new(&[("suites/x.toml", good.as_bytes()), ("suites/engines.toml", b"[engine]\n")]);
    says(
        &project.errors(),
        &["error: unknown key `engine` in a suite file", "--> suites/engines.toml:1:2"],
    );
}

#[test]
fn text_that_is_not_toml_1_0_is_refused() {
    says(&refused("kind = \n"), &["error: this is not valid TOML", "--> suites/x.toml:1:"]);
    says_only(
        &refused(&format!("{HEAD}{GOOD}steps = 5\n")),
        &["error: this is not valid TOML", "--> suites/x.toml:11:1", "duplicate key"],
    );
    says_only(
        &refused(&format!("{HEAD}{GOOD}variants = {{ threads = [1], }}\n")),
        &[
            "error: TOML 1.1 syntax is refused; write TOML 1.0",
            "--> suites/x.toml:11:27",
            "^ a comma behind the last key",
        ],
    );
    says_only(
        &refused(&format!("{HEAD}{}", GOOD.replace("\"x\"", "\"\\e[31m\""))),
        &["TOML 1.1 syntax is refused", "--> suites/x.toml:8:11", "the escape `\\e` or `\\x`"],
    );
    let deep = format!("kind = {}{}\n", "[".repeat(5000), "]".repeat(5000));
    says(&refused(&deep), &["error: this is not valid TOML"]);
    says_only(
        &Project::new(&[("suites/x.toml", b"kind = \"\xff\"\n")]).errors(),
        &["error: the file is not UTF-8: byte 8 is invalid\n--> suites/x.toml"],
    );
    says_only(
        &Project::new(&[("suites/x.toml", &vec![b'#'; 1024 * 1024 + 1])]).errors(),
        &["error: the file is larger than the limit of 1048576 bytes\n--> suites/x.toml"],
    );
    let windows = format!("\u{feff}{}", format!("{HEAD}{GOOD}").replace('\n', "\r\n"));
    assert_eq!(one(&windows).load().unwrap_or_else(|errors| panic!("{errors}")).len(), 1);
}
