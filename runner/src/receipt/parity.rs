//! What the receipt of a comparison holds, as it is written and read, and how it comes from a verdict
//! and back. It computes no figure of its own.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::columns::Columns;
use super::facts::{CaseFacts, Kind, ModelFacts, Tool};
use super::parity_metrics::ParityMetrics;
use crate::backend::{Identity, KernelCalls};
use crate::compare::{
    Bounded, Finding, Flip, FreeRun, MeasuredPath, Measurements, NoisePair, Path, Qualification,
    Rung, TokenComparison, Tolerance, Verdict, Word,
};
use crate::machine::Machine;

/// One run of a parity case against one reference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ParityReceipt {
    /// Version of this format, `major.minor.patch`.
    pub schema_version: String,
    /// What kind of receipt it is.
    pub kind: Kind,
    /// The program that compared.
    pub tool: Tool,
    /// When the trial began: RFC 3339, UTC.
    pub time: String,
    /// Wall time of the trial, seconds.
    pub seconds: f64,
    /// What was asked for.
    pub case: CaseFacts,
    /// What both engines were given.
    pub prompt: PromptFacts,
    /// What was computed with; none where the model was not there or cannot be read.
    pub model: Option<ModelFacts>,
    /// The engine under test.
    pub subject: Identity,
    /// Name of the reference that the trial asks for; none where the model lists none.
    pub against: Option<String>,
    /// That reference; none where it was not started.
    pub reference: Option<Identity>,
    /// The machine that both ran on.
    pub machine: Machine,
    /// Compute threads of the subject.
    pub threads: usize,
    /// The instruction set that the case asks for; none for the best one of the machine.
    pub isa: Option<String>,
    /// The subject's kernels as they were dispatched in this trial.
    pub kernels: Vec<KernelCalls>,
    /// What the outputs were judged by.
    pub tolerance: Tolerance,
    /// What was measured; none where nothing could be compared.
    pub raw: Option<Raw>,
    /// Derived from `raw` and `tolerance`.
    pub metrics: Option<ParityMetrics>,
    /// Known-wrong outputs that the tolerance was fed with; none where that was not asked for.
    pub qualification: Option<Qualification>,
    /// Issue that the suite expects this case to fail for.
    pub known_failure: Option<u32>,
    /// Derived from `raw` and `tolerance`.
    pub verdict: ParityVerdict,
    /// Whether the trial passed: the verdict passes (or fails as the suite expects), and no known-wrong
    /// output passed either.
    pub passed: bool,
}

/// What both engines were given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PromptFacts {
    /// What the case gives.
    pub form: PromptForm,
    /// SHA-256 of the text's UTF-8, or of the ids as little-endian 32-bit words; lower-case hex.
    pub sha256: String,
}

impl PromptFacts {
    /// Of a text.
    pub fn of_text(text: &str) -> Self {
        Self { form: PromptForm::Text, sha256: hex(text.as_bytes()) }
    }

    /// Of ids.
    pub fn of_ids(ids: &[u32]) -> Self {
        let bytes: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
        Self { form: PromptForm::Ids, sha256: hex(&bytes) }
    }
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a case gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PromptForm {
    /// A text, which both engines turn into ids.
    Text,
    /// Ids.
    Ids,
}

/// What was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Raw {
    /// Logits in a row.
    pub vocab_size: usize,
    /// The first so many of `ids` are the prompt.
    pub prompt_len: usize,
    /// The prompt and the reference's greedy choices.
    pub ids: Vec<u32>,
    /// Their texts, with control characters escaped.
    pub texts: Vec<String>,
    /// Both tokenisations; none where the case gives ids.
    pub tokens: Option<TokenComparison>,
    /// Prefill and, with steps, decode.
    pub paths: Vec<RawPath>,
    /// The subject's own continuation; none without steps.
    pub free_run: Option<RawFreeRun>,
    /// Both engines against themselves; none without steps.
    pub noise: Option<NoisePair>,
    /// Where figures are bounds, because a golden keeps a part of the reference's rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bounded: Option<Bounded>,
}

/// What was measured on the rows of one path.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawPath {
    /// Which path.
    pub path: Path,
    /// Figures of every position.
    pub rows: Columns,
    /// Positions where the choices differ.
    pub flips: Vec<RawFlip>,
}

/// Two different choices.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawFlip {
    /// Position of the row.
    pub position: usize,
    /// Reference logit of its choice less that of the test's choice, nats.
    pub margin: f64,
    /// Test logit of its choice less that of the reference's choice, nats.
    pub test_margin: f64,
    /// Place of the test's choice in the reference's order, from 2.
    pub reference_rank: usize,
    /// Place of the reference's choice in the test's order, from 2.
    pub test_rank: usize,
}

/// The subject's own continuation of the prompt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawFreeRun {
    /// What it chose, one id a step.
    pub ids: Vec<u32>,
    /// At the first step that is not the reference's: by how much its own logits prefer another token
    /// than the one that it chose, nats; 0 without such a step.
    pub regret: f64,
    /// Its best logit there; 0 without such a step.
    pub best_logit: f64,
}

/// How a comparison ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ParityVerdict {
    /// The word.
    pub word: Word,
    /// The first rung that fails.
    pub rung: Option<Rung>,
    /// Rules not kept, by rung.
    pub findings: Vec<Finding>,
    /// What a pass does not show, in sentences.
    pub untested: Vec<String>,
    /// Why nothing could be compared; only with ERROR.
    pub error: Option<String>,
}

impl ParityVerdict {
    /// What a receipt keeps of `verdict` beside its measurements.
    pub fn of(verdict: &Verdict) -> Self {
        Self {
            word: verdict.word,
            rung: verdict.rung,
            findings: verdict.findings.clone(),
            untested: verdict.untested.clone(),
            error: verdict.error.clone(),
        }
    }

    /// Nothing could be compared, for this reason.
    pub fn error(why: impl Into<String>) -> Self {
        Self {
            word: Word::Error,
            rung: None,
            findings: Vec::new(),
            untested: Vec::new(),
            error: Some(why.into()),
        }
    }
}

impl Raw {
    /// What `verdict` rests on; none where nothing was compared. `ids` are the prompt and the
    /// reference's choices.
    pub fn of(verdict: &Verdict, vocab_size: usize, ids: &[u32], texts: &[String]) -> Option<Self> {
        if verdict.paths.is_empty() {
            return None;
        }
        let flip = |flip: &Flip| RawFlip {
            position: flip.position,
            margin: flip.margin,
            test_margin: flip.test_margin,
            reference_rank: flip.reference_rank,
            test_rank: flip.test_rank,
        };
        let paths = verdict.paths.iter().map(|p| RawPath {
            path: p.path,
            rows: Columns::of(&p.rows),
            flips: p.greedy.flips.iter().map(flip).collect(),
        });
        Some(Self {
            vocab_size,
            prompt_len: verdict.prompt_len,
            ids: ids.to_vec(),
            texts: texts.to_vec(),
            tokens: verdict.tokens.clone(),
            paths: paths.collect(),
            free_run: verdict.free_run.as_ref().map(|run| RawFreeRun {
                ids: run.ids.clone(),
                regret: run.regret,
                best_logit: run.best_logit,
            }),
            noise: verdict.noise.clone(),
            bounded: verdict.bounded,
        })
    }

    /// The verdict that these measurements have under `tolerance`.
    ///
    /// # Errors
    /// In words: lists that do not belong together, figures that are none.
    pub fn judge(&self, tolerance: &Tolerance) -> Result<Verdict, String> {
        let path = |p: &RawPath| -> Result<MeasuredPath, String> {
            let rows = p.rows.rows().map_err(|column| {
                format!("{}: the list `{column}` does not fit the others", p.path.name())
            })?;
            // What is 0 here follows from the rows, and is computed there.
            let flips = p.flips.iter().map(|flip| Flip {
                position: flip.position,
                reference_id: 0,
                test_id: 0,
                margin: flip.margin,
                test_margin: flip.test_margin,
                tau: 0.0,
                hard: false,
                reference_rank: flip.reference_rank,
                test_rank: flip.test_rank,
            });
            Ok(MeasuredPath { path: p.path, rows, flips: flips.collect() })
        };
        let chosen = self.ids.get(self.prompt_len..).ok_or("the prompt is longer than all ids")?;
        let free_run = self.free_run.as_ref().map(|run| FreeRun {
            ids: run.ids.clone(),
            steps: 0,
            equal_steps: 0,
            test_id: None,
            reference_id: None,
            regret: run.regret,
            best_logit: run.best_logit,
            tau: 0.0,
            tie_rule_broken: false,
        });
        let measurements = Measurements {
            prompt_len: self.prompt_len,
            chosen: chosen.to_vec(),
            tokens: self.tokens.clone(),
            paths: self.paths.iter().map(path).collect::<Result<_, _>>()?,
            free_run,
            noise: self.noise.clone(),
            bounded: self.bounded,
        };
        measurements.judge(tolerance)
    }
}

impl ParityReceipt {
    /// Whether the trial passed, from the parts that decide it.
    pub fn passes(word: Word, known_failure: bool, qualification: Option<&Qualification>) -> bool {
        let judged = match known_failure {
            true => word == Word::Diverged,
            false => word.passes(),
        };
        judged && qualification.is_none_or(Qualification::passes)
    }
}
