//! Workers that crash, hang and lie, seen from the runner's side: each costs one request, is named
//! with its last words, and leaves no process behind. Real engines are not run here.
//!
//! The executable runs itself again as the worker, hence the harness of its own.

mod doubles;

use std::io::{BufRead, BufReader, Cursor, Read, Seek};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use bitnet_runner::backend::protocol::{
    Answer, Array, FrameReader, Message, Request, encode_head, write_frame,
};
use bitnet_runner::backend::serve::serve;
use bitnet_runner::backend::worker::{WorkerBackend, WorkerSpec};
use bitnet_runner::backend::{
    Backend, BackendError, Feed, ModelFacts, OpenRequest, TokenizeOptions,
};
use doubles::engine::{Double, fault, logit, model};
use doubles::expected::{FAULTS, HANDSHAKES};
use doubles::roles::{self, ROLE, spec};
use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    if let Ok(role) = std::env::var(ROLE) {
        return match roles::play(&role) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => panic!("{role}: {error}"),
        };
    }
    let mut trials = Vec::new();
    for &(name, test) in TESTS {
        trials.push(Trial::test(name, move || {
            test();
            Ok(())
        }));
    }
    for &(name, fault, error) in FAULTS {
        trials.push(Trial::test(format!("fault::{name}"), move || {
            a_fault_costs_one_request(fault, error);
            Ok(())
        }));
    }
    for &(role, error) in HANDSHAKES {
        trials.push(Trial::test(format!("handshake::{role}"), move || {
            a_wrong_program_is_refused(role, error);
            Ok(())
        }));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// Tests by name.
const TESTS: &[(&str, fn())] = &[
    ("every_call_gives_what_the_engine_gives", every_call_gives_what_the_engine_gives),
    ("a_hundred_megabytes_arrive_bit_for_bit", a_hundred_megabytes_arrive_bit_for_bit),
    ("a_refusal_costs_no_process", a_refusal_costs_no_process),
    ("the_model_is_opened_again_after_a_crash", the_model_is_opened_again_after_a_crash),
    ("nothing_is_computed_without_a_model", nothing_is_computed_without_a_model),
    ("wrong_generations_and_tensors_are_refused", wrong_generations_and_tensors_are_refused),
    ("another_engine_or_model_after_a_restart", another_engine_or_model_after_a_restart),
    ("a_second_answer_is_not_taken_for_the_next", a_second_answer_is_not_taken_for_the_next),
    ("a_death_between_requests_is_told", a_death_between_requests_is_told),
    ("a_large_request_to_a_deaf_worker_times_out", a_large_request_to_a_deaf_worker_times_out),
    ("prints_end_up_in_the_log", prints_end_up_in_the_log),
    ("the_log_is_drained_and_bounded", the_log_is_drained_and_bounded),
    ("what_does_not_fit_is_refused_before_it_is_sent", what_does_not_fit_is_refused_before_sending),
    ("a_missing_program_comes_with_its_remedy", a_missing_program_comes_with_its_remedy),
    ("closing_tells_a_bad_end", closing_tells_a_bad_end),
    ("dropping_leaves_no_process", dropping_leaves_no_process),
    ("the_loop_answers_what_it_cannot_do", the_loop_answers_what_it_cannot_do),
    ("the_loop_ends_at_bytes_that_are_no_request", the_loop_ends_at_bytes_that_are_no_request),
    ("the_loop_ends_after_bye", the_loop_ends_after_bye),
    #[cfg(target_os = "linux")]
    ("a_worker_dies_with_its_children", a_worker_dies_with_its_children),
    #[cfg(target_os = "linux")]
    ("a_computing_worker_ends_with_its_parent", a_computing_worker_ends_with_its_parent),
    #[cfg(target_os = "linux")]
    ("a_length_is_not_believed", a_length_is_not_believed),
    #[cfg(unix)]
    ("a_path_that_is_no_text_is_refused", a_path_that_is_no_text_is_refused),
];

fn start(role: &str) -> WorkerBackend {
    WorkerBackend::start(spec(role)).expect("the double starts")
}

fn opened(role: &str, vocab_size: usize) -> WorkerBackend {
    let mut worker = start(role);
    worker.open(&model(vocab_size)).expect("the double opens");
    worker
}

fn pid(worker: &WorkerBackend) -> u32 {
    worker.process_id().expect("a running process")
}

/// The error of a call that must not succeed.
fn failure<T>(result: Result<T, BackendError>) -> String {
    match result {
        Ok(_) => panic!("an error was expected"),
        Err(error) => error.to_string(),
    }
}

fn filled(error: &str) -> String {
    let WorkerSpec { program, build, .. } = spec("engine");
    error
        .replace("{program}", &program.display().to_string())
        .replace("{build}", &build.expect("doubles are of this workspace"))
}

/// Asserts that no process is left: none of that id, or one that a stranger has to reap.
#[cfg(target_os = "linux")]
fn assert_gone(pid: u32) {
    for _ in 0..1000 {
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return };
        // proc(5): pid (comm) state ppid …
        let mut fields = stat.rsplit_once(") ").expect("a command").1.split(' ');
        let (state, parent) = (fields.next(), fields.next().and_then(|id| id.parse().ok()));
        if state == Some("Z") && parent != Some(std::process::id()) {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("process {pid} is still there");
}

#[cfg(not(target_os = "linux"))]
fn assert_gone(_pid: u32) {}

fn assert_answers(worker: &mut WorkerBackend) {
    let logits = worker.logits(&[5, 6], Feed::Prefill).expect("logits");
    let expected: Vec<u32> = (0..2)
        .flat_map(|row| (0..4).map(move |column| logit(&[5, 6], row, column).to_bits()))
        .collect();
    let bits: Vec<u32> = logits.values.iter().map(|value| value.to_bits()).collect();
    assert_eq!((logits.vocab_size, bits), (4, expected));
}

fn a_fault_costs_one_request(fault: u32, error: &str) {
    let mut worker = opened("engine", 4);
    let first = pid(&worker);
    if fault == fault::HANG {
        worker.set_request_seconds(1);
    }
    let message = failure(worker.logits(&[fault, 1], Feed::Prefill));
    if [fault::GARBAGE, fault::OTHER_ANSWER].contains(&fault) {
        // The real answer follows: as much as had arrived of it is shown, or the worker logs that nobody
        // reads it any more.
        assert!(message.starts_with(&filled(error)), "{message}");
    } else {
        assert_eq!(message, filled(error));
    }
    assert_eq!(worker.process_id(), None, "the process is not asked again");
    assert_gone(first);

    worker.set_request_seconds(60);
    assert_answers(&mut worker);
    let second = pid(&worker);
    assert_ne!(second, first);
    worker.close().expect("a clean end");
    assert_gone(second);
}

fn a_wrong_program_is_refused(role: &str, error: &str) {
    let handshake_seconds = if role == "mute" { 1 } else { 60 };
    let message = failure(WorkerBackend::start(WorkerSpec { handshake_seconds, ..spec(role) }));
    assert_eq!(message, filled(error));
}

fn every_call_gives_what_the_engine_gives() {
    let mut worker = start("stdio");
    let mut twin = Double::new(None);
    assert_eq!(worker.identity(), twin.identity());

    let request = OpenRequest { isa: Some("scalar".to_owned()), ..model(7) };
    let facts = worker.open(&request).unwrap();
    assert_eq!(
        facts,
        ModelFacts { vocab_size: 7, context_length: 4096, bos: Some(2), eos: None },
        "context and threads arrive"
    );
    let absolute = OpenRequest { model: std::path::absolute(&request.model).unwrap(), ..request };
    assert_eq!(twin.open(&absolute).unwrap(), facts);

    for text in ["", "Zwölf Boxkämpfer\n\0 \u{1F98A} \"\\", &"long ".repeat(300_000)] {
        for add_special in [false, true] {
            let options = TokenizeOptions { add_special, parse_special: true };
            let ids = worker.tokenize(text, options).unwrap();
            assert_eq!(ids, twin.tokenize(text, options).unwrap());
            assert_eq!(worker.detokenize(&ids).unwrap(), twin.detokenize(&ids).unwrap());
        }
    }
    for feed in [Feed::Prefill, Feed::Steps] {
        let (ours, theirs) = (worker.logits(&[3; 9], feed), twin.logits(&[3; 9], feed));
        let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
        assert_eq!(bits(ours.unwrap().values), bits(theirs.unwrap().values));
    }
    assert_eq!(worker.logits(&[], Feed::Prefill).unwrap().rows(), 0);
    for steps in [0, 5] {
        let generation = worker.generate(&[1, 2], steps).unwrap();
        assert_eq!(generation, twin.generate(&[1, 2], steps).unwrap());
    }
    for names in [vec![], vec!["attn_norm-0".to_owned(), "l_out-3".to_owned()]] {
        let tensors = worker.tap(&[1, 2, 3], &names).unwrap();
        assert_eq!(tensors, twin.tap(&[1, 2, 3], &names).unwrap());
        assert_eq!(tensors.len(), names.len());
    }
    worker.close().unwrap();
}

fn a_hundred_megabytes_arrive_bit_for_bit() {
    const VOCAB_SIZE: usize = 1 << 18;
    let ids: Vec<u32> = (0..100).collect();
    let mut worker = opened("engine", VOCAB_SIZE);
    let logits = worker.logits(&ids, Feed::Prefill).unwrap();
    assert_eq!(logits.values.len() * 4, 104_857_600);
    let mut nans = 0;
    for row in 0..ids.len() {
        for (column, value) in logits.row(row).iter().enumerate() {
            assert_eq!(value.to_bits(), logit(&ids, row, column).to_bits(), "{row}, {column}");
            nans += usize::from(value.is_nan());
        }
    }
    assert!(nans > 100, "the double sends NaNs with payloads, got {nans}");
}

fn a_refusal_costs_no_process() {
    let mut worker = opened("engine", 4);
    let process = pid(&worker);
    let refused = worker.logits(&[fault::REFUSE], Feed::Steps).unwrap_err();
    assert!(matches!(&refused, BackendError::Refused(why) if why == "double: not this"));
    let unavailable = worker.logits(&[fault::UNAVAILABLE], Feed::Steps).unwrap_err();
    assert!(matches!(
        &unavailable,
        BackendError::Unavailable { what, remedy }
            if what == "double: no such thing" && remedy == "make one"
    ));
    assert_answers(&mut worker);
    assert_eq!(pid(&worker), process);
}

fn the_model_is_opened_again_after_a_crash() {
    let mut worker = start("engine");
    worker.open(&model(9)).unwrap();
    worker.open(&model(4)).unwrap();
    failure(worker.logits(&[fault::ABORT], Feed::Prefill));
    assert_answers(&mut worker);
    // A model that is asked for after a crash is the only one that is opened.
    failure(worker.logits(&[fault::ABORT], Feed::Prefill));
    assert_eq!(worker.open(&model(6)).unwrap().vocab_size, 6);
    assert_eq!(worker.logits(&[1], Feed::Prefill).unwrap().vocab_size, 6);
}

fn nothing_is_computed_without_a_model() {
    let options = TokenizeOptions { add_special: false, parse_special: false };
    let mut worker = start("engine");
    assert_eq!(failure(worker.tokenize("x", options)), "double: no model is open");

    worker.open(&model(4)).unwrap();
    let wrong = OpenRequest { model: "no-number.gguf".into(), ..model(4) };
    assert_eq!(failure(worker.open(&wrong)), "double: no such model");
    let after = failure(worker.logits(&[1], Feed::Prefill));
    assert_eq!(after, "double: no model is open", "the earlier one is not used instead");

    assert_eq!(
        failure(worker.open(&model(0))),
        "double broke the worker protocol: expected a vocabulary, got vocab_size 0, \
         context_length 4096; its log ends: it logged nothing"
    );
}

fn wrong_generations_and_tensors_are_refused() {
    let broke = |what: &str| {
        format!("double broke the worker protocol: {what}; its log ends: it logged nothing")
    };
    let mut worker = opened("engine", 4);
    assert_eq!(
        failure(worker.generate(&[fault::TOO_FEW], 3)),
        broke("expected 3 steps over 4 logits, got 3 ids, 12 logits in rows of 4, 2 times")
    );
    assert_eq!(
        failure(worker.generate(&[fault::OTHER_VOCABULARY], 3)),
        broke("it chose id 4 out of 4 ids")
    );
    let names = ["l_out-0".to_owned()];
    assert_eq!(
        failure(worker.tap(&[fault::TOO_FEW], &names)),
        broke("tensor \"l_out-0\" of shape [2, 2, 1, 1] has 2 values")
    );
    assert_eq!(
        failure(worker.tap(&[fault::OTHER_ANSWER], &names)),
        broke("tensor \"another\" was not asked for")
    );
    assert_answers(&mut worker);
}

fn another_engine_or_model_after_a_restart() {
    for (role, what) in [
        ("other-engine", "after a restart it is another engine: expected Identity {"),
        ("other-model", "after a restart the model is another: expected ModelFacts {"),
    ] {
        let mut worker = opened(role, 4);
        failure(worker.logits(&[fault::EXIT_3], Feed::Prefill));
        let message = failure(worker.logits(&[1], Feed::Prefill));
        let expected = format!("double broke the worker protocol: {what}");
        assert!(message.starts_with(&expected), "{message:?} starts with {expected:?}");
        assert_eq!(worker.process_id(), None);
    }
}

fn a_second_answer_is_not_taken_for_the_next() {
    let mut worker = opened("engine", 4);
    assert_eq!(failure(worker.logits(&[fault::SEND_TWICE], Feed::Prefill)), "first");
    assert_eq!(
        failure(worker.logits(&[1], Feed::Prefill)),
        "double broke the worker protocol: expected an answer to request 4, got `logits` to \
         request 3; its log ends: it logged nothing"
    );
    assert_answers(&mut worker);
}

fn a_death_between_requests_is_told() {
    let mut worker = opened("engine", 4);
    let first = pid(&worker);
    let killed = Command::new("kill").args(["-9", &first.to_string()]).status().unwrap();
    assert!(killed.success());
    assert_eq!(
        failure(worker.logits(&[1], Feed::Prefill)),
        "double died (signal 9 (SIGKILL)): it logged nothing"
    );
    assert_gone(first);
    assert_answers(&mut worker);
}

fn a_large_request_to_a_deaf_worker_times_out() {
    let mut worker = opened("deaf", 4);
    let first = pid(&worker);
    worker.set_request_seconds(1);
    let options = TokenizeOptions { add_special: false, parse_special: false };
    assert_eq!(
        failure(worker.tokenize(&"more than a pipe holds ".repeat(100_000), options)),
        "double gave no answer to `tokenize` within 1 s and was killed: it logged nothing"
    );
    assert_gone(first);
}

fn prints_end_up_in_the_log() {
    let mut worker = opened("stdio", 4);
    worker.logits(&[fault::PRINT], Feed::Prefill).expect("the print is not in the way");
    assert_answers(&mut worker);
    assert_log_ends_with(&worker, "printed to standard output");
    assert_eq!(worker.log_tail()[0], "a library greets on standard output");
}

/// The log is drained beside the answers, so it may come later.
fn assert_log_ends_with(worker: &WorkerBackend, line: &str) {
    for _ in 0..1000 {
        if worker.log_tail().last().is_some_and(|last| last == line) {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("expected {line:?} at the end, got {:?}", worker.log_tail());
}

fn the_log_is_drained_and_bounded() {
    let mut worker = opened("engine", 4);
    // 2 MB of log: a worker whose standard error were not drained would stop in the middle.
    worker.logits(&[fault::CHATTER], Feed::Prefill).expect("an answer");
    assert_log_ends_with(&worker, &"y".repeat(8192));
    let lines = worker.log_tail();
    assert_eq!(lines.len(), 64);
    assert!(lines[0].starts_with("chatter 1937 "), "{}", lines[0]);
}

fn what_does_not_fit_is_refused_before_sending() {
    let mut worker = opened("engine", 1 << 30);
    let process = pid(&worker);
    assert_eq!(
        failure(worker.logits(&[1, 2], Feed::Prefill)),
        "double: 2 rows of 1073741824 logits are more than the 4294967296 bytes of one answer: \
         ask for fewer positions"
    );
    let message = failure(worker.generate(&[1], usize::MAX));
    assert!(message.contains("rows of 1073741824 logits are more than"), "{message}");
    let names = vec!["x".repeat(1000); 2000];
    let message = failure(worker.tap(&[1], &names));
    assert!(message.ends_with("bytes; at most 1048576 are allowed"), "{message}");
    worker.open(&model(4)).unwrap();
    assert_answers(&mut worker);
    assert_eq!(pid(&worker), process);
}

fn a_missing_program_comes_with_its_remedy() {
    let program = std::env::temp_dir().join("no-such-folder").join("no-such-worker");
    let message =
        failure(WorkerBackend::start(WorkerSpec { program: program.clone(), ..spec("") }));
    let expected = format!("double: cannot start {}: ", program.display());
    assert!(message.starts_with(&expected), "{message:?} starts with {expected:?}");
    assert!(message.ends_with("\n  to get it: run the tests"), "{message}");
}

fn closing_tells_a_bad_end() {
    assert_eq!(
        failure(start("leaves-with-5").close()),
        "double died (exit code 5): could not say goodbye"
    );
    let worker = start("lingers");
    let process = pid(&worker);
    assert_eq!(
        failure(worker.close()),
        "double broke the worker protocol: it did not end after `bye`; its log ends: not leaving"
    );
    assert_gone(process);
}

fn dropping_leaves_no_process() {
    for role in ["engine", "lingers"] {
        let worker = opened(role, 4);
        let process = pid(&worker);
        drop(worker);
        assert_gone(process);
    }
}

/// What the loop answers to these frames, and how it ends.
fn served(frames: &[u8]) -> (Vec<Message<Answer>>, std::io::Result<()>) {
    let mut output = Cursor::new(Vec::new());
    let end = serve(&mut Double::new(None), frames, &mut output);
    output.rewind().unwrap();
    let mut reader = FrameReader::new(output);
    let mut answers = Vec::new();
    while let Some(answer) = reader.read(1 << 20).unwrap() {
        answers.push(answer);
    }
    (answers, end)
}

fn frame(id: u64, request: &Request, arrays: &[Array]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let head = encode_head(id, request, arrays).unwrap();
    write_frame(&mut bytes, &head, arrays).unwrap();
    bytes
}

fn the_loop_answers_what_it_cannot_do() {
    let tokenize = Request::Tokenize { add_special: true, parse_special: false };
    let open = Request::Open { model: "7.gguf".to_owned(), context: 1, threads: 1, isa: None };
    let logits = Request::Logits { feed: Feed::Steps };
    let cases = [
        (logits.clone(), vec![], "`logits` takes 1 arrays, got 0"),
        (logits.clone(), vec![Array::U64(vec![1])], "`logits` takes a u32 array, got U64"),
        (logits, vec![Array::U32(vec![1])], "double: nothing is open"),
        (open, vec![], "double: wants an absolute path"),
        (Request::Hello {}, vec![Array::U8(vec![])], "`hello` takes 0 arrays, got 1"),
        (tokenize.clone(), vec![Array::U32(vec![])], "`tokenize` takes a u8 array, got U32"),
        (
            tokenize,
            vec![Array::U8(b"a\xffb".to_vec())],
            "the text is no UTF-8: invalid utf-8 sequence of 1 bytes from index 1",
        ),
    ];
    let frames: Vec<u8> = (1..)
        .zip(&cases)
        .flat_map(|(id, (request, arrays, _))| frame(id, request, arrays))
        .collect();
    let (answers, end) = served(&frames);
    end.expect("refusals do not end the loop");
    let expected: Vec<_> = (1..)
        .zip(cases)
        .map(|(id, (_, _, message))| Message {
            id,
            body: Answer::Refused { message: message.to_owned() },
            arrays: Vec::new(),
        })
        .collect();
    assert_eq!(answers, expected);
}

fn the_loop_ends_at_bytes_that_are_no_request() {
    let mut frames = frame(1, &Request::Detokenize {}, &[Array::U32(vec![0x68, 0x69])]);
    frames.extend(b"GET / HTTP/1.1\r\n");
    let (answers, end) = served(&frames);
    let message = "expected a frame (magic `\\xb1BWP`), got `GET / HTTP/1.1\\r\\n`: only frames \
                   may go to standard output";
    assert_eq!(end.unwrap_err().to_string(), message);
    let text = Message { id: 1, body: Answer::Text {}, arrays: vec![Array::U8(b"hi".to_vec())] };
    let body = Answer::Refused { message: message.to_owned() };
    assert_eq!(answers, [text, Message { id: 0, body, arrays: vec![] }]);
}

fn the_loop_ends_after_bye() {
    let frames = [frame(1, &Request::Bye {}, &[]), frame(2, &Request::Hello {}, &[])].concat();
    let (answers, end) = served(&frames);
    end.unwrap();
    assert_eq!(answers, [Message { id: 1, body: Answer::Bye {}, arrays: vec![] }]);
}

#[cfg(target_os = "linux")]
fn a_worker_dies_with_its_children() {
    let mut worker = opened("engine", 4);
    let first = pid(&worker);
    worker.set_request_seconds(1);
    let message = failure(worker.logits(&[fault::HANG_WITH_CHILD], Feed::Prefill));
    let (_, child) = message.rsplit_once("child ").expect("the child's id is the last log line");
    assert_gone(first);
    assert_gone(child.parse().unwrap());
}

#[cfg(target_os = "linux")]
fn a_computing_worker_ends_with_its_parent() {
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().join("computing");
    let mut runner = Command::new(std::env::current_exe().unwrap())
        .env(ROLE, "runner")
        .env(doubles::engine::MARK, &mark)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(runner.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let worker: u32 = line.trim().parse().unwrap();
    while !mark.exists() {
        assert!(runner.try_wait().unwrap().is_none(), "the runner waits for its worker");
        std::thread::sleep(Duration::from_millis(10));
    }
    runner.kill().unwrap();
    runner.wait().unwrap();
    assert_gone(worker);
}

#[cfg(target_os = "linux")]
fn a_length_is_not_believed() {
    let mut process = Command::new(std::env::current_exe().unwrap())
        .env(ROLE, "short-of-memory")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = String::new();
    process.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    let status = process.wait().unwrap();
    assert!(status.success(), "{status}: {log}");
}

#[cfg(unix)]
fn a_path_that_is_no_text_is_refused() {
    use std::os::unix::ffi::OsStrExt;

    let mut worker = start("engine");
    let request = OpenRequest::new(std::ffi::OsStr::from_bytes(b"/\xff.gguf"), 1);
    assert_eq!(
        failure(worker.open(&request)),
        "the model's path \"/\\xFF.gguf\" is no UTF-8, which the worker protocol requires"
    );
}
