//! P01–P08: locks and suites that lie about names, places, types and addresses. Nothing is run,
//! fetched or made; single rules and their carets are the business of `formats`.

use bitnet_runner::exit::Exit;

use crate::program::Ended;
use crate::sandbox::{Model, Sandbox};

pub mod addresses;
pub mod names;
pub mod text;

/// Lines 1 to 6 of a suite; a case's own lines begin at line 7.
const HEAD: &str = "kind = \"parity\"\nanalysis = \"x\"\n[defaults]\nmodel = \"model\"\ntier = \"ci-light\"\n[[case]]\n";
const GOOD: &str = "name = \"a\"\nprompt = \"x\"\nsteps = 4\ntolerance = \"same-numerics\"\n";

fn suite() -> String {
    format!("{HEAD}{GOOD}")
}

/// A project with a good lock and one good suite.
fn project() -> (Sandbox, Model) {
    let model = Model::at("https://models.test/model.gguf");
    let sandbox = Sandbox::with(&[&model]);
    sandbox.write("project/suites/good.toml", suite().as_bytes());
    (sandbox, model)
}

/// Asserts that `args` are refused as wrong manifests, with these parts, and that nothing was made.
#[track_caller]
fn refused(sandbox: &Sandbox, args: &[&str], parts: &[&str]) -> Ended {
    let ended = sandbox.run(args).with(Exit::Usage).says(parts);
    assert_eq!(ended.out, "", "nothing is listed or fetched");
    assert!(!sandbox.cache().exists(), "something was made: {:?}", sandbox.files());
    ended
}

/// A good project whose lock has `to` for `from` is refused.
#[track_caller]
fn lock_refused(from: &str, to: &str, parts: &[&str]) -> Ended {
    let (sandbox, model) = project();
    let lock = format!("schema_version = 1\n{}", model.entry());
    let from = from.replace("{sha256}", &model.sha256());
    assert!(lock.contains(&from), "{from}");
    sandbox.write("project/models.toml", lock.replacen(&from, to, 1).as_bytes());
    refused(&sandbox, &["fetch"], parts);
    refused(&sandbox, &["run", "--list"], parts)
}

#[track_caller]
fn suite_refused(text: &str, parts: &[&str]) {
    let (sandbox, _) = project();
    sandbox.write("project/suites/bad.toml", text.as_bytes());
    refused(&sandbox, &["run", "--list"], parts);
    refused(&sandbox, &["run"], parts);
}
