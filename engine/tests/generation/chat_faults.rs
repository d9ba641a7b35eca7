//! Templates and lines that cannot be used: a reason and a code, never another template.

use bitnet_engine::exit::Exit;
use bitnet_engine::gguf::{Directory, GgufWriter};

use crate::support::{Models, call_with, tokens};

fn refused(models: &Models, more: &[&str], input: &str) -> String {
    let path = models.path();
    let fixed = ["chat", "-m", &path, "-n", "4", "--greedy", "-q"];
    let ended = call_with(&[&fixed[..], more].concat(), input).with(Exit::Usage);
    assert_eq!(ended.out, "");
    ended.err
}

#[test]
fn templates_that_fail_say_how() {
    let models = Models::new();
    let with = |source: &str| {
        let file = models.file("template.jinja", source.as_bytes());
        refused(&models, &["--template", &file], "Hello\n")
    };
    for (source, words) in [
        ("a\n{% if %}", "line 2 of the chat template cannot be parsed: "),
        (
            "{{ raise_exception('only\u{1b}[2J system') }}",
            "the chat template refuses this conversation: only\\u{1b}[2J system\n",
        ),
        (
            "{{ nothing }}",
            "line 1 of the chat template uses what is not defined: `nothing` is undefined\n",
        ),
        (
            "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
            "the chat template takes more than 2000000 steps, or 64 times as many bytes; ",
        ),
        (
            "{% for i in range(1000) %}{{ 'x' * 100000 }}{% endfor %}",
            "the chat template makes a text of more than 16777216 bytes\n",
        ),
    ] {
        let err = with(source);
        assert!(err.contains(&format!("error: {words}")), "`{words}` is not in:\n{err}");
    }
}

#[test]
fn a_template_that_nothing_stops_is_given_up() {
    let models = Models::new();
    // minijinja copies all 2^33 items of this list without counting them as fuel.
    let source = "{% set ns = namespace(s=[1]) %}{% for i in range(64) %}\
                  {% set ns.s = ns.s + ns.s %}{% endfor %}";
    let file = models.file("endless.jinja", source.as_bytes());
    let err = refused(&models, &["--template", &file], "Hello\n");
    assert!(err.contains("and cannot be stopped; it is damaged or made to harm\n"), "{err}");
}

#[test]
fn a_model_without_a_template_needs_one_that_is_named() {
    let models = Models::new();
    let directory = Directory::parse(&models.bytes).expect("a good file");
    let mut writer = GgufWriter::new();
    for (key, value) in directory.metadata().iter().filter(|(key, _)| !key.ends_with("template")) {
        writer.value(key, value).expect("as read");
    }
    for tensor in directory.tensors() {
        let (name, bytes) = (&tensor.name, &models.bytes[tensor.range()]);
        writer.tensor_bytes(name, tensor.tensor_type, &tensor.dims, bytes).expect("as read");
    }
    let mut bytes = Vec::new();
    writer.write(&mut bytes).expect("memory takes all bytes");
    let path = models.file("plain.gguf", &bytes);
    let args = ["chat", "-m", &path, "-n", "4", "--greedy"];
    let err = call_with(&args, "Hello\n").with(Exit::Usage).err;
    for words in [
        "the model file has no chat template (metadata key 'tokenizer.chat_template')",
        "--template names another: a file, or the format the model was trained on:\n",
        "\n  bitnet   BitNet b1.58 2B-4T: ",
        "\n  chatml   ",
        "\n  llama3   ",
    ] {
        assert!(err.contains(words), "`{words}` is not in:\n{err}");
    }
    // Its own was this format.
    let lines = |args: &[&str]| {
        let args = [args, &["--format", "json"]].concat();
        tokens(&call_with(&args, "Hello\n").with(Exit::Ok).lines())
    };
    let named = lines(&[&args[..], &["--template", "bitnet"]].concat());
    assert_eq!(named, lines(&["chat", "-m", &models.path(), "-n", "4", "--greedy"]));
}

#[test]
fn a_template_that_is_not_there_is_refused_before_loading() {
    let args = ["chat", "-m", "/nope/bad.gguf", "--template", "chatml2"];
    let err = call_with(&args, "").with(Exit::Usage).err;
    assert!(err.starts_with("error: cannot read the chat template 'chatml2': "), "{err}");
    assert!(err.contains("; it is a file, or one of bitnet, chatml, llama3\n"), "{err}");
}

#[test]
fn lines_that_cannot_be_said_end_a_script() {
    let models = Models::new();
    let err = refused(&models, &[], "/nope\nHello\n");
    let words = "error: /nope is no command; /help lists them, and //nope is said as text\n";
    assert!(err.ends_with(words), "{err}");
    let err = refused(&models, &[], "a\u{fdd0}\n");
    assert!(err.contains("error: a message holds the noncharacter U+FDD0"), "{err}");
}

#[test]
fn a_conversation_that_does_not_fit_is_said_with_its_numbers() {
    let models = Models::new();
    let long = "word ".repeat(100);
    let err = refused(&models, &["-c", "40"], &format!("{long}\n"));
    let (before, after) =
        err.split_once(" tokens with this, but the context has 40: ").expect(&err);
    let count = before.rsplit(' ').next().and_then(|count| count.parse::<usize>().ok());
    assert!(count.is_some_and(|count| count > 100), "{err}");
    assert_eq!(
        after,
        "/reset forgets the conversation, --ctx-size holds up to 512; this was not said\n"
    );

    // An answer that fills the context is kept as it is, and said to be full.
    let path = models.path();
    let args = ["chat", "-m", &path, "-c", "24", "--greedy", "--ignore-eos", "--format", "json"];
    let ended = call_with(&args, "Hi\n").with(Exit::Ok);
    let lines = ended.lines();
    assert_eq!(lines.last().unwrap()["reason"], "context-full");
    let words = format!(
        "warning: the context of 24 is full, and the answer ends after {} tokens: /reset forgets the \
         conversation, --ctx-size holds up to 512\n",
        tokens(&lines).len()
    );
    assert!(ended.err.ends_with(&words), "`{words}` is not in:\n{}", ended.err);
}
