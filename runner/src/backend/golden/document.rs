//! What a golden holds: who answered which question, and what is kept of the answer. It reads and writes no
//! byte.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::backend::{Identity, ModelFacts};
use crate::compare::NoiseProfile;
use crate::compare::golden::PathDigest;
use crate::manifest::digest::hex;

/// A recorded answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Golden {
    /// Who answered, when, and what was asked.
    pub header: Header,
    /// The answer.
    pub answer: Answer,
}

/// Everything but the answer itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// `<suite>::<case>`.
    pub case: String,
    /// Day of the recording in UTC, `2026-01-31`.
    pub recorded: String,
    /// Who answered.
    pub reference: Identity,
    /// What was asked.
    pub question: Question,
    /// What the reference found in the model.
    pub facts: ModelFacts,
}

/// All that an answer depends on beside the reference: a golden answers this question and no other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// SHA-256 of the model's file, lower-case hex.
    pub model_sha256: String,
    /// [`prompt_sha256`] or [`texts_sha256`].
    pub prompt_sha256: String,
    /// Greedy steps; none where texts are tokenised.
    pub steps: Option<usize>,
    /// BOS (and EOS, where the model asks for it) is added.
    pub add_special: bool,
    /// Special pieces in the text are read as their ids.
    pub parse_special: bool,
    /// Threads that the reference computes with.
    pub threads: usize,
}

impl Question {
    /// What differs in `now`, first thing first: its name, as it was and as it is.
    pub fn difference(&self, now: &Self) -> Option<(&'static str, String, String)> {
        let steps = |q: &Self| q.steps.map_or("none".to_owned(), |steps| steps.to_string());
        let short = |sha256: &str| sha256.chars().take(16).collect::<String>();
        [
            ("model", short(&self.model_sha256), short(&now.model_sha256)),
            ("prompt", short(&self.prompt_sha256), short(&now.prompt_sha256)),
            ("number of steps", steps(self), steps(now)),
            ("add-special", self.add_special.to_string(), now.add_special.to_string()),
            ("parse-special", self.parse_special.to_string(), now.parse_special.to_string()),
            ("number of threads", self.threads.to_string(), now.threads.to_string()),
        ]
        .into_iter()
        .zip([
            self.model_sha256 == now.model_sha256,
            self.prompt_sha256 == now.prompt_sha256,
            self.steps == now.steps,
            self.add_special == now.add_special,
            self.parse_special == now.parse_special,
            self.threads == now.threads,
        ])
        .find_map(|(difference, same)| (!same).then_some(difference))
    }
}

/// What is kept of an answer, by the kind of the case.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// Ids, logits and greedy choices.
    Parity(Box<ParityAnswer>),
    /// For each text, with the case's special ids and without any that are added.
    Tokenizer(Vec<TextAnswer>),
}

/// What is kept of a parity case's answer.
#[derive(Debug, Clone, PartialEq)]
pub struct ParityAnswer {
    /// The ids of the prompt, at least one.
    pub prompt: Vec<u32>,
    /// How the text became them; none where the case gives ids.
    pub tokens: Option<StoredTokens>,
    /// The greedy choices.
    pub chosen: Vec<u32>,
    /// One row an id of the prompt and of all choices but the last.
    pub prefill: PathDigest,
    /// One row a choice.
    pub steps: PathDigest,
    /// The reference against itself; none without steps.
    pub noise: Option<NoiseProfile>,
}

impl ParityAnswer {
    /// Prompt and choices, without the last one: nothing follows it.
    pub fn fed(&self) -> Vec<u32> {
        let mut ids = self.prompt.clone();
        ids.extend(&self.chosen[..self.chosen.len().saturating_sub(1)]);
        ids
    }
}

/// The two tokenisations of one text.
#[derive(Debug, Clone, PartialEq)]
pub struct TextAnswer {
    /// As the case asks.
    pub asked: (Vec<u32>, StoredTokens),
    /// Without added special ids.
    pub plain: (Vec<u32>, StoredTokens),
}

/// A tokenisation beside its ids.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredTokens {
    /// Bytes of text that each id stands for; 0 for ids that were added.
    pub byte_lengths: Vec<usize>,
    /// What the ids turn back into.
    pub back: Back,
}

/// Bytes beside a text that is known.
#[derive(Debug, Clone, PartialEq)]
pub enum Back {
    /// These bytes, and then the text's.
    Before(Vec<u8>),
    /// These bytes.
    Bytes(Vec<u8>),
}

impl StoredTokens {
    /// What to keep where ids of `text` turn back into `bytes`.
    pub fn new(byte_lengths: &[usize], bytes: &[u8], text: &str) -> Self {
        let back = match bytes.strip_suffix(text.as_bytes()) {
            Some(before) => Back::Before(before.to_vec()),
            None => Back::Bytes(bytes.to_vec()),
        };
        Self { byte_lengths: byte_lengths.to_vec(), back }
    }

    /// The bytes that the ids of `text` turned back into.
    pub fn bytes(&self, text: &str) -> Vec<u8> {
        match &self.back {
            Back::Before(before) => [before, text.as_bytes()].concat(),
            Back::Bytes(bytes) => bytes.clone(),
        }
    }
}

/// SHA-256 of a prompt: of `text` and the text, or of `ids` and the ids, little-endian.
pub fn prompt_sha256(prompt: Result<&str, &[u32]>) -> String {
    let mut hash = Sha256::new();
    match prompt {
        Ok(text) => {
            hash.update("text");
            hash.update(text);
        }
        Err(ids) => {
            hash.update("ids");
            ids.iter().for_each(|id| hash.update(id.to_le_bytes()));
        }
    }
    hex(&hash.finalize())
}

/// SHA-256 of texts: of each one's number of bytes, eight bytes little-endian, and its bytes.
pub fn texts_sha256(texts: &[String]) -> String {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    }
    hex(&hash.finalize())
}
