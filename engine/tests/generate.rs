//! Generation over a synthetic model: what ends it, what is given out, and what is left to read.

use std::io;
use std::io::Write;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bitnet_engine::generate::{End, Event, GenerateError, Generation, StopStrings, Stops};
use bitnet_engine::model::{LogitsOf, Model};
use bitnet_engine::sample::{SampleOptions, Sampler, greedy};
use bitnet_engine::session::Session;
use bitnet_engine::synth::{SynthSpec, write_model};

/// The prompt that the tests continue.
const PROMPT: [u32; 5] = [3, 40, 41, 42, 43];
const LENGTH: usize = 24;

fn model() -> Arc<Model> {
    let spec = SynthSpec::from_names("bitnet-b1.58", "tiny", "I2_S", "F16", 7);
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    let mut bytes = Vec::new();
    write_model(&spec.expect("a good spec"), &mut bytes, |_, _| {}).expect("memory");
    file.write_all(&bytes).expect("room for a small file");
    Arc::new(Model::open(file.path()).expect("a whole model"))
}

fn session(model: &Arc<Model>, context: usize) -> Session {
    Session::new(model, context, NonZeroUsize::MIN).expect("a session")
}

fn sampler() -> Sampler {
    let options = SampleOptions { temperature: 0.0, ..SampleOptions::default() };
    Sampler::new(options).expect("good options")
}

/// The ids that greedy choice appends to the prompt, by the session alone.
fn truth(model: &Arc<Model>) -> Vec<u32> {
    let mut session = session(model, 64);
    let mut id = greedy(&session.prefill(&PROMPT, LogitsOf::Last).unwrap()).unwrap();
    let mut ids = vec![id];
    while ids.len() < LENGTH {
        id = greedy(session.step(id).unwrap()).unwrap();
        ids.push(id);
    }
    assert!(ids.iter().all(|id| !model.tokenizer().is_end_of_generation(*id)), "{ids:?}");
    ids
}

struct Outcome {
    end: Result<End, GenerateError>,
    ids: Vec<u32>,
    text: String,
    /// Text of the events, which must be `text`.
    given: String,
    token_events: Vec<u32>,
    steps: usize,
    prompt_computed: usize,
}

/// Generates in `session`; `at_token` is called behind each token with their number.
fn generate(
    session: &mut Session,
    prompt: &[u32],
    stops: Stops,
    interrupt: &AtomicBool,
    mut at_token: impl FnMut(usize) -> io::Result<()>,
) -> Outcome {
    let model = Arc::clone(session.model());
    let mut generation = Generation::new(model.tokenizer(), stops);
    let (mut given, mut token_events) = (String::new(), Vec::new());
    let end =
        generation.run(session, &mut sampler(), prompt, interrupt, &mut |event| match event {
            Event::Token { id, text } => {
                token_events.push(id);
                given.push_str(text);
                at_token(token_events.len())
            }
            Event::Rest { text } => {
                assert!(!text.is_empty());
                given.push_str(text);
                Ok(())
            }
        });
    Outcome {
        end,
        ids: generation.ids().to_vec(),
        text: generation.text().to_owned(),
        given,
        token_events,
        steps: generation.step_nanoseconds().len(),
        prompt_computed: generation.prompt_computed(),
    }
}

fn simply(model: &Arc<Model>, context: usize, stops: Stops) -> Outcome {
    let never = AtomicBool::new(false);
    generate(&mut session(model, context), &PROMPT, stops, &never, |_| Ok(()))
}

fn limit(limit: usize) -> Stops {
    Stops { limit: Some(limit), ..Stops::default() }
}

#[test]
fn the_text_is_what_the_sessions_greedy_ids_decode_to() {
    let model = model();
    let truth = truth(&model);
    let found = simply(&model, 64, limit(LENGTH));
    assert_eq!(found.end.unwrap(), End::Length);
    assert_eq!((&found.ids, &found.token_events), (&truth, &truth));
    let bytes = model.tokenizer().decode(&truth).unwrap();
    assert_eq!(found.text, String::from_utf8_lossy(&bytes));
    assert_eq!(found.given, found.text);
    assert_eq!((found.prompt_computed, found.steps), (PROMPT.len(), LENGTH - 1));
}

#[test]
fn nothing_asked_for_is_nothing_chosen() {
    let found = simply(&model(), 64, limit(0));
    assert_eq!(found.end.unwrap(), End::Length);
    assert_eq!((found.ids.len(), found.given.as_str(), found.steps), (0, "", 0));
    assert_eq!(found.prompt_computed, PROMPT.len());
}

#[test]
fn a_stop_string_is_found_across_tokens_and_never_given_out() {
    let model = model();
    let ids = truth(&model);
    let pieces: Vec<String> = ids
        .iter()
        .map(|id| String::from_utf8_lossy(model.tokenizer().piece(*id).unwrap()).into_owned())
        .collect();
    let whole = pieces.concat();
    let mut tested = 0;
    for at in 1..LENGTH - 1 {
        // From the last character of one token to the first of the next but one.
        let (Some(first), Some(last)) =
            (pieces[at - 1].chars().next_back(), pieces[at + 1].chars().next())
        else {
            continue;
        };
        let string = format!("{first}{}{last}", pieces[at]);
        if string.contains(char::REPLACEMENT_CHARACTER) {
            continue;
        }
        let strings = StopStrings::new(vec!["\u{1}never".into(), string.clone()]).unwrap();
        let found = simply(&model, 64, Stops { strings, ..limit(LENGTH) });
        assert_eq!(found.end.unwrap(), End::StopString(string.clone()));
        assert_eq!(found.text, whole[..whole.find(&string).unwrap()]);
        assert_eq!(found.given, found.text);
        assert!(ids.starts_with(&found.ids), "{:?}", found.ids);
        tested += 1;
    }
    assert!(tested > 5, "{pieces:?}");
}

#[test]
fn a_text_that_ends_within_the_start_of_a_stop_string_keeps_it() {
    let model = model();
    let whole = simply(&model, 64, limit(LENGTH)).text;
    let strings = StopStrings::new(vec![format!("{whole}and more")]).unwrap();
    let found = simply(&model, 64, Stops { strings, ..limit(LENGTH) });
    assert_eq!(found.end.unwrap(), End::Length);
    assert_eq!((&found.text, &found.given), (&whole, &whole));
}

#[test]
fn a_stop_id_ends_the_text_before_it() {
    let model = model();
    let truth = truth(&model);
    let stop = truth[7];
    let first = truth.iter().position(|id| *id == stop).unwrap();
    let found = simply(&model, 64, Stops { ids: vec![stop], ..limit(LENGTH) });
    assert_eq!(found.end.unwrap(), End::StopId(stop));
    assert_eq!((found.ids.as_slice(), found.steps), (&truth[..first], first));
}

#[test]
fn end_of_generation_ends_the_text_unless_it_is_ignored() {
    let model = model();
    let eog = model.tokenizer().end_of_generation()[0];
    // Bans all ids but one end-of-generation id.
    let all_but_eog = || {
        let mut sampler = sampler();
        let others = (0..model.config().vocab_size as u32).filter(|id| *id != eog);
        sampler.ban(&others.collect::<Vec<_>>());
        sampler
    };
    let run = |sampler: &mut Sampler, stops| {
        let mut generation = Generation::new(model.tokenizer(), stops);
        let never = AtomicBool::new(false);
        let mut session = session(&model, 64);
        let end = generation.run(&mut session, sampler, &PROMPT, &never, &mut |_| Ok(()));
        (end.map_err(|error| error.to_string()), generation.ids().to_vec())
    };
    let (end, ids) = run(&mut all_but_eog(), limit(3));
    assert_eq!((end, ids), (Ok(End::EndOfGeneration(eog)), vec![]));
    let ignoring = || Stops { ignore_end_of_generation: true, ..limit(3) };
    let (end, ids) = run(&mut all_but_eog(), ignoring());
    assert_eq!((end, ids), (Ok(End::Length), vec![eog; 3]));
    let mut none_left = all_but_eog();
    none_left.ban(&[eog]);
    let (end, ids) = run(&mut none_left, ignoring());
    assert_eq!(
        end.unwrap_err(),
        "token 1 of the text cannot be chosen: the logits cannot be sampled: all of them are -inf; \
         unless options ban ids, the model file is damaged: fetch it again"
    );
    assert_eq!(ids, vec![]);
}

#[test]
fn a_full_context_is_said_and_a_prompt_beyond_it_refused() {
    let model = model();
    for room in [0, 1, 4] {
        let found = simply(&model, PROMPT.len() + room, Stops::default());
        assert_eq!(found.end.unwrap(), End::ContextFull);
        // The last one is chosen from logits that exist, and has no place itself.
        assert_eq!((found.ids.len(), found.steps), (room + 1, room));
    }
    let found = simply(&model, 4, Stops::default());
    assert_eq!(
        found.end.unwrap_err().to_string(),
        "0 positions are taken and 5 more are asked for, but the context has 4; open the session \
         with a larger context"
    );
    assert_eq!(found.prompt_computed, 0);
}

#[test]
fn an_interrupt_ends_it_behind_the_current_token() {
    let model = model();
    let truth = truth(&model);
    let interrupt = AtomicBool::new(false);
    let found = generate(&mut session(&model, 64), &PROMPT, limit(LENGTH), &interrupt, |count| {
        interrupt.store(count == 3, Ordering::Relaxed);
        Ok(())
    });
    assert_eq!(found.end.unwrap(), End::Interrupted);
    assert_eq!((found.ids.as_slice(), found.steps), (&truth[..3], 2));

    let raised = AtomicBool::new(true);
    let found = generate(&mut session(&model, 64), &PROMPT, limit(LENGTH), &raised, |_| Ok(()));
    assert_eq!(found.end.unwrap(), End::Interrupted);
    assert_eq!((found.ids.len(), found.prompt_computed), (0, 0));
}

#[test]
fn a_session_that_holds_the_start_computes_only_the_rest() {
    let model = model();
    let prompt: Vec<u32> = (0..150).map(|i| (i * 7 + 3) % 700).collect();
    let never = AtomicBool::new(false);
    let mut fresh = session(&model, 200);
    let truth = generate(&mut fresh, &prompt, limit(8), &never, |_| Ok(()));
    assert_eq!(truth.prompt_computed, 150);
    for held in [1, 70, 149] {
        let mut used = session(&model, 200);
        used.prefill(&prompt[..held], LogitsOf::Nothing).unwrap();
        let found = generate(&mut used, &prompt, limit(8), &never, |_| Ok(()));
        assert_eq!((&found.ids, found.prompt_computed), (&truth.ids, 150 - held));
    }
    let mut whole = session(&model, 200);
    whole.prefill(&prompt, LogitsOf::Nothing).unwrap();
    let found = generate(&mut whole, &prompt, limit(8), &never, |_| Ok(()));
    assert_eq!(found.end.unwrap_err().to_string(), "no ids to compute: give at least one");
}

#[test]
fn whoever_cannot_take_the_text_ends_it_and_the_record_stays() {
    let model = model();
    let truth = truth(&model);
    let never = AtomicBool::new(false);
    let found = generate(&mut session(&model, 64), &PROMPT, limit(LENGTH), &never, |count| {
        if count == 2 { Err(io::Error::from(io::ErrorKind::BrokenPipe)) } else { Ok(()) }
    });
    let error = found.end.unwrap_err();
    assert_eq!(error.to_string(), "the text cannot be given out: broken pipe");
    assert_eq!(found.ids, truth[..2]);
}
