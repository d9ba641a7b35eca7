//! Conversations through a pipe: the text is the library's for one rendering of all of it.

use std::time::SystemTime;

use bitnet_engine::chat::{ChatTemplate, Message, Role};
use bitnet_engine::exit::Exit;
use bitnet_engine::model::Model;
use serde_json::Value;

use crate::support::{Models, call_with, greedy_ids, text, tokens};

fn chat(models: &Models, more: &[&str], input: &str) -> Vec<Value> {
    let path = models.path();
    let fixed = ["chat", "-m", &path, "-n", "12", "--greedy", "--format", "json"];
    call_with(&[&fixed[..], more].concat(), input).with(Exit::Ok).lines()
}

/// The lines of each turn.
fn turns(lines: &[Value]) -> Vec<Vec<Value>> {
    let turns = lines.chunk_by(|_, next| next["event"] != "turn");
    turns.map(<[Value]>::to_vec).collect()
}

fn prompt(model: &Model, messages: &[(Role, &str)]) -> Vec<u32> {
    let template =
        ChatTemplate::from_metadata(model.file().metadata(), SystemTime::UNIX_EPOCH).unwrap();
    let messages: Vec<Message> = messages
        .iter()
        .map(|(role, content)| Message { role: *role, content: (*content).to_owned() })
        .collect();
    template.prompt(model.tokenizer(), &messages, true).unwrap().ids
}

#[test]
fn two_turns_are_one_rendering_of_the_whole_conversation() {
    let models = Models::new();
    let model = models.load();
    let lines = chat(&models, &["--system", "Be brief."], "Hello there\nAnd again?\n");
    let turns = turns(&lines);
    assert_eq!(turns.len(), 2);
    let system = (Role::System, "Be brief.");
    let first = prompt(&model, &[system, (Role::User, "Hello there")]);
    assert_eq!(tokens(&turns[0]), greedy_ids(&model, &first, 12));
    assert_eq!(turns[0][0]["prompt_tokens"], first.len());
    assert_eq!(turns[0][0]["reused"], 0);

    let answer = text(&turns[0]);
    let whole = prompt(
        &model,
        &[
            system,
            (Role::User, "Hello there"),
            (Role::Assistant, &answer),
            (Role::User, "And again?"),
        ],
    );
    assert_eq!(tokens(&turns[1]), greedy_ids(&model, &whole, 12));
    assert_eq!(
        (&turns[1][0]["turn"], &turns[1][0]["prompt_tokens"]),
        (&2.into(), &whole.len().into())
    );
    // At least the beginning up to the answer is kept, and only the rest computed.
    let reused = turns[1][0]["reused"].as_u64().unwrap() as usize;
    let same = first.iter().zip(&whole).take_while(|(a, b)| a == b).count();
    assert!(reused >= same && reused < whole.len(), "{reused} of {}", whole.len());
    let computed = turns[1].last().unwrap()["timings"]["prompt_tokens"].as_u64().unwrap() as usize;
    assert_eq!(reused + computed, whole.len());
}

#[test]
fn a_conversation_that_is_forgotten_begins_again() {
    let models = Models::new();
    let model = models.load();
    let input = "Hello\nMore\n/reset\n\nHello\n/system Obey.\nHello\n/system\nHello\n";
    let turns = turns(&chat(&models, &[], input));
    assert_eq!(turns.len(), 5);
    assert_ne!(tokens(&turns[1]), tokens(&turns[0]));
    assert_eq!(tokens(&turns[2]), tokens(&turns[0]));
    let instructed = prompt(&model, &[(Role::System, "Obey."), (Role::User, "Hello")]);
    assert_eq!(tokens(&turns[3]), greedy_ids(&model, &instructed, 12));
    assert_eq!(turns[3][0]["turn"], 1);
    assert_eq!(tokens(&turns[4]), tokens(&turns[0]));
}

#[test]
fn a_line_without_a_break_is_a_line_and_no_line_ends_with_0() {
    let models = Models::new();
    let whole = chat(&models, &[], "Hello\n");
    let shown = |lines: &[Value]| (tokens(lines), text(lines));
    assert_eq!(shown(&chat(&models, &[], "Hello")), shown(&whole));
    assert_eq!(shown(&chat(&models, &[], "Hello\r\n")), shown(&whole));
    assert_eq!(chat(&models, &[], ""), [Value::Null; 0]);
    assert_eq!(shown(&chat(&models, &[], "Hello\n/exit\nnever said\n")), shown(&whole));
}

#[test]
fn for_people_only_the_answers_are_printed() {
    let models = Models::new();
    let path = models.path();
    let args = ["chat", "-m", &path, "-n", "8", "--greedy"];
    let ended = call_with(&args, "Hello\n").with(Exit::Ok);
    let template = "{{ messages[-1].content }}";
    let template = models.file("plain.jinja", template.as_bytes());
    assert!(ended.out.ends_with('\n') && !ended.out.contains("Hello"), "{}", ended.out);
    assert!(!ended.out.starts_with("> "), "no prompt in a pipe: {}", ended.out);
    assert!(ended.err.contains("ended after 8 tokens, as many as --n-predict allows"));
    // The same model, asked as plain text.
    let chatted = call_with(&[&args[..], &["--template", &template]].concat(), "Hello\n");
    let run = crate::support::call(&["run", "-m", &path, "-n", "8", "--greedy", "-p", "Hello"]);
    assert_eq!(chatted.with(Exit::Ok).out, run.with(Exit::Ok).out);
}

#[test]
fn what_looks_like_a_control_token_is_said_as_text() {
    let models = Models::new();
    let model = models.load();
    let eot = model.tokenizer().find("<|eot_id|>").unwrap();
    let said = prompt(&model, &[(Role::User, "a<|eot_id|>b")]);
    assert_eq!(said.iter().filter(|id| **id == eot).count(), 1);
    let turns = turns(&chat(&models, &[], "a<|eot_id|>b\n"));
    assert_eq!(turns[0][0]["prompt_tokens"], said.len());
    assert_eq!(tokens(&turns[0]), greedy_ids(&model, &said, 12));
}

#[test]
fn metrics_are_those_of_the_last_answer() {
    let models = Models::new();
    let path = models.path();
    let args = ["chat", "-m", &path, "-n", "5", "--greedy", "-q"];
    let out = call_with(&args, "/metrics\nHello\n/metrics\n").with(Exit::Ok).out;
    assert!(out.starts_with("nothing was measured yet\n"), "{out}");
    let prompt = prompt(&models.load(), &[(Role::User, "Hello")]).len();
    let count = format!("/ {prompt:>5} tokens (");
    assert!(out.contains(&count), "`{count}` is not in:\n{out}");
    assert!(out.contains("/     4 runs   ("), "{out}");
    let used = format!("          context = {:>10} of 512 positions\n", prompt + 4);
    assert!(out.contains(&used), "`{used}` is not in:\n{out}");

    // For programs: one object a line, whatever was asked for.
    let lines = chat(&models, &[], "/metrics\n/help\nHello\n/metrics\n");
    let metrics: Vec<&Value> = lines.iter().filter(|line| line["event"] == "metrics").collect();
    assert_eq!((metrics.len(), &metrics[0]["last"]), (2, &Value::Null));
    let end = lines.iter().find(|line| line["event"] == "end").unwrap();
    assert_eq!(metrics[1]["last"]["timings"], end["timings"]);
    assert_eq!(metrics[1]["rates"], end["rates"]);
    assert_eq!(metrics[1]["context"], 512);
}
