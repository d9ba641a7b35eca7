//! What a file does not say of its ternary matrices: the flags that state it, and what a wrong statement
//! ends with.

use bitnet_engine::exit::Exit;
use bitnet_engine::quant::i2_s::FileLayout;

use crate::packed;
use crate::program::{Models, call};

const TEXT: [&str; 6] = ["-p", "The quick brown fox", "--all", "--format", "json", "-q"];

#[track_caller]
fn logits(path: &str, flags: &[&str]) -> String {
    call(&[&["logits", "-m", path], &TEXT[..], flags].concat()).with(Exit::Ok).out
}

#[test]
fn an_arm_packed_file_gives_the_x86_files_logits_with_the_flag() {
    let models = Models::new();
    let file = |name: &str, layout| models.file(name, &packed::file(layout, false));
    let x86 = file("x86.gguf", FileLayout::X86);
    let truth = logits(&x86, &[]);
    assert_eq!(logits(&x86, &["--i2s-layout", "x86"]), truth);
    for (name, layout) in [("arm", FileLayout::Arm), ("four-rows", FileLayout::FourRows)] {
        let other = file("other.gguf", layout);
        assert_eq!(logits(&other, &["--i2s-layout", name]), truth, "{name}");
        assert_ne!(logits(&other, &[]), truth, "{name}: the layout makes a difference");
    }
    let run = ["run", "-n", "4", "--temp", "0", "-q", "-p", "The", "-m"];
    let said =
        |path: &str, flags: &[&str]| call(&[&run[..], &[path], flags].concat()).with(Exit::Ok).out;
    let arm = file("arm.gguf", FileLayout::Arm);
    assert_eq!(said(&arm, &["--i2s-layout", "arm"]), said(&x86, &[]));
}

#[test]
fn a_wrong_statement_is_reported_with_the_flag_that_helps() {
    let models = Models::new();
    let path = models.file("arm.gguf", &packed::file(FileLayout::Arm, true));
    let args = ["logits", "-m", &path, "-p", "test"];
    let ended = call(&args).with(Exit::ModelLoad);
    assert!(
        ended.err.contains("but its matrices fit their norms in the layout arm"),
        "{}",
        ended.err
    );
    let next = "\n  next: the same command with --i2s-layout arm\n";
    assert!(ended.err.contains(next), "{}", ended.err);
    call(&[&args[..], &["--i2s-layout", "arm"]].concat()).with(Exit::Ok);
}

#[test]
fn a_layout_or_a_configuration_that_is_none_is_wrong_usage() {
    let models = Models::new();
    let path = models.path();
    let args = ["logits", "-m", &path, "-p", "test"];
    let ended = call(&[&args[..], &["--i2s-layout", "mips"]].concat()).with(Exit::Usage);
    assert!(ended.err.contains("[possible values: x86, arm, four-rows]"), "{}", ended.err);
    let ended = call(&[&args[..], &["--tl-config", "/nope/x\u{1b}.ini"]].concat());
    let ended = ended.with(Exit::Usage);
    let words = "error: cannot use the kernel configuration '/nope/x\\u{1b}.ini': No such file";
    assert!(ended.err.starts_with(words), "{}", ended.err);
    let bad = models.file("bad.ini", b"[a]\nm = x\n");
    let ended = call(&[&args[..], &["--tl-config", &bad]].concat()).with(Exit::Usage);
    assert!(
        ended.err.contains("': line 2 is none of a kernel configuration: it has"),
        "{}",
        ended.err
    );
}
