//! What the files of each architecture hold, for the models that are made here. Written down apart
//! from the engine's own table, so that a fault there does not make files that fit it.

/// One architecture's files.
#[derive(Debug, PartialEq)]
pub(super) struct Form {
    pub(super) name: &'static str,
    /// `attn_sub_norm` and `ffn_sub_norm`.
    pub(super) sub_norms: bool,
    /// `attn_q_norm` and `attn_k_norm`.
    pub(super) head_norms: bool,
    /// Matrices that always have a bias.
    pub(super) biased: &'static [&'static str],
    /// Matrices that may have one.
    pub(super) may_be_biased: &'static [&'static str],
    /// Whether plain types keep a matrix's factor in a tensor beside it.
    pub(super) scales: bool,
    /// Whether `rope_freqs` may be there.
    pub(super) may_have_factors: bool,
    /// Whether heads may have a length of their own.
    pub(super) may_have_wide_heads: bool,
    /// Whether the head is the embedding, where nothing else is asked for.
    pub(super) tied: bool,
}

const QUERIES_KEYS_VALUES: &[&str] = &["attn_q", "attn_k", "attn_v"];
const ATTENTION: &[&str] = &["attn_q", "attn_k", "attn_v", "attn_output"];
const ALL: &[&str] =
    &["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"];

const BITNET_158: Form = Form {
    name: "bitnet-b1.58",
    sub_norms: true,
    head_norms: false,
    biased: &[],
    may_be_biased: ATTENTION,
    scales: false,
    may_have_factors: true,
    may_have_wide_heads: false,
    tied: true,
};

const LLAMA: Form = Form {
    name: "llama",
    sub_norms: false,
    head_norms: false,
    biased: &[],
    may_be_biased: ALL,
    scales: false,
    may_have_factors: true,
    may_have_wide_heads: true,
    tied: false,
};

const FORMS: [Form; 6] = [
    BITNET_158,
    Form { name: "bitnet-25", ..BITNET_158 },
    Form {
        name: "bitnet",
        may_be_biased: &[],
        scales: true,
        may_have_factors: false,
        ..BITNET_158
    },
    LLAMA,
    Form {
        name: "qwen2",
        biased: QUERIES_KEYS_VALUES,
        may_be_biased: QUERIES_KEYS_VALUES,
        may_have_factors: false,
        may_have_wide_heads: false,
        tied: true,
        ..LLAMA
    },
    Form {
        name: "qwen3",
        head_norms: true,
        may_be_biased: &[],
        may_have_factors: false,
        tied: true,
        ..LLAMA
    },
];

/// The names, for messages.
pub(super) const NAMES: &str = "bitnet-b1.58, bitnet-25, bitnet, llama, qwen2, qwen3";

/// The architectures that synthetic models can have.
pub fn architectures() -> Vec<&'static str> {
    FORMS.iter().map(|form| form.name).collect()
}

/// The form of the architecture called `name`.
pub(super) fn find(name: &str) -> Option<&'static Form> {
    const { &FORMS }.iter().find(|form| form.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_every_form() {
        assert_eq!(FORMS.map(|form| form.name).join(", "), NAMES);
    }
}
