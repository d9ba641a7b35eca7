//! One vocabulary in both engines, and the search for texts on which they differ.

use std::sync::{Mutex, PoisonError};

use bitnet_engine::gguf::GgufFile;
use bitnet_engine::model::read_tokenizer;
use bitnet_engine::tokenizer::{TokenType, Tokenizer, TokenizerError};
use bitnet_runner::backend::protocol::build_id;
use bitnet_runner::backend::worker::{WorkerBackend, WorkerSpec, locate};
use bitnet_runner::backend::{Backend, BackendError, OpenRequest, TokenizeOptions};
use libtest_mimic::Failed;

use crate::random::Random;
use crate::shrink::shrink;
use crate::texts::{self, Pieces};
use crate::vocabulary::{Recipe, write};

/// Texts that a wrong rule must be found with.
const ENOUGH: u64 = 300;

/// Worker processes of one reference that no trial is using.
pub struct Workers {
    reference: &'static str,
    idle: Mutex<Vec<WorkerBackend>>,
}

impl Workers {
    pub fn new(reference: &'static str) -> Self {
        Self { reference, idle: Mutex::default() }
    }

    fn take(&self) -> Result<WorkerBackend, BackendError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.map_or_else(|| start(self.reference), Ok)
    }
}

fn start(reference: &str) -> Result<WorkerBackend, BackendError> {
    WorkerBackend::start(WorkerSpec {
        name: reference.into(),
        program: locate(&format!("{reference}-worker"))?,
        args: Vec::new(),
        env: Vec::new(),
        build: Some(build_id()),
        remedy: "run `cargo build` with the default features".into(),
        handshake_seconds: 30,
        request_seconds: 120,
    })
}

#[derive(PartialEq)]
enum Found {
    Same,
    Difference,
    /// The vocabulary has no token for a byte of the text: the reference leaves the byte out without
    /// a word, our tokenizer refuses the text.
    Lost,
}

/// Both engines with the same vocabulary.
pub struct Pair<'w> {
    name: String,
    workers: &'w Workers,
    reference: Option<WorkerBackend>,
    subject: Tokenizer,
    pieces: Pieces,
}

impl<'w> Pair<'w> {
    pub fn open(workers: &'w Workers, name: &str, recipe: &Recipe) -> Result<Self, Failed> {
        Self::open_as(workers, name, recipe, recipe)
    }

    /// With another recipe for our side.
    fn open_as(
        workers: &'w Workers,
        name: &str,
        ours: &Recipe,
        theirs: &Recipe,
    ) -> Result<Self, Failed> {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let path = folder.path().join("model.gguf");
        write(ours, &path);
        let file = GgufFile::open(&path)?;
        let subject = read_tokenizer(file.metadata())?;
        write(theirs, &path);
        let mut reference = workers.take()?;
        let request = OpenRequest::new(path, 64);
        reference.open(&request)?;
        let ids = 0..subject.vocab_size() as u32;
        let tokens = ids.clone().map(|id| subject.piece(id).expect("an id").to_vec()).collect();
        let is_special = |&id: &u32| {
            let special = [TokenType::Control, TokenType::Unknown, TokenType::UserDefined];
            special.contains(&subject.token_type(id).expect("an id"))
        };
        let text = |id| String::from_utf8(subject.piece(id).expect("an id").to_vec()).ok();
        let special = ids.filter(is_special).filter_map(text).collect();
        let pieces = Pieces { tokens, special };
        Ok(Self { name: name.into(), workers, reference: Some(reference), subject, pieces })
    }

    fn reference(&mut self) -> &mut WorkerBackend {
        self.reference.as_mut().expect("it is taken back when the pair is dropped")
    }

    /// Compares the bytes that every id prints as.
    pub fn pieces(&mut self) -> Result<u64, Failed> {
        let ids: Vec<u32> = (0..self.subject.vocab_size() as u32).collect();
        let theirs = self.reference().detokenize(&ids)?;
        let ours = self.pieces.tokens.concat();
        if ours == theirs {
            return Ok(1);
        }
        for id in ids {
            let theirs = self.reference().detokenize(&[id])?;
            let ours = &self.pieces.tokens[id as usize];
            if *ours != theirs {
                let [ours, theirs] =
                    [ours, &theirs].map(|b| String::from_utf8_lossy(b).escape_debug().to_string());
                return Err(
                    format!("id {id} prints as `{ours}`, the reference's `{theirs}`").into()
                );
            }
        }
        Err("all ids together print differently, and no id alone does".into())
    }

    /// Compares `count` generated texts, some of them with the ids that are added at their ends.
    pub fn texts(&mut self, seed: u64, count: u64, may_add: bool) -> Result<u64, Failed> {
        let mut compared = 0;
        for index in 0..count {
            let mut random = Random::new(seed, &self.name, index);
            let text = texts::text(&mut random, &self.pieces);
            let options = TokenizeOptions {
                add_special: random.coin() && may_add,
                parse_special: random.coin(),
            };
            match self.judge(&text, options)? {
                Found::Same => compared += 1,
                Found::Lost => {}
                Found::Difference => {
                    let report = self.report(&text, options)?;
                    return Err(format!("text {index} of seed {seed}: {report}").into());
                }
            }
        }
        // Where a vocabulary lacks a byte, most texts must still be worth comparing.
        if compared * 2 < count {
            return Err(format!("only {compared} of {count} texts could be compared").into());
        }
        Ok(compared)
    }

    /// Compares texts that hold code points of all planes: all of them if `count` allows it, else
    /// so many, evenly spread.
    pub fn code_points(&mut self, count: u64) -> Result<u64, Failed> {
        let all = texts::code_points();
        let step = all.len().div_ceil(count.max(1) as usize);
        let options = TokenizeOptions { add_special: false, parse_special: false };
        let mut compared = 0;
        for text in all.iter().step_by(step) {
            if self.judge(text, options)? != Found::Same {
                return Err(self.report(text, options)?.into());
            }
            compared += 1;
        }
        Ok(compared)
    }

    fn judge(&mut self, text: &str, options: TokenizeOptions) -> Result<Found, BackendError> {
        let theirs = self.reference().tokenize(text, options)?;
        Ok(match self.subject.encode(text, options.add_special, options.parse_special) {
            Ok(ours) if ours == theirs => Found::Same,
            Err(TokenizerError::NoTokenForByte { .. }) if self.loses(text)? => Found::Lost,
            _ => Found::Difference,
        })
    }

    /// Whether the reference's ids do not give the text back.
    fn loses(&mut self, text: &str) -> Result<bool, BackendError> {
        let options = TokenizeOptions { add_special: false, parse_special: false };
        let ids = self.reference().tokenize(text, options)?;
        Ok(self.reference().detokenize(&ids)? != text.as_bytes())
    }

    fn report(&mut self, text: &str, options: TokenizeOptions) -> Result<String, BackendError> {
        let smallest = shrink(text, |text| {
            Ok::<_, BackendError>(self.judge(text, options)? == Found::Difference)
        })?;
        let ours = self.subject.encode(&smallest, options.add_special, options.parse_special);
        let ours = ours.map_or_else(|error| error.to_string(), |ids| self.shown(&ids));
        let theirs = self.reference().tokenize(&smallest, options)?;
        let theirs = self.shown(&theirs);
        Ok(format!(
            "`{}` (add_special {}, parse_special {})\n  ours:      {ours}\n  reference: {theirs}",
            smallest.escape_default(),
            options.add_special,
            options.parse_special
        ))
    }

    fn shown(&self, ids: &[u32]) -> String {
        let one = |id: &u32| match self.pieces.tokens.get(*id as usize) {
            Some(piece) => format!("{id} `{}`", piece.escape_ascii()),
            None => format!("{id} outside the vocabulary"),
        };
        ids.iter().map(one).collect::<Vec<_>>().join(", ")
    }
}

impl Drop for Pair<'_> {
    fn drop(&mut self) {
        let mut idle = self.workers.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.extend(self.reference.take());
    }
}

/// The comparison is worth something: rules of another name do not pass for those of this one.
pub fn wrong_rules_are_found(
    workers: &Workers,
    ours: &'static str,
    theirs: &'static str,
) -> Result<(), Failed> {
    let [ours, theirs] = [ours, theirs].map(|pre| Recipe::Pairs { pre });
    let mut pair = Pair::open_as(workers, "wrong-rules", &ours, &theirs)?;
    let Err(failed) = pair.texts(1, ENOUGH, false) else {
        return Err(format!("{ENOUGH} texts showed no difference").into());
    };
    let message = failed.message().unwrap_or_default();
    let text = message.split('`').nth(1).unwrap_or_default();
    // What was found is small enough to be read.
    if message.contains("  reference: ") && (1..=40).contains(&text.len()) {
        return Ok(());
    }
    Err(format!("not shrunk: {message}").into())
}

/// Removing, then plainer characters; and a search that fails says so.
pub fn a_difference_is_shrunk() {
    let has_both = |text: &str| Ok::<_, String>(text.contains('x') && text.contains("€€"));
    assert_eq!(shrink("äöü x 12 €€€ \n", has_both), Ok("x€€".to_owned()));
    let long = |text: &str| Ok::<_, String>(text.chars().count() >= 3);
    assert_eq!(shrink("\u{1F600}\u{301}zz\u{301}", long), Ok("aaa".to_owned()));
    let broken = |_: &str| Err("the engine is gone");
    assert_eq!(shrink("abc", broken), Err("the engine is gone"));
}
