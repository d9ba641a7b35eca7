//! Keys that change what a model of a known architecture computes, and that the engine does not
//! honour: a file that has one is refused, because ignoring it would give wrong results.

use super::error::ModelError;
use crate::gguf::{Metadata, Value};

/// The key under the architecture's prefix, the value at which it changes nothing, and what that means.
const KEYS: [(&str, f64, &str); 15] = [
    ("expert_count", 0.0, "0, a model without experts"),
    ("attention.causal", 1.0, "true"),
    ("attention.scale", 0.0, "0, which stands for 1 / √(length of a head)"),
    ("attention.clamp_kqv", 0.0, "0, which stands for no clamping"),
    ("attention.max_alibi_bias", 0.0, "0, which stands for no ALiBi"),
    ("attn_logit_softcapping", 0.0, "0, which stands for no soft cap"),
    ("final_logit_softcapping", 0.0, "0, which stands for no soft cap"),
    ("logit_scale", 0.0, "0, which stands for no scale"),
    ("residual_scale", 0.0, "0, which stands for no scale"),
    ("embedding_scale", 0.0, "0, which stands for no scale"),
    ("rope.scaling.yarn_ext_factor", 1.0, "1"),
    ("rope.scaling.yarn_attn_factor", 1.0, "1"),
    ("rope.scaling.yarn_beta_fast", 32.0, "32"),
    ("rope.scaling.yarn_beta_slow", 1.0, "1"),
    ("rope.scaling.yarn_log_multiplier", 0.0, "0"),
];

/// # Errors
/// If one of the keys has a value that changes the computation.
pub(super) fn refuse(metadata: &Metadata, architecture: &str) -> Result<(), ModelError> {
    for (key, neutral, supported) in KEYS {
        let key = format!("{architecture}.{key}");
        let Some(value) = metadata.get(&key) else { continue };
        let (number, found) = read(value);
        if number != Some(neutral) {
            return Err(ModelError::Unsupported { key, found, supported: supported.into() });
        }
    }
    Ok(())
}

/// A value as a number, where it is one, and in words.
fn read(value: Value<'_>) -> (Option<f64>, String) {
    match value {
        Value::F32(x) => (Some(x.into()), x.to_string()),
        Value::F64(x) => (Some(x), x.to_string()),
        Value::Bool(x) => (Some(u8::from(x).into()), x.to_string()),
        other => match other.as_integer() {
            Some(n) => (Some(n as f64), n.to_string()),
            None => (None, format!("of type {}", other.type_name())),
        },
    }
}
