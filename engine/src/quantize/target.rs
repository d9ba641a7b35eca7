//! The types that a model can be converted to, with the numbers that llama.cpp and bitnet.cpp have for
//! them.

use std::fmt;
use std::str::FromStr;

use crate::gguf::TensorType;
use crate::quant::blocks::BlockType;
use crate::quant::tiles::LookupType;

/// A type to convert to.
#[expect(missing_docs, reason = "the names are ggml's own; `name` spells them")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Target {
    I2S,
    Tq1_0,
    Tq2_0,
    Tl1,
    Tl2,
    Q8_0,
    Q6K,
    Q5K,
    Q4K,
    Q4_0,
    F16,
    Bf16,
    F32,
}

/// Type, tensors' type and `general.file_type`, in the order of [`Target::ALL`]. The file types are
/// `llama_ftype` of llama.cpp, and of bitnet.cpp's fork for I2_S, TL1 and TL2; a k-quant without mixture
/// has the number of its small one (Q4_K_S, Q5_K_S).
const TABLE: [(Target, TensorType, u32); 13] = [
    (Target::I2S, TensorType::I2S, 40),
    (Target::Tq1_0, TensorType::Tq1_0, 36),
    (Target::Tq2_0, TensorType::Tq2_0, 37),
    (Target::Tl1, TensorType::Tl1, 38),
    (Target::Tl2, TensorType::Tl2, 39),
    (Target::Q8_0, TensorType::Q8_0, 7),
    (Target::Q6K, TensorType::Q6K, 18),
    (Target::Q5K, TensorType::Q5K, 16),
    (Target::Q4K, TensorType::Q4K, 14),
    (Target::Q4_0, TensorType::Q4_0, 2),
    (Target::F16, TensorType::F16, 1),
    (Target::Bf16, TensorType::Bf16, 32),
    (Target::F32, TensorType::F32, 0),
];

impl Target {
    /// All of them.
    pub const ALL: [Target; 13] = [
        Target::I2S,
        Target::Tq1_0,
        Target::Tq2_0,
        Target::Tl1,
        Target::Tl2,
        Target::Q8_0,
        Target::Q6K,
        Target::Q5K,
        Target::Q4K,
        Target::Q4_0,
        Target::F16,
        Target::Bf16,
        Target::F32,
    ];

    /// The type of a tensor.
    pub fn tensor_type(self) -> TensorType {
        TABLE[self as usize].1
    }

    /// `general.file_type` of a file whose matrices are of this type.
    pub fn file_type(self) -> u32 {
        TABLE[self as usize].2
    }

    /// ggml's name in upper case.
    pub fn name(self) -> &'static str {
        self.tensor_type().name()
    }

    /// Whether its weights are −1, 0 and 1 times a scale.
    pub fn is_ternary(self) -> bool {
        matches!(self, Target::I2S | Target::Tq1_0 | Target::Tq2_0 | Target::Tl1 | Target::Tl2)
    }

    /// The lookup-table type that it is, if it is one.
    pub(super) fn lookup(self) -> Option<LookupType> {
        match self {
            Target::Tl1 => Some(LookupType::Tl1),
            Target::Tl2 => Some(LookupType::Tl2),
            _ => None,
        }
    }

    /// The type of blocks that it is, if it is one.
    pub(super) fn block(self) -> Option<BlockType> {
        BlockType::from_name(self.name())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name of no type to convert to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no type `{}` to convert to; there are {}", .found.escape_default(), names())]
pub struct TargetError {
    found: String,
}

fn names() -> String {
    Target::ALL.map(Target::name).join(", ")
}

impl FromStr for Target {
    type Err = TargetError;

    /// The name in any case.
    fn from_str(name: &str) -> Result<Self, TargetError> {
        let mut all = Target::ALL.into_iter();
        all.find(|target| target.name().eq_ignore_ascii_case(name))
            .ok_or_else(|| TargetError { found: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_names_come_back() {
        for (index, target) in Target::ALL.into_iter().enumerate() {
            assert_eq!(TABLE[index].0, target);
            assert_eq!(target.name().parse(), Ok(target));
            assert_eq!(target.name().to_lowercase().parse(), Ok(target));
        }
        let error = "q3_k\u{1b}".parse::<Target>().expect_err("no such type").to_string();
        let truth = "there is no type `q3_k\\u{1b}` to convert to; there are I2_S, TQ1_0, TQ2_0, TL1, TL2, \
                     Q8_0, Q6_K, Q5_K, Q4_K, Q4_0, F16, BF16, F32";
        assert_eq!(error, truth);
    }
}
