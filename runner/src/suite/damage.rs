//! Damages to the bytes of a model, for cases that expect a refusal.
//!
//! Works on bytes alone: it looks for a length-prefixed name and never parses the container, so
//! that a damage does not depend on the reader that it is made to test.

/// One damage, made to a copy.
#[derive(Debug, Clone, PartialEq)]
pub enum Damage {
    /// Keep only the first bytes.
    TruncateToBytes(u64),
    /// Keep only the first part, `0.0 <= part < 1.0`, rounded down to bytes.
    TruncateToFraction(f64),
    /// Write `bytes` over those at `offset`.
    Overwrite {
        /// Offset in the file.
        offset: u64,
        /// What is written; never empty.
        bytes: Vec<u8>,
    },
    /// Put this text in the file's place.
    ReplaceWithText(String),
    /// Rename a metadata key or a tensor; `from` and `to` have the same number of bytes.
    Rename {
        /// The name in the file.
        from: String,
        /// The name put there.
        to: String,
    },
    /// Write a scalar of four bytes under a metadata key.
    SetScalar {
        /// The metadata key.
        key: String,
        /// The type that the key must have in the file.
        kind: ScalarType,
        /// The value's bytes, little-endian.
        bytes: [u8; 4],
    },
}

/// Four-byte value types of GGUF metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScalarType {
    /// Unsigned integer.
    U32,
    /// IEEE single.
    F32,
}

impl ScalarType {
    /// The type's id in the file: `gguf_metadata_value_type` of the GGUF specification.
    fn id(self) -> u32 {
        match self {
            Self::U32 => 4,
            Self::F32 => 6,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::U32 => "u32",
            Self::F32 => "f32",
        }
    }
}

/// Why a damage does not apply to a file: the case does not fit its model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DamageError {
    /// The file is too short for the damage to change anything.
    #[error("the damage reaches to byte {wanted}, the model has {len} bytes")]
    TooShort {
        /// First byte that the damage does not need.
        wanted: u64,
        /// Bytes of the model.
        len: u64,
    },
    /// The name is not in the file as a GGUF string.
    #[error("the model holds no metadata key or tensor `{name}`")]
    NoSuchName {
        /// The name.
        name: String,
    },
    /// The key's value has another type.
    #[error("metadata key `{key}` is not of type {wanted}, its type id is {found}")]
    OtherType {
        /// The key.
        key: String,
        /// The type that the case names.
        wanted: &'static str,
        /// The type id in the file.
        found: u32,
    },
    /// The bytes after the damage are those before it.
    #[error("the damage changes nothing; a case of kind reject must test a difference")]
    NoChange,
}

/// Makes the damage to `model`, the whole bytes of a GGUF file.
///
/// # Errors
/// If the damage does not fit the file or would change nothing; `model` is then of no use.
pub fn apply(damage: &Damage, model: &mut Vec<u8>) -> Result<(), DamageError> {
    let len = model.len() as u64;
    match damage {
        Damage::TruncateToBytes(keep) => truncate(model, *keep),
        Damage::TruncateToFraction(part) => truncate(model, (len as f64 * part) as u64),
        Damage::ReplaceWithText(text) => {
            model.clear();
            model.extend_from_slice(text.as_bytes());
            Ok(())
        }
        Damage::Overwrite { offset, bytes } => {
            let too_short =
                || DamageError::TooShort { wanted: offset.saturating_add(bytes.len() as u64), len };
            let start = usize::try_from(*offset).map_err(|_| too_short())?;
            write(model, start, bytes).ok_or_else(too_short)?
        }
        Damage::Rename { from, to } => {
            let start = find_name(model, from)?;
            write(model, start, to.as_bytes())
                .ok_or_else(|| DamageError::NoSuchName { name: from.clone() })?
        }
        Damage::SetScalar { key, kind, bytes } => {
            let tag = find_name(model, key)? + key.len();
            let cut = || DamageError::TooShort { wanted: tag as u64 + 8, len };
            let found = model.get(tag..).and_then(|rest| rest.first_chunk()).ok_or_else(cut)?;
            let found = u32::from_le_bytes(*found);
            if found != kind.id() {
                return Err(DamageError::OtherType {
                    key: key.clone(),
                    wanted: kind.name(),
                    found,
                });
            }
            write(model, tag + 4, bytes).ok_or_else(cut)?
        }
    }
}

fn truncate(model: &mut Vec<u8>, keep: u64) -> Result<(), DamageError> {
    match usize::try_from(keep) {
        Ok(keep) if keep < model.len() => {
            model.truncate(keep);
            Ok(())
        }
        _ => Err(DamageError::NoChange),
    }
}

/// Overwrites in place; `None` if the bytes do not fit, an error if they were there already.
fn write(model: &mut [u8], start: usize, bytes: &[u8]) -> Option<Result<(), DamageError>> {
    let place = model.get_mut(start..start.checked_add(bytes.len())?)?;
    if place == bytes {
        return Some(Err(DamageError::NoChange));
    }
    place.copy_from_slice(bytes);
    Some(Ok(()))
}

/// Offset of the first byte of `name` where it stands as a GGUF string: a little-endian u64 with
/// its length, then its bytes.
fn find_name(model: &[u8], name: &str) -> Result<usize, DamageError> {
    let mut string = (name.len() as u64).to_le_bytes().to_vec();
    string.extend_from_slice(name.as_bytes());
    model
        .windows(string.len())
        .position(|window| window == string)
        .map(|at| at + 8)
        .ok_or_else(|| DamageError::NoSuchName { name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `GGUF`, then the string key `n.k`, type u32, value 7, then the string `t`.
    fn file() -> Vec<u8> {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend_from_slice(&3u64.to_le_bytes());
        bytes.extend_from_slice(b"n.k");
        bytes.extend_from_slice(&4u32.to_le_bytes());
        bytes.extend_from_slice(&7u32.to_le_bytes());
        bytes.extend_from_slice(&1u64.to_le_bytes());
        bytes.extend_from_slice(b"t");
        bytes
    }

    fn damaged(damage: &Damage) -> Result<Vec<u8>, DamageError> {
        let mut bytes = file();
        apply(damage, &mut bytes).map(|()| bytes)
    }

    #[test]
    fn each_damage_changes_the_bytes_it_names() {
        let original = file();
        assert_eq!(original.len(), 32);
        assert_eq!(damaged(&Damage::TruncateToBytes(5)).unwrap(), &original[..5]);
        assert_eq!(damaged(&Damage::TruncateToFraction(0.5)).unwrap(), &original[..16]);
        assert_eq!(damaged(&Damage::ReplaceWithText("no".into())).unwrap(), b"no");
        let bytes = damaged(&Damage::Overwrite { offset: 1, bytes: b"xy".to_vec() }).unwrap();
        assert_eq!((&bytes[..4], &bytes[4..]), (&b"GxyF"[..], &original[4..]));
        let bytes = damaged(&Damage::Rename { from: "n.k".into(), to: "n.q".into() }).unwrap();
        assert_eq!(&bytes[12..15], b"n.q");
        let set = Damage::SetScalar {
            key: "n.k".into(),
            kind: ScalarType::U32,
            bytes: 9u32.to_le_bytes(),
        };
        let bytes = damaged(&set).unwrap();
        assert_eq!((&bytes[..19], bytes[19]), (&original[..19], 9));
    }

    #[test]
    fn a_damage_that_does_not_fit_is_an_error() {
        let cases = [
            (Damage::TruncateToBytes(32), "the damage changes nothing"),
            (
                Damage::Overwrite { offset: 31, bytes: vec![0, 0] },
                "the damage reaches to byte 33, the model has 32 bytes",
            ),
            (
                Damage::Overwrite { offset: u64::MAX, bytes: vec![0] },
                "the damage reaches to byte 18446744073709551615",
            ),
            (Damage::Overwrite { offset: 0, bytes: b"G".to_vec() }, "the damage changes nothing"),
            (
                Damage::Rename { from: "k".into(), to: "q".into() },
                "the model holds no metadata key or tensor `k`",
            ),
            (
                Damage::SetScalar { key: "n.k".into(), kind: ScalarType::F32, bytes: [0; 4] },
                "metadata key `n.k` is not of type f32, its type id is 4",
            ),
            (
                Damage::SetScalar { key: "t".into(), kind: ScalarType::U32, bytes: [0; 4] },
                "the damage reaches to byte 40, the model has 32 bytes",
            ),
        ];
        for (damage, message) in cases {
            let error = damaged(&damage).unwrap_err().to_string();
            assert!(error.contains(message), "{damage:?}: {error}");
        }
    }
}
