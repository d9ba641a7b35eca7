//! What each architecture's files may hold and say: keys that ask for a computation that is not there,
//! tensors of other architectures, and what a key changes.

use bitnet_engine::gguf::TensorType;
use bitnet_engine::model::Activation;
use bitnet_engine::synth::{Preset, SynthSpec, WeightType};

use crate::edited::{edited, key, no_key, no_tensor, tensor, zeros};
use crate::loading::{missing, shape, superfluous, wrong_type};
use crate::refusal::{AGAIN, Refusal, accepted, check, refused};
use crate::synthetic::{self, TINY};

/// A spec of another architecture than [`TINY`]'s.
fn other(architecture: &'static str, preset: Preset) -> SynthSpec {
    let (weights, embedding) = (WeightType::F32, WeightType::F32);
    SynthSpec { architecture, preset, weights, embedding, tied: true, ..TINY }
}

fn unsupported(key: &str, found: &str, supported: &str) -> Refusal {
    let words = "which is not computed; supported is";
    ("Unsupported", format!("metadata key '{key}' is {found}, {words} {supported}"))
}

#[test]
fn keys_that_ask_for_another_computation() {
    let of = |name: &str| format!("llama.{name}");
    let n = |name: &str, n: u32| key(&of(name), move |w, k| w.u32(k, n).map(drop));
    let x = |name: &str, x: f32| key(&of(name), move |w, k| w.f32(k, x).map(drop));
    let text =
        |name: &str, text: &'static str| key(&of(name), move |w, k| w.str(k, text).map(drop));
    let acausal = key(&of("attention.causal"), |w, k| w.bool(k, false).map(drop));
    let no = |name: &str, found: &str, supported: &str| unsupported(&of(name), found, supported);
    let types = "none, linear or yarn";
    check(
        &other("llama", Preset::Tiny),
        [
            (n("expert_count", 8), no("expert_count", "8", "0, a model without experts")),
            (acausal, no("attention.causal", "false", "true")),
            (
                n("attention.sliding_window", 256),
                no("attention.sliding_window", "256", "0, or the context of 512"),
            ),
            (
                x("attention.scale", 0.25),
                no("attention.scale", "0.25", "0, which stands for 1 / √(length of a head)"),
            ),
            (x("logit_scale", 2.0), no("logit_scale", "2", "0, which stands for no scale")),
            (
                text("logit_scale", "2"),
                no("logit_scale", "of type string", "0, which stands for no scale"),
            ),
            (x("rope.scaling.yarn_beta_fast", 16.0), no("rope.scaling.yarn_beta_fast", "16", "32")),
            (text("rope.scaling.type", "longrope"), no("rope.scaling.type", "'longrope'", types)),
            (
                text("rope.scaling.type", "\u{1b}[2J"),
                no("rope.scaling.type", "'\\u{1b}[2J'", types),
            ),
        ],
    );
    let activation =
        |name: &'static str| key("bitnet.hidden_activation", move |w, k| w.str(k, name).map(drop));
    let refusal = unsupported("bitnet.hidden_activation", "'gelu'", "silu or relu2");
    check(&other("bitnet", Preset::Tiny), [(activation("gelu"), refusal)]);

    // The values that change nothing are no reason to refuse a file.
    let base = synthetic::bytes(&other("llama", Preset::Tiny));
    let neutral = [
        n("expert_count", 0),
        n("attention.sliding_window", 512),
        x("logit_scale", 0.0),
        x("rope.scaling.yarn_beta_fast", 32.0),
        key(&of("attention.causal"), |w, k| w.bool(k, true).map(drop)),
    ];
    accepted(&edited(&base, &neutral));
}

#[test]
fn the_second_kind_of_bitnet_may_name_its_activation() {
    let base = synthetic::bytes(&other("bitnet", Preset::Tiny));
    let named = |name: &'static str| {
        let edit = key("bitnet.hidden_activation", move |w, k| w.str(k, name).map(drop));
        accepted(&edited(&base, &[edit])).config().graph.activation
    };
    assert_eq!(accepted(&base).config().graph.activation, Activation::Silu);
    assert_eq!(named("silu"), Activation::Silu);
    assert_eq!(named("relu2"), Activation::ReluSquared);
}

#[test]
fn heads_of_a_length_of_their_own() {
    let spec = other("llama", Preset::TinyWideHeads);
    let model = accepted(&synthetic::bytes(&spec));
    let config = model.config();
    assert_eq!((config.head_length, config.query_length(), config.kv_length()), (96, 384, 192));
    let rule = |name: &str, found: u32, rule: &str| {
        let words = format!("metadata key 'llama.{name}' is {found}, but {rule}; {AGAIN}");
        (
            key(&format!("llama.{name}"), move |w, k| w.u32(k, found).map(drop)),
            ("HyperParameter", words),
        )
    };
    check(
        &spec,
        [
            rule("attention.key_length", 0, "it must be from 1 to 262144"),
            rule("attention.key_length", 1 << 20, "it must be from 1 to 262144"),
            rule("attention.key_length", 95, "RoPE needs an even number"),
            rule("attention.value_length", 64, "the length of a head is 96"),
            rule("rope.dimension_count", 64, "the length of a head is 96"),
        ],
    );
    let q = "blk.0.attn_q.weight";
    let gone = [no_key("llama.attention.key_length"), no_key("llama.attention.value_length")];
    let rope = key("llama.rope.dimension_count", |w, k| w.u32(k, 64).map(drop));
    let edits: Vec<_> = gone.into_iter().chain([rope]).collect();
    assert_eq!(refused(&synthetic::bytes(&spec), &edits), shape(q, &[256, 384], &[256, 256]));
}

#[test]
fn every_architecture_refuses_the_tensors_of_the_others() {
    let (bias, norm) = ("blk.0.attn_q.bias", "blk.0.attn_sub_norm.weight");
    let (scale, factors) = ("blk.1.ffn_up.scale", "rope_freqs.weight");
    let head_norm = "blk.1.attn_k_norm.weight";
    let vector = |name: &str, length| zeros(name, TensorType::F32, &[length]);
    let refuses = |architecture, cases: Vec<(&str, usize)>| {
        let cases: Vec<_> = cases.iter().map(|(n, l)| (vector(n, *l), superfluous(n))).collect();
        check(&other(architecture, Preset::Tiny), cases);
    };
    refuses("bitnet-b1.58", vec![(scale, 1), (head_norm, 64), ("blk.0.ffn_up.bias", 768)]);
    refuses("bitnet", vec![(bias, 256), (factors, 32), (head_norm, 64)]);
    refuses("llama", vec![(norm, 256), (scale, 1), (head_norm, 64)]);
    refuses("qwen2", vec![(norm, 256), (scale, 1), (factors, 32), ("blk.0.attn_output.bias", 256)]);
    refuses("qwen3", vec![(norm, 256), (bias, 256), (factors, 32)]);
    check(
        &other("qwen2", Preset::Tiny),
        [
            (no_tensor(bias), missing(bias)),
            (vector(bias, 128), shape(bias, &[128], &[256])),
            (zeros(bias, TensorType::F16, &[256]), wrong_type(bias, "F16", "a bias must be F32")),
        ],
    );
    check(&other("qwen3", Preset::Tiny), [(no_tensor(head_norm), missing(head_norm))]);
}

#[test]
fn factors_that_are_no_positive_numbers() {
    for (architecture, preset, name, length) in [
        ("bitnet", Preset::Tiny, "blk.1.ffn_up.scale", 1),
        ("llama", Preset::TinyRopeFactors, "rope_freqs.weight", 32),
    ] {
        for (last, shown) in [(0.0, "0"), (-2.0, "-2"), (f32::NAN, "NaN")] {
            let mut values = vec![1f32; length];
            values[length - 1] = last;
            let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            let words = format!(
                "tensor '{name}' has the scale {shown}, which is not a finite number above 0; the \
                 file is damaged: fetch or convert it again"
            );
            let edit = tensor(name, TensorType::F32, &[length], bytes);
            check(&other(architecture, preset), [(edit, ("Scale", words))]);
        }
    }
}
