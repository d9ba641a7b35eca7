//! What `bitnet run` refuses: with the reason, the exit code, and before a model is loaded where that
//! can be known.

use bitnet_engine::exit::Exit;
use bitnet_engine::gguf::Directory;

use crate::support::{Models, call};

#[test]
fn options_outside_their_range_are_refused_before_anything_is_loaded() {
    let cases: [(&[&str], &str); 9] = [
        (
            &["--temp", "-1"],
            "error: temperature is -1, but it must be 0 or a finite number above 0\n",
        ),
        (
            &["--temp", "NaN"],
            "error: temperature is NaN, but it must be 0 or a finite number above 0\n",
        ),
        (&["--top-p", "0"], "error: top-p is 0, but it must be above 0 and at most 1\n"),
        (&["--min-p", "1.5"], "error: min-p is 1.5, but it must be from 0 to 1\n"),
        (
            &["--repeat-penalty", "0"],
            "error: repeat-penalty is 0, but it must be a finite number above 0\n",
        ),
        (
            &["--stop", "a", "--stop", ""],
            "error: stop string 2 is empty: leave it out, or ask for 0 tokens\n",
        ),
        (&["--seed", "-2"], "a seed is a number from 0, or -1"),
        (&["-n", "-2"], "a number of tokens from 0, or -1 for as many as there is room for"),
        (&["--greedy", "--temp", "1"], "cannot be used with"),
    ];
    for (more, words) in cases {
        let args = [&["run", "-m", "/nope/bad.gguf", "-p", "x"], more].concat();
        let ended = call(&args).with(Exit::Usage);
        assert!(ended.err.contains(words), "`{words}` is not in:\n{}", ended.err);
        assert_eq!(ended.out, "");
    }
}

#[test]
fn what_the_model_decides_is_refused_with_its_numbers() {
    let models = Models::new();
    let path = models.path();
    let cases: [(&[&str], &str); 4] = [
        (
            &["-p", "x", "--stop-id", "768"],
            "error: --stop-id 768 is not in the vocabulary of 768; `bitnet tokenize` prints ids\n",
        ),
        (
            &["-p", "", "--no-bos"],
            "error: the prompt is empty and gives no token; give at least one character or id\n",
        ),
        (
            &["--prompt-tokens", "1,768"],
            "error: id 768 at index 1 is not in the vocabulary of 768\n",
        ),
        (
            &["--prompt-tokens", "1,2,3,4,5", "-c", "4"],
            "error: 0 positions are taken and 5 more are asked for, but the context has 4;",
        ),
    ];
    for (more, words) in cases {
        let ended = call(&[&["run", "-m", &path], more].concat()).with(Exit::Usage);
        assert!(ended.err.contains(words), "`{words}` is not in:\n{}", ended.err);
        assert_eq!(ended.out, "");
    }
}

#[test]
fn more_candidates_than_the_vocabulary_has_are_all_of_them() {
    let models = Models::new();
    let path = models.path();
    let run = |k: &str| {
        let args = ["run", "-m", &path, "-p", "x", "-n", "16", "-s", "1", "--top-k", k];
        call(&args).with(Exit::Ok).out
    };
    assert_eq!(run("0"), run("100000"));
}

#[test]
fn logits_that_are_no_numbers_end_the_run_with_1() {
    let mut models = Models::of_types("F32", "F32");
    let directory = Directory::parse(&models.bytes).expect("a good file");
    let range = directory.tensor("output_norm.weight").expect("is there").range();
    models.bytes[range][..4].copy_from_slice(&f32::NAN.to_le_bytes());
    let path = models.file("nan.gguf", &models.bytes);
    for more in [&["--greedy"][..], &["-s", "1"], &["-s", "1", "--repeat-penalty", "1.5"]] {
        let args = [&["run", "-m", &path, "-p", "x", "--format", "json"], more].concat();
        let ended = call(&args).with(Exit::CaseFailed);
        let words = "token 1 of the text cannot be chosen: the logits cannot be sampled: one of them \
                     is NaN; unless options ban ids, the model file is damaged: fetch it again";
        assert!(ended.err.contains(words), "{}", ended.err);
        let lines = ended.lines();
        assert_eq!(lines.last().unwrap()["error"], words);
        assert_eq!(lines.last().unwrap().get("reason"), None);
    }
}
