//! What a suite file may contain, as serde sees it: plain, private, unvalidated.
//!
//! Every key of every kind of case is a field of [`WireCase`], and [`KEYS`] says which kinds it
//! belongs to. No `untagged`, no `flatten`, no internal tags: spans do not survive them.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use toml::Spanned;

use super::case::{Kind, Tier};
use super::wire_quantization::{WireLimits, WireWeights};

/// The keys beside `[[case]]` and `[defaults]`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct WireHead {
    /// What every case of the file is; one kind a file.
    #[schemars(with = "Kind")]
    pub kind: Option<Spanned<Kind>>,
    /// What the suite is about and what to suspect when it fails; shown in reports.
    #[schemars(with = "String")]
    pub analysis: Option<Spanned<String>>,
}

/// A case. `[defaults]` has the same keys but `name`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct WireCase {
    /// Name, unique in the file: `^[a-z0-9]+(-[a-z0-9]+)*$`, at most 64 characters. It never changes: baselines hang on it.
    #[schemars(with = "String", regex(pattern = "^[a-z0-9]+(-[a-z0-9]+)*$"), length(max = 64))]
    pub name: Option<Spanned<String>>,
    /// What the case is for and what to suspect when it fails; shown in reports.
    #[schemars(with = "String")]
    pub analysis: Option<Spanned<String>>,
    /// Id of a model in `models.toml`.
    #[schemars(with = "String")]
    pub model: Option<Spanned<String>>,
    /// When the case runs; not below the model's tier.
    #[schemars(with = "Tier")]
    pub tier: Option<Spanned<Tier>>,
    /// Marks a case that passes only while it fails: `{ why = "…", issue = 31 }`.
    #[schemars(with = "WireKnownFailure")]
    pub known_failure: Option<Spanned<WireKnownFailure>>,
    /// One trial for each combination: `{ threads = [1, 2], isa = ["scalar"] }`.
    #[schemars(with = "WireVariants")]
    pub variants: Option<Spanned<WireVariants>>,
    /// Seconds after which a reference that has not answered is killed; 1 to 86 400. The runner's own limit if absent. The engine under test runs inside the runner and has no limit.
    #[schemars(with = "u32", range(min = 1, max = 86_400))]
    pub timeout_seconds: Option<Spanned<i64>>,

    /// Text to start from.
    #[schemars(with = "String")]
    pub prompt: Option<Spanned<String>>,
    /// File with the text to start from, relative to the suites folder and inside it; read verbatim.
    #[schemars(with = "String")]
    pub prompt_file: Option<Spanned<String>>,
    /// Ids to start from; nothing is added to them.
    #[schemars(with = "Vec<u32>")]
    pub prompt_tokens: Option<Spanned<Vec<i64>>>,
    /// Add BOS (and EOS where the model asks for it) when text becomes ids. Default `true`.
    #[schemars(with = "bool")]
    pub add_special: Option<Spanned<bool>>,
    /// Read special pieces such as `<|eot_id|>` in the text as their ids. Default `false`.
    #[schemars(with = "bool")]
    pub parse_special: Option<Spanned<bool>>,
    /// Greedy steps after the prompt, 0 to 4 096; 0 compares the prompt's logits only.
    #[schemars(with = "u32", range(max = 4096))]
    pub steps: Option<Spanned<i64>>,
    /// How near is near enough: a class, or a class with ceilings made tighter. Metamorphic cases default to `self`; with `repeat-run` and `fresh-cache`, which demand equal bits, a case states none.
    #[schemars(with = "WireTolerance")]
    pub tolerance: Option<Spanned<WireTolerance>>,
    /// What a first differing greedy id means. Default `margin`.
    #[schemars(with = "WireGreedy")]
    pub greedy: Option<Spanned<WireGreedy>>,

    /// Text to tokenise; may be empty.
    #[schemars(with = "String")]
    pub text: Option<Spanned<String>>,
    /// File with the text to tokenise, relative to the suites folder and inside it; read verbatim.
    #[schemars(with = "String")]
    pub text_file: Option<Spanned<String>>,
    /// Texts to tokenise, each compared on its own.
    #[schemars(with = "Vec<String>")]
    pub texts: Option<Spanned<Vec<String>>>,

    /// What must not change the logits.
    #[schemars(with = "WireRelation")]
    pub relation: Option<Spanned<WireRelation>>,

    /// How a copy of the model is damaged before it is opened.
    #[schemars(with = "WireDamage")]
    pub damage: Option<Spanned<WireDamage>>,
    /// Text that the refusal must contain.
    #[schemars(with = "String")]
    pub expect_error: Option<Spanned<String>>,

    /// Tensor type as ggml names it, such as `"Q4_0"`.
    #[schemars(with = "String")]
    pub r#type: Option<Spanned<String>>,
    /// Rows of the matrix, 1 to 4 096.
    #[schemars(with = "u32", range(min = 1, max = 4096))]
    pub rows: Option<Spanned<i64>>,
    /// Columns of the matrix, 1 to 4 096; a multiple of the type's block.
    #[schemars(with = "u32", range(min = 1, max = 4096))]
    pub columns: Option<Spanned<i64>>,
    /// Rows of activations that the matrix is multiplied with, 1 to 64. Default 4.
    #[schemars(with = "u32", range(min = 1, max = 64))]
    pub tokens: Option<Spanned<i64>>,
    /// Seed of weights and activations.
    #[schemars(with = "u64")]
    pub seed: Option<Spanned<i64>>,
    /// How the weights are distributed.
    #[schemars(with = "WireWeights")]
    pub weights: Option<Spanned<WireWeights>>,
    /// Limits that are tighter than those of the type.
    #[schemars(with = "WireLimits")]
    pub limits: Option<Spanned<WireLimits>>,

    /// Time loading the model, from a process without one. Default `false`.
    #[schemars(with = "bool")]
    pub load: Option<Spanned<bool>>,
    /// Ids of each timed prefill: `[128, 512]` is llama-bench's pp128 and pp512.
    #[schemars(with = "Vec<u32>")]
    pub prefill: Option<Spanned<Vec<Spanned<i64>>>>,
    /// Ids of each timed decode, one id a call and at least 16: `[128]` is llama-bench's tg128.
    #[schemars(with = "Vec<u32>")]
    pub decode: Option<Spanned<Vec<Spanned<i64>>>>,
    /// Ids in the KV cache before the first decoded one. Default 0.
    #[schemars(with = "u32")]
    pub depth: Option<Spanned<i64>>,
    /// What the engine under test hands out behind a decoded id; the reference computes every logit in any case. Default `greedy`.
    #[schemars(with = "WireOutput")]
    pub output: Option<Spanned<WireOutput>>,
    /// Most rounds of a measure, 8 to 40. Default 40; a verdict may need fewer.
    #[schemars(with = "u32", range(min = 8, max = 40))]
    pub rounds: Option<Spanned<i64>>,
    /// Smallest speed of the engine under test, as a part of the reference's: 1.5 demands half as much again.
    #[schemars(with = "f64", range(min = 0.01, max = 100.0))]
    pub min_ratio: Option<Spanned<f64>>,
}

/// What an engine hands out behind a decoded id.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum WireOutput {
    /// The id of the highest logit: what greedy generation needs.
    Greedy,
    /// Every logit.
    Logits,
}

/// Keys of a case in the order of the reference, each with the kinds it belongs to.
pub(super) const KEYS: &[(&str, &[Kind])] = {
    use Kind::{Bench, Metamorphic, Parity, Quantization, Reject, Tokenizer};
    const ALL: &[Kind] = &[Parity, Tokenizer, Metamorphic, Reject, Quantization, Bench];
    // A slow engine is no known failure: its baseline says how slow.
    const PASSES: &[Kind] = &[Parity, Tokenizer, Metamorphic, Reject, Quantization];
    const OPENS_MODEL: &[Kind] = &[Parity, Tokenizer, Metamorphic, Reject, Bench];
    const ASKS_REFERENCE: &[Kind] = &[Parity, Tokenizer, Bench];
    const RUNS: &[Kind] = &[Parity, Metamorphic];
    const COMPUTES: &[Kind] = &[Parity, Metamorphic, Quantization, Bench];
    const READS_TEXT: &[Kind] = &[Parity, Tokenizer, Metamorphic];
    &[
        ("name", ALL),
        ("analysis", ALL),
        ("model", OPENS_MODEL),
        ("tier", ALL),
        ("known-failure", PASSES),
        ("timeout-seconds", ASKS_REFERENCE),
        ("variants", COMPUTES),
        ("prompt", RUNS),
        ("prompt-file", RUNS),
        ("prompt-tokens", RUNS),
        ("add-special", READS_TEXT),
        ("parse-special", READS_TEXT),
        ("steps", &[Parity]),
        ("tolerance", RUNS),
        ("greedy", &[Parity]),
        ("text", &[Tokenizer]),
        ("text-file", &[Tokenizer]),
        ("texts", &[Tokenizer]),
        ("relation", &[Metamorphic]),
        ("damage", &[Reject]),
        ("expect-error", &[Reject]),
        ("type", &[Quantization]),
        ("rows", &[Quantization]),
        ("columns", &[Quantization]),
        ("tokens", &[Quantization]),
        ("seed", &[Quantization]),
        ("weights", &[Quantization]),
        ("limits", &[Quantization]),
        ("load", &[Bench]),
        ("prefill", &[Bench]),
        ("decode", &[Bench]),
        ("depth", &[Bench]),
        ("output", &[Bench]),
        ("rounds", &[Bench]),
        ("min-ratio", &[Bench]),
    ]
};

/// Why a case is expected to fail, and where that is tracked.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct WireKnownFailure {
    /// The reason, in a sentence.
    #[schemars(with = "String")]
    pub why: Spanned<String>,
    /// Number of the issue.
    #[schemars(with = "u32", range(min = 1))]
    pub issue: Spanned<i64>,
}

/// Axes along which a case is repeated; at least one.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct WireVariants {
    /// Compute threads, each 1 to 1 024.
    #[schemars(with = "Option<Vec<u32>>")]
    pub threads: Option<Spanned<Vec<Spanned<i64>>>>,
    /// Instruction sets.
    #[schemars(with = "Option<Vec<WireIsa>>")]
    pub isa: Option<Spanned<Vec<Spanned<WireIsa>>>>,
}

/// Instruction set that an engine is made to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum WireIsa {
    /// Plain code.
    Scalar,
    /// AVX2.
    Avx2,
    /// AVX-512.
    Avx512,
    /// AVX-512 with VBMI.
    Avx512Vbmi,
    /// NEON.
    Neon,
    /// NEON with dot products.
    NeonDotprod,
}

impl WireIsa {
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Avx512Vbmi => "avx512-vbmi",
            Self::Neon => "neon",
            Self::NeonDotprod => "neon-dotprod",
        }
    }
}

/// What a first differing greedy id means.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum WireGreedy {
    /// The reference's margin between the two choices decides between a tie and a divergence.
    Margin,
    /// Any difference fails.
    Exact,
}

/// A numeric contract.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum WireClass {
    /// The same engine with the same shapes.
    #[serde(rename = "self")]
    Same,
    /// Another engine, the same file and the same rule for activations.
    SameNumerics,
    /// Another engine whose arithmetic differs by design.
    CrossNumerics,
}

/// `"same-numerics"` or `{ class = "same-numerics", mean-kl = 5e-4 }`.
#[derive(Debug)]
pub(super) enum WireTolerance {
    /// The class with its own limits.
    Class(WireClass),
    /// The class with some limits tightened.
    Ceilings(Box<WireCeilings>),
}

/// A class with ceilings that may only be tighter than the class's own.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct WireCeilings {
    /// The contract that the ceilings tighten.
    pub class: WireClass,
    /// Ceiling of the mean KL(reference‖test) in nats.
    #[schemars(with = "Option<f64>")]
    pub mean_kl: Option<Spanned<f64>>,
    /// Ceiling of the 99th percentile of KL.
    #[schemars(with = "Option<f64>")]
    pub p99_kl: Option<Spanned<f64>>,
    /// Ceiling of the largest KL of a position.
    #[schemars(with = "Option<f64>")]
    pub max_kl: Option<Spanned<f64>>,
    /// Ceiling of the 99th percentile of the centred NMSE.
    #[schemars(with = "Option<f64>")]
    pub p99_nmse: Option<Spanned<f64>>,
    /// Ceiling of the largest centred NMSE of a position.
    #[schemars(with = "Option<f64>")]
    pub max_nmse: Option<Spanned<f64>>,
    /// Floor of the raw cosine similarity.
    #[schemars(with = "Option<f64>")]
    pub min_raw_cosine: Option<Spanned<f64>>,
    /// Floor of the first percentile of the centred cosine.
    #[schemars(with = "Option<f64>")]
    pub min_centred_cosine: Option<Spanned<f64>>,
    /// Ceiling of |1 − slope of the test's logits on the reference's|.
    #[schemars(with = "Option<f64>")]
    pub max_slope_deviation: Option<Spanned<f64>>,
    /// Ceiling of |ln of the ratio of perplexities|.
    #[schemars(with = "Option<f64>")]
    pub max_ln_perplexity_ratio: Option<Spanned<f64>>,
}

impl<'de> Deserialize<'de> for WireTolerance {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordOrTable;

        impl<'de> Visitor<'de> for WordOrTable {
            type Value = WireTolerance;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a class or a table with `class`")
            }

            fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<WireTolerance, E> {
                WireClass::deserialize(serde::de::value::StrDeserializer::new(word))
                    .map(WireTolerance::Class)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<WireTolerance, A::Error> {
                WireCeilings::deserialize(MapAccessDeserializer::new(map))
                    .map(|ceilings| WireTolerance::Ceilings(Box::new(ceilings)))
            }
        }

        deserializer.deserialize_any(WordOrTable)
    }
}

impl JsonSchema for WireTolerance {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "WireTolerance".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let class = generator.subschema_for::<WireClass>();
        let ceilings = generator.subschema_for::<WireCeilings>();
        json_schema!({ "anyOf": [class, ceilings] })
    }
}

/// What must not change the logits of the subject.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum WireRelation {
    /// One batch gives what one id at a time through the KV cache gives.
    PrefillEqualsSteps,
    /// The same request twice gives the same bits.
    RepeatRun,
    /// The first half alone gives the first rows of the whole.
    CausalPrefix,
    /// A model that has just computed something else gives the bits that a newly opened one gives.
    FreshCache(WireFreshCache),
    /// Each number of threads gives what the first one gives; at least two.
    #[schemars(with = "Vec<u32>")]
    Threads(Spanned<Vec<Spanned<i64>>>),
    /// Each instruction set gives what the first one gives; at least two.
    #[schemars(with = "Vec<WireIsa>")]
    Isa(Spanned<Vec<Spanned<WireIsa>>>),
}

impl WireRelation {
    /// The relations between two equal computations, which no tolerance softens.
    pub fn demands_equal_bits(&self) -> bool {
        match self {
            Self::RepeatRun | Self::FreshCache(_) => true,
            Self::PrefillEqualsSteps | Self::CausalPrefix | Self::Threads(_) | Self::Isa(_) => {
                false
            }
        }
    }
}

/// What the model computes before the prompt.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct WireFreshCache {
    /// The earlier prompt.
    #[schemars(with = "String")]
    pub after: Spanned<String>,
}

/// One damage, made to the bytes of a copy.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum WireDamage {
    /// Keep only the first bytes.
    #[schemars(with = "u64")]
    TruncateToBytes(Spanned<i64>),
    /// Keep only the first part, 0 to below 1, rounded down to bytes.
    #[schemars(with = "f64")]
    TruncateToFraction(Spanned<f64>),
    /// Write bytes over those at an offset.
    Overwrite(WireOverwrite),
    /// Put this text in the file's place.
    #[schemars(with = "String")]
    ReplaceWithText(Spanned<String>),
    /// Rename a metadata key or a tensor, to a name of as many bytes.
    Rename(WireRename),
    /// Write another value under a metadata key of type u32.
    SetU32(WireSetU32),
    /// Write another value under a metadata key of type f32.
    SetF32(WireSetF32),
}

/// Bytes at an offset.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct WireOverwrite {
    /// Offset in the file.
    #[schemars(with = "u64")]
    pub offset: Spanned<i64>,
    /// The bytes as pairs of hex digits.
    #[schemars(with = "String")]
    pub hex: Spanned<String>,
}

/// Names of equal length.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct WireRename {
    /// The name in the file.
    #[schemars(with = "String")]
    pub from: Spanned<String>,
    /// The name put there.
    #[schemars(with = "String")]
    pub to: Spanned<String>,
}

/// A u32 of the metadata.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct WireSetU32 {
    /// The metadata key.
    #[schemars(with = "String")]
    pub key: Spanned<String>,
    /// The value put there.
    #[schemars(with = "u32")]
    pub value: Spanned<i64>,
}

/// An f32 of the metadata.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct WireSetF32 {
    /// The metadata key.
    #[schemars(with = "String")]
    pub key: Spanned<String>,
    /// The value put there; `nan` and `inf` are allowed.
    pub value: f64,
}
