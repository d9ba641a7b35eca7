//! What a synthetic model is made from: architecture, dimensions, types, seed.

use std::fmt;
use std::str::FromStr;

use super::form::{self, Form};
use crate::gguf::TensorType;
use crate::quant::i2_s;

/// Why a spec names no model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown {what} `{found}`; known are {known}")]
pub struct SpecError {
    what: &'static str,
    found: String,
    known: &'static str,
}

/// Named dimensions, with what the file has beyond them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// 2 layers, a few hundred kB: for unit tests.
    Tiny,
    /// [`Preset::Tiny`] with 4 heads of 100 values, which no block of a quantised type divides, and a
    /// SentencePiece vocabulary: the shape of the first BitNet models.
    TinyHeadsOf100,
    /// [`Preset::Tiny`] with heads of 96 values, so that they are wider than the residual stream.
    TinyWideHeads,
    /// [`Preset::Tiny`] with a bias for every matrix that may have one.
    TinyBiases,
    /// [`Preset::Tiny`] with RoPE stretched by 4.
    TinyLinearRope,
    /// [`Preset::Tiny`] with RoPE stretched by 4 from 128 positions, by YaRN.
    TinyYarn,
    /// [`Preset::Tiny`] with a factor for each of RoPE's frequencies.
    TinyRopeFactors,
    /// One layer as wide as those of bitnet_b1_58-large, whose shapes are among those that kernels for
    /// TL1 and TL2 are published for.
    LargeLayer,
    /// About 50 MB in I2_S: the official file's metadata shape, scaled down; for every CI run.
    CiLight,
    /// The dimensions of BitNet b1.58 2B-4T: 1.2 GB in I2_S.
    TwoB4T,
}

/// Type of the layers' matrices, or of the embedding and the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WeightType {
    /// Ternary codes with one scale a matrix (layers only).
    I2S,
    /// 32-bit floats.
    F32,
    /// 16-bit floats.
    F16,
    /// 16-bit floats with the exponent of 32-bit ones.
    Bf16,
    /// 8-bit codes in blocks of 32.
    Q8_0,
    /// 4-bit codes in blocks of 32.
    Q4_0,
    /// 4-bit codes with scales and minima in blocks of 256.
    Q4K,
    /// 5-bit codes with scales and minima in blocks of 256.
    Q5K,
    /// 6-bit codes in blocks of 256.
    Q6K,
    /// Ternary codes, five to a byte, in blocks of 256 with a scale each.
    Tq1_0,
    /// Ternary codes, four to a byte, in blocks of 256 with a scale each.
    Tq2_0,
}

/// Each type with the file's, and with `general.file_type` as llama.cpp numbers it; 40 is
/// bitnet.cpp's for I2_S.
const TYPES: [(WeightType, TensorType, u32); 11] = [
    (WeightType::I2S, TensorType::I2S, 40),
    (WeightType::F32, TensorType::F32, 0),
    (WeightType::F16, TensorType::F16, 1),
    (WeightType::Bf16, TensorType::Bf16, 32),
    (WeightType::Q8_0, TensorType::Q8_0, 7),
    (WeightType::Q4_0, TensorType::Q4_0, 2),
    (WeightType::Q4K, TensorType::Q4K, 14),
    (WeightType::Q5K, TensorType::Q5K, 16),
    (WeightType::Q6K, TensorType::Q6K, 18),
    (WeightType::Tq1_0, TensorType::Tq1_0, 36),
    (WeightType::Tq2_0, TensorType::Tq2_0, 37),
];

/// The names of [`TYPES`] for messages: of all, and of those that an embedding can have.
const ALL_TYPES: &str = "I2_S, F32, F16, BF16, Q8_0, Q4_0, Q4_K, Q5_K, Q6_K, TQ1_0, TQ2_0";
const EMBEDDING_TYPES: &str = "F32, F16, BF16, Q8_0, Q4_0, Q4_K, Q5_K, Q6_K, TQ1_0, TQ2_0";

/// Names of the types that the layers' matrices of a synthetic model can have.
pub fn weight_types() -> Vec<&'static str> {
    TYPES.iter().map(|row| row.1.name()).collect()
}

/// A synthetic model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SynthSpec {
    /// `general.architecture`.
    pub architecture: &'static str,
    /// Dimensions.
    pub preset: Preset,
    /// Type of the layers' matrices.
    pub weights: WeightType,
    /// Type of `token_embd` (and of `output`).
    pub embedding: WeightType,
    /// Whether the head is the embedding; if not, the file has an `output.weight`.
    pub tied: bool,
    /// Seed of all weights.
    pub seed: u64,
}

impl SynthSpec {
    /// A spec from names, as `models.toml` has them.
    ///
    /// # Errors
    /// If a name is unknown, or a type cannot be used in its place.
    pub fn from_names(
        architecture: &str,
        preset: &str,
        weights: &str,
        embedding: &str,
        seed: u64,
    ) -> Result<Self, SpecError> {
        let (weights, embedding) = (weights.parse()?, embedding.parse()?);
        let (form, preset) = (known_form(architecture)?, preset.parse()?);
        let (architecture, tied) = (form.name, form.tied);
        let spec = Self { architecture, preset, weights, embedding, tied, seed };
        spec.check()?;
        Ok(spec)
    }

    /// Refuses what the fields can say and no file can hold.
    pub(super) fn check(&self) -> Result<&'static Form, SpecError> {
        let refuse = |what, found: WeightType, known| {
            Err(SpecError { what, found: found.to_string(), known })
        };
        let form = known_form(self.architecture)?;
        let d = self.preset.dimensions();
        let lacking = (d.biases && form.may_be_biased.is_empty())
            || (d.rope == Rope::Factors && !form.may_have_factors)
            || (d.query() != d.embedding && !form.may_have_wide_heads);
        if lacking {
            let found = format!("{} of {}", self.preset, form.name);
            let known = "those of what its files can hold";
            return Err(SpecError { what: "preset", found, known });
        }
        if self.embedding == WeightType::I2S {
            return refuse("type of the embedding", self.embedding, EMBEDDING_TYPES);
        }
        let whole = |t: WeightType, columns: usize| {
            let fits = t.tensor_type().tensor_bytes(&[columns, 1]).is_ok();
            fits && (t != WeightType::I2S || columns.is_multiple_of(i2_s::BLOCK))
        };
        let blocks = "types whose blocks divide the preset's rows";
        if ![d.embedding, d.feed_forward, d.query()].iter().all(|n| whole(self.weights, *n)) {
            return refuse("type of layer weights", self.weights, blocks);
        }
        if !whole(self.embedding, d.embedding) {
            return refuse("type of the embedding", self.embedding, blocks);
        }
        Ok(form)
    }
}

fn known_form(name: &str) -> Result<&'static Form, SpecError> {
    form::find(name).ok_or_else(|| SpecError {
        what: "architecture",
        found: name.into(),
        known: form::NAMES,
    })
}

const PRESETS: [(Preset, &str); 10] = [
    (Preset::Tiny, "tiny"),
    (Preset::TinyHeadsOf100, "tiny-heads-of-100"),
    (Preset::TinyWideHeads, "tiny-wide-heads"),
    (Preset::TinyBiases, "tiny-biases"),
    (Preset::TinyLinearRope, "tiny-linear-rope"),
    (Preset::TinyYarn, "tiny-yarn"),
    (Preset::TinyRopeFactors, "tiny-rope-factors"),
    (Preset::LargeLayer, "large-layer"),
    (Preset::CiLight, "ci-light"),
    (Preset::TwoB4T, "2b-4t"),
];

impl FromStr for Preset {
    type Err = SpecError;

    fn from_str(name: &str) -> Result<Self, SpecError> {
        let known = PRESETS.iter().find(|(_, known)| *known == name);
        known.map(|(preset, _)| *preset).ok_or_else(|| SpecError {
            what: "preset",
            found: name.into(),
            known: "tiny, tiny-heads-of-100, tiny-wide-heads, tiny-biases, tiny-linear-rope, \
                    tiny-yarn, tiny-rope-factors, large-layer, ci-light, 2b-4t",
        })
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = PRESETS.iter().find(|(preset, _)| preset == self);
        f.write_str(known.map_or("", |(_, name)| name))
    }
}

impl FromStr for WeightType {
    type Err = SpecError;

    fn from_str(name: &str) -> Result<Self, SpecError> {
        let named = TYPES.into_iter().find(|row| row.1.name() == name);
        named.map(|row| row.0).ok_or_else(|| SpecError {
            what: "type",
            found: name.into(),
            known: ALL_TYPES,
        })
    }
}

impl fmt::Display for WeightType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.tensor_type().name())
    }
}

impl WeightType {
    pub(super) fn tensor_type(self) -> TensorType {
        TYPES[self as usize].1
    }

    /// `general.file_type`.
    pub(super) fn file_type(self) -> u32 {
        TYPES[self as usize].2
    }
}

/// How a preset's file changes RoPE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rope {
    Plain,
    Linear,
    Yarn,
    Factors,
}

/// Numbers of a preset.
pub(super) struct Dimensions {
    pub(super) layers: usize,
    pub(super) embedding: usize,
    pub(super) feed_forward: usize,
    pub(super) heads: usize,
    pub(super) kv_heads: usize,
    /// Values of a head.
    pub(super) head: usize,
    /// Ids before the 256 special ones, or pieces in a SentencePiece vocabulary.
    pub(super) ordinary_tokens: usize,
    pub(super) context: usize,
    pub(super) rope: Rope,
    /// Whether every matrix that may have a bias has one.
    pub(super) biases: bool,
    /// Whether the vocabulary is SentencePiece's.
    pub(super) sentence_pieces: bool,
}

impl Dimensions {
    /// Values of all query heads.
    pub(super) fn query(&self) -> usize {
        self.heads * self.head
    }

    /// Values of all key heads.
    pub(super) fn key(&self) -> usize {
        self.kv_heads * self.head
    }
}

const TINY: Dimensions = Dimensions {
    layers: 2,
    embedding: 256,
    feed_forward: 768,
    heads: 4,
    kv_heads: 2,
    head: 64,
    ordinary_tokens: 512,
    context: 512,
    rope: Rope::Plain,
    biases: false,
    sentence_pieces: false,
};

impl Preset {
    pub(super) fn dimensions(self) -> Dimensions {
        match self {
            Preset::Tiny => TINY,
            // The feed-forward rows are no multiple of 32 either.
            Preset::TinyHeadsOf100 => Dimensions {
                embedding: 400,
                feed_forward: 1080,
                head: 100,
                sentence_pieces: true,
                ..TINY
            },
            Preset::TinyWideHeads => Dimensions { head: 96, ..TINY },
            Preset::TinyBiases => Dimensions { biases: true, ..TINY },
            Preset::TinyLinearRope => Dimensions { rope: Rope::Linear, ..TINY },
            Preset::TinyYarn => Dimensions { rope: Rope::Yarn, ..TINY },
            Preset::TinyRopeFactors => Dimensions { rope: Rope::Factors, ..TINY },
            Preset::LargeLayer => Dimensions {
                layers: 1,
                embedding: 1536,
                feed_forward: 4096,
                heads: 12,
                kv_heads: 12,
                head: 128,
                ..TINY
            },
            // Heads of 128 values and four query heads to a KV head, as in 2B-4T.
            Preset::CiLight => Dimensions {
                layers: 6,
                embedding: 1536,
                feed_forward: 4096,
                heads: 12,
                kv_heads: 3,
                head: 128,
                ordinary_tokens: 3840,
                context: 4096,
                ..TINY
            },
            Preset::TwoB4T => Dimensions {
                layers: 30,
                embedding: 2560,
                feed_forward: 6912,
                heads: 20,
                kv_heads: 5,
                head: 128,
                ordinary_tokens: 128_000,
                context: 4096,
                ..TINY
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synth::write_model;

    #[test]
    fn specs_that_no_file_can_hold_are_refused() {
        let good = SynthSpec::from_names("bitnet-b1.58", "tiny", "I2_S", "Q6_K", 1);
        let good = good.expect("a good spec");
        let refused = |spec: SynthSpec| {
            let mut out = Vec::new();
            let error = write_model(&spec, &mut out, |_, _| {}).expect_err("refused").to_string();
            assert!(out.is_empty(), "nothing is written");
            error
        };
        assert_eq!(
            refused(SynthSpec { embedding: WeightType::I2S, ..good }),
            "unknown type of the embedding `I2_S`; known are F32, F16, BF16, Q8_0, Q4_0, Q4_K, Q5_K, \
             Q6_K, TQ1_0, TQ2_0"
        );
        assert_eq!(
            refused(SynthSpec { architecture: "falcon", ..good }),
            "unknown architecture `falcon`; known are bitnet-b1.58, bitnet-25, bitnet, llama, qwen2, \
             qwen3"
        );
        let heads = SynthSpec { preset: Preset::TinyHeadsOf100, ..good };
        assert_eq!(
            refused(heads),
            "unknown type of layer weights `I2_S`; known are types whose blocks divide the preset's \
             rows"
        );
        assert_eq!(
            refused(SynthSpec { weights: WeightType::F16, ..heads }),
            "unknown type of the embedding `Q6_K`; known are types whose blocks divide the preset's \
             rows"
        );
        for (architecture, preset, found) in [
            ("bitnet", Preset::TinyBiases, "tiny-biases of bitnet"),
            ("qwen2", Preset::TinyRopeFactors, "tiny-rope-factors of qwen2"),
            ("bitnet-25", Preset::TinyWideHeads, "tiny-wide-heads of bitnet-25"),
        ] {
            let truth =
                format!("unknown preset `{found}`; known are those of what its files can hold");
            assert_eq!(refused(SynthSpec { architecture, preset, ..good }), truth);
        }
    }

    #[test]
    fn every_preset_is_found_by_its_name() {
        for (preset, name) in PRESETS {
            assert_eq!((name.parse(), preset.to_string()), (Ok(preset), name.to_owned()));
        }
        let known = PRESETS.map(|(_, name)| name).join(", ");
        let error = "huge".parse::<Preset>().expect_err("unknown").to_string();
        assert_eq!(error, format!("unknown preset `huge`; known are {known}"));
    }

    #[test]
    fn every_type_has_its_row_and_is_found_by_the_name_in_the_file() {
        for (weight_type, tensor_type, _) in TYPES {
            assert_eq!(weight_type.tensor_type(), tensor_type);
            assert_eq!(tensor_type.name().parse(), Ok(weight_type));
        }
        assert_eq!(TYPES.map(|row| row.1.name()).join(", "), ALL_TYPES);
        assert_eq!(format!("I2_S, {EMBEDDING_TYPES}"), ALL_TYPES);
        let error = "Q9_9".parse::<WeightType>().expect_err("unknown").to_string();
        assert_eq!(error, format!("unknown type `Q9_9`; known are {ALL_TYPES}"));
    }
}
