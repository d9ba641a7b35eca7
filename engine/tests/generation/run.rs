//! What `bitnet run` prints.

use std::io::pipe;
use std::process::Stdio;

use bitnet_engine::exit::Exit;
use bitnet_engine::kernels::Isa;

use crate::support::{Models, call, call_with, command, greedy_ids, ids, text, tokens};

const PROMPT: &str = "The quick brown fox";

#[test]
fn the_text_is_that_of_the_librarys_greedy_ids() {
    let models = Models::new();
    let (path, model) = (models.path(), models.load());
    let prompt = model.tokenizer().encode(PROMPT, true, true).unwrap();
    let truth = greedy_ids(&model, &prompt, 24);
    let bytes = model.tokenizer().decode(&truth).unwrap();
    let whole = String::from_utf8_lossy(&bytes);

    let args = ["run", "-m", &path, "-p", PROMPT, "-n", "24", "--temp", "0", "--format", "json"];
    let lines = call(&args).with(Exit::Ok).lines();
    assert_eq!(lines[0]["event"], "start");
    assert_eq!(ids(&lines[0]["prompt_ids"]), prompt);
    assert_eq!((tokens(&lines), text(&lines)), (truth.clone(), whole.clone().into_owned()));
    let end = lines.last().unwrap();
    assert_eq!((end["event"].as_str(), end["reason"].as_str()), (Some("end"), Some("length")));
    assert_eq!(end["generated"], truth.len());
    assert_eq!(end["timings"]["step_ns"].as_array().unwrap().len(), truth.len() - 1);

    // For people: the same text, unless it would steer a terminal.
    let ended = call(&["run", "-m", &path, "-p", PROMPT, "-n", "24", "--greedy"]).with(Exit::Ok);
    let harmless = |c: char| c == '\n' || c == '\t' || !c.is_control();
    assert!(ended.out.chars().all(harmless), "{:?}", ended.out);
    let first = whole.split(|c: char| c.is_control()).next().unwrap();
    assert!(!first.is_empty() && ended.out.starts_with(first), "{:?}, not {first:?}", ended.out);
    assert!(ended.out.ends_with('\n'));
}

#[test]
fn a_seed_repeats_its_text_on_any_threads_and_instruction_set() {
    let models = Models::new();
    let path = models.path();
    let run = |seed: &str, more: &[&str]| {
        let mut args =
            vec!["run", "-m", &path, "-p", PROMPT, "-n", "32", "-s", seed, "--format", "json"];
        args.extend(more);
        tokens(&call(&args).with(Exit::Ok).lines())
    };
    let truth = run("7", &[]);
    assert_eq!(truth.len(), 32);
    for threads in ["1", "2", "3"] {
        assert_eq!(run("7", &["-t", threads]), truth, "{threads} threads");
    }
    for isa in Isa::ALL {
        if !isa.is_available() {
            println!("{isa}: not on this CPU");
            continue;
        }
        assert_eq!(run("7", &["--isa", &isa.to_string()]), truth, "{isa}");
    }
    assert_ne!(run("8", &[]), truth);
    assert_ne!(run("7", &["--repeat-penalty", "1.8"]), truth);
}

#[test]
fn a_drawn_seed_is_told_and_repeats_the_text() {
    let models = Models::new();
    let path = models.path();
    let args = ["run", "-m", &path, "-p", PROMPT, "-n", "16"];
    let drawn = call(&args).with(Exit::Ok);
    let note = drawn.err.lines().find_map(|line| line.strip_prefix("seed: ")).expect("a note");
    let seed = note.strip_suffix(" (drawn; --seed repeats it)").expect("the seed");
    let again = call(&[&args[..], &["--seed", seed]].concat()).with(Exit::Ok);
    assert_eq!(again.out, drawn.out);
    assert!(!again.err.contains("seed:"), "{}", again.err);
}

#[test]
fn every_way_to_give_the_prompt_is_the_same_prompt() {
    let models = Models::new();
    let path = models.path();
    let with = |more: &[&str], input: &str| {
        let fixed = ["run", "-m", &path, "-n", "8", "--greedy", "--format", "json"];
        let lines = call_with(&[&fixed[..], more].concat(), input).with(Exit::Ok).lines();
        (ids(&lines[0]["prompt_ids"]), tokens(&lines))
    };
    let truth = with(&["-p", PROMPT], "");
    assert_eq!(with(&["--file", &models.file("prompt.txt", PROMPT.as_bytes())], ""), truth);
    assert_eq!(with(&["-f", "-"], PROMPT), truth);
    assert_eq!(with(&[], PROMPT), truth);
    let list: Vec<String> = truth.0.iter().map(u32::to_string).collect();
    assert_eq!(with(&["--prompt-tokens", &list.join(",")], ""), truth);
    let bos = models.load().tokenizer().bos().expect("a BOS");
    assert_eq!(truth.0[0], bos);
    assert_eq!(with(&["-p", PROMPT, "--no-bos"], "").0, truth.0[1..]);
    let special = |flag: &str| with(&["-p", "a<|eot_id|>", flag], "").0;
    let eot = models.load().tokenizer().find("<|eot_id|>").expect("is there");
    assert!(special("--parse-special").contains(&eot));
    assert!(!special("--no-parse-special").contains(&eot));
}

#[test]
fn stop_strings_and_ids_end_the_text_before_them() {
    let models = Models::new();
    let (path, model) = (models.path(), models.load());
    let args = ["run", "-m", &path, "-p", PROMPT, "-n", "24", "--greedy", "--format", "json"];
    let whole = call(&args).with(Exit::Ok).lines();
    let (all, text_of_all) = (tokens(&whole), text(&whole));
    // From within one token into the next: the two characters around a boundary.
    let boundary = (3..20).find_map(|at| {
        let before = model.tokenizer().decode(&all[..at]).unwrap();
        let (left, right) = text_of_all.split_at_checked(before.len())?;
        let around = [left.chars().next_back()?, right.chars().next()?];
        around.iter().all(char::is_ascii_graphic).then(|| around.iter().collect::<String>())
    });
    let stop = boundary.expect("two letters around a boundary");
    let stopped =
        call(&[&args[..], &["--stop", "\u{1}never", "--stop", &stop]].concat()).with(Exit::Ok);
    let lines = stopped.lines();
    let end = lines.last().unwrap();
    assert_eq!((&end["reason"], &end["string"]), (&"stop-string".into(), &stop.clone().into()));
    assert_eq!(text(&lines), text_of_all[..text_of_all.find(&stop).unwrap()]);
    let told = format!("ended after {} tokens by --stop '{stop}'", tokens(&lines).len());
    assert!(stopped.err.contains(&told), "{}", stopped.err);

    let id = all[5].to_string();
    let lines = call(&[&args[..], &["--stop-id", &id]].concat()).with(Exit::Ok).lines();
    let first = all.iter().position(|other| *other == all[5]).unwrap();
    assert_eq!(tokens(&lines), all[..first]);
    let end = lines.last().unwrap();
    assert_eq!((&end["reason"], &end["id"]), (&"stop-id".into(), &all[5].into()));
}

#[test]
fn timings_are_llama_cpps_and_quiet_has_none() {
    let models = Models::new();
    let path = models.path();
    let args = ["run", "-m", &path, "-p", PROMPT, "-n", "4", "--greedy"];
    let err = call(&args).with(Exit::Ok).err;
    let prompt = models.load().tokenizer().encode(PROMPT, true, true).unwrap().len();
    for (name, count) in [
        ("        load time = ", None),
        (" prompt eval time = ", Some(format!("/ {prompt:>5} tokens ("))),
        (" first token time = ", None),
        ("        eval time = ", Some("/     3 runs   (".into())),
        ("       total time = ", Some(format!("/ {:>5} tokens", prompt + 3))),
    ] {
        let line = err.lines().find(|line| line.starts_with(name)).expect(name);
        assert!(line.contains(" ms") && count.is_none_or(|count| line.contains(&count)), "{line}");
    }
    let quiet = call(&[&args[..], &["-q"]].concat()).with(Exit::Ok);
    assert!(!quiet.err.contains("time ="), "{}", quiet.err);
    // Nothing was generated, so there is no rate.
    let none = call(&["run", "-m", &path, "-p", PROMPT, "-n", "0"]).with(Exit::Ok);
    assert_eq!(none.out, "");
    assert!(none.err.contains("        eval time =       0.00 ms /     0 runs\n"), "{}", none.err);
    assert!(!none.err.contains("first token time"), "{}", none.err);
}

#[test]
fn a_full_context_ends_the_text_and_says_so() {
    let models = Models::new();
    let args = ["run", "-m", &models.path(), "--prompt-tokens", "3,4,5", "-n", "-1", "-c", "10"];
    let args = [&args[..], &["--greedy", "--format", "json", "--ignore-eos"]].concat();
    let ended = call(&args).with(Exit::Ok);
    let lines = ended.lines();
    assert_eq!(lines.last().unwrap()["reason"], "context-full");
    assert_eq!(tokens(&lines).len(), 8);
    let told = "ended after 8 tokens: the context is full; a larger --ctx-size holds more";
    assert!(ended.err.contains(told), "{}", ended.err);
}

#[test]
fn a_reader_that_is_gone_ends_the_run_quietly() {
    let models = Models::new();
    for format in ["text", "json"] {
        let (reader, writer) = pipe().expect("a pipe");
        drop(reader);
        let receipt = models.text_of("gone.json");
        let args = ["run", "-m", &models.path(), "-p", PROMPT, "--greedy", "--format", format];
        let mut command = command(&[&args[..], &["--receipt", &receipt]].concat());
        let output = command.stdout(Stdio::from(writer)).output().expect("the program runs");
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{err}");
        assert!(!err.contains("error"), "{err}");
        let receipt = models.json("gone.json");
        assert_eq!(receipt["status"], "interrupted");
        let why = receipt["error"].as_str().expect("a reason");
        assert!(why.starts_with("standard output cannot be written: "), "{why}");
    }
}
